"""The settings of a method as a table: their defaults, what they accept, and what they are for."""

from collections.abc import Mapping
from typing import Any

from cervbench.plugin.settings import Settings

Schema = Mapping[str, Any]

_BOUNDS = {
    "minimum": "≥",
    "exclusiveMinimum": ">",
    "exclusiveMaximum": "<",
    "maximum": "≤",
    "multipleOf": "a multiple of",
    "minLength": "of length ≥",
    "maxLength": "of length ≤",
    "pattern": "like",
}


def described(config: type[Settings]) -> list[dict[str, Any]]:
    """One row for each setting, in the order of the fields."""
    schema = config.model_json_schema()
    return [
        {
            "setting": name,
            "default": schema["properties"][name].get("default"),
            "accepts": accepted(schema["properties"][name], schema.get("$defs", {})),
            "description": field.description or "",
        }
        for name, field in config.model_fields.items()
    ]


def accepted(schema: Schema, definitions: Mapping[str, Schema]) -> str:
    """What a value may be: `number > 0`, `adamw | sgd`, `list of integer`."""
    if "$ref" in schema:
        return accepted(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    if "anyOf" in schema:
        return " | ".join(accepted(one, definitions) for one in schema["anyOf"])
    if "const" in schema or "enum" in schema:
        return " | ".join(map(str, schema.get("enum", [schema.get("const")])))
    kind = str(schema.get("type", "anything"))
    if "prefixItems" in schema:
        return f"list of {', '.join(accepted(one, definitions) for one in schema['prefixItems'])}"
    if kind == "array":
        return f"list of {accepted(schema.get('items', {}), definitions)}"
    bounds = " and ".join(f"{sign} {_plain(schema[key])}" for key, sign in _BOUNDS.items() if key in schema)
    return f"{kind} {bounds}".strip()


def _plain(bound: float | str) -> str:
    return bound if isinstance(bound, str) else f"{bound:g}"

"""The protocol, read from its versioned file for one tier, with a note of what a user changed."""

import ast
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from pydantic import Field

from cervbench.plugin.catalog import CORE
from cervbench.plugin.settings import Settings, SettingsError, added_later, did_you_mean

TIERS = ("smoke", "quick", "standard")
NEWEST = 1
"""The version that runs are made by. The file of each version stays: records are held against their own."""
_FILES = files("cervbench.protocol")


class FoldRules(Settings):
    deals: int


class LabelRules(Settings):
    ratios: tuple[int, ...]
    draws: int
    val_from: int

    def draws_at(self, ratio: int, asked: int | None = None) -> int:
        """How many label orders are used: one if all labels are seen, else all or as few as asked for."""
        return 1 if ratio >= 100 else min(self.draws, asked or self.draws)

    def sees_val(self, ratio: int) -> bool:
        """Whether labels of val may be seen as well."""
        return ratio >= self.val_from


class PackRules(Settings):
    stored_size: int


LARGEST = 4096
"""The most pixels to a side that images are trained at."""


class Size(Settings):
    image_size: int = Field(gt=7, le=LARGEST)


CLIP = 1.0
"""The norm that gradients are clipped to where nothing else is said, as in all records that say nothing."""


class Pretext(Settings):
    epochs: int = Field(gt=0)
    batch_size: int = Field(gt=1)
    compile: bool
    clip: float = added_later(CLIP, ge=0)
    """The norm to which gradients are clipped; with 0 they are not."""


@dataclass(frozen=True)
class Rules:
    """What is the same at every tier: it decides a dataset's pack, folds and label orders."""

    version: int
    folds: FoldRules
    labels: LabelRules
    pack: PackRules


@dataclass(frozen=True)
class Protocol(Rules):
    """The rules, with the budget of one tier."""

    tier: str
    image_size: int
    pretext: Pretext
    evaluations: Mapping[str, Mapping[str, Any]]
    """Settings of the core's evaluations, by name."""
    off: tuple[str, ...] = ()
    """What a user changed, as KEY=VALUE; empty on protocol."""

    def settings_of(self, package: str, evaluation: str) -> Mapping[str, Any]:
        """The settings fixed for an evaluation; none for one of another package, whatever it is called."""
        return self.evaluations.get(evaluation, {}) if package == CORE else {}


def load_rules() -> Rules:
    """The newest protocol without a tier."""
    return _rules(_read(NEWEST))


def load(tier: str, changes: Mapping[str, Any] | None = None, version: int | None = None) -> Protocol:
    """A protocol at a tier, by default the newest; `changes` (dotted key to value) put it off protocol."""
    if tier not in TIERS:
        raise SettingsError(f"no tier {tier!r}; there are {', '.join(TIERS)}")
    read = _read(NEWEST if version is None else version)
    budget = read["tiers"][tier]
    changed = {}
    for key, value in (changes or {}).items():
        old, new = _change(budget, key, value)
        if new != old:
            changed[key] = new
    return Protocol(
        **vars(_rules(read)),
        tier=tier,
        image_size=Size.parse({"image_size": budget["image_size"]}, "protocol").image_size,
        pretext=Pretext.parse(budget["pretext"], "protocol.pretext"),
        evaluations={
            name: table for name, table in budget.items() if isinstance(table, dict) and name != "pretext"
        },
        off=tuple(f"{key}={value}" for key, value in sorted(changed.items())),
    )


def _read(version: int) -> dict[str, Any]:
    if not 1 <= version <= NEWEST:
        raise SettingsError(f"no protocol v{version}; this cervbench knows v{NEWEST} and those before it")
    return tomllib.loads(_FILES.joinpath(f"v{version}.toml").read_text("utf-8"))


def _rules(read: Mapping[str, Any]) -> Rules:
    return Rules(
        version=read["version"],
        folds=FoldRules.parse(read["folds"], "protocol.folds"),
        labels=LabelRules.parse(read["labels"], "protocol.labels"),
        pack=PackRules.parse(read["pack"], "protocol.pack"),
    )


def of_pretext(change: str) -> bool:
    """Whether a change concerns only pretext stages."""
    return change.startswith("pretext.")


def changes_of(off: Sequence[str]) -> dict[str, Any]:
    """The `protocol.KEY` settings that a record's `off` stands for."""
    changes: dict[str, Any] = {}
    for change in off:
        key, _, value = change.partition("=")
        try:
            changes[f"protocol.{key}"] = ast.literal_eval(value)
        except (SyntaxError, ValueError):
            changes[f"protocol.{key}"] = value
    return changes


def _keys(budget: Mapping[str, Any]) -> list[str]:
    """The dotted key of every number of a tier."""
    found = []
    for key, value in budget.items():
        found += [f"{key}.{inner}" for inner in _keys(value)] if isinstance(value, dict) else [key]
    return found


def _change(budget: dict[str, Any], key: str, value: Any) -> tuple[Any, Any]:
    """Set a dotted key of a tier in place, and return its old and its new value."""
    *path, last = key.split(".")
    table: Any = budget
    for name in path:
        table = table.get(name) if isinstance(table, dict) else None
    if not isinstance(table, dict) or last not in table or isinstance(table[last], dict):
        hint = did_you_mean(key, _keys(budget))
        raise SettingsError(f"the protocol has no number {key!r}{hint} (it has {', '.join(_keys(budget))})")
    old = table[last]
    table[last] = _as_meant(key, old, value)
    return old, table[last]


def _as_meant(key: str, old: Any, value: Any) -> Any:
    """A value in the type that the protocol has: 10.0 epochs are 10, not another row of a page."""
    if type(old) is bool and type(value) is not bool:
        raise SettingsError(f"protocol.{key} is true or false, and cannot be {value!r}")
    if isinstance(old, list) and old and isinstance(value, list | tuple):
        return [_as_meant(key, old[0], one) for one in value]
    if type(old) not in (int, float):
        return value
    if type(value) not in (int, float):
        raise SettingsError(f"protocol.{key} is a number ({old}), and cannot be {value!r}")
    if type(old) is float:
        return float(value)
    return int(value) if float(value).is_integer() else value

"""Settings that name the nearest right key when one is misspelt."""

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError


class SettingsError(ValueError):
    """A setting is unknown or has a value it cannot have; the message is for the user."""


class Settings(BaseModel):
    """Base of every config: closed, immutable, plain JSON."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @classmethod
    def parse(cls, values: Mapping[str, Any], of: str) -> Self:
        """The settings of `of`, or one SettingsError that names every wrong key and value."""
        known = {key: value for key, value in values.items() if key in cls.model_fields}
        wrong = [_unknown(key, list(cls.model_fields), of) for key in values if key not in known]
        try:
            settings = cls.model_validate(known)
        except ValidationError as error:
            wrong.append(f"{of}: {in_words(error)}")
        if wrong:
            raise SettingsError("\n".join(wrong))
        return settings


def in_words(error: ValidationError) -> str:
    """Every wrong value as `key = value: what is wrong`."""
    return "; ".join(f"{'.'.join(map(str, e['loc']))} = {e['input']!r}: {e['msg']}" for e in error.errors())


def _unknown(key: str, known: list[str], of: str) -> str:
    near = get_close_matches(key, known, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return f"{of} has no setting {key!r}{hint} (it has {', '.join(known) or 'none'})"


ViewPolicy = Literal["simclr", "A", "B", "C", "D", "E"]
"""The named policies: see `cervbench.plugin.named_policy`."""


class MethodConfig(Settings):
    """What every method with a pretext stage may set: how its stage is optimised, and what it looks at."""

    optimizer: Literal["adamw", "sgd"] = Field("adamw", description="of the pretext stage")
    learning_rate: float = Field(2e-3, gt=0, description="at its highest, after the warm-up")
    weight_decay: float = Field(1e-4, ge=0, description="of matrices and kernels; biases and norms have none")
    momentum: float = Field(0.9, ge=0, lt=1, description="of sgd")
    policy: ViewPolicy = Field("simclr", description="of the views, by name")

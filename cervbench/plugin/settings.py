"""Base classes of settings: an error names every wrong key and value, and the nearest right key."""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from inspect import isclass
from typing import Any, Literal, Self, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import ErrorDetails

from cervbench.error import UsageError


class SettingsError(UsageError, ValueError):
    """A setting is unknown or has a value it cannot have; the message is for the user."""


class Closed(BaseModel):
    """Immutable values that are plain JSON; unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Settings(Closed):
    """Base class of every config; its numbers are finite."""

    model_config = ConfigDict(allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _require_numbers(cls, value: Any, field: ValidationInfo) -> Any:
        """True and False are refused where an annotation says int or float and nowhere bool."""
        kinds = _kinds(cls.model_fields[str(field.field_name)].annotation)
        if bool in kinds or not kinds & {int, float}:
            return value
        if isinstance(value, Mapping) and BaseModel not in kinds:
            refuse_truth_values(list(value.values()))
        return refuse_truth_values(value)

    @classmethod
    def parse(cls, values: Mapping[str, Any], where: str) -> Self:
        """The settings, or one SettingsError that names every wrong key and value.

        `where`, as in `method simclr`, begins each line of its message.
        """
        known = {key: value for key, value in values.items() if key in cls.model_fields}
        wrong = [
            f"{where} has no setting {key!r}{did_you_mean(key, cls.model_fields)} "
            f"(it has {', '.join(cls.model_fields) or 'none'})"
            for key in values
            if key not in known
        ]
        try:
            settings = cls.model_validate(known)
        except ValidationError as error:
            wrong.append(f"{where}: {wrong_values(error)}")
        if wrong:
            raise SettingsError("\n".join(wrong))
        return settings


def added_later(neutral: Any, **field: Any) -> Any:
    """A `Field` that older records lack: at its neutral value it is not written, so they are found again."""
    return Field(neutral, exclude_if=lambda value: value == neutral, **field)


def _kinds(annotation: Any) -> set[type]:
    """Which of these types an annotation is made of, however deep: `int` is in `tuple[int, ...] | None`."""
    if parts := get_args(annotation):
        return set().union(*map(_kinds, parts))
    return {kind for kind in (int, float, bool) if annotation is kind} | (
        {BaseModel} if isclass(annotation) and issubclass(annotation, BaseModel) else set()
    )


def refuse_truth_values(value: Any) -> Any:
    """The value, unless it is True or False or a list holding one: pydantic takes them for 1 and 0."""
    if isinstance(value, bool):
        raise ValueError("Input should be a number, and is a truth value")
    if isinstance(value, list | tuple | set | frozenset):
        for one in value:
            refuse_truth_values(one)
    return value


def wrong_values(error: ValidationError, most: int | None = None) -> str:
    """Every wrong value, or the first few, as `key = value: what is wrong`."""
    return "; ".join(map(_wrong_value, error.errors()[:most]))


def _wrong_value(found: ErrorDetails) -> str:
    """A missing key has no value to show, and text that is not JSON has no key either."""
    key = ".".join(map(str, found["loc"]))
    value = "" if found["type"] == "missing" else f" = {found['input']!r:.60}"
    told = found["msg"].removeprefix("Value error, ")
    return f"{key}{value}: {told}" if key else told


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A hint to append to an unknown name; empty if no known name is near."""
    near = nearest(name, known)
    return f"; did you mean {near!r}?" if near else ""


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that is most like this one in any case of letters; None if none is."""
    as_written = {one.lower(): one for one in known}
    near = get_close_matches(name.lower(), as_written, n=1)
    return as_written[near[0]] if near else None


ViewPolicy = Literal["simclr", "A", "B", "C", "D", "E"]
"""The named policies: see `cervbench.plugin.named_policy`."""


class PretextConfig(Settings):
    """Settings of every method with a pretext stage: how that stage is optimised."""

    optimizer: Literal["adamw", "sgd"] = Field("adamw", description="of the pretext stage")
    learning_rate: float = Field(2e-3, gt=0, description="at its highest, after the warm-up")
    weight_decay: float = Field(1e-4, ge=0, description="of matrices and kernels; biases and norms have none")
    momentum: float = Field(0.9, ge=0, lt=1, description="of sgd")

    @model_validator(mode="after")
    def _require_effect(self) -> Self:
        """A setting without effect would make a run of its own that repeats another."""
        if self.optimizer != "sgd" and self.momentum != type(self).model_fields["momentum"].default:
            raise ValueError("momentum is of sgd; say --set optimizer=sgd too")
        return self


class MethodConfig(PretextConfig):
    """Settings of a method whose views follow a named policy: which one, and how it is optimised."""

    policy: ViewPolicy = Field("simclr", description="of the views, by name")

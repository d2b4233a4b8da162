"""The protocol as a value: read from its versioned file, by tier, with a note of what a user changed."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from pydantic import Field

from cervbench.plugin.settings import Settings, SettingsError

TIERS = ("smoke", "quick", "standard")


class FoldRules(Settings):
    count: int
    bins: int
    deals: int


class LabelRules(Settings):
    ratios: tuple[int, ...]
    draws: int
    val_from: int

    def draws_at(self, ratio: int) -> int:
        """With all labels there is nothing to draw."""
        return 1 if ratio >= 100 else self.draws


class PackRules(Settings):
    stored_size: int


class Pretext(Settings):
    epochs: int = Field(gt=0)
    batch_size: int = Field(gt=1)


@dataclass(frozen=True)
class Protocol:
    """The rules of one tier."""

    version: int
    tier: str
    folds: FoldRules
    labels: LabelRules
    pack: PackRules
    image_size: int
    pretext: Pretext
    evaluations: Mapping[str, Mapping[str, Any]]
    """Settings by evaluation name; an evaluation that the protocol does not name keeps its defaults."""
    off: tuple[str, ...] = ()
    """What a user changed, as KEY=VALUE; empty on protocol."""


def load(tier: str, changes: Mapping[str, Any] | None = None) -> Protocol:
    """Protocol v1 at a tier; `changes` (dotted key to value) put it off protocol."""
    if tier not in TIERS:
        raise SettingsError(f"no tier {tier!r}; there are {', '.join(TIERS)}")
    rules = tomllib.loads(files("cervbench.protocol").joinpath("v1.toml").read_text("utf-8"))
    budget = rules["tiers"][tier]
    off = tuple(f"{key}={_change(budget, key, value)}" for key, value in sorted((changes or {}).items()))
    return Protocol(
        version=rules["version"],
        tier=tier,
        folds=FoldRules.parse(rules["folds"], "protocol.folds"),
        labels=LabelRules.parse(rules["labels"], "protocol.labels"),
        pack=PackRules.parse(rules["pack"], "protocol.pack"),
        image_size=int(budget["image_size"]),
        pretext=Pretext.parse(budget["pretext"], "protocol.pretext"),
        evaluations={
            name: table for name, table in budget.items() if isinstance(table, dict) and name != "pretext"
        },
        off=off,
    )


def _change(budget: dict[str, Any], key: str, value: Any) -> Any:
    """Set a dotted key of a tier in place; only keys that it has, for the others mean nothing."""
    *path, last = key.split(".")
    table = budget
    for name in path:
        table = table.get(name, {})
    if not isinstance(table, dict) or last not in table or isinstance(table[last], dict):
        raise SettingsError(f"the protocol has no number {key!r} (set one as protocol.pretext.epochs=10)")
    table[last] = value
    return value

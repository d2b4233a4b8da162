"""The names of rows: the method, and whatever tells it from other rows of the same method."""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence

from cervbench.leaderboard.rows import Row
from cervbench.markup.escaping import short
from cervbench.plugin.catalog import CORE
from cervbench.plugin.missing_methods import PACKAGES, ROWS
from cervbench.protocol.protocol import of_pretext

NamedRow = tuple[str, Row]

_OF_A_RUN = {
    "method", "of", "revision", "strategy", "from", "images", "backbone", "init", "weights", "on",
}  # fmt: skip
"""The words that a page uses for fields of a run."""


def names(rows: Sequence[Row], beneath: bool = False) -> list[str]:
    """A unique name for each row.

    It says which settings were chosen, and what else `_always_told` names; rows that would still share a name
    are told apart by everything in which they differ. `beneath` is for reference rows.
    """
    by_name: dict[str, list[int]] = defaultdict(list)
    for index, row in enumerate(rows):
        by_name[short(_base_name(row, beneath))].append(index)
    # Rows of one dataset can come from different packs: the same image ids, but not the same pixels.
    of_one_pack = len({row.sample.run.dataset.pack for row in rows}) == 1
    named = [""] * len(rows)
    for name, indices in by_name.items():
        traits = [_traits(rows[index]) for index in indices]
        apart = differing(traits)
        for index, own in zip(indices, traits, strict=True):
            always = _always_told(rows[index]) | (set() if of_one_pack else {"images"})
            telling = own.keys() & (apart | always)
            told = ", ".join(f"{short(trait)} {short(own[trait])}" for trait in sorted(telling))
            named[index] = f"{name} ({told})" if told else name
    return _unique(named)


def differing(traits: Sequence[Mapping[str, str]]) -> set[str]:
    """The names of the traits that are not the same for all."""
    return {
        trait
        for trait in {trait for own in traits for trait in own}
        if len({own.get(trait) for own in traits}) > 1
    }


def _always_told(row: Row) -> set[str]:
    """The traits that a name always says: chosen settings, another revision or budget than usual.

    So that nothing passes for what it is not, it says its package where that is not the one to be expected.
    A reference row that began from weights stands beneath tables of other backbones too, and says its own.
    """
    run = row.sample.run
    told = {_trait(name) for name in run.method.config.keys() & row.chosen}
    if run.method.revision > 1:
        told.add("revision")
    if run.method.package != _expected_package(row):
        told.add("of")
    if row.baseline and not row.as_it_began and run.init != "random":
        told |= {"backbone", "init"}
    return told | _budget(row).keys()


def _expected_package(row: Row) -> str:
    """The one that has the method of this name here, or would be called after it."""
    name = row.sample.run.method.name
    if row.baseline or name in ROWS:
        return CORE
    return PACKAGES.get(name, f"{CORE}-{name}")


def _budget(row: Row) -> dict[str, str]:
    """How the pretext stages differ from those of the protocol."""
    changes = row.sample.run.protocol.off
    return dict(change.split("=", 1) for change in changes if of_pretext(change))


def _unique(named: Sequence[str]) -> list[str]:
    """Names that are the same after all, because long ones are cut, get a number."""
    seen: dict[str, int] = defaultdict(int)
    unique = []
    for name in named:
        seen[name] += 1
        unique.append(name if seen[name] == 1 else f"{name} #{seen[name]}")
    return unique


def _base_name(row: Row, beneath: bool) -> str:
    run = row.sample.run
    if not row.as_it_began:
        return run.method.name
    if run.init == "random":
        return "untrained" if row.sample.evaluation.frozen else "scratch"
    if row.sample.evaluation.frozen or beneath:
        return f"{run.init} ({run.backbone})"
    return run.init


def _traits(row: Row) -> dict[str, str]:
    """Everything in which two rows of one name may differ."""
    run = row.sample.run
    traits = {
        "method": run.method.name,
        "of": run.method.package,
        "revision": str(run.method.revision),
        "strategy": run.strategy,
        "from": "+".join(run.sources) or "itself",
        "images": run.dataset.pack,
        "backbone": run.backbone,
        "backbone revision": str(run.backbone_revision),
        "init": run.init,
    }
    if run.weights:
        traits["weights"] = run.weights
    if run.method.builds_on:
        revisions = sorted(run.method.builds_on.items())
        traits["on"] = " ".join(f"{name} revision {revision}" for name, revision in revisions)
    return (
        traits
        | _budget(row)
        | {_trait(name): json.dumps(value, sort_keys=True) for name, value in run.method.config.items()}
    )


def _trait(setting: str) -> str:
    """A setting can have the name of a field of the run; then a page says which of the two it means."""
    return f"setting {setting}" if setting in _OF_A_RUN else setting

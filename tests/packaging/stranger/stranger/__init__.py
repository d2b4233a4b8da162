"""A package that adds a method, a dataset and an evaluation, and watches the records."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cervbench.plugin import Card, EvaluationOffer, Item, MethodConfig, Offer, Source, hookimpl


class Config(MethodConfig):
    margin: float = 1.0


def items(folder: Path) -> list[Item]:
    return [
        Item(id=f"{label}-{group:02}-{n}", label=label, group=f"{label}-{group:02}", path=folder)
        for label in ("dark", "light")
        for group in range(12)
        for n in range(4)
    ]


def read(item: Item) -> Any:
    from PIL import Image

    base = 60 if item.label == "dark" else 190
    return Image.new("RGB", (40, 30), (base, base + int(item.group[-2:]), base + int(item.id[-1])))


CARD = Card(
    name="shades",
    title="Shades of grey",
    classes=("dark", "light"),
    items=items,
    citation="none",
    licence="public domain",
    source=Source(page=""),
    group="a box of crayons",
    abnormal=frozenset({"dark"}),
    read=read,
    synthetic=True,
)


@hookimpl
def cervbench_methods() -> Mapping[str, Offer]:
    return {"spread": Offer(Config, "stranger.method:Spread", "a stranger's thesis")}


@hookimpl
def cervbench_datasets() -> Mapping[str, Card]:
    return {"shades": CARD}


@hookimpl
def cervbench_evaluations() -> Mapping[str, EvaluationOffer]:
    return {
        "centroid": EvaluationOffer(
            "stranger.evaluation:predict",
            "nearest mean of the class",
        )
    }


@hookimpl
def cervbench_record_written(record: Any) -> None:
    print(f"the stranger saw {record.id}", file=sys.stderr)

"""Folds that a card ships are held against its files, by a run and by `data check` alike."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from cervbench.data.cards.card import Card
from cervbench.data.cards.item import Item
from cervbench.data.cards.source import Source
from cervbench.data.check import check
from cervbench.data.dataset import open_dataset
from cervbench.data.error import DataError
from cervbench.protocol.dealing import deal
from cervbench.protocol.folds import Manifest
from cervbench.protocol.protocol import PackRules, load_rules

RULES = replace(load_rules(), pack=PackRules(stored_size=8))
SPLITS: Sequence[str | None] = (["train"] * 4 + ["test"] * 2) * 4
IDS = [f"cell-{n:02d}" for n in range(24)]


@pytest.fixture
def listed(tmp_path: Path) -> list[Item]:
    """Cells of three classes, each a group of its own."""
    (tmp_path / "cells").mkdir()
    found = []
    for n, id in enumerate(IDS):
        path = tmp_path / "cells" / f"{id}.png"
        Image.new("RGB", (8, 8), (n, 0, 0)).save(path)
        found.append(Item(id, "abc"[n % 3], f"g{n}", path))
    return found


@pytest.fixture
def shipping(
    listed: list[Item], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[Sequence[str | None] | None], Card]:
    """The card of these cells, with folds dealt or official in a package of this test's own."""

    original = tuple(listed)

    def made(splits: Sequence[str | None] | None) -> Card:
        package = tmp_path / f"shipped_{abs(hash(tmp_path))}"
        package.mkdir(exist_ok=True)
        (package / "__init__.py").touch()
        file = f"{'official' if splits else 'dealt'}.csv"
        (package / file).write_text(folds(original, splits).to_csv(), "utf-8")
        monkeypatch.syspath_prepend(tmp_path)
        return Card(
            name="cells",
            title="Cells",
            classes=("a", "b", "c"),
            items=lambda folder: listed,
            citation="",
            licence="",
            source=Source(""),
            group="",
            expected={"a": 8, "b": 8, "c": 8},
            manifest=f"{package.name}:{file}",
        )

    return made


def folds(listed: Sequence[Item], splits: Sequence[str | None] | None) -> Manifest:
    labels = [item.label or "" for item in listed]
    groups = [item.group for item in listed]
    return deal([item.id for item in listed], labels, groups, RULES.folds, RULES.labels.draws, splits)


def told(card: Card, root: Path) -> tuple[str, list[tuple[str, str, str]]]:
    """What a run says before it begins, and what `data check` finds."""
    found = [(one.kind, one.subject, one.detail) for one in check(card, root).findings]
    try:
        open_dataset(card, root, root / "cache", RULES)
    except DataError as error:
        return str(error), found
    return "", found


@pytest.mark.parametrize("splits", [None, SPLITS])
def test_files_as_the_folds_have_them_are_sound(
    shipping: Callable[..., Card], listed: list[Item], tmp_path: Path, splits: Sequence[str | None] | None
) -> None:
    card = shipping(splits)
    assert told(card, tmp_path) == ("", [])
    if splits:
        listed[:] = [replace(item, split=split) for item, split in zip(listed, splits, strict=True)]
        assert told(card, tmp_path) == ("", [])


def test_a_split_that_the_folds_do_not_have_is_refused(
    shipping: Callable[..., Card], listed: list[Item], tmp_path: Path
) -> None:
    """Regression: an official split and a file of five folds gave five folds in silence."""
    listed[:] = [replace(item, split=split) for item, split in zip(listed, SPLITS, strict=True)]
    refused, found = told(shipping(None), tmp_path)
    assert "image cell-00 has the split train, and the frozen folds say one of five folds" in refused
    assert len(found) == 24
    other = {"train": "test", "test": "train"}
    listed[4:7] = [replace(item, split=other[str(item.split)]) for item in listed[4:7]]
    refused, found = told(shipping(SPLITS), tmp_path)
    assert "image cell-04 has the split train, and the frozen folds say test" in refused
    assert [(kind, subject) for kind, subject, _ in found] == [("folds", id) for id in IDS[4:7]]


def test_labels_that_the_folds_do_not_have_are_refused(
    shipping: Callable[..., Card], listed: list[Item], tmp_path: Path
) -> None:
    """Regression: a run with two labels swapped had the name of the complete dataset."""
    listed[3], listed[4] = replace(listed[3], label="b"), replace(listed[4], label="a")
    refused, found = told(shipping(None), tmp_path)
    assert "image cell-03 has the class 'b' here, and the class 'a' in the frozen folds" in refused
    assert [(kind, subject) for kind, subject, _ in found] == [("class", "cell-03"), ("class", "cell-04")]


def test_a_class_of_the_folds_that_the_card_does_not_have_is_refused(
    shipping: Callable[..., Card], listed: list[Item], tmp_path: Path
) -> None:
    """Regression: `data check` found nothing wrong with it either."""
    card = shipping(None)
    listed[:] = [replace(item, label="b" if item.label == "c" else item.label) for item in listed]
    refused, found = told(replace(card, classes=("a", "b"), expected={"a": 8, "b": 16}), tmp_path)
    assert "the class 'c' in the frozen folds, which its card does not know" in refused
    assert len(found) == 8


def test_merged_cards_are_compared_through_their_merges(
    shipping: Callable[..., Card], listed: list[Item], tmp_path: Path
) -> None:
    once = shipping(None).merged("cells-3", "Cells", {"x": ("a",), "b": ("b",), "c": ("c",)})
    merged = once.merged("cells-2", "Cells", {"x": ("x",), "y": ("b", "c")})
    assert told(merged, tmp_path) == ("", [])
    listed[3] = replace(listed[3], label="b")
    refused, found = told(merged, tmp_path)
    assert "image cell-03 has the class 'y' here, and the class 'x' in the frozen folds" in refused
    assert ("class", "cell-03") in [(kind, subject) for kind, subject, _ in found]


def test_check_names_a_group_unlike_the_frozen_one(
    shipping: Callable[..., Card], listed: list[Item], tmp_path: Path
) -> None:
    """Regression: nothing was wrong, and the run was refused."""
    listed[5] = replace(listed[5], group="g4")
    refused, found = told(shipping(None), tmp_path)
    assert "image cell-05 is of group g4, in the frozen folds of g5" in refused
    assert [(kind, subject) for kind, subject, _ in found] == [("folds", "cell-05")]


def test_check_names_folds_that_are_not_there(shipping: Callable[..., Card], tmp_path: Path) -> None:
    """Regression: `data check` itself ended with the error."""
    refused, found = told(replace(shipping(None), manifest="cervbench:no.csv"), tmp_path)
    assert "are not there" in refused
    assert [(kind, subject) for kind, subject, _ in found] == [("folds", "cervbench:no.csv")]


def test_official_folds_that_test_nothing_are_refused_before_a_run(
    shipping: Callable[..., Card], listed: list[Item], tmp_path: Path
) -> None:
    """Regression: `data prepare` called them ready. The files may be a part that lacks all of test."""
    card = shipping(SPLITS)
    listed[:] = [item for item, split in zip(listed, SPLITS, strict=True) if split == "train"]
    refused, found = told(card, tmp_path)
    assert "the splits name no image for test" in refused
    named = [(kind, subject) for kind, subject, _ in found]
    assert ("folds", card.manifest) in named
    assert ("missing", "8 images") in named


def test_a_part_has_the_folds_of_the_whole(
    shipping: Callable[..., Card], listed: list[Item], tmp_path: Path
) -> None:
    card = shipping(None)
    whole = folds(listed, None)
    del listed[::8]
    kept = [item.id for item in listed]
    part = open_dataset(card, tmp_path, tmp_path / "cache", RULES).manifest
    assert part.bins.tolist() == [whole.bins[whole.images.index(id)] for id in kept]

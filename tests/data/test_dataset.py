"""A dataset and its frozen folds."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from PIL import Image

from cervbench.data.cards.own import own_card
from cervbench.data.dataset import Dataset, open_dataset
from cervbench.data.error import DataError
from cervbench.data.pack import Pack
from cervbench.plugin.manager import plugins
from cervbench.protocol.folds import frozen
from cervbench.protocol.protocol import PackRules, load_rules


def test_groups_that_are_not_those_of_the_frozen_folds_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Images of one session might stand on both sides of a fold."""
    herlev = frozen("herlev")
    groups = list(herlev.groups)
    count = len(herlev.images)
    pack = SimpleNamespace(
        ids=herlev.images,
        labels=herlev.labels,
        groups=herlev.groups,
        splits=(None,) * count,
        digests=range(count),
    )
    monkeypatch.setattr("cervbench.data.dataset.prepare", lambda *_: pack)
    asked = (plugins().datasets.get("herlev").offer, Path(), Path(), load_rules())
    assert open_dataset(*asked).manifest.hash == herlev.hash
    groups[7] = groups[-1]
    pack.groups = tuple(groups)
    with pytest.raises(DataError, match=f"image {herlev.images[7]} is of group {groups[-1]}, in the frozen"):
        open_dataset(*asked)


def test_a_complete_dataset_has_its_name_and_a_part_of_it_a_name_of_its_own(
    real: Callable[[str], Path], tmp_path: Path
) -> None:
    card = plugins().datasets.get("herlev").offer
    rules = replace(load_rules(), pack=PackRules(stored_size=8))
    assert open_dataset(card, real("herlev").parent, tmp_path, rules).variant == "herlev"
    for path in sorted(real("herlev").glob("*/*"))[::2]:
        part = tmp_path / "data" / "herlev" / path.parent.name
        part.mkdir(parents=True, exist_ok=True)
        (part / path.name).write_bytes(path.read_bytes())
    assert open_dataset(card, tmp_path / "data", tmp_path, rules).variant.startswith("herlev@")


def test_a_card_that_is_corrected_is_believed_at_once() -> None:
    """Regression: a pack kept the name it was built under, and a part could go by the whole's."""
    card = plugins().datasets.get("synthetic").offer
    of_files = replace(card, synthetic=False)

    def called(expected: int) -> str:
        pack = SimpleNamespace(ids=("a", "b"), labels=(card.classes[0],) * 2)
        counts = dict.fromkeys(card.classes, 0) | {card.classes[0]: expected}
        return Dataset(replace(of_files, expected=counts), cast(Pack, pack), frozen("herlev")).variant

    assert called(2) == "synthetic"
    assert called(3).startswith("synthetic@")


def test_parts_of_as_many_images_are_variants_of_their_own() -> None:
    card = plugins().datasets.get("synthetic").offer
    card = replace(card, synthetic=False, expected=dict.fromkeys(card.classes, 9))

    def called(*images: str) -> str:
        pack = SimpleNamespace(ids=images, labels=(card.classes[0],) * 2)
        return Dataset(card, cast(Pack, pack), frozen("herlev")).variant

    assert len({called("a", "b"), called("a", "c"), called("ab", "")}) == 3


def test_a_copy_is_complete_by_the_count_of_each_class_and_not_by_their_sum() -> None:
    card = plugins().datasets.get("synthetic").offer
    card = replace(card, synthetic=False, expected=dict.fromkeys(card.classes, 2))

    def variant(labels: list[str]) -> str:
        pack = SimpleNamespace(ids=tuple(map(str, range(len(labels)))), labels=tuple(labels))
        return Dataset(card, cast(Pack, pack), frozen("herlev")).variant

    whole = [name for name in card.classes for _ in range(2)]
    assert variant(whole) == "synthetic"
    assert variant([whole[-1], *whole[1:]]).startswith("synthetic@")


def own(folder: Path, colours: str) -> Dataset:
    """A user's dataset of twelve images, each in one colour and a group of its own."""
    folder.mkdir()
    rows = ["path,label,group"]
    for number, colour in enumerate(colours):
        Image.new("RGB", (8, 8), (ord(colour), number, 0)).save(folder / f"{number}.png")
        rows.append(f"{number}.png,{'ab'[number % 2]},g{number}")
    (folder / "manifest.csv").write_text("\n".join(rows))
    rules = replace(load_rules(), pack=PackRules(stored_size=8))
    return open_dataset(own_card(folder / "manifest.csv"), folder, folder / "cache", rules)


def test_ones_own_images_are_known_by_their_content(tmp_path: Path) -> None:
    """Regression: two datasets with files of the same names shared a table, and were compared."""
    first, other = own(tmp_path / "first", "x" * 12), own(tmp_path / "other", "y" * 12)
    assert first.pack.ids == other.pack.ids
    assert first.variant.startswith("manifest@")
    assert first.variant != other.variant
    assert own(tmp_path / "again", "x" * 12).variant == first.variant


def test_groups_that_differ_in_case_alone_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Regression: `W3` and `w3` were two groups without a word."""
    folder = tmp_path / "mine"
    own(folder, "x" * 12)
    table = folder / "manifest.csv"
    table.write_text(table.read_text("utf-8").replace("g3", "G2"), "utf-8")
    rules = replace(load_rules(), pack=PackRules(stored_size=8))
    open_dataset(own_card(table), folder, folder / "cache", rules)
    assert "these groups differ in upper and lower case alone" in caplog.text
    assert "G2 and g2" in caplog.text


def test_pixels_that_are_in_two_groups_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Regression: `data check` alone said so, and runs trained and tested on the same image."""
    folder = tmp_path / "mine"
    own(folder, "x" * 12)
    assert not caplog.text
    Image.open(folder / "3.png").save(folder / "8.png")
    rules = replace(load_rules(), pack=PackRules(stored_size=8))
    open_dataset(own_card(folder / "manifest.csv"), folder, folder / "cache", rules)
    assert "the same pixels are in two groups" in caplog.text
    assert "3 and 8" in caplog.text

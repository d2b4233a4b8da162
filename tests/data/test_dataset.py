"""A dataset and its frozen folds."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

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
    pack = SimpleNamespace(ids=herlev.images, labels=herlev.labels, groups=herlev.groups)
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
    card = replace(plugins().datasets.get("synthetic").offer, synthetic=False)

    def called(*images: str) -> str:
        pack = SimpleNamespace(ids=images, labels=(card.classes[0],) * 2)
        return Dataset(card, cast(Pack, pack), frozen("herlev")).variant

    assert len({called("a", "b"), called("a", "c"), called("ab", "")}) == 3

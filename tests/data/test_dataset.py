"""A dataset and its frozen folds."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from cervbench.data.dataset import open_dataset
from cervbench.data.error import DataError
from cervbench.plugin.manager import plugins
from cervbench.protocol.folds import frozen
from cervbench.protocol.protocol import load


def test_groups_that_are_not_those_of_the_frozen_folds_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Images of one session might stand on both sides of a fold."""
    herlev = frozen("herlev")
    groups = list(herlev.groups)
    pack = SimpleNamespace(images=herlev.images, labels=herlev.labels, groups=herlev.groups)
    monkeypatch.setattr("cervbench.data.dataset.prepare", lambda *_: pack)
    asked = (plugins().datasets.get("herlev").offer, Path(), Path(), load("smoke"))
    assert open_dataset(*asked).manifest.hash == herlev.hash
    groups[7] = groups[-1]
    pack.groups = tuple(groups)
    with pytest.raises(DataError, match=f"image {herlev.images[7]} is of group {groups[-1]}, in the frozen"):
        open_dataset(*asked)

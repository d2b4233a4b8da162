"""Herlev: ids, sessions, and the layouts that its files are found in."""

from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from cervbench.data.cards import herlev
from cervbench.data.error import DataError
from cervbench.protocol.folds import frozen

IDS, LABELS = frozen("herlev").images, frozen("herlev").labels


def sessions_by_hand(gap):
    """Sets of A, split wherever two neighbours are further apart than the gap."""
    values = sorted({int(image_id.split("-")[0]) for image_id in IDS})
    sessions = [[values[0]]]
    for before, value in pairwise(values):
        if value - before > gap:
            sessions.append([])
        sessions[-1].append(value)
    return sessions


@pytest.fixture
def tree(tmp_path):
    """Two classes in the original archive's layout, a mask beside each image."""
    for label, image_id in (
        ("normal_columnar", "153956040-153956058-001"),
        ("normal_columnar", "153956040-153956058-002"),
        ("carcinoma_in_situ", "149143370-149143378-001"),
    ):
        folder = tmp_path / "smear2005" / "New database pictures" / label
        folder.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40, 30)).save(folder / f"{image_id}.BMP")
        Image.new("RGB", (40, 30)).save(folder / f"{image_id}-d.bmp")
    return tmp_path


def test_frozen_session_starts_are_those_of_the_complete_set():
    assert list(herlev.SESSION_STARTS) == [session[0] for session in sessions_by_hand(300)]
    assert len(herlev.SESSION_STARTS) == 126


def test_every_id_of_the_complete_set_falls_into_the_session_that_holds_its_clock():
    session_of = {value: str(session[0]) for session in sessions_by_hand(300) for value in session}
    assert all(herlev.session(image_id) == session_of[int(image_id[:9])] for image_id in IDS)


def test_a_partial_copy_has_the_same_sessions():
    bridged = next(session for session in sessions_by_hand(300) if session[-1] - session[0] > 300)
    assert herlev.session(f"{bridged[-1]}-{bridged[-1] + 9:09}-001") == str(bridged[0])


GAPS = (0, 100, 600, 1800, 10_000)


@pytest.mark.parametrize(("name", "gap"), list(zip(herlev.CARD.groupings, GAPS, strict=True)))
def test_groupings_for_the_audit_are_runs_of_the_clock(name, gap):
    by_hand = sessions_by_hand(gap)
    session_of = {value: str(session[0]) for session in by_hand for value in session}
    assert herlev.CARD.groupings[name](IDS) == [session_of[int(image_id[:9])] for image_id in IDS]


def test_the_clock_has_days_of_which_none_holds_both_normal_and_abnormal_cells():
    """What the card says of it: an interpretation, but not one that chance would bear out."""
    values = np.unique([herlev.clock(image_id) for image_id in IDS])
    gaps = np.diff(values)
    assert gaps[gaps < 10_000].max() == 6_912
    assert gaps[gaps > 10_000].min() == 33_137

    turns = values / herlev.DAY
    noon = np.angle(np.exp(2j * np.pi * turns).mean()) / (2 * np.pi)
    days = np.round(turns - noon).astype(int)
    assert 24 * np.abs(turns - noon - days).max() < 4
    assert len(set(days)) == 30
    weekdays = set(days % 7)
    assert any({(first + n) % 7 for n in range(5)} == weekdays for first in range(7))

    day_of = herlev.CARD.groupings["days: runs of A with gaps ≤ 10000"](IDS)
    at = np.searchsorted(values, [herlev.clock(image_id) for image_id in IDS])
    assert len(set(zip(day_of, days[at], strict=True))) == 30
    kinds = {(day, label in herlev.CARD.abnormal) for day, label in zip(day_of, LABELS, strict=True)}
    assert len(kinds) == 30


def test_masks_of_the_original_archive_are_no_images(tree):
    items = herlev.items(tree)
    assert [(item.id, item.label) for item in items] == [
        ("149143370-149143378-001", "carcinoma_in_situ"),
        ("153956040-153956058-001", "normal_columnar"),
        ("153956040-153956058-002", "normal_columnar"),
    ]
    assert herlev.CARD.read(items[0]).size == (40, 30)


def test_a_file_that_is_no_herlev_id_is_named(tree):
    Image.new("RGB", (4, 4)).save(
        tree / "smear2005" / "New database pictures" / "normal_columnar" / "cell7.bmp"
    )
    with pytest.raises(DataError, match="cell7"):
        herlev.items(tree)


def test_a_wrong_folder_is_told_what_was_looked_for(tmp_path):
    with pytest.raises(DataError, match="normal_superficiel"):
        herlev.items(tmp_path)
    with pytest.raises(DataError, match="--data-root"):
        herlev.items(tmp_path / "nowhere")


def test_the_real_files_are_the_917_images_of_the_card(real):
    items = herlev.CARD.listed(real("herlev").parent)
    assert tuple(item.id for item in items) == IDS
    assert {name: sum(item.label == name for item in items) for name in herlev.EXPECTED} == herlev.EXPECTED
    assert len({item.group for item in items}) == 126

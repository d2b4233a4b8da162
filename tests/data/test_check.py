"""`data check` names every way in which files differ from their card."""

import shutil
from dataclasses import replace

import pytest
from PIL import Image

from cervbench.data.cards import cervbench_datasets
from cervbench.data.cards.card import Card
from cervbench.data.cards.item import Item
from cervbench.data.cards.listing import class_folders, image_files
from cervbench.data.cards.own import own_card
from cervbench.data.cards.source import Source
from cervbench.data.check import check


def items(folder):
    found = []
    for class_folder, label in class_folders(folder, {"low": "low", "high": "high", "odd": "odd"}):
        for path in image_files(class_folder):
            if not path.stem.endswith("_mask"):
                split = "test" if path.stem.endswith("t") else "train"
                found.append(Item(path.stem, label, path.stem[0], path, split=split))
    return found


CARD = Card(
    name="set",
    title="A set",
    classes=("low", "high"),
    items=items,
    citation="",
    licence="",
    source=Source(""),
    group="",
    expected={"low": 3, "high": 2},
    ignored=("*_mask.*",),
)


def image(path, shade):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (5, 4), (shade, 0, 0)).save(path)


@pytest.fixture
def root(tmp_path):
    image(tmp_path / "set" / "low" / "a1.png", 1)
    image(tmp_path / "set" / "low" / "b1.png", 2)
    image(tmp_path / "set" / "low" / "b1_mask.png", 2)
    image(tmp_path / "set" / "low" / "ft.png", 7)
    image(tmp_path / "set" / "high" / "ct.png", 3)
    image(tmp_path / "set" / "high" / "d1.png", 5)
    return tmp_path


def findings(root):
    return [(finding.kind, finding.subject) for finding in check(CARD, root).findings]


def test_a_complete_dataset_has_no_findings(root):
    report = check(CARD, root)
    assert report.ok
    assert (report.images, report.groups, report.counts) == (5, 5, {"low": 3, "high": 2})


def test_a_missing_image_is_counted_in_its_class(root):
    (root / "set" / "low" / "a1.png").unlink()
    assert findings(root) == [("missing", "low")]


def test_a_class_without_images_is_missing(root):
    shutil.rmtree(root / "set" / "high")
    assert findings(root) == [("missing", "high"), ("folds", "set")]


def test_more_images_than_the_card_knows_are_a_surplus(root):
    image(root / "set" / "high" / "e1.png", 4)
    assert findings(root) == [("surplus", "high")]


def test_a_class_that_the_card_does_not_know_is_named(root):
    image(root / "set" / "odd" / "e1.png", 4)
    assert findings(root) == [("class", "odd")]


def test_a_file_that_is_no_part_of_the_dataset_is_named(root):
    image(root / "set" / "stray.png", 9)
    assert findings(root) == [("extra", "stray.png")]


def test_the_same_pixels_under_two_ids_are_found_whatever_the_file_format(root):
    (root / "set" / "low" / "b1.png").unlink()
    image(root / "set" / "low" / "b1.bmp", 3)
    (finding,) = check(CARD, root).findings
    assert (finding.kind, finding.subject) == ("duplicate", "ct")
    assert "the same pixels as b1, which is low where this is high, in another group" in finding.detail


def test_the_same_bytes_in_another_shape_are_another_image(root):
    Image.new("RGB", (4, 5), (2, 0, 0)).save(root / "set" / "low" / "a1.png")
    assert check(CARD, root).ok


def test_one_id_for_two_images_is_named_whatever_lists_them(root):
    """Regression: only the built-in cards looked, so that a run refused what was called sound."""
    twice = replace(CARD, items=lambda folder: [*items(folder)] * 2)
    (finding,) = check(twice, root).findings
    assert finding.kind == "listing"
    assert "5 image ids stand for more than one image" in finding.detail


def test_a_group_in_two_official_parts_is_named(root):
    (root / "set" / "low" / "a1.png").rename(root / "set" / "low" / "bt.png")
    assert findings(root) == [("crossing", "b")]


def test_splits_that_leave_nothing_to_test_are_named(root):
    (root / "set" / "high" / "ct.png").rename(root / "set" / "high" / "c1.png")
    (root / "set" / "low" / "ft.png").rename(root / "set" / "low" / "f1.png")
    (finding,) = check(CARD, root).findings
    assert (finding.kind, finding.detail) == ("folds", "the splits name no image for test")


def test_a_class_that_is_tested_and_never_trained_on_is_named(root):
    (root / "set" / "high" / "d1.png").unlink()
    assert findings(root) == [("missing", "high"), ("folds", "set")]


def test_a_class_that_cannot_be_tested_in_each_fold_is_named(tmp_path):
    for group in range(5):
        image(tmp_path / "own" / "low" / f"a{group}.png", group)
        image(tmp_path / "own" / "high" / f"b{group}.png", 10 + group)
    assert check(own_card(tmp_path / "own"), tmp_path).ok
    (tmp_path / "own" / "high" / "b0.png").unlink()
    (finding,) = check(own_card(tmp_path / "own"), tmp_path).findings
    assert finding.kind == "folds"
    assert "a class in fewer groups cannot be tested in each: 'high' in 4" in finding.detail


def test_a_wrong_data_root_is_a_finding_that_says_so(root):
    (finding,) = check(CARD, root / "nowhere").findings
    assert "--data-root" in finding.detail


def test_progress_ends_at_the_number_of_images(root):
    seen = []
    check(CARD, root, lambda *told: seen.append(told))
    assert seen == [(f"check {CARD.name}", n, 5, {}) for n in (1, 2, 3, 4, 5)]


def test_the_real_herlev_is_what_its_card_says(real):
    assert check(cervbench_datasets()["herlev"], real("herlev").parent).findings == ()


def test_an_image_in_another_class_than_the_frozen_folds_say_is_named(tmp_path):
    folder = tmp_path / "herlev" / "normal_superficiel"
    image(folder / "153956040-153956058-001.bmp", 1)
    image(folder / "153956040-999999999-001.bmp", 2)
    report = check(cervbench_datasets()["herlev"], tmp_path)
    named = {(finding.kind, finding.subject) for finding in report.findings}
    assert ("class", "153956040-153956058-001") in named
    assert ("unknown", "153956040-999999999-001") in named
    assert ("missing", "916 images") in named

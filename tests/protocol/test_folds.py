import hashlib
from collections import Counter, defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cervbench.protocol.dealing import deal
from cervbench.protocol.folds import FoldError, Manifest, frozen, shipped
from cervbench.protocol.protocol import load_rules
from cervbench.records.store import Store

RULES = load_rules()


def dealt(labels: list[str], groups: list[str], splits: list[str | None] | None = None) -> Manifest:
    images = [f"image-{n:04d}" for n in range(len(labels))]
    return deal(images, labels, groups, RULES.folds, RULES.labels.draws, splits)


@pytest.fixture(params=["herlev", "cric"])
def manifest(request: pytest.FixtureRequest) -> Manifest:
    return frozen(request.param)


def test_frozen_folds_put_no_group_on_two_sides(manifest: Manifest) -> None:
    for k in range(manifest.folds):
        fold = manifest.fold(k)
        train, val, test = (
            {manifest.groups[row] for row in part} for part in (fold.train, fold.val, fold.test)
        )
        assert not train & val
        assert not train & test
        assert not val & test


def test_frozen_folds_test_each_image_once_and_use_each_image_in_every_fold(manifest: Manifest) -> None:
    tested = Counter(row for k in range(5) for row in manifest.fold(k).test)
    assert tested == Counter(range(len(manifest.images)))
    for k in range(5):
        fold = manifest.fold(k)
        assert len(fold.train) + len(fold.val) + len(fold.test) == len(manifest.images)


def test_frozen_folds_hold_every_class_in_all_three_parts(manifest: Manifest) -> None:
    assert manifest.lacking() == {}


def test_frozen_folds_have_the_parts_that_the_protocol_promises(manifest: Manifest) -> None:
    for k in range(5):
        fold = manifest.fold(k)
        shares = np.array([len(fold.train), len(fold.val), len(fold.test)]) / len(manifest.images)
        assert np.abs(shares - [0.7, 0.1, 0.2]).max() < 0.05


def test_frozen_folds_of_herlev_are_the_complete_set_in_126_sessions() -> None:
    manifest = frozen("herlev")
    assert Counter(manifest.labels) == {
        "carcinoma_in_situ": 150,
        "light_dysplastic": 182,
        "moderate_dysplastic": 146,
        "severe_dysplastic": 197,
        "normal_columnar": 98,
        "normal_intermediate": 70,
        "normal_superficiel": 74,
    }
    assert len(set(manifest.groups)) == 126


def test_frozen_folds_have_not_changed() -> None:
    """A change would be another protocol: every record carries these hashes."""
    assert frozen("herlev").hash == "96f24ebaf4a77786"
    assert frozen("cric").hash == "8762b1e50066dac6"
    assert shipped() == {"herlev": "96f24ebaf4a77786", "cric": "8762b1e50066dac6"}


def test_whether_folds_are_shipped_is_known_without_reading_those_that_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Regression: of a dataset of one's own, all rows of CRIC were parsed to find what is done already."""
    own, herlev = dealt(["a", "b"] * 25, [f"g{n}" for n in range(50)]), frozen("herlev")

    def read(text: str) -> Manifest:
        raise AssertionError("folds are read")

    shipped.cache_clear()
    monkeypatch.setattr(Manifest, "from_csv", read)
    for manifest in (own, own, herlev):
        Store(tmp_path).write_folds(manifest)
    assert [path.stem for path in (tmp_path / "folds").iterdir()] == [own.hash]


def test_frozen_folds_are_the_rule_applied_to_the_frozen_ids() -> None:
    manifest = frozen("herlev")
    again = deal(manifest.images, manifest.labels, manifest.groups, RULES.folds, RULES.labels.draws)
    assert again.to_csv() == manifest.to_csv()


def test_a_manifest_survives_its_file(manifest: Manifest) -> None:
    assert Manifest.from_csv(manifest.to_csv()).hash == manifest.hash
    of_another_protocol = replace(manifest, orders=manifest.orders[:, :3])
    assert Manifest.from_csv(of_another_protocol.to_csv()).hash == of_another_protocol.hash


def test_the_order_of_the_files_does_not_matter() -> None:
    rng = np.random.default_rng(0)
    images = [f"i{n:03d}" for n in range(120)]
    labels = [("a", "b", "c")[n % 3] for n in range(120)]
    groups = [f"g{n // 4}" for n in range(120)]
    one = deal(images, labels, groups, RULES.folds, 5)
    mixed = rng.permutation(120)
    other = deal(*([column[n] for n in mixed] for column in (images, labels, groups)), RULES.folds, 5)
    assert one.to_csv() == other.to_csv()


def test_a_part_of_a_dataset_keeps_the_folds_of_the_whole() -> None:
    whole = frozen("herlev")
    kept = list(range(0, 917, 3))
    part = whole.subset([whole.images[row] for row in kept], [whole.labels[row] for row in kept])
    for k in range(5):
        for side in ("train", "val", "test"):
            inside = {whole.images[row] for row in getattr(whole.fold(k), side)}
            assert {part.images[row] for row in getattr(part.fold(k), side)} <= inside


def test_folds_do_not_depend_on_labels() -> None:
    """Regression: the val bin was chosen by the labels at hand, so permuted labels moved train."""
    whole = frozen("herlev")
    mixed = np.random.default_rng(0).permutation(917)
    other = whole.subset(whole.images, [whole.labels[n] for n in mixed])
    for k in range(5):
        for side in ("train", "val", "test"):
            assert getattr(whole.fold(k), side).tolist() == getattr(other.fold(k), side).tolist()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({3: None}, "image-0003"),
        ({3: "trian"}, "'trian'"),
        ({40: "test"}, "'g4' is in"),
        (dict.fromkeys(range(50), "train"), "no image for test"),
    ],
)
def test_official_parts_that_are_no_parts_are_refused(change: dict[int, str | None], message: str) -> None:
    splits: list[str | None] = (["train"] * 6 + ["val"] * 2 + ["test"] * 2) * 5
    groups = [f"g{n}" for n in range(50)]
    groups[40] = "g4"
    splits[40] = "train"
    for row, split in change.items():
        splits[row] = split
    with pytest.raises(FoldError, match=message):
        dealt(["a", "b"] * 25, groups, splits)


def test_official_parts_that_test_a_class_and_train_on_none_of_it_are_refused() -> None:
    """Regression: accuracy could not pass two thirds, and nothing was said."""
    labels, splits = [*"abab", *"abc"], [*["train"] * 4, *["test"] * 3]
    with pytest.raises(FoldError, match="class 'c' is tested, and no image of it has the split train"):
        dealt(labels, [f"g{n}" for n in range(7)], splits)
    assert dealt(labels[:-1], [f"g{n}" for n in range(6)], splits[:-1]).lacking() == {
        "a": ["fold 0: val"],
        "b": ["fold 0: val"],
    }


def test_a_part_of_a_dataset_has_another_hash() -> None:
    whole = frozen("herlev")
    assert whole.subset(whole.images[:500], whole.labels[:500]).hash != whole.hash


def test_an_image_that_the_frozen_folds_do_not_know_is_named() -> None:
    with pytest.raises(FoldError, match="'foreign'"):
        frozen("herlev").subset(["foreign"], ["light_dysplastic"])


def test_a_class_in_too_few_groups_is_refused_with_what_to_do() -> None:
    labels = ["common"] * 95 + ["rare"] * 4 + ["rarer"]
    groups = [f"g{n}" for n in range(100)]
    told = (
        r"'rare' in 4; 'rarer' in 1\. Merge.* CARD\.merged.* a column `split` .* or in a card by Item\.split"
    )
    with pytest.raises(FoldError, match=told):
        dealt(labels, groups)


def test_one_class_is_nothing_to_classify() -> None:
    with pytest.raises(FoldError, match="two classes"):
        dealt(["only"] * 20, [f"g{n}" for n in range(20)])


def test_every_class_in_five_groups_is_tested_in_every_fold() -> None:
    labels = ["common"] * 90 + ["rare"] * 10
    groups = [f"g{n}" for n in range(90)] + [f"r{n // 2}" for n in range(10)]
    manifest = dealt(labels, groups)
    for k in range(5):
        assert "rare" in {manifest.labels[row] for row in manifest.fold(k).test}


def test_unlabelled_images_are_only_trained_on_and_stay_with_their_group() -> None:
    labels = (["a", "b", ""] * 50)[:150]
    groups = [f"g{n // 5}" for n in range(150)]
    manifest = dealt(labels, groups)
    for k in range(5):
        fold = manifest.fold(k)
        assert all(manifest.labels[row] for row in [*fold.val, *fold.test])
        held_out = {manifest.groups[row] for row in [*fold.val, *fold.test]}
        assert not held_out & {manifest.groups[row] for row in fold.train}
        assert any(manifest.labels[row] == "" for row in fold.train)


@pytest.mark.parametrize("pool", [["p"] * 60, [f"p{n}" for n in range(60)]])
def test_images_of_groups_without_any_label_are_trained_on_in_every_fold(pool: list[str]) -> None:
    """Regression: they were dealt like others and held out with their bins, though nobody is tested there."""
    labels = ["a", "b"] * 20 + [""] * 60
    manifest = dealt(labels, [*(f"g{n // 2}" for n in range(40)), *pool])
    for k in range(5):
        assert {row for row, label in enumerate(labels) if not label} <= set(manifest.fold(k).train)
    assert Manifest.from_csv(manifest.to_csv()).hash == manifest.hash


def test_a_part_trains_on_no_group_that_the_whole_tests() -> None:
    """Though the part may lack the one image of the group that has a label."""
    whole = dealt(["a", "b"] * 20 + [""], [*(f"g{n // 2}" for n in range(40)), "g0"])
    kept = [row for row in range(41) if whole.groups[row] != "g0" or not whole.labels[row]]
    part = whole.subset([whole.images[row] for row in kept], [whole.labels[row] for row in kept])
    for k in range(5):
        tested = {whole.images[row] for row in whole.fold(k).test}
        trained = {part.images[row] for row in part.fold(k).train}
        beside = {whole.images[row] for row in range(41) if whole.groups[row] == "g0"}
        assert not (tested & beside and trained & beside)


def test_an_official_split_may_hold_out_what_has_no_label() -> None:
    labels = ["a", "b"] * 4 + [""] * 2
    splits = ["train"] * 4 + ["test"] * 4 + ["train", "test"]
    fold = dealt(labels, [f"g{n}" for n in range(10)], splits).fold(0)
    assert (fold.train.tolist(), fold.test.tolist()) == ([0, 1, 2, 3, 8], [4, 5, 6, 7])


@pytest.mark.parametrize("tested", [["a", "a"], ["", ""]])
def test_official_parts_that_test_fewer_than_two_classes_are_refused(tested: list[str]) -> None:
    """Regression: a test of one class was scored, and a row of 100 % said nothing."""
    with pytest.raises(FoldError, match=r"the split test have [01] classes"):
        dealt([*"abab", *tested], [f"g{n}" for n in range(6)], ["train"] * 4 + ["test"] * 2)


def test_official_parts_are_one_fold_and_stay_as_they_are() -> None:
    splits = (["train"] * 6 + ["val"] * 2 + ["test"] * 2) * 5
    manifest = dealt(["a", "b"] * 25, [f"g{n}" for n in range(50)], splits)
    fold = manifest.fold(0)
    assert manifest.folds == 1
    for part in ("train", "val", "test"):
        assert [splits[row] for row in getattr(fold, part)] == [part] * splits.count(part)
    with pytest.raises(FoldError, match="no fold 1"):
        manifest.fold(1)


def test_groups_of_a_session_are_never_parted_in_a_random_dataset() -> None:
    rng = np.random.default_rng(3)
    groups = [f"g{n}" for n in rng.integers(0, 40, 300)]
    labels = [("a", "b", "c")[n] for n in rng.integers(0, 3, 300)]
    manifest = dealt(labels, groups)
    bins = defaultdict(set)
    for row, group in enumerate(manifest.groups):
        bins[group].add(manifest.bins[row])
    assert all(len(found) == 1 for found in bins.values())


def test_fold_k_tests_bins_2k_and_2k_plus_1_and_validates_on_the_next(manifest: Manifest) -> None:
    for k in range(5):
        fold = manifest.fold(k)
        assert set(manifest.bins[fold.test]) == {2 * k, 2 * k + 1}
        assert set(manifest.bins[fold.val]) == {(2 * k + 2) % 10}


def test_folds_ship_with_any_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Regression: only those of cervbench itself were found, and others ended in a bare FileNotFoundError."""
    (tmp_path / "with_folds").mkdir()
    (tmp_path / "with_folds" / "__init__.py").touch()
    (tmp_path / "with_folds" / "mine.csv").write_text(frozen("herlev").to_csv(), "utf-8")
    (tmp_path / "with_folds" / "torn.csv").write_text("image,label\n", "utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    assert frozen("with_folds:mine.csv").hash == frozen("herlev").hash
    for name, told in (
        ("nobodys", "are not there.*cric, herlev"),
        ("with_folds:other.csv", "are not there"),
        ("no_such_package:mine.csv", "are not there: No module named 'no_such_package'"),
        ("with_folds:torn.csv", "are no table of folds"),
    ):
        with pytest.raises(FoldError, match=told):
            frozen(name)


def changed(row: int, column: int, value: str, header: str | None = None) -> str:
    """Sound folds of 40 images in 20 groups, as a file in which one cell is another."""
    rows = [line.split(",") for line in sound().to_csv().splitlines()]
    rows[row][column] = value
    return "\n".join([header or ",".join(rows[0]), *map(",".join, rows[1:])]) + "\n"


def sound() -> Manifest:
    return dealt(["a", "b"] * 20 + [""], [*(f"g{n // 2}" for n in range(40)), "pool"])


COLUMNS = "image,label,group,bin,order_0,order_1,order_2,order_3,order_4"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            changed(1, 3, str((sound().bins[0] + 1) % 10)),
            "row 3, image 'image-0001', is in another part than",
        ),
        (changed(3, 0, "image-0000"), "row 4, image 'image-0000', has an id that stands above it"),
        (changed(1, 3, "12"), "row 2, image 'image-0000', is in no part from -1 to 9"),
        (changed(2, 3, "-1").replace(f"g0,{sound().bins[0]}", "g0,-1"), "row 2, .* has a label, and -1"),
        (changed(1, 4, "-3"), "row 2, image 'image-0000', has a place below 0 in order_0"),
        (changed(6, 5, str(sound().orders[0, 1])), "row 7, .* has the place in order_1 of an image above it"),
        (changed(6, 5, "7.0"), "row 7: '7.0' is no whole number, and stands in column order_1"),
        (changed(6, 5, "7,7"), "row 7 has 10 columns, and the first 9"),
        (changed(1, 0, "x", COLUMNS.replace("bin", "Split")), "its first row is 'image,label,group,Split,"),
        (
            "image,label,group,bin\na,a,g,0\n",
            "its first row is .* where 'image,label,group,bin,order_0' is due, and order_1 and so on",
        ),
        (COLUMNS + "\n", "it has no image"),
        ("", "its first row is ''"),
    ],
)
def test_folds_that_would_leak_or_fail_later_are_refused_by_file_and_row(
    text: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Regression: `verify` found all as recorded where a group of a package's folds was on two sides."""
    assert Manifest.from_csv(sound().to_csv()).hash == sound().hash
    package = tmp_path / f"folds_{hashlib.sha256(text.encode()).hexdigest()[:8]}"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "mine.csv").write_text(text, "utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(FoldError, match=rf"{package.name}/mine.csv are no table of folds: {told}"):
        frozen(f"{package.name}:mine.csv")


def test_official_folds_of_a_file_are_three_parts() -> None:
    splits = (["train"] * 6 + ["val"] * 2 + ["test"] * 2) * 5
    text = dealt(["a", "b"] * 25, [f"g{n}" for n in range(50)], splits).to_csv()
    assert Manifest.from_csv(text).official
    with pytest.raises(FoldError, match="is in no part from 0 to 2"):
        Manifest.from_csv(text.replace(",g3,0,", ",g3,-1,"))

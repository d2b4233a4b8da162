"""One's own data: a manifest or class folders, and errors that name the row."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
from PIL import Image

from cervbench.data.cards.own import own_card
from cervbench.data.cards.synthetic import CARD
from cervbench.data.error import DataError
from cervbench.plugin import hookimpl
from cervbench.plugin.manager import Plugins
from cervbench.resolve import find_card


@pytest.fixture
def clinic(tmp_path):
    for name in ("a/1.png", "a/2.jpg", "b/1.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (8, 6)).save(tmp_path / name)
    return tmp_path


def manifest(folder, text):
    path = folder / "clinic 7.csv"
    path.write_text(text)
    return path


def test_a_manifest_gives_classes_groups_and_unlabelled_images(clinic):
    card = own_card(manifest(clinic, "path,label,group\na/1.png,low,w1\na/2.jpg,,w1\nb/1.png, high ,w2\n"))
    items = card.items(clinic)
    assert card.name == "clinic-7"
    assert card.classes == ("high", "low")
    assert card.groups_known
    assert [(item.id, item.label, item.group) for item in items] == [
        ("a/1", "low", "w1"), ("a/2", None, "w1"), ("b/1", "high", "w2"),
    ]  # fmt: skip
    assert card.read(items[0]).size == (8, 6)


def test_its_folder_is_found_under_any_data_root(clinic, tmp_path_factory):
    card = own_card(manifest(clinic, "path,label\na/1.png,low\nb/1.png,high\n"))
    assert len(card.items(tmp_path_factory.mktemp("root") / card.folder)) == 2


def test_without_a_group_column_groups_are_unknown(clinic):
    card = own_card(manifest(clinic, "path,label\na/1.png,low\nb/1.png,high\n"))
    assert not card.groups_known
    assert [item.group for item in card.items(clinic)] == ["a/1", "b/1"]


def test_a_split_column_fixes_the_parts(clinic):
    text = "path,label,group,split\na/1.png,low,w1,train\na/2.jpg,high,w2,val\nb/1.png,high,w3,test\n"
    assert [item.split for item in own_card(manifest(clinic, text)).items(clinic)] == ["train", "val", "test"]


def test_absolute_paths_may_lie_anywhere(clinic, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "x.png"
    Image.new("RGB", (3, 3)).save(elsewhere)
    card = own_card(manifest(clinic, f"path,label\n{elsewhere},low\nb/1.png,high\n"))
    assert elsewhere in {item.path for item in card.items(clinic)}


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("file,label\na/1.png,low\n", "lacks the column path.* its first row names file, label"),
        ("", "lacks the column label and path"),
        ("path;label\na/1.png;low\n", "has ';' and no ','; separate columns with commas"),
        ("path,label,label\na/1.png,low,high\n", "names the column label more than once"),
        ("path,label\na/1.png,low\na/9.png,high\n", r"row 3: a/9\.png"),
        ("path,label\na/1.png,low\nb/1.png,high\na/./1.png,low\n", r"row 4: .* stands in row 2"),
        ("path,label\n,low\n", "row 2: path is empty"),
        ("path,label\n../x.png,low\n", r"row 2: \.\./x\.png goes up by `\.\.`.* absolute path"),
        ("path,label,group\na/1.png,low,\n", "row 2: group is empty"),
        ("path,label,split\na/1.png,low,dev\n", "row 2: split is 'dev'"),
        ("path,label\na/1.png,low,7\n", "row 2 has more values"),
        ("path,label\na\\1.png,low\n", "1 files that are not there.*; write / between folders"),
        ("path,label\na/1.png,Neg\nb/1.png,neg\n", "'Neg' and 'neg' would be two classes"),
        ("path,label\na/1.png,1\nb/1.png,1.0\n", r"'1' and '1\.0' would be two classes"),
        ("path,label\na/1.png,l\u00e9sion\nb/1.png,le\u0301sion\n", r"'l\\xe9sion' would be two classes"),
        ("path,label\na/1.png,low\nb/1.png,NA\n", "'NA' reads like a missing one"),
        ("path,label\na/1.png,low\na/2.jpg,low\n", "1 classes"),
        ("path,label,Group\na/1.png,low,w1\n", "'Group' would not be read; if it is 'group'"),
        ("path,label,splits\na/1.png,low,train\n", "'splits' would not be read; if it is 'split'"),
        (
            "path,label,group,split\na/1.png,low,w1,train\nb/1.png,high,w1,test\n",
            "group 'w1' is in two splits, train in row 2 and test in row 3",
        ),
    ],
)
def test_a_faulty_manifest_is_refused_by_row_and_column(clinic, text, named):
    with pytest.raises(DataError, match=named):
        own_card(manifest(clinic, text))


def test_a_manifest_that_is_no_text_is_refused(clinic):
    with pytest.raises(DataError, match=r"1\.png is not a csv file in UTF-8"):
        own_card(clinic / "a" / "1.png")


def test_a_folder_of_class_folders_needs_no_manifest(clinic):
    card = own_card(clinic)
    assert card.classes == ("a", "b")
    assert not card.groups_known
    assert [(item.id, item.label) for item in card.items(clinic)] == [
        ("a/1", "a"),
        ("a/2", "a"),
        ("b/1", "b"),
    ]


def test_an_empty_class_is_named(clinic):
    (clinic / "c").mkdir()
    with pytest.raises(DataError, match="c holds no image"):
        own_card(clinic)


def test_splits_are_not_taken_for_classes(tmp_path):
    for split in ("train", "val", "test"):
        for name in ("a", "b"):
            (tmp_path / "mine" / split / name).mkdir(parents=True)
            Image.new("RGB", (3, 3)).save(tmp_path / "mine" / split / name / "1.png")
    with pytest.raises(DataError, match="test, train, val, which are splits and no classes"):
        own_card(tmp_path / "mine")
    assert own_card(tmp_path / "mine" / "train").classes == ("a", "b")


def test_other_columns_are_left_alone_and_named(clinic, caplog):
    card = own_card(manifest(clinic, "path,label,group,age\na/1.png,low,w1,30\nb/1.png,high,w2,40\n"))
    assert card.groups_known
    assert "not read: age; what is read: path, label, group, split" in caplog.text


def test_what_a_spreadsheet_adds_is_no_row_and_no_value(clinic):
    text = "path,label,,\na/1.png,low,,\n,,,\nb/1.png,high,,,,\n,,,,,\n"
    assert len(own_card(manifest(clinic, text)).items(clinic)) == 2


@pytest.mark.parametrize(
    "folders", ["Training Testing", "train_set test_set", "fold1 fold2", "train test unlabelled", "train"]
)
def test_splits_are_known_by_other_names_too(tmp_path, folders):
    """Regression: they became classes where not all were named train, val or test."""
    for name in folders.split():
        (tmp_path / "mine" / name).mkdir(parents=True)
        Image.new("RGB", (3, 3)).save(tmp_path / "mine" / name / "1.png")
    with pytest.raises(DataError, match="which are splits and no classes"):
        own_card(tmp_path / "mine")


def test_files_among_images_that_are_not_read_are_named(clinic, caplog):
    """Regression: half of the images may be of another format, and nothing was said."""
    Image.new("RGB", (3, 3)).save(clinic / "b" / "2.gif")
    own_card(clinic)
    assert not caplog.text
    for name in ("3.jp2", "Thumbs.db", ".hidden"):
        (clinic / "b" / name).write_bytes(b"some")
    assert len(own_card(clinic).items(clinic)) == 4
    assert "not read as images" in caplog.text
    assert "3.jp2; these are: .bmp" in caplog.text
    assert "Thumbs" not in caplog.text
    Image.new("RGB", (3, 3)).save(clinic / "stray.png")
    own_card(clinic)
    assert "lie in no folder of a class" in caplog.text


def test_a_folder_that_holds_a_manifest_is_told_to_name_it(clinic):
    inside = clinic / "study"
    (inside / "images").mkdir(parents=True)
    Image.new("RGB", (3, 3)).save(inside / "images" / "1.png")
    (inside / "cells.csv").write_text("path,label\n")
    with pytest.raises(DataError, match=r"1 classes.*if cells\.csv in it says what is what, name that file"):
        own_card(inside)


def test_the_name_of_a_known_dataset_is_not_taken(clinic):
    with pytest.raises(DataError, match="--dataset herlev"):
        own_card(clinic.rename(clinic.with_name("herlev")), taken={"herlev"})


def test_nor_is_that_of_a_packages_dataset(clinic):
    """Regression: the core's own names were refused, and those of packages taken."""
    card = replace(CARD, name="two-kinds")
    found = Plugins.discover()
    found.add(SimpleNamespace(cervbench_datasets=hookimpl(lambda: {card.name: card})), "elsewhere")
    with pytest.raises(DataError, match="--dataset two-kinds"):
        find_card(str(clinic.rename(clinic.with_name("two-kinds"))), found)


def test_what_does_not_exist_is_said(tmp_path):
    with pytest.raises(DataError, match=r"there is no file and no folder /.*nothing\.csv"):
        own_card(tmp_path / "nothing.csv")

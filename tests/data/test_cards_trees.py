"""SIPaKMeD, LBC and HiCervix: readers on small trees of the published shape."""

from collections import Counter

import pytest
from PIL import Image

from cervbench.data.cards import hicervix, lbc, sipakmed
from cervbench.data.error import DataError
from cervbench.protocol.dealing import require_dealable
from cervbench.protocol.folds import FoldError

HEADER = "\ufeffimage_name,class_name,class_id,level_1,level_2,level_3\n"


def image(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (20, 10)).save(path)


def test_sipakmed_cells_are_grouped_by_class_and_slide_and_clusters_are_left(tmp_path):
    for name in ("Parabasal", "Dyskeratotic"):
        inner = tmp_path / f"im_{name}" / f"im_{name}"
        image(inner / "001.bmp")
        for cell in ("001_01", "001_02", "002_01"):
            image(inner / "CROPPED" / f"{cell}.bmp")
            (inner / "CROPPED" / f"{cell}_cyt01.dat").write_text("1,1")
    items = sorted(sipakmed.items(tmp_path), key=lambda item: item.id)
    assert Counter(item.label for item in items) == {"Parabasal": 3, "Dyskeratotic": 3}
    assert sorted({item.group for item in items}) == [
        "Dyskeratotic-001", "Dyskeratotic-002", "Parabasal-001", "Parabasal-002",
    ]  # fmt: skip
    assert items[0].id == "Dyskeratotic-001_01"


def test_a_strange_file_among_sipakmeds_cells_is_named(tmp_path):
    image(tmp_path / "im_Parabasal" / "CROPPED" / "copy of 001_01.bmp")
    with pytest.raises(DataError, match="copy of 001_01"):
        sipakmed.items(tmp_path)


def test_lbc_is_read_under_its_short_and_its_published_folder_names(tmp_path):
    image(tmp_path / "short" / "NILM" / "n1.jpg")
    image(tmp_path / "Dataset" / "pictures" / "High squamous intra-epithelial lesion" / "h1.jpg")
    image(tmp_path / "Dataset" / "pictures" / "Squamous Cell Carcinoma" / "s1.jpg")
    assert [(item.id, item.label) for item in sorted(lbc.items(tmp_path), key=str)] == [
        ("HSIL-h1", "HSIL"), ("NILM-n1", "NILM"), ("SCC-s1", "SCC"),
    ]  # fmt: skip


def test_lbc_groups_are_unknown_so_each_image_stands_for_itself(tmp_path):
    image(tmp_path / "NILM" / "n1.jpg")
    image(tmp_path / "NILM" / "n2.jpg")
    assert not lbc.CARD.groups_known
    assert len({item.group for item in lbc.items(tmp_path)}) == 2


def test_lbc_with_its_published_names_is_in_slides_of_which_a_merge_can_be_dealt(tmp_path):
    """Regression: images of one slide were on two sides of a fold, though their names tell of it."""
    slides = {"NILM": ("NL_1_", "NL_10_", "nl_2"), "LSIL": ("LSIL_3",), "SCC": ("scc_1", "SCC_1", "SCC_3")}
    for label, names in slides.items():
        for number, name in enumerate(names * 2):
            image(tmp_path / label / f"{name} ({number}).jpg")
    groups = {"NILM-nl_1", "NILM-nl_10", "NILM-nl_2", "LSIL-lsil_3", "SCC-scc_1", "SCC-scc_3"}
    assert {item.group for item in lbc.items(tmp_path)} == groups
    merged = lbc.MERGED.items(tmp_path)
    assert {item.group for item in merged} == groups
    assert {item.label for item in merged} == {"NILM", "lesion"}
    assert lbc.MERGED.groups_known
    labels, held = zip(*((item.label, item.group) for item in lbc.items(tmp_path)), strict=True)
    with pytest.raises(FoldError, match=r"there are 5 folds.*: 'LSIL' in 1; 'NILM' in 3; 'SCC' in 2"):
        require_dealable([item.id for item in lbc.items(tmp_path)], labels, held)
    image(tmp_path / "SCC" / "renamed.jpg")
    assert {item.group for item in lbc.items(tmp_path)} == {*groups, "SCC-renamed"}
    with pytest.raises(DataError, match=r"1 images of .* have no slide in their names.*renamed\.jpg"):
        lbc.MERGED.items(tmp_path)


@pytest.fixture
def cervix(tmp_path):
    rows = {
        "train": "a.jpg,MPC,3,negative,MPC,\nb.jpg,AGC,13,AGC,,\n",
        "val": "c.jpg,ADC-ECC,19,AGC,ADC,ADC-ECC\n",
        "test": "d.jpg,HSV,24,microbe,HSV,\ne.jpg,HSV,24,microbe,HSV,\n",
    }
    for split, text in rows.items():
        (tmp_path / f"{split}.csv").write_text(HEADER + text, encoding="utf-8")
    for name in ("train/a.jpg", "train/b.jpg", "val/c.jpg", "test/deep/d.jpg"):
        image(tmp_path / name)
    return tmp_path


def test_hicervix_finds_its_images_below_and_takes_the_official_parts(cervix):
    found = [(item.id, item.label, item.split) for item in hicervix.items(cervix)]
    assert found == [
        ("a", "MPC", "train"), ("b", "AGC", "train"), ("c", "ADC-ECC", "val"), ("d", "HSV", "test"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("row", "named"),
    [("x.jpg,XYZ,1,a,b,c\n", "row 4: 'XYZ'"), ("x.jpg,HSV,24,AGC,HSV,\n", "row 4: HSV stands at AGC/HSV")],
)
def test_a_row_that_does_not_fit_the_tree_is_named(cervix, row, named):
    with (cervix / "test.csv").open("a") as table:
        table.write(row)
    with pytest.raises(DataError, match=named):
        hicervix.items(cervix)


def test_one_file_name_in_two_folders_is_refused(cervix):
    image(cervix / "val" / "a.jpg")
    with pytest.raises(DataError, match=r"train/a\.jpg and .*val/a\.jpg"):
        hicervix.items(cervix)


def test_the_official_label_files_hold_the_cells_of_the_card(real):
    cells = list(hicervix.read_cells(real("hicervix")))
    assert Counter(cell.split for cell in cells) == {"train": 28160, "val": 4018, "test": 8051}
    assert Counter(cell.label for cell in cells) == hicervix.EXPECTED
    assert len(hicervix.EXPECTED) == 26

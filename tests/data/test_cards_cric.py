"""CRIC: cells are cut around their nucleus from fields of any scale."""

from collections import Counter

import numpy as np
import pytest
from PIL import Image

from cervbench.data.cards import cric
from cervbench.data.error import DataError
from cervbench.protocol.folds import frozen

COLLECTION = """image_id,image_filename,image_doi,cell_id,bethesda_system,nucleus_x,nucleus_y
1,aa.png,10/1,7,SCC,700,500
1,aa.png,10/1,8,Negative for intraepithelial lesion,3,1019
2,bb.png,10/2,9,HSIL,20,20
"""


def dot_at(x, y, width, height, path):
    """A white field with a red pixel where the nucleus is."""
    pixels = np.full((height, width, 3), 255, np.uint8)
    pixels[y, x] = (255, 0, 0)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def original(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "classifications.csv").write_text(COLLECTION)
    dot_at(700, 500, 1376, 1020, tmp_path / "images" / "aa.png")
    return tmp_path


def test_cells_of_fields_that_are_not_on_disk_are_not_listed(original):
    items = cric.items(original)
    assert [(item.id, item.label, item.group) for item in items] == [
        ("aa-7", "SCC", "aa"),
        ("aa-8", "NILM", "aa"),
    ]


def test_a_box_of_the_original_is_90_pixels_with_the_nucleus_in_its_middle(original):
    image = cric.CARD.read(cric.items(original)[0])
    assert image.size == (90, 90)
    assert image.getpixel((45, 45)) == (255, 0, 0)


def test_a_box_over_the_border_repeats_the_border(original):
    image = cric.CARD.read(cric.items(original)[1])
    assert image.size == (90, 90)
    assert np.asarray(image).min() == 255


def test_positions_of_the_collection_are_refused_for_files_made_smaller(original):
    dot_at(5, 5, 1280, 949, original / "images" / "bb.png")
    with pytest.raises(DataError, match=r"bb \(1280 px\)"):
        cric.items(original)


def test_positions_in_pixels_of_the_files_win_and_the_box_follows_their_scale(original):
    (original / "cells.csv").write_text("image,cell_id,bethesda,nucleus_x,nucleus_y\nbb.jpg,9,HSIL,200,100\n")
    dot_at(200, 100, 1280, 949, original / "images" / "bb.png")
    (item,) = cric.items(original)
    image = cric.CARD.read(item)
    assert (item.id, image.size) == ("bb-9", (84, 84))
    assert image.getpixel((42, 42)) == (255, 0, 0)


def test_three_classes_are_normal_low_and_high(original):
    assert [item.label for item in cric.MERGED.items(original)] == ["high", "NILM"]
    assert cric.MERGED.expected == {"NILM": 6779, "low": 606 + 1360, "high": 925 + 1703 + 161}


def test_a_column_that_the_table_lacks_is_named(original):
    (original / "classifications.csv").write_text(COLLECTION.replace("nucleus_x", "x"))
    with pytest.raises(DataError, match=r"classifications\.csv lacks the column nucleus_x"):
        cric.items(original)


def test_every_broken_field_is_named(original):
    for name in ("cc.png", "dd.jpg"):
        (original / "images" / name).write_bytes(b"")
    with pytest.raises(DataError, match=r"2 fields.*cc\.png.*dd\.jpg"):
        cric.items(original)


def test_the_collections_own_table_holds_the_cells_of_the_card(real):
    cells = list(cric.read_cells(real("cric") / "classifications.csv"))
    assert Counter(cell.label for cell in cells) == cric.EXPECTED
    assert sorted(cell.id for cell in cells) == sorted(frozen("cric").images)
    assert len({cell.field for cell in cells}) == 400


def test_the_cells_here_are_cells_of_the_collection_with_the_same_class(real):
    collection = {cell.id: cell.label for cell in cric.read_cells(real("cric") / "classifications.csv")}
    items = cric.items(real("cric"))
    assert len(items) == 5581
    assert all(collection[item.id] == item.label for item in items)

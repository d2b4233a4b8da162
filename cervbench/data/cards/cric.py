"""The CRIC Cervix collection: 11,534 labelled cells on 400 fields of conventional Pap smears."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from operator import attrgetter
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from cervbench.data.cards.card import Card
from cervbench.data.cards.item import Item
from cervbench.data.cards.listing import by_name, image_files, present
from cervbench.data.cards.source import Source
from cervbench.data.cards.table import read_table
from cervbench.data.error import DataError
from cervbench.error import first_few

if TYPE_CHECKING:
    from PIL.Image import Image

EXPECTED = {"NILM": 6779, "ASC-US": 606, "LSIL": 1360, "ASC-H": 925, "HSIL": 1703, "SCC": 161}
"""Bethesda classes, normal to carcinoma. The collection puts ASC-H before the definite HSIL."""

SEVERITY = {"NILM": 0, "ASC-US": 1, "LSIL": 2, "ASC-H": 3, "HSIL": 4, "SCC": 5}

BOX_OF_WIDTH = 90 / 1376
"""The side of a cell's box as a share of its field's width: at the original scale the customary 90 pixels,
which hold the nucleus and what is near it, and cut off the cytoplasm of most NILM, ASC-US and LSIL; in a
field 1280 pixels wide, 84."""

ORIGINAL_WIDTH = 1376
"""The least width of an original (1376 is the published one; widths up to 1392 were found). Because they
differ, positions in original pixels cannot be scaled to smaller files: with one factor for all, the median
position is 7 pixels off and the worst 16."""

_LONG_NAMES = {"Negative for intraepithelial lesion": "NILM"}


@dataclass(frozen=True)
class Cell:
    """A row of the collection."""

    field: str
    """The name of its image file without the suffix."""
    number: str
    label: str
    x: int
    y: int

    @property
    def id(self) -> str:
        return f"{self.field}-{self.number}"


def read_cells(table: Path) -> Iterator[Cell]:
    """The rows of the collection's own `classifications.csv`, or of a `cells.csv`."""
    columns = (
        ("image", "cell_id", "bethesda", "nucleus_x", "nucleus_y")
        if table.name == "cells.csv"
        else ("image_filename", "cell_id", "bethesda_system", "nucleus_x", "nucleus_y")
    )
    _, rows = read_table(table, columns)
    row_of: dict[str, int] = {}
    for place, row in rows:
        image, number, label, x, y = (row[column] for column in columns)
        label = _LONG_NAMES.get(label, label)
        if label not in EXPECTED:
            raise DataError(f"{table}, row {place}: {label!r} is none of {', '.join(EXPECTED)}; correct it")
        try:
            cell = Cell(Path(image).stem, str(int(number)), label, int(x), int(y))
        except ValueError:
            raise DataError(
                f"{table}, row {place}: cell_id, nucleus_x and nucleus_y must be whole numbers"
            ) from None
        if (before := row_of.setdefault(cell.id, place)) != place:
            raise DataError(
                f"{table}, row {place}: cell {number} of {image} stands in row {before} already; remove one"
            )
        yield cell


def items(folder: Path) -> Sequence[Item]:
    """The cells whose field is in `images/`. Positions in a `cells.csv` are in pixels of these very files."""
    fields = by_name(image_files(present(folder / "images")), attrgetter("stem"), "are one field")
    own_pixels = folder / "cells.csv"
    table = own_pixels if own_pixels.exists() else present(folder / "classifications.csv")
    widths = _widths(fields)
    if table is not own_pixels:
        _refuse_scaled(widths, folder)
    found = []
    for cell in read_cells(table):
        if cell.field in fields:
            side = round(widths[cell.field] * BOX_OF_WIDTH)
            left, top = cell.x - side // 2, cell.y - side // 2
            box = (left, top, left + side, top + side)
            found.append(Item(cell.id, cell.label, cell.field, fields[cell.field], box))
    return found


def read(item: Item) -> "Image":
    """The cell, cut from its field, which stays decoded for the cells that follow."""
    from cervbench.data.reading import cut

    assert item.box is not None
    with _LOCKS[item.path.name]:  # if several threads want a field, only one decodes it
        field = _decoded(item.path, item.path.stat().st_mtime_ns)
    return cut(field, item.box)


_LOCKS: defaultdict[str, Lock] = defaultdict(Lock)


@lru_cache(maxsize=8)
def _decoded(path: Path, changed: int) -> "Image":
    from cervbench.data.reading import read_image

    return read_image(path)


def _widths(fields: dict[str, Path]) -> dict[str, int]:
    """The width of each field, from the header of its file; the error names every file that is no image."""
    from PIL import Image

    from cervbench.data.reading import FORMATS

    widths, broken = {}, []
    for field, path in fields.items():
        try:
            with Image.open(path, formats=FORMATS) as image:
                widths[field] = image.width
        except (OSError, Image.DecompressionBombError) as error:
            broken.append(f"{path} ({error})")
    if broken:
        raise DataError(f"{len(broken)} fields cannot be read; fetch them again: {first_few(broken)}")
    return widths


def _refuse_scaled(widths: dict[str, int], folder: Path) -> None:
    scaled = [f"{field} ({width} px)" for field, width in widths.items() if width < ORIGINAL_WIDTH]
    if scaled:
        raise DataError(
            f"{len(scaled)} fields in {folder / 'images'} are narrower than the originals' {ORIGINAL_WIDTH} "
            "pixels, and classifications.csv holds positions in original pixels; put the original files "
            f"there, or a cells.csv with positions in pixels of these files: {first_few(scaled)}"
        )


CARD = Card(
    name="cric",
    title="CRIC Cervix",
    classes=tuple(EXPECTED),
    items=items,
    citation=(
        "Rezende MT, Silva R, Bernardo FO, et al. Cric searchable image database as a public platform for "
        "conventional pap smear cytology data. Scientific Data 8, 151 (2021). doi:10.1038/s41597-021-00933-8"
    ),
    licence="CC BY 4.0",
    source=Source(
        page="https://database.cric.com.br/downloads",
        by_hand=(
            "From https://database.cric.com.br/downloads (or figshare, doi:10.6084/m9.figshare.c.4960286) "
            "take the images of the cell classification and its table. Put the 400 PNG files into "
            "`cric/images/` and the table beside that folder as `cric/classifications.csv`."
        ),
    ),
    group="field: the photograph that the cells are cut from",
    abnormal=frozenset(EXPECTED) - {"NILM"},
    severity=SEVERITY,
    expected=EXPECTED,
    read=read,
    manifest="cric",
)

MERGED = CARD.merged(
    "cric-3",
    "CRIC Cervix, three classes",
    {"NILM": ("NILM",), "low": ("ASC-US", "LSIL"), "high": ("ASC-H", "HSIL", "SCC")},
)
"""For partial copies: even in the whole collection, SCC is on 21 of the 400 fields, and mostly on four."""

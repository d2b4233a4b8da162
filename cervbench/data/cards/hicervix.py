"""HiCervix: 40,229 cells in leaves and inner nodes of a three-level tree, with official splits."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path

from cervbench.data.cards.card import Card
from cervbench.data.cards.item import SPLITS, Item
from cervbench.data.cards.listing import by_name, image_files, present
from cervbench.data.cards.source import Source
from cervbench.data.cards.table import Row, read_table
from cervbench.data.error import DataError

_NEGATIVE = ("Normal", "ECC", "RPC", "MPC", "PG", "Atrophy", "EMC", "HCG")
_MICROBE = ("FUNGI", "ACTINO", "TRI", "HSV", "CC")

EXPECTED = {
    "Normal": 3454, "ECC": 2272, "RPC": 2111, "MPC": 1591, "PG": 1563, "Atrophy": 1484, "EMC": 1529,
    "HCG": 887, "ASC-US": 2599, "LSIL": 1744, "ASC-H": 1437, "HSIL": 1988, "SCC": 1072, "AGC": 2089,
    "AGC-NOS": 2205, "AGC-FN": 1114, "ADC": 1311, "AGC-ECC-NOS": 1065, "AGC-EMC-NOS": 253,
    "ADC-ECC": 244, "ADC-EMC": 108, "FUNGI": 2047, "ACTINO": 2018, "TRI": 1697, "HSV": 1248, "CC": 1099,
}  # fmt: skip
"""In the order of the official class ids. The 29 classes of the paper are nodes of the tree: 26 of them are
labels of images, and `negative`, `ASC` and `microbe` never are."""

HIERARCHY = {
    **{name: ("negative", name) for name in _NEGATIVE},
    **{name: ("ASC", name) for name in ("ASC-US", "LSIL", "ASC-H", "HSIL", "SCC")},
    "AGC": ("AGC",),
    **{name: ("AGC", name) for name in ("AGC-NOS", "AGC-FN", "ADC")},
    **{name: ("AGC", "AGC-NOS", name) for name in ("AGC-ECC-NOS", "AGC-EMC-NOS")},
    **{name: ("AGC", "ADC", name) for name in ("ADC-ECC", "ADC-EMC")},
    **{name: ("microbe", name) for name in _MICROBE},
}
"""As in `level_1` to `level_3` of the official tables, where the levels below a class are empty."""

_BY_HAND = (
    "From https://zenodo.org/records/11087263 (access may have to be asked for there) take all files. "
    "Put train.csv, val.csv and test.csv into `hicervix/`, and unpack the images below it."
)

_COLUMNS = ("image_name", "class_name", "level_1", "level_2", "level_3")


@dataclass(frozen=True)
class Cell:
    """A row of an official table."""

    file: str
    label: str
    split: str


def read_cells(folder: Path) -> Iterator[Cell]:
    """The rows of train.csv, val.csv and test.csv, which must agree with the tree."""
    first: dict[str, str] = {}
    for split in SPLITS:
        table = present(folder / f"{split}.csv")
        for number, row in read_table(table, _COLUMNS)[1]:
            where = f"{table}, row {number}"
            _agree(row, where)
            if (before := first.setdefault(row["image_name"], where)) != where:
                raise DataError(f"{where}: {row['image_name']} stands in {before} already; remove one")
            yield Cell(row["image_name"], row["class_name"], split)


def _agree(row: Row, where: str) -> None:
    label = row["class_name"]
    if label not in HIERARCHY:
        raise DataError(f"{where}: {label!r} is no class of HiCervix; correct it")
    path = tuple(filter(None, (row[f"level_{level}"] for level in (1, 2, 3))))
    if path != HIERARCHY[label]:
        raise DataError(f"{where}: {label} stands at {'/'.join(path)}, not at {'/'.join(HIERARCHY[label])}")


def items(folder: Path) -> Sequence[Item]:
    """The cells of the tables whose file is anywhere below the folder."""
    cells = list(read_cells(present(folder)))
    wanted = {cell.file for cell in cells}
    paths = (path for path in image_files(folder) if path.name in wanted)
    files = by_name(paths, attrgetter("name"), "have one name")
    if not files:
        raise DataError(
            f"{folder} holds the tables of {len(cells):,} cells and none of their images. {_BY_HAND}"
        )
    found = []
    for cell in cells:
        if cell.file in files:
            id = Path(cell.file).stem
            found.append(Item(id, cell.label, id, files[cell.file], split=cell.split))
    return found


CARD = Card(
    name="hicervix",
    title="HiCervix",
    classes=tuple(EXPECTED),
    items=items,
    citation=(
        "Cai D, Chen J, Zhao J, et al. HiCervix: an extensive hierarchical dataset and benchmark for "
        "cervical cytology classification. IEEE Transactions on Medical Imaging, 2024. "
        "doi:10.1109/TMI.2024.3419697"
    ),
    licence="See the Zenodo record; it is to be read before use.",
    source=Source(
        page="https://zenodo.org/records/11087263",
        by_hand=_BY_HAND,
    ),
    group=(
        "unknown: no slide id is published, so it cannot be verified that the official train, val and test "
        "share no slide"
    ),
    abnormal=frozenset(EXPECTED) - frozenset(_NEGATIVE) - frozenset(_MICROBE),
    hierarchy=HIERARCHY,
    expected=EXPECTED,
    groups_known=False,
)

ROOTS = CARD.merged(
    "hicervix-4",
    "HiCervix, four roots",
    {
        root: tuple(name for name, path in HIERARCHY.items() if path[0] == root)
        for root in ("negative", "ASC", "AGC", "microbe")
    },
)
"""Some of the 26 labels are parents of others, and a cell given its parent's name counts as wrong there."""

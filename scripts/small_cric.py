"""Write a small copy of CRIC: some 900 cells from most of its fields, in three classes of nearly equal size.

    python scripts/small_cric.py DATA SMALL [--scaled]

Reads DATA/cric, with its `cells.csv`, and writes a new SMALL/cric: the same fields (by a link), fewer cells.
Of all NILM cells in the order of field and number, every fourteenth is taken, of the low-grade classes every
third, and of the others two of three. That is as many as Herlev has. The study `diagnoses` runs on it
(`--data-root SMALL`); docs/diagnoses.md says what for.

With --scaled each cell is magnified by a factor of its own, drawn between 1/2.5 and 2.5 without regard to its
class, and a field shows its cells side by side and nothing else. The study `diagnoses-scaled` runs on that.
"""

import csv
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from cervbench.data.cards.cric import BOX_OF_WIDTH
from cervbench.data.reading import cut, read_image

TAKEN = {"NILM": (1, 14), "ASC-US": (1, 3), "LSIL": (1, 3), "ASC-H": (2, 3), "HSIL": (2, 3), "SCC": (2, 3)}
"""By class, how many cells of how many."""

MOST = 2.5
"""The largest factor of --scaled."""

Cell = dict[str, str]


def taken(table: Path) -> list[Cell]:
    with table.open(encoding="utf-8", newline="") as file:
        cells = sorted(csv.DictReader(file), key=lambda cell: (cell["image"], int(cell["cell_id"])))
    place: Counter[str] = Counter()
    chosen = []
    for cell in cells:
        kept, of = TAKEN[cell["bethesda"]]
        if place[cell["bethesda"]] % of < kept:
            chosen.append(cell)
        place[cell["bethesda"]] += 1
    print(f"{len(chosen)} of {len(cells)} cells")
    return chosen


def scaled(cells: Sequence[Cell], fields: Path, out: Path) -> list[Cell]:
    """The cells where they lie in the new fields, which are written to `out`."""
    factors = np.exp(np.random.default_rng(0).uniform(-np.log(MOST), np.log(MOST), len(cells)))
    by_field: dict[str, list[tuple[Cell, float]]] = defaultdict(list)
    for cell, factor in zip(cells, factors.tolist(), strict=True):
        by_field[cell["image"]].append((cell, factor))
    placed = []
    for name, own in by_field.items():
        field = read_image(fields / name)
        side = round(field.width * BOX_OF_WIDTH)
        a_row = field.width // side
        sheet = Image.new("RGB", (field.width, side * -(-len(own) // a_row)), "grey")
        for number, (cell, factor) in enumerate(own):
            seen = round(side * factor)
            left, top = int(cell["nucleus_x"]) - seen // 2, int(cell["nucleus_y"]) - seen // 2
            box = cut(field, (left, top, left + seen, top + seen))
            corner = number % a_row * side, number // a_row * side
            sheet.paste(box.resize((side, side), Image.Resampling.BICUBIC), corner)
            x, y = (str(at + side // 2) for at in corner)
            placed.append({**cell, "nucleus_x": x, "nucleus_y": y})
        sheet.save(out / name, quality=97, subsampling=0)
    return placed


def main() -> None:
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("small", type=Path)
    parser.add_argument("--scaled", action="store_true")
    asked = parser.parse_args()
    given, written = asked.data / "cric", asked.small / "cric"
    cells = taken(given / "cells.csv")
    written.mkdir(parents=True)  # refuses one that is there
    if asked.scaled:
        (written / "images").mkdir()
        cells = scaled(cells, given / "images", written / "images")
    else:
        (written / "images").symlink_to((given / "images").resolve())
    with (written / "cells.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, cells[0])
        table.writeheader()
        table.writerows(cells)
    print(written)


if __name__ == "__main__":
    main()

"""Write a small copy of CRIC: some 900 cells from most of its fields, in three classes of nearly equal size.

    python scripts/small_cric.py DATA SMALL

Reads DATA/cric, with its `cells.csv`, and writes a new SMALL/cric: the same fields (by a link), fewer cells.
Of all NILM cells in the order of field and number, every fourteenth is taken, of the low-grade classes every
third, and of the others two of three. That is as many as Herlev has. The study `diagnoses` runs on it
(`--data-root SMALL`); docs/diagnoses.md says what for.
"""

import csv
import sys
from collections import Counter
from pathlib import Path

TAKEN = {"NILM": (1, 14), "ASC-US": (1, 3), "LSIL": (1, 3), "ASC-H": (2, 3), "HSIL": (2, 3), "SCC": (2, 3)}
"""By class, how many cells of how many."""


def main(data: Path, small: Path) -> None:
    with (data / "cric" / "cells.csv").open(encoding="utf-8", newline="") as file:
        cells = sorted(csv.DictReader(file), key=lambda cell: (cell["image"], int(cell["cell_id"])))
    place: Counter[str] = Counter()
    taken = []
    for cell in cells:
        kept, of = TAKEN[cell["bethesda"]]
        if place[cell["bethesda"]] % of < kept:
            taken.append(cell)
        place[cell["bethesda"]] += 1
    (small / "cric").mkdir(parents=True)  # refuses one that is there
    (small / "cric" / "images").symlink_to((data / "cric" / "images").resolve())
    with (small / "cric" / "cells.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, cells[0])
        table.writeheader()
        table.writerows(taken)
    print(f"{len(taken)} of {len(cells)} cells: {small / 'cric'}")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]))

"""Deal the folds of a dataset by the rule and freeze them; run once, before a protocol is published.

    python scripts/freeze_folds.py herlev ../shared/data

For cric the images need not be on disk: its own table lists every cell of the collection.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from cervbench.data.cards import cric, herlev
from cervbench.protocol.dealing import deal
from cervbench.protocol.folds import Manifest
from cervbench.protocol.protocol import load_rules


def main(name: str, data_root: Path) -> None:
    images, labels, groups = {"herlev": herlev_images, "cric": cric_cells}[name](data_root / name)
    rules = load_rules()
    manifest = deal(images, labels, groups, rules.folds, rules.labels.draws)
    out = Path(__file__).parent.parent / "cervbench" / "protocol" / "frozen" / f"{name}.csv"
    if out.exists() and (former := Manifest.from_csv(out.read_text("utf-8"))).hash != manifest.hash:
        out.rename(out.with_name(f"{name}@{former.hash}.csv"))  # records of these folds are verified by it
    out.write_text(manifest.to_csv(), "utf-8")
    print(f"{out.name}: hash {manifest.hash}")
    print_bins(manifest, {"herlev": herlev.CARD, "cric": cric.CARD}[name].classes)


def herlev_images(folder: Path) -> tuple[list[str], list[str], list[str]]:
    items = herlev.CARD.items(folder)
    return [i.id for i in items], [i.label or "" for i in items], [i.group for i in items]


def cric_cells(folder: Path) -> tuple[list[str], list[str], list[str]]:
    cells = list(cric.read_cells(folder / "classifications.csv"))
    return [c.id for c in cells], [c.label for c in cells], [c.field for c in cells]


def print_bins(manifest: Manifest, classes: Sequence[str]) -> None:
    print("| class | groups |", " | ".join(f"bin {b}" for b in range(10)), "| all |")
    print("|---|---|" + "---|" * 11)
    for name in classes:
        rows = [r for r, label in enumerate(manifest.labels) if label == name]
        counts = [sum(int(manifest.bins[r]) == b for r in rows) for b in range(10)]
        held = len({manifest.groups[r] for r in rows})
        print(f"| {name} | {held} |", " | ".join(map(str, counts)), f"| {len(rows)} |")
    for k in range(manifest.folds):
        fold = manifest.fold(k)
        print(f"fold {k}: train {len(fold.train)}, val {len(fold.val)}, test {len(fold.test)}")
    print("lacking:", manifest.lacking() or "no class is lacking anywhere")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))

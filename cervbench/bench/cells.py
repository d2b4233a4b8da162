"""What can be asked to be timed, and the rows that the page wants of a GPU. Imports no torch."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from cervbench.bench.rows import Row


@dataclass(frozen=True)
class Cell:
    """One method on one backbone, at one size and batch."""

    method: str
    backbone: str
    size: int
    batch: int
    compiled: bool = False
    """By torch.compile, which a tier may ask for."""

    def __str__(self) -> str:
        compiled = ", compiled" if self.compiled else ""
        return f"{self.method} on {self.backbone}, {self.size} px, batch {self.batch}{compiled}"


WANTED = tuple(
    Cell(method, backbone, size, 256)
    for backbone, size in (("resnet50", 128), ("vit", 224))
    for method in ("simclr", "barlow-twins")
)
"""Of a GPU; at 224 px `vit` is ViT-S/16."""


def missing(rows: Iterable[Row]) -> Sequence[Cell]:
    """The wanted rows that no GPU has given yet."""
    there = {
        Cell(row.method, row.backbone, row.size, row.batch)
        for row in rows
        if row.where.device.startswith("cuda")
    }
    return [cell for cell in WANTED if cell not in there]

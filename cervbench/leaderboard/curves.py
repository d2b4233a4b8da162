"""What charts show of a table: a curve for each row, with a mark that a pretraining has in all tables."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from cervbench.leaderboard.tables import Line, Table
from cervbench.scoring.classification import HEADLINE

MOST_METHODS = 12
ALL_INTERVALS = 5
"""With more methods than these, whiskers hide each other, and only those of the first row are drawn."""


@dataclass(frozen=True)
class Point:
    ratio: int
    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Curve:
    name: str
    kind: str
    """`method`; `base`, the row without a pretext stage, a solid line; or `reference`, a dashed one."""
    mark: int
    points: tuple[Point, ...]
    whiskers: bool
    """Whether its intervals are drawn."""

    @property
    def extent(self) -> Iterator[float]:
        for point in self.points:
            yield point.value
            if self.whiskers and point.low is not None and point.high is not None:
                yield from (point.low, point.high)


def _kind(table: Table, line: Line) -> str:
    if line is table.base:
        return "base"
    return "reference" if line in table.references else "method"


Marks = Mapping[tuple[str, str], int]
"""By kind, and by the id that the pretraining of the first fold and seed has in all tables."""


def _key(table: Table, line: Line) -> tuple[str, str]:
    return _kind(table, line), line.row.sample.run.model_copy(update={"fold": 0, "seed": 0}).id


def marks_of(tables: Sequence[Table]) -> Marks:
    """Numbers in the order of names: of methods for each backbone, of references for all."""
    groups: dict[tuple[str, ...], set[tuple[str, tuple[str, str]]]] = defaultdict(set)
    for table in tables:
        for line in table.lines:
            key = _key(table, line)
            among = (*key[:1], *(line.row.start if key[0] == "method" else ()))
            groups[among].add((line.row.sample.run.method.name, key))
    return {key: number for group in groups.values() for number, (_, key) in enumerate(sorted(group))}


def methods_of(table: Table) -> list[Line]:
    return [line for line in table.ranked if _kind(table, line) == "method"]


def curves_of(table: Table, marks: Marks) -> list[Curve]:
    methods = methods_of(table)
    first = methods if len(methods) <= ALL_INTERVALS else methods[:1]
    left_out = methods[MOST_METHODS:]
    curves = []
    for line in table.lines:
        kind, encoder = _key(table, line)
        points = tuple(_points(line))
        if points and line not in left_out:
            whiskers = kind == "base" or line in first
            curves.append(Curve(line.name, kind, marks[kind, encoder], points, whiskers))
    return curves


def _points(line: Line) -> Iterator[Point]:
    for ratio, cell in line.cells.items():
        value, low, high = cell.figures[HEADLINE]
        if value is not None and line.row.complete(ratio):
            ends = (None, None) if low is None or high is None else (100 * low, 100 * high)
            yield Point(ratio, 100 * value, *ends)

"""The charts of a variant's tables: the headline against the share of labels permitted, a line for each row.

All charts of a variant have one scale, and a pretraining has the same mark in all of them, so that they can
be compared by eye. A mark is a colour and a shape, since colours alone are not told apart by everyone.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from cervbench.leaderboard.curves import MOST_METHODS, Curve, Point, curves_of, marks_of, methods_of
from cervbench.leaderboard.tables import Table, seeds_of, title
from cervbench.markup.escaping import plain, short, xml
from cervbench.markup.svg import picture, text

_WIDTH, _HEIGHT = 800, 520
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 510, 82, 446
_INSET, _SPREAD = 24, 22
_NAME_GAP = 17
_LONGEST_NAME, _LONGEST_NOTE = 28, 110
_ON_LIGHT = (
    *("#0969da", "#c4500a", "#1a7f4b", "#8a3fc4", "#946a00", "#bf2b70", "#0b7f8a", "#6f6050"),
    *("#4338ca", "#5f7410", "#b23b3b", "#475569"),
)
_ON_DARK = (
    *("#58a6ff", "#f0883e", "#56c98a", "#c297f5", "#d9b23a", "#f778ba", "#4fc3cf", "#bcab98"),
    *("#a5b4fc", "#bcd35f", "#f2a0a0", "#cbd5e1"),
)
_SHAPES = (
    "m-3.4 0 a3.4 3.4 0 1 0 6.8 0 a3.4 3.4 0 1 0 -6.8 0 z",
    "m-3.2 -3.2 h6.4 v6.4 h-6.4 z",
    "m0 -4.4 l4.2 7.2 h-8.4 z",
    "m0 -4.6 l4.6 4.6 l-4.6 4.6 l-4.6 -4.6 z",
    "m0 4.4 l4.2 -7.2 h-8.4 z",
)
"""Five, which has no factor in common with the twelve colours: the first sixty marks all differ."""
_DASHES = ("2 4", "9 4", "9 3 2 3", "4 3", "14 5", "5 3 1 3 1 3")


def _colours(palette: Sequence[str]) -> str:
    return " ".join(f".m{k} {{ stroke: {c} }} .n{k} {{ fill: {c} }}" for k, c in enumerate(palette))


_STYLE = f"""
  .name {{ font-weight: 600 }}
  .curve {{ fill: none; stroke-width: 2.2; stroke-linejoin: round; stroke-linecap: round }}
  {_colours(_ON_LIGHT)}
  .base {{ stroke: #1f2328 }}
  .reference {{ fill: none; stroke: #57606a; stroke-width: 1.6 }}
  .under {{ fill: none; stroke: #ffffff; stroke-width: 5 }}
  .point {{ stroke: #ffffff; stroke-width: .8 }}
  .grid {{ stroke: #d8dee4 }}
  .chance {{ stroke: #868e96; stroke-dasharray: 1 3 }}
  .leader {{ fill: none; stroke: #868e96; stroke-width: .8; opacity: .6 }}
  @media (prefers-color-scheme: dark) {{
    {_colours(_ON_DARK)}
    .base {{ stroke: #e6edf3 }}
    .reference {{ stroke: #9198a1 }}
    .under, .point {{ stroke: #0d1117 }}
    .grid {{ stroke: #2a313a }}
  }}
"""


@dataclass(frozen=True)
class _Scale:
    """Maps per cent to a height; both ends are ticks."""

    bottom: int
    top: int
    step: int

    @classmethod
    def around(cls, values: Iterable[float]) -> "_Scale":
        shown = list(values) or [0.0, 100.0]
        low, high = max(0.0, min(shown)), min(100.0, max(shown))
        step = next(step for step in (1, 2, 5, 10, 20) if high - low <= 9 * step)
        bottom = math.floor(low / step) * step
        return cls(bottom, max(math.ceil(high / step) * step, bottom + step), step)

    @property
    def ticks(self) -> range:
        return range(self.bottom, self.top + 1, self.step)

    def y(self, value: float) -> float:
        return _BOTTOM - (value - self.bottom) / (self.top - self.bottom) * (_BOTTOM - _TOP)


@dataclass(frozen=True)
class _Placed:
    curve: Curve
    points: Sequence[tuple[float, Point]]
    """Each with how far right it stands."""


def charts(tables: Sequence[Table], mark: str) -> dict[str, str]:
    """SVGs by the digest of their table; `mark` is the comment that marks them as written here."""
    marks = marks_of(tables)
    curves = {table.digest: curves_of(table, marks) for table in tables}
    extents = (value for drawn in curves.values() for curve in drawn for value in curve.extent)
    scale = _Scale.around([*extents, *map(_chance, tables)])
    return {table.digest: _chart(table, curves[table.digest], scale, mark) for table in tables}


def _chart(table: Table, curves: Sequence[Curve], scale: _Scale, mark: str) -> str:
    """Its bytes depend on the figures alone."""
    placed = _placed(curves, _positions(table.ratios))
    return picture(
        _WIDTH,
        _HEIGHT,
        mark=mark,
        title=xml(f"{table.sample.run.dataset.variant}: {title(table)}"),
        notes=_notes(table, curves),
        said=_said(curves),
        style=_STYLE,
        parts=[
            *_axes(table, scale),
            *_names(placed, scale),
            *(part for one in placed for part in _drawn(one, scale)),
        ],
    )


def _positions(ratios: Sequence[int]) -> Mapping[int, float]:
    """Where each ratio stands: on a logarithmic scale, or in the middle if there is only one."""
    if len(ratios) == 1:
        return {ratios[0]: (_LEFT + _RIGHT) / 2}
    low, high = math.log(ratios[0]), math.log(ratios[-1])
    width = _RIGHT - _LEFT - 2 * _INSET
    return {ratio: _LEFT + _INSET + (math.log(ratio) - low) / (high - low) * width for ratio in ratios}


def _placed(curves: Sequence[Curve], across: Mapping[int, float]) -> list[_Placed]:
    """In the order of drawing; those with points or whiskers side by side, so as not to hide each other."""
    of = {kind: [curve for curve in curves if curve.kind == kind] for kind in ("method", "reference", "base")}
    beside = [*of["method"], *of["base"]]
    step = _SPREAD / max(len(beside), 4)
    aside = {id(curve): step * (place - (len(beside) - 1) / 2) for place, curve in enumerate(beside)}
    return [
        _Placed(curve, [(across[point.ratio] + aside.get(id(curve), 0.0), point) for point in curve.points])
        for curve in (*of["method"], *of["reference"], *of["base"])
    ]


def _chance(table: Table) -> float:
    return 100 / len(table.sample.task.classes)


def _notes(table: Table, curves: Sequence[Curve]) -> list[str]:
    """Two lines: what was measured, and what of it is drawn."""
    groups = f" in {table.groups:,} groups" if table.sample.task.groups_known else ""
    measured = [
        "balanced accuracy",
        f"{table.images:,} test images{groups}",
        f"{table.lines[0].row.folds} folds",
        f"{'means over ' * (len(table.key.contest.seeds) > 1)}{seeds_of(table)}",
    ]
    drawn = []
    if told := [_cut(curve.name) for curve in curves if curve.whiskers and curve.points[0].low is not None]:
        every = all(curve.whiskers for curve in curves if curve.kind == "method")
        drawn.append("95 % intervals" if every else f"95 % intervals of {' and '.join(told)}")
    if (methods := len(methods_of(table))) > MOST_METHODS:
        drawn.append(f"{MOST_METHODS} of {methods} methods")
    if any(curve.kind == "reference" for curve in curves):
        drawn.append("dashed: reference rows")
    drawn.append(f"dotted: chance, {_chance(table):.1f} %")
    if missing := [line.name for line in table.ranked if not line.whole]:
        drawn.append(f"lacks folds: {', '.join(missing)}")
    return [xml(" · ".join(measured)), xml(short(" · ".join(drawn), _LONGEST_NOTE))]


def _said(curves: Sequence[Curve]) -> str:
    """The figures in words, each curve with its own ratios, since not every row has all of the table's."""
    told = [f"{c.name} {', '.join(f'{p.value:.1f} at {p.ratio} %' for p in c.points)}" for c in curves]
    references = [one for one, curve in zip(told, curves, strict=True) if curve.kind == "reference"]
    others = [one for one, curve in zip(told, curves, strict=True) if curve.kind != "reference"]
    shown = "; ".join(others) or "no row has all folds"
    said = f"Balanced accuracy in per cent, at shares of the labels: {shown}"
    return xml(f"{said}. Reference rows: {'; '.join(references)}" if references else said)


def _axes(table: Table, scale: _Scale) -> Iterator[str]:
    for tick in scale.ticks:
        yield _across(scale.y(tick), "grid")
        yield text(_LEFT - 10, scale.y(tick) + 4, f"{tick} %", "quiet", "end")
    yield _across(scale.y(_chance(table)), "chance")
    for ratio, x in _positions(table.ratios).items():
        yield text(x, _BOTTOM + 22, f"{ratio} %", "", "middle")
        yield text(x, _BOTTOM + 39, f"{_mean_labels(table, ratio):,.0f}", "quiet", "middle")
    said = "share of the labels permitted, and their mean number, train and val together"
    yield text((_LEFT + _RIGHT) / 2, _BOTTOM + 60, said, "quiet", "middle")


def _across(y: float, kind: str) -> str:
    return f'<line class="{kind}" x1="{_LEFT}" x2="{_RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'


def _mean_labels(table: Table, ratio: int) -> float:
    rows = [line.row for line in table.lines if line.row.complete(ratio)]
    folds = [of_seeds for row in rows for of_seeds in row.records[ratio].values()]
    records = [record for of_seeds in folds for record in of_seeds] or table.records_at(ratio)
    return sum(record.train_labels + record.val_labels for record in records) / len(records)


def _drawn(placed: _Placed, scale: _Scale) -> Iterator[str]:
    curve, stroke = placed.curve, _stroke(placed.curve)
    path = " ".join(f"{x:.1f},{scale.y(point.value):.1f}" for x, point in placed.points)
    if len(placed.points) == 1:  # of which a line would be nothing
        [(x, point)] = placed.points
        path = f"{x - 7:.1f},{scale.y(point.value):.1f} {x + 7:.1f},{scale.y(point.value):.1f}"
    if curve.kind == "base":
        yield f'<polyline class="under" points="{path}"/>'
    for x, point in placed.points:
        if curve.whiskers and point.low is not None and point.high is not None:
            yield f'<path {stroke} d="M{x:.1f} {scale.y(point.low):.1f} V{scale.y(point.high):.1f}"/>'
    yield f'<polyline {stroke} points="{path}"/>'
    if curve.kind == "method":
        yield from (_shape(curve, x, scale.y(point.value)) for x, point in placed.points)


def _stroke(curve: Curve) -> str:
    """The attributes of its line."""
    if curve.kind == "reference":
        return f'class="reference" stroke-dasharray="{_DASHES[curve.mark % len(_DASHES)]}"'
    colour = "base" if curve.kind == "base" else f"m{curve.mark % len(_ON_LIGHT)}"
    return f'class="curve {colour}"'


def _shape(curve: Curve, x: float, y: float) -> str:
    colour, shape = curve.mark % len(_ON_LIGHT), _SHAPES[curve.mark % len(_SHAPES)]
    return f'<path class="point n{colour}" d="M{x:.1f} {y:.1f} {shape}"/>'


def _names(all_placed: Sequence[_Placed], scale: _Scale) -> Iterator[str]:
    """Each with its mark at the end of its line, moved up or down only as far as needed to keep apart."""
    ended = sorted((scale.y(one.points[-1][1].value), place) for place, one in enumerate(all_placed))
    heights = apart([end for end, _ in ended], _NAME_GAP, _TOP, _BOTTOM)
    for (end, place), y in zip(ended, heights, strict=True):
        curve, x = all_placed[place].curve, all_placed[place].points[-1][0]
        yield f'<path class="leader" d="M{x:.1f} {end:.1f} H{_RIGHT} L{_RIGHT + 14} {y:.1f}"/>'
        yield f'<path {_stroke(curve)} d="M{_RIGHT + 18} {y:.1f} h20"/>'
        if curve.kind == "method":
            yield _shape(curve, _RIGHT + 28, y)
        kind = {"method": f"name n{curve.mark % len(_ON_LIGHT)}", "base": "name"}.get(curve.kind, "quiet")
        yield text(_RIGHT + 44, y + 4, xml(_cut(curve.name)), kind)


def _cut(name: str) -> str:
    """A long name without its middle: both of its ends tell it from others."""
    name = plain(name)
    end = _LONGEST_NAME // 2 - 2
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - end - 1]}…{name[-end:]}"


def apart(wanted: Sequence[float], gap: float, top: float, bottom: float) -> list[float]:
    """Ascending positions near the wanted ones, at least `gap` apart and between `top` and `bottom`.

    Positions that would collide form a block, which is centred on the mean of those wanted.
    """
    if not wanted:
        return []
    gap = min(gap, (bottom - top) / max(len(wanted) - 1, 1))
    blocks: list[list[float]] = []
    for position in wanted:
        blocks.append([position])
        while len(blocks) > 1 and _start(blocks[-2], gap, top, bottom) + gap * len(blocks[-2]) > _start(
            blocks[-1], gap, top, bottom
        ):
            last = blocks.pop()
            blocks[-1] += last
    return [_start(block, gap, top, bottom) + gap * place for block in blocks for place in range(len(block))]


def _start(block: Sequence[float], gap: float, top: float, bottom: float) -> float:
    length = gap * (len(block) - 1)
    return min(max(sum(block) / len(block) - length / 2, top), bottom - length)

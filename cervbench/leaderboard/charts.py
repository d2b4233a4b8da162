"""The chart of a table: the headline against the share of labels permitted, with a line for each method."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from cervbench.leaderboard.tables import Line, Table, title
from cervbench.markup.escaping import short, xml
from cervbench.markup.svg import picture, text
from cervbench.scoring.classification import HEADLINE

_WIDTH, _HEIGHT = 900, 440
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 640, 66, 366
_INSET = 24
_NAME_GAP = 17
_LONGEST_NAME = 32
_ON_LIGHT = (
    *("#0969da", "#c4500a", "#1a7f4b", "#8a3fc4", "#946a00", "#bf2b70", "#0b7f8a", "#6f6050"),
    *("#4338ca", "#5f7410", "#b23b3b", "#475569"),
)
_ON_DARK = (
    *("#58a6ff", "#f0883e", "#56c98a", "#c297f5", "#d9b23a", "#f778ba", "#4fc3cf", "#bcab98"),
    *("#a5b4fc", "#bcd35f", "#f2a0a0", "#cbd5e1"),
)
MOST_METHODS = len(_ON_LIGHT)


def _colours(palette: Sequence[str]) -> str:
    rules = (f".m{k} {{ stroke: {c} }} .n{k} {{ fill: {c} }}" for k, c in enumerate(palette))
    return " ".join(rules)


_STYLE = f"""
  .name {{ font-weight: 600 }}
  {_colours(_ON_LIGHT)}
  .grid {{ stroke: #d8dee4; stroke-width: 1 }}
  .curve {{ fill: none; stroke-width: 2.2; stroke-linejoin: round; stroke-linecap: round }}
  .whisker {{ stroke-width: 1.4; opacity: .55 }}
  .reference {{ fill: none; stroke: #868e96; stroke-width: 1.3; stroke-dasharray: 5 4 }}
  .leader {{ fill: none; stroke: #868e96; stroke-width: .8; opacity: .6 }}
  @media (prefers-color-scheme: dark) {{
    .grid {{ stroke: #2a313a }}
    {_colours(_ON_DARK)}
  }}
"""


@dataclass(frozen=True)
class _Point:
    ratio: int
    x: float
    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class _Curve:
    name: str
    colour: int | None
    """Index into the palette; None for a reference row, which is grey."""
    points: tuple[_Point, ...]


@dataclass(frozen=True)
class _Scale:
    """Maps per cent to a height; both ends are ticks."""

    bottom: int
    top: int
    step: int

    @property
    def ticks(self) -> range:
        return range(self.bottom, self.top + 1, self.step)

    def y(self, value: float) -> float:
        return _BOTTOM - (value - self.bottom) / (self.top - self.bottom) * (_BOTTOM - _TOP)


def chart(table: Table, mark: str) -> str:
    """An SVG whose bytes depend on the figures alone; `mark` is the comment that marks it as written here."""
    across = _positions(table.ratios)
    curves = _curves(table, across)
    scale = _scale(curves)
    return picture(
        _WIDTH,
        _HEIGHT,
        mark=mark,
        title=xml(f"{table.sample.run.dataset.variant}: {title(table)}"),
        note=_note(table, curves),
        said=_said(curves),
        style=_STYLE,
        parts=[
            *_axes(table, across, scale),
            *(part for curve in curves if curve.colour is None for part in _reference(curve, scale)),
            *_methods([curve for curve in curves if curve.colour is not None], scale),
            *_names(curves, scale),
        ],
    )


def _positions(ratios: Sequence[int]) -> dict[int, float]:
    """Where each ratio stands: on a logarithmic scale, or in the middle if there is only one."""
    if len(ratios) == 1:
        return {ratios[0]: (_LEFT + _RIGHT) / 2}
    low, high = math.log(ratios[0]), math.log(ratios[-1])
    width = _RIGHT - _LEFT - 2 * _INSET
    return {ratio: _LEFT + _INSET + (math.log(ratio) - low) / (high - low) * width for ratio in ratios}


def _curves(table: Table, across: dict[int, float]) -> list[_Curve]:
    methods, references = table.ranked[:MOST_METHODS], table.references[:MOST_METHODS]
    lines = [*enumerate(methods), *((None, line) for line in references)]
    curves = [_Curve(line.name, colour, tuple(_points(line, across))) for colour, line in lines]
    return [curve for curve in curves if curve.points]


def _points(line: Line, across: dict[int, float]) -> list[_Point]:
    points = []
    for ratio, cell in line.cells.items():
        value, low, high = cell.figures[HEADLINE]
        if value is not None and line.row.complete(ratio):
            ends = (None, None) if low is None or high is None else (100 * low, 100 * high)
            points.append(_Point(ratio, across[ratio], 100 * value, *ends))
    return points


def _scale(curves: Sequence[_Curve]) -> _Scale:
    shown = [v for c in curves for p in c.points for v in _extent(p, c.colour is not None)] or [0.0, 100.0]
    low, high = max(0.0, min(shown)), min(100.0, max(shown))
    step = next(step for step in (1, 2, 5, 10, 20) if high - low <= 7 * step)
    bottom = math.floor(low / step) * step
    return _Scale(bottom, max(math.ceil(high / step) * step, bottom + step), step)


def _extent(point: _Point, with_interval: bool) -> list[float]:
    ends = [end for end in (point.low, point.high) if with_interval and end is not None]
    return [point.value, *ends]


def _note(table: Table, curves: Sequence[_Curve]) -> str:
    shown, ranked = sum(curve.colour is not None for curve in curves), len(table.ranked)
    whiskers = ", 95 % intervals" if any(p.low is not None for c in curves for p in c.points) else ""
    some = f" · {shown} of {ranked} methods" if shown < ranked else ""
    return f"balanced accuracy{whiskers}{some}"


def _said(curves: Sequence[_Curve]) -> str:
    """The figures in words, each curve with its own ratios, since not every row has all of the table's."""
    each = (
        f"{xml(curve.name)} {', '.join(f'{p.value:.1f} at {p.ratio} %' for p in curve.points)}"
        for curve in curves
    )
    return f"Balanced accuracy in per cent, at shares of the labels: {'; '.join(each)}"


def _axes(table: Table, across: dict[int, float], scale: _Scale) -> list[str]:
    parts = []
    for tick in scale.ticks:
        y = scale.y(tick)
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{_RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(text(_LEFT - 10, y + 4, f"{tick} %", "quiet", "end"))
    for ratio, x in across.items():
        parts.append(text(x, _BOTTOM + 22, f"{ratio} %", "", "middle"))
        parts.append(text(x, _BOTTOM + 39, f"{_mean_labels(table, ratio):,.0f}", "quiet", "middle"))
    said = "share of the labels permitted, and their mean number, train and val together"
    parts.append(text((_LEFT + _RIGHT) / 2, _BOTTOM + 60, said, "quiet", "middle"))
    return parts


def _mean_labels(table: Table, ratio: int) -> float:
    records = table.records_at(ratio)
    return sum(record.train_labels + record.val_labels for record in records) / len(records)


def _reference(curve: _Curve, scale: _Scale) -> list[str]:
    return [f'<polyline class="reference" points="{_path(curve.points, scale)}"/>']


def _methods(curves: Sequence[_Curve], scale: _Scale) -> list[str]:
    """Lines with whiskers, each shifted a little sideways so that whiskers do not hide each other."""
    parts = []
    for place, curve in enumerate(curves):
        aside = (place - (len(curves) - 1) / 2) * 3.0
        points = [replace(p, x=p.x + aside) for p in curve.points]
        parts.append(f'<g class="m{curve.colour} n{curve.colour}">')
        for point in points:
            if point.low is not None and point.high is not None:
                low, high = scale.y(point.low), scale.y(point.high)
                parts.append(f'<path class="whisker" d="M{point.x:.1f} {low:.1f} V{high:.1f}"/>')
        parts.append(f'<polyline class="curve" points="{_path(points, scale)}"/>')
        parts += [
            f'<circle cx="{point.x:.1f}" cy="{scale.y(point.value):.1f}" r="3.2" stroke="none"/>'
            for point in points
        ]
        parts.append("</g>")
    return parts


def _names(curves: Sequence[_Curve], scale: _Scale) -> list[str]:
    """Each name at the end of its line, moved up or down only as far as needed to keep names apart."""
    parts = []
    ordered = sorted(curves, key=lambda curve: scale.y(curve.points[-1].value))
    ends = [scale.y(curve.points[-1].value) for curve in ordered]
    for curve, end, y in zip(ordered, ends, apart(ends, _NAME_GAP, _TOP, _BOTTOM), strict=True):
        last = curve.points[-1].x
        bend = f"M{last + 14:.1f} {end:.1f} H{_RIGHT} L{_RIGHT + 14} {y:.1f}"
        parts.append(f'<path class="leader" d="{bend}"/>')
        name = xml(short(curve.name, _LONGEST_NAME))
        kind = "quiet" if curve.colour is None else f"name n{curve.colour}"
        parts.append(text(_RIGHT + 19, y + 4, name, kind))
    return parts


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


def _path(points: Sequence[_Point], scale: _Scale) -> str:
    return " ".join(f"{point.x:.1f},{scale.y(point.value):.1f}" for point in points)

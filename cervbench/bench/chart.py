"""Throughput as a picture: each row has a bar end to end and one of the ceiling; devices differ in scale."""

from collections.abc import Iterator, Sequence
from itertools import groupby

from cervbench.bench.rows import Row
from cervbench.markup.escaping import short, xml
from cervbench.markup.svg import picture, text

_WIDTH, _LEFT, _RIGHT = 900, 300, 700
_TOP, _ROW, _HEAD, _FOOT = 109, 44, 40, 16
_BAR = 13
_LONGEST_NAME, _LONGEST_DEVICE = 38, 80

_STYLE = """
  .device { font-weight: 600 }
  .run { fill: #0969da }
  .ceiling { fill: #b6bfc9 }
  @media (prefers-color-scheme: dark) {
    .run { fill: #58a6ff }
    .ceiling { fill: #4d5661 }
  }
"""


def chart(rows: Sequence[Row], mark: str) -> str:
    """An SVG of rows that come in the order of their keys; `mark` is a comment that says what made it."""
    devices = [list(group) for _, group in groupby(rows, key=lambda row: row.where.device)]
    parts = [
        f'<rect class="run" x="20" y="79" width="{_BAR}" height="{_BAR}" rx="2"/>',
        text(39, 90, "end to end", "quiet"),
        f'<rect class="ceiling" x="120" y="79" width="{_BAR}" height="{_BAR}" rx="2"/>',
        text(139, 90, "ceiling: the same loop on one batch that is on the device already", "quiet"),
    ]
    y = _TOP
    for group in devices:
        parts.append(text(20, y + 24, xml(short(group[0].where.device, _LONGEST_DEVICE)), "device"))
        y += _HEAD
        longest = max(max(row.views_per_second, row.ceiling_views_per_second) for row in group)
        for row in group:
            parts += _bars(row, y, (_RIGHT - _LEFT) / longest)
            y += _ROW
    return picture(
        _WIDTH,
        y + _FOOT,
        mark=mark,
        title="Views a second, end to end and at the ceiling",
        notes=[
            "each device on a scale of its own; a view of one method is other work than a view of another",
            "at the right, the share of the ceiling: the median of the rounds' own ratios",
        ],
        said="; ".join(
            f"{xml(row.setup.name)} on {xml(row.where.device)}: {row.views_per_second:,.0f} views/s "
            f"of {row.ceiling_views_per_second:,.0f}"
            for row in rows
        ),
        style=_STYLE,
        parts=parts,
    )


def _bars(row: Row, y: float, scale: float) -> Iterator[str]:
    yield text(20, y + 13, xml(short(row.setup.name, _LONGEST_NAME)))
    views = f"{row.views} view{'s' * (row.views > 1)}"
    yield text(20, y + 29, f"{row.size} px, batch {row.batch} × {views}", "quiet")
    for kind, rate, top in (
        ("run", row.views_per_second, y),
        ("ceiling", row.ceiling_views_per_second, y + _BAR + 3),
    ):
        length = rate * scale
        yield (
            f'<rect class="{kind}" x="{_LEFT}" y="{top:.1f}" width="{length:.1f}" height="{_BAR}" rx="2"/>'
        )
        yield text(_LEFT + length + 6, top + 11, f"{rate:,.0f}", "quiet")
    yield text(_WIDTH - 24, y + 20, f"{100 * row.ratio:.0f} %", "device", "end")

"""Numbers, figures with intervals, durations and tables as Markdown."""

import re
from collections.abc import Iterable, Sequence

_INTERVAL = re.compile(r"(\[[−+]?[\d.]+,) (?=[−+]?[\d.]+\])")


def grid(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table: the first column is aligned to the left, the others to the right.

    A browser makes columns narrow, and two lines of an interval unless its space is one that does not break.
    """
    ruler = [":---", *["---:"] * (len(header) - 1)]
    lines = ("| " + " | ".join(cells) + " |" for cells in [header, ruler, *rows])
    return _INTERVAL.sub("\\1\N{NO-BREAK SPACE}", "\n".join(lines))


def number(value: float, digits: int, signed: bool = False) -> str:
    """A number with a true minus sign. There is no −0.0, even if a negative number was rounded to zero.

    `signed` is for differences: every number has a sign, and one that is rounded to zero keeps its own, since
    an interval that ends at −0.0 excludes 0 and one that ends at +0.0 does not.
    """
    shown = f"{value + 0.0:+.{digits}f}" if signed else f"{value:z.{digits}f}"  # -0.0 + 0.0 is 0.0
    return shown.replace("-", "−")


def figure(
    shown: Sequence[float | None], bold: bool = False, per_cent: bool = True, signed: bool = False
) -> str:
    """`41.2 [37.1, 45.3]`: a value, and its interval if it has one; in per cent, or as it is."""
    if shown[0] is None:
        return "–"
    scale, digits = (100, 1) if per_cent else (1, 2)
    value, *bounds = (number(scale * one, digits, signed) for one in shown if one is not None)
    value = f"**{value}**" if bold else value
    return f"{value} [{', '.join(bounds)}]" if len(bounds) == 2 else value


def duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 3600 else f"{seconds / 3600:.1f} h"

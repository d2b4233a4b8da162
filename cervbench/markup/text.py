"""Figures, durations and tables as Markdown."""

from collections.abc import Iterable, Sequence


def grid(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table, the first column to the left and the others to the right."""
    ruler = [":---", *["---:"] * (len(header) - 1)]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [header, ruler, *rows])


def figure(shown: Sequence[float | None], bold: bool = False, per_cent: bool = True) -> str:
    """`41.2 [37.1, 45.3]`: a value and its interval, where there are such; per cent or as they are."""
    if shown[0] is None:
        return "–"
    value, *bounds = (
        (f"{100 * number:.1f}" if per_cent else f"{number:.2f}").replace("-", "−")
        for number in shown
        if number is not None
    )
    value = f"**{value}**" if bold else value
    return f"{value} [{', '.join(bounds)}]" if len(bounds) == 2 else value


def duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 3600 else f"{seconds / 3600:.1f} h"

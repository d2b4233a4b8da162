"""What all charts share: the frame of a picture, and text."""

from collections.abc import Iterable, Sequence

# The picture has a background of its own, since a page can be light while the system prefers dark.
_STYLE = """
  .ground { fill: #ffffff; stroke: #d0d7de }
  text { font: 13px system-ui, -apple-system, 'Segoe UI', Helvetica, Arial, sans-serif; fill: #1f2328 }
  .title { font-size: 15px; font-weight: 600 }
  .quiet { fill: #59636e; font-size: 12px }
  @media (prefers-color-scheme: dark) {
    .ground { fill: #0d1117; stroke: #30363d }
    text { fill: #e6edf3 }
    .quiet { fill: #9198a1 }
  }
"""


def picture(
    width: int,
    height: int,
    *,
    mark: str,
    title: str,
    notes: Sequence[str],
    said: str,
    style: str,
    parts: Iterable[str],
) -> str:
    """An SVG. `mark` is a comment that says what wrote it, `said` a description for screen readers."""
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
            f'height="{height}" role="img" aria-labelledby="title figures">',
            mark,
            f'<title id="title">{title}</title>',
            f'<desc id="figures">{said}</desc>',
            f"<style>{_STYLE}{style}</style>",
            f'<rect class="ground" x=".5" y=".5" width="{width - 1}" height="{height - 1}" rx="6"/>',
            text(20, 29, title, "title"),
            *(text(20, 48 + 17 * line, note, "quiet") for line, note in enumerate(notes)),
            *parts,
            "</svg>\n",
        ]
    )


def text(x: float, y: float, content: str, kind: str = "", anchor: str = "start") -> str:
    """`content` must already be escaped."""
    style = f' class="{kind}"' if kind else ""
    return f'<text{style} x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{content}</text>'

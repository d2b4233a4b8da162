"""Makes names from strangers' packages and files harmless in Markdown, in links and as file names."""

import re
from urllib.parse import quote

_LONGEST = 60
_MARKUP = re.compile(r"([\\`*_\[\]|~$])")
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;"}


def plain(value: object) -> str:
    """The value as one line of printable characters."""
    return " ".join("".join(c if c.isprintable() else " " for c in str(value)).split())


def short(value: object, longest: int = _LONGEST) -> str:
    """The same, cut if it is so long that it would push everything else off the page."""
    line = plain(value)
    return line if len(line) <= longest else line[: longest - 1] + "…"


def xml(value: object) -> str:
    """Text for an SVG, inside an element or an attribute."""
    return "".join(_ENTITIES.get(character, character) for character in plain(value))


def markdown(value: object) -> str:
    """Text that Markdown shows as it is: it cannot become markup, HTML, a table cell, a link or a mention."""
    line = _MARKUP.sub(r"\\\1", xml(value))
    return line.replace("://", "&#58;//").replace("www.", "www&#46;").replace("@", "&#64;")


def file_name(value: str) -> str:
    """A file name without suffix: unique for each value, never in another folder, and never README."""
    name = quote(value, safe="@")
    return f"%{ord(name[0]):02X}{name[1:]}" if name.lower() == "readme" else name


def link(path: str) -> str:
    """A relative path, quoted to be the target of a link."""
    return quote(path, safe="/@")

"""Makes names from strangers' packages and files harmless in Markdown, links, file names and terminals."""

import re
from unicodedata import category
from urllib.parse import quote

_LONGEST = 60
_MARKUP = re.compile(r"([\\`*_\[\]|~$])")
_BLOCK = re.compile(r"^(\d*)([-+#.)])")
_ADDRESS = re.compile(r"@(?=[^@\s]*\.)")
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;"}


def plain(value: object) -> str:
    """The value as one line of printable characters."""
    return " ".join("".join(c if c.isprintable() else " " for c in str(value)).split())


def short(value: object, longest: int = _LONGEST) -> str:
    """The same, cut if it is so long that it would push everything else off the page."""
    line = plain(value)
    return line if len(line) <= longest else line[: longest - 1] + "…"


def printable(text: str) -> str:
    """Several lines for a terminal, which no other character can command."""

    def harmless(character: str) -> bool:
        return character.isprintable() or character == "\n" or category(character) == "Zs"

    return "".join(c if harmless(c) else c.encode("unicode_escape").decode() for c in text)


def xml(value: object) -> str:
    """Text for an SVG, inside an element or an attribute."""
    return "".join(_ENTITIES.get(character, character) for character in plain(value))


def markdown(value: object) -> str:
    """Text that Markdown shows as it is: it cannot become markup, HTML, a table cell, a link or a mention."""
    line = _MARKUP.sub(r"\\\1", _ADDRESS.sub("@\0", xml(value)))
    line = _BLOCK.sub(r"\1\\\2", line)  # at the start of a line it would begin a heading or a list
    line = line.replace("://", "&#58;//").replace("www.", "www&#46;").replace("@", "&#64;")
    return line.replace("\0", "<!-- -->")  # or an address would be a link, whatever stands for its @


def file_name(value: str) -> str:
    """A file name without suffix: unique for each value, never in another folder, and never README."""
    name = quote(value, safe="@")
    return f"%{ord(name[0]):02X}{name[1:]}" if name.lower() == "readme" else name


def link(path: str) -> str:
    """A relative path, quoted to be the target of a link."""
    return quote(path, safe="/@")

"""A file with its hash beside it: whether it is still what was written can be told."""

import hashlib
from pathlib import Path

from cervbench.atomic import write_text


def seal(path: Path) -> None:
    """Keep the hash of a file beside it, as `sha256sum` writes it."""
    write_text(_seal_of(path), f"{_sha256(path)}  {path.name}\n")


def is_whole(path: Path) -> bool:
    """Whether a file is there and unchanged since it was sealed."""
    try:
        return _seal_of(path).read_text("utf-8").split()[:1] == [_sha256(path)]
    except (FileNotFoundError, UnicodeDecodeError):
        return False


def _seal_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

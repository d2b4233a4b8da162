"""The source of a dataset: where its files come from."""

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import PureWindowsPath

from cervbench.data.error import DataError
from cervbench.error import first_few
from cervbench.plugin.problems import shown

_SHA256 = re.compile(r"(sha256:)?[0-9a-f]{64}", re.IGNORECASE)


@dataclass(frozen=True)
class Archive:
    """One file of the official source."""

    url: str
    size: int | None = None
    sha256: str | None = None
    """None if no checksum is published; then the first download's is remembered, and shown to the user."""
    keep_as: str = ""
    """If the file is no archive but a table, say: its name in the dataset's folder."""

    def __post_init__(self) -> None:
        if self.sha256 is not None:
            if not (isinstance(self.sha256, str) and _SHA256.fullmatch(self.sha256)):
                # No file has it, and each download would be removed.
                raise DataError(
                    f"{self.url}: its sha256 is {self.sha256!r}, where 64 hexadecimal digits are due"
                )
            object.__setattr__(self, "sha256", self.sha256.lower().removeprefix("sha256:"))
        if self.size is not None and type(self.size) is not int:
            raise DataError(f"{self.url}: its size is {self.size!r}, where a number of bytes is due")
        kept = self.keep_as
        if kept and (PureWindowsPath(kept).name != kept or kept.startswith(".")):
            raise DataError(f"{self.url}: it is kept as {kept!r}, where the plain name of a file is due")


@dataclass(frozen=True)
class Source:
    """Where the files come from."""

    page: str
    archives: tuple[Archive, ...] = ()
    """What can be downloaded and unpacked without a human."""
    by_hand: str = ""
    """If that is not everything: exactly which file to put where."""

    def __post_init__(self) -> None:
        if not isinstance(self.archives, tuple | list) or not all(
            isinstance(archive, Archive) for archive in self.archives
        ):
            raise DataError(
                f"`archives` of a Source is {shown(self.archives)}, where a tuple is due: (Archive(…),)"
            )
        names = [archive.keep_as for archive in self.archives if archive.keep_as]
        if twice := first_few([name for name, times in Counter(names).items() if times > 1]):
            raise DataError(f"`archives` of a Source keep more than one file as {twice}")

"""Unpacking an archive that nobody has reason to trust.

It guarantees that nothing is written outside the folder, that no link or device is made, that no more is
written than a multiple of the archives' size, and that the folder appears complete or not at all.
"""

import errno
import lzma
import os
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PureWindowsPath
from typing import IO, Any

from cervbench.atomic import naming, whole_folder
from cervbench.data.error import DataError

EXPANSION = 100
"""How many bytes may be written for each byte of the archive. Honest ones stay far below: bitmaps shrink to
about a tenth, tables to a twentieth."""

ALLOWANCE = 16 * 2**20
"""How many bytes any archive may unpack to, however small it is."""

MEMBERS = 1_000_000
"""How many files and folders an archive may hold."""

_CHUNK = 2**20
_DAMAGED = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    ValueError,  # a name that no file can have
    NotImplementedError,  # a compression that zipfile does not know
)


class ArchiveError(DataError):
    """The archive itself is at fault, rather than the place that it is unpacked to."""

    def __init__(self, archive: Path, fault: str) -> None:
        super().__init__(f"{archive} {fault}; it is not unpacked")
        self.archive = archive


@dataclass(frozen=True)
class _Member:
    name: str
    kind: str
    """`file`, `folder`, or the name of a kind that is refused."""
    open: Callable[[], IO[bytes] | None]


def unpack(archives: Sequence[Path], folder: Path, kept: Mapping[str, Path] | None = None) -> None:
    """Unpack all archives into `folder`, which must not exist yet, and copy files to `kept` names there."""
    if folder.exists():
        raise DataError(f"{folder} exists already; remove or rename it first")
    with naming(folder), whole_folder(folder) as beside:
        for name, path in (kept or {}).items():
            shutil.copyfile(path, beside / name)
        for archive in archives:
            _unpack_one(archive, beside)


def _unpack_one(archive: Path, folder: Path) -> None:
    budget = EXPANSION * archive.stat().st_size + ALLOWANCE
    try:
        for number, member in enumerate(_members(archive), start=1):
            if number > MEMBERS:
                raise ArchiveError(archive, f"holds more than {MEMBERS:,} members")
            target = folder.joinpath(*_parts(member, archive))
            if member.kind == "folder":
                target.mkdir(parents=True, exist_ok=True)
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            budget -= _write(member, target, budget)
            if budget < 0:
                raise ArchiveError(
                    archive,
                    f"unpacks to more than {EXPANSION} times its size, at {member.name!r}",
                )
    except _DAMAGED as error:
        raise ArchiveError(
            archive,
            f"is damaged or no archive: {error}. (A card names a file that is none with Archive(keep_as=…))",
        ) from None
    except FileExistsError as error:
        name = Path(error.filename).relative_to(folder)
        raise DataError(  # the archive itself may be sound
            f"{archive} holds {name}, which is there already, from it or from another archive, with other "
            "content; it is not unpacked"
        ) from None
    except RuntimeError as error:  # an encrypted member
        raise ArchiveError(archive, f"holds what cannot be read: {error}") from None
    except OSError as error:
        raise DataError(f"{archive} cannot be unpacked: {error}") from None


def _parts(member: _Member, archive: Path) -> tuple[str, ...]:
    """Where the member belongs below the folder; read as a Windows path, which some archives have."""
    path = PureWindowsPath(member.name)
    if path.drive or path.root or ".." in path.parts:
        raise ArchiveError(archive, f"holds {member.name!r}, which lies outside the folder")
    if member.kind not in ("file", "folder"):
        raise ArchiveError(archive, f"holds {member.name!r}, which is a {member.kind}")
    return path.parts


def _write(member: _Member, target: Path, budget: int) -> int:
    """The number of bytes read, whatever the archive announced; it stops when the budget is spent.

    A file that is there already may come again with the same bytes: many archives hold one README.
    """
    written = 0
    source = member.open()
    if source is None:
        return 0
    again = target.is_file()
    with source, target.open("rb" if again else "xb") as out:
        while written <= budget and (chunk := source.read(_CHUNK)):
            written += len(chunk)
            if not again:
                out.write(chunk)
            elif out.read(len(chunk)) != chunk:
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))
        if again and out.read(1):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))
    return written


def _members(archive: Path) -> Iterator[_Member]:
    if zipfile.is_zipfile(archive):
        return _zip_members(archive)
    return _tar_members(archive)


def _zip_members(archive: Path) -> Iterator[_Member]:
    with zipfile.ZipFile(archive) as opened:
        for info in opened.infolist():
            mode = stat.S_IFMT(info.external_attr >> 16)
            kind = "folder" if info.is_dir() else "file"
            if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                # zipfile would unpack all that it has read of the others at once, however much that is
                raise ArchiveError(
                    archive,
                    f"holds {info.filename!r}, which is not compressed by deflate; unpack it yourself, or "
                    "pack it anew",
                )
            if mode not in (0, stat.S_IFREG, stat.S_IFDIR):
                kind = "link" if mode == stat.S_IFLNK else "device"
            yield _Member(info.filename, kind, partial(opened.open, info))


_HEADERS = (
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
)


class _ShortHeader(tarfile.TarInfo):
    """Refuses the header of a member that is itself long: tarfile reads a name of any length at once."""

    def _proc_member(self, archive: tarfile.TarFile) -> Any:
        if self.type in _HEADERS and self.size > _CHUNK:
            raise tarfile.ReadError(f"a header of {self.size:,} bytes")
        return super()._proc_member(archive)  # type: ignore[misc]


def _tar_members(archive: Path) -> Iterator[_Member]:
    with tarfile.open(archive, tarinfo=_ShortHeader) as opened:
        for info in opened:
            kind = "folder" if info.isdir() else "file" if info.isreg() else "device"
            if info.issym() or info.islnk():
                kind = "link"
            yield _Member(info.name, kind, partial(opened.extractfile, info))

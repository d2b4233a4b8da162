"""Downloading one file completely: broken connections are resumed, and what arrived is checked."""

import hashlib
import json
import re
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from time import sleep
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from cervbench.atomic import put_in_place, write_text
from cervbench.data.cards.source import Archive
from cervbench.data.error import DataError
from cervbench.watching import WatchStages

ATTEMPTS = 6
TIMEOUT = 60
_CHUNK = 2**18


@dataclass(frozen=True)
class Download:
    """A file as it was downloaded, to be shown to the user."""

    url: str
    path: Path
    size: int
    sha256: str
    published: bool
    """Whether the card has a checksum; if not, the file is compared with the first download."""


class _BrokeOffError(Exception):
    """The connection ended early, so that another attempt is worthwhile."""


def download(archive: Archive, folder: Path, watch: WatchStages) -> Download:
    """The file of `archive` in `folder`, fetched if it is not there yet, and checked in both cases."""
    if urlsplit(archive.url).scheme not in ("http", "https"):
        raise DataError(f"{archive.url} is not an http address; nothing else is fetched")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / _file_name(archive.url)
    if not path.exists():
        part = path.with_name(path.name + ".part")
        for link in (part, _validator_file(part)):
            if link.is_symlink():  # in a cache that others write to, it may lead anywhere
                link.unlink()
        for attempt in range(1, ATTEMPTS + 1):
            try:
                _receive(archive, part, watch)
                break
            except _BrokeOffError as error:
                if attempt == ATTEMPTS:
                    raise DataError(
                        f"{archive.url} broke off {ATTEMPTS} times, at last with: {error}. Run the command "
                        f"again, it goes on where it stopped; or put the file there by hand as {path}"
                    ) from None
                sleep(2.0 ** (attempt - 1))
        put_in_place(part, path)
        _validator_file(part).unlink(missing_ok=True)
    return _checked(archive, path)


def pin(done: Download) -> None:
    """Remember what was downloaded, so that other bytes from the same address are noticed."""
    write_text(_pin_file(done.path), json.dumps({"url": done.url, "size": done.size, "sha256": done.sha256}))


def _file_name(url: str) -> str:
    """A plain name whatever the address holds, and a different one for each address."""
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", urlsplit(url).path.rsplit("/", 1)[-1]).lstrip(".")[-80:]
    return f"{hashlib.sha256(url.encode()).hexdigest()[:8]}-{plain or 'download'}"


def _pin_file(path: Path) -> Path:
    return path.with_name(path.name + ".pin.json")


def _validator_file(part: Path) -> Path:
    return part.with_name(part.name + ".validator")


def _receive(archive: Archive, part: Path, watch: WatchStages) -> None:
    """One attempt, which goes on where the part ends if the server can and the file is still the same."""
    validator = _validator_file(part).read_text("utf-8") if _validator_file(part).exists() else ""
    have = part.stat().st_size if part.exists() and validator else 0
    headers = {"User-Agent": "cervbench", "Accept-Encoding": "identity"}
    if have:
        headers |= {"Range": f"bytes={have}-", "If-Range": validator}
    try:
        response = urlopen(Request(archive.url, headers=headers), timeout=TIMEOUT)
    except HTTPError as error:
        if error.code == 416:  # nothing lies beyond the part that is here: it is whole, or of another file
            if error.headers.get("Content-Range") == f"bytes */{have}":
                return
            part.unlink(missing_ok=True)
            raise _BrokeOffError("the part at hand did not fit the file") from None
        if error.code < 500 and error.code not in (408, 429):
            raise DataError(
                f"{archive.url} answers {error.code} {error.reason}; has the file moved?"
            ) from None
        raise _BrokeOffError(f"{error.code} {error.reason}") from None
    except URLError as error:
        raise _BrokeOffError(str(error.reason)) from None
    except (OSError, HTTPException) as error:
        raise _BrokeOffError(str(error) or type(error).__name__) from None
    with response:
        try:
            _store(response, archive, part, have, watch)
        except OSError as error:  # from the disk, since `_read` turns the network's into _BrokeOffError
            raise DataError(f"{part} cannot be written: {error}; run the command again to go on") from error


def _store(response: HTTPResponse, archive: Archive, part: Path, have: int, watch: WatchStages) -> None:
    start, total = _extent(response)
    if start not in (0, have):
        raise _BrokeOffError(f"the server sent bytes from {start}, and {have} were asked for")
    if archive.size is not None and total is not None and total != archive.size:
        raise DataError(
            f"{archive.url} is {total} bytes long, and the card says {archive.size}; not downloaded"
        )
    if not start:
        part.unlink(missing_ok=True)  # first, or a kill would leave it with the validator of another file
        _validator_file(part).write_text(_validator(response), "utf-8")
    received = start
    with part.open("ab" if start else "wb") as out:
        while chunk := _read(response):
            out.write(chunk)
            received += len(chunk)
            watch(f"fetch {archive.url.rsplit('/', 1)[-1]}", received, total or received, {})
            if archive.size is not None and received > archive.size:
                part.unlink()
                raise DataError(f"{archive.url} sends more than the {archive.size} bytes that the card says")
    if total is not None and received < total:
        raise _BrokeOffError(f"{received} of {total} bytes came")


def _read(response: HTTPResponse) -> bytes:
    """The next bytes. Any error of the network, whatever its kind, is worth another attempt."""
    try:
        return response.read(_CHUNK)
    except (OSError, HTTPException) as error:
        raise _BrokeOffError(str(error) or type(error).__name__) from None


def _extent(response: HTTPResponse) -> tuple[int, int | None]:
    """The number of the first byte that is sent, and the length of the whole file if it is told."""
    if response.status == 206:
        match = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
        if match is None:
            raise _BrokeOffError("the server sent a part and did not say which")
        return int(match[1]), None if match[2] == "*" else int(match[2])
    length = response.headers.get("Content-Length", "")
    return 0, int(length) if length.isdecimal() else None


def _validator(response: HTTPResponse) -> str:
    """What tells this version of the file from a later one. Weak tags cannot."""
    tag = response.headers.get("ETag", "")
    return tag if tag and not tag.startswith("W/") else response.headers.get("Last-Modified", "")


def _checked(archive: Archive, path: Path) -> Download:
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    size = path.stat().st_size
    pinned = _pin_file(path)
    want_size, want_sha256, by, remedy = archive.size, archive.sha256, "the card says", "fetch it again"
    if archive.sha256 is None and pinned.exists():
        first = json.loads(pinned.read_text("utf-8"))
        want_size, want_sha256, by = first["size"], first["sha256"], "the first download was"
        remedy = f"where the source has changed for good, remove {pinned} to accept it"
    if want_size not in (None, size) or want_sha256 not in (None, sha256):
        path.unlink()
        told = {f"{want_size} bytes": want_size, f"sha256 {want_sha256}": want_sha256}
        wanted = ", ".join(words for words, value in told.items() if value is not None)
        raise DataError(
            f"{archive.url} gave {size} bytes, sha256 {sha256}; {by} {wanted}. The file was removed; {remedy}"
        )
    return Download(archive.url, path, size, sha256, published=archive.sha256 is not None)

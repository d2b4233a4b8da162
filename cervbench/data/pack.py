"""A pack: a dataset made ready, as an array on disk of its images at one stored size, and an index.

It is built once and found again by a fingerprint of the files it was made from. Images keep their aspect
ratio, since shape is what tells cells apart: they are padded with the colour of their own border.
"""

import hashlib
import json
import logging
import shutil
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np

from cervbench.atomic import discard, naming, whole_folder, write_text
from cervbench.data.cards.card import Card
from cervbench.data.cards.item import Item, read_file
from cervbench.data.error import DataError
from cervbench.data.fitting import content_box, fit
from cervbench.data.stored import StoredImages
from cervbench.lock import locked
from cervbench.place import cores
from cervbench.sealed import is_whole, seal
from cervbench.watching import WatchStages, unwatched

if TYPE_CHECKING:
    from PIL.Image import Image

_LOG = logging.getLogger("cervbench")

FORMAT = 4
"""Raised when the same files would give another pack."""
_LOOKED_AT = 2**16
"""Bytes of a few files by which images are told from others of the same names, sizes and dates."""


@dataclass(frozen=True)
class Pack:
    """Images are sorted by id; row n of every column belongs to image n."""

    folder: Path
    form: str
    """What decided the pack apart from the files."""
    hash: str
    ids: tuple[str, ...]
    labels: tuple[str, ...]
    """Class names; an empty one stands for an unlabelled image."""
    groups: tuple[str, ...]
    splits: tuple[str | None, ...]
    native_size: np.ndarray = field(compare=False)
    """Width and height in pixels before fitting: images × 2."""
    digests: tuple[bytes, ...]
    """The SHA-256 of the pixels of each image; `hash` covers them."""

    @cached_property
    def pixels(self) -> StoredImages:
        """uint8, images × side × side × 3, on disk."""
        return StoredImages.open(self.folder / "pixels.npy", self.digests)

    @cached_property
    def content(self) -> np.ndarray:
        """Where in its square each image lies: left, top, width, height as shares of the side."""
        side = self.pixels.shape[1]
        return content_box(self.native_size, side) / side

    @classmethod
    def open(cls, folder: Path) -> "Pack":
        """The pack in a folder; ValueError if it is not whole. Pixels are checked when they are read."""
        path = folder / "index.json"
        if path.exists() and not is_whole(path):
            raise ValueError(f"{path} is not what was written")
        index = json.loads(path.read_text("utf-8"))
        pack = cls(
            folder=folder,
            form=index["form"],
            hash=index["hash"],
            ids=tuple(index["images"]),
            labels=tuple(index["labels"]),
            groups=tuple(index["groups"]),
            splits=tuple(index["splits"]),
            native_size=np.array(index["native_size"]).reshape(-1, 2),
            digests=tuple(map(bytes.fromhex, index["digests"])),
        )
        labels = [label or None for label in pack.labels]
        rows = zip(pack.ids, labels, pack.groups, pack.splits, pack.digests, strict=True)
        if _content_hash(rows) != pack.hash or len(pack.pixels) != len(pack.ids):
            raise ValueError(f"the pack {folder} is not what was built")
        return pack


def prepare(
    card: Card,
    data_root: Path,
    cache: Path,
    stored_size: int,
    watch: WatchStages = unwatched,
) -> Pack:
    """The pack of a dataset as it is on this disk, built if there is none yet."""
    packs = cache / "packs" / card.name
    source = card.below(data_root)
    if not (source.exists() or card.synthetic):
        return _carried(packs, card, source, stored_size)
    items = card.listed(data_root)
    _refuse_unknown_classes(card, items)
    folder = packs / _fingerprint(card, items, stored_size)
    if (kept := _opened(folder)) is None:
        return _built_once(card, items, folder, stored_size, watch)
    _warn_of_another_read(card, items, kept, stored_size)
    return kept


def _built_once(card: Card, items: Sequence[Item], folder: Path, side: int, watch: WatchStages) -> Pack:
    """The pack of a folder that held none: one process builds it while others wait."""
    waiting = partial(watch, f"pack {card.name}: waiting for another process", 0, 0, {})
    with locked(folder.with_suffix(".lock"), waiting):
        pack = _opened(folder)  # by now another process may have built it
        if pack is None:
            if folder.exists():
                _LOG.warning("the pack %s is damaged: it is discarded and built anew", folder)
                discard(folder)
            _build(card, items, folder, side, watch)
            pack = Pack.open(folder)
    return pack


def _carried(packs: Path, card: Card, source: Path, stored_size: int) -> Pack:
    """A pack copied from another machine, which stands in for files that are not here."""
    built = [pack for path in sorted(packs.glob("[!.]*")) if (pack := _opened(path))]
    fitting = [pack for pack in built if pack.form == _form(card, stored_size)]
    if len(fitting) == 1:
        _LOG.warning("%s is not on this disk: the pack %s stands in", source, fitting[0].folder)
        return fitting[0]
    by_hand = f" {card.source.by_hand}" if card.source.by_hand else ""
    raise DataError(
        f"{card.name} is not on this disk: there is no folder {source}. Set --data-root (or CERVBENCH_DATA) "
        f"to the folder that holds {source.name}/, or run `cervbench data fetch {card.name}`.{by_hand}"
    )


def _opened(folder: Path) -> Pack | None:
    """The pack in a folder; None if there is none, or it is damaged."""
    try:
        return Pack.open(folder)
    except (FileNotFoundError, NotADirectoryError, EOFError, KeyError, ValueError):
        return None


def _refuse_unknown_classes(card: Card, items: Sequence[Item]) -> None:
    known = {*card.classes, None}
    for item in items:
        if item.label not in known:
            raise DataError(
                f"{card.name}: {item.path} has the class {item.label!r}, which the card does not know"
            )


def _warn_of_another_read(card: Card, items: Sequence[Item], pack: Pack, side: int) -> None:
    """Warn if a card's own `read` gives other pixels than are kept: its code is no part of the fingerprint.

    Three images are read for it, so that a kept pack is still at hand at once.
    """
    if card.read is read_file:
        return
    for row in _sampled(items):
        if hashlib.sha256(fit(_read(card, items[row]), side).tobytes()).digest() != pack.digests[row]:
            _LOG.warning(
                "%s: `read` of its card gives other pixels of image %s than the pack that is kept, and runs "
                "use the pack. If `read` has changed, raise the card's `revision`; if not (another Pillow "
                "rounds otherwise, say), remove %s, and it is built anew",
                card.name,
                items[row].id,
                pack.folder,
            )
            return


def _sampled(items: Sequence[Item]) -> tuple[int, int, int]:
    return 0, len(items) // 2, len(items) - 1


def _form(card: Card, stored_size: int) -> str:
    """What decides a pack apart from the files. Cards of one name may read otherwise."""
    own = card.read is not read_file
    reader = f"{card.read.__module__}.{getattr(card.read, '__qualname__', '')}" if own else ""
    return f"{FORMAT}/{stored_size}/{reader}/{card.revision}/{'/'.join(card.classes)}"


def _fingerprint(card: Card, items: Sequence[Item], stored_size: int) -> str:
    hasher = hashlib.sha256(_form(card, stored_size).encode())
    for item in items:
        if card.synthetic:
            stamp: tuple[int, ...] = ()
        else:
            status = item.path.stat()
            stamp = (status.st_size, status.st_mtime_ns)
        hasher.update(repr((item.id, item.label, item.group, item.split, item.box, stamp)).encode())
    if not card.synthetic:  # other images may have these names, sizes and dates: uncompressed ones, unpacked
        for item in (items[row] for row in _sampled(items)):
            if item.path.is_file():  # a card may read folders, too
                with item.path.open("rb") as file:
                    hasher.update(file.read(_LOOKED_AT))
    return hasher.hexdigest()[:16]


def _build(card: Card, items: Sequence[Item], folder: Path, side: int, watch: WatchStages) -> None:
    for left_by_a_kill in folder.parent.glob(f".{folder.name}.*"):
        shutil.rmtree(left_by_a_kill)
    with whole_folder(folder) as beside:
        with naming(folder / "pixels.npy"):
            sizes, digests = _write_pixels(card, items, beside / "pixels.npy", side, watch)
        index = {
            "form": _form(card, side),
            "hash": _content_hash(
                (item.id, item.label, item.group, item.split, digest)
                for item, digest in zip(items, digests, strict=True)
            ),
            "images": [item.id for item in items],
            "labels": [item.label or "" for item in items],
            "groups": [item.group for item in items],
            "splits": [item.split for item in items],
            "native_size": sizes,
            "digests": [digest.hex() for digest in digests],
        }
        write_text(beside / "index.json", json.dumps(index))
        seal(beside / "index.json")


def _write_pixels(
    card: Card, items: Sequence[Item], path: Path, side: int, watch: WatchStages
) -> tuple[list[tuple[int, int]], list[bytes]]:
    """Writes the images one after another, and returns the native size and a hash of each.

    Without a memory map, which on a full disk would end the process without a message.
    """
    writing = Lock()
    with path.open("wb") as out:
        shape = (len(items), side, side, 3)
        np.lib.format.write_array_header_1_0(out, {"descr": "|u1", "fortran_order": False, "shape": shape})
        start = out.tell()

        def store(row: int) -> tuple[tuple[int, int], bytes]:
            image = _read(card, items[row])
            pixels = fit(image, side).tobytes()
            with writing:
                out.seek(start + row * len(pixels))
                out.write(pixels)
            return image.size, hashlib.sha256(pixels).digest()

        sizes, digests = [], []
        with ThreadPoolExecutor(cores()) as pool:  # decoding and resizing release the GIL
            for row, (size, digest) in enumerate(pool.map(store, range(len(items)))):
                sizes.append(size)
                digests.append(digest)
                watch(f"pack {card.name}", row + 1, len(items), {})
    return sizes, digests


def _read(card: Card, item: Item) -> "Image":
    try:
        return card.image(item)
    except DataError as error:
        raise DataError(
            f"{card.name}, image {item.id}: {error} (`cervbench data check` names every such file)"
        ) from None


def _content_hash(rows: Iterable[tuple[str, str | None, str, str | None, bytes]]) -> str:
    """A hash of the id, label, group, split and digest of every image."""
    hasher = hashlib.sha256()
    for *known, digest in rows:
        hasher.update(repr(tuple(known)).encode() + digest)
    return hasher.hexdigest()[:16]

"""Fetching a dataset from its official source into the data root; nothing else writes there."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from cervbench.data.cards.card import Card
from cervbench.data.cards.source import Archive
from cervbench.data.download import Download, download, pin
from cervbench.data.error import DataError
from cervbench.data.unpack import ArchiveError, unpack
from cervbench.lock import locked
from cervbench.watching import WatchStages, unwatched


@dataclass(frozen=True)
class Fetched:
    folder: Path
    downloads: tuple[Download, ...]
    """To be shown to the user: without a published checksum, later downloads must equal the first."""


def fetch(card: Card, data_root: Path, cache: Path, watch: WatchStages = unwatched) -> Fetched:
    """Download, check and unpack into the dataset's folder; DataError says what has to be done by hand."""
    if card.synthetic:
        raise DataError(f"{card.name} needs no files: its images are drawn when they are read")
    folder = card.below(data_root)
    if not card.source.archives:
        raise DataError(f"{card.title} has to be fetched by hand, into {folder}. {card.source.by_hand}")
    downloads = cache / "downloads"
    waiting = partial(watch, f"fetch {card.name}: waiting for another process", 0, 0, {})
    with locked(downloads / f".{folder.name}.lock", waiting):
        if folder.exists():
            raise DataError(
                f"{folder} exists already; `cervbench data check {card.name}` says whether it is complete. "
                "To fetch it again, remove or rename it first"
            )
        done = tuple(download(archive, downloads, watch) for archive in card.source.archives)
        _unpack(card.source.archives, done, folder)
        for one in done:
            pin(one)
    return Fetched(folder, done)


def _unpack(archives: Sequence[Archive], done: Sequence[Download], folder: Path) -> None:
    pairs = list(zip(archives, done, strict=True))
    kept = {archive.keep_as: one.path for archive, one in pairs if archive.keep_as}
    try:
        unpack([one.path for archive, one in pairs if not archive.keep_as], folder, kept)
    except ArchiveError as error:  # the other archives are kept, to save downloading them again
        error.archive.unlink()
        raise DataError(f"{error}. It was removed: fetch it again") from None

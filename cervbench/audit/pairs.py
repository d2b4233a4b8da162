"""Near-duplicates: pairs of images of different groups that look alike, also when turned or mirrored."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from cervbench.atomic import write_atomically
from cervbench.data.dataset import Dataset
from cervbench.data.stored import StoredImages

SIDE = 24
"""Images are compared at this size, in colour, after brightness and contrast are normalised."""
SHOWN = 12
BLOCK = 1024


@dataclass(frozen=True)
class Pair:
    one: int
    other: int
    """Both are rows of the pack."""
    correlation: float
    """The correlation of the pixels, in that of the eight orientations where it is highest."""


def closest_pairs(dataset: Dataset, count: int) -> list[Pair]:
    """The most alike pairs of images that are of different groups and on two sides of some fold.

    There are fewer than `count` if the dataset has no more of them.
    """
    pixels = _small(dataset.pack.pixels)
    bins, groups = dataset.manifest.bins, np.unique(dataset.pack.groups, return_inverse=True)[1]
    upright = _unit(pixels)
    best: list[Pair] = []
    for start in range(0, len(pixels), BLOCK):
        rows = np.arange(start, min(start + BLOCK, len(pixels)))
        alike = np.max([_unit(turned) @ upright.T for turned in _orientations(pixels[rows])], axis=0)
        alike[groups[rows][:, None] == groups] = -np.inf
        alike[bins[rows][:, None] == bins] = -np.inf
        alike[rows[:, None] >= np.arange(len(pixels))] = -np.inf  # each pair once
        for place in np.argpartition(-alike, min(count, alike.size - 1), axis=None)[:count]:
            row, other = np.unravel_index(place, alike.shape)
            if np.isfinite(alike[row, other]):
                best.append(Pair(int(rows[row]), int(other), float(alike[row, other])))
    return sorted(best, key=lambda pair: -pair.correlation)[:count]


def draw_sheet(dataset: Dataset, pairs: Sequence[Pair], path: Path) -> None:
    """The images of each pair side by side, with their ids and labels."""
    side, line, per_row = 160, 46, 3
    sheet = Image.new("RGB", (per_row * (2 * side + 20), -(-len(pairs) // per_row) * (side + line)), "white")
    write = ImageDraw.Draw(sheet)
    for n, pair in enumerate(pairs):
        left, top = n % per_row * (2 * side + 20), n // per_row * (side + line)
        for shift, row in ((0, pair.one), (side, pair.other)):
            image = Image.fromarray(np.asarray(dataset.pack.pixels[row])).resize((side, side))
            sheet.paste(image, (left + shift, top))
            text = f"{dataset.pack.ids[row]}\n{dataset.pack.labels[row]}"
            write.text((left + shift + 2, top + side), text, "black")
        write.text((left + 2, top + side + 26), f"correlation {pair.correlation:.3f}", "black")
    write_atomically(path, lambda beside: sheet.save(beside, format="PNG"))


def _small(pixels: StoredImages) -> np.ndarray:
    """All images at SIDE × SIDE pixels, each the mean of its area."""
    small = [
        Image.fromarray(np.asarray(image)).resize((SIDE, SIDE), Image.Resampling.BOX) for image in pixels
    ]
    return np.stack([np.asarray(image) for image in small]).astype(np.float32)


def _orientations(images: np.ndarray) -> Iterator[np.ndarray]:
    for turns in range(4):
        turned = np.rot90(images, turns, axes=(1, 2))
        yield turned
        yield turned[:, :, ::-1]


def _unit(images: np.ndarray) -> np.ndarray:
    centred = images - images.mean((1, 2), keepdims=True)  # per channel: stain and light do not count
    flat = centred.reshape(len(images), -1)
    return flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-9)

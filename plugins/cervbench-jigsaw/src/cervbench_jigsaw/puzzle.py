"""The puzzle: nine pieces of an image in their places, and the orders in which they may be laid."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil

import numpy as np
import torch
from torch import Tensor

from cervbench.plugin import Flip, Normalise, Policy, Pyramid, Rotation, named_policy, on_device

ACROSS = 3
PIECES = ACROSS**2
SHARE = 153 / 170
"""A piece's side, of that of its cell, or less; the rest is the gap that keeps edges from being matched."""
MARGIN = 1 / 64
"""Of the stored side, left out around the content: so far resizing mixes padding into it."""
LEAST_SPREAD = 0.5
"""In grey levels. What spreads less is constant, and is not blown up to look like a texture."""

_GREY_LEVELS = Normalise(mean=(0.0,) * 3, std=(1 / 255,) * 3)


@dataclass(frozen=True)
class Puzzle:
    """A view: n × 9 × 3 × patch × patch, the pieces row by row as they lie in the policy's view.

    That is of the image's content, never of its padding, stretched to a square, and of such a size that
    a cell is little more than a piece, which is cut at random within it. Each channel of each piece is then
    brought to mean 0 and spread 1, for light falls off towards the edge of a field of view: so the
    encoder's normalisation has nothing to add.
    """

    policy: Policy
    patch: int

    @property
    def cell(self) -> int:
        """The side of a cell in pixels."""
        return ceil(self.patch / SHARE)

    def draw(self, rng: np.random.Generator, count: int) -> dict[str, np.ndarray]:
        whole = self.policy.draw(rng, count)
        return whole | {"within": rng.random((count, PIECES, 2)).astype(np.float32)}

    def apply(
        self, pixels: Pyramid, rows: Tensor, drawn: Mapping[str, np.ndarray], normalise: Normalise
    ) -> Tensor:
        content, side = inner(pixels.content(rows)), ACROSS * self.cell
        whole = self.policy.apply(pixels, rows, drawn, _GREY_LEVELS, size=side, part=content)
        return standardised(cut(whole, corners(drawn["within"], self.patch, self.cell), self.patch))


def puzzle_policy(name: str) -> Policy:
    """`turns`, which are the eight turns and mirrors of the square, or one that all methods share."""
    return Policy((Flip(), Rotation(step=90))) if name == "turns" else named_policy(name)


def inner(content: np.ndarray) -> np.ndarray:
    """The content without its outermost pixels, which resizing mixed with padding: n × 4."""
    corner, size = content[:, :2], content[:, 2:]
    margin = np.minimum(MARGIN, size / 8)
    return np.concatenate([corner + margin, size - 2 * margin], axis=1)


def corners(within: np.ndarray, patch: int, cell: int) -> np.ndarray:
    """Left and top of the pieces in whole pixels, n × 9 × 2; `within` 0..1 says where in the gap."""
    rows, columns = np.divmod(np.arange(PIECES), ACROSS)
    gap = np.minimum(np.floor(within * (cell - patch + 1)), cell - patch)
    return (np.stack([columns, rows], axis=1) * cell + gap).astype(np.int64)


def cut(images: Tensor, corners: np.ndarray, patch: int) -> Tensor:
    """Squares of each image, n × k × 3 × patch × patch, from their corners."""
    left, top = on_device(corners, images.device).unbind(2)
    every = images.unfold(2, patch, 1).unfold(3, patch, 1)
    return every[torch.arange(len(images), device=images.device)[:, None], :, top, left]


def standardised(pieces: Tensor) -> Tensor:
    """Mean 0 and spread 1 in each channel of each piece."""
    centred = pieces - pieces.mean((-2, -1), keepdim=True)
    spread = centred.square().mean((-2, -1), keepdim=True).sqrt()
    return centred / spread.clamp_(min=LEAST_SPREAD)


def orders(count: int, distant: bool) -> Tensor:
    """`count` orders of the pieces, no two the same, and the same ones in every run: count × 9.

    Drawn at random; `distant` ones are chosen one by one, each being, of a hundred drawn, the one that
    shares the fewest places with the nearest of those before it.
    """
    rng = np.random.Generator(np.random.Philox(key=PIECES))
    found = np.empty((count, PIECES), dtype=np.int64)
    for number in range(count):
        found[number] = _another(rng, found[:number], tried=100 if distant else 1)
    return torch.from_numpy(found)


def _another(rng: np.random.Generator, before: np.ndarray, tried: int) -> np.ndarray:
    while True:
        candidates = rng.permuted(np.tile(np.arange(PIECES), (tried, 1)), axis=1)
        apart = (candidates[:, None] != before).sum(axis=2).min(axis=1, initial=PIECES)
        if apart.max() > 0:
            best: np.ndarray = candidates[apart.argmax()]
            return best

"""The puzzle: nine pieces of an image in their places, and the orders in which they may be laid."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from cervbench.plugin import Crop, Flip, Normalise, Pyramid, Rotation, windows

ACROSS = 3
PIECES = ACROSS**2
SHARE = 153 / 170
"""A piece's side, of that of its cell; the rest is the gap that keeps edges from being matched."""
MARGIN = 1 / 64
"""Of the stored side, left out around the content: so far resizing mixes padding into it."""
LEAST_SPREAD = 0.5
"""In grey levels. What spreads less is constant, and is not blown up to look like a texture."""

_CROP, _FLIP, _TURN = Crop(), Flip(), Rotation(step=90)


@dataclass(frozen=True)
class Puzzle:
    """A view: n × 9 × 3 × patch × patch, the pieces row by row as they lie in the image.

    They are cut out of the image's content, never of its padding, each at random within its cell, and
    stretched to squares. Each channel of each piece is then brought to mean 0 and spread 1, for light
    falls off towards the edge of a field of view: so the encoder's normalisation has nothing to add.
    """

    patch: int
    turned: bool

    def draw(self, rng: np.random.Generator, count: int) -> dict[str, np.ndarray]:
        [mirrored], [degrees] = _FLIP.draw(rng, count), _TURN.draw(rng, count)
        within = rng.random((count, PIECES, 2)).astype(np.float32)
        return {"mirrored": mirrored, "degrees": degrees, "within": within}

    def apply(
        self, pixels: Pyramid, rows: Tensor, drawn: Mapping[str, np.ndarray], normalise: Normalise
    ) -> Tensor:
        known = {name: np.asarray(values, dtype=np.float64) for name, values in drawn.items()}
        whole = _CROP.affine(inner(pixels.content(rows)))
        if self.turned:
            whole = whole @ _FLIP.affine(known["mirrored"]) @ _TURN.affine(known["degrees"])
        pieces = _CROP.affine(boxes(known["within"]).reshape(-1, 4)).reshape(-1, PIECES, 3, 3)
        return standardised(windows(pixels, rows, whole[:, None] @ pieces, self.patch))


def inner(content: np.ndarray) -> np.ndarray:
    """The content without its outermost pixels, which resizing mixed with padding: n × 4."""
    corner, size = content[:, :2], content[:, 2:]
    margin = np.minimum(MARGIN, size / 8)
    return np.concatenate([corner + margin, size - 2 * margin], axis=1)


def boxes(within: np.ndarray) -> np.ndarray:
    """Left, top, width, height of the pieces, as shares of the side; `within` 0..1 says where in the gap."""
    rows, columns = np.divmod(np.arange(PIECES), ACROSS)
    corner = (np.stack([columns, rows], axis=1) + within * (1 - SHARE)) / ACROSS
    return np.concatenate([corner, np.full_like(corner, SHARE / ACROSS)], axis=-1)


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

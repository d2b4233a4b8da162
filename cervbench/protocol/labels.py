"""Label orders: which labels are uncovered first when only a share of them may be seen.

An order is nested (what is seen at 5 % is seen at 10 %), starts with one image of each class, and
then keeps the classes in proportion. It is stored as the place of each image, so that a fold's own
order is the frozen one restricted to the fold's images.
"""

from collections.abc import Sequence

import numpy as np

from cervbench.protocol.randomness import generator


def draw_orders(images: Sequence[str], labels: Sequence[str], draws: int) -> np.ndarray:
    """Places of the images in each order: images × draws; unlabelled images come last."""
    places = np.empty((len(images), draws), dtype=int)
    for draw in range(draws):
        shuffled = generator("labels", draw).permutation(len(images))
        rank = np.empty(len(images), dtype=int)
        rank[shuffled] = np.arange(len(images))
        places[in_order(labels, rank), draw] = np.arange(len(images))
    return places


def uncovered(labels: Sequence[str], places: np.ndarray, rows: np.ndarray, ratio: int) -> np.ndarray:
    """The rows whose labels are seen at a ratio: at least one of each class that the rows hold."""
    rows = np.array([row for row in rows if labels[row] != ""], dtype=int)
    own = [labels[row] for row in rows]
    count = max(len(set(own)), round(len(rows) * ratio / 100))
    return np.sort(rows[in_order(own, places[rows])[:count]])


def in_order(labels: Sequence[str], rank: np.ndarray) -> np.ndarray:
    """Indices in label order: by rank within each class, the first of every class before all others."""
    names = np.asarray(labels, dtype=str)
    key = np.empty(len(names))
    for name in np.unique(names):
        members = np.flatnonzero(names == name)
        members = members[np.argsort(rank[members], kind="stable")]
        key[members] = (np.arange(len(members)) + 0.5) / len(members)
        key[members[0]] = -1.0
        if name == "":
            key[members] = 2.0
    return np.lexsort((rank, key))

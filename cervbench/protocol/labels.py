"""Label orders: which labels are uncovered first when only a share of them may be seen.

An order begins with one image of each class and then keeps the classes in proportion. What is seen at 5 % is
seen at 10 %, since a larger share only goes further along the same order.

What is frozen is the place of every image in an order of the whole dataset. The order within a part of a fold
is made from these places by the same rule: the images of a class stay in their frozen sequence, but how the
classes take turns depends on how many images of each the part has. So it is not simply the frozen order with
the other images left out.
"""

from collections.abc import Sequence

import numpy as np

from cervbench.protocol.randomness import generator


def draw_orders(images: Sequence[str], labels: Sequence[str], draws: int) -> np.ndarray:
    """The place of each image in each order, images × draws; unlabelled images come last."""
    places = np.empty((len(images), draws), dtype=int)
    for draw in range(draws):
        shuffled = generator("labels", draw).permutation(len(images))
        rank = np.empty(len(images), dtype=int)
        rank[shuffled] = np.arange(len(images))
        places[in_order(labels, rank), draw] = np.arange(len(images))
    return places


def uncovered(labels: Sequence[str], places: np.ndarray, rows: np.ndarray, ratio: int) -> np.ndarray:
    """Which of these rows have their labels seen at a ratio, in an order of these rows' own.

    There is at least one of each class that the rows hold.
    """
    rows = np.array([row for row in rows if labels[row] != ""], dtype=int)
    own = [labels[row] for row in rows]
    count = max(len(set(own)), round(len(rows) * ratio / 100))
    return np.sort(rows[in_order(own, places[rows])[:count]])


def in_order(labels: Sequence[str], rank: np.ndarray) -> np.ndarray:
    """Indices in label order: the first of each class, then the classes in proportion, each by rank."""
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

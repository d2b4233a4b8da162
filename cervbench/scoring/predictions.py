"""A stored table of class probabilities, checked and brought into order for scoring."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from cervbench.plugin.evaluation import Columns
from cervbench.scoring.tally import Floats, Ints
from cervbench.scoring.task import Task


@dataclass(frozen=True, eq=False)
class Layout:
    """What the rows of a table stand for: the same for every method on a fold, so it is worked out once."""

    images: NDArray[np.str_]
    """Each image once, sorted."""
    draws: tuple[int, ...]
    """The numbers of the draws, sorted."""
    groups: NDArray[np.str_]
    labels: Ints
    """Index into the task's classes."""
    rows: Ints
    """draws × images; the row of the table that holds each."""


@dataclass(frozen=True)
class Predictions:
    """A table in order: the probabilities of each image, draw by draw."""

    layout: Layout
    probabilities: Floats
    """draws × images × classes."""


def read_predictions(columns: Columns, task: Task) -> Predictions:
    """A stored table brought into order; a ValueError says why it cannot be scored."""
    needed = ["image", "group", "label", "draw", *task.probability_columns]
    if missing := [name for name in needed if name not in columns]:
        raise ValueError(f"the table of predictions lacks the columns {', '.join(missing)}")
    if len(columns["image"]) == 0:
        raise ValueError("the table of predictions has no rows")

    keys = (tuple(columns[name]) for name in ("image", "group", "label", "draw"))
    layout = _layout(task.classes, *keys)
    chances = np.stack([np.asarray(columns[name], float) for name in task.probability_columns], -1)
    probabilities = chances[layout.rows]
    for wrong, told in (
        (np.isnan(probabilities).any(axis=2), "a probability is not a number"),
        ((probabilities < 0).any(axis=2), "a probability is below 0"),
        (~(np.abs(probabilities.sum(axis=2) - 1) < 1e-3), "the probabilities do not add up to 1"),
    ):
        if wrong.any():
            row = layout.rows[wrong][0]
            raise ValueError(f"image {columns['image'][row]}, draw {columns['draw'][row]}: {told}")
    return Predictions(layout, probabilities)


@lru_cache(64)
def _layout(
    classes: tuple[str, ...],
    image: tuple[str, ...],
    group: tuple[str, ...],
    label: tuple[str, ...],
    draw: tuple[int, ...],
) -> Layout:
    """The layout that these columns describe; a ValueError says what is wrong with them."""
    images, draws = np.asarray(image, dtype=str), np.asarray(draw)
    order = np.lexsort((images, draws))
    numbers, rows = np.unique(draws, return_counts=True)
    shape = (len(numbers), int(rows[0]))
    if len(set(rows.tolist())) > 1 or (images[order].reshape(shape) != images[order][: shape[1]]).any():
        raise ValueError("an image is not predicted in every draw: the table of predictions has gaps")
    first = order[: shape[1]]
    if (repeated := images[first][1:][images[first][1:] == images[first][:-1]]).size:
        raise ValueError(f"image {repeated[0]} is predicted twice in one draw")

    index = {name: k for k, name in enumerate(classes)}
    if unknown := set(label) - set(index):
        raise ValueError(f"label {min(unknown)!r} is not a class of the task: {', '.join(classes)}")
    labels = np.array([index[name] for name in label])[order].reshape(shape)
    groups = np.asarray(group, dtype=str)[order].reshape(shape)
    for column, told in ((labels, "labels"), (groups, "groups")):
        if (column != column[0]).any():
            raise ValueError(f"an image has different {told} in different draws")
    return Layout(images[first], tuple(map(int, numbers)), groups[0], labels[0], order.reshape(shape))

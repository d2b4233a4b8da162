"""What is demanded of the views that a method learns from."""

from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor

from cervbench.checks.check import CheckFailed
from cervbench.checks.drawn_dataset import BATCH
from cervbench.checks.examined import ExaminedMethod, parts_at
from cervbench.plugin import View
from cervbench.training.pretrain import build_method, pretext_stage

SOME_DRAWS = 8
"""So many that chance does not give one parameter to all images of each, and another one to another batch."""


def its_views_are_of_one_image_each(method: ExaminedMethod) -> str | None:
    """Each view is a float32 tensor with a row for each image, made of what is drawn for that image alone."""
    recipe = method.recipe(method.backbone)
    images = parts_at(recipe.image_size).train
    _, feed = pretext_stage(build_method(recipe), recipe, images)
    notes = []
    for number, view in enumerate(feed.views):

        def made(kept: slice, number: int = number, view: View = view) -> Tensor:
            drawn = {name: each[kept] for name, each in _draw(view, number).items()}
            rows = torch.from_numpy(images.rows[:BATCH])[kept]
            return view.apply(images.pyramid, rows, drawn, feed.normalise)

        _require_a_view_of_each_image(made, number)
        if common := _common_to_a_batch(view):
            notes.append(f"view {number}: all images of a batch get the same {', '.join(common)}")
    return "; ".join(notes) or None


def _draw(view: View, seed: int) -> Mapping[str, np.ndarray]:
    return view.draw(np.random.default_rng(seed), BATCH)


def _require_a_view_of_each_image(made: Callable[[slice], Tensor], number: int) -> None:
    """`made` gives the view of a part of the batch."""
    everything, half = slice(0, BATCH), slice(BATCH // 2, BATCH)
    whole = made(everything)
    if whole.dtype != torch.float32 or len(whole) != BATCH:
        raise CheckFailed(
            f"view {number} is {str(whole.dtype).removeprefix('torch.')} with {len(whole)} rows, of "
            f"{BATCH} images",
            "`apply` gives float32 with a row an image, in the order of `rows`",
        )
    if not bool(torch.isfinite(whole).all()):
        raise CheckFailed(
            f"view {number} has numbers that are not finite",
            "look in `apply` for a division by zero, or for a root or logarithm of what may be below it",
        )
    if not _alike(made(everything), whole):
        raise CheckFailed(
            f"view {number} of the same images with the same draw is another one the second time",
            "`apply` draws nothing and remembers nothing: draw in `draw`, from its `rng` alone",
        )
    if not _alike(made(half), whole[half]):
        raise CheckFailed(
            f"view {number} of an image is another one where fewer images are beside it",
            "row n of a view is made of row n of `rows` and of `drawn`, and of nothing else",
        )


def _alike(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and torch.allclose(one, other, atol=1e-3)


def _common_to_a_batch(view: View) -> list[str]:
    """What differs between batches and never within one, by the names that `draw` gives it."""
    draws = [_draw(view, seed) for seed in range(SOME_DRAWS)]
    found = []
    for name in draws[0]:
        batches = [drawn[name] for drawn in draws]
        within = any((each != each[:1]).any() for each in batches)
        between = any((each[:1] != batches[0][:1]).any() for each in batches)
        if between and not within:
            found.append(name)
    return found

"""What evaluations share: standardised vectors, and the form of a classifier's answer."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from cervbench.plugin.evaluation import Columns
from cervbench.plugin.problems import AnswerError

if TYPE_CHECKING:
    from cervbench.data.batches import Images, Labelled
    from cervbench.training.trained import Trained

BLOCK = 4096
"""How many rows are in double precision at a time, so that memory stays small."""


class Standardised:
    """Features scaled to mean 0 and standard deviation 1 over all train images, labelled or not.

    They are float32, and on the device.
    """

    def __init__(self, trained: "Trained", unlabelled: "Images") -> None:
        self.trained = trained
        features = self._features(unlabelled)
        blocks = features.split(BLOCK)
        self.mean = torch.stack([block.double().sum(0) for block in blocks]).sum(0) / len(features)
        squares = torch.stack([(block - self.mean).square().sum(0) for block in blocks])
        spread = (squares.sum(0) / len(features)).sqrt()
        self.scale = torch.where(spread > 1e-12, spread, 1.0)

    def __call__(self, images: "Images") -> Tensor:
        blocks = self._features(images).split(BLOCK)
        return torch.cat([((block - self.mean) / self.scale).float() for block in blocks])

    def _features(self, images: "Images") -> Tensor:
        return torch.from_numpy(self.trained.features(images)).to(self.trained.device)


def one_answer_a_draw(
    labelled: "Sequence[Labelled]", images: "Images", probabilities: "Callable[[Labelled], np.ndarray]"
) -> Columns:
    """The columns of `classification/1`: every test image once per draw.

    `probabilities` are those of one draw, images × classes, given what may be seen in it.
    """
    answers = [np.asarray(probabilities(seen)) for seen in labelled]
    for seen, answer in zip(labelled, answers, strict=True):
        if answer.shape != (due := (len(images), len(seen.classes))):
            raise AnswerError(
                f"its probabilities in draw {seen.draw} are of shape {answer.shape}, where {due} is due, "
                "images × classes. A classifier of scikit-learn has columns only for the classes that it was "
                "shown: its `classes_` say which"
            )
    stacked = np.concatenate(answers)
    return {
        "image": np.tile(np.array(images.ids), len(labelled)),
        "draw": np.repeat([seen.draw for seen in labelled], len(images)),
        **{f"p_{name}": stacked[:, c] for c, name in enumerate(labelled[0].classes)},
    }

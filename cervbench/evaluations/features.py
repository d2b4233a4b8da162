"""What the frozen evaluations share: standardised vectors, and the form of their answer."""

from collections.abc import Callable, Sequence

import numpy as np

from cervbench.plugin import Columns, Images, Labelled, Trained


class Standardised:
    """Vectors with mean 0 and spread 1 over all train images, labelled or not."""

    def __init__(self, trained: Trained, unlabelled: Images) -> None:
        features = trained.features(unlabelled).astype(np.float64)
        spread = features.std(0)
        self.mean, self.scale = features.mean(0), np.where(spread > 1e-12, spread, 1.0)
        self.trained = trained

    def __call__(self, images: Images) -> np.ndarray:
        vectors: np.ndarray = (self.trained.features(images).astype(np.float64) - self.mean) / self.scale
        return vectors


def one_answer_a_draw(
    labelled: Sequence[Labelled], images: Images, probabilities: Callable[[Labelled], np.ndarray]
) -> Columns:
    """The columns of `classification/1`: every test image once a draw."""
    answers = [probabilities(seen) for seen in labelled]
    stacked = np.concatenate(answers)
    return {
        "image": np.tile(np.array(images.ids), len(labelled)),
        "draw": np.repeat([seen.draw for seen in labelled], len(images)),
        **{f"p_{name}": stacked[:, c] for c, name in enumerate(labelled[0].classes)},
    }

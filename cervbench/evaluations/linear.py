"""The linear probe: multinomial logistic regression on the frozen, standardised vector."""

from collections.abc import Sequence

import numpy as np

from cervbench.evaluations import LinearSettings
from cervbench.evaluations.features import Standardised, one_answer_a_draw
from cervbench.evaluations.logistic import fit_path
from cervbench.plugin import Columns, Images, Labelled, Trained


def predict(
    trained: Trained, labelled: Sequence[Labelled], images: Images, settings: LinearSettings
) -> Columns:
    vectors = Standardised(trained, labelled[0].unlabelled)

    def probabilities(seen: Labelled) -> np.ndarray:
        x, y, to = vectors(seen.train.images), seen.train.labels, vectors(images)
        if seen.ratio < settings.select_from or not settings.grid or not len(seen.val):
            (probe,) = fit_path(x, y, len(seen.classes), [settings.strength])
            return probe.probabilities(to)
        probes = list(fit_path(x, y, len(seen.classes), sorted(settings.grid, reverse=True)))
        on_val = vectors(seen.val.images)
        losses = [_log_loss(probe.probabilities(on_val), seen.val.labels, np.unique(y)) for probe in probes]
        return probes[int(np.argmin(losses))].probabilities(to)

    return one_answer_a_draw(labelled, images, probabilities)


def _log_loss(answers: np.ndarray, labels: np.ndarray, seen: np.ndarray) -> float:
    """Over the images whose class was seen in training; the others say nothing of a strength."""
    held = np.flatnonzero(np.isin(labels, seen))
    return float(-np.log(np.maximum(answers[held, labels[held]], 1e-12)).mean())

"""The linear probe: multinomial logistic regression on frozen, standardised vectors."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from cervbench.evaluations import LinearSettings
from cervbench.evaluations.logistic import fit
from cervbench.plugin import Columns, Images, Labelled, Standardised, Trained, one_answer_a_draw


def predict(
    trained: Trained, labelled: Sequence[Labelled], images: Images, settings: LinearSettings
) -> Columns:
    vectors = Standardised(trained, labelled[0].unlabelled)
    asked, classes = vectors(images), len(labelled[0].classes)
    selects = bool(settings.grid) and all(
        seen.ratio >= settings.select_from and len(seen.val) for seen in labelled
    )
    strengths = sorted(settings.grid, reverse=True) if selects else [settings.strength]
    labels = [torch.from_numpy(seen.train.labels).to(asked.device) for seen in labelled]
    probes = fit([vectors(seen.train.images) for seen in labelled], labels, classes, strengths)
    place = {seen.draw: number for number, seen in enumerate(labelled)}

    def probabilities(seen: Labelled) -> np.ndarray:
        draw, best = place[seen.draw], 0
        if selects:
            val = vectors(seen.val.images)
            answers = [probes.probabilities(draw, number, val) for number in range(len(strengths))]
            best = int(np.argmin([_log_loss(answer, seen) for answer in answers]))
        return probes.probabilities(draw, best, asked).cpu().numpy()

    return one_answer_a_draw(labelled, images, probabilities)


def _log_loss(answers: Tensor, seen: Labelled) -> float:
    """Over the val images whose class was seen in training; the others cannot tell strengths apart."""
    labels = seen.val.labels
    held = np.flatnonzero(np.isin(labels, seen.train.labels))
    of_truth = answers.double().cpu().numpy()[held, labels[held]]
    return float(-np.log(np.maximum(of_truth, 1e-12)).mean())

"""Nearest neighbours by cosine in the frozen, standardised vector."""

from collections.abc import Sequence

import numpy as np

from cervbench.evaluations import NeighbourSettings
from cervbench.evaluations.features import Standardised, one_answer_a_draw
from cervbench.plugin import Columns, Images, Labelled, Trained

TEMPERATURE = 0.07
"""Votes weigh exp(cosine / 0.07), as in Wu et al., CVPR 2018."""


def predict(
    trained: Trained, labelled: Sequence[Labelled], images: Images, settings: NeighbourSettings
) -> Columns:
    vectors = Standardised(trained, labelled[0].unlabelled)

    def probabilities(seen: Labelled) -> np.ndarray:
        cosine = _unit(vectors(images)) @ _unit(vectors(seen.train.images)).T
        smallest = int(np.bincount(seen.train.labels)[np.unique(seen.train.labels)].min())
        k = min(settings.neighbours, smallest)
        nearest = np.argsort(-cosine, axis=1, kind="stable")[:, :k]
        votes = np.exp((np.take_along_axis(cosine, nearest, 1) - 1) / TEMPERATURE)
        answers = np.zeros((len(images), len(seen.classes)))
        np.add.at(answers, (np.arange(len(images))[:, None], seen.train.labels[nearest]), votes)
        return answers / answers.sum(1, keepdims=True)

    return one_answer_a_draw(labelled, images, probabilities)


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)

"""Nearest neighbours by the cosine of frozen, standardised vectors."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize, one_hot

from cervbench.evaluations import NeighbourSettings
from cervbench.plugin import Columns, Images, Labelled, Standardised, Trained, one_answer_a_draw

TEMPERATURE = 0.07
"""A vote weighs exp(cosine / 0.07), as in Wu et al., CVPR 2018."""

BLOCK = 2**22
"""How many cosines are held at a time."""

FINEST = 2**22
"""Cosines are rounded to multiples of 1 / FINEST, so that those are tied which differ only by rounding."""


def predict(
    trained: Trained, labelled: Sequence[Labelled], images: Images, settings: NeighbourSettings
) -> Columns:
    vectors = Standardised(trained, labelled[0].unlabelled)
    asked = normalize(vectors(images))

    def probabilities(seen: Labelled) -> np.ndarray:
        known = normalize(vectors(seen.train.images))
        smallest = int(np.bincount(seen.train.labels)[np.unique(seen.train.labels)].min())
        k = min(settings.neighbours, smallest)
        classes = one_hot(torch.from_numpy(seen.train.labels).to(asked.device), len(seen.classes))
        blocks = asked.split(max(1, BLOCK // len(known)))
        return torch.cat([_votes(block @ known.T, classes, k) for block in blocks]).cpu().numpy()

    return one_answer_a_draw(labelled, images, probabilities)


def _votes(cosine: Tensor, classes: Tensor, k: int) -> Tensor:
    """The share of each class in the votes of the k nearest; among tied ones, the first count as nearer."""
    count = cosine.shape[1]
    behind = torch.arange(count - 1, -1, -1, device=cosine.device)
    order = (cosine * FINEST).round().long() * count + behind
    nearest = count - 1 - order.topk(k, 1).values % count
    votes = ((cosine.gather(1, nearest).double() - 1) / TEMPERATURE).exp()
    answers = (votes[..., None] * classes[nearest]).sum(1)
    return (answers / answers.sum(1, keepdim=True)).float()

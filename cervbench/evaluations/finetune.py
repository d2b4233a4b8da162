"""Fine-tuning: the encoder and a classifier are trained on the labels, for a fixed number of steps."""

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from cervbench.evaluations import FineTuneSettings
from cervbench.plugin import (
    Batch,
    Columns,
    Images,
    Labelled,
    Stage,
    Trained,
    View,
    one_answer_a_draw,
    plain_policy,
)


class FineTuning(Stage):
    """Cross-entropy in which a class weighs the more, the rarer it is among the labels."""

    sees: Literal["labelled"] = "labelled"
    remedy = (
        "Its learning rate is the protocol's: see what it starts from, or leave the protocol with "
        "--set protocol.finetune.learning_rate_trained=… (or learning_rate_scratch=…)"
    )

    def __init__(
        self, classifier: nn.Module, labels: np.ndarray, classes: int, rate: float, decay: float
    ) -> None:
        super().__init__()
        self.classifier = classifier
        self.learning_rate, self.weight_decay = rate, decay
        counts = np.bincount(labels, minlength=classes)
        weights = np.where(counts > 0, len(labels) / (np.maximum(counts, 1) * (counts > 0).sum()), 0.0)
        self.class_weights: Tensor
        self.register_buffer("class_weights", torch.tensor(weights, dtype=torch.float32))

    def views(self) -> Sequence[View]:
        return (plain_policy(),)

    def forward(self, batch: Batch) -> tuple[Tensor, Mapping[str, Tensor]]:
        assert batch.labels is not None
        logits = self.classifier(batch.views[0]).float()
        return nn.functional.cross_entropy(logits, batch.labels, weight=self.class_weights), {}


def predict(
    trained: Trained, labelled: Sequence[Labelled], images: Images, settings: FineTuneSettings
) -> Columns:
    return one_answer_a_draw(
        labelled, images, lambda seen: trained.probabilities(fine_tuned(trained, seen, settings), images)
    )


def fine_tuned(trained: Trained, seen: Labelled, settings: FineTuneSettings) -> nn.Module:
    """The fine-tuned classifier of one draw."""
    rate = settings.learning_rate_scratch if trained.from_scratch else settings.learning_rate_trained
    purpose = ("finetune", seen.ratio, seen.draw)
    trained.seed(*purpose)
    classes = len(seen.classes)
    stage = FineTuning(
        trained.classifier(classes), seen.train.labels, classes, rate, settings.weight_decay
    ).to(trained.device)
    per_step = min(settings.batch_size, len(seen.train))
    steps = max(settings.steps, settings.epochs * len(seen.train) // per_step)
    trained.fit(stage, seen.train, steps, settings.batch_size, *purpose)
    return stage.classifier

"""A trained method, as evaluations are handed it."""

import copy
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import nn

from cervbench.atomic import discard
from cervbench.data.batches import Examples, Feed, Images
from cervbench.data.views.normalise import UNIT, Normalise
from cervbench.plugin.method import Method
from cervbench.plugin.problems import AnswerError, ContractError
from cervbench.protocol.randomness import torch_seed
from cervbench.training.encoder import Encoder
from cervbench.training.forwarded import forwarded
from cervbench.training.loop import begin, train
from cervbench.training.stage import Stage, views_of
from cervbench.training.workshop import Workshop


@dataclass
class Trained:
    """The method with its encoder, batch-norm statistics re-estimated on the unlabelled train images.

    It is shared by all evaluations of a run: what trains, trains a copy (`classifier` makes one).
    """

    method: Method
    from_scratch: bool
    """Nothing was learnt before: random weights and no pretext stage."""
    images: Images
    """All of the dataset, so that what is made of one image never depends on which others were asked for."""
    purpose: tuple[object, ...]
    """Seed and fold: every draw of an evaluation is a function of them."""
    workshop: Workshop
    """Of its pretraining; checkpoints of fine-tuning stand below its folder."""
    record: str = ""
    """The record that is being worked on."""
    _features: list[np.ndarray] = field(default_factory=list, init=False)
    _fitted: set[str] = field(default_factory=set, init=False)
    """Purposes that a stage was fitted for since work on the record began."""

    @property
    def device(self) -> torch.device:
        return self.workshop.device

    @property
    def encoder(self) -> Encoder | None:
        return self.method.encoder

    @property
    def normalise(self) -> Normalise:
        return UNIT if self.encoder is None else self.encoder.normalise

    def at(self, record: str) -> "Trained":
        """A copy at work on a record: checkpoints of one are never taken for those of another."""
        at_work = copy.copy(self)  # with the same features, which are made once
        at_work.record, at_work._fitted = record, set()
        return at_work

    def features(self, images: Images) -> np.ndarray:
        """What the frozen method makes of the images: n × width, float32."""
        if not images.pyramid.has_the_rows_of(self.images.pyramid):
            raise ValueError(
                "ask for features of images that predict was handed, or of a subset; isolated() makes others"
            )
        if not self._features:
            self.method.eval()
            made = forwarded(self.method.features, self.images, self.normalise)
            self._refuse_no_features(made)
            self._features.append(made)
        return self._features[0][images.rows]

    def _refuse_no_features(self, made: np.ndarray) -> None:
        """Here, where they are a method's: an evaluation would be blamed for what it makes of them."""
        of = type(self.method).__name__
        if made.ndim != 2 or len(made) != len(self.images) or not made.size:
            raise ContractError(
                f"features of {of} makes an array of shape {made.shape} of {len(self.images)} images; give "
                "n × width, an image a row"
            )
        if wrong := np.count_nonzero(~np.isfinite(made).all(axis=1)):
            raise ContractError(
                f"features of {of} has numbers that are not finite, of {wrong} of {len(made)} images; look "
                "where they overflow or divide"
            )

    def seed(self, *purpose: object) -> None:
        """Seed torch for what an evaluation draws itself: the first weights of a classifier, say."""
        torch.manual_seed(torch_seed(*self.purpose, *purpose))

    def classifier(self, classes: int) -> nn.Module:
        """A fresh classifier on a copy of the encoder: the method's own, or a linear layer on its vector."""
        if self.encoder is None:
            raise AnswerError(f"{type(self.method).__name__} has no encoder for it to train further")
        method = copy.deepcopy(self.method)
        assert method.encoder is not None
        own = method.classifier(method.encoder, classes)
        if own is not None:
            return own.to(self.device)
        return LinearOnEncoder(method.encoder, classes).to(self.device)

    def fit(self, stage: Stage, examples: Examples, steps: int, batch_size: int, *purpose: object) -> None:
        """Train a stage in place, with the one loop; resumes where a kill left it, its end included."""
        _refuse_none(examples.images)
        feed = Feed(
            examples.images,
            views_of(stage),
            self.normalise,
            batch_size,
            (*self.purpose, *purpose),
            None if stage.sees == "images" else examples.labels,
        )
        name = "-".join(map(str, purpose))
        if name in self._fitted:
            raise ValueError(
                f"two stages are fitted for the purpose {purpose}, under which the second would go on where "
                "the first one ended; give each a purpose of its own"
            )
        self._fitted.add(name)
        sitting = self.workshop.sitting(name, self.record)
        train(stage, begin(stage, sitting), feed, steps, sitting)

    def clear_checkpoints(self) -> None:
        """Delete those of the record that was worked on, once it is written."""
        assert self.record  # without one it is all of the pretraining
        discard(self.workshop.folder / self.record)

    def probabilities(self, classifier: nn.Module, images: Images) -> np.ndarray:
        """Softmax of a classifier over images as they are, in float32."""
        _refuse_none(images)
        classifier.eval()
        return forwarded(lambda pixels, _: classifier(pixels).float().softmax(1), images, self.normalise)


def _refuse_none(images: Images) -> None:
    if not len(images):
        raise AnswerError(
            "it asks for work on no images; `val` is empty below the ratio from which val labels may be seen"
        )


class LinearOnEncoder(nn.Module):
    """An encoder and a linear layer, which starts at zero: every class equally likely."""

    def __init__(self, encoder: Encoder, classes: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = nn.Linear(encoder.width, classes)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.head(self.encoder(images))
        return logits


def reestimate_norms(method: Method, images: Images) -> None:
    """Batch-norm statistics anew, as the plain average over the images as they are.

    Views differ from images as they are, so a pretext stage leaves statistics that suit no
    evaluation; and they differ between methods, which are to be compared. Batches are mixed, or
    the variance between classes would be missing from that within a batch.
    """
    if method.encoder is None:
        return
    norms = [m for m in method.encoder.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    if not norms:
        return
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a cumulative average
    method.encoder.eval()
    for norm in norms:
        norm.train()
    with torch.no_grad():
        for pixels, _ in images.in_order_of_ids().batches(method.encoder.normalise):
            if len(pixels) > 1:
                method.encoder(pixels)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    method.encoder.eval()

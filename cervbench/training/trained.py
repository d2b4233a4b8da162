"""A trained method, as it is handed to evaluations."""

import copy
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import torch
from torch import nn

from cervbench.data.batches import Examples, Feed, Images
from cervbench.data.views.normalise import UNIT, Normalise
from cervbench.plugin.method import Method
from cervbench.plugin.problems import AnswerError
from cervbench.protocol.randomness import torch_seed
from cervbench.training.encoder import Encoder
from cervbench.training.inference import features_of, outputs_of
from cervbench.training.loop import begin, train
from cervbench.training.stage import Stage, views_of
from cervbench.training.workshop import Workshop


@dataclass
class Trained:
    """The method with its encoder, whose batch-norm statistics were estimated anew on the train images.

    Each evaluation has an `encoder` of its own. What is trained further is a copy of the method's, too
    (`classifier` makes one).
    """

    method: Method
    """All evaluations of a run share it; an evaluation that changed it would falsify those after it."""
    from_scratch: bool
    """Whether nothing was learnt before: random weights, and no pretext stage."""
    images: Images
    """All of the dataset, so that the features of an image never depend on which others are asked for."""
    purpose: tuple[object, ...]
    """Seed and fold, on which every draw of an evaluation depends."""
    workshop: Workshop
    """That of its pretraining; checkpoints of fine-tuning are below its folder."""
    record: str = ""
    """The record that is being worked on."""
    frozen: bool = False
    """Whether the encoder must not be trained further."""
    _features: list[np.ndarray] = field(default_factory=list, init=False)
    """Those of all images, once they are made; the list is shared by all records of a run."""
    _fitted: set[str] = field(default_factory=set, init=False)
    """The purposes for which stages were fitted since work on the record began."""

    @property
    def device(self) -> torch.device:
        return self.workshop.device

    @cached_property
    def encoder(self) -> Encoder | None:
        """A copy in eval mode, made when it is first asked for: most evaluations never do."""
        return None if self.method.encoder is None else copy.deepcopy(self.method.encoder).eval()

    @property
    def normalise(self) -> Normalise:
        return UNIT if self.method.encoder is None else self.method.encoder.normalise

    def pooling(self, frozen: bool) -> str:
        """What an evaluation works on, for a page: of a method's own it sees features or a classifier."""
        assert self.method.encoder is not None
        own = "features" if frozen else "classifier"
        if getattr(type(self.method), own) is not getattr(Method, own):
            return f"the method's own {own}"
        return self.method.encoder.pooling

    def at(self, record: str, frozen: bool = False) -> "Trained":
        """For work on one record: its checkpoints and its encoder are never those of another."""
        at_work = replace(self, record=record, frozen=frozen)
        at_work._features = self._features
        return at_work

    def features(self, images: Images) -> np.ndarray:
        """The frozen method's features of the images: n × width, float32."""
        if not images.pyramid.has_the_rows_of(self.images.pyramid):
            raise AnswerError(
                "ask for features of images that predict was handed, or of a subset; isolated() makes others"
            )
        if not self._features:
            self._features.append(features_of(self.method, self.images, self.normalise))
        return self._features[0][images.rows]

    def seed(self, *purpose: object) -> int:
        """Seed torch for what an evaluation draws itself, such as the first weights of a classifier.

        What it returns is a seed for those who do not draw from torch: numpy and scikit-learn.
        """
        seed = torch_seed(*self.purpose, *purpose)
        torch.manual_seed(seed)
        return seed % 2**32

    def classifier(self, classes: int) -> nn.Module:
        """A fresh classifier on a copy of the encoder: the method's own, or a linear layer on its vector."""
        if self.method.encoder is None:
            raise AnswerError(f"{type(self.method).__name__} has no encoder for it to train further")
        if self.frozen:  # or what was trained would stand in tables of frozen encoders
            raise AnswerError(
                "it is offered as an evaluation of frozen encoders, and trained.classifier(…) is there to be "
                "trained: offer it with frozen=False"
            )
        method = copy.deepcopy(self.method)
        assert method.encoder is not None
        own = method.classifier(method.encoder, classes)
        if own is not None:
            return own.to(self.device)
        return LinearOnEncoder(method.encoder, classes).to(self.device)

    def fit(self, stage: Stage, examples: Examples, steps: int, batch_size: int, *purpose: object) -> None:
        """Train a stage in place with the training loop; resumed if it was begun, or finished, before."""
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
            raise AnswerError(
                f"two stages are fitted for the purpose {purpose}, under which the second would go on where "
                "the first one ended; give each a purpose of its own"
            )
        self._fitted.add(name)
        sitting = self.workshop.sitting(name, self.record)
        train(stage, begin(stage, sitting), feed, steps, sitting)
        # One that was finished before a kill takes no step; what is drawn next must not depend on that.
        self.seed(*purpose, "fitted")

    def probabilities(self, classifier: nn.Module, images: Images) -> np.ndarray:
        """The softmax of a classifier on unchanged images, in float32."""
        _refuse_none(images)
        classifier.eval()
        return outputs_of(lambda pixels, _: classifier(pixels).float().softmax(1), images, self.normalise)


def _refuse_none(images: Images) -> None:
    if not len(images):
        raise AnswerError(
            "it asks for work on no images; `val` is empty below the ratio from which val labels may be seen"
        )


class LinearOnEncoder(nn.Module):
    """An encoder and a linear layer, which starts at zero so that all classes are equally likely."""

    def __init__(self, encoder: Encoder, classes: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = nn.Linear(encoder.width, classes)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.head(self.encoder(images))
        return logits

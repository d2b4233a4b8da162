"""A stage: anything that the training loop trains, as a module whose forward pass is its loss."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from torch import Tensor, nn

from cervbench.data.batches import Batch
from cervbench.data.views import View
from cervbench.plugin.method import Method, Progress, decayed_apart, total_and_parts
from cervbench.plugin.problems import ContractError, shown
from cervbench.protocol.protocol import CLIP


class Stage(nn.Module, ABC):
    """`stage(batch)` is the loss with its named parts; a stage is called in no other way."""

    sees: Literal["images", "labelled"]
    optimizer: Literal["adamw", "sgd"] = "adamw"
    learning_rate: float
    weight_decay: float
    momentum: float = 0.9
    """Only used by sgd."""
    clip: float = CLIP
    """The norm to which gradients are clipped; with 0 they are not."""
    remedy: str = "Try a smaller learning rate"
    """What to try if its numbers are no longer finite."""

    @abstractmethod
    def forward(self, batch: Batch) -> tuple[Tensor, Mapping[str, Tensor]]: ...

    @abstractmethod
    def views(self) -> Sequence[View]: ...

    def param_groups(self) -> Iterable[dict[str, Any]]:
        return decayed_apart(self, self.weight_decay)

    def after_step(self, progress: Progress) -> None:
        """Called after every step of the optimiser."""


class PretextStage(Stage):
    """A method that is being pretrained, with batches that hold no labels."""

    sees = "images"
    remedy = "Try a smaller learning rate (--set learning_rate=…)"

    def __init__(self, method: Method, clip: float = Stage.clip) -> None:
        super().__init__()
        self.method, self.clip = method, clip
        config = method.config
        self.optimizer, self.momentum = config.optimizer, config.momentum
        self.learning_rate, self.weight_decay = config.learning_rate, config.weight_decay

    def forward(self, batch: Batch) -> tuple[Tensor, Mapping[str, Tensor]]:
        return total_and_parts(self.method.loss(batch.views), type(self.method).__name__)

    def views(self) -> Sequence[View]:
        views = self.method.views()
        if isinstance(views, list | tuple) and all(
            callable(getattr(view, part, None)) for view in views for part in ("draw", "apply")
        ):
            return views
        raise ContractError(
            f"views of {type(self.method).__name__} returns {shown(views)}; give a list of views: policies, "
            "or objects with draw and apply as cervbench.plugin.View has them"
        )

    def param_groups(self) -> Iterable[dict[str, Any]]:
        return self.method.param_groups()

    def after_step(self, progress: Progress) -> None:
        self.method.after_step(progress)


def name_of(stage: Stage) -> str:
    """The name of the class that an author wrote: for a pretext stage, that of the method."""
    return type(getattr(stage, "method", stage)).__name__


def require_choices(stage: Stage) -> None:
    """Refuse a stage that declares something that the loop does not know, instead of doing something else."""
    for name, known in {"sees": ("images", "labelled"), "optimizer": ("adamw", "sgd")}.items():
        declared = getattr(stage, name, None)
        if declared not in known:
            raise ContractError(
                f"{name_of(stage)}.{name} is {declared!r}; it must be {known[0]!r} or {known[1]!r}"
            )


def views_of(stage: Stage) -> Sequence[View]:
    """The views that a stage is fed; at least one, since its first one tells the device."""
    if views := stage.views():
        return views
    raise ContractError(f"{name_of(stage)} is shown nothing: views() answers with no policy, and needs one")

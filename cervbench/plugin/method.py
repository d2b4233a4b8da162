"""The contract of a method: a module that holds an encoder and says what its loss is."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from cervbench.plugin.problems import ContractError, shown

if TYPE_CHECKING:
    from cervbench.data.views import View
    from cervbench.training.encoder import Encoder

Loss = Tensor | tuple[Tensor, Mapping[str, Tensor]]


@dataclass(frozen=True)
class Progress:
    """Where a stage stands: `step` of `steps` are done."""

    step: int
    steps: int

    @property
    def share(self) -> float:
        return self.step / self.steps


class Method(nn.Module):
    """Learns an encoder from images without labels.

    Subclasses define `loss` and usually `build`; the rest is optional. Nothing in a method may depend on
    labels, on files, or on any random state but torch's, which is seeded for each step. Whatever changes in
    training must be a parameter or a buffer: nothing else survives a checkpoint.
    """

    config: Any
    encoder: "Encoder"
    """None only if the Offer says `has_encoder=False`; nothing but `features` is then asked of the method."""

    def __init__(self, config: Any, encoder: "Encoder | None") -> None:
        super().__init__()
        super().__setattr__("config", config)
        self.encoder = encoder  # type: ignore[assignment]
        if encoder is not None:
            self.build(encoder)

    def build(self, encoder: "Encoder") -> None:
        """Make the parts that the method adds to the encoder: a projector, a predictor, a queue."""

    def views(self) -> "Sequence[View]":
        """The policy of each view in a batch; by default two views of the policy in the settings."""
        from cervbench.plugin import named_policy

        if not hasattr(self.config, "policy"):
            raise ContractError(f"{type(self).__name__} must define views(), or have a MethodConfig")
        policy = named_policy(self.config.policy)
        return (policy, policy)

    def loss(self, views: Sequence[Tensor]) -> Loss:
        """One scalar, and optionally named parts of it to log."""
        raise ContractError(
            f"{type(self).__name__} has no loss to learn from; define loss(views), or say pretrains=False in "
            "its Offer"
        )

    def after_step(self, progress: Progress) -> None:
        """Called after each step of the optimiser, to update a moving average for example."""

    def param_groups(self) -> Iterable[dict[str, Any]]:
        """Parameter groups for the optimiser; by default biases and norms have no weight decay."""
        return decayed_apart(self, self.config.weight_decay)

    def classifier(self, encoder: "Encoder", classes: int) -> nn.Module | None:
        """The method's own classifier for fine-tuning; None stands for the encoder and a linear layer."""
        return None

    def features(self, images: Tensor, native_size: Tensor) -> Tensor:
        """What frozen evaluations see of a batch: n × width. `native_size` is width, height in pixels."""
        if self.encoder is None:
            raise ContractError(f"{type(self).__name__} has no encoder and must define features()")
        features: Tensor = self.encoder(images)
        return features

    def __setattr__(self, name: str, value: Any) -> None:
        # torch would store a module or parameter of this name where the class's own attribute hides it, and
        # anything else would hide that attribute. Either would fail far from here.
        if name in (*CONTRACT, "config"):
            raise AttributeError(
                f"{type(self).__name__} assigns self.{name}, which is a name of the Method contract; "
                f"call it something else (self.own_{name}, say)"
            )
        if name == "encoder" and getattr(self, name, value) is not value:
            raise AttributeError(
                f"{type(self).__name__} assigns another self.encoder than it was given, which evaluations "
                "use; keep it, and call what stands around it something else"
            )
        super().__setattr__(name, value)


CONTRACT = ("build", "views", "loss", "after_step", "param_groups", "classifier", "features")
"""What a method may define, and the core calls."""


@runtime_checkable
class Attentive(Protocol):
    """A classifier whose attention `cervbench show --attention` draws on the test images."""

    def attention(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """The weight of each place, images × places, and where the places are, places × 4.

        A place is given by left, top, width and height, as shares of the side of the image.
        """


def decayed_apart(module: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Two groups: matrices and kernels with weight decay, vectors and scalars without."""
    trained = [p for p in module.parameters() if p.requires_grad]
    matrices = [p for p in trained if p.ndim > 1]
    vectors = [p for p in trained if p.ndim <= 1]
    groups = [
        {"params": matrices, "weight_decay": weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def total_and_parts(loss: Loss, method: str) -> tuple[Tensor, dict[str, Tensor]]:
    """A method's loss as total and named parts, whichever form it came in; ContractError if in neither."""
    total, parts = loss if isinstance(loss, tuple) and len(loss) == 2 else (loss, {})
    if not (isinstance(total, Tensor) and total.numel() == 1 and isinstance(parts, Mapping)):
        raise ContractError(
            f"loss of {method} returns {shown(loss)}; give one scalar, or a scalar and a dict of parts to log"
        )
    if not total.is_floating_point():
        kind = str(total.dtype).removeprefix("torch.")
        raise ContractError(
            f"loss of {method} is {kind}, which has no slope to follow; give a scalar of floats"
        )
    named = {name: torch.as_tensor(part).detach() for name, part in parts.items()}
    for name, part in named.items():
        if part.numel() != 1:
            raise ContractError(
                f"loss of {method} names a part {name!r} that is {shown(part)}; give a scalar"
            )
    return total, named

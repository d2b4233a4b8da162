"""What is demanded of a backbone."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from cervbench.checks.check import CheckFailed
from cervbench.checks.examined import differing, require_close
from cervbench.error import first_few
from cervbench.plugin import BackboneOffer
from cervbench.plugin.problems import ContractError
from cervbench.protocol.protocol import TIERS, load
from cervbench.training.encoder import Encoder
from cervbench.training.initial_weights import build_encoder

SIZES = tuple(sorted({load(tier).image_size for tier in TIERS}))
MODEL_DUE = "return a timm model made with num_classes=0, or a module whose last maps are num_features wide"


@dataclass(frozen=True)
class ExaminedBackbone:
    name: str
    offer: BackboneOffer

    def encoder(self, size: int = SIZES[0], seed: int = 0) -> Encoder:
        """In eval mode, with random weights."""
        return build_encoder(self.name, self.offer, "random", size, ("check", seed)).eval()

    @cached_property
    def images(self) -> Tensor:
        """A few images of the smallest size, as unlike each other as chance makes them."""
        drawn = torch.rand(4, 3, SIZES[0], SIZES[0], generator=torch.Generator().manual_seed(0))
        return drawn * torch.tensor([0.1, 0.4, 0.7, 1.0])[:, None, None, None]


def it_makes_a_vector_of_its_width_at_every_image_size(examined: ExaminedBackbone) -> None:
    """The encoder gives n × width finite numbers and maps, at the image size of each tier."""
    for size in SIZES:
        try:
            encoder = examined.encoder(size)
        except ContractError as error:
            raise CheckFailed(str(error), MODEL_DUE) from error
        with torch.no_grad():
            vectors, maps = encoder(torch.rand(2, 3, size, size)), encoder.maps(torch.rand(2, 3, size, size))
        if maps.ndim != 4 or maps.shape[:2] != (2, encoder.width):
            raise CheckFailed(
                f"at {size} px the maps of two images are {tuple(maps.shape)}, where 2 × {encoder.width} × "
                "height × width are due",
                MODEL_DUE,
            )
        if not bool(torch.isfinite(vectors).all()):
            raise CheckFailed(f"at {size} px the vectors are not finite", "look at its first weights")


def its_first_weights_are_a_function_of_the_seed(examined: ExaminedBackbone) -> None:
    """A seed gives the same random weights each time, and another seed gives others."""
    first, again, other = (examined.encoder(seed=seed).state_dict() for seed in (0, 0, 1))
    if wrong := differing(first, again):
        raise CheckFailed(
            f"{first_few(wrong)} differ between two builds with the same seed",
            "draw from torch on the CPU, which is seeded before `build`, and from nothing else",
        )
    if not differing(first, other):
        raise CheckFailed(
            "another seed gives the same weights",
            "do not seed torch inside `build`, and load no weights unless `pretrained` is true",
        )


def it_answers_the_same_again_at_rest(examined: ExaminedBackbone) -> None:
    """In eval mode the same images get the same vectors each time."""
    encoder = examined.encoder()
    with torch.no_grad():
        require_close(
            encoder(examined.images),
            encoder(examined.images),
            "in eval mode the same images get other vectors the second time",
            "let chance, such as dropout, act only where `self.training` is true: F.dropout(x, p, "
            "self.training)",
        )


def its_vectors_are_of_one_image_each(examined: ExaminedBackbone) -> None:
    """In eval mode the vector of an image does not depend on the images beside it."""
    encoder, half = examined.encoder(), len(examined.images) // 2
    with torch.no_grad():
        require_close(
            encoder(examined.images)[half:],
            encoder(examined.images[half:]),
            "in eval mode an image gets another vector where fewer images are beside it",
            "normalise over a batch only in training: a batch norm has running statistics for the rest",
        )


def each_parameter_has_a_gradient(examined: ExaminedBackbone) -> str | None:
    """Each parameter has a part in the vector; what has none is named."""
    encoder = examined.encoder().train()
    strength = encoder(examined.images).square().sum()
    if strength.requires_grad:
        strength.backward()
    learning = {name: p for name, p in encoder.backbone.named_parameters() if p.requires_grad}
    idle = [name for name, p in learning.items() if p.grad is None]
    if len(idle) == len(learning):
        raise CheckFailed(
            "no parameter gets a gradient from the vectors, so that nothing can be learnt",
            "leave requires_grad on, and no_grad and detach out of `forward_features`",
        )
    return f"{first_few(idle)} have no part in the vectors" if idle else None


DEMANDS: tuple[Callable[[ExaminedBackbone], str | None], ...] = (
    it_makes_a_vector_of_its_width_at_every_image_size,
    its_first_weights_are_a_function_of_the_seed,
    it_answers_the_same_again_at_rest,
    its_vectors_are_of_one_image_each,
    each_parameter_has_a_gradient,
)

"""What a pretext stage costs beside its epochs: images that go through an encoder."""

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from cervbench.plugin.method import Method
from cervbench.training.encoder import Encoder
from cervbench.training.precision import autocast


def images_forwarded(method: Method, views: Sequence[Tensor]) -> int:
    """By the encoder and by copies of it, in one loss of these views: patches, turns and crops count each.

    They are counted at the first layer, on a copy of the method, which is not compiled and whose queues and
    statistics nobody needs. A step is taken to forward as many as any other.
    """
    trial, counted = copy.deepcopy(method).train(), 0

    def count(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        nonlocal counted
        counted += len(inputs[0])

    for encoder in trial.modules():
        if isinstance(encoder, Encoder):
            _first_layer(encoder).register_forward_pre_hook(count)
    device = views[0].device
    with torch.random.fork_rng([device] if device.type == "cuda" else []), autocast(device):
        trial.loss(views)
    return counted


def _first_layer(encoder: Encoder) -> nn.Module:
    """The first that has weights: whatever part of an encoder a method calls, it begins there."""
    layers = (part for part in encoder.modules() if not list(part.children()))
    return next((layer for layer in layers if list(layer.parameters())), encoder)

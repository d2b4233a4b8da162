"""What a pretext stage costs, by another measure than epochs: how many images go through an encoder."""

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from cervbench.plugin.method import Method
from cervbench.training.encoder import Encoder
from cervbench.training.precision import autocast


def images_forwarded(method: Method, views: Sequence[Tensor]) -> int:
    """How many images go through the encoder and copies of it for the loss of one batch.

    Every patch, turn and crop counts. They are counted at the first layer of a copy of the method, which is
    not compiled, and whose queues and statistics may change. All steps are taken to forward equally many.
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
    """The first layer with weights, where every part of an encoder that a method may call begins."""
    layers = (part for part in encoder.modules() if not list(part.children()))
    return next((layer for layer in layers if list(layer.parameters())), encoder)

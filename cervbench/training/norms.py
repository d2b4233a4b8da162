"""Batch-norm statistics of a trained encoder, estimated anew."""

import torch
from torch import nn

from cervbench.data.batches import Images
from cervbench.plugin.method import Method


def reestimate_norms(method: Method, images: Images) -> None:
    """Replace the batch-norm statistics by plain averages over the images as they are.

    A pretext stage leaves the statistics of its views, which are not the images that evaluations use, and
    which differ between the methods that are to be compared. The images go in the order of their opaque ids:
    if they were sorted by class, the variance within a batch would lack what lies between classes.
    """
    if method.encoder is None:
        return
    norms = [m for m in method.encoder.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    if not norms:
        return
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # stands for a cumulative average
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

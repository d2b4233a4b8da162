"""What is demanded of a method on devices that are not here and therefore pretended."""

import copy
from collections.abc import Sequence

import torch
from torch import Tensor

from cervbench.checks.check import CheckFailed, Skipped
from cervbench.checks.examined import ExaminedMethod, parts_at
from cervbench.checks.pretended_devices import losses_on_devices
from cervbench.checks.pretended_gpu import GPU, PretendedGPU, ValueAsked
from cervbench.plugin.method import Progress, total_and_parts
from cervbench.plugin.problems import home_of, place_of
from cervbench.training.pretrain import build_method, pretext_stage

OF_THE_DRIVER = ("hasPrimaryContext", "CUDA driver version", "NVIDIA driver", "with CUDA enabled")
"""Parts of the errors that torch raises where it needs a driver: for a gradient in a loss, for a
generator."""
STEPS = 2
DEVICES = 2
SAME = 1e-5
"""Losses this close count as equal; about a tenth of it comes from summing float32 in another order."""


def it_keeps_to_the_device_of_its_views(method: ExaminedMethod) -> str | None:
    """If there were a GPU, no tensor of the host would meet one of the GPU in `loss` or `after_step`."""
    if not PretendedGPU.possible():
        return Skipped(f"torch {torch.__version__} cannot pretend a GPU here; a newer one can")
    recipe = method.recipe(method.backbone)
    learner, gpu = build_method(recipe).train(), PretendedGPU()
    _, feed = pretext_stage(learner, recipe, parts_at(recipe.image_size).train)
    views = [gpu.tensor(view) for view in feed.batch(0).views]
    gpu.move(learner)
    try:
        with gpu.inside():
            learner.loss(views)
            for step in (1, STEPS):
                learner.after_step(Progress(step, STEPS))
    except ValueAsked as asked:
        at = place_of(asked, home_of(method.offer.method), type(learner).__name__)
        if asked.device == GPU:
            return f"each step waits for the GPU: {at} looks at a value there"
        return f"followed as far as {at}, which looks at a value of the host"
    except RuntimeError as error:
        if not any(told in str(error) for told in OF_THE_DRIVER):
            raise
        at = place_of(error, home_of(method.offer.method), type(learner).__name__)
        return f"followed as far as {at}, where torch asks the driver of a real GPU"
    return None


def it_has_one_loss_on_several_devices(method: ExaminedMethod) -> None:
    """The mean `loss` of half a batch on each of two devices is that of the whole batch on one.

    Batch norm and dropout, which work on the rows of a single device, are left out: they are as in
    evaluation.
    """
    recipe = method.recipe(method.backbone)
    learner = build_method(recipe).train()
    for part in learner.children():
        part.eval()
    _, feed = pretext_stage(learner, recipe, parts_at(recipe.image_size).train)
    views = feed.batch(0).views

    def loss(views: Sequence[Tensor]) -> Tensor:
        torch.manual_seed(0)
        return total_and_parts(copy.deepcopy(learner).loss(views), f"method {method.name}")[0]

    halves = list(zip(*(view.chunk(DEVICES) for view in views), strict=True))
    each = losses_on_devices(lambda rank: loss(halves[rank]), DEVICES)
    if each is None:
        raise CheckFailed(
            "one device gathers rows more often than another, which would wait for ever",
            "call `gather` as often on every device, whatever its rows hold",
        )
    whole, mean = loss(views).item(), torch.stack(each).mean().item()
    if abs(mean - whole) > SAME * max(1.0, abs(whole)):
        raise CheckFailed(
            f"of a batch on {DEVICES} devices the loss is {mean:.6g} in the mean, and {whole:.6g} on one",
            "what looks at other rows than its own goes through gather(rows), and what is drawn for each row "
            "through own_rows(draw, count), both of cervbench.plugin",
        )

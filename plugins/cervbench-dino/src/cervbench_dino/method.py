"""DINO, as a method of cervbench."""

from collections.abc import Sequence

import torch
from torch import Tensor

from cervbench.plugin import (
    Encoder,
    Follower,
    Method,
    Progress,
    SettingsError,
    View,
    gather,
    in_float32,
)
from cervbench_dino.crops import LEAST_SIDE, Local, any_size, patch_of, policy_of_area
from cervbench_dino.network import Head, Network

SMALLEST = 0.05
"""Area of the smallest local crop, as in the paper."""


class DINO(Method):
    centre: Tensor
    batch_centre: Tensor
    share: Tensor

    def build(self, encoder: Encoder) -> None:
        config = self.config
        if config.local_crops and config.local_size < 1 and not any_size(encoder):
            raise SettingsError(
                f"dino's local crops are smaller than the images, and {type(encoder.backbone).__name__} "
                f"takes none of {LEAST_SIDE} px; have all crops made as large with --set local_size=1"
            )
        self.head = Head(encoder.width, config.hidden, config.bottleneck, config.prototypes)
        self.teacher = Follower(self.student, config.keep, config.memory, rising=True)
        self.register_buffer("centre", torch.zeros(config.prototypes))
        self.register_buffer("batch_centre", torch.zeros(config.prototypes), persistent=False)
        self.register_buffer("share", torch.zeros(()))

    @property
    def student(self) -> Network:
        """What the teacher follows."""
        return Network(self.encoder, self.head)

    def views(self) -> Sequence[View]:
        policy, division = self.config.policy, self.config.division
        whole = policy_of_area(policy, division, 1.0)
        small = policy_of_area(policy, SMALLEST, division)
        part = Local(small, self.config.local_size, patch_of(self.encoder))
        return (whole, whole, *[part] * self.config.local_crops)

    def loss(self, views: Sequence[Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        frozen = self.share < self.config.frozen
        whole, *parts = [torch.cat(list(alike)) for alike in (views[:2], views[2:]) if alike]
        taught = self.teacher([whole], frozen).unflatten(0, (2, -1))
        learnt = self.student([whole, *parts], frozen).unflatten(0, (len(views), -1))
        answers = sharpened(taught, self.centre, self.teacher_temperature)
        self.batch_centre.copy_(gather(taught.mean((0, 1))[None]).mean(0))
        return cross_entropy(answers, learnt, self.config.student_temperature), prototypes_used(answers)

    @property
    def teacher_temperature(self) -> Tensor:
        """Cold at first, for sharp answers hold off the collapse to equal ones; then slowly warmer."""
        cold, warm = self.config.cold_temperature, self.config.warm_temperature
        return cold + (warm - cold) * (self.share / self.config.warm_up).clamp(max=1)

    def after_step(self, progress: Progress) -> None:
        config = self.config
        self.share.fill_(progress.share)
        first = self.teacher.kept_at_first(progress.steps)
        self.centre.lerp_(self.batch_centre, 1 - kept_of_centre(config.centre_keep, config.keep, first))
        self.teacher.follow(self.student, progress)
        if progress.step == progress.steps:  # the teacher is the better of the two, and what DINO gives
            with torch.no_grad():
                for learnt, taught in zip(self.student.parameters(), self.teacher.parameters(), strict=True):
                    learnt.copy_(taught)


def sharpened(taught: Tensor, centre: Tensor, temperature: Tensor | float) -> Tensor:
    """The teacher's answers: less what it says of every image, and peaked by its temperature."""
    return ((taught - centre) / temperature).softmax(-1)


@in_float32  # in bf16 a loss of 5 moves in steps of 1/32
def cross_entropy(answers: Tensor, learnt: Tensor, temperature: float) -> Tensor:
    """Of the student's views against the teacher's (views × n × prototypes), the mean over all pairs of
    different views. The views that both see come first, in one order."""
    guesses = (learnt / temperature).log_softmax(-1)
    pairs = -torch.einsum("tnp,snp->ts", answers, guesses)
    same = torch.eye(*pairs.shape, dtype=torch.bool, device=pairs.device)
    return pairs.masked_fill(same, 0).sum() / ((pairs.numel() - len(pairs)) * answers.shape[1])


def kept_of_centre(keep: float, most: float, first: float) -> float:
    """Share of the centre that a step leaves as it was: `keep`, less by as much as the teacher's is.

    The teacher of a short stage forgets `(1 - first) / (1 - most)` times as quickly as set, and the centre
    forgets quicker by that factor too: one that the teacher outruns holds off no collapse.
    """
    return max(0.0, 1 - (1 - keep) * (1 - first) / (1 - most))


def prototypes_used(answers: Tensor) -> dict[str, Tensor]:
    """How many share the teacher's answer, for one image and for all of them together.

    Where the two numbers are equal it has collapsed: it answers all images alike.
    """
    of_images, of_all = _entropy(answers).mean(), _entropy(answers.mean((0, 1)))
    return {"prototypes_an_image": of_images.exp(), "prototypes_in_use": of_all.exp()}


def _entropy(shares: Tensor) -> Tensor:
    return torch.special.entr(shares).sum(-1)

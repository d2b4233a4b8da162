"""A method as checks examine it: built, trained and loaded by the same code as in a run."""

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import torch
from torch import Tensor

from cervbench.checks import drawn_dataset
from cervbench.checks.check import CheckFailed
from cervbench.checks.drawn_dataset import BATCH
from cervbench.checks.small_backbones import BACKBONES
from cervbench.data.parts import Parts
from cervbench.plugin import Offer
from cervbench.plugin.method import Method
from cervbench.plugin.settings import Settings, SettingsError
from cervbench.training.kept import Kept
from cervbench.training.loop import Sitting, begin, train
from cervbench.training.pretrain import build_method, pretext_stage, pretrain
from cervbench.training.recipe import Recipe
from cervbench.training.trained import Trained
from cervbench.training.workshop import Workshop

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Pretraining:
    """A pretraining, and the folder where it left its files."""

    trained: Trained
    folder: Path

    @property
    def weights(self) -> Path:
        return Kept(self.folder).weights

    @property
    def state(self) -> dict[str, Tensor]:
        state: dict[str, Tensor] = self.trained.method.state_dict()
        return state


@dataclass(frozen=True, eq=False)
class ExaminedMethod:
    """A method under examination; a training that several checks need is done once."""

    name: str
    offer: Offer

    @cached_property
    def config(self) -> Settings:
        return self.offer.config.parse({}, f"method {self.name}")

    @cached_property
    def refusals(self) -> Mapping[str, str]:
        """The messages with which the method refuses kinds of backbones, by kind."""
        refused = {}
        # A config that lacks a value is no refusal of a backbone, so it is made outside of `try`.
        recipes = {kind: self.recipe(kind) for kind in BACKBONES}
        for kind, recipe in recipes.items():
            try:
                build_method(recipe)
            except SettingsError as error:
                refused[kind] = str(error)
        return refused

    @cached_property
    def backbone(self) -> str:
        """The kind of backbone that the method is examined on: the first that it does not refuse."""
        return next((kind for kind in BACKBONES if kind not in self.refusals), "CNN")

    def recipe(self, backbone: str, size: int = 32, batch: int = BATCH, epochs: int = 1) -> Recipe:
        protocol = drawn_dataset.protocol(size, batch, epochs)
        return Recipe(
            offer=self.offer,
            config=self.config,
            backbone=backbone,
            backbone_offer=BACKBONES[backbone] if self.offer.has_encoder else None,
            init="random",
            image_size=size,
            pretext=protocol.pretext,
            seed=0,
            fold=0,
        )

    @cached_property
    def undisturbed(self) -> Pretraining:
        """A pretraining without a stop, with which others are compared."""
        return self.pretrained(self.recipe(self.backbone))

    @cached_property
    def unsteady(self) -> list[str]:
        """Tensors that differ between two runs with the same seed; with any, other checks cannot be made."""
        return differing(self.undisturbed.state, self.pretrained(self.recipe(self.backbone)).state)

    def pretrained(
        self,
        recipe: Recipe,
        permuted: bool = False,
        folder: Path | None = None,
        device: torch.device = CPU,
    ) -> Pretraining:
        """A pretraining as in `cervbench run`; one that was begun in `folder` before is resumed."""
        folder = folder or self.new_folder()
        parts = parts_at(recipe.image_size, permuted, device)
        workshop = Workshop(folder, device, 1e9)
        trained, _ = pretrain(recipe, parts.train, parts.everything, workshop)
        return Pretraining(trained, folder)

    def killed(self, recipe: Recipe, folder: Path, step: int) -> None:
        """Begin a pretraining that saves after each step, and end it by force in the middle of `step`."""

        def watch(stage: str, at: int, steps: int, values: Mapping[str, float]) -> None:
            if at == step:
                raise Killed

        parts = parts_at(recipe.image_size)
        workshop = Workshop(folder, CPU, 0.0, watch)
        try:
            pretrain(recipe, parts.train, parts.everything, workshop)
        except Killed:
            return

    def losses(self, recipe: Recipe, until: int | None = None, learning: bool = True) -> list[float]:
        """The loss of each step, up to the end or `until` a step."""
        told: list[float] = []
        train_stepwise(build_method(recipe), recipe, told.append, until, learning)
        return told

    def loss_after(self, method: Method) -> float:
        """The loss of a method in its present state, always on the same batch."""
        recipe = self.recipe(self.backbone)
        stage, feed = pretext_stage(method, recipe, parts_at(recipe.image_size).train)
        stage.train()
        torch.manual_seed(0)
        loss, _ = stage(feed.batch(0))
        return loss.item()

    def new_folder(self) -> Path:
        return Path(tempfile.mkdtemp(dir=drawn_dataset.folder(), prefix=f"{self.name}-"))


class Killed(BaseException):
    """Stands in for a kill, as something that no method catches."""


def train_stepwise(
    method: Method,
    recipe: Recipe,
    watch: Callable[[float], None],
    until: int | None = None,
    learning: bool = True,
) -> None:
    """Train a method in place; `watch` is told the loss of each step while its gradients still exist.

    Without `learning` no gradient reaches a weight, so nothing changes but by forward passes and
    `after_step`.
    """
    stage, feed = pretext_stage(method, recipe, parts_at(recipe.image_size).train)
    if not learning:
        stage.register_forward_hook(lambda stage, asked, told: (told[0].detach().requires_grad_(), told[1]))
    sitting = Sitting(watch=lambda step, steps, values: watch(values["loss"]))
    state = begin(stage, sitting)
    steps = feed.steps(recipe.pretext.epochs)
    train(stage, state, feed, steps, sitting, until=until)


@cache
def parts_at(size: int, permuted: bool = False, device: torch.device = CPU) -> Parts:
    return Parts.of(drawn_dataset.dataset(permuted), 0, drawn_dataset.protocol(size), device)


def differing(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> list[str]:
    """The names of tensors that differ in a bit, or are in only one of the two."""
    names = sorted({*one, *other})
    return [n for n in names if n not in one or n not in other or not torch.equal(one[n], other[n])]


def require_close(one: Tensor, other: Tensor, why: str, to_do: str) -> None:
    """Up to rounding, by the largest number: with random weights the vectors may all be tiny."""
    one, other = one.float(), other.float()
    if not bool((one - other).abs().max() <= 1e-3 * one.abs().max()):
        raise CheckFailed(why, to_do)


Demand = Callable[[ExaminedMethod], str | None]

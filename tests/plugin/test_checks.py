"""Each check catches a plugin that is broken in just that way, and lets a sound one pass."""

import inspect
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from pydantic import BaseModel, PlainSerializer
from sklearn.ensemble import RandomForestClassifier
from torch import Tensor, nn

from cervbench.checks import of_backbones, of_datasets, of_evaluations, of_methods, of_packages
from cervbench.checks.pretended_gpu import PretendedGPU
from cervbench.data.cards.item import read_file
from cervbench.data.parts import Parts
from cervbench.evaluations import FineTuneSettings
from cervbench.evaluations.finetune import FineTuning, fine_tuned
from cervbench.place import data_root
from cervbench.plugin import (
    BackboneOffer,
    Batch,
    Card,
    Columns,
    Encoder,
    EvaluationOffer,
    Images,
    Item,
    Labelled,
    Method,
    MethodConfig,
    Offer,
    Progress,
    Settings,
    Source,
    Task,
    Trained,
    View,
    gather,
    hookimpl,
    one_answer_a_draw,
    own_rows,
    plain_policy,
)
from cervbench.plugin.catalog import UnknownName
from cervbench.plugin.checks import Check, CheckFailed, checks_of
from cervbench.plugin.installed import PLUGINS_VARIABLE
from cervbench.plugin.manager import Plugins
from cervbench.plugin.problems import AnswerError
from cervbench.plugin.settings import SettingsError
from cervbench.records.table import content_hash

PAPER = "A paper, 2020"


class Sound(Method):
    """Two views of an image come close, and the batch stays spread."""

    def build(self, encoder: Encoder) -> None:
        self.projector = nn.Linear(encoder.width, 16)

    def views(self) -> Sequence[View]:
        return (plain_policy(), plain_policy())

    def projected(self, view: Tensor) -> Tensor:
        assert self.encoder is not None
        out: Tensor = self.projector(self.encoder(view)).float()
        return out

    def loss(self, views: Sequence[Tensor]) -> Tensor:
        one, two = map(self.projected, views)
        return (one - two).square().mean() + (1 - gather(one).std(0)).relu().mean()


class SeedsItself(Sound):
    def build(self, encoder: Encoder) -> None:
        torch.manual_seed(42)
        super().build(encoder)


class BeginsAtTheIdentity(Sound):
    def build(self, encoder: Encoder) -> None:
        super().build(encoder)
        nn.init.eye_(self.projector.weight)


class DrawsAtRest(Sound):
    def features(self, images: Tensor, native_size: Tensor) -> Tensor:
        vectors = super().features(images, native_size)
        return vectors + 0.1 * torch.randn_like(vectors)


class CentresItsFeatures(Sound):
    def features(self, images: Tensor, native_size: Tensor) -> Tensor:
        vectors = super().features(images, native_size)
        return vectors - vectors.mean(0)


class TellsTheNativeSize(Sound):
    """Regression: it passed, and stood among rows that are not told what the strongest reference row is."""

    def features(self, images: Tensor, native_size: Tensor) -> Tensor:
        return torch.cat([super().features(images, native_size), native_size.float()], 1)


class CentresItsAnswers(Sound):
    def classifier(self, encoder: Encoder, classes: int) -> nn.Module:
        of_the_batch = nn.BatchNorm1d(encoder.width, track_running_stats=False)
        return nn.Sequential(encoder, of_the_batch, nn.Linear(encoder.width, classes))


class KnowsItsGridOfTokens(Sound):
    def projected(self, view: Tensor) -> Tensor:
        if hasattr(self.encoder.backbone, "patch_embed") and view.shape[-1] != 32:
            raise ValueError("32 px alone")
        return super().projected(view)


def sound_predict(
    trained: Trained, labelled: Sequence[Labelled], images: Images, settings: Settings
) -> dict[str, np.ndarray]:
    """Every class is as likely as it is among the labels."""
    shares = [np.bincount(seen.train.labels, minlength=7) / len(seen.train) for seen in labelled]
    return {
        "image": np.tile(np.array(images.ids), len(labelled)),
        "draw": np.repeat([seen.draw for seen in labelled], len(images)),
        **{
            f"p_{name}": np.repeat([share[c] for share in shares], len(images))
            for c, name in enumerate(labelled[0].classes)
        },
    }


def sound_backbone(image_size: int, pretrained: bool) -> Any:
    return timm.create_model("resnet18", num_classes=0, layers=(1, 1, 1, 1), channels=(8, 8, 8, 8))


def listed(folder: Path) -> Sequence[Item]:
    """Cells that lie in folders of their classes."""
    return [Item(path.stem, path.parent.name, path.stem, path) for path in sorted(folder.glob("*/*.png"))]


CARD = Card(
    name="cells",
    title="Cells",
    classes=("round", "long"),
    items=listed,
    citation=PAPER,
    licence="CC0",
    source=Source("https://example.org", by_hand="Unpack the cells into cells/."),
    group="cell",
    read=lambda item: Image.new("RGB", (8, 8)),
)


def of_a_table(folder: Path) -> Sequence[Item]:
    rows = (folder / "labels.csv").read_text().splitlines()
    return [Item(id, label, id, folder / id) for id, label in (row.split(",") for row in rows)]


def of_a_generator(folder: Path) -> Iterator[Item]:
    yield from listed(folder)


def of_one_cell(label: str, mode: str = "RGB") -> Card:
    """Found wherever one looks: it is of no files."""
    items = [Item("one", label, "one", Path("one.png"))]
    return replace(CARD, synthetic=True, items=lambda folder: items, read=lambda _: Image.new(mode, (8, 8)))


def plugin(
    method: str | type = Sound,
    config: type[MethodConfig] = MethodConfig,
    reference: str = PAPER,
    predict: Callable[..., Columns] = sound_predict,
    score: Callable[..., Any] | None = None,
    backbone: str | Callable[..., Any] = sound_backbone,
    builds_on: tuple[str, ...] = (),
    card: Card = CARD,
    frozen: bool = True,
) -> Plugins:
    own_score = {} if score is None else {"score": score, "schema": "own/1"}
    learner = Offer(config, method, reference, builds_on=builds_on)
    probe = EvaluationOffer(predict, PAPER, frozen=frozen, **own_score)
    hooks = SimpleNamespace(
        cervbench_methods=hookimpl(lambda: {"learner": learner}),
        cervbench_evaluations=hookimpl(lambda: {"probe": probe}),
        cervbench_backbones=hookimpl(lambda: {"net": BackboneOffer(backbone, PAPER)}),
        cervbench_datasets=hookimpl(lambda: {card.name: card}),
    )
    return Plugins.of({"a-package": hooks})


class Inner(BaseModel):
    epsilon: float = 0.05


class OpenConfig(MethodConfig):
    inner: Inner = Inner()


class RoundedConfig(MethodConfig):
    margin: Annotated[float, PlainSerializer(lambda value: round(value, 1))] = 0.25


class EndlessConfig(MethodConfig):
    margin: float = math.inf


class NeededConfig(MethodConfig):
    margin: float


class KnowsResNets(Sound):
    def build(self, encoder: Encoder) -> None:
        super().build(encoder)
        self.stages = len(encoder.backbone.layer4)  # type: ignore[arg-type]


class RefusesAll(Sound):
    def build(self, encoder: Encoder) -> None:
        raise SettingsError("no backbone will do")


class Climbs(Sound):
    def loss(self, views: Sequence[Tensor]) -> Tensor:
        """Its gradient points the wrong way."""
        loss = super().loss(views)
        return 2 * loss.detach() - loss


class NotScalar(Sound):
    def loss(self, views: Sequence[Tensor]) -> Tensor:
        return self.projected(views[0]).square().mean(0)


class HeadAlone(Sound):
    def projected(self, view: Tensor) -> Tensor:
        assert self.encoder is not None
        with torch.no_grad():
            vectors = self.encoder(view)
        out: Tensor = self.projector(vectors).float()
        return out


class LearnsNothing(Sound):
    def loss(self, views: Sequence[Tensor]) -> Tensor:
        """Its gradient is zero, and weight decay alone moves the encoder."""
        return 0 * super().loss(views)


class LastBlockAlone(Sound):
    def projected(self, view: Tensor) -> Tensor:
        model = self.encoder.backbone
        with torch.no_grad():
            early = model.layer3(model.layer2(model.layer1(model.maxpool(model.act1(model.conv1(view))))))
        out: Tensor = self.projector(model.layer4(early).mean((2, 3))).float()
        return out


class OptimisesTheHeadAlone(Sound):
    def param_groups(self) -> list[dict[str, Any]]:
        return [{"params": list(self.projector.parameters())}]


class StaysOnTheHost(Sound):
    def loss(self, views: Sequence[Tensor]) -> Tensor:
        return super().loss(views) + (self.projected(views[0]) - torch.zeros(16)).square().mean()


class KeepsATensorAside(Sound):
    def build(self, encoder: Encoder) -> None:
        super().build(encoder)
        self.target = torch.zeros(16)

    def loss(self, views: Sequence[Tensor]) -> Tensor:
        return super().loss(views) + (self.projected(views[0]) - self.target).square().mean()


class FollowsFromTheHost(Sound):
    def build(self, encoder: Encoder) -> None:
        super().build(encoder)
        self.register_buffer("centre", torch.zeros(16))

    def after_step(self, progress: Progress) -> None:
        centre: Tensor = self.centre
        centre.lerp_(torch.ones(16), progress.share)


class LooksAtTheLoss(Sound):
    def loss(self, views: Sequence[Tensor]) -> Tensor:
        loss = super().loss(views)
        return loss if loss.item() > 0 else -loss


class PicksByValue(Sound):
    def loss(self, views: Sequence[Tensor]) -> Tensor:
        answers = self.projected(views[0])
        return super().loss(views) + answers[answers > 0].mean()


class FetchesTheLoss(Sound):
    def loss(self, views: Sequence[Tensor]) -> Tensor:
        loss = super().loss(views)
        self.seen = loss.detach().cpu()
        return loss


class MixesByADraw(Sound):
    def loss(self, views: Sequence[Tensor]) -> Tensor:
        share = torch.rand(()).item()
        return super().loss([share * views[0] + (1 - share) * views[1], views[1]])


class SpreadsItsOwnRows(Sound):
    def loss(self, views: Sequence[Tensor]) -> Tensor:
        return super().loss(views) + (1 - self.projected(views[0]).std(0)).relu().mean()


class WeighsByADraw(Sound):
    def loss(self, views: Sequence[Tensor]) -> Tensor:
        answers = self.projected(views[0])
        return super().loss(views) + (torch.rand(len(answers)) * answers.square().mean(1)).mean()


class WeighsByADrawOfItsOwn(WeighsByADraw):
    def loss(self, views: Sequence[Tensor]) -> Tensor:
        answers = self.projected(views[0])
        weights = own_rows(torch.rand, len(answers))
        return Sound.loss(self, views) + (weights * answers.square().mean(1)).mean()


class GathersOnTheFirstDeviceAlone(Sound):
    def loss(self, views: Sequence[Tensor]) -> Tensor:
        [first, *_] = own_rows(torch.arange, len(views[0]))
        return super().loss(views) + (gather(views[0]).mean() if first == 0 else 0)


class ShufflesByNumpy(Sound):
    def loss(self, views: Sequence[Tensor]) -> Tensor:
        order = torch.randperm(len(views[0])).numpy()
        return super().loss([view[np.sort(order)] for view in views])


class ListsADraw(Sound):
    def loss(self, views: Sequence[Tensor]) -> Tensor:
        first, *_ = torch.randperm(2).tolist()
        return super().loss([views[first], views[1 - first]])


class SaysTheLoss(Sound):
    def loss(self, views: Sequence[Tensor]) -> Tensor:
        loss = super().loss(views)
        self.said = f"{loss.detach():.3f}"
        return loss


class HandsTheLossToNumpy(Sound):
    def loss(self, views: Sequence[Tensor]) -> Tensor:
        loss = super().loss(views)
        self.seen = np.asarray(loss.detach())
        return loss


class Altered:
    """A plain policy's view, with something done to the rows of it."""

    def __init__(self, change: Callable[[Tensor], Tensor]) -> None:
        self.change, self.policy = change, plain_policy()
        self.draw = self.policy.draw

    def apply(self, *asked: Any) -> Tensor:
        return self.change(self.policy.apply(*asked))


class ShowsTheNext(Sound):
    def views(self) -> Sequence[View]:
        return (plain_policy(), Altered(lambda views: views.roll(1, 0)))


class ShowsWhatIsNoNumber(Sound):
    def views(self) -> Sequence[View]:
        return (Altered(lambda views: views.sub(views.max()).log()), plain_policy())


class DrawsInApply(Sound):
    def views(self) -> Sequence[View]:
        return (Altered(lambda views: views + torch.randn_like(views)), plain_policy())


class OneForAll:
    """A plain policy with one draw beside it for all images of a batch."""

    def __init__(self) -> None:
        self.apply = plain_policy().apply

    def draw(self, rng: np.random.Generator, count: int) -> dict[str, np.ndarray]:
        dimmed = np.full(count, rng.random(), dtype=np.float32)
        return plain_policy().draw(rng, count) | {"dimmed": dimmed}


class DimsABatch(Sound):
    def views(self) -> Sequence[View]:
        return (plain_policy(), OneForAll())


class WantsTheStep(Sound):
    def loss(self, views: Sequence[Tensor], step: int) -> Tensor:  # type: ignore[override]
        return super().loss(views) * step


class DropsARow(Sound):
    def views(self) -> Sequence[View]:
        return (Altered(lambda views: views[1:]), plain_policy())


class PenalisesItsGradient(Sound):
    def loss(self, views: Sequence[Tensor]) -> Tensor:
        loss = super().loss([view.requires_grad_(True) for view in views])
        slopes = torch.autograd.grad(loss, views[0], create_graph=True)[0]
        return loss + 1e-3 * slopes.square().sum()


class DrawsByAGeneratorThere(Sound):
    def loss(self, views: Sequence[Tensor]) -> Tensor:
        there = torch.Generator(device=views[0].device)
        return super().loss(views) * (1 + 0 * torch.rand((), generator=there, device=views[0].device))


class DrawsFromNumpy(Sound):
    def loss(self, views: Sequence[Tensor]) -> Tensor:
        return super().loss(views) + np.random.rand() * self.projected(views[0]).square().mean()


class CountsAside(Sound):
    seen = 0

    def loss(self, views: Sequence[Tensor]) -> Tensor:
        self.seen += 1
        return super().loss(views) + self.seen * self.projected(views[0]).square().mean()


class Peeks(Sound):
    """Looks for the labels in whoever called it."""

    def loss(self, views: Sequence[Tensor]) -> Tensor:
        values = [value for frame in inspect.stack() for value in frame.frame.f_locals.values()]
        [dataset] = {id(one.dataset): one.dataset for one in values if isinstance(one, Parts)}.values()
        return super().loss(views) + dataset.label_indices[0] * self.projected(views[0]).square().mean()


class KnowsItsGrid(Sound):
    def projected(self, view: Tensor) -> Tensor:
        assert self.encoder is not None
        out: Tensor = self.projector(self.encoder.maps(view).flatten(1)).float()
        return out


class OneByOne(Sound):
    def loss(self, views: Sequence[Tensor]) -> Tensor:
        halves = torch.stack(list(views)).unflatten(1, (2, -1))  # an even number of images, always
        return super().loss([halves[0].flatten(0, 1), halves[1].flatten(0, 1)])


class RemembersAside(Sound):
    def build(self, encoder: Encoder) -> None:
        super().build(encoder)
        self.register_buffer("centre", torch.zeros(16), persistent=False)

    def loss(self, views: Sequence[Tensor]) -> Tensor:
        answers = self.projected(views[0])
        self.centre = self.centre + answers.detach().mean(0)
        return super().loss(views) + (answers - self.centre).square().mean()


class StoresTwice(Sound):
    def build(self, encoder: Encoder) -> None:
        super().build(encoder)
        self.backbone = encoder.backbone


class ChangesTheEncoder(Sound):
    def build(self, encoder: Encoder) -> None:
        super().build(encoder)
        encoder.backbone.conv1 = nn.Conv2d(3, 64, 3, stride=2, padding=1, bias=False)


class FreezesAtTheEnd(Sound):
    def after_step(self, progress: Progress) -> None:
        assert self.encoder is not None
        self.encoder.requires_grad_(progress.step < progress.steps)


class ClassifiesIntoTwo(Sound):
    def classifier(self, encoder: Encoder, classes: int) -> nn.Module:
        return nn.Sequential(encoder, nn.Linear(encoder.width, 2))


def leaves_one_out(**asked: Any) -> dict[str, np.ndarray]:
    return {name: values[1:] for name, values in sound_predict(**asked).items()}


def guesses(**asked: Any) -> dict[str, np.ndarray]:
    answers = sound_predict(**asked)
    chances = np.random.dirichlet(np.ones(7), len(answers["image"]))
    return answers | {name: chances[:, c] for c, name in enumerate(n for n in answers if n.startswith("p_"))}


SEEN: dict[tuple[str, ...], np.ndarray] = {}


def nearest(vectors: np.ndarray, answered: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Answers that depend on the vectors."""
    lengths = np.tile(np.linalg.norm(vectors, axis=1), len(answered["draw"]) // len(vectors))
    return answered | {"length": lengths}


def remembers(trained: Trained, labelled: Any, images: Images, settings: Any) -> dict[str, np.ndarray]:
    """Regression: with another seed, in the same process, it gave the predictions of the first."""
    if images.ids not in SEEN:
        SEEN[images.ids] = trained.features(images)
    return nearest(SEEN[images.ids], sound_predict(trained, labelled, images, settings))


def remembers_the_last(
    trained: Trained, labelled: Any, images: Images, settings: Any
) -> dict[str, np.ndarray]:
    vectors = trained.features(images)
    before, SEEN[()] = SEEN.get((), vectors), vectors
    return nearest(before, sound_predict(trained, labelled, images, settings))


def looks(trained: Trained, labelled: Any, images: Images, settings: Any) -> dict[str, np.ndarray]:
    return nearest(trained.features(images), sound_predict(trained, labelled, images, settings))


def draws(trained: Trained, labelled: Any, images: Images, settings: Any) -> dict[str, np.ndarray]:
    forest = RandomForestClassifier(3, random_state=trained.seed("forest"))
    known = labelled[0].train
    forest.fit(trained.features(known.images), known.labels)
    return nearest(
        forest.predict_proba(trained.features(images)), sound_predict(trained, labelled, images, settings)
    )


def fails(**asked: Any) -> dict[str, np.ndarray]:
    raise KeyError("cytoplasm")


def trains_further(trained: Trained, **asked: Any) -> dict[str, np.ndarray]:
    """Regression: it passed, and its rows stood among those of frozen encoders."""
    trained.classifier(7)
    return sound_predict(trained=trained, **asked)


def trains_in_place(trained: Trained, **asked: Any) -> dict[str, np.ndarray]:
    assert trained.encoder is not None
    with torch.no_grad():
        next(trained.encoder.parameters()).mul_(2)
    return sound_predict(trained=trained, **asked)


def freezes(trained: Trained, **asked: Any) -> dict[str, np.ndarray]:
    assert trained.encoder is not None
    trained.encoder.requires_grad_(False)
    return sound_predict(trained=trained, **asked)


def freezes_the_runs_own(trained: Trained, **asked: Any) -> dict[str, np.ndarray]:
    trained.method.encoder.requires_grad_(False)
    return sound_predict(trained=trained, **asked)


class Noisy(FineTuning):
    """Draws its noise from a generator that goes on from draw to draw."""

    def __init__(self, noise: np.random.Generator, *asked: Any) -> None:
        super().__init__(*asked)
        self.noise = noise

    def forward(self, batch: Batch) -> tuple[Tensor, Mapping[str, Tensor]]:
        loss, parts = super().forward(batch)
        return loss * self.noise.uniform(0.5, 2.0), parts


class WithAHead(nn.Module):
    """The encoder with a head whose first weights torch draws."""

    def __init__(self, encoder: Any) -> None:
        super().__init__()
        self.encoder, self.head = encoder, nn.Linear(encoder.width, 7)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.encoder(images))
        return logits


def trains_noisily(trained: Trained, labelled: Any, images: Images, settings: Any) -> Columns:
    noise = np.random.default_rng(trained.seed("noise"))

    def answer(seen: Labelled) -> np.ndarray:
        stage = Noisy(noise, trained.classifier(7), seen.train.labels, 7, 1e-2, 0.0)
        trained.fit(stage, seen.train, 2, 8, "noisily", seen.draw)
        return trained.probabilities(stage.classifier, images)

    return one_answer_a_draw(labelled, images, answer)


def trains_a_head(trained: Trained, labelled: Any, images: Images, settings: Any) -> Columns:
    """Regression: its second head began from other weights where the first stage had been finished before."""

    def answer(seen: Labelled) -> np.ndarray:
        head = WithAHead(trained.classifier(7).encoder)
        stage = FineTuning(head, seen.train.labels, 7, 1e-2, 0.0)
        trained.fit(stage, seen.train, 2, 8, "a head", seen.draw)
        return trained.probabilities(head, images)

    return one_answer_a_draw(labelled, images, answer)


def trains_and_guesses(**asked: Any) -> Columns:
    trains_a_head(**asked)
    return guesses(**asked)


def wants_the_parts(trained: Trained, parts: Parts, settings: Settings) -> Columns:
    return {}


def scores_at_random(columns: Columns, task: Task) -> dict[str, float]:
    return {"luck": float(np.random.rand())}


def scores_a_list(columns: Columns, task: Task) -> list[float]:
    return [1.0]


def widens(image_size: int, pretrained: bool) -> Any:
    model = sound_backbone(image_size, pretrained)
    model.num_features = 7
    return model


def answering(change: Callable[[Tensor], Tensor]) -> Callable[[int, bool], Any]:
    """A backbone with something done to its last maps."""

    def build(image_size: int, pretrained: bool) -> Any:
        model = sound_backbone(image_size, pretrained)
        features = model.forward_features
        model.forward_features = lambda images: change(features(images))
        return model

    return build


channels_last = answering(lambda maps: maps.permute(0, 2, 3, 1))
drops_out = answering(lambda maps: nn.functional.dropout(maps, 0.5))
centres_its_batch = answering(lambda maps: maps - maps.mean(0))
is_frozen = answering(lambda maps: maps.detach())


def seeds_itself(image_size: int, pretrained: bool) -> Any:
    torch.manual_seed(0)
    return sound_backbone(image_size, pretrained)


def begins_by_numpy(image_size: int, pretrained: bool) -> Any:
    model = sound_backbone(image_size, pretrained)
    nn.init.constant_(model.conv1.weight, np.random.rand())
    return model


def has_an_idle_layer(image_size: int, pretrained: bool) -> Any:
    model = sound_backbone(image_size, pretrained)
    model.idle = nn.Linear(3, 3)
    return model


BROKEN: Mapping[str, Mapping[str, tuple[Plugins, str]]] = {
    "it_loads_and_registers": {
        "names a class that is not there": (plugin("math:Learner"), "has no attribute 'Learner'"),
        "builds on nothing": (plugin(builds_on=("barlow-twin",)), "learner builds on barlow-twin, which no"),
        "wants the parts": (
            plugin(predict=wants_the_parts),
            r"predict of evaluation probe asks for 'parts' .*\.py:\d+\)",
        ),
        "scores by another name": (plugin(score=lambda table: {}), "score of evaluation probe asks for 'tab"),
        "wants the step": (plugin(WantsTheStep), r"loss of WantsTheStep takes .*'step' \(at .*\.py:\d+\)"),
    },
    "each_offer_has_a_reference": {"says nothing": (plugin(reference=" "), "method learner")},
    "its_config_comes_back_from_json": {
        "loses digits": (plugin(config=RoundedConfig), "margin of the config is another value"),
        "takes any key": (plugin(config=OpenConfig), "inner is a Inner, which takes a misspelt key"),
        "is no JSON": (plugin(config=EndlessConfig), "not JSON compliant"),
        "has no default": (plugin(config=NeededConfig), "margin"),
    },
    "it_works_on_a_cnn_and_a_vit_or_says_which": {
        "knows ResNets alone": (plugin(KnowsResNets), r"layer4.*\n.*test_checks\.py|layer4"),
        "refuses all": (plugin(RefusesAll), "refuses every kind of backbone: no backbone will do"),
    },
    "it_trains_and_its_loss_falls": {
        "climbs": (plugin(Climbs), "without any learning"),
        "is no scalar": (plugin(NotScalar), "scalar"),
    },
    "its_views_are_of_one_image_each": {
        "pairs an image with another": (plugin(ShowsTheNext), "view 1 of an image is another one"),
        "drops a row": (plugin(DropsARow), "view 0 is float32 with 7 rows"),
        "shows what is no number": (plugin(ShowsWhatIsNoNumber), "view 0 has numbers that are not finite"),
        "draws in apply": (plugin(DrawsInApply), "with the same draw is another one the second time"),
    },
    "it_trains_the_encoder": {
        "trains the head alone": (plugin(HeadAlone), r"no gradient reaches backbone\.conv1\.weight"),
        "learns nothing": (plugin(LearnsNothing), r"no gradient reaches backbone\.conv1\.weight"),
        "trains the last block alone": (plugin(LastBlockAlone), r"reaches backbone\.conv1\.weight"),
        "optimises the head alone": (
            plugin(OptimisesTheHeadAlone),
            r"conv1\.weight.* is in no group",
        ),
    },
    "it_keeps_to_the_device_of_its_views": {
        "makes a tensor on the host": (plugin(StaysOnTheHost), r"device.*test_checks\.py:\d+"),
        "keeps a tensor aside": (plugin(KeepsATensorAside), r"device.*test_checks\.py:\d+"),
        "follows from the host": (plugin(FollowsFromTheHost), r"device.*test_checks\.py:\d+"),
        "hands a tensor to numpy": (plugin(HandsTheLossToNumpy), r"to numpy.*test_checks\.py:\d+"),
    },
    "it_works_on_a_gpu": {"stays on the host": (plugin(StaysOnTheHost), "same device")},
    "it_gives_the_same_bits_again": {
        "draws elsewhere": (plugin(DrawsFromNumpy), "between two runs of the same seed")
    },
    "it_begins_elsewhere_with_another_seed": {
        "seeds itself": (plugin(SeedsItself), "after `build` torch draws the same with two seeds")
    },
    "its_features_are_of_one_image_each": {
        "draws at rest": (plugin(DrawsAtRest), "eval mode features of the same images are others"),
        "centres its features": (plugin(CentresItsFeatures), "others where fewer images are beside it"),
        "tells the native size": (plugin(TellsTheNativeSize), "twice as large before"),
    },
    "its_classifier_answers_for_one_image_each": {
        "centres its answers": (plugin(CentresItsAnswers), "answers of an image are others where fewer"),
    },
    "it_resumes_to_the_same_bits": {
        "counts in an attribute": (plugin(CountsAside), "after a kill in step 5 and a resume")
    },
    "it_has_one_loss_on_several_devices": {
        "looks at its own rows alone": (plugin(SpreadsItsOwnRows), "on 2 devices the loss is"),
        "draws alike on each": (plugin(WeighsByADraw), "on 2 devices the loss is"),
        "gathers on one alone": (plugin(GathersOnTheFirstDeviceAlone), "would wait for ever"),
    },
    "it_learns_the_same_whatever_the_labels": {"peeks": (plugin(Peeks), "depend on the labels")},
    "it_survives_odd_batches_and_image_sizes": {
        "knows the grid of one size": (plugin(KnowsItsGrid), "shapes cannot be multiplied"),
        "halves its batch": (plugin(OneByOne), "unflatten"),
        "knows the grid of one ViT": (plugin(KnowsItsGridOfTokens), "32 px alone"),
    },
    "its_state_goes_through_safetensors": {
        "remembers aside": (plugin(RemembersAside), "after storing and loading")
    },
    "its_encoder_is_stored_once": {
        "names it twice": (plugin(StoresTwice), r"backbone\.conv1\.weight.*under a second name")
    },
    "its_encoder_can_be_used_afterwards": {
        "changes its layers": (plugin(ChangesTheEncoder), r"backbone\.conv1\.weight"),
        "freezes it": (plugin(FreezesAtTheEnd), "cannot be trained any more"),
        "classifies into two": (plugin(ClassifiesIntoTwo), r"answers 8 images with \(8, 2\)"),
    },
    "it_answers_each_test_image_once_a_draw": {
        "leaves one out": (plugin(predict=leaves_one_out), "each of the 14 test images"),
        "trains though frozen": (plugin(predict=trains_further), "offer it with frozen=False"),
    },
    "it_gives_the_same_answers_again": {
        "guesses": (plugin(predict=guesses), "two tables of predictions"),
        "remembers by ids": (plugin(predict=remembers), "3 other encoders .* exactly as the first"),
        "remembers the last": (plugin(predict=remembers_the_last), "two tables of predictions"),
    },
    "it_leaves_the_encoder_as_it_was": {
        "trains it in place": (plugin(predict=trains_in_place), r"trained\.encoder is not .*conv1\.weight"),
        "freezes the run's own": (plugin(predict=freezes_the_runs_own), r"trained\.method is not"),
    },
    "it_goes_on_after_a_kill": {
        "draws on from stage to stage": (
            plugin(predict=trains_noisily, frozen=False),
            "between two stages .* another table",
        )
    },
    "its_scores_are_a_function_of_the_table": {
        "scores at random": (plugin(score=scores_at_random), "two results"),
        "scores a list": (plugin(score=scores_a_list), "returns a list"),
    },
    "it_says_where_its_files_come_from": {
        "leaves its users alone": (
            plugin(card=replace(CARD, licence="", source=Source("https://example.org"))),
            "silent on licence, source.archives or source.by_hand",
        )
    },
    "an_empty_folder_is_refused": {
        "looks elsewhere": (
            plugin(card=replace(of_one_cell("round"), synthetic=False)),
            "finds 1 images in an empty folder",
        ),
        "takes for granted": (plugin(card=replace(CARD, items=of_a_table)), "FileNotFoundError"),
    },
    "its_frozen_folds_are_there": {
        "forgot to ship them": (plugin(card=replace(CARD, manifest="json:mine.csv")), "are not there")
    },
    "an_image_of_each_class_can_be_read": {
        "has a class of its own": (plugin(card=of_one_cell("square")), "'square', and its card knows round"),
        "gives grey": (plugin(card=of_one_cell("round", "L")), "an image of mode L"),
        "finds no file": (
            plugin(card=replace(of_one_cell("round"), read=read_file)),
            "one.png cannot be read as an image",
        ),
        "lists what is no item": (
            plugin(card=replace(of_one_cell("round"), items=lambda _: ["one.png"])),
            "lists a str at place 0, where an Item is due",
        ),
    },
    "it_makes_a_vector_of_its_width_at_every_image_size": {
        "has another width": (plugin(backbone=widens), r"at 32 px: it makes \(2, 8\) .* not \(2, 7\)"),
        "has its channels last": (plugin(backbone=channels_last), r"makes \(2, 1\) .* not \(2, 8\)"),
    },
    "its_first_weights_are_a_function_of_the_seed": {
        "seeds itself": (plugin(backbone=seeds_itself), "another seed gives the same weights"),
        "draws elsewhere": (plugin(backbone=begins_by_numpy), r"conv1\.weight differ between two builds"),
    },
    "it_answers_the_same_again_at_rest": {
        "drops out at rest": (plugin(backbone=drops_out), "other vectors the second time"),
    },
    "its_vectors_are_of_one_image_each": {
        "centres its batch": (plugin(backbone=centres_its_batch), "another vector where fewer images"),
    },
    "each_parameter_has_a_gradient": {
        "is frozen": (plugin(backbone=is_frozen), "no parameter gets a gradient"),
    },
}

NOT_HERE = f"not looked at: there is no folder {data_root() / 'cells'}"
WITHOUT_A_GPU = "not looked at: torch finds no CUDA device here"
WITHOUT_A_PRETENCE = f"not looked at: torch {torch.__version__} cannot pretend a GPU here; a newer one can"
BY_HAND = "not looked at: it was registered by hand, and only an installed package can be loaded anew"
needs_a_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
needs_a_pretence = pytest.mark.skipif(not PretendedGPU.possible(), reason="this torch cannot pretend a GPU")
NEEDS = {"it_works_on_a_gpu": [needs_a_gpu], "it_keeps_to_the_device_of_its_views": [needs_a_pretence]}

CASES = [
    pytest.param(
        demand,
        fault,
        id=f"{fault} ({demand})",
        marks=NEEDS.get(demand, []),
    )
    for demand, faults in BROKEN.items()
    for fault in faults
]


def named(demand: str, found: Plugins) -> Check:
    [check] = [one for one in checks_of("a-package", found) if one.demand.__name__ == demand]
    return check


@pytest.mark.parametrize(("demand", "fault"), CASES)
def test_a_check_catches_a_plugin_that(demand: str, fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(of_methods, "LENGTHS", (2, 4))  # what climbs does so from the first steps
    found, why = BROKEN[demand][fault]
    with pytest.raises(CheckFailed, match=why) as failure:
        named(demand, found)()
    assert failure.value.to_do


@pytest.mark.parametrize("check", checks_of("a-package", plugin()), ids=str)
def test_a_sound_plugin_passes(check: Check) -> None:
    notes = {"it_registers_without_torch": BY_HAND, "an_image_of_each_class_can_be_read": NOT_HERE}
    if not torch.cuda.is_available():
        notes["it_works_on_a_gpu"] = WITHOUT_A_GPU
    if not PretendedGPU.possible():
        notes["it_keeps_to_the_device_of_its_views"] = WITHOUT_A_PRETENCE
    assert check() == notes.get(check.demand.__name__, "")


def test_an_evaluation_may_freeze_the_encoder_that_is_its_own() -> None:
    assert named("it_leaves_the_encoder_as_it_was", plugin(predict=freezes))() == ""


def test_first_weights_that_no_seed_decides_are_allowed() -> None:
    assert named("it_begins_elsewhere_with_another_seed", plugin(BeginsAtTheIdentity))() == ""


def test_who_answers_otherwise_each_time_is_told_so_once() -> None:
    """Regression: its kill was blamed for it."""
    found = plugin(predict=trains_and_guesses, frozen=False)
    assert "as told above" in named("it_goes_on_after_a_kill", found)()


def test_an_evaluation_that_draws_from_torch_goes_on_after_a_kill() -> None:
    assert named("it_goes_on_after_a_kill", plugin(predict=trains_a_head, frozen=False))() == ""


@pytest.mark.parametrize("predict", [looks, draws])
def test_answers_that_depend_on_the_encoder_and_on_a_seed_are_given_again(predict: Any) -> None:
    assert named("it_gives_the_same_answers_again", plugin(predict=predict))() == ""


def test_who_guesses_with_numpy_is_told_what_numpy_and_scikit_learn_take() -> None:
    """Regression: the advice was of torch alone."""
    with pytest.raises(CheckFailed) as failure:
        named("it_gives_the_same_answers_again", plugin(predict=guesses))()
    assert "random_state=trained.seed(" in failure.value.to_do


def test_an_evaluation_that_gives_no_table_is_told_so_once() -> None:
    """Regression: the same failure was that of each of its checks."""
    checks = [check for check in checks_of("a-package", plugin(predict=fails)) if "probe" in str(check)]
    told = []
    for check in checks:
        try:
            told.append(check())
        except CheckFailed as failure:
            told.append(failure.why)
    first, *others = told
    assert re.search(r"KeyError: 'cytoplasm' \(at .*test_checks\.py:\d+\)", first)
    assert set(others) == {of_evaluations.NO_ANSWER}


def test_a_method_that_cannot_be_imported_is_told_of_once() -> None:
    """Regression: the same failure was that of nearly each of its checks."""
    checks = checks_of("a-package", plugin("no_such_module:Learner"))
    assert [check.demand.__name__ for check in checks if "learner" in str(check)] == []
    with pytest.raises(CheckFailed, match="method 'learner' cannot be imported: ModuleNotFoundError"):
        named("it_loads_and_registers", plugin("no_such_module:Learner"))()


def test_a_card_may_list_by_a_generator() -> None:
    """Regression: it was told that an `object of type 'generator' has no len()`, though runs accept it."""
    card = replace(CARD, items=of_a_generator)  # type: ignore[arg-type]
    assert named("an_empty_folder_is_refused", plugin(card=card))() == ""


def test_a_listing_that_fails_is_told_where_there_are_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Regression: it was "not looked at", and the package passed."""
    monkeypatch.setattr(of_datasets, "data_root", lambda: tmp_path)
    (tmp_path / "cells").mkdir()
    check = named("an_image_of_each_class_can_be_read", plugin(card=replace(CARD, items=of_a_table)))
    assert check().startswith("not looked at: ")
    Image.new("RGB", (8, 8)).save(tmp_path / "cells" / "1.png")
    with pytest.raises(CheckFailed, match="`items` of its card failed: FileNotFoundError"):
        check()


def fine_tunes(steps: int, fails: bool = False) -> Callable[..., Columns]:
    settings = FineTuneSettings(
        steps=steps,
        epochs=1,
        batch_size=1000,  # all of the labels, so that an epoch is one step
        draws=1,
        learning_rate_scratch=1e-2,
        learning_rate_trained=1e-2,
        weight_decay=0.0,
    )

    def predict(trained: Trained, labelled: Sequence[Labelled], images: Images) -> Columns:
        def answer(seen: Labelled) -> np.ndarray:
            classifier = fine_tuned(trained, seen, settings)
            if fails:
                raise ArithmeticError("after it was trained")
            return trained.probabilities(classifier, images)

        return one_answer_a_draw(labelled, images, answer)

    return predict


def test_an_evaluation_that_trains_is_checked_on_its_own_whatever_was_checked_before() -> None:
    """Regression: a second that trains for the same purpose was told that it fits two stages for it."""

    def told(predict: Callable[..., Columns]) -> str:
        [(name, entry)] = plugin(predict=predict, frozen=False).evaluations.of_package("a-package")
        return content_hash(of_evaluations.ExaminedEvaluation(name, entry).answered())

    once = told(fine_tunes(1))
    with pytest.raises(AnswerError, match="ArithmeticError: after it was trained"):
        told(fine_tunes(3, fails=True))
    assert told(fine_tunes(2)) != once
    assert told(fine_tunes(1)) == once


class WithoutEncoder(Method):
    def features(self, images: Tensor, native_size: Tensor) -> Tensor:
        return images.mean((2, 3)) / 0


def test_features_without_an_encoder_must_be_finite() -> None:
    offer = Offer(Settings, WithoutEncoder, PAPER, pretrains=False, has_encoder=False)
    hook = hookimpl(lambda: {"features": offer})
    hook.__name__ = "cervbench_methods"
    check = named(
        "it_gives_finite_features", Plugins.of({"a-package": SimpleNamespace(cervbench_methods=hook)})
    )
    with pytest.raises(CheckFailed, match="not finite"):
        check()


def test_what_is_drawn_once_for_a_batch_is_told() -> None:
    """As a note: a method may mean it."""
    note = named("its_views_are_of_one_image_each", plugin(DimsABatch))()
    assert note == "view 1: all images of a batch get the same dimmed"


def test_a_layer_of_a_backbone_without_a_part_in_its_vector_is_told() -> None:
    note = named("each_parameter_has_a_gradient", plugin(backbone=has_an_idle_layer))()
    assert note == "idle.weight; idle.bias have no part in the vectors"


def test_what_is_drawn_for_the_whole_batch_is_one_loss_on_several_devices() -> None:
    assert named("it_has_one_loss_on_several_devices", plugin(WeighsByADrawOfItsOwn))() == ""


def test_every_check_has_a_plugin_that_it_catches() -> None:
    demands = [
        *of_packages.DEMANDS,
        *of_methods.ALWAYS,
        *of_methods.WITH_A_PRETEXT_STAGE,
        *of_methods.WITH_AN_ENCODER,
        *of_datasets.DEMANDS,
        *of_evaluations.DEMANDS,
        *of_backbones.DEMANDS,
    ]
    elsewhere = {"it_registers_without_torch"}
    assert {demand.__name__ for demand in demands} == {*BROKEN, *elsewhere}


class WantsTokens(Sound):
    def build(self, encoder: Encoder) -> None:
        if not hasattr(encoder.backbone, "num_prefix_tokens"):
            raise SettingsError("it masks tokens, which this backbone has not: say --backbone vit")
        super().build(encoder)


def test_a_method_may_refuse_a_kind_of_backbone_and_is_examined_on_the_other() -> None:
    checks = {check.demand.__name__: check for check in checks_of("a-package", plugin(WantsTokens))}
    note = checks["it_works_on_a_cnn_and_a_vit_or_says_which"]()
    assert note == "no CNN: it masks tokens, which this backbone has not: say --backbone vit"
    assert checks["it_trains_the_encoder"]() == ""


@needs_a_pretence
@pytest.mark.parametrize(
    ("looks", "note"),
    [
        (LooksAtTheLoss, "each step waits for the GPU"),
        (PicksByValue, "each step waits for the GPU"),
        (FetchesTheLoss, "each step waits for the GPU"),
        (SaysTheLoss, "each step waits for the GPU"),
        (MixesByADraw, "followed as far as"),
        (ShufflesByNumpy, "followed as far as"),
        (ListsADraw, "followed as far as"),
        (PenalisesItsGradient, "followed as far as"),
        (DrawsByAGeneratorThere, "followed as far as"),
    ],
)
def test_a_method_that_looks_at_a_value_is_told_the_line(looks: type[Method], note: str) -> None:
    lines, start = inspect.getsourcelines(looks)
    looked = ("autograd.grad(", "Generator(", "item()", "answers[", "cpu()", "numpy()", "tolist()", ":.3f")
    at = start + next(number for number, line in enumerate(lines) if any(one in line for one in looked))
    told = named("it_keeps_to_the_device_of_its_views", plugin(looks))()
    assert note in told
    assert f"{__file__}:{at} " in f"{told.replace(',', ' ,')} "


@pytest.mark.parametrize(
    "check",
    [
        "it_resumes_to_the_same_bits",
        "it_learns_the_same_whatever_the_labels",
        "its_state_goes_through_safetensors",
    ],
)
def test_a_method_that_draws_elsewhere_is_not_accused_of_what_follows_from_it(check: str) -> None:
    """Regression: it was told that its encoder depends on the labels."""
    assert named(check, plugin(DrawsFromNumpy))() == "not looked at: two runs of the same seed differ already"


class LeavesTheLastNormAside(WantsTokens):
    def projected(self, view: Tensor) -> Tensor:
        model = self.encoder.backbone
        [last] = model.forward_intermediates(view, indices=1, norm=False, intermediates_only=True)
        out: Tensor = self.projector(last.mean((2, 3))).float()
        return out


def test_a_method_may_leave_a_norm_of_the_encoder_aside() -> None:
    assert named("it_trains_the_encoder", plugin(LeavesTheLastNormAside))() == ""


def test_a_failure_in_the_plugins_own_code_is_told_by_file_and_line() -> None:
    with pytest.raises(CheckFailed) as failure:
        named("it_works_on_a_cnn_and_a_vit_or_says_which", plugin(KnowsResNets))()
    lines, start = inspect.getsourcelines(KnowsResNets)
    at = start + next(number for number, line in enumerate(lines) if "layer4" in line)
    assert f"{__file__}:{at}" in failure.value.why
    assert "It trains on each kind of backbone" in failure.value.to_do


def test_a_failure_in_a_package_of_one_file_is_told_by_file_and_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "one_file_plugin.py").write_text("def build(image_size, pretrained):\n    return 1 / 0\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(CheckFailed, match=r"ZeroDivisionError.*one_file_plugin\.py:2"):
        named(
            "it_makes_a_vector_of_its_width_at_every_image_size",
            plugin(backbone="one_file_plugin:build"),
        )()


@pytest.mark.parametrize("line", ["import torch", "from cervbench.plugin import Method, Offer"])
def test_a_package_that_imports_torch_to_register_is_told_the_line(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "heavy_plugin.py").write_text(
        f"from cervbench.plugin import hookimpl\n\n{line}\n\n\n"
        "@hookimpl\ndef cervbench_methods():\n    return {}\n"
    )
    info = tmp_path / "heavy_plugin-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: heavy-plugin\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[cervbench]\nit = heavy_plugin\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv(PLUGINS_VARIABLE, "heavy-plugin")
    checks = {check.demand.__name__: check for check in checks_of("heavy-plugin", Plugins.discover())}
    assert checks["it_loads_and_registers"]() == "it offers nothing: it only watches"
    with pytest.raises(CheckFailed, match=r"import of torch .*heavy_plugin\.py:3\)"):
        checks["it_registers_without_torch"]()


def test_an_unknown_package_is_told_how_to_install() -> None:
    told = rf"'my-package' is installed.*a-package.*pip install -e.*{PLUGINS_VARIABLE}"
    with pytest.raises(UnknownName, match=told):
        checks_of("my-package", plugin())


def two_packages() -> Plugins:
    nothing = SimpleNamespace()
    return Plugins.of({"cervbench-near-far": nothing, "cervbench-other": nothing})


@pytest.mark.parametrize("name", ["near-far", "cervbench-near-fra", "Near_Far", "cervbench_near_fra"])
def test_a_package_whose_name_is_nearly_right_is_named(name: str) -> None:
    with pytest.raises(UnknownName, match=f"{name}.*; did you mean 'cervbench-near-far'"):
        checks_of(name, two_packages())


def test_a_package_goes_by_every_name_that_pip_takes_for_it() -> None:
    subjects = {check.name for check in checks_of("Cervbench_near.far", two_packages())}
    assert subjects == {"package cervbench-near-far"}


def test_the_prefix_that_packages_share_makes_no_two_of_them_near() -> None:
    with pytest.raises(UnknownName) as told:
        checks_of("cervbench-mine", two_packages())
    assert "did you mean" not in str(told.value)

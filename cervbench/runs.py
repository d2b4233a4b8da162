"""From what is asked to runs: every name looked up, every setting checked, every run named by its content."""

import hashlib
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pydantic_core import to_jsonable_python

from cervbench.data.cards.card import Card
from cervbench.data.dataset import Dataset
from cervbench.data.error import DataError
from cervbench.lineage import warn_of_tests_seen
from cervbench.plugin.catalog import CORE, Entry, UnknownName
from cervbench.plugin.manager import Plugins
from cervbench.plugin.offers import BackboneOffer, EvaluationOffer, Offer
from cervbench.plugin.settings import Settings, SettingsError
from cervbench.protocol.protocol import Protocol, load, of_pretext
from cervbench.records.record import (
    NO_BACKBONE,
    DatasetOfRun,
    MethodOfRun,
    ProtocolOfRun,
    Run,
)
from cervbench.scoring.task import Task
from cervbench.study import Request
from cervbench.training import RULES
from cervbench.training.backbones import PLACES, require_timm_name, weights_package
from cervbench.training.recipe import Recipe


@dataclass(frozen=True)
class Understood:
    """A request with every name looked up and every setting checked."""

    request: Request
    method: Entry[Offer]
    builds_on: tuple[Entry[Offer], ...]
    """Other methods whose code it uses."""
    config: Settings
    card: Card
    backbone: str
    backbone_offer: BackboneOffer | None
    """None for a backbone known by its timm name."""
    evaluations: tuple[tuple[Entry[EvaluationOffer], Settings], ...]
    ratios: tuple[int, ...]
    protocol: Protocol

    @property
    def used(self) -> tuple[Entry[Offer], ...]:
        """All methods whose code makes the encoder."""
        return (self.method, *self.builds_on)


def understand(request: Request, plugins: Plugins) -> Understood:
    changes = {
        k.removeprefix("protocol."): v for k, v in request.settings.items() if k.startswith("protocol.")
    }
    own = {k: v for k, v in request.settings.items() if not k.startswith("protocol.")}
    protocol = load(request.tier, changes)
    method = plugins.methods.get(request.method)
    config = method.offer.config.parse(own, f"method {method.name}")
    ratios = tuple(sorted(set(request.ratios or protocol.labels.ratios)))
    if strange := set(ratios) - set(protocol.labels.ratios):
        raise SettingsError(
            f"the protocol has no ratio {', '.join(map(str, sorted(strange)))}; it has "
            f"{', '.join(map(str, protocol.labels.ratios))} per cent"
        )
    card = find_card(request.dataset, plugins)
    evaluations = tuple(_evaluations(request, method.offer, protocol, plugins))
    backbone = _offered_backbone(request.backbone, plugins) if method.offer.has_encoder else None
    return Understood(
        request=request,
        method=method,
        builds_on=tuple(_built_on(method, plugins)),
        config=config,
        card=card,
        backbone=_name_backbone(backbone, request.backbone) if method.offer.has_encoder else NO_BACKBONE,
        backbone_offer=backbone.offer if backbone else None,
        evaluations=evaluations,
        ratios=ratios,
        protocol=protocol,
    )


def _evaluations(
    request: Request, offer: Offer, protocol: Protocol, plugins: Plugins
) -> list[tuple[Entry[EvaluationOffer], Settings]]:
    """Those asked for, or the protocol's, of which features without an encoder take the frozen ones."""
    # The protocol's are the core's own, whatever other package offers such a name too.
    names = request.evaluations or tuple(f"{CORE}:{name}" for name in protocol.evaluations)
    found = []
    for name in names:
        entry = plugins.evaluations.get(name)
        if not offer.has_encoder and not entry.offer.frozen:
            if request.evaluations:
                raise SettingsError(
                    f"{request.method} has no encoder, which {name} would train; ask for linear or knn"
                )
            continue
        fixed = protocol.settings_of(entry.package, entry.name)
        settings = entry.offer.settings.parse(fixed, f"evaluation {name}")
        found.append((entry, settings))
    return found


def _built_on(method: Entry[Offer], plugins: Plugins) -> list[Entry[Offer]]:
    """The methods whose code it uses, and those whose code these use."""
    found: dict[str, Entry[Offer]] = {}
    asking = [method]
    while asking:
        one = asking.pop(0)
        for name in one.offer.builds_on:
            try:
                entry = plugins.methods.get(name)
            except UnknownName as error:
                owner = f"method {one.name} of {one.package}"
                raise UnknownName(f"{owner} builds on {name}, but: {error}") from None
            if entry.name not in found:
                found[entry.name] = entry
                asking.append(entry)
    return list(found.values())


def find_card(dataset: str, plugins: Plugins) -> Card:
    """A known dataset by name; anything that is a path is a user's own manifest or folder."""
    if dataset not in plugins.datasets and (
        dataset.endswith(".csv") or "/" in dataset or Path(dataset).is_dir()
    ):
        from cervbench.data.cards.own import own_card

        return own_card(Path(dataset), taken=plugins.datasets)
    return plugins.datasets.get(dataset).offer


def name_run(asked: Understood, dataset: Dataset, fold: int) -> Run:
    """Everything that decides an encoder."""
    offer, protocol = asked.method.offer, asked.protocol
    return Run(
        method=MethodOfRun(
            name=asked.method.name,
            package=asked.method.package,
            revision=offer.revision,
            builds_on={one.name: one.offer.revision for one in asked.builds_on if one.offer.revision > 1},
            config=asked.config.model_dump(mode="json"),
            pretext=offer.pretrains,
        ),
        dataset=DatasetOfRun(
            name=dataset.card.name,
            variant=dataset.variant,
            manifest=dataset.manifest.hash,
            pack=dataset.pack.hash,
            folds=dataset.manifest.folds,
            synthetic=dataset.card.synthetic,
        ),
        backbone=asked.backbone,
        backbone_revision=asked.backbone_offer.revision if asked.backbone_offer else 1,
        init=name_init(asked),
        weights=_weights_source(asked) if asked.request.init == "imagenet" and offer.has_encoder else "",
        fold=fold,
        seed=asked.request.seed,
        protocol=ProtocolOfRun(
            version=protocol.version,
            tier=protocol.tier,
            image_size=protocol.image_size,
            pretext=protocol.pretext.model_dump() if offer.pretrains else None,
            rules=RULES,
            off=tuple(change for change in protocol.off if offer.pretrains or not of_pretext(change)),
        ),
    )


def recipe_of(asked: Understood, run: Run) -> Recipe:
    return Recipe(
        offer=asked.method.offer,
        config=asked.config,
        backbone=asked.backbone,
        backbone_offer=asked.backbone_offer,
        init=asked.request.init,
        image_size=asked.protocol.image_size,
        pretext=asked.protocol.pretext,
        seed=run.seed,
        fold=run.fold,
    )


def task_of(dataset: Dataset) -> Task:
    card = dataset.card
    return Task(
        classes=card.classes,
        abnormal=tuple(name for name in card.classes if name in card.abnormal),
        severity=None if card.severity is None else dict(card.severity),
        groups_known=card.groups_known,
    )


def runs(asked: Understood, dataset: Dataset, plugins: Plugins) -> Iterator[Run]:
    """One run a fold; an unknown fold is refused before anything is trained."""
    folds = asked.request.folds or range(dataset.manifest.folds)
    for fold in folds:
        _require_fold(dataset, fold)
    if asked.method.offer.has_encoder and asked.request.init not in ("random", "imagenet"):
        warn_of_tests_seen(asked.request.init, asked.card, folds, plugins)
    for fold in folds:
        yield name_run(asked, dataset, fold)


def _require_fold(dataset: Dataset, fold: int) -> None:
    """In a part of a dataset, whose folds are those of the whole, one may test nothing."""
    manifest, parts = dataset.manifest, dataset.manifest.fold(fold)
    classes = {manifest.labels[row] for row in parts.train} - {""}
    if len(parts.test) and len(classes) > 1:
        return
    lacking = "tests no image" if not len(parts.test) else f"has {len(classes)} classes to train on"
    raise DataError(
        f"{dataset.variant}: fold {fold} {lacking}; name others with --folds, or bring the images as a "
        "manifest of your own, whose folds are dealt from what is there"
    )


def warn_of_untrained_classes(dataset: Dataset) -> None:
    """In a part of a dataset a fold may test a class of which no image is left to train on."""
    for name, lacking in dataset.manifest.lacking().items():
        untrained = [where.removesuffix(": train") for where in lacking if where.endswith(": train")]
        tested = [fold for fold in untrained if f"{fold}: test" not in lacking]
        if tested:
            logging.getLogger("cervbench").warning(
                "%s: images of class %s are tested in %s and trained on in none of these, where no method "
                "can name it right",
                dataset.variant,
                name,
                ", ".join(tested),
            )


def changed_settings(run: Run, plugins: Plugins) -> dict[str, Any]:
    """Settings of its method that are not the package's defaults."""
    offered = f"{run.method.package}:{run.method.name}"
    if offered not in plugins.methods:
        return {}
    known = plugins.methods.get(offered).offer.config.model_fields
    return {
        name: value
        for name, value in run.method.config.items()
        if to_jsonable_python(known[name].get_default(call_default_factory=True)) != value
    }


def _offered_backbone(asked: str, plugins: Plugins) -> Entry[BackboneOffer] | None:
    """None for a model that timm knows by this name; one that nobody knows is refused."""
    offered = plugins.backbones
    if asked in offered or (":" in asked and not asked.startswith(PLACES)):
        return offered.get(asked)
    require_timm_name(asked, offered)
    return None


def _name_backbone(offered: Entry[BackboneOffer] | None, asked: str) -> str:
    """A built-in's or timm's own name; a package's backbone has the package's before it."""
    if offered is None:
        return asked
    return offered.name if offered.package == CORE else f"{offered.package}:{offered.name}"


def _weights_source(asked: Understood) -> str:
    """Where ImageNet weights come from on this machine: the same name may stand for others elsewhere."""
    package = weights_package(asked.backbone)
    return f"{package} {version(package)}"


def name_init(asked: Understood) -> str:
    """A file is known by its content, not by its path."""
    init = asked.request.init if asked.method.offer.has_encoder else "random"
    if init in ("random", "imagenet"):
        return init
    path = Path(init)
    if not path.is_file():
        raise SettingsError(f"--init is random, imagenet or a safetensors file; there is no file {init}")
    return f"file:{hashlib.sha256(path.read_bytes()).hexdigest()[:16]}"

"""Resolves a request: looks up every name and checks every setting, before any data is read."""

from dataclasses import dataclass
from pathlib import Path

from cervbench.data.cards.card import Card
from cervbench.offered_code import code_hash
from cervbench.place import folder
from cervbench.plugin.catalog import CORE, Entry, UnknownName
from cervbench.plugin.manager import Plugins
from cervbench.plugin.offers import BackboneOffer, EvaluationOffer, Offer
from cervbench.plugin.settings import Settings, SettingsError
from cervbench.protocol.protocol import Protocol, load
from cervbench.records.record import NO_BACKBONE
from cervbench.study import Request
from cervbench.training.backbones import LOCATION_PREFIXES, require_timm_name
from cervbench.training.recipe import Recipe


@dataclass(frozen=True)
class Resolved:
    """A request with every name looked up and every setting checked."""

    request: Request
    method: Entry[Offer]
    builds_on: tuple[Entry[Offer], ...]
    """Other methods whose code it uses, directly or through another."""
    config: Settings
    card: Card
    backbone: str
    backbone_offer: BackboneOffer | None
    """None for a backbone that goes by its timm name."""
    evaluations: tuple[tuple[Entry[EvaluationOffer], Settings], ...]
    ratios: tuple[int, ...]
    protocol: Protocol

    @property
    def init_file(self) -> Path | None:
        """The file of weights that its encoder starts from; None if they are random or ImageNet's."""
        given = self.request.init
        return None if given in ("random", "imagenet") or not self.method.offer.has_encoder else Path(given)

    @property
    def used(self) -> tuple[Entry[Offer], ...]:
        """Every method whose code has a part in the encoder."""
        return (self.method, *self.builds_on)

    @property
    def code(self) -> str:
        """A hash of the code behind its encoder, that of the core left out."""
        backbone = [self.backbone_offer] if self.backbone_offer else []
        return code_hash(*(entry.offer for entry in self.used), *backbone)

    def recipe(self, fold: int) -> Recipe:
        """What decides the trained method of a fold."""
        return Recipe(
            offer=self.method.offer,
            config=self.config,
            backbone=self.backbone,
            backbone_offer=self.backbone_offer,
            init=self.request.init,
            image_size=self.protocol.image_size,
            pretext=self.protocol.pretext,
            seed=self.request.seed,
            fold=fold,
        )


def resolve(request: Request, plugins: Plugins) -> Resolved:
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
    backbone = offered_backbone(request.backbone, plugins) if method.offer.has_encoder else None
    if backbone and request.init == "imagenet":
        _require_imagenet_weights(backbone)
    return Resolved(
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
    """The evaluations asked for, or else the protocol's; a method without encoder has only frozen ones."""
    # The protocol means the core's own, even if another package offers one of the same name.
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
    """The methods whose code it uses, directly or through another, each once."""
    found: dict[tuple[str, str], Entry[Offer]] = {}
    users = [method]
    while users:
        user = users.pop(0)
        for name in user.offer.builds_on:
            try:
                entry = plugins.methods.get(name)
            except UnknownName as error:
                owner = f"method {user.name} of {user.package}"
                raise UnknownName(f"{owner} builds on {name}, but: {error}") from None
            if (entry.package, entry.name) not in found:
                found[entry.package, entry.name] = entry
                users.append(entry)
    return list(found.values())


def find_card(dataset: str, plugins: Plugins) -> Card:
    """The card of a known dataset by its name, or of a user's own manifest or folder by its path."""
    if dataset not in plugins.datasets and (
        dataset.lower().endswith(".csv") or "/" in dataset or Path(dataset).is_dir()
    ):
        from cervbench.data.cards.own import own_card

        return own_card(folder(dataset), taken=plugins.datasets)
    return plugins.datasets.get(dataset).offer


def offered_backbone(name: str, plugins: Plugins) -> Entry[BackboneOffer] | None:
    """A package's offer, or None for a name that only timm knows; a name that nobody knows is refused."""
    offered = plugins.backbones
    if name in offered or (":" in name and not name.startswith(LOCATION_PREFIXES)):
        return offered.get(name)
    require_timm_name(name, offered)
    return None


def _require_imagenet_weights(backbone: Entry[BackboneOffer]) -> None:
    """Refuse a backbone that would begin at random all the same, under the name of ImageNet."""
    if not backbone.offer.weights:
        raise SettingsError(
            f"backbone {backbone.name} of package {backbone.package} has no ImageNet weights: its offer "
            "names no `weights`; begin with --init random, or with a file of weights"
        )


def _name_backbone(offered: Entry[BackboneOffer] | None, name: str) -> str:
    """As records name it: by a built-in's or timm's own name, or else by `package:name`."""
    if offered is None:
        return name
    return offered.name if offered.package == CORE else f"{offered.package}:{offered.name}"

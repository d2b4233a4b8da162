"""Makes the runs of a resolved request, one per fold; each holds everything that decides its encoder."""

import hashlib
from collections.abc import Iterator
from typing import Any

from pydantic_core import to_jsonable_python

from cervbench.data.dataset import Dataset, require_fold
from cervbench.plugin.manager import Plugins
from cervbench.plugin.settings import SettingsError
from cervbench.protocol.protocol import of_pretext
from cervbench.records.record import BudgetOfRun, DatasetOfRun, MethodOfRun, ProtocolOfRun, Run
from cervbench.resolve import Resolved
from cervbench.training import RULES
from cervbench.training.backbones import weights_of_timm
from cervbench.weight_history import warn_of_tests_seen


def run_of(resolved: Resolved, dataset: Dataset, fold: int) -> Run:
    """Everything that decides an encoder."""
    offer, protocol = resolved.method.offer, resolved.protocol
    return Run(
        method=MethodOfRun(
            name=resolved.method.name,
            package=resolved.method.package,
            revision=offer.revision,
            builds_on=_revisions_built_on(resolved),
            config=resolved.config.model_dump(mode="json"),
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
        backbone=resolved.backbone,
        backbone_revision=resolved.backbone_offer.revision if resolved.backbone_offer else 1,
        init=init_of(resolved),
        weights=_weights_source(resolved),
        fold=fold,
        seed=resolved.request.seed,
        protocol=ProtocolOfRun(
            version=protocol.version,
            tier=protocol.tier,
            image_size=protocol.image_size,
            pretext=BudgetOfRun(**protocol.pretext.model_dump()) if offer.pretrains else None,
            rules=RULES,
            off=tuple(change for change in protocol.off if offer.pretrains or not of_pretext(change)),
        ),
    )


def _revisions_built_on(resolved: Resolved) -> dict[str, int]:
    """Revisions above 1 of methods it builds on; two of the same name are listed with their packages."""
    names = [one.name for one in resolved.builds_on]
    return {
        one.name if names.count(one.name) == 1 else f"{one.package}:{one.name}": one.offer.revision
        for one in resolved.builds_on
        if one.offer.revision > 1
    }


def runs(resolved: Resolved, dataset: Dataset) -> Iterator[Run]:
    """One run per fold; a fold that cannot be used is refused before anything is trained."""
    folds = resolved.request.folds or range(dataset.manifest.folds)
    for fold in folds:
        require_fold(dataset, fold)
    if resolved.init_file:
        warn_of_tests_seen(resolved.init_file, dataset, folds)
    for fold in folds:
        yield run_of(resolved, dataset, fold)


def changed_settings(run: Run, plugins: Plugins) -> dict[str, Any]:
    """The method's settings that are not its package's defaults."""
    offered = f"{run.method.package}:{run.method.name}"
    if offered not in plugins.methods:
        return {}
    known = plugins.methods.get(offered).offer.config.model_fields
    return {
        name: value
        for name, value in run.method.config.items()
        if to_jsonable_python(known[name].get_default(call_default_factory=True)) != value
    }


def _weights_source(resolved: Resolved) -> str:
    """The package and version of ImageNet weights, since others may have the same name; empty for none."""
    if resolved.request.init != "imagenet" or not resolved.method.offer.has_encoder:
        return ""
    offered = resolved.backbone_offer
    return weights_of_timm() if offered is None else offered.weights


def init_of(resolved: Resolved) -> str:
    """What the run calls its initial weights; a file is named by its content, not by its path."""
    path = resolved.init_file
    if path is None:
        return resolved.request.init if resolved.method.offer.has_encoder else "random"
    if not path.is_file():
        raise SettingsError(f"--init is random, imagenet or a safetensors file; there is no file {path}")
    return f"file:{hashlib.sha256(path.read_bytes()).hexdigest()[:16]}"

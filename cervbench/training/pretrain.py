"""From a run to a trained method, which is kept for later evaluations."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from cervbench.atomic import discard
from cervbench.data.batches import Feed, Images
from cervbench.plugin.method import Method
from cervbench.plugin.offers import imported
from cervbench.plugin.problems import ContractError, shown
from cervbench.training.collapse import warn_of_collapse
from cervbench.training.effort import images_forwarded
from cervbench.training.feature_rank import measuring_batches, rank_and_spread_of
from cervbench.training.initial_weights import build_encoder
from cervbench.training.kept import Kept
from cervbench.training.loop import begin, train
from cervbench.training.memory import peak_memory, reset_peak_memory
from cervbench.training.norms import reestimate_norms
from cervbench.training.recipe import Recipe
from cervbench.training.stage import PretextStage, views_of
from cervbench.training.trained import Trained
from cervbench.training.weight_file import CODE
from cervbench.training.workshop import Workshop

PRETEXT = "pretext"
"""The name of the stage: for whoever watches, in its draws, and of the folder with its checkpoints."""


def pretrain(
    recipe: Recipe, images: Images, everything: Images, workshop: Workshop
) -> tuple[Trained, Mapping[str, Any]]:
    """The method trained on `images`, and what was observed on the way; loaded if it was made before."""
    method = build_method(recipe).to(workshop.device)
    kept = Kept(workshop.folder, workshop.header)
    kept.clear_leftovers()
    observed = kept.load(method)
    if observed is None:
        observed = _train_and_measure(method, recipe, images, workshop)
        kept.keep(method, observed)
    discard(workshop.folder / PRETEXT)
    if recipe.offer.pretrains:
        warn_of_collapse(type(method).__name__, observed)
    trained = Trained(
        method=method,
        images=everything,
        from_scratch=not recipe.offer.pretrains and recipe.init == "random",
        purpose=recipe.purpose,
        workshop=workshop,
    )
    return trained, observed


def _train_and_measure(method: Method, recipe: Recipe, images: Images, workshop: Workshop) -> dict[str, Any]:
    for record in filter(Path.is_dir, workshop.folder.iterdir()):
        if record.name != PRETEXT:  # checkpoints of fine-tuning, from weights that are gone
            discard(record)
    observed = _train_pretext(method, recipe, images, workshop)
    reestimate_norms(method, images)
    if method.encoder is not None:
        remedy = PretextStage.remedy if recipe.offer.pretrains else "Begin from other weights (--init)"
        observed |= rank_and_spread_of(method, images, remedy)
    return observed


def build_method(recipe: Recipe) -> Method:
    """The method before its first step."""
    encoder = None
    if recipe.offer.has_encoder:
        encoder = build_encoder(
            recipe.backbone, recipe.backbone_offer, recipe.init, recipe.image_size, recipe.purpose
        )
    offered = imported(recipe.offer.method)
    if not (isinstance(offered, type) and issubclass(offered, Method)):
        raise ContractError(
            f"the Offer names {shown(offered)} as its method ({recipe.offer.method}); give a subclass of "
            "cervbench.plugin.Method"
        )
    method = offered(recipe.config, encoder)
    return method.to(memory_format=torch.channels_last)


def pretext_stage(method: Method, recipe: Recipe, images: Images) -> tuple[PretextStage, Feed]:
    """The stage that trains a method without labels, and its feed."""
    stage = PretextStage(method, recipe.pretext.clip)
    if recipe.pretext.compile:
        torch.compiler.reset()  # torch compiles no more than eight versions of a function
        stage.compile()
    purpose = (*recipe.purpose, PRETEXT)
    return stage, Feed(images, views_of(stage), method.encoder.normalise, recipe.pretext.batch_size, purpose)


def _train_pretext(method: Method, recipe: Recipe, images: Images, workshop: Workshop) -> dict[str, Any]:
    """Train the pretext stage, if the method has one, and return what was observed of it."""
    if not recipe.offer.pretrains:
        nothing = ("pretext_steps", "pretext_images", "pretext_forwarded", "pretext_peak_memory_bytes")
        return {**dict.fromkeys(nothing, 0), "pretext_seconds": 0.0}
    reset_peak_memory(workshop.device)
    stage, feed = pretext_stage(method, recipe, images)
    steps = feed.steps(recipe.pretext.epochs)
    forwarded = steps * images_forwarded(method, feed.batch(0).views)
    with measuring_batches(method.encoder) as measure:
        sitting = workshop.sitting(PRETEXT, measure=measure)
        state = begin(stage, sitting)
        train(stage, state, feed, steps, sitting)
    views = steps * feed.per_step * len(feed.views)
    return {
        "pretext_host": dict(workshop.host),
        "pretext_code": workshop.header.get(CODE, ""),
        "pretext_steps": steps,
        "pretext_images": views,
        "pretext_forwarded": forwarded,
        "pretext_seconds": round(state.seconds, 3),
        "pretext_images_per_second": round(views / state.seconds, 1),
        "pretext_peak_memory_bytes": peak_memory(workshop.device),
        "pretext_last": {name: value for name, value in state.logged.items() if name != "images_per_second"},
    }

"""From a run to a trained method: the pretext stage, where the method has one, kept for later evaluations."""

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
from cervbench.training.initial_weights import build_encoder
from cervbench.training.kept import Kept
from cervbench.training.looking import examined, looking_at
from cervbench.training.loop import begin, train
from cervbench.training.memory import peak_memory, reset_peak_memory
from cervbench.training.recipe import Recipe
from cervbench.training.stage import PretextStage, views_of
from cervbench.training.trained import Trained, reestimate_norms
from cervbench.training.weight_file import CODE
from cervbench.training.workshop import Workshop

PRETEXT = "pretext"
"""What the stage is called: to whoever watches, in its draws, and as the folder of its checkpoints."""


def pretrain(
    recipe: Recipe, train: Images, everything: Images, workshop: Workshop
) -> tuple[Trained, Mapping[str, Any]]:
    """The trained method and what was observed on the way; loaded when it was made before."""
    method = build_method(recipe).to(workshop.device)
    kept = Kept(workshop.folder, workshop.header)
    kept.clear_leftovers()
    observed = kept.load(method)
    if observed is None:
        observed = _make(method, recipe, train, workshop)
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


def _make(method: Method, recipe: Recipe, train: Images, workshop: Workshop) -> dict[str, Any]:
    """Train the method, and look at what came of it."""
    for record in filter(Path.is_dir, workshop.folder.iterdir()):
        if record.name != PRETEXT:  # fine-tuned from weights that are gone
            discard(record)
    observed = _train(method, recipe, train, workshop)
    reestimate_norms(method, train)
    if method.encoder is not None:
        remedy = PretextStage.remedy if recipe.offer.pretrains else "Begin from other weights (--init)"
        own = type(method).features is not Method.features
        pooling = "the method's own features" if own else method.encoder.pooling
        observed |= {"pooling": pooling, **examined(method.encoder, train, remedy)}
    return observed


def build_method(recipe: Recipe) -> Method:
    """The method as it is before its first step."""
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
    """What trains a method without labels, and what it is fed."""
    stage = PretextStage(method)
    if recipe.pretext.compile:
        torch.compiler.reset()  # of a function torch keeps eight versions, and runs a ninth as it is
        stage.compile()
    purpose = (*recipe.purpose, PRETEXT)
    return stage, Feed(images, views_of(stage), method.encoder.normalise, recipe.pretext.batch_size, purpose)


def _train(method: Method, recipe: Recipe, images: Images, workshop: Workshop) -> dict[str, Any]:
    if not recipe.offer.pretrains:
        nothing = ("pretext_steps", "pretext_images", "pretext_forwarded", "pretext_peak_memory_bytes")
        return {**dict.fromkeys(nothing, 0), "pretext_seconds": 0.0}
    reset_peak_memory(workshop.device)
    stage, feed = pretext_stage(method, recipe, images)
    steps = feed.steps(recipe.pretext.epochs)
    forwarded = steps * images_forwarded(method, feed.batch(0).views)
    with looking_at(method.encoder) as look:
        sitting = workshop.sitting(PRETEXT, look=look)
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

"""The API for authors of methods, datasets, backbones and evaluations.

Everything an author needs is re-exported here, lazily, so that a package's `__init__`, which says what it
offers, imports neither torch nor numpy.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from cervbench.plugin.hooks import hookimpl
from cervbench.plugin.offers import BackboneOffer, EvaluationOffer, Offer
from cervbench.plugin.settings import (
    MethodConfig,
    PretextConfig,
    Settings,
    SettingsError,
    ViewPolicy,
    added_later,
    did_you_mean,
)

if TYPE_CHECKING:
    from cervbench.data.batches import Batch, Examples, Images, Labelled
    from cervbench.data.cards.card import Card
    from cervbench.data.cards.item import Item
    from cervbench.data.cards.source import Archive, Source
    from cervbench.data.error import DataError
    from cervbench.data.views import (
        Blur,
        Brightness,
        Contrast,
        Crop,
        Elastic,
        Equalise,
        Flip,
        Gamma,
        Greyscale,
        Hue,
        Normalise,
        Policy,
        Pyramid,
        Rotation,
        Saturation,
        Sharpen,
        Shift,
        Speckle,
        Together,
        View,
        Zoom,
        named_policy,
        on_device,
        plain_policy,
    )
    from cervbench.plugin.devices import gather, in_float32, own_rows
    from cervbench.plugin.evaluation import Columns
    from cervbench.plugin.features import Standardised, one_answer_a_draw
    from cervbench.plugin.follower import Follower
    from cervbench.plugin.manager import plugins
    from cervbench.plugin.method import Attentive, Method, Progress, decayed_apart
    from cervbench.records.record import Record, Run
    from cervbench.scoring.classification import classification
    from cervbench.scoring.task import Task
    from cervbench.training.encoder import Encoder
    from cervbench.training.stage import Stage
    from cervbench.training.trained import Trained
    from cervbench.training.workshop import Workshop

_LATER = {
    "cervbench.data.batches": ("Batch", "Examples", "Images", "Labelled"),
    "cervbench.data.cards.card": ("Card",),
    "cervbench.data.cards.item": ("Item",),
    "cervbench.data.cards.source": ("Archive", "Source"),
    "cervbench.data.error": ("DataError",),
    "cervbench.data.views": (
        "Blur", "Brightness", "Contrast", "Crop", "Elastic", "Equalise", "Flip", "Gamma", "Greyscale",
        "Hue", "Normalise", "Policy", "Pyramid", "Rotation", "Saturation", "Sharpen", "Shift", "Speckle",
        "Together", "View", "Zoom", "named_policy", "on_device", "plain_policy",
    ),
    "cervbench.plugin.devices": ("gather", "in_float32", "own_rows"),
    "cervbench.plugin.evaluation": ("Columns",),
    "cervbench.plugin.features": ("Standardised", "one_answer_a_draw"),
    "cervbench.plugin.follower": ("Follower",),
    "cervbench.plugin.manager": ("plugins",),
    "cervbench.plugin.method": ("Attentive", "Method", "Progress", "decayed_apart"),
    "cervbench.records.record": ("Record", "Run"),
    "cervbench.scoring.classification": ("classification",),
    "cervbench.scoring.task": ("Task",),
    "cervbench.training.encoder": ("Encoder",),
    "cervbench.training.stage": ("Stage",),
    "cervbench.training.trained": ("Trained",),
    "cervbench.training.workshop": ("Workshop",),
}  # fmt: skip
_HOME = {name: module for module, names in _LATER.items() for name in names}

__all__ = [
    "Archive",
    "Attentive",
    "BackboneOffer",
    "Batch",
    "Blur",
    "Brightness",
    "Card",
    "Columns",
    "Contrast",
    "Crop",
    "DataError",
    "Elastic",
    "Encoder",
    "Equalise",
    "EvaluationOffer",
    "Examples",
    "Flip",
    "Follower",
    "Gamma",
    "Greyscale",
    "Hue",
    "Images",
    "Item",
    "Labelled",
    "Method",
    "MethodConfig",
    "Normalise",
    "Offer",
    "Policy",
    "PretextConfig",
    "Progress",
    "Pyramid",
    "Record",
    "Rotation",
    "Run",
    "Saturation",
    "Settings",
    "SettingsError",
    "Sharpen",
    "Shift",
    "Source",
    "Speckle",
    "Stage",
    "Standardised",
    "Task",
    "Together",
    "Trained",
    "View",
    "ViewPolicy",
    "Workshop",
    "Zoom",
    "added_later",
    "classification",
    "decayed_apart",
    "gather",
    "hookimpl",
    "in_float32",
    "named_policy",
    "on_device",
    "one_answer_a_draw",
    "own_rows",
    "plain_policy",
    "plugins",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    hint = did_you_mean(name, __all__) or "; docs/hooks.md lists what it has"
    raise AttributeError(f"cervbench.plugin has no {name!r}{hint}")


def __dir__() -> list[str]:
    return sorted(__all__)

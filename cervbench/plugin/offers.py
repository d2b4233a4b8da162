"""What a package declares about the things it adds: enough to list them and name runs without torch."""

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from importlib import import_module
from typing import Any, ClassVar

from cervbench.error import CervbenchError
from cervbench.plugin.problems import home_of, in_words, place_of, shown
from cervbench.plugin.settings import PretextConfig, Settings


class OfferError(CervbenchError, ImportError):
    """The code that an offer names cannot be imported; the message says where and why."""


@dataclass(frozen=True)
class Offer:
    """A method: its settings and where its class is."""

    code: ClassVar = ("method",)
    """The fields that name code; `imported` gives what they stand for."""
    config: type[Settings]
    """Settings, with defaults; a PretextConfig when the method has a pretext stage."""
    method: str | type
    """`package.module:Class`, imported when it is used, or the class itself."""
    reference: str
    """The paper, as one line."""
    _: KW_ONLY
    revision: int = 1
    """Raised by the author when results change."""
    builds_on: tuple[str, ...] = ()
    """Methods whose code it uses, as `package:name`: a raised revision of theirs counts as one of its own."""
    pretrains: bool = True
    """False for what learns nothing without labels: supervised training, hand-made features."""
    has_encoder: bool = True
    """False when the method computes its features itself and has no encoder."""

    def __post_init__(self) -> None:
        _require_settings("config", self.config)
        _require_revision(self.revision)
        _require_text("reference", self.reference)
        if not isinstance(self.builds_on, tuple):
            raise TypeError(f"builds_on is {self.builds_on!r}; give the names in a tuple")
        _require_truth_value("pretrains", self.pretrains)
        _require_truth_value("has_encoder", self.has_encoder)
        if self.pretrains and not issubclass(self.config, PretextConfig):
            name = self.config.__name__
            raise TypeError(f"{name} must be a MethodConfig or PretextConfig: the method has a pretext stage")


CLASSIFICATION_SCHEMA = "classification/1"
CLASSIFICATION_SCORE = "cervbench.scoring.classification:classification"


@dataclass(frozen=True)
class EvaluationOffer:
    """An evaluation: two functions, and the schema of the table that passes between them."""

    code: ClassVar = ("predict", "score", "classifier")
    called_with: ClassVar = {
        "predict": ("trained", "labelled", "images", "settings"),
        "score": ("columns", "task"),
        "classifier": ("trained", "seen", "settings"),
    }
    predict: str | Callable[..., Any]
    """`predict(trained, labelled, images, settings)` -> columns keyed by `image` and `draw`."""
    reference: str
    _: KW_ONLY
    settings: type[Settings] = Settings
    """Each with a default: no option sets them, and the protocol's tier fills in those of the core's own
    evaluations alone. A field `draws` says for how many label orders it is asked; without one it is asked
    for all of them."""
    score: str | Callable[..., Any] = CLASSIFICATION_SCORE
    """`score(columns, task)` -> named numbers; pure, imports no torch."""
    schema: str = CLASSIFICATION_SCHEMA
    """Names the columns; pages know how to pool and compare `classification/1`."""
    frozen: bool = True
    """False if the evaluation trains the encoder further."""
    revision: int = 1
    classifier: str | Callable[..., Any] | None = None
    """`classifier(trained, seen, settings)` -> the trained classifier of one draw, whose probabilities are
    the answers of `predict`; `cervbench show --attention` looks at it."""

    def __post_init__(self) -> None:
        self._require_types()
        own_schema, own_score = self.schema != CLASSIFICATION_SCHEMA, self.score != CLASSIFICATION_SCORE
        if own_score and not own_schema:
            raise TypeError(
                f"tables of {CLASSIFICATION_SCHEMA} have one score; give another score a schema of its own"
            )
        if own_schema and not own_score:
            raise TypeError(
                f"tables of {self.schema} have no score: that of {CLASSIFICATION_SCHEMA} reads no others; "
                "give this schema a score of its own"
            )
        if self.classifier is not None and self.schema != CLASSIFICATION_SCHEMA:
            raise TypeError(f"what has a classifier answers in tables of {CLASSIFICATION_SCHEMA}")

    def _require_types(self) -> None:
        _require_settings("settings", self.settings)
        _require_revision(self.revision)
        _require_text("reference", self.reference)
        _require_truth_value("frozen", self.frozen)
        for part in self.code:
            target = getattr(self, part)
            if not (isinstance(target, str) or callable(target) or (part == "classifier" and target is None)):
                raise TypeError(f"{part} is {shown(target)}; give 'package.module:function', or a function")


@dataclass(frozen=True)
class BackboneOffer:
    """A backbone: a function that builds the model for an image size."""

    code: ClassVar = ("build",)
    called_with: ClassVar = {"build": ("image_size", "pretrained")}
    build: str | Callable[..., Any]
    """`build(image_size, pretrained)` -> a timm model without its classifier, or a module with its parts."""
    reference: str
    _: KW_ONLY
    notes: str = ""
    revision: int = 1
    """Raised by the author when the model changes."""
    weights: str = ""
    """The ImageNet weights that `pretrained=True` loads, by package and version: records and pages show it.
    Without it there are none, and `--init imagenet` is refused."""

    def __post_init__(self) -> None:
        _require_revision(self.revision)
        for name in ("reference", "notes", "weights"):
            _require_text(name, getattr(self, name))


def _require_settings(name: str, given: Any) -> None:
    if not (isinstance(given, type) and issubclass(given, Settings)):
        raise TypeError(
            f"{name} is {shown(given)}; give a class that is derived from Settings, each field with its "
            "default"
        )
    try:
        given.model_construct().model_dump_json(warnings=False)
    except Exception as error:
        raise TypeError(
            f"the defaults of {given.__name__} cannot be listed, as JSON cannot hold them: {in_words(error)}"
        ) from error


def _require_revision(given: Any) -> None:
    if type(given) is not int or given < 1:
        raise TypeError(f"revision is {given!r}; give a whole number, 1 at first")


def _require_text(name: str, given: Any) -> None:
    if not isinstance(given, str):
        raise TypeError(f"{name} is {given!r}; give text")


def _require_truth_value(name: str, given: Any) -> None:
    if type(given) is not bool:
        raise TypeError(f"{name} is {given!r}; give True or False")


def imported(target: Any) -> Any:
    """The object that `package.module:name` stands for; anything but a string is itself."""
    if not isinstance(target, str):
        return target
    module, _, name = target.partition(":")
    if not name:
        raise OfferError(f"{target!r} does not read 'package.module:name'; mend it in the offer")
    try:
        return getattr(import_module(module), name)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # what a compiled extension raises need be no Exception
        where = place_of(error, home_of(target), target)
        raise OfferError(f"{target} cannot be imported: {in_words(error)}\n  at {where}") from error

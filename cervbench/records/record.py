"""A run, and a record of it: what was asked, what came out, what it was scored from."""

import hashlib
import json
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import ConfigDict, Field

from cervbench.plugin.settings import Closed, added_later
from cervbench.protocol.protocol import CLIP, LARGEST
from cervbench.scoring.task import Task

NO_BACKBONE = "none"
"""The `backbone` of a run whose method has no encoder."""


class MethodOfRun(Closed):
    name: str
    package: str
    revision: int
    builds_on: dict[str, int] = added_later({})
    """Revisions above 1 of other methods whose code it uses."""
    config: dict[str, Any]
    pretext: bool
    """False if nothing was trained without labels: its row is a baseline or a reference."""


class DatasetOfRun(Closed):
    name: str
    variant: str
    """`herlev` if complete, `cric@3f2a9c01` if only a part is there: the two never share a table."""
    manifest: str
    """Hash of the folds and label orders."""
    pack: str
    """Hash of the images as stored."""
    folds: int = Field(ge=1, le=100)
    """How many folds there are: five, or one if the source fixes the parts."""
    synthetic: bool = False


class BudgetOfRun(Closed):
    epochs: int
    batch_size: int
    compile: bool
    clip: float = added_later(CLIP, ge=0)


class ProtocolOfRun(Closed):
    version: int
    tier: str
    image_size: int = Field(ge=1, le=LARGEST)
    pretext: BudgetOfRun | None
    """Budget of the pretext stage; None for a method that has none."""
    rules: int
    """Revision of the training rules that are code: loop, schedule, shared views, batch-norm statistics."""
    off: tuple[Annotated[str, Field(pattern="^[^=]+=")], ...] = ()
    """What was changed, each as `key=value`; empty on protocol."""


class Run(Closed):
    """One pretraining: everything that decides its encoder, and nothing that does not."""

    method: MethodOfRun
    dataset: DatasetOfRun
    sources: tuple[str, ...] = ()
    """Variants it pretrains on; empty stands for the dataset itself."""
    strategy: str = "alone"
    backbone: str
    backbone_revision: int = added_later(1)
    init: str
    """`random`, `imagenet`, or `file:<sha256>`."""
    weights: str = ""
    """The package and version that ImageNet weights come from."""
    fold: int = Field(ge=0)
    seed: int = Field(ge=0)
    protocol: ProtocolOfRun

    unsaid_in_id: ClassVar = ("sources", "strategy", "weights")
    """Fields that are always written, and that the id leaves out at their defaults."""

    @property
    def id(self) -> str:
        """The pretraining id."""
        fields = type(self).model_fields
        unsaid = {name for name in self.unsaid_in_id if getattr(self, name) == fields[name].default}
        identity = self.model_dump(mode="json", exclude=unsaid)
        del identity["protocol"]["off"]  # changes that affect the encoder are there already, as numbers
        return digest(identity)


class EvaluationOfRecord(Closed):
    name: str
    package: str
    revision: int
    settings: dict[str, Any]
    schema_: str = Field(alias="schema")
    frozen: bool
    """The encoder was used as it was."""

    model_config = ConfigDict(populate_by_name=True)


class LabelCount(Closed):
    train: int = Field(ge=0)
    val: int = Field(ge=0)


class PredictionsOfRecord(Closed):
    hash: str
    """Of the content, with columns in canonical order: see records/table.py."""
    rows: int


class Record(Closed):
    """One evaluation of one run at one ratio."""

    schema_: Literal[1] = Field(default=1, alias="schema")
    run: Run
    evaluation: EvaluationOfRecord
    ratio: int = Field(ge=1, le=100)
    task: Task
    labels: LabelCount
    predictions: PredictionsOfRecord
    scores: dict[str, Any]
    """Means over the draws, of this fold alone."""
    scoring: int = added_later(1)
    """The revision of the metrics by which they were computed."""
    observed: dict[str, Any]
    """What varies by nature: time, memory, device, versions, host threads, commit."""

    seal: str
    """Hash of everything else. It reveals an accidental edit, not a forgery: anyone can seal again."""

    model_config = ConfigDict(populate_by_name=True)

    @classmethod
    def sealed(cls, **content: Any) -> Self:
        """A record of this content with a new seal, whatever seal the content had."""
        unsealed = cls(**{**content, "seal": ""})
        return unsealed.model_copy(update={"seal": unsealed.seal_of_content()})

    def seal_of_content(self) -> str:
        return digest(self.model_dump(mode="json", by_alias=True, exclude={"seal"}))

    @property
    def id(self) -> str:
        return record_id(self.run, self.evaluation, self.ratio)


def record_id(run: Run, evaluation: EvaluationOfRecord, ratio: int) -> str:
    identity = {
        "run": run.id,
        "evaluation": evaluation.model_dump(mode="json", by_alias=True),
        "ratio": ratio,
    }
    if run.protocol.off:  # an encoder may be shared with a run on protocol, a record never is
        identity["off"] = list(run.protocol.off)
    return digest(identity)


def digest(value: Mapping[str, Any]) -> str:
    """The first 16 hex digits of the SHA-256 of canonical JSON."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]

"""The hooks of cervbench: a flat list, a signature and one sentence each."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from cervbench.data.cards.card import Card
    from cervbench.plugin.offers import BackboneOffer, EvaluationOffer, Offer
    from cervbench.records.record import Record, Run

hookspec = pluggy.HookspecMarker("cervbench")
hookimpl = pluggy.HookimplMarker("cervbench")


@hookspec
def cervbench_methods() -> "Mapping[str, Offer]":  # type: ignore[empty-body]
    """Methods that this package adds, by name."""


@hookspec
def cervbench_datasets() -> "Mapping[str, Card]":  # type: ignore[empty-body]
    """Cards of datasets that this package adds, by name."""


@hookspec
def cervbench_backbones() -> "Mapping[str, BackboneOffer]":  # type: ignore[empty-body]
    """Backbones that this package adds to timm's, by name."""


@hookspec
def cervbench_evaluations() -> "Mapping[str, EvaluationOffer]":  # type: ignore[empty-body]
    """Evaluations that this package adds, by name."""


@hookspec
def cervbench_run_started(run: "Run") -> None:
    """A run is about to pretrain or to evaluate."""


@hookspec
def cervbench_step(run: "Run", stage: str, step: int, steps: int, values: "Mapping[str, float]") -> None:
    """A stage has reached a logging interval: `step` of `steps` are done. The values are plain floats."""


@hookspec
def cervbench_record_written(run: "Run", record: "Record") -> None:
    """A record of this run has been written. Not called where an older one is only scored anew."""


@hookspec
def cervbench_run_ended(run: "Run", error: str) -> None:
    """A run that was started has ended: `error` says why it failed, and is empty if it did not."""

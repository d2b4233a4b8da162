"""Each hook does what its sentence says. A hook without a test of its name fails the last test."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from cervbench.plugin import BackboneOffer, EvaluationOffer, MethodConfig, Offer, hookimpl
from cervbench.plugin.contract import SPECS
from cervbench.plugin.manager import Plugins
from cervbench.plugin.offers import imported


def plugin_with(hook: str, function: Any) -> Plugins:
    function.__name__ = hook
    return Plugins.of({"a-package": SimpleNamespace(**{hook: hookimpl(function)})})


def test_cervbench_methods_adds_methods() -> None:
    class Learner:
        pass

    offer = Offer(MethodConfig, Learner, "A paper, 2020")
    added = plugin_with("cervbench_methods", lambda: {"learner": offer}).methods
    assert list(added) == ["learner"]
    assert imported(added.get("learner").offer.method) is Learner
    assert added.get("learner").package == "a-package"


def test_cervbench_datasets_adds_cards() -> None:
    card = imported("cervbench.plugin:Card")(
        name="cells",
        title="Cells",
        classes=("a", "b"),
        items=lambda folder: [],
        citation="",
        licence="",
        source=imported("cervbench.data.cards.source:Source")(page=""),
        group="slide",
    )
    added = plugin_with("cervbench_datasets", lambda: {"cells": card}).datasets
    assert added.get("cells").offer is card


def test_cervbench_backbones_adds_backbones() -> None:
    offer = BackboneOffer(lambda image_size, pretrained: image_size, "A paper, 2021")
    added = plugin_with("cervbench_backbones", lambda: {"small-net": offer}).backbones
    assert imported(added.get("small-net").offer.build)(64, False) == 64


def test_cervbench_evaluations_adds_evaluations() -> None:
    offer = EvaluationOffer(
        predict="os:getcwd", score="os.path:join", schema="paths/1", reference="A paper, 2022"
    )
    added = plugin_with("cervbench_evaluations", lambda: {"probe": offer}).evaluations
    assert imported(added.get("probe").offer.score)("a", "b") == str(Path("a/b"))


def test_cervbench_run_started_is_told_the_run() -> None:
    seen: list[object] = []
    plugin_with("cervbench_run_started", lambda run: seen.append(run)).notify(
        "cervbench_run_started", run="the run"
    )
    assert seen == ["the run"]


def test_cervbench_step_is_told_the_values() -> None:
    seen: list[object] = []
    # A watcher may name only what it wants to know.
    plugins = plugin_with("cervbench_step", lambda step, steps, values: seen.append((step, steps, values)))
    plugins.notify("cervbench_step", run=None, stage="pretext", step=7, steps=9, values={"loss": 0.5})
    assert seen == [(7, 9, {"loss": 0.5})]


def test_what_a_package_watches_can_be_asked() -> None:
    assert plugin_with("cervbench_step", lambda step: None).watched_by("a-package") == ["cervbench_step"]
    assert plugin_with("cervbench_methods", lambda: {}).watched_by("a-package") == []


def test_cervbench_run_ended_is_told_why() -> None:
    seen: list[object] = []
    plugin_with("cervbench_run_ended", lambda error: seen.append(error)).notify(
        "cervbench_run_ended", run="the run", error="ValueError: no"
    )
    assert seen == ["ValueError: no"]


def test_cervbench_record_written_is_told_the_record() -> None:
    seen: list[object] = []
    plugins = plugin_with("cervbench_record_written", lambda record: seen.append(record))
    plugins.notify("cervbench_record_written", run=None, record="the record")
    assert seen == ["the record"]


def test_every_hook_has_a_test_of_its_name() -> None:
    tests = [name.removeprefix("test_") for name in globals() if name.startswith("test_cervbench")]
    untested = [hook for hook in SPECS if not any(test.startswith(f"{hook}_") for test in tests)]
    assert untested == []

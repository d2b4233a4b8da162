"""Attention is that of the very classifier whose record is named, framed where it says."""

import csv
import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from PIL import Image
from torch import Tensor, nn

from cervbench import evaluations
from cervbench.attention.pictures import RED
from cervbench.cli import main
from cervbench.harness import execute
from cervbench.place import Place
from cervbench.plugin import (
    Encoder,
    EvaluationOffer,
    Images,
    Labelled,
    Method,
    MethodConfig,
    Offer,
    Settings,
    Trained,
    hookimpl,
    one_answer_a_draw,
)
from cervbench.plugin.manager import Plugins
from cervbench.records.record import Record
from cervbench.records.store import Store
from cervbench.study import Request

HALVES = torch.tensor([[0.0, 0.0, 0.5, 1.0], [0.5, 0.0, 0.5, 1.0]])


class Halves(nn.Module):
    """Looks at the brighter half of an image."""

    def __init__(self, encoder: Encoder, classes: int) -> None:
        super().__init__()
        self.encoder, self.head = encoder, nn.Linear(encoder.width, classes)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.encoder(images))
        return logits

    def attention(self, images: Tensor) -> tuple[Tensor, Tensor]:
        left, right = images.mean(1).chunk(2, dim=2)
        return torch.stack([left.mean((1, 2)), right.mean((1, 2))], 1), HALVES


class LooksAtHalves(Method):
    def build(self, encoder: Encoder) -> None:
        """Nothing is added to the encoder."""

    def classifier(self, encoder: Encoder, classes: int) -> nn.Module:
        return Halves(encoder, classes)


halves = SimpleNamespace(
    cervbench_methods=hookimpl(lambda: {"halves": Offer(Settings, LooksAtHalves, "a test", pretrains=False)})
)


def with_packages(*packages: object) -> Plugins:
    """What is installed, and these."""
    found = Plugins.discover()
    for number, package in enumerate(packages):
        found.add(package, f"test-{number}", f"7.{number}")
    return found


@pytest.fixture(scope="module")
def done(
    tmp_path_factory: pytest.TempPathFactory, cache_with_cells: Callable[[Path], Path]
) -> Iterator[tuple[Place, list[Record]]]:
    """Records of a method with attention, and of one without."""
    folder = tmp_path_factory.mktemp("attention")
    place = Place(cache=cache_with_cells(folder / "cache"), out=folder / "out", device="cpu")
    found = with_packages(halves)
    asked = Request(
        "halves", "synthetic", tier="smoke", folds=(1,), ratios=(1,), evaluations=("finetune", "linear"),
        settings={"protocol.finetune.steps": 3},
    )  # fmt: skip
    requests = [asked, replace(asked, method="supervised", evaluations=("finetune",))]
    with pytest.MonkeyPatch.context() as changed:
        changed.setenv("CERVBENCH_CACHE", str(place.cache))
        changed.setattr("cervbench.cli.show.plugins", lambda: found)
        yield place, [outcome.record for outcome in execute(requests, place, found=found)]


def show(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["show", *map(str, arguments)], prog_name="cervbench")


def frames(picture: Path) -> tuple[bool, bool]:
    """Whether the left and the right half have a frame."""
    red = (np.asarray(Image.open(picture)) == RED).all(axis=2)
    side = len(red)
    return bool(red[:, 0].all()), bool(red[:, side - 1].all())


def test_pictures_have_the_half_framed_that_the_classifier_looks_at(
    done: tuple[Place, list[Record]], tmp_path: Path
) -> None:
    place, (record, *_) = done
    answer = show(
        record.id, "--attention", "--records", place.out, "--out", tmp_path / "pictures", "--count", 9
    )
    assert answer.exit_code == 0, answer.output
    assert "answers as the record says, bit for bit" in answer.stderr
    with (tmp_path / "pictures" / "attention.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == record.predictions.rows
    shown = [row for row in rows if row["picture"]]
    assert sorted(path.name for path in (tmp_path / "pictures").glob("*.png")) == [
        r["picture"] for r in shown
    ]
    assert len(shown) == 9
    for row in shown:
        left = float(row["weight_1"]) > float(row["weight_2"])
        assert frames(tmp_path / "pictures" / row["picture"]) == (left, not left)


def test_the_table_has_the_answers_of_the_record(done: tuple[Place, list[Record]], tmp_path: Path) -> None:
    import pandas as pd

    place, (record, *_) = done
    path = place.out / "records" / "synthetic" / f"{record.id}.json"
    assert show(path, "--attention", "--out", tmp_path, "--count", 1).exit_code == 0
    table = pd.read_csv(tmp_path / "attention.csv").set_index("image")
    stored = pd.read_parquet(place.out / "predictions" / "synthetic" / f"{record.id}.parquet").set_index(
        "image"
    )
    answers = stored[[name for name in stored if name.startswith("p_")]].idxmax(axis=1).str.removeprefix("p_")
    assert (table["answer"] == answers.loc[table.index]).all()
    assert (table["label"] == stored["label"].loc[table.index]).all()


def test_answers_that_are_not_the_records_are_said_to_be_others(
    done: tuple[Place, list[Record]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, (record, *_) = done
    monkeypatch.setattr("cervbench.training.stage.Stage.clip", 0.1)
    answer = show(record.id, "--attention", "--records", place.out, "--out", tmp_path, "--count", 1)
    assert answer.exit_code == 0, answer.output
    assert "is not quite the record's" in answer.stderr


def test_what_has_no_attention_is_said_and_nothing_is_written(
    done: tuple[Place, list[Record]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = import_module("cervbench.attention.attention")  # the package has the function by this name
    monkeypatch.setattr(module, "pretrained", lambda *_: pytest.fail("trained first"))
    place, (record, linear, supervised) = done
    for asked, told in (
        ([supervised.id, "--attention"], "supervised has no attention to show"),
        ([linear.id, "--attention"], "is of linear, which offers no classifier"),
        ([record.id], "say what to show: --attention"),
        (["0123456789abcdef", "--attention"], "no id of one"),
    ):
        answer = show(*asked, "--records", place.out, "--out", tmp_path / "pictures")
        assert answer.exit_code == 2
        assert told in answer.stderr
    assert not (tmp_path / "pictures").exists()


def test_a_record_does_not_say_which_folder_of_the_disk_is_read(
    done: tuple[Place, list[Record]], tmp_path: Path
) -> None:
    """Regression: a record could name any path as its dataset, and what lies there was packed and kept."""
    place, (record, *_) = done
    dataset = record.run.dataset.model_copy(update={"name": str(tmp_path)})
    other = Record.sealed(**{**dict(record), "run": record.run.model_copy(update={"dataset": dataset})})
    store, variant = Store(tmp_path / "sent"), dataset.variant
    store.write_predictions(variant, other.id, Store(place.out).table(variant, record.id))
    answer = show(store.write(other), "--attention", "--out", tmp_path / "pictures")
    assert answer.exit_code == 2
    assert "which is no dataset known here: say with --dataset" in answer.stderr


def test_a_record_that_would_be_another_today_is_refused_and_what_changed_is_named(
    done: tuple[Place, list[Record]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, (record, *_) = done
    monkeypatch.setattr("cervbench.runs.RULES", 99)
    answer = show(record.id, "--attention", "--records", place.out, "--out", tmp_path / "pictures")
    assert answer.exit_code == 1
    assert "run.protocol.rules: stored" in answer.stderr
    assert "recomputed 99" in answer.stderr


def test_where_the_evaluation_alone_has_changed_that_is_named(
    done: tuple[Place, list[Record]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Regression: nothing stood after the colon."""
    place, (record, *_) = done
    newer = {name: replace(offer, revision=2) for name, offer in evaluations.cervbench_evaluations().items()}
    monkeypatch.setattr(evaluations, "cervbench_evaluations", hookimpl(lambda: newer))
    monkeypatch.setattr("cervbench.cli.show.plugins", lambda: with_packages(halves))
    answer = show(record.id, "--attention", "--records", place.out, "--out", tmp_path / "pictures")
    assert answer.exit_code == 1
    assert "evaluation.revision: stored 1, recomputed 2" in answer.stderr


def halved(trained: Trained, seen: Labelled, settings: Settings) -> nn.Module:
    """Of an evaluation: a classifier with attention, whatever the method has; its weights are drawn."""
    assert trained.encoder is not None
    return Halves(trained.encoder, len(seen.classes)).to(trained.device)


def predict(
    trained: Trained, labelled: Sequence[Labelled], images: Images, settings: Settings
) -> Mapping[str, np.ndarray]:
    return one_answer_a_draw(
        labelled, images, lambda seen: trained.probabilities(halved(trained, seen, settings), images)
    )


class Base(Method):
    """Learns what its encoder does, whatever that is."""

    def loss(self, views: Sequence[Tensor]) -> Tensor:
        assert self.encoder is not None
        return self.encoder(views[0]).square().mean()


def test_an_evaluation_of_another_package_is_shown_and_an_encoder_not_kept_is_made_as_the_run_made_it(
    tmp_path: Path, shared_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Regression: fine-tuning alone could be shown, and packages that a method builds on were not noted."""
    base = SimpleNamespace(cervbench_methods=hookimpl(lambda: {"base": Offer(MethodConfig, Base, "a test")}))
    built = SimpleNamespace(
        cervbench_methods=hookimpl(
            lambda: {"built": Offer(MethodConfig, Base, "a test", builds_on=("base",))}
        ),
        cervbench_evaluations=hookimpl(
            lambda: {"halved": EvaluationOffer(predict, "a test", classifier=halved)}
        ),
    )
    found = with_packages(base, built)
    monkeypatch.setenv("CERVBENCH_CACHE", str(shared_cache))
    monkeypatch.setattr("cervbench.cli.show.plugins", lambda: found)
    place = Place(cache=shared_cache, out=tmp_path / "out", device="cpu")
    request = Request(
        "built", "synthetic", backbone="test_resnet", tier="smoke", folds=(1,), ratios=(1,),
        evaluations=("halved",),
    )  # fmt: skip
    [outcome] = execute([request], place, found=found)
    kept = place.pretraining(outcome.record.run.id)
    host = json.loads((kept / "observed.json").read_text())["pretext_host"]
    assert host["versions"]["test-0"] == "7.0"
    shutil.rmtree(kept)
    answer = show(
        outcome.record.id, "--attention", "--records", place.out, "--out", tmp_path / "pictures", "--count", 1
    )
    assert answer.exit_code == 0, answer.output
    assert "answers as the record says, bit for bit" in answer.stderr
    [picture] = (tmp_path / "pictures").glob("*.png")
    assert any(frames(picture))
    assert json.loads((kept / "observed.json").read_text())["pretext_host"] == host

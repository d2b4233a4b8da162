"""A record is accepted as it was written, and refused when anything in it or its predictions changes."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from click.testing import CliRunner

from cervbench.cli.verify import verify as verify_command
from cervbench.plugin import EvaluationOffer, hookimpl
from cervbench.plugin.manager import Plugins
from cervbench.protocol import protocol
from cervbench.protocol.folds import frozen
from cervbench.protocol.labels import uncovered
from cervbench.records.record import LabelCount, PredictionsOfRecord, Record
from cervbench.records.store import RecordError, Store
from cervbench.records.table import canonical, content_hash, read_table, to_columns, write_table
from cervbench.records.verify import verify_file
from cervbench.scoring.classification import classification
from cervbench.scoring.task import Task

DOCS = Path(__file__).parents[2] / "docs" / "records.md"


@pytest.fixture
def record(write: Callable[..., list[Record]]) -> Record:
    return write("simclr", 0.6, ratios=(10,), folds=(0,))[0]


@pytest.fixture
def path(out: Path, record: Record) -> Path:
    return Store(out).record_path("cells", record.id)


def edit(path: Path, keys: str, value: Any) -> None:
    """Change one entry of a record by hand."""
    content = json.loads(path.read_text())
    *parents, last = keys.split(".")
    place = content
    for key in parents:
        place = place[int(key)] if isinstance(place, list) else place[key]
    place[int(last) if isinstance(place, list) else last] = value
    path.write_text(json.dumps(content))


def score_again(store: Store, record: Record, changed: Callable[..., Record]) -> Path:
    """Hash, scores and seal as the stored table gives them: what whoever changed it can do too."""
    table = store.table(record.run.dataset.variant, record.id)
    return store.write(
        changed(
            record,
            predictions=PredictionsOfRecord(hash=content_hash(table), rows=len(table)),
            scores=classification(to_columns(table), record.task),
        )
    )


def edit_table(path: Path, change: Callable[[dict[str, np.ndarray]], None]) -> None:
    table = read_table(path)
    columns = {name: values.copy() for name, values in to_columns(table).items()}
    change(columns)
    write_table(
        path,
        pa.table({name: pa.array(values, table.schema.field(name).type) for name, values in columns.items()}),
    )


def test_what_a_run_writes_is_accepted(path: Path) -> None:
    assert verify_file(path).problems == []


@pytest.mark.parametrize(
    ("keys", "value", "named"),
    [
        ("scores.balanced_accuracy", 0.5, "scores.balanced_accuracy: stored 0.5, recomputed 0."),
        ("scores.confusion.0.1", 3.25, "scores.confusion[0][1]: stored 3.25, recomputed "),
        ("scores.per_class_recall.light", None, "scores.per_class_recall.light: stored None, recomputed 0."),
        ("scores.invented", 1.0, "scores.invented: stored 1.0, recomputed nothing"),
        ("predictions.rows", 239, "predictions.rows: stored 239, recomputed 240"),
        ("predictions.hash", "0" * 64, f"predictions.hash: stored '{'0' * 64}', recomputed "),
        ("ratio", 25, "(the file's name), recomputed "),
        ("run.seed", 1, "(the file's name), recomputed "),
        ("run.method.config", {"temperature": 0.1}, "(the file's name), recomputed "),
        ("evaluation.revision", 2, "(the file's name), recomputed "),
        ("run.dataset.variant", "other", "variant: stored other, in the folder cells"),
        ("task.classes", ["light", "normal", "severe"], "scores.confusion[0][0]: stored"),
        ("task.abnormal", ["severe"], "scores.abnormal_auc: stored"),
        ("run.protocol.tier", "huge", "no tier 'huge'"),
    ],
)
def test_a_changed_entry_is_named_with_both_values(path: Path, keys: str, value: Any, named: str) -> None:
    edit(path, keys, value)
    assert any(named in problem for problem in verify_file(path).problems), verify_file(path).problems


@pytest.mark.parametrize(
    ("keys", "value", "named"),
    [
        ("ratio", 0, "ratio"),
        ("ratio", 101, "ratio"),
        ("labels.train", -1, "labels.train"),
        ("run.fold", -1, "run.fold"),
        ("run.seed", -1, "run.seed"),
        ("run.dataset.folds", 0, "run.dataset.folds"),
        ("run.dataset.folds", 10**8, "run.dataset.folds"),
        ("run.protocol.pretext.epochs", "40\n\n# Ours wins", "run.protocol.pretext.epochs"),
        ("run.protocol.off", ["pretext.epochs"], "run.protocol.off"),
        ("task.classes", [], "classes are missing"),
        ("task.classes", ["light", "light", "severe"], "named twice"),
        ("task.abnormal", ["malign"], "'malign' is abnormal and no class"),
        ("task.severity", {"normal": 0, "light": 1}, "severity is that of other classes"),
    ],
)
def test_what_no_run_can_have_is_no_record(path: Path, keys: str, value: Any, named: str) -> None:
    edit(path, keys, value)
    assert [named in problem for problem in verify_file(path).problems] == [True], verify_file(path).problems
    with pytest.raises(RecordError, match="no record of this version"):
        Store.holding(path).record(path)


def test_the_last_digit_of_every_score_counts(path: Path) -> None:
    scores = json.loads(path.read_text())["scores"]
    numbers = {name: value for name, value in scores.items() if isinstance(value, float)}
    assert len(numbers) > 10
    for name, value in numbers.items():
        edit(path, f"scores.{name}", value * (1 + 1e-8))
        assert [problem.split(":")[0] for problem in verify_file(path).problems] == [f"scores.{name}"]
        edit(path, f"scores.{name}", value)


def test_one_probability_changed_in_the_table_is_found(out: Path, path: Path) -> None:
    def nudge(columns: dict[str, np.ndarray]) -> None:
        columns["p_light"][7] += np.float32(1e-6)

    edit_table(Store(out).predictions_path("cells", path.stem), nudge)
    first, second, *_ = verify_file(path).problems
    assert first == "predictions: not the table that was scored; what differs below may differ for that"
    assert second.startswith("predictions.hash: stored ")


def test_a_table_rehashed_after_a_relabelling_still_gives_other_scores(out: Path, path: Path) -> None:
    def relabel(columns: dict[str, np.ndarray]) -> None:
        same = columns["image"] == columns["image"][0]
        columns["label"][same] = "severe"

    table = Store(out).predictions_path("cells", path.stem)
    edit_table(table, relabel)
    edit(path, "predictions.hash", content_hash(read_table(table)))
    assert any(problem.startswith("scores.confusion[0]") for problem in verify_file(path).problems)


@pytest.mark.parametrize(
    ("number", "value", "ruled"),
    [
        ("image_size", 48, 64),
        ("pretext.epochs", 3, 40),
        ("pretext.batch_size", 8, 128),
        ("pretext.clip", 0.0, "nothing"),
    ],
)
def test_a_number_of_the_protocol_changed_in_silence_is_found(
    out: Path, write: Callable[..., list[Record]], number: str, value: float, ruled: object
) -> None:
    honest = write("simclr", ratios=(10,), folds=(0,), off={number: value})[0]
    path = Store(out).record_path("cells", honest.id)
    assert verify_file(path).problems == []
    edit(path, "run.protocol.off", [])
    silent = f"{number}: stored {value}, recomputed {ruled} by the protocol, and the record says nothing"
    assert any(problem.startswith(silent) for problem in verify_file(path).problems)


def test_another_version_of_the_protocol_is_told(path: Path) -> None:
    edit(path, "run.protocol.version", 2)
    told = "run.protocol: no protocol v2; this cervbench knows v1 and those before it"
    assert told in verify_file(path).problems


def test_a_record_is_held_against_the_protocol_it_was_made_by(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With another protocol beside it, all records of the first would have differed."""
    first = (files("cervbench.protocol") / "v1.toml").read_text("utf-8")
    (tmp_path / "v1.toml").write_text(first, "utf-8")
    second = first.replace("version = 1", "version = 2").replace("draws = 5", "draws = 3")
    (tmp_path / "v2.toml").write_text(second.replace("image_size = 64", "image_size = 96"), "utf-8")
    monkeypatch.setattr(protocol, "_FILES", tmp_path)
    monkeypatch.setattr(protocol, "NEWEST", 2)
    newest = protocol.load("quick")
    assert (newest.version, newest.labels.draws, newest.image_size) == (2, 3, 96)
    assert verify_file(path).problems == []


def test_scores_of_older_metrics_are_said_apart_from_what_differs(
    path: Path, out: Path, record: Record, changed: Callable[..., Record], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of honest records it said that they differ, as of forged ones."""
    assert record.scoring == 1
    assert "scoring" not in json.loads(path.read_text())
    monkeypatch.setattr("cervbench.scoring.classification.REVISION", 2)
    verdict = verify_file(path)
    assert verdict.differing == []
    assert "by revision 1 of the metrics, and this cervbench has 2: give the command" in verdict.unscored
    newer = Store(out).write(changed(record, scoring=2))
    assert verify_file(newer).problems == []
    monkeypatch.setattr("cervbench.scoring.classification.REVISION", 1)
    [told] = verify_file(newer).problems
    assert "was scored by revision 2 of the metrics, and this cervbench has 1" in told


def test_a_setting_that_the_protocol_does_not_have_is_found(path: Path) -> None:
    edit(path, "evaluation.settings.draws", 2)
    told = "linear.draws: stored 2, recomputed nothing by the protocol, and the record says nothing of it"
    assert told in verify_file(path).problems


@pytest.mark.parametrize("kept", [[1, 3], [0, 1], [0, 1, 2, 3]])
def test_draws_left_out_are_found_whatever_was_made_anew(
    out: Path, record: Record, changed: Callable[..., Record], kept: list[int]
) -> None:
    store = Store(out)

    def leave_out(columns: dict[str, np.ndarray]) -> None:
        chosen = np.isin(columns["draw"], kept)
        columns.update({name: values[chosen] for name, values in columns.items()})

    edit_table(store.predictions_path("cells", record.id), leave_out)
    assert verify_file(score_again(store, record, changed)).problems == [
        f"draws: stored {kept}, by the protocol [0, 1, 2, 3, 4]"
    ]


def test_draws_are_as_many_as_the_settings_say_and_one_at_all_labels(
    out: Path, write: Callable[..., list[Record]]
) -> None:
    written = write(ratios=(10, 100), folds=(0,), evaluation="finetune", tier="standard")
    written += write(ratios=(100,), folds=(0,))
    store = Store(out)
    draws = [np.unique(store.table("cells", record.id)["draw"]).tolist() for record in written]
    assert draws == [[0, 1, 2], [0], [0]]
    assert [verify_file(store.record_path("cells", record.id)).problems for record in written] == [[], [], []]


@pytest.mark.parametrize("kept", [0, 200])
def test_a_record_or_table_cut_short_is_named(out: Path, path: Path, kept: int) -> None:
    table = Store(out).predictions_path("cells", path.stem)
    whole = table.read_bytes()
    table.write_bytes(whole[:kept])
    assert str(table) in verify_file(path).problems[0]
    table.unlink()
    assert "is missing" in verify_file(path).problems[0]
    table.write_bytes(whole)
    path.write_bytes(path.read_bytes()[:kept])
    assert str(path) in verify_file(path).problems[0]


def test_a_table_without_a_column_is_told_by_the_kind_of_error(path: Path, out: Path, record: Record) -> None:
    """Regression: it said `it cannot be scored again: 'draw'`."""
    table = Store(out).predictions_path("cells", record.id)
    write_table(table, read_table(table).drop_columns(["draw"]))
    assert any("KeyError" in problem and "draw" in problem for problem in verify_file(path).problems)


def test_another_schema_is_scored_by_its_own_package(out: Path, write: Callable[..., list[Record]]) -> None:
    (record,) = write("simclr", ratios=(10,), folds=(0,), schema="pairs/1", evaluated_by="of-pairs")
    path = Store(out).record_path("cells", record.id)
    assert "scored by package 'of-pairs'" in verify_file(path).problems[0]
    offer = EvaluationOffer(lambda *_: {}, "A paper", score=classification, schema="pairs/1")
    offered = SimpleNamespace(cervbench_evaluations=hookimpl(lambda: {"linear": offer}))
    assert verify_file(path, Plugins.of({"of-pairs": offered})).problems == []
    told = verify_file(path, Plugins.of({"another": offered})).problems
    assert "package 'of-pairs', which offers no evaluation 'linear' here; install of-pairs" in told[0]


def test_a_record_whose_package_is_not_installed_is_said_apart_from_one_that_differs(
    out: Path, write: Callable[..., list[Record]]
) -> None:
    """Regression: it was said to differ, whatever had been found of all else in it."""
    (record,) = write("simclr", ratios=(10,), folds=(0,), schema="pairs/1", evaluated_by="of-pairs")
    path = Store(out).record_path("cells", record.id)
    result = CliRunner().invoke(verify_command, [str(path)])
    assert result.exit_code == 1
    assert result.stdout.startswith(f"{path}: NOT SCORED\n  its scores cannot be recomputed here: ")
    assert "1 record, none differs, 1 of them not scored here" in result.stderr
    edit(path, "predictions.rows", 3)
    result = CliRunner().invoke(verify_command, [str(path)])
    assert result.stdout.startswith(f"{path}: DIFFERS\n  predictions.rows: stored 3, ")


@pytest.mark.parametrize("variant", ["herlev", "herlev@7c1d"])
@pytest.mark.parametrize(
    ("fault", "told"),
    {
        "none": "",
        "image": r"draw \d: the images predicted are not the ",
        "label": "label of image ",
        "group": "group of image ",
        "labels.train": "labels.train: stored ",
        "labels.val": "labels.val: stored ",
        "folds": "run.dataset.folds: stored 4, there are 5",
    }.items(),
)
def test_labels_and_images_are_held_against_the_folds_though_all_else_was_made_anew(
    out: Path, record: Record, changed: Callable[..., Record], fault: str, told: str, variant: str
) -> None:
    """Those that the package ships, and those of another dataset that stand beside its records."""
    manifest = frozen("herlev")
    if variant != "herlev":
        manifest = manifest.subset(manifest.images[100:], manifest.labels[100:])
    fold, task = manifest.fold(2), Task(classes=manifest.classes)
    rows = fold.test.copy()
    if fault == "image":
        rows[0] = fold.train[0]
    known = {"image": manifest.images, "group": manifest.groups, "label": manifest.labels}
    answers = {name: np.array([of[row] for row in rows], dtype=object) for name, of in known.items()}
    if fault in ("label", "group"):
        answers[fault][0] = next(one for one in known[fault] if one != answers[fault][0])
    chances = np.random.default_rng(0).dirichlet(np.ones(len(task.classes)), len(rows))
    answers |= {f"p_{name}": chances[:, k] for k, name in enumerate(task.classes)}
    columns = {name: np.tile(values, 5) for name, values in answers.items()}
    columns["draw"] = np.repeat(np.arange(5), len(rows))
    seen = {
        part: len(uncovered(manifest.labels, manifest.orders[:, 0], own, 10)) + (fault == f"labels.{part}")
        for part, own in (("train", fold.train), ("val", fold.val))
    }
    folds = 4 if fault == "folds" else 5
    herlev = {"name": "herlev", "variant": variant, "manifest": manifest.hash, "folds": folds}
    run = record.run.model_copy(update={"dataset": record.run.dataset.model_copy(update=herlev), "fold": 2})
    made = changed(record, run=run, task=task, labels=LabelCount(**seen))
    store = Store(out)
    store.write_folds(manifest)
    assert store.folds(manifest.hash) is None or variant != "herlev"
    store.write_predictions(variant, made.id, canonical(columns))
    problems = verify_file(score_again(store, made, changed)).problems
    assert all(re.match(told, problem) for problem in problems)
    assert bool(problems) == (fault != "none")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda text: text.replace("normal_columnar", "light_dysplastic", 1), "its content hashes to"),
        (lambda text: text[:2000], "its content hashes to|it is no table of folds"),
        (lambda _: "image,label\na,b\n", "it is no table of folds"),
        (lambda text: text.replace("\n", '\n"', 1) + "x" * 200_000, "it is no table of folds"),
    ],
)
def test_folds_beside_records_that_were_changed_are_named(
    out: Path, change: Callable[[str], str], told: str
) -> None:
    whole = frozen("herlev")
    part = whole.subset(whole.images[100:], whole.labels[100:])
    store = Store(out)
    store.write_folds(part)
    [path] = (out / "folds").iterdir()
    path.write_text(change(path.read_text()))
    with pytest.raises(RecordError, match=f"{path.name}: ({told}).*; restore it, or delete it"):
        store.folds(part.hash)


def test_a_hash_is_never_a_path(out: Path) -> None:
    (out / "folds").mkdir(parents=True)
    (out / "elsewhere.csv").write_text(frozen("herlev").to_csv())
    assert Store(out).folds("../elsewhere") is None


def test_folds_of_ones_own_under_the_name_of_a_frozen_dataset_are_found(
    out: Path, record: Record, changed: Callable[..., Record]
) -> None:
    """Regression: any hash that was not that of the shipped folds was believed."""
    dataset = record.run.dataset.model_copy(update={"variant": "herlev", "manifest": "0123456789abcdef"})
    made = changed(record, run=record.run.model_copy(update={"dataset": dataset}))
    store = Store(out)
    store.write_predictions("herlev", made.id, store.table("cells", record.id))
    assert verify_file(store.write(made)).problems == [
        f"run.dataset.manifest: stored 0123456789abcdef, for herlev there is {frozen('herlev').hash}"
    ]


def test_records_of_folds_that_were_dealt_anew_since_are_verified_by_the_former(
    out: Path, record: Record, changed: Callable[..., Record], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every record of a dataset would have differed once a duplicate was found in it."""
    former = frozen("herlev")
    dataset = record.run.dataset.model_copy(update={"variant": "herlev", "manifest": former.hash})
    made = changed(record, run=record.run.model_copy(update={"dataset": dataset}))
    ships = {"herlev": "f" * 16, f"herlev@{former.hash}": former.hash}
    monkeypatch.setattr("cervbench.records.fold_claims.shipped", lambda: ships)
    monkeypatch.setattr("cervbench.records.fold_claims.frozen", lambda name: former)
    store = Store(out)
    store.write_predictions("herlev", made.id, store.table("cells", record.id))
    problems = verify_file(store.write(made)).problems
    assert not [told for told in problems if "manifest" in told]
    assert [told for told in problems if "are not the" in told]  # its images are those of other folds


@pytest.mark.parametrize("place", ["/one.json", "/cells/one.json", "/out/cells/one.json"])
def test_a_record_that_lies_where_no_record_does_is_told_where_it_belongs(place: str) -> None:
    """Regression: near the root it ended in an IndexError."""
    (problem,) = verify_file(Path(place)).problems
    assert "a record lies in <out>/records/<variant>/" in problem


def test_the_recipe_for_strangers_runs_as_the_docs_print_it(path: Path, tmp_path: Path) -> None:
    _, _, recipe, *_ = re.findall(r"```python\n(.*?)```", DOCS.read_text("utf-8"), re.DOTALL)
    script = tmp_path / "recipe.py"
    script.write_text(recipe)
    accepted = subprocess.run([sys.executable, script, path], capture_output=True, text=True, check=False)
    assert accepted.returncode == 0, accepted.stderr
    assert "recomputed 0." in accepted.stdout
    edit(path, "scores.balanced_accuracy", 0.5)
    assert subprocess.run([sys.executable, script, path], capture_output=True, check=False).returncode == 1


def test_the_command_takes_files_and_folders_and_fails_when_one_differs(out: Path, path: Path) -> None:
    for given in (path, path.parent, out / "records", out):
        result = CliRunner().invoke(verify_command, [str(given)])
        trust = f"images, groups and labels are taken on trust: there is no {out}/folds/"
        assert result.exit_code == 0
        assert result.stdout.startswith(f"{path}: as recorded\n  {trust}")
        assert "1 record, all as recorded, 1 of them partly on trust" in result.stderr
    edit(path, "scores.accuracy", 0.25)
    result = CliRunner().invoke(verify_command, [str(out)])
    assert result.exit_code == 1
    assert "scores.accuracy: stored 0.25, recomputed 0." in result.stdout


def test_as_json_it_says_of_each_record_what_it_says_in_words(out: Path, path: Path) -> None:
    trust = f"images, groups and labels are taken on trust: there is no {out}/folds/abcd.csv"
    told = {"record": str(path), "found": "as recorded", "differing": [], "unscored": "", "on_trust": trust}
    assert json.loads(CliRunner().invoke(verify_command, [str(out), "--json"]).stdout) == told
    edit(path, "scores.accuracy", 0.25)
    result = CliRunner().invoke(verify_command, [str(out), "--json"])
    answer = json.loads(result.stdout)
    assert (result.exit_code, answer["found"]) == (1, "DIFFERS")
    assert "scores.accuracy: stored 0.25, recomputed 0." in answer["differing"][0]


def test_what_a_record_says_does_not_command_the_terminal(path: Path) -> None:
    """Regression: an escape in a name could write `as recorded` over what was found."""
    edit(path, "run.dataset.variant", "cells\x1b[2A\x1b[8m")
    told = CliRunner().invoke(verify_command, [str(path)])
    assert told.exit_code == 1
    assert "\x1b" not in told.output
    assert r"stored cells\x1b[2A\x1b[8m, in the folder cells" in told.stdout


def test_the_command_says_where_records_are_when_a_folder_holds_none(tmp_path: Path) -> None:
    result = CliRunner().invoke(verify_command, [str(tmp_path)])
    assert result.exit_code == 2
    assert "<out>/records/<variant>/" in result.output


def test_testimony_that_was_changed_by_hand_breaks_the_seal(path: Path) -> None:
    """Nothing else in a record depends on it."""
    edit(path, "observed.threads", 99)
    [told] = verify_file(path).problems
    assert told.startswith("seal: ")


@pytest.mark.parametrize(
    ("name", "key"), [("linear", "strength"), ("knn", "neighbours"), ("finetune", "steps")]
)
def test_settings_of_an_evaluation_that_are_not_the_protocols_are_found(
    out: Path, write: Callable[..., list[Record]], changed: Callable[..., Record], name: str, key: str
) -> None:
    (record,) = write("simclr", 0.6, ratios=(100,), folds=(0,), evaluation=name)
    settings = {**record.evaluation.settings, key: 7}
    other = changed(record, evaluation=record.evaluation.model_copy(update={"settings": settings}))
    store = Store(out)
    store.write_predictions("cells", other.id, store.table("cells", record.id))
    path = store.write(other)
    assert any(told.startswith(f"{name}.{key}: stored 7") for told in verify_file(path).problems)

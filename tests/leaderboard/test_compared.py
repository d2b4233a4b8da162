"""Two rows of a page, one less the other."""

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner
from sklearn.metrics import balanced_accuracy_score

import cervbench
from cervbench.cli import main
from cervbench.leaderboard.cells import AUC
from cervbench.leaderboard.compared import ComparisonError, compare_rows
from cervbench.records.record import Record
from cervbench.records.store import Store

Write = Callable[..., list[Record]]


def answers(out: Path, records: list[Record], ratio: int) -> pd.DataFrame:
    """The stored predictions of a row at one ratio, with what they say."""
    columns = ["p_normal", "p_light", "p_severe"]
    tables = [
        Store(out).table("cells", record.id).to_pandas().assign(fold=record.run.fold)
        for record in records
        if record.ratio == ratio
    ]
    rows = pd.concat(tables)
    return rows.assign(said=rows[columns].idxmax(axis=1).str.removeprefix("p_"))


def score(rows: pd.DataFrame) -> float:
    """The mean over draws of scikit-learn's balanced accuracy."""
    draws = [balanced_accuracy_score(own.label, own.said) for _, own in rows.groupby("draw")]
    return sum(draws) / len(draws)


def told(out: Path, *arguments: str) -> tuple[int, str]:
    answer = CliRunner().invoke(main, ["leaderboard", "compare", *arguments, "--records", str(out)])
    return answer.exit_code, answer.stdout


def test_rows_are_compared_pooled_and_fold_by_fold(out: Path, cache: Path, write: Write) -> None:
    ours, theirs = write("simclr", 0.7), write("byol", 0.5)
    found = compare_rows(out, "simclr", "byol", cache)
    assert {one.table for one in found} == {"linear · resnet18, random init · quick"}
    assert [one.ratio for one in found] == [10, 100]
    for one in found:
        a, b = (answers(out, records, one.ratio) for records in (ours, theirs))
        folds = [score(a[a.fold == fold]) - score(b[b.fold == fold]) for fold in range(5)]
        assert one.gain.value == pytest.approx(score(a) - score(b))
        assert one.by_fold == pytest.approx(folds)
        assert one.mean_of_folds == pytest.approx(sum(folds) / 5)
        assert one.gain.low < one.gain.value < one.gain.high
        assert one.gain.p < 0.01


def test_the_figures_of_folds_are_those_of_the_predictions(out: Path, cache: Path, write: Write) -> None:
    """Regression: they were taken from the records, which anyone can write and seal again."""
    for record in write("simclr", 0.7, ratios=(100,)):
        scores = {**record.scores, "balanced_accuracy": 0.99}
        Store(out).write(Record.sealed(**{**dict(record), "scores": scores}))
    write("byol", 0.5, ratios=(100,))
    (one,) = compare_rows(out, "simclr", "byol", cache)
    assert one.mean_of_folds == pytest.approx(one.gain.value, abs=0.05)


def test_the_other_way_round_every_sign_is_the_other(out: Path, cache: Path, write: Write) -> None:
    write("simclr", 0.7, ratios=(100,))
    write("byol", 0.5, ratios=(100,))
    (one,) = compare_rows(out, "simclr", "byol", cache, AUC)
    (other,) = compare_rows(out, "byol", "simclr", cache, AUC)
    assert one.gain == pytest.approx((-other.gain[0], -other.gain[2], -other.gain[1], other.gain[3]))
    assert one.by_fold == pytest.approx([-difference for difference in other.by_fold])


def test_what_cannot_be_compared_says_why(out: Path, cache: Path, write: Write) -> None:
    write("simclr", 0.7)
    write("byol", 0.5, folds=(0, 1))
    for one in compare_rows(out, "simclr", "byol", cache):
        assert (one.why_not, one.gain.value) == ("byol lacks folds 2, 3, 4", None)
        assert [difference is None for difference in one.by_fold] == [False, False, True, True, True]


def test_what_a_difference_holds_for_is_told(out: Path, cache: Path, write: Write) -> None:
    """Regression: a single draw of labels, under which p says nothing of others, was told on pages alone."""
    for seed in (0, 1):
        write("simclr", 0.7, seed=seed)
        write("byol", 0.5, seed=seed)
    low, high = compare_rows(out, "simclr", "byol", cache)
    rows = answers(out, write("simclr", 0.7), 10)
    assert (low.seeds, low.draws, low.groups) == ((0, 1), rows.draw.nunique(), rows.group.nunique())
    assert (high.ratio, high.draws) == (100, 1)
    assert "pretraining seeds 0, 1" in told(out, "simclr", "byol")[1]


def test_what_a_run_calls_supervised_is_compared_by_that_name(out: Path, cache: Path, write: Write) -> None:
    """Regression: whoever ran `--method supervised` was told that there is no such row."""
    write("simclr", 0.7, ratios=(100,))
    write("supervised", 0.5, ratios=(100,), pretext=False)
    (one,) = compare_rows(out, "simclr", "supervised", cache)
    assert (one.one, one.other) == ("simclr", "untrained")


def test_a_table_that_tests_what_was_seen_is_not_compared(out: Path, cache: Path, write: Write) -> None:
    seen = {"init_tests_seen": 12}
    for method, accuracy in (("simclr", 0.7), ("byol", 0.5)):
        write(method, accuracy, ratios=(100,), init="ab" * 32, observed=seen)
    (one,) = compare_rows(out, "simclr", "byol", cache)
    assert "had been trained on images that are tested here" in one.why_not


def test_a_method_stands_for_its_rows_where_none_has_its_bare_name(
    out: Path, cache: Path, write: Write
) -> None:
    """Regression: a table with several rows was left out without a word, where another had one."""
    for temperature, accuracy in ((0.3, 0.7), (0.4, 0.6)):
        write("simclr", accuracy, ratios=(100,), config={"temperature": temperature})
    write("byol", 0.5, ratios=(100,))
    write("simclr", 0.7, ratios=(100,), evaluation="knn")
    write("byol", 0.5, ratios=(100,), evaluation="knn")
    found = compare_rows(out, "simclr", "byol", cache)
    assert {(one.table.split()[0], one.one, one.other) for one in found} == {
        ("linear", "simclr (temperature 0.3)", "byol"),
        ("linear", "simclr (temperature 0.4)", "byol"),
        ("knn", "simclr", "byol"),
    }


@pytest.mark.parametrize(
    ("one", "other", "metric", "what"),
    [
        ("simclr", "bioyl", "balanced_accuracy", "has a row called bioyl: did you mean byol?"),
        ("simclr", "byol", "accuracy", "by balanced_accuracy or abnormal_auc, and not by accuracy"),
        ("simclr", "mae", "balanced_accuracy", "no table of .* has two rows simclr and mae.* not compared"),
    ],
)
def test_rows_that_are_not_there_are_told(
    one: str, other: str, metric: str, what: str, out: Path, cache: Path, write: Write
) -> None:
    write("simclr", 0.7, ratios=(100,), folds=(0,))
    write("byol", 0.7, ratios=(100,), folds=(0,))
    write("mae", 0.5, ratios=(100,), folds=(0,), backbone="vit")
    with pytest.raises(ComparisonError, match=what):
        compare_rows(out, one, other, cache, metric)


def test_no_row_is_compared_with_itself(out: Path, cache: Path, write: Write) -> None:
    """Regression: where a table lacks the row of a name, its method's other row was taken for it."""
    write("simclr", 0.7, ratios=(100,))
    warmer = {"config": {"temperature": 0.3}, "observed": {"chosen": ["temperature"]}}
    write("simclr", 0.6, ratios=(100,), evaluation="knn", **warmer)
    with pytest.raises(ComparisonError, match=r"no table of .* has two rows"):
        compare_rows(out, "simclr", "simclr (temperature 0.3)", cache)
    with pytest.raises(ComparisonError, match=r"not compared with itself.* two rows of simclr"):
        compare_rows(out, "simclr", "simclr", cache)


def test_the_command_prints_a_table_or_one_object_a_ratio(out: Path, write: Write) -> None:
    write("simclr", 0.9)
    write("byol", 0.3, ratios=(100,))
    code, text = told(out, "simclr", "byol")
    (line,) = [line for line in text.splitlines() if line.startswith("100 %")]
    code_of_json, lines = told(out, "simclr", "byol", "--json")
    (entry,) = map(json.loads, lines.splitlines())
    assert (code, code_of_json) == (0, 0)
    assert "cells, linear · resnet18, random init · quick\nsimclr above byol" in text
    assert entry["ratio"] == 100
    assert f"{100 * entry['difference']:+.1f} [{100 * entry['low']:+.1f}, {100 * entry['high']:+.1f}]" in line
    assert "  below 0.0001  " in line
    assert told(out, "simclr", "bioyl")[0] == 2


def test_from_python_it_is_a_table(out: Path, write: Write) -> None:
    write("simclr", 0.7)
    write("byol", 0.5)
    table = cervbench.compare("simclr", "byol", place=cervbench.Place(out=out))
    assert table.ratio.tolist() == [10, 100]
    assert (table.difference > table.low).all()
    write("moco", 0.5, folds=(0,))
    lacking = cervbench.compare("simclr", "moco", place=cervbench.Place(out=out))
    assert lacking.difference.dtype == float
    assert lacking.difference.isna().all()
    with pytest.raises(cervbench.CervbenchError, match=r"say place=cervbench\.Place\(out='mine'\)"):
        cervbench.compare("simclr", "byol", place="mine")  # type: ignore[arg-type]


def test_rows_that_are_left_out_are_spoken_of_only_where_there_are_some(
    out: Path, cache: Path, write: Write
) -> None:
    """Regression: `--all` was recommended to whoever saw all there was."""
    write("simclr", 0.7)
    with pytest.raises(ComparisonError) as told:
        compare_rows(out, "simclr", "byol", cache)
    assert "(--all)" not in str(told.value)
    write("byol", 0.5, tier="smoke")
    with pytest.raises(ComparisonError, match=r"smoke tier are left out \(--all\)"):
        compare_rows(out, "simclr", "byol", cache)

"""The figures of pages as data."""

import io
import json
import re
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner, Result
from sklearn.metrics import balanced_accuracy_score, f1_score, recall_score, roc_auc_score

import cervbench
from cervbench.cli import main
from cervbench.leaderboard import FlatFigure, build
from cervbench.records.record import Record
from cervbench.records.store import Store
from cervbench.scoring.comparison import holm
from cervbench.scoring.task import Task

Write = Callable[..., list[Record]]

DOCS = Path(__file__).parents[2] / "docs"


def figures(out: Path, everything: bool = False) -> pd.DataFrame:
    return cervbench.figures(everything=everything, place=cervbench.Place(out=out))


def one(found: pd.DataFrame, **wanted: object) -> pd.Series:
    for name, value in wanted.items():
        found = found[found[name] == value]
    assert len(found) == 1
    return found.iloc[0]


def answers(out: Path, records: list[Record], ratio: int) -> pd.DataFrame:
    tables = [
        Store(out).table("cells", record.id).to_pandas().assign(fold=record.run.fold)
        for record in records
        if record.ratio == ratio
    ]
    rows = pd.concat(tables)
    names = ["p_normal", "p_light", "p_severe"]
    return rows.assign(said=rows[names].idxmax(axis=1).str.removeprefix("p_"))


def told(out: Path, *options: str) -> Result:
    return CliRunner().invoke(main, ["leaderboard", "figures", "--records", str(out), *options])


def test_figures_are_those_of_scikit_learn(out: Path, write: Write) -> None:
    written = write("simclr", 0.7)
    found = figures(out)
    rows = answers(out, written, 10)
    draws = [balanced_accuracy_score(own.label, own.said) for _, own in rows.groupby("draw")]
    shown = one(found, ratio=10, metric="balanced_accuracy")
    assert shown.value == pytest.approx(sum(draws) / 5)
    assert shown.low < shown.value < shown.high
    assert (shown.draws, shown.images, shown.groups, shown.folds) == (5, 240, 60, (0, 1, 2, 3, 4))
    assert (shown.train_labels, shown.val_labels) == (10.4, 3)
    assert shown.records == tuple(record.id for record in written if record.ratio == 10)
    assert (shown.images_forwarded, shown.pretext_seconds) == (1000, 92)
    rows = answers(out, written, 100)
    areas = [roc_auc_score(own.label != "normal", 1 - own.p_normal) for _, own in rows.groupby("fold")]
    assert one(found, ratio=100, metric="abnormal_auc").value == pytest.approx(sum(areas) / 5)
    assert one(found, metric="macro_f1").value == pytest.approx(
        f1_score(rows.label, rows.said, average="macro")
    )
    for name in ("normal", "light", "severe"):
        recall = recall_score(rows.label, rows.said, labels=[name], average="macro")
        assert one(found, metric="recall", of_class=name).value == pytest.approx(recall)
        assert one(found, metric="recall", of_class=name).images == 80


def test_of_several_seeds_each_is_told(out: Path, write: Write) -> None:
    seeds = [write("simclr", accuracy, ratios=(100,), seed=seed) for seed, accuracy in enumerate((0.7, 0.5))]
    shown = one(figures(out), metric="balanced_accuracy")
    alone = [answers(out, written, 100) for written in seeds]
    expected = [balanced_accuracy_score(rows.label, rows.said) for rows in alone]
    assert shown.seeds == (0, 1)
    assert shown.by_seed == pytest.approx(expected)
    assert shown.records == tuple(record.id for written in seeds for record in written)
    assert shown.value == pytest.approx(sum(expected) / 2)
    build(out)
    page = (out / "cells.md").read_text()
    assert "Balanced accuracy of seeds 0 · 1, one by one, %" in page
    assert f"| simclr | {100 * expected[0]:.1f} · {100 * expected[1]:.1f} |" in page


def test_differences_are_those_that_compare_tells_and_the_page_prints(out: Path, write: Write) -> None:
    for method, accuracy in {"simclr": 0.7, "byol": 0.62, "moco": 0.5}.items():
        write(method, accuracy)
    write("supervised", 0.5, pretext=False)
    found, place = figures(out), cervbench.Place(out=out)
    above = cervbench.compare("byol", "untrained", place=place).set_index("ratio")
    for ratio in (10, 100):
        shown = one(found, row="byol", ratio=ratio, metric="balanced_accuracy")
        expected = above.loc[ratio]
        assert [shown.gain, shown.gain_low, shown.gain_high, shown.gain_p] == pytest.approx(
            [expected.difference, expected.low, expected.high, expected.p]
        )
        assert shown.above_reference == shown.gain
        assert shown.best_reference == shown.gain_over == "untrained"
    raw = found[(found.metric == "balanced_accuracy") & (found.ratio == 100) & found.gain.notna()]
    worst = raw.sort_values("gain_p")  # Holm by hand: the smallest of three times 3, the next times 2
    stepped = (worst.gain_p * [3, 2, 1]).cummax().clip(upper=1)
    assert worst.gain_p_holm.tolist() == pytest.approx(stepped.tolist())


def test_the_docs_correct_for_all_differences_of_a_table(
    out: Path, write: Write, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for method, accuracy in {"simclr": 0.7, "byol": 0.6, "moco": 0.5}.items():
        write(method, accuracy)
    write("supervised", 0.5, pretext=False)
    [code] = re.findall(r"```python\n(.*?)```", (DOCS / "intervals.md").read_text(), re.DOTALL)
    (out.parent / "leaderboards").symlink_to(out)
    monkeypatch.chdir(out.parent)
    told: dict[str, pd.DataFrame] = {}
    exec(code, told)
    own = told["own"]
    assert len(own) == 6
    assert own.gain_p_table.tolist() == pytest.approx(holm(own.gain_p.tolist()))
    assert (own.gain_p_table >= own.gain_p_holm).all()
    assert "cells\nlinear · resnet18, random init · quick" in capsys.readouterr().out


def test_the_page_has_the_same_figures_and_the_same_bold(out: Path, write: Write) -> None:
    for method, accuracy in {"simclr": 0.7, "byol": 0.68, "moco": 0.4}.items():
        write(method, accuracy)
    build(out)
    page = (out / "cells.md").read_text().replace("\N{NO-BREAK SPACE}", " ")
    shown = figures(out).query("metric == 'balanced_accuracy'")
    assert set(shown.bold) == {True, False}
    for row, own in shown.groupby("row"):
        cells = [
            (f"**{100 * v:.1f}**" if bold else f"{100 * v:.1f}") + f" [{100 * low:.1f}, {100 * high:.1f}]"
            for v, low, high, bold in zip(own.value, own.low, own.high, own.bold, strict=True)
        ]
        assert re.search(rf"^\| {row} \| {re.escape(' | '.join(cells))} \|", page, re.MULTILINE)


def test_what_is_not_tested_is_neither_bold_nor_not(out: Path, write: Write) -> None:
    write("simclr", 0.7)
    write("byol", 0.7)
    write("moco", 0.7, folds=(0, 1))
    write("supervised", 0.5, pretext=False)
    shown = figures(out).query("metric == 'balanced_accuracy' and ratio == 100").set_index("row")
    assert shown.bold[["simclr", "byol"]].all()
    assert shown.bold[["moco", "untrained"]].isna().all()
    assert shown.folds["moco"] == (0, 1)
    assert shown.complete.to_dict() == {"simclr": True, "byol": True, "moco": False, "untrained": True}
    assert shown.reference.to_dict() == {"simclr": False, "byol": False, "moco": False, "untrained": True}


def test_without_groups_there_are_no_intervals(out: Path, write: Write) -> None:
    task = Task(classes=("normal", "light", "severe"), groups_known=False)
    write("simclr", 0.7, task=task)
    found = figures(out)
    assert found[["low", "high", "groups"]].isna().all(axis=None)
    assert found.value.notna().any()
    assert set(found.not_ranked) == {
        "which images depend on each other is not known, so there is no paired test"
    }


def test_csv_json_and_python_tell_the_same(out: Path, write: Write) -> None:
    write("simclr", 0.7, seed=0)
    write("simclr", 0.6, seed=1)
    write("supervised", 0.5, pretext=False)
    expected = figures(out)
    table = pd.read_csv(io.StringIO(told(out).stdout), keep_default_na=True)
    lines = [json.loads(line) for line in told(out, "--json").stdout.splitlines()]
    assert list(table) == list(expected) == FlatFigure.names() == list(lines[0])
    assert len(table) == len(expected) == len(lines)
    pd.testing.assert_series_equal(table.value, expected.value)
    assert table.by_seed.dropna().str.split().map(len).tolist() == expected.by_seed.dropna().map(len).tolist()
    assert [line["by_seed"] for line in lines] == [own and list(own) for own in expected.by_seed]
    assert not expected.duplicated().any()  # every cell can be hashed, and lists could not be
    assert [line["low"] for line in lines] == [None if v != v else v for v in expected.low]


def test_what_is_left_out_is_said(out: Path, write: Write) -> None:
    write("simclr", 0.7)
    write("byol", 0.5, tier="smoke")
    assert "cells: 10 records off protocol or of the smoke tier are left out" in told(out).stderr
    assert set(figures(out).tier) == {"quick"}
    assert set(figures(out, everything=True).tier) == {"quick", "smoke"}
    assert told(out, "--all").stderr == ""


def test_records_that_pages_cannot_pool_give_an_empty_table(out: Path, write: Write) -> None:
    write("simclr", 0.7, schema="boxes/1", evaluated_by="boxes")
    assert figures(out).empty
    assert list(figures(out)) == FlatFigure.names()


def test_a_folder_without_records_is_refused(tmp_path: Path) -> None:
    with pytest.raises(cervbench.UsageError, match="has no records: run something with --out"):
        figures(tmp_path / "nothing")


def test_every_column_is_documented() -> None:
    text = (DOCS / "records.md").read_text()
    [table] = re.findall(r"^\| columns \|.*\n\|.*\n((?:\|.*\n)+)", text, re.MULTILINE)
    named = re.findall(r"`(\w+)`", table)
    assert [name for name in FlatFigure.names() if name not in named] == []

"""Rows over several pretraining seeds: which tables there are, and that a figure is the mean over seeds."""

from collections.abc import Callable
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.metrics import balanced_accuracy_score

from cervbench.leaderboard import build
from cervbench.leaderboard.cache import Cache
from cervbench.leaderboard.compared import compare_rows
from cervbench.leaderboard.curves import marks_of
from cervbench.leaderboard.tables import Table, title
from cervbench.leaderboard.variants import variants
from cervbench.records.record import Record
from cervbench.records.store import RecordError, Store
from cervbench.scoring.classification import HEADLINE
from cervbench.scoring.pooling import mean_of_seeds

Write = Callable[..., list[Record]]
LINEAR = "linear · resnet18, random init · quick"


def made(out: Path) -> dict[str, Table]:
    with Cache(out / "cache") as cache:
        store = Store(out)
        (variant,) = variants(store, store.paths(), cache)
        return {title(table): table for table in variant.tables}


def page(out: Path) -> str:
    build(out)
    return (out / "cells.md").read_text()


def shown(out: Path) -> dict[str, list[str]]:
    return {name: sorted(line.name for line in table.lines) for name, table in made(out).items()}


def score(out: Path, records: list[Record]) -> float:
    """By scikit-learn, of all folds together."""
    rows = pd.concat([Store(out).table("cells", record.id).to_pandas() for record in records])
    classes = records[0].task.classes
    guesses = np.array(classes)[rows[[f"p_{name}" for name in classes]].to_numpy().argmax(1)]
    return float(balanced_accuracy_score(rows.label, guesses))


def test_another_seed_makes_a_row_surer_and_no_second_row(out: Path, write: Write) -> None:
    """Regression: whoever ran three seeds had three rows, of which to show the best."""
    for seed in range(3):
        write("simclr", 0.7, ratios=(100,), seed=seed)
    assert shown(out) == {f"{LINEAR} · seeds 0, 1, 2": ["simclr"]}


def test_a_setting_is_named_if_the_record_of_any_seed_or_fold_says_that_it_was_chosen(
    out: Path, write: Write
) -> None:
    """Regression: the first record of the first seed spoke for all."""
    settings = {"temperature": 0.5, "projection": 8}
    write("simclr", ratios=(100,), config=settings)
    write("simclr", ratios=(100,), config=settings, seed=1, observed={"chosen": ["projection"]})
    assert shown(out) == {f"{LINEAR} · seeds 0, 1": ["simclr (projection 8)"]}


def test_any_two_methods_meet_at_all_the_seeds_that_both_have(out: Path, write: Write) -> None:
    of = {"simclr": (0, 1, 2), "byol": (0, 1), "agbt": (1, 2), "moco": (0,), "dino": (7,)}
    for method, seeds in of.items():
        for seed in seeds:
            write(method, 0.6, ratios=(100,), seed=seed)
    assert shown(out) == {
        LINEAR: ["byol", "moco", "simclr"],
        f"{LINEAR} · seeds 0, 1": ["byol", "simclr"],
        f"{LINEAR} · seeds 0, 1, 2": ["simclr"],
        f"{LINEAR} · seed 1": ["agbt", "byol", "simclr"],
        f"{LINEAR} · seeds 1, 2": ["agbt", "simclr"],
        f"{LINEAR} · seed 7": ["dino"],
    }


def test_a_figure_is_the_mean_over_seeds_and_a_gain_that_of_each_seed_over_its_own_start(
    out: Path, write: Write
) -> None:
    """Against scikit-learn, seed by seed."""
    ours = [write("simclr", 0.7, ratios=(100,), seed=seed) for seed in range(3)]
    theirs = [write("supervised", 0.5, ratios=(100,), seed=seed, pretext=False) for seed in range(3)]
    (table,) = made(out).values()
    (line,) = table.ranked
    each = [score(out, of_seed) for of_seed in ours]
    gains = [one - score(out, of_seed) for one, of_seed in zip(each, theirs, strict=True)]
    assert len(set(each)) == len(set(gains)) == 3
    assert line.cells[100].value(HEADLINE) == pytest.approx(np.mean(each))
    assert line.gains[HEADLINE][100].value == pytest.approx(np.mean(gains))


def test_the_interval_of_a_gain_covers_the_seed(out: Path, write: Write) -> None:
    """By the formula of docs/intervals.md on scikit-learn's scores."""
    ours = [write("simclr", 0.7, ratios=(100,), seed=seed) for seed in range(3)]
    theirs = [write("supervised", 0.5, ratios=(100,), seed=seed, pretext=False) for seed in range(3)]
    (line,) = next(iter(made(out).values())).ranked
    store, classes = Store(out), ours[0][0].task.classes

    def rows(records: list[Record]) -> pd.DataFrame:
        found = pd.concat(
            [store.table("cells", one.id).to_pandas().assign(fold=one.run.fold) for one in records]
        )
        guesses = np.array(classes)[found[[f"p_{name}" for name in classes]].to_numpy().argmax(1)]
        return found.assign(guess=guesses)

    pairs = [(rows(a), rows(b)) for a, b in zip(ours, theirs, strict=True)]
    group_of_fold = pairs[0][0].groupby("fold").group.unique()

    def difference(pair: tuple[pd.DataFrame, pd.DataFrame], fold: int = -1, group: str = "") -> float:
        size = len(group_of_fold[fold]) if group else 2
        scores = []
        for one in pair:
            weights = np.where(one.fold == fold, size / (size - 1), 1.0) * (one.group != group)
            scores.append(balanced_accuracy_score(one.label, one.guess, sample_weight=weights))
        return float(scores[0] - scores[1])

    def mixed(fold: int, own: int, others: int) -> tuple[pd.DataFrame, pd.DataFrame]:
        parts = zip(pairs[own], pairs[others], strict=True)
        one, other = (pd.concat([a[a.fold == fold], b[b.fold != fold]]) for a, b in parts)
        return one, other

    whole = np.array([difference(pair) for pair in pairs])
    of_groups, free, of_each, of_seeds = 0.0, 0, np.zeros(3), 0.0
    for fold, groups in group_of_fold.items():
        out_of = np.array([[difference(pair, fold, group) for pair in pairs] for group in groups])
        share = (len(groups) - 1) / len(groups)
        mean = out_of.mean(axis=1)
        of_groups += share * ((mean - mean.mean()) ** 2).sum()
        of_each += share * ((out_of - out_of.mean(axis=0)) ** 2).sum(axis=0)
        free += len(groups) - 1
        of_fold = [np.mean([difference(mixed(fold, s, t)) for t in range(3)]) for s in range(3)]
        of_seeds += np.var(of_fold, ddof=1) / 3
    variance = of_groups + max(0.0, of_seeds - (of_each.mean() - of_groups) / 2)
    freedom = max(variance**2 / (of_groups**2 / free + of_seeds**2 / 10), 10)
    reach = stats.t.ppf(0.975, freedom) * np.sqrt(variance)
    gain = line.gains[HEADLINE][100]
    assert (gain.value, gain.low, gain.high) == pytest.approx(
        (whole.mean(), whole.mean() - reach, whole.mean() + reach)
    )
    assert gain.p == pytest.approx(2 * stats.t.sf(whole.mean() / np.sqrt(variance), freedom))


def test_a_seed_that_has_begun_takes_nothing_from_those_that_are_whole(out: Path, write: Write) -> None:
    """Regression: with the first record of another seed the page lost its figures, or all of its tables."""
    write("simclr", 0.7, ratios=(10, 100))
    write("simclr", 0.7, ratios=(1,), seed=1)
    found = made(out)
    assert {name: table.ratios for name, table in found.items()} == {
        LINEAR: (10, 100),
        f"{LINEAR} · seed 1": (1,),
    }
    write("simclr", 0.7, ratios=(10, 100), seed=2, folds=(0, 2))
    assert shown(out).keys() == found.keys()
    assert (
        "Left out: 4 records of further seeds. A seed that lacks folds is in no table if others of its "
        "method have all, and a reference row stands with the seeds of ranked rows."
    ) in page(out)
    write("simclr", 0.7, ratios=(10, 100), seed=2)
    assert {name: table.ratios for name, table in made(out).items()} == {
        f"{LINEAR} · seeds 0, 2": (10, 100),
        f"{LINEAR} · seed 1": (1,),
    }
    assert "Left out" not in page(out)


def test_of_seeds_that_all_lack_folds_the_first_is_shown(out: Path, write: Write) -> None:
    for seed in (3, 4):
        write("simclr", 0.7, ratios=(100,), folds=(0, 2), seed=seed)
    (table,) = made(out).values()
    assert title(table) == f"{LINEAR} · seed 3"
    assert not table.ranked[0].whole
    assert "Left out: 2 records of further seeds" in page(out)


def test_each_ratio_has_the_seeds_that_are_there(out: Path, write: Write) -> None:
    write("simclr", 0.7, ratios=(1, 10, 100))
    write("simclr", 0.7, ratios=(100,), seed=1)
    assert {name: table.ratios for name, table in made(out).items()} == {
        LINEAR: (1, 10, 100),
        f"{LINEAR} · seeds 0, 1": (100,),
    }


def test_a_table_of_which_another_tells_all_over_more_seeds_is_left_out(out: Path, write: Write) -> None:
    """Regression: a ViT of two seeds made a table of two seeds of every ResNet that had three."""
    for seed in range(3):
        for method in ("simclr", "byol"):
            write(method, 0.7, ratios=(100,), seed=seed)
        write("supervised", 0.5, ratios=(100,), seed=seed, pretext=False)
    for seed in range(2):
        write("simclr", 0.7, ratios=(100,), seed=seed, backbone="vit")
    assert list(made(out)) == [
        f"{LINEAR} · seeds 0, 1, 2",
        "linear · vit, random init · quick · seeds 0, 1",
    ]


def test_reference_rows_make_no_table_over_seeds_that_no_method_has(out: Path, write: Write) -> None:
    write("simclr", 0.7, ratios=(100,))
    for seed in range(3):
        write("supervised", 0.5, ratios=(100,), seed=seed, pretext=False)
    assert shown(out) == {LINEAR: ["simclr", "untrained"]}
    assert "Left out: 10 records of further seeds" in page(out)


def test_references_that_do_not_depend_on_a_seed_stand_beneath_any(out: Path, write: Write) -> None:
    """Regression: with more seeds a method was far above the best reference, since the best was not there."""
    for seed in range(3):
        write("simclr", 0.7, ratios=(100,), seed=seed)
        write("supervised", 0.5, ratios=(100,), seed=seed, pretext=False)
    best = write("image-size", 0.8, ratios=(100,), pretext=False, backbone="none")
    write("supervised", 0.6, ratios=(100,), pretext=False, backbone="lite0", init="imagenet")
    (table,) = made(out).values()
    assert [line.name for line in table.references] == ["image-size", "imagenet (lite0)", "untrained"]
    assert table.best_reference[100] == "image-size"
    (line,) = table.ranked
    expected = line.cells[100].value(HEADLINE) - score(out, best)
    assert line.above_reference[100].value == pytest.approx(expected)


def test_what_another_package_calls_a_reference_may_depend_on_the_seed(out: Path, write: Write) -> None:
    for seed in range(2):
        write("simclr", 0.7, ratios=(100,), seed=seed)
    write("forest", 0.5, ratios=(100,), pretext=False, backbone="none", package="another")
    assert shown(out)[f"{LINEAR} · seeds 0, 1"] == ["simclr"]
    assert shown(out)[LINEAR] == ["forest (of another)", "simclr"]


def test_a_table_says_which_of_its_rows_have_more_seeds_elsewhere(out: Path, write: Write) -> None:
    """Regression: it had the favourable seed alone, and bold, and no word of the mean."""
    for seed in range(2):
        write("simclr", 0.7, ratios=(100,), seed=seed)
    write("byol", 0.6, ratios=(100,))
    of_both = made(out)[f"{LINEAR} · seeds 0, 1"]
    text = page(out)
    assert f"seed 0; **of simclr there are [means over seeds 0, 1](#{of_both.digest})**" in text
    assert text.count("there are [means over") == 1


def test_a_seed_without_a_value_leaves_no_mean() -> None:
    """Regression: it was left out of the mean, which was the better for it."""
    values = np.array([[0.5, np.nan], [np.nan, np.nan]])
    assert mean_of_seeds(values[:1]) == 0.5
    assert mean_of_seeds(values) is None


def test_a_page_says_what_a_mean_over_seeds_is_and_links_to_the_records_of_each(
    out: Path, write: Write
) -> None:
    written = [
        record
        for method, seed in product(("simclr", "byol"), (0, 1))
        for record in write(method, 0.7, ratios=(10, 100), seed=seed)
    ]
    text = page(out)
    assert "means over seeds 0, 1;" in text
    crossed = "crossed with the label draws and the pretraining seeds, conditional on the training images"
    assert crossed in text
    assert "- byol, seed 1, folds at 10 %" in text
    assert all(record.id in text for record in written)
    (chart,) = (out / "charts").glob("*.svg")
    assert "means over seeds 0, 1" in chart.read_text()


def test_two_methods_are_compared_at_the_seeds_that_both_have(out: Path, cache: Path, write: Write) -> None:
    ours = [write("simclr", 0.7, ratios=(100,), seed=seed) for seed in (0, 1)]
    theirs = [write("byol", 0.6, ratios=(100,), seed=seed) for seed in (0, 1, 2)]
    write("moco", 0.5, ratios=(100,))
    (one,) = compare_rows(out, "simclr", "byol", cache)
    assert one.table == f"{LINEAR} · seeds 0, 1"
    by_fold = [
        np.mean([score(out, [a[fold]]) - score(out, [b[fold]]) for a, b in zip(ours, theirs, strict=False)])
        for fold in range(5)
    ]
    assert one.by_fold == pytest.approx(by_fold)


def test_seeds_that_were_tested_on_other_images_are_no_mean(out: Path, write: Write) -> None:
    write("simclr", 0.7, ratios=(100,))
    write("simclr", 0.7, ratios=(100,), seed=1, groups=14)
    with pytest.raises(RecordError, match="the seeds were tested on different images"):
        made(out)


def test_the_protocols_own_baselines_stand_beneath_rows_of_the_same_seeds_that_spent_another_budget(
    out: Path, write: Write
) -> None:
    write("simclr", 0.7, ratios=(100,), tier="smoke", off={"pretext.epochs": 3})
    for seed in range(2):
        write("supervised", 0.5, ratios=(100,), tier="smoke", pretext=False, seed=seed)
    with Cache(out / "cache") as cache:
        store = Store(out)
        (variant,) = variants(store, store.paths(), cache, everything=True)
        found = {title(table): [line.name for line in table.lines] for table in variant.tables}
    off = "linear · resnet18, random init · smoke · off protocol"
    assert found[off] == ["simclr (pretext.epochs 3)", "untrained"]


def test_a_reference_of_one_seed_stands_where_it_is_whole(out: Path, write: Write) -> None:
    """Regression: with a second seed at one ratio, all of its first was gone from the other."""
    for seed in range(2):
        write("simclr", 0.7, ratios=(10, 100), seed=seed)
    write("image-size", 0.6, ratios=(10, 100), pretext=False, backbone="none")
    write("image-size", 0.6, ratios=(10,), pretext=False, backbone="none", seed=1)
    write("majority", 0.3, ratios=(10, 100), pretext=False, backbone="none", folds=(0,))
    write("majority", 0.3, ratios=(10, 100), pretext=False, backbone="none", seed=3)
    (table,) = made(out).values()
    assert {line.name: (line.row.seeds, list(line.cells)) for line in table.references} == {
        "image-size": ((0,), [10, 100]),
        "majority": ((3,), [10, 100]),
    }
    assert all(line.whole for line in table.lines)


def test_a_reference_brings_no_ratio_into_a_table_of_methods_that_lack_it(out: Path, write: Write) -> None:
    write("simclr", 0.7, ratios=(1, 10, 100))
    write("simclr", 0.7, ratios=(10,), seed=1)
    write("image-size", 0.6, ratios=(1, 10, 100), pretext=False, backbone="none")
    table = made(out)[f"{LINEAR} · seeds 0, 1"]
    assert table.ratios == (10,)
    assert all(line.details for line in table.lines)
    assert "**of simclr there are [means over seeds 0, 1]" in page(out)


def test_a_reference_that_lacks_the_seeds_of_a_table_is_named_beneath_it(out: Path, write: Write) -> None:
    """Regression: the best reference row of the means was not the best that there is, without a word."""
    for seed in range(2):
        write("simclr", 0.7, ratios=(100,), seed=seed)
    write("supervised", 0.6, ratios=(100,), pretext=False)
    write("image-size", 0.4, ratios=(100,), pretext=False, backbone="none")
    assert "means over seeds 0, 1; **not a reference here, for want of these seeds: untrained**" in page(out)


def test_a_row_is_compared_over_all_its_seeds_whatever_it_is_called_there(
    out: Path, cache: Path, write: Write
) -> None:
    """Regression: a name that one table needs, to tell two rows apart, was looked for in that table alone."""
    for seed in range(2):
        write("simclr", 0.7, ratios=(100,), seed=seed, config={"temperature": 0.5})
        write("byol", 0.6, ratios=(100,), seed=seed)
    write("simclr", 0.6, ratios=(100,), config={"temperature": 0.1})
    (one,) = compare_rows(out, "simclr (temperature 0.5)", "byol", cache)
    assert (one.one, one.table) == ("simclr", f"{LINEAR} · seeds 0, 1")


def test_two_rows_of_a_method_are_compared_once(out: Path, cache: Path, write: Write) -> None:
    """Regression: where their order differs between tables, both ways were told."""
    for temperature, accuracies in ((0.5, (0.6, 0.9)), (0.1, (0.7, 0.5))):
        for seed, accuracy in enumerate(accuracies):
            write("simclr", accuracy, ratios=(100,), seed=seed, config={"temperature": temperature})
    write("byol", 0.5, ratios=(100,))
    orders = {name: [line.name for line in table.ranked] for name, table in made(out).items()}
    assert orders[LINEAR].index("simclr (temperature 0.1)") < orders[LINEAR].index("simclr (temperature 0.5)")
    (one,) = compare_rows(out, "simclr", "simclr", cache)
    assert one.table == f"{LINEAR} · seeds 0, 1"


def test_what_any_seed_saw_or_cost_is_told_of_their_row(out: Path, write: Write) -> None:
    """What initial weights have seen, or that a method collapsed, holds of every mean over it."""
    write("simclr", 0.7, ratios=(100,), init="ab" * 32, observed={"pretext_seconds": 60.0})
    write("simclr", 0.7, ratios=(100,), init="ab" * 32, seed=1, observed={"init_tests_seen": 12})
    (table,) = made(out).values()
    assert table.ranked[0].row.tests_seen == 60
    assert "had been trained on images that are tested here" in table.unrankable
    assert all(len(seen) == 2 for seen in table.ranked[0].row.observed.values())


def test_a_row_of_folds_or_seeds_by_different_code_says_so(out: Path, write: Write) -> None:
    """Regression: a loss edited after fold 0 left a row of two methods, and no page said so."""
    write("moco", 0.6, ratios=(100,), observed={"pretext_code": "aa", "code": "aa"})
    write("simclr", 0.7, ratios=(100,), folds=(0,), observed={"pretext_code": "aa"})
    write("simclr", 0.7, ratios=(100,), folds=(1, 2, 3, 4), observed={"pretext_code": "bb"})
    write("byol", 0.7, ratios=(100,), observed={"code": "aa"})
    write("byol", 0.7, ratios=(100,), folds=(2,), observed={})
    write("byol", 0.7, ratios=(100,), folds=(3,), observed={"code": ["whatever"]})  # anyone can seal that
    (table,) = made(out).values()
    assert [line.name for line in table.ranked if line.row.of_changed_code] == ["simclr"]
    build(out)
    assert "of its backbone, under one `revision`**: simclr. " in (out / "cells.md").read_text()


def test_draws_are_counted_once_and_not_for_every_seed(out: Path, write: Write) -> None:
    for seed in range(2):
        write("simclr", 0.7, ratios=(10,), seed=seed)
    assert "5 folds, 5 draws of labels" in page(out)


def test_a_row_has_one_mark_in_the_charts_of_one_seed_and_of_several(out: Path, write: Write) -> None:
    for seed in range(2):
        write("simclr", 0.7, ratios=(100,), seed=seed)
    for method in ("agbt", "byol"):
        write(method, 0.6, ratios=(100,))
    found = made(out)
    marks = marks_of([*found.values()])
    assert sorted(marks.values()) == [0, 1, 2]


def test_tables_that_differ_in_the_seeds_alone_stand_together(out: Path, write: Write) -> None:
    for backbone in ("resnet18", "vit"):
        write("simclr", 0.7, ratios=(100,), seed=1, backbone=backbone)
        for method in ("simclr", "byol"):
            write(method, 0.7, ratios=(100,), backbone=backbone)
    vit = LINEAR.replace("resnet18", "vit")
    assert list(made(out)) == [LINEAR, f"{LINEAR} · seeds 0, 1", vit, f"{vit} · seeds 0, 1"]

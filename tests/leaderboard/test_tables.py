"""What stands in a table, what it is called, and what may be bold."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from pydantic import BaseModel
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    balanced_accuracy_score,
    cohen_kappa_score,
    confusion_matrix,
    f1_score,
    log_loss,
    precision_score,
    recall_score,
    roc_auc_score,
)

from cervbench.leaderboard import build
from cervbench.leaderboard.cache import Cache
from cervbench.leaderboard.cells import AUC
from cervbench.leaderboard.figures import Figures
from cervbench.leaderboard.row_names import names as names_of
from cervbench.leaderboard.rows import Row, gather
from cervbench.leaderboard.seeds import over_seeds
from cervbench.leaderboard.table_rows import by_table
from cervbench.leaderboard.tables import Table, tables, title
from cervbench.markup.text import figure
from cervbench.records.record import PredictionsOfRecord, Record, Run
from cervbench.records.store import Store
from cervbench.records.table import canonical, content_hash, to_columns
from cervbench.scoring.classification import HEADLINE, classification
from cervbench.scoring.intervals import design, interval, replicates
from cervbench.scoring.metrics import METRICS
from cervbench.scoring.pooling import Pooled, pool
from cervbench.scoring.task import Task

Write = Callable[..., list[Record]]


def made(out: Path) -> dict[str, Table]:
    """Tables of an output folder, by title."""
    with Cache(out / "cache") as cache:
        store = Store(out)
        rows = over_seeds(gather(store, store.paths(), cache))
        shown = tables(by_table(rows), Figures(rows, store, cache))
        return {title(table): table for table in shown}


def row_of(record: Record) -> Row:
    seeds = (record.run.seed,)
    return Row(record, seeds, seeds, observed={record.run.fold: (record.observed,)})


def page(out: Path) -> str:
    build(out)
    return (out / "cells.md").read_text()


def names(lines: tuple) -> list[str]:
    return [line.name for line in lines]


def test_supervised_training_is_ranked_as_scratch_and_untrained_features_stand_beneath(
    out: Path, write: Write
) -> None:
    for evaluation in ("finetune", "linear"):
        write("simclr", 0.7, ratios=(100,), evaluation=evaluation)
        write("supervised", 0.5, ratios=(100,), evaluation=evaluation, pretext=False)
    found = made(out)
    finetune = found["finetune · resnet18, random init · quick"]
    linear = found["linear · resnet18, random init · quick"]
    assert (names(finetune.ranked), names(finetune.references)) == (["simclr", "scratch"], [])
    assert (names(linear.ranked), names(linear.references)) == (["simclr"], ["untrained"])


@pytest.mark.parametrize(("method", "package"), [("supervised", "another"), ("halves", "cervbench")])
def test_what_has_no_pretext_stage_is_untrained_only_if_it_is_the_cores_own(
    out: Path, write: Write, method: str, package: str
) -> None:
    """Regression: any package could be the untrained encoder, and bold gains were over what it answered."""
    write("simclr", 0.7, ratios=(100,))
    write(method, 0.35, ratios=(100,), pretext=False, package=package)
    write(method, 0.5, ratios=(100,), pretext=False, package=package, backbone="lite0", init="imagenet")
    (table,) = made(out).values()
    assert all(name.startswith(f"{method} (") or name == method for name in names(table.references))
    assert "backbone lite0" in str(names(table.references))
    assert not any(line.gains for line in table.lines)
    write("supervised", 0.4, ratios=(100,), pretext=False)
    (table,) = made(out).values()
    assert "untrained" in names(table.references)
    assert table.ranked[0].gains


def test_features_of_other_backbones_and_of_none_stand_beneath_every_table_of_their_evaluation(
    out: Path, write: Write
) -> None:
    for backbone in ("resnet18", "vit"):
        write("simclr", 0.7, ratios=(100,), backbone=backbone)
    write("supervised", 0.5, ratios=(100,), pretext=False, backbone="vit")
    write("supervised", 0.6, ratios=(100,), pretext=False, backbone="lite0", init="imagenet")
    write("majority", 0.33, ratios=(100,), pretext=False, backbone="none")
    found = made(out)
    assert list(found) == ["linear · resnet18, random init · quick", "linear · vit, random init · quick"]
    assert names(found["linear · resnet18, random init · quick"].references) == [
        "imagenet (lite0)",
        "majority",
    ]
    assert names(found["linear · vit, random init · quick"].references) == [
        "imagenet (lite0)",
        "majority",
        "untrained",
    ]


@pytest.mark.parametrize("seen", [{"init_tests_seen": 12}, {}])
def test_a_reference_that_began_from_a_file_stands_only_with_what_began_from_it(
    out: Path, write: Write, seen: dict[str, object]
) -> None:
    """Regression: by one such row a table of random starts was not ranked, or bore no word of the file."""
    weights = "file:1f2320ab00000000"
    write("simclr", 0.7, ratios=(100,))
    write("supervised", 0.8, ratios=(100,), pretext=False, init=weights, observed=seen)
    write("colour-histogram", 0.4, ratios=(100,), pretext=False, backbone="none")
    begun_at_random, from_file = made(out).values()
    assert names(begun_at_random.lines) == ["simclr", "colour-histogram"]
    assert not begun_at_random.unrankable
    assert names(from_file.lines) == ["colour-histogram", f"{weights} (resnet18)"]
    assert page(out).count("begun from a file of weights") == 1
    write("byol", 0.7, ratios=(100,), init=weights, observed=seen)
    assert [names(table.ranked) for table in made(out).values()] == [["byol"], ["simclr"]]


def test_a_reference_without_any_method_still_has_a_table(out: Path, write: Write) -> None:
    write("majority", 0.33, ratios=(100,), pretext=False, backbone="none")
    assert names(made(out)["linear · quick"].references) == ["majority"]


def test_tiers_and_what_is_off_protocol_never_share_a_table(out: Path, write: Write) -> None:
    write("simclr", ratios=(100,))
    write("simclr", ratios=(100,), tier="standard")
    write("simclr", ratios=(100,), off={"pretext.epochs": 3})
    assert [(name, len(table.ranked)) for name, table in made(out).items()] == [
        ("linear · resnet18, random init · standard", 1),
        ("linear · resnet18, random init · quick", 1),
        ("linear · resnet18, random init · quick · off protocol", 1),
    ]


def test_rows_of_other_budgets_share_a_table_with_what_needs_none(out: Path, write: Write) -> None:
    """Regression: each had a table of its own, in which nothing could be compared with anything."""
    for evaluation in ("linear", "finetune"):
        for batch in (8, 16):
            off = {"pretext.batch_size": batch}
            write("simclr", 0.5 + batch / 100, ratios=(100,), evaluation=evaluation, off=off)
        write("simclr", 0.6, ratios=(100,), evaluation=evaluation)
        for backbone in ("resnet18", "vit"):
            write("supervised", 0.5, ratios=(100,), evaluation=evaluation, pretext=False, backbone=backbone)
    write("majority", 0.33, ratios=(100,), pretext=False, backbone="none")
    found = made(out)
    rows = ["simclr (pretext.batch_size 16)", "simclr (pretext.batch_size 8)"]
    linear = found["linear · resnet18, random init · quick · off protocol"]
    assert (sorted(names(linear.ranked)), names(linear.references)) == (rows, ["majority", "untrained"])
    assert all(line.gains and line.above_reference for line in linear.ranked)
    finetune = found["finetune · resnet18, random init · quick · off protocol"]
    assert (sorted(names(finetune.ranked)), names(finetune.references)) == (["scratch", *rows], [])
    assert [title for title in found if "vit" in title and "off" in title] == []
    assert sorted(names(found["linear · resnet18, random init · quick"].ranked)) == ["simclr"]
    build(out, everything=True)
    said = (out / "cells.md").read_text().replace("\\_", "_")
    assert "; off protocol: pretext.batch_size=16, pretext.batch_size=8. Bold" in said


def test_reference_rows_have_no_table_of_their_own_where_they_stand_beneath_another(
    out: Path, write: Write
) -> None:
    """Regression: beside a table off protocol stood one of the untrained encoder, and one of `majority`."""
    write("simclr", ratios=(100,), off={"pretext.epochs": 3})
    write("supervised", 0.5, ratios=(100,), pretext=False)
    write("majority", 0.33, ratios=(100,), pretext=False, backbone="none")
    write("supervised", 0.5, ratios=(100,), pretext=False, backbone="vit")
    assert {title: names(table.lines) for title, table in made(out).items()} == {
        "linear · resnet18, random init · quick · off protocol": [
            "simclr (pretext.epochs 3)",
            "majority",
            "untrained",
        ],
        "linear · vit, random init · quick": ["majority", "untrained"],
    }


def test_of_what_stands_with_rows_of_other_budgets_only_their_ratios_are_shown(
    out: Path, write: Write
) -> None:
    """Regression: a column for each ratio of the reference rows, and nothing unfolded of the rows' own."""
    write("simclr", ratios=(10,), off={"pretext.epochs": 3})
    write("supervised", 0.5, ratios=(10, 100), pretext=False)
    table = made(out)["linear · resnet18, random init · quick · off protocol"]
    assert table.ratios == (10,)
    assert [all(line.details) for line in table.lines] == [True, True]


def test_what_is_measured_otherwise_has_a_table_of_its_own(out: Path, write: Write) -> None:
    write("simclr", ratios=(100,), off={"image_size": 48})
    write("simclr", ratios=(100,), off={"image_size": 48, "pretext.epochs": 3})
    write("supervised", ratios=(100,), pretext=False)
    assert [(title, names(table.lines)) for title, table in made(out).items()] == [
        ("linear · resnet18, random init · quick", ["untrained"]),
        ("linear · resnet18, random init · quick · off protocol · off image_size=48", ["simclr"]),
        (
            "linear · resnet18, random init · quick · off protocol · off pretext, image_size=48",
            ["simclr (pretext.epochs 3)"],
        ),
    ]


def test_rows_of_one_method_are_told_apart_by_what_differs_and_by_nothing_else(
    out: Path, write: Write
) -> None:
    write("byol", ratios=(100,))
    write("simclr", ratios=(100,), config={"temperature": 0.5, "width": 128})
    write("simclr", ratios=(100,), config={"temperature": 0.1, "width": 128})
    (table,) = made(out).values()
    assert sorted(names(table.ranked)) == [
        "byol",
        "simclr (temperature 0.1)",
        "simclr (temperature 0.5)",
    ]


def test_tables_of_one_title_are_told_apart_by_what_differs_and_by_nothing_else(
    out: Path, write: Write, changed: Callable[..., Record]
) -> None:
    """Regression: folds of another deal, or a revised evaluation, made a second table of the same name."""
    store, first = Store(out), write("simclr", ratios=(100,))
    dealt = first[0].run.dataset.model_copy(update={"manifest": "12ab"})
    for record in first:
        revised = changed(record, evaluation=record.evaluation.model_copy(update={"revision": 2}))
        other = changed(record, run=record.run.model_copy(update={"dataset": dealt}))
        for one in (revised, other):
            store.write_predictions("cells", one.id, store.table("cells", record.id))
            store.write(one)
    assert set(made(out)) == {
        "linear · resnet18, random init · quick · folds abcd · revision 1",
        "linear · resnet18, random init · quick · folds abcd · revision 2",
        "linear · resnet18, random init · quick · folds 12ab · revision 1",
    }


def test_records_of_an_older_protocol_have_a_table_of_their_own_after_those_of_the_newest(
    out: Path, write: Write, changed: Callable[..., Record]
) -> None:
    """The older stood first, and neither said by which it was made, where their titles differed."""
    store = Store(out)
    for first in write("simclr", ratios=(100,)):
        protocol = first.run.protocol.model_copy(update={"version": 2, "rules": 1})
        newer = changed(first, run=first.run.model_copy(update={"protocol": protocol}))
        store.write_predictions("cells", newer.id, store.table("cells", first.id))
        store.write(newer)
    write("byol", ratios=(100,), evaluation="knn", training_rules=2)
    assert list(made(out)) == [
        "linear · resnet18, random init · quick",
        "knn · resnet18, random init · quick · older protocol (v1)",
        "linear · resnet18, random init · quick · older protocol (v1)",
    ]


def test_gains_are_over_the_newest_revision_of_what_has_no_pretext_stage(
    out: Path, write: Write, changed: Callable[..., Record]
) -> None:
    """With two revisions in a folder no gain stood on the page, and nothing said so."""
    write("simclr", 0.9, ratios=(100,))
    store, first = Store(out), write("supervised", 0.5, ratios=(100,), pretext=False)
    (before,) = made(out).values()
    for record in first:
        method = record.run.method.model_copy(update={"revision": 2})
        newer = changed(record, run=record.run.model_copy(update={"method": method}))
        store.write_predictions("cells", newer.id, store.table("cells", record.id))
        store.write(newer)
    (after,) = made(out).values()
    assert names(after.references) == ["untrained (revision 1)", "untrained (revision 2)"]
    assert after.base is not None
    assert after.base.name == "untrained (revision 2)"
    assert after.ranked[0].gains[HEADLINE] == before.ranked[0].gains[HEADLINE] != {}


def test_records_of_other_training_rules_have_a_table_of_their_own_after_those_of_the_newest(
    out: Path, write: Write
) -> None:
    for rules in (2, 10, 9):  # not in the order of their digits
        write("simclr", 0.9 - rules / 20, ratios=(100,), training_rules=rules)
    write("simclr", ratios=(100,), training_rules=2, tier="standard")
    assert {name: names(table.ranked) for name, table in made(out).items()} == {
        "linear · resnet18, random init · standard · older training rules (2)": ["simclr"],
        "linear · resnet18, random init · quick": ["simclr"],
        "linear · resnet18, random init · quick · older training rules (9)": ["simclr"],
        "linear · resnet18, random init · quick · older training rules (2)": ["simclr"],
    }
    text = page(out)
    assert re.findall("^## (.*)", text, re.MULTILINE) == list(made(out))
    assert len(re.findall(r"training rules \d+; images of", text)) == len(list(out.glob("charts/*.svg"))) == 4


DIFFERENT: dict[str, object] = {
    "method.name": "byol",
    "method.package": "another-package",
    "method.revision": 2,
    "method.builds_on": {"jigsaw": 2},
    "method.config": {"temperature": 0.1},
    "method.pretext": False,
    "dataset.variant": "cells@12ab",
    "dataset.manifest": "12ab",
    "dataset.pack": "34cd",
    "sources": ["cric"],
    "strategy": "pooled",
    "backbone": "vit",
    "backbone_revision": 2,
    "init": "random",
    "weights": "timm 1.0.99",
    "seed": 1,
    "protocol.version": 2,
    "protocol.tier": "standard",
    "protocol.rules": 2,
    "protocol.off": ["image_size=48"],
}
FOLLOWING = {"dataset.name", "dataset.folds", "dataset.synthetic", "protocol.image_size", "protocol.pretext"}
"""Decided by the variant, the hash of the folds, and tier and changes of the protocol."""


def fields(model: type[BaseModel], before: str = "") -> Iterator[str]:
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from fields(field.annotation, f"{before}{name}.")
        else:
            yield before + name


def test_of_every_field_of_a_run_it_is_known_how_pages_tell_it() -> None:
    assert set(fields(Run)) == {*DIFFERENT, *FOLLOWING, "fold"}


@pytest.mark.parametrize("field", DIFFERENT)
def test_rows_that_differ_in_anything_have_tables_or_names_that_say_so(
    write: Write, changed: Callable[..., Record], field: str
) -> None:
    (record,) = write(ratios=(100,), folds=(0,), init="imagenet", config={"temperature": 0.5})
    run = record.run.model_dump(mode="json")
    *parents, last = field.split(".")
    part = run[parents[0]] if parents else run
    assert part.get(last) != DIFFERENT[field]
    part[last] = DIFFERENT[field]
    rows = [row_of(record), row_of(changed(record, run=Run.model_validate(run)))]
    one, other = names_of(rows)
    assert rows[0].key != rows[1].key or (one != other and "#" not in one + other)


@pytest.mark.parametrize(
    ("said", "name"),
    [
        (["temperature"], "simclr (temperature 0.5)"),
        ([], "simclr"),
        (["seed", "no setting of it"], "simclr"),
        (7, "simclr"),
        (None, "simclr"),
    ],
)
def test_a_setting_that_was_chosen_is_named_in_a_row_that_stands_alone(
    write: Write, changed: Callable[..., Record], said: object, name: str
) -> None:
    """Regression: with no row of the defaults beside it, a page did not say that they were left."""
    (record,) = write(ratios=(100,), folds=(0,), config={"temperature": 0.5, "projection": 8})
    assert names_of([row_of(changed(record, observed={"chosen": said}))]) == [name]


def test_a_revision_after_the_first_is_named_in_a_row_that_stands_alone(
    write: Write, changed: Callable[..., Record]
) -> None:
    (record,) = write(ratios=(100,), folds=(0,))
    revised = record.run.method.model_copy(update={"revision": 2})
    run = record.run.model_copy(update={"method": revised})
    assert names_of([row_of(changed(record, run=run))]) == ["simclr (revision 2)"]


@pytest.mark.parametrize(
    ("method", "package", "pretext", "name"),
    [
        ("simclr", "cervbench-simclr", True, "simclr"),
        ("simclr-published", "cervbench-simclr", True, "simclr-published"),
        ("simclr", "another", True, "simclr (of another)"),
        ("dino", "cervbench", True, "dino (of cervbench)"),
        ("untrained", "cervbench-untrained", True, "untrained (of cervbench-untrained)"),
        ("new", "cervbench-new", True, "new"),
        ("new", "notebook", True, "new (of notebook)"),
        ("majority", "cervbench", False, "majority"),
        ("majority", "cervbench-majority", False, "majority (of cervbench-majority)"),
        ("supervised", "another", False, "supervised (of another)"),
    ],
)
def test_a_row_that_stands_alone_says_its_package_where_its_name_promises_another(
    write: Write, method: str, package: str, pretext: bool, name: str
) -> None:
    """Regression: it was said only beside a row of the same name."""
    (record,) = write(method, ratios=(100,), folds=(0,), package=package, pretext=pretext)
    assert names_of([row_of(record)]) == [name]


def test_a_table_says_of_which_package_an_evaluation_is_that_is_not_the_cores(
    out: Path, write: Write
) -> None:
    """Regression: alone on its page, another package's probe had the title of the core's."""
    write("simclr", ratios=(100,), evaluated_by="another")
    assert list(made(out)) == ["linear of another · resnet18, random init · quick"]
    write("simclr", ratios=(100,))
    assert len(made(out)) == 2


def test_rows_of_two_preparations_of_a_dataset_say_of_which_they_are(
    write: Write, changed: Callable[..., Record]
) -> None:
    """Regression: an id is no image, and one on noise was ranked against one on cells without a word."""
    rows = []
    for method, pack in (("simclr", "cells"), ("byol", "noise")):
        (record,) = write(method, ratios=(100,), folds=(0,))
        images = record.run.dataset.model_copy(update={"pack": pack})
        rows.append(row_of(changed(record, run=record.run.model_copy(update={"dataset": images}))))
    assert names_of(rows) == ["simclr (images cells)", "byol (images noise)"]
    assert names_of(rows[:1]) == ["simclr"]


def test_a_setting_that_is_called_as_a_field_of_the_run_is_not_hidden_by_it(
    write: Write, changed: Callable[..., Record]
) -> None:
    """Regression: a page said "init random" of a setting that was not."""
    rows = []
    for init in ("zeros", "orthogonal"):
        (record,) = write(ratios=(100,), folds=(0,), config={"init": init})
        rows.append(row_of(changed(record, observed={"chosen": ["init"]})))
    assert names_of(rows) == ['simclr (setting init "zeros")', 'simclr (setting init "orthogonal")']


def test_rows_stand_in_the_order_of_the_ratios_that_all_of_them_have(out: Path, write: Write) -> None:
    write("wide", 0.4, ratios=(10,))
    write("wide", 0.95, ratios=(100,))
    write("at 100 alone", 0.8, ratios=(100,))
    write("torn", 0.99, ratios=(25,), folds=(0, 1))
    (table,) = made(out).values()
    assert names(table.ranked) == ["wide", "at 100 alone", "torn"]


def test_rows_that_share_no_ratio_stand_in_the_order_of_their_names(out: Path, write: Write) -> None:
    write("zebra", 0.95, ratios=(100,))
    write("ant", 0.4, ratios=(10,))
    (table,) = made(out).values()
    assert names(table.ranked) == ["ant", "zebra"]


def footer(out: Path) -> str:
    (line,) = re.findall("^<sub>.*", page(out), re.MULTILINE)
    return str(line)


def test_every_device_that_had_a_part_is_named(
    out: Path, write: Write, changed: Callable[..., Record]
) -> None:
    first, *_ = write("simclr", ratios=(10, 100))
    assert "computed on cpu bf16." in footer(out)
    elsewhere = {
        "device": "cpu: slow",
        "precision": "fp32",
        "pretext_host": {"device": "cuda: fast", "precision": "tf32", "threads": 8},
    }
    Store(out).write(changed(first, observed={**first.observed, **elsewhere}))
    for _ in ("computed", "kept"):
        assert "computed on cpu bf16, cpu: slow fp32, cuda: fast tf32." in footer(out)


def test_a_row_that_collapsed_is_named_with_its_folds(
    out: Path, write: Write, changed: Callable[..., Record]
) -> None:
    seen_of = {"flat": (1.2, 0.9), "near": (9.0, 0.001), "odd": ("1", None), "good": (2.1, 0.02)}
    write("supervised", ratios=(100,), pretext=False, evaluation="finetune")
    write("simclr", ratios=(100,), evaluation="finetune")
    for record in map(Store(out).record, Store(out).paths()):
        if record.run.method.name == "supervised":
            Store(out).write(changed(record, observed={**record.observed, "feature_rank": 1.0}))
    for method, (rank, spread) in seen_of.items():
        for record in write(method, ratios=(100,)):
            if record.run.fold in (1, 3):
                seen = {**record.observed, "feature_rank": rank, "feature_spread": spread}
                Store(out).write(changed(record, observed=seen))
    said = re.findall(r"\*\*collapsed while it was pretrained\*\*: (.*?)\. ", page(out))
    assert said == ["flat in folds 1, 3; near in folds 1, 3"]


def test_rows_that_evaluations_saw_otherwise_are_named(out: Path, write: Write) -> None:
    """Regression: of several ways it was told which there are, and not whose."""
    usual = {"pooling": "class token"}
    write("supervised", ratios=(100,), pretext=False, observed=usual)
    write("simclr", ratios=(100,), observed=usual)
    assert "evaluated: class token" in footer(out)
    write("other", ratios=(100,), observed={"pooling": "the method's own features"})
    assert "evaluated: class token; of other the method&#39;s own features" in footer(out)


def test_intervals_of_one_draw_are_said_to_be_conditional_on_it(out: Path, write: Write) -> None:
    write("simclr", ratios=(10, 100), evaluation="finetune")
    assert "on the one order in which labels were uncovered, as is the paired test" in footer(out)
    assert "crossed with the label draws" not in footer(out)


def test_intervals_of_several_draws_are_said_to_answer_for_other_labels(out: Path, write: Write) -> None:
    write("simclr", ratios=(10, 100))
    assert "crossed with the label draws, conditional on the pretraining seed" in footer(out)
    assert "one order" not in footer(out)


def test_at_all_labels_intervals_are_said_to_be_of_groups_alone(out: Path, write: Write) -> None:
    write("simclr", ratios=(100,))
    assert "a jackknife over the groups of each fold, conditional on the pretraining seed" in footer(out)
    assert "one order" not in footer(out)


def test_a_row_without_all_folds_says_so_and_is_never_best(out: Path, write: Write) -> None:
    write("good", 0.95, ratios=(100,), folds=(0, 2))
    write("fair", 0.7, ratios=(100,))
    (table,) = made(out).values()
    assert not table.best
    write("poor", 0.4, ratios=(100,))
    (table,) = made(out).values()
    assert table.best["balanced_accuracy", 100] == {"fair"}
    assert names(table.ranked) == ["fair", "poor", "good"]
    assert "<br>only folds 0, 2 of 5 |" in page(out)


def test_the_clearly_better_method_alone_is_bold(out: Path, write: Write) -> None:
    write("good", 0.95, ratios=(100,))
    write("poor", 0.4, ratios=(100,))
    (table,) = made(out).values()
    assert table.best["balanced_accuracy", 100] == table.best[AUC, 100] == {"good"}
    text = page(out)
    assert "| good | **" in text
    assert "| poor | **" not in text


def test_what_was_taken_for_what_is_scikit_learns_confusion_matrix(out: Path, write: Write) -> None:
    written = {
        "simclr": [write("simclr", 0.7, ratios=(10,), seed=seed) for seed in (0, 1)],
        "untrained": [write("supervised", 0.4, ratios=(10,), pretext=False, seed=seed) for seed in (0, 1)],
    }
    for seed in (0, 1):
        write("byol", 0.5, ratios=(10,), seed=seed)
    text = page(out)
    for name, seeds in written.items():
        records = [record for of_seed in seeds for record in of_seed]
        classes = list(records[0].task.classes)
        rows = pd.concat([Store(out).table("cells", record.id).to_pandas() for record in records])
        guesses = np.array(classes)[rows[[f"p_{one}" for one in classes]].to_numpy().argmax(1)]
        counts = confusion_matrix(rows.label, guesses, labels=classes)
        times = 2 * 5  # seeds, draws
        assert f"\n{name}\n\n| truth, images | {' | '.join(classes)} |" in text
        told = text[text.index(f"\n{name}\n\n| truth") :]
        for own, label in zip(counts, classes, strict=True):
            shares = " | ".join(f"{100 * count / own.sum():.0f}" for count in own)
            assert f"| {label}, {own.sum() // times} | {shares} |" in told
    assert "\nbyol\n" not in text


def test_a_class_that_is_never_tested_was_taken_for_nothing(
    out: Path, write: Write, changed: Callable[..., Record]
) -> None:
    """Regression: no page was written."""
    store = Store(out)
    for record in write("simclr", 0.7, ratios=(100,)):
        classes = (*record.task.classes, "never")
        task = Task(classes=classes, abnormal=record.task.abnormal)
        columns = to_columns(store.table("cells", record.id)) | {
            "p_never": np.zeros(record.predictions.rows, np.float32)
        }
        table = canonical(columns)
        store.write_predictions("cells", record.id, table)
        told = PredictionsOfRecord(hash=content_hash(table), rows=len(table))
        scores = classification(columns, task)
        store.write(changed(record, task=task, predictions=told, scores=scores))
    assert f"| never, 0 |{' – |' * len(classes)}" in page(out)


def test_a_single_method_is_not_bold(out: Path, write: Write) -> None:
    write("alone", 0.9, ratios=(100,))
    assert "**9" not in page(out)
    assert "No score is bold: fewer than two methods have all folds.</sub>" in page(out)
    write("supervised", 0.4, ratios=(100,), pretext=False)
    assert "have all folds. Bold differences: other than 0" in page(out)


def test_how_far_a_method_is_above_the_best_reference_row_is_said(out: Path, write: Write) -> None:
    """Regression: a page ranked methods, and did not say that width and height alone do as well."""
    write("simclr", 0.6, ratios=(10, 100))
    write("supervised", 0.4, ratios=(10, 100), pretext=False)
    write("image-size", 0.8, ratios=(100,), pretext=False, backbone="none")
    tables_by_title = made(out)
    table = tables_by_title["linear · resnet18, random init · quick"]
    assert table.best_reference == {10: "untrained", 100: "image-size"}
    (line,) = table.ranked
    ours, theirs = (
        next(one.cells[100].figures["balanced_accuracy"].value for one in table.lines if one.name == name)
        for name in ("simclr", "image-size")
    )
    assert line.above_reference[100].value == pytest.approx(ours - theirs)
    assert line.above_reference[10] == line.gains[HEADLINE][10]
    text = page(out)
    assert "| method | 10 %<br>untrained | 100 %<br>image-size |" in text
    assert f"| image-size {100 * theirs:.1f} [" in (out / "README.md").read_text()


def test_a_gain_is_never_over_another_start(out: Path, write: Write, changed: Callable[..., Record]) -> None:
    """Regression: of untrained encoders of two revisions, the order of file names chose one."""
    write("simclr", 0.7, ratios=(100,))
    store, bases = Store(out), write("supervised", 0.5, ratios=(100,), pretext=False)
    for record in bases:
        other = changed(record, run=record.run.model_copy(update={"backbone_revision": 2}))
        store.write_predictions("cells", other.id, store.table("cells", record.id))
        store.write(other)
    (line,) = next(iter(made(out).values())).ranked
    assert line.gains
    for record in bases:
        store.record_path("cells", record.id).unlink()
    (line,) = next(iter(made(out).values())).ranked
    assert not line.gains


def test_a_gain_is_never_over_another_seed(out: Path, write: Write) -> None:
    write("simclr", 0.7, ratios=(100,))
    write("supervised", 0.5, ratios=(100,), pretext=False, seed=1)
    (line,) = next(iter(made(out).values())).ranked
    assert not line.gains
    write("supervised", 0.5, ratios=(100,), pretext=False)
    (line,) = next(iter(made(out).values())).ranked
    assert line.gains


def test_a_difference_is_of_rows_that_both_have_all_folds(out: Path, write: Write) -> None:
    """Where the same folds are missing of both they could be paired, and would be of those folds alone."""
    write("simclr", 0.7, ratios=(100,))
    write("supervised", 0.5, ratios=(100,), pretext=False)
    write("simclr", 0.7, ratios=(10,), folds=(0, 2))
    write("supervised", 0.5, ratios=(10,), folds=(0, 2), pretext=False)
    write("byol", 0.7, ratios=(100,), folds=(0, 2))
    write("image-size", 0.6, ratios=(10,), pretext=False, backbone="none")
    (table,) = made(out).values()
    byol, simclr = sorted(table.ranked, key=lambda line: line.name)
    assert list(simclr.gains[HEADLINE]) == list(simclr.above_reference) == [100]
    assert not byol.gains
    assert not byol.above_reference


def test_a_reference_that_was_tested_otherwise_is_shown_and_not_compared(out: Path, write: Write) -> None:
    write("simclr", 0.5, ratios=(100,))
    write("image-size", 0.9, ratios=(100,), pretext=False, backbone="none", groups=11)
    (table,) = made(out).values()
    (line,) = table.ranked
    assert table.best_reference == {100: "image-size"}
    assert not line.above_reference


@pytest.mark.parametrize("metric", [HEADLINE, AUC])
def test_a_gain_is_the_paired_difference_to_the_same_encoder_without_pretext(
    out: Path, write: Write, metric: str
) -> None:
    """Against the stratified jackknife's own formula on scikit-learn's scores: where a group is left out, the
    others of its fold weigh so much more."""
    ours, theirs = write("simclr", 0.7, ratios=(100,)), write("supervised", 0.5, ratios=(100,), pretext=False)
    (table,) = made(out).values()
    (line,) = table.ranked
    assert not table.references[0].gains
    gain, classes = line.gains[metric][100], ours[0].task.classes

    def pooled(records: list[Record]) -> pd.DataFrame:
        tables = (Store(out).table("cells", one.id).to_pandas().assign(fold=one.run.fold) for one in records)
        return pd.concat(tables)

    def score(rows: pd.DataFrame, weights: np.ndarray | None = None) -> float:
        weights = np.ones(len(rows)) if weights is None else weights
        answers = rows[[f"p_{name}" for name in classes]].to_numpy()
        if metric == HEADLINE:
            guesses = np.array(classes)[answers.argmax(1)]
            return float(balanced_accuracy_score(rows.label, guesses, sample_weight=weights))
        abnormal = answers[:, 1:].sum(axis=1) / answers.sum(axis=1)
        folds = [(rows.fold == fold).to_numpy() for fold in range(5)]
        is_abnormal = (rows.label != classes[0]).to_numpy()
        return float(
            np.mean([roc_auc_score(is_abnormal[f], abnormal[f], sample_weight=weights[f]) for f in folds])
        )

    a, b = pooled(ours), pooled(theirs)
    assert gain.value == pytest.approx(score(a) - score(b))
    variance, groups_of = 0.0, a.groupby("fold").group.unique()
    for fold, groups in groups_of.items():
        n, left = len(groups), []
        for group in groups:
            weights = [
                np.where(rows.group == group, 0, np.where(rows.fold == fold, n / (n - 1), 1))
                for rows in (a, b)
            ]
            left.append(score(a, weights[0]) - score(b, weights[1]))
        variance += (n - 1) * np.var(left)
    freedom = sum(map(len, groups_of)) - len(groups_of)
    assert (gain.high - gain.low) / 2 == pytest.approx(variance**0.5 * scipy.stats.t.ppf(0.975, freedom))
    assert f"| simclr | **{100 * gain.value:+.1f}** [" in page(out)
    assert page(out).count("above the untrained encoder, paired, points") == 2  # in sight, and folded


def test_of_a_column_those_gains_are_bold_that_hold_when_corrected_for_their_number(
    out: Path, write: Write
) -> None:
    """Holm's steps by hand, on the p-values of Student's t that the intervals stand for."""
    write("supervised", 0.5, ratios=(100,), pretext=False)
    for n, accuracy in enumerate((0.75, 0.63, 0.62, 0.6, 0.55, 0.5, 0.48)):
        write(f"method-{n}", accuracy, ratios=(100,))
    (table,) = made(out).values()
    freedom = 5 * 12 - 5
    p_of = {}
    for line in table.ranked:
        gain = line.gains[HEADLINE][100]
        error = (gain.high - gain.low) / 2 / scipy.stats.t.ppf(0.975, freedom)
        p_of[line.name] = 2 * scipy.stats.t.sf(abs(gain.value) / error, freedom)
    in_order = sorted(p_of, key=lambda name: p_of[name])
    steps = [p_of[name] * (len(in_order) - step) for step, name in enumerate(in_order)]
    first_that_fails = next(step for step, p in enumerate(steps) if p > 0.05)
    held = in_order[:first_that_fails]
    assert held
    assert p_of[in_order[first_that_fails]] < 0.05, "alone it would have passed"
    adjusted = np.minimum(1, np.maximum.accumulate(steps))
    assert [table.p_of_gains[HEADLINE][name, 100] for name in in_order] == pytest.approx(adjusted, rel=1e-6)
    told = page(out).split("above the untrained encoder")[1]
    bold = {name for name in p_of if re.search(rf"\| {name} \| \*\*[+−]", told)}
    assert bold == set(held)


def test_what_was_pretrained_from_other_weights_has_no_gain_over_an_untrained_encoder(
    out: Path, write: Write
) -> None:
    write("simclr", 0.7, ratios=(100,), init="imagenet")
    write("supervised", 0.5, ratios=(100,), pretext=False)
    assert all(not line.gains for table in made(out).values() for line in table.lines)


def test_intervals_are_of_all_draws_and_jackknifed_fold_by_fold(out: Path, write: Write) -> None:
    """What `interval` gives of the pooled predictions: that it is right is tested where it stands."""
    records = write("simclr", 0.6, ratios=(10,))
    (line,) = next(iter(made(out).values())).ranked
    task, store = records[0].task, Store(out)
    tables = [to_columns(store.table("cells", one.id)) for one in records]
    pooled = pool(tables, [one.run.fold for one in records], task)

    def interval_of(rows: Pooled, metric: str) -> tuple[float, float] | None:
        plan = design(rows)
        return interval(replicates(rows, plan, metric), plan.folds, metric)

    for metric, shown in line.cells[10].figures.items():
        assert (shown.low, shown.high) == pytest.approx(interval_of(pooled, metric))
    for number, name in enumerate(task.classes):
        recall, of_class = line.details.classes[name].recall, pooled.subset(pooled.labels == number)
        assert (recall.low, recall.high) == pytest.approx(interval_of(of_class, "accuracy"))
    for metric, shown in line.details.others.items():
        assert (shown.low, shown.high) == pytest.approx(interval_of(pooled, metric))


def test_figures_are_scikit_learns_on_the_stored_predictions(out: Path, write: Write) -> None:
    records = write("simclr", 0.6, ratios=(10,))
    (table,) = made(out).values()
    (line,) = table.ranked
    rows = pd.concat(
        [Store(out).table("cells", record.id).to_pandas().assign(fold=record.run.fold) for record in records]
    )
    columns = ["p_normal", "p_light", "p_severe"]
    rows["predicted"] = rows[columns].idxmax(axis=1).str.removeprefix("p_")
    rows["abnormal"] = rows["p_light"] + rows["p_severe"]
    pooled = [balanced_accuracy_score(own.label, own.predicted) for _, own in rows.groupby("draw")]
    per_fold = [
        roc_auc_score(own.label != "normal", own.abnormal) for _, own in rows.groupby(["draw", "fold"])
    ]
    cell = line.cells[10]
    assert cell.value("balanced_accuracy") == pytest.approx(np.mean(pooled))
    assert cell.value(AUC) == pytest.approx(np.mean(per_fold))
    assert (cell.images, cell.groups, cell.draws) == (rows.image.nunique(), rows.group.nunique(), 5)
    recalls = [
        recall_score(own.label, own.predicted, labels=["normal", "light", "severe"], average=None)
        for _, own in rows.groupby("draw")
    ]
    shown = [line.details.classes[name].recall.value for name in ("normal", "light", "severe")]
    assert shown == pytest.approx(np.mean(recalls, axis=0))


def test_the_other_metrics_are_scikit_learns_on_the_stored_predictions(out: Path, write: Write) -> None:
    """Counts on all folds together, scores fold by fold: as of the two that have tables of their own."""
    records = write("simclr", 0.6, ratios=(10,))
    [line] = next(iter(made(out).values())).ranked
    rows = pd.concat(
        [Store(out).table("cells", record.id).to_pandas().assign(fold=record.run.fold) for record in records]
    )
    classes = ["light", "normal", "severe"]  # as scikit-learn orders them
    rows["predicted"] = rows[[f"p_{name}" for name in classes]].idxmax(axis=1).str.removeprefix("p_")
    rows["sure"] = rows["p_light"] + rows["p_severe"]
    rows["abnormal"], rows["alarm"] = rows.label != "normal", rows.sure >= 0.5
    rank = {"normal": 0, "light": 1, "severe": 2}

    def on(keys: list[str], score: Callable[[pd.DataFrame], float]) -> float:
        return float(np.mean([score(own) for _, own in rows.groupby(keys)]))

    expected = {
        "accuracy": on(["draw"], lambda own: accuracy_score(own.label, own.predicted)),
        "macro_f1": on(["draw"], lambda own: f1_score(own.label, own.predicted, average="macro")),
        "quadratic_kappa": on(
            ["draw"],
            lambda own: cohen_kappa_score(own.label.map(rank), own.predicted.map(rank), weights="quadratic"),
        ),
        "abnormal_sensitivity": on(["draw"], lambda own: recall_score(own.abnormal, own.alarm)),
        "abnormal_specificity": on(["draw"], lambda own: recall_score(~own.abnormal, ~own.alarm)),
        "abnormal_precision": on(["draw"], lambda own: precision_score(own.abnormal, own.alarm)),
        "abnormal_average_precision": on(
            ["draw", "fold"], lambda own: average_precision_score(own.abnormal, own.sure)
        ),
        "macro_auc": on(
            ["draw", "fold"],
            lambda own: roc_auc_score(
                own.label, own[[f"p_{name}" for name in classes]].to_numpy(float), multi_class="ovr"
            ),
        ),
        "log_loss": on(
            ["draw", "fold"],
            lambda own: log_loss(own.label, own[[f"p_{name}" for name in classes]], labels=classes),
        ),
    }
    shown = {name: figure.value for name, figure in line.details.others.items()}
    assert shown.pop("calibration_error") is not None  # held to its definition where that stands
    assert shown == pytest.approx(expected, rel=1e-5)
    assert f"; {100 * rows.abnormal.mean():.1f} % of the images are abnormal" in page(out)


def test_every_metric_of_a_record_stands_on_its_page(out: Path, write: Write) -> None:
    write("simclr", ratios=(10, 100))
    [line] = next(iter(made(out).values())).ranked
    assert {*line.cells[100].figures, *line.details.others} == set(METRICS)
    text = page(out).replace("\N{NO-BREAK SPACE}", " ")
    unfolded = text.split("Other metrics, at 100 % of the labels")[1].splitlines()
    assert unfolded[2].startswith("| method | accuracy, % |")
    assert unfolded[4].startswith(f"| simclr | {figure(line.details.others['accuracy'])} |")


def test_where_no_class_is_abnormal_nothing_is_said_of_alarms(out: Path, write: Write) -> None:
    write("simclr", ratios=(100,), task=Task(classes=("one", "two", "three")))
    text = page(out)
    assert "log-loss, nats ↓" in text
    assert not any(word in text.lower() for word in ("sensitivity", "kappa", "average precision"))


def test_the_header_gives_label_counts_as_a_range_over_folds(out: Path, write: Write) -> None:
    write("simclr", ratios=(5, 10))
    assert "| method | 5 %<br>5–6 + 0 labels | 10 %<br>10–11 + 3 labels |" in page(out)


def test_effort_stands_beside_scores_and_only_for_what_was_pretrained(out: Path, write: Write) -> None:
    write("simclr", ratios=(100,))
    write("supervised", ratios=(100,), pretext=False)
    text = page(out)
    first, *others = [line for line in text.splitlines() if line.startswith("| simclr |")]
    assert "| 1,000<br>1.5 min |" in first
    assert not any("1.5 min" in line for line in others)  # it is the same in all tables
    assert next(line for line in text.splitlines() if line.startswith("| untrained |")).endswith("| – |")


def test_a_class_with_too_few_images_in_a_fold_leaves_the_table_unranked(out: Path, write: Write) -> None:
    write("good", 0.95, ratios=(100,), groups=3)  # 12 images a fold, four a class
    write("poor", 0.4, ratios=(100,), groups=3)
    (table,) = made(out).values()
    assert table.best == {}
    text = page(out)
    assert "**Shown, not ranked**: some fold tests 4 images of class normal, fewer than 5." in text
    assert "| good | **" not in text


def test_a_fold_of_a_single_group_is_shown_without_interval_and_not_ranked(out: Path, write: Write) -> None:
    write("good", 0.95, ratios=(100,), groups=1)
    write("poor", 0.4, ratios=(100,), groups=1)
    text = page(out)
    assert "**Shown, not ranked**: some fold tests a single group" in text
    assert "[" not in next(line for line in text.splitlines() if line.startswith("| good |"))


def test_a_class_in_few_groups_is_shown_with_their_number_and_no_interval(out: Path, write: Write) -> None:
    write("simclr", ratios=(100,), groups=3)
    header, _, row = page(out).split("Recall class by class")[1].splitlines()[2:5]
    assert "normal<br>20 images, 15 groups" in header
    assert "[" not in row


def test_unknown_groups_bear_no_interval_and_no_rank(out: Path, write: Write) -> None:
    task = Task(classes=("normal", "severe"), abnormal=("severe",), groups_known=False)
    write("good", 0.95, ratios=(100,), task=task)
    write("poor", 0.4, ratios=(100,), task=task)
    text = page(out)
    assert "groups unknown; no intervals: which images depend on each other is not known" in text
    rows = [line for line in text.splitlines() if line.startswith(("| good |", "| poor |"))]
    assert not any("**" in row or "[" in row for row in rows)


@pytest.mark.parametrize("what", ["weights", "pack"])
def test_a_gain_is_never_over_other_images_or_other_weights(
    out: Path, write: Write, changed: Callable[..., Record], what: str
) -> None:
    write("simclr", 0.7, ratios=(100,))
    store = Store(out)
    for record in write("supervised", 0.5, ratios=(100,), pretext=False):
        images = record.run.dataset.model_copy(update={"pack": "another"})
        update = {"weights": "timm 1.0.99"} if what == "weights" else {"dataset": images}
        other = changed(record, run=record.run.model_copy(update=update))
        store.write_predictions("cells", other.id, store.table("cells", record.id))
        store.write(other)
        store.record_path("cells", record.id).unlink()
    assert not any(line.gains for table in made(out).values() for line in table.ranked)


def test_the_best_reference_row_has_all_folds(out: Path, write: Write) -> None:
    write("simclr", 0.6, ratios=(100,))
    write("supervised", 0.4, ratios=(100,), pretext=False)
    write("image-size", 0.9, ratios=(100,), folds=(0, 1), pretext=False, backbone="none")
    assert made(out)["linear · resnet18, random init · quick"].best_reference == {100: "untrained"}


def test_what_is_above_the_best_reference_row_is_bold_by_its_own_test(out: Path, write: Write) -> None:
    """Far above the untrained encoder, and not above width and height."""
    write("supervised", 0.35, ratios=(100,), pretext=False)
    write("image-size", 0.78, ratios=(100,), pretext=False, backbone="none")
    write("simclr", 0.72, ratios=(100,))
    text = page(out)
    above_untrained, above_reference = (
        text.split(told)[1].split("\n\n")[1] for told in ("above the untrained encoder", "best reference row")
    )
    assert re.search(r"^\| simclr \| \*\*\+", above_untrained, re.MULTILINE)
    assert re.search(r"^\| simclr \| [+−]", above_reference, re.MULTILINE)


def test_reference_rows_have_no_part_in_what_is_bold(out: Path, write: Write) -> None:
    write("image-size", 0.95, ratios=(100,), pretext=False, backbone="none")
    write("one", 0.6, ratios=(100,))
    write("two", 0.58, ratios=(100,))
    table = made(out)["linear · resnet18, random init · quick"]
    assert table.best["balanced_accuracy", 100] == {"one", "two"}


def test_records_of_other_settings_of_an_evaluation_or_of_another_task_have_tables_of_their_own(
    write: Write, changed: Callable[..., Record]
) -> None:
    (record,) = write(ratios=(100,), folds=(0,))
    settings = {**record.evaluation.settings, "strength": 9}
    stronger = record.evaluation.model_copy(update={"settings": settings})
    fewer = record.task.model_copy(update={"abnormal": record.task.abnormal[1:]})
    others = changed(record, evaluation=stronger), changed(record, task=fewer)
    assert len({row_of(one).key for one in (record, *others)}) == 3

"""What scripts/within_groups.py prints, against loops over pairs of images."""

import re
import subprocess
import sys
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from statistics import fmean

import pandas as pd

from cervbench.records.record import Record
from cervbench.records.store import Store

SCRIPT = Path(__file__).parents[2] / "scripts" / "within_groups.py"


def told_apart(table: pd.DataFrame) -> tuple[float, float]:
    """The shares of pairs of one group and of two, of one fold and draw."""
    told: dict[bool, list[float]] = {True: [], False: []}
    for a, b in combinations(table.to_dict("records"), 2):
        if a["label"] != b["label"]:
            mine, other = f"p_{a['label']}", f"p_{b['label']}"
            of_a, of_b = (x[mine] / (x[mine] + x[other]) for x in (a, b))
            told[a["group"] == b["group"]].append((of_a > of_b) + (of_a == of_b) / 2)
    assert len(told[True]) == 60
    return fmean(told[True]), fmean(told[False])


def test_pairs_of_one_group_and_of_two_are_counted_apart(
    out: Path, write: Callable[..., list[Record]]
) -> None:
    tables = [
        Store(out).table("cells", record.id).to_pandas().assign(fold=record.run.fold)
        for record in write("simclr", 0.7, ratios=(10,))
    ]
    shares = [told_apart(own) for _, own in pd.concat(tables).groupby(["fold", "draw"])]
    said = subprocess.run([sys.executable, SCRIPT, out], capture_output=True, text=True, check=True).stdout
    assert "of one group: 300 pairs in 60 groups" in said  # of five folds, once and not draw by draw
    (row,) = re.findall(r"\| simclr \| ([\d.]+) \[([\d.]+),\s([\d.]+)\] \| ([\d.]+) \|", said)
    within, low, high, between = map(float, row)
    assert low < within < high
    assert [within, between] == [round(100 * fmean(one), 1) for one in zip(*shares, strict=True)]


def test_over_several_seeds_it_is_their_mean_and_the_interval_is_theirs(
    out: Path, write: Callable[..., list[Record]]
) -> None:
    def told() -> tuple[float, ...]:
        said = subprocess.run([sys.executable, SCRIPT, out], capture_output=True, text=True, check=True)
        (row,) = re.findall(r"\| simclr \| ([\d.]+) \[([\d.]+),\s([\d.]+)\]", said.stdout)
        return tuple(map(float, row))

    write("simclr", 0.9, ratios=(100,))
    one = told()
    for path in (out / "records" / "cells").iterdir():
        path.unlink()
    write("simclr", 0.4, ratios=(100,), seed=1)
    other = told()
    write("simclr", 0.9, ratios=(100,))
    both = told()
    assert abs(both[0] - (one[0] + other[0]) / 2) < 0.11
    assert both[2] - both[1] > max(one[2] - one[1], other[2] - other[1])

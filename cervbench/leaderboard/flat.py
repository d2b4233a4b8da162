"""The figures of pages as flat data, for whoever draws them, tests them or typesets them for a paper."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from statistics import fmean
from typing import Any

from cervbench.error import UsageError
from cervbench.leaderboard.cache import Cache
from cervbench.leaderboard.cells import Figure
from cervbench.leaderboard.tables import Line, Table, title
from cervbench.leaderboard.variants import variants
from cervbench.leaderboard.workers import Workers
from cervbench.records.store import Store
from cervbench.scoring.classification import HEADLINE
from cervbench.scoring.comparison import Difference


@dataclass(frozen=True, kw_only=True)
class FlatFigure:
    """One number of a page with all that it stands for; a share where the page has per cent.

    None stands where nothing can be told, and for differences that the page does not show.
    """

    variant: str
    synthetic: bool
    table: str
    """Its title on the page of the variant: only figures of one table are on one scale."""
    not_ranked: str | None
    """Why the rows of the table are not ranked."""
    row: str
    """As it is called on the page."""
    reference: bool
    """It stands beneath the ranked rows."""
    method: str
    package: str
    revision: int
    settings: str
    """All settings of the method, as JSON."""
    backbone: str
    init: str
    tier: str
    off_protocol: tuple[str, ...]
    seeds: tuple[int, ...]
    evaluation: str
    ratio: int
    """Per cent of the labels."""
    train_labels: float
    """The mean over folds, as of `val_labels`."""
    val_labels: float
    folds: tuple[int, ...]
    """Those that the row has."""
    complete: bool
    """It has all folds; a row that lacks some is neither ranked nor tested."""
    draws: int
    metric: str
    of_class: str | None
    """The class whose recall it is."""
    value: float | None
    low: float | None
    high: float | None
    bold: bool | None = None
    """The best of its column, or not told from that by the paired test; None where that tests nothing."""
    by_seed: tuple[float | None, ...] | None = None
    """The figures of which it is the mean; None for those that unfold beneath a table."""
    images: int
    groups: int | None
    pack: str
    """A hash of the pixels: rows of one name and table in two folders may be of other images."""
    images_forwarded: float | None
    """In pretraining, the median over folds and seeds, as of `pretext_seconds`."""
    pretext_seconds: float | None
    records: tuple[str, ...]
    """The ids of those that it is computed from, seed by seed and in each by fold."""
    gain_over: str | None = None
    """The row that is the same encoder without a pretext stage."""
    gain: float | None = None
    """How far it is above that row; `gain_p` is of this row alone."""
    gain_low: float | None = None
    gain_high: float | None = None
    gain_p: float | None = None
    gain_p_holm: float | None = None
    """Corrected for the rows of the table at this ratio: bold is a difference with 0.05 or less."""
    best_reference: str | None = None
    """The reference row with the highest balanced accuracy at this ratio."""
    above_reference: float | None = None
    """How far it is above that row."""
    above_reference_low: float | None = None
    above_reference_high: float | None = None
    above_reference_p: float | None = None
    above_reference_p_holm: float | None = None

    @classmethod
    def names(cls) -> list[str]:
        return [field.name for field in fields(cls)]

    @classmethod
    def optional(cls) -> dict[str, type]:
        """The names of those that may be None, each with the plain type that it has otherwise."""
        plain: dict[Any, type] = {kind | None: kind for kind in (str, bool, int, float)}
        return {field.name: plain[field.type] for field in fields(cls) if field.type in plain}


def flat_figures(
    out: Path, cache: Path, everything: bool = False, workers: int = 1
) -> tuple[list[FlatFigure], list[str]]:
    """All figures of the pages of `out`, in their order, and sentences that say which records are left out.

    UsageError if there are no records.
    """
    store, found, left_out = Store(out), list[FlatFigure](), list[str]()
    paths = store.paths()
    if not paths:
        raise UsageError(f"{out} has no records: run something with --out {out} first")
    with Cache(cache) as kept, Workers(workers) as others:
        for variant in variants(store, paths, kept, everything, others):
            for table in variant.tables:
                for figure in _of_table(table):
                    found.append(FlatFigure(variant=variant.name, synthetic=variant.synthetic, **figure))
            left_out += [f"{variant.name}: {said}" for said in variant.left_out]
    return found, left_out


def _of_table(table: Table) -> Iterator[dict[str, Any]]:
    """First those that tables show, metric by metric; then those that unfold beneath, row by row."""
    known = {(line.row, ratio): _of_line(table, line, ratio) for line in table.lines for ratio in line.cells}
    for metric in table.metrics:
        for line in table.lines:
            for ratio in line.cells:
                yield known[line.row, ratio] | _shown(table, line, ratio, metric)
    for line in table.lines:
        for unfolded in _unfolded(line):
            yield known[line.row, table.ratios[-1]] | unfolded


def _of_line(table: Table, line: Line, ratio: int) -> dict[str, Any]:
    run, cell, by_fold = line.row.sample.run, line.cells[ratio], line.row.records[ratio]
    by_seed = zip(*(of_seeds for _, of_seeds in sorted(by_fold.items())), strict=True)
    records = [record for of_folds in by_seed for record in of_folds]
    return {
        "table": title(table),
        "not_ranked": table.unrankable or None,
        "row": line.name,
        "reference": line in table.references,
        "method": run.method.name,
        "package": run.method.package,
        "revision": run.method.revision,
        "settings": json.dumps(run.method.config, sort_keys=True),
        "backbone": run.backbone,
        "init": run.init,
        "tier": run.protocol.tier,
        "off_protocol": run.protocol.off,
        "seeds": line.row.seeds,
        "evaluation": table.sample.evaluation.name,
        "ratio": ratio,
        "train_labels": fmean(record.train_labels for record in records),
        "val_labels": fmean(record.val_labels for record in records),
        "folds": tuple(sorted(by_fold)),
        "complete": line.row.complete(ratio),
        "draws": cell.draws,
        "images": cell.images,
        "groups": cell.groups if line.row.task.groups_known else None,
        "pack": run.dataset.pack,
        "images_forwarded": line.row.images_forwarded,
        "pretext_seconds": line.row.pretext_seconds,
        "records": tuple(record.id for record in records),
    }


def _shown(table: Table, line: Line, ratio: int, metric: str) -> dict[str, Any]:
    cell, at = line.cells[ratio], (line.name, ratio)
    told = _measured(metric, cell.figures[metric]) | {"by_seed": tuple(cell.by_seed[metric])}
    best = table.best.get((metric, ratio))
    if best is not None and line in table.ranked and line.row.complete(ratio):
        told["bold"] = line.name in best
    if gain := line.gains.get(metric, {}).get(ratio):
        told |= {"gain_over": line.base} | _differs("gain", gain, table.p_of_gains[metric].get(at))
    if metric == HEADLINE and (above := line.above_reference.get(ratio)):
        told |= {"best_reference": table.best_reference[ratio]}
        told |= _differs("above_reference", above, table.p_above_reference.get(at))
    return told


def _unfolded(line: Line) -> Iterator[dict[str, Any]]:
    if line.details:
        for metric, figure in line.details.others.items():
            yield _measured(metric, figure)
        for name, (recall, images, groups) in line.details.classes.items():
            counted = {"images": images} | ({"groups": groups} if line.row.task.groups_known else {})
            yield _measured("recall", recall, name) | counted


def _measured(metric: str, figure: Figure, of_class: str | None = None) -> dict[str, Any]:
    return {"metric": metric, "of_class": of_class, **figure._asdict()}


def _differs(name: str, difference: Difference, p_holm: float | None) -> dict[str, Any]:
    value, low, high, p = difference
    return {name: value, f"{name}_low": low, f"{name}_high": high, f"{name}_p": p, f"{name}_p_holm": p_holm}

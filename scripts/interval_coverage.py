"""How often the intervals hold the truth and the paired test cries wolf, on Herlev's sessions.

    python scripts/interval_coverage.py [--repeats 1000]

Prints the tables of docs/intervals.md but the last two, which are few_draws_and_seeds.py's. No image is
needed: sessions, classes and folds come from the frozen manifest, and predictions are simulated.
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import brentq

from cervbench.data.cards.herlev import EXPECTED, SEVERITY
from cervbench.protocol.folds import frozen
from cervbench.scoring.classification import HEADLINE
from cervbench.scoring.comparison import best_of, compare
from cervbench.scoring.intervals import design, interval, replicates
from cervbench.scoring.metrics import METRICS
from cervbench.scoring.pooling import Pooled, metric_of_weights
from cervbench.scoring.task import Task

HERLEV = Task(
    classes=tuple(EXPECTED), abnormal=tuple(name for name in EXPECTED if SEVERITY[name]), severity=SEVERITY
)
EASE = np.array([0.2, 1.0, 0.9, -1.0, -0.6, -0.5, 0.3])
"""How much easier than the mean each class is, as they were found on Herlev: dysplasias are hard."""


@dataclass(frozen=True)
class Setting:
    """Logits of a class: its margin where it is the truth, and normal effects with these deviations."""

    name: str
    margin: float
    group: float = 0.8
    draw: float = 0.3
    group_draw: float = 0.3
    image: float = 1.0
    image_draw: float = 0.6
    draws: int = 5
    new_mix: bool = False
    """Sessions themselves drawn anew from Herlev's, with their sizes and classes."""
    shared: float = 0.8
    """Of two methods: the part of every effect's variance that is the same for both."""


SETTINGS = (
    Setting("weak, sessions little alike", 0.8, group=0.5),
    Setting("weak, labels decide", 1.0, group=0.6, draw=1.0),
    Setting("weak, labels decide image by image", 1.0, group=0.6, draw=0, group_draw=0.8, image_draw=1.2),
    Setting("middling", 1.5),
    Setting("middling, sessions very alike", 1.8, group=1.2),
    Setting("middling, sessions drawn anew", 1.5, new_mix=True),
    Setting("middling, all labels", 1.5, draw=0, draws=1),
    Setting("good", 3.2),
    Setting("good, all labels", 3.2, draw=0, draws=1),
    Setting("very good", 4.5),
)
OTHERS = tuple(name for name in METRICS if name not in (HEADLINE, "macro_auc"))
"""Macro AUC has no interval on Herlev."""


@dataclass(frozen=True)
class Layout:
    """The test images of all folds: what is simulated on."""

    groups: np.ndarray
    folds: np.ndarray
    labels: np.ndarray

    def drawn_anew(self, rng: np.random.Generator) -> "Layout":
        """As many sessions a fold, drawn from it with replacement."""
        rows: list[np.ndarray] = []
        groups: list[np.ndarray] = []
        for fold in np.unique(self.folds):
            own = np.unique(self.groups[self.folds == fold])
            for chosen in rng.choice(own, len(own)):
                members = np.flatnonzero(self.groups == chosen)
                groups.append(np.full(len(members), len(groups)))
                rows.append(members)
        picked = np.concatenate(rows)
        return Layout(np.concatenate(groups), self.folds[picked], self.labels[picked])


def herlev() -> Layout:
    """Sessions, folds and classes as frozen; a fold tests two bins."""
    manifest = frozen("herlev")
    return Layout(
        groups=np.unique(manifest.groups, return_inverse=True)[1],
        folds=manifest.bins // 2,
        labels=np.array([HERLEV.classes.index(label) for label in manifest.labels]),
    )


def simulate(
    layout: Layout, setting: Setting, rng: np.random.Generator, lifts: Sequence[float] = (0.0,)
) -> list[Pooled]:
    """One experiment: predictions of as many methods as lifts, each that much surer of the truth."""
    if setting.new_mix:
        layout = layout.drawn_anew(rng)
    images, groups, classes = len(layout.labels), layout.groups.max() + 1, len(HERLEV.classes)
    truth, in_group = np.eye(classes)[layout.labels], layout.groups

    def effects() -> dict[str, np.ndarray]:
        return {
            "group": rng.standard_normal((1, groups, classes)),
            "image": rng.standard_normal((1, images, classes)),
            "draw": rng.standard_normal((setting.draws, 1, classes)),
            "group_draw": rng.standard_normal((setting.draws, groups, classes)),
            "image_draw": rng.standard_normal((setting.draws, images, classes)),
        }

    common, pooled = effects(), []
    for lift in lifts:
        own = effects()
        logits = (setting.margin + lift + EASE) * truth
        for name, effect in common.items():
            mixed = np.sqrt(setting.shared) * effect + np.sqrt(1 - setting.shared) * own[name]
            logits = logits + getattr(setting, name) * (mixed[:, in_group] if "group" in name else mixed)
        odds = np.exp(logits - logits.max(axis=2, keepdims=True))
        pooled.append(
            Pooled(
                task=HERLEV,
                images=np.array([f"{i:05d}" for i in range(images)]),
                groups=np.array([f"{g:04d}" for g in in_group]),
                folds=layout.folds,
                labels=layout.labels,
                draws=tuple(range(setting.draws)),
                probabilities=odds / odds.sum(axis=2, keepdims=True),
            )
        )
    return pooled


def figure(pooled: Pooled, metric: str) -> float:
    everything = np.zeros(len(pooled.labels), dtype=np.int64)
    return float(metric_of_weights(pooled, metric, everything, 1)(np.ones(1)).mean())


@dataclass(frozen=True)
class Coverage:
    truth: float
    scatter: float
    given: float
    """How often there was an interval."""
    covered: float
    """Of those that were given."""
    above: float
    """How often the truth lay above the interval."""
    below: float
    width: float


@dataclass(frozen=True)
class Test:
    difference: float
    seen: float
    """How often the paired test finds a difference."""
    apart: float
    """How often the two intervals do not overlap."""


def coverage(
    layout: Layout, setting: Setting, metrics: Sequence[str], repeats: int, seed: int = 0
) -> dict[str, Coverage]:
    """The truth is the mean over the experiments: what is reported on average with new sessions and draws."""
    rng = np.random.default_rng(seed)
    experiments = [simulate(layout, setting, rng)[0] for _ in range(repeats)]
    found = {}
    for metric in metrics:
        figures = np.array([figure(pooled, metric) for pooled in experiments])
        ends = []
        for pooled in experiments:
            plan = design(pooled)
            between = interval(replicates(pooled, plan, metric), plan.folds, metric)
            ends.append(between or (np.nan, np.nan))
        truth, given = figures.mean(), ~np.isnan(np.array(ends)[:, 0])
        low, high = np.array(ends)[given].T
        found[metric] = Coverage(
            truth=float(truth),
            scatter=float(figures.std()),
            given=float(given.mean()),
            covered=float(np.mean((low <= truth) & (truth <= high))),
            above=float(np.mean(high < truth)),
            below=float(np.mean(truth < low)),
            width=float(np.mean(high - low)),
        )
    return found


def significant(layout: Layout, setting: Setting, lift: float, repeats: int, seed: int = 0) -> Test:
    """Two methods of which one is `lift` surer of the truth."""
    rng = np.random.default_rng(seed)
    differences, seen, apart = [], 0, 0
    for _ in range(repeats):
        a, b = simulate(layout, setting, rng, (lift, 0.0))
        plan = design(a)
        ours, theirs = (replicates(pooled, plan, HEADLINE) for pooled in (a, b))
        found = compare(ours, theirs, plan.folds)
        if found.value is None or found.p is None:  # a class of the sessions drawn hangs on one of them
            continue
        differences.append(found.value)
        seen += found.p <= 0.05
        of_a, of_b = (interval(values, plan.folds, HEADLINE) for values in (ours, theirs))
        apart += bool(of_a and of_b and (of_a[0] > of_b[1] or of_b[0] > of_a[1]))
    return Test(float(np.mean(differences)), seen / len(differences), apart / len(differences))


def lift_of(layout: Layout, setting: Setting, points: float) -> float:
    """How much surer of the truth a method must be to gain so much balanced accuracy."""

    def beyond(lift: float) -> float:
        """By other pairs than are tested, and many: chance moves their mean by a tenth of a point or two."""
        rng = np.random.default_rng(2)
        pairs = [simulate(layout, setting, rng, (lift, 0.0)) for _ in range(400)]
        gains = [figure(a, "balanced_accuracy") - figure(b, "balanced_accuracy") for a, b in pairs]
        return float(np.mean(gains)) - points

    return float(brentq(beyond, 0.0, 4.0, xtol=0.005))


def _covered(found: Coverage) -> str:
    return f"{found.covered:.1%}" + (f" of {found.given:.0%}" if found.given < 1 else "")


@dataclass(frozen=True)
class Bold:
    """Of a column in which all rows are equally good."""

    without: float
    """How often a given row is not bold."""
    some_without: float
    """How often there is one that is not."""


def bold(layout: Layout, setting: Setting, rows: int, repeats: int, seed: int = 0) -> Bold:
    rng = np.random.default_rng(seed)
    missing = []
    for _ in range(repeats):
        column = simulate(layout, setting, rng, (0.0,) * rows)
        plan = design(column[0])
        values = {
            str(row): replicates(pooled, plan, "balanced_accuracy") for row, pooled in enumerate(column)
        }
        missing.append(rows - len(best_of(values, plan.folds, "balanced_accuracy")))
    return Bold(float(np.mean(missing)) / rows, float(np.mean(np.array(missing) > 0)))


def lines(layout: Layout, repeats: int) -> Iterator[str]:
    few = repeats // 4
    yield f"Balanced accuracy, {repeats} experiments a row:\n"
    yield "| setting | truth | scatter | width | covered | truth above / below |"
    yield "|---|---|---|---|---|---|"
    for setting in SETTINGS:
        found = coverage(layout, setting, [HEADLINE], repeats)[HEADLINE]
        yield (
            f"| {setting.name} | {found.truth:.3f} | {found.scatter:.3f} | {found.width:.3f} "
            f"| {found.covered:.1%} | {found.above:.1%} / {found.below:.1%} |"
        )
    yield f"\nCoverage of the others in the same settings, {few} experiments a row:\n"
    yield "| setting | " + " | ".join(metric.replace("_", " ") for metric in OTHERS) + " |"
    yield "|---" * (1 + len(OTHERS)) + "|"
    for setting in SETTINGS:
        by_metric = coverage(layout, setting, OTHERS, few)
        yield f"| {setting.name} | " + " | ".join(_covered(by_metric[m]) for m in OTHERS) + " |"
    yield f"\nThe paired test on balanced accuracy, {repeats} pairs for false alarms, {few} for the rest:\n"
    yield "| setting | shared | false alarms | 5 points seen | intervals apart at 5 points | their mean |"
    yield "|---|---|---|---|---|---|"
    weak, middling = (each for each in SETTINGS if each.name in ("weak, labels decide", "middling"))
    hardest = [replace(weak, shared=0.0), replace(middling, shared=0.0), replace(middling, shared=0.5)]
    for setting in (*hardest, *SETTINGS):
        equal = significant(layout, setting, 0.0, repeats)
        better = significant(layout, setting, lift_of(layout, setting, 0.05), few, seed=1)
        yield (
            f"| {setting.name} | {setting.shared:.0%} | {equal.seen:.1%} "
            f"| {better.seen:.0%} | {better.apart:.0%} | {100 * better.difference:.1f} |"
        )
    yield f"\nBold in a column of equally good methods, {few} columns a row:\n"
    yield "| setting | rows | a given row is not bold | some row is not bold |"
    yield "|---|---|---|---|"
    for setting in SETTINGS:
        for rows in (2, 10) if setting.name == "middling" else (10,):
            seen = bold(layout, setting, rows, few)
            yield f"| {setting.name} | {rows} | {seen.without:.1%} | {seen.some_without:.1%} |"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=1000, help="experiments a row")
    for line in lines(herlev(), parser.parse_args().repeats):
        print(line, flush=True)


if __name__ == "__main__":
    main()

"""The parts beneath a table that a reader can unfold: what is known of its rows, and their records."""

from collections.abc import Callable, Sequence

from cervbench.leaderboard.cells import FEWEST_GROUPS, Cell, Details
from cervbench.leaderboard.tables import Line, Table
from cervbench.markup.escaping import link, markdown
from cervbench.markup.text import figure, grid, number
from cervbench.scoring.classification import HEADLINE
from cervbench.scoring.metrics import METRICS

Known = Sequence[tuple[Line, Details]]


def of_rows(table: Table) -> list[str]:
    """What is known of its rows at its largest ratio; nothing if no row has all folds there."""
    known = [(line, line.details) for line in table.lines if line.details]
    return [tell(table, known) for tell in (others, class_wise, taken_for)] if known else []


def others(table: Table, known: Known) -> str:
    """The metrics that have no table of their own, at the largest ratio."""
    shown = {
        name: METRICS[name]
        for name in known[0][1].others
        if any(own.others[name].value is not None for _, own in known)
    }
    header = ["method", *(metric.heading + " ↓" * metric.lower_is_better for metric in shown.values())]
    rows = [
        [
            markdown(line.name),
            *(figure(own.others[name], per_cent=metric.unit == "%") for name, metric in shown.items()),
        ]
        for line, own in known
    ]
    note = "↓: lower is better."
    if abnormal := table.sample.task.abnormal:
        classes = known[0][1].classes
        share = sum(classes[name].images for name in abnormal) / sum(own.images for own in classes.values())
        note += (
            " Sensitivity, specificity, precision and average precision are of abnormal against normal, the "
            f"first three at a probability of one half; {number(100 * share, 1)} % of the images are "
            "abnormal, which is the precision, and the average precision, of a guess."
        )
    summary = f"Other metrics, at {table.ratios[-1]} % of the labels"
    return unfolded(summary, f"{grid(header, rows)}\n\n{note}")


def seed_by_seed(table: Table) -> str:
    """The headlines of which those of rows over several seeds are the means."""
    seeds = table.key.contest.seeds
    rows = [
        [markdown(line.name), *(_of_seeds(line.cells.get(ratio)) for ratio in table.ratios)]
        for line in table.lines
        if line.row.seeds == seeds
    ]
    header = ["method", *(f"{ratio} %" for ratio in table.ratios)]
    summary = f"Balanced accuracy of seeds {' · '.join(map(str, seeds))}, one by one, %"
    return unfolded(summary, grid(header, rows))


def _of_seeds(cell: Cell | None) -> str:
    return " · ".join(figure((one,)) for one in cell.by_seed[HEADLINE]) if cell else ""


def class_wise(table: Table, known: Known) -> str:
    """Recall by class at the largest ratio, with the images and groups that each class rests on."""
    classes = table.sample.task.classes
    one = known[0][1].classes
    groups_known = table.sample.task.groups_known
    header = ["method"]
    for name in classes:
        groups = f", {one[name].groups} groups" if groups_known else ""
        header.append(f"{markdown(name)}<br>{one[name].images} images{groups}")
    rows = [
        [markdown(line.name), *(figure(own.classes[name].recall) for name in classes)] for line, own in known
    ]
    note = f"A class in fewer than {FEWEST_GROUPS} groups bears no interval." if groups_known else ""
    return unfolded(
        f"Recall class by class, at {table.ratios[-1]} % of the labels", f"{grid(header, rows)}\n\n{note}"
    )


def taken_for(table: Table, known: Known) -> str:
    """What the images of each class were taken for, by the first row and by that without a pretext stage."""
    classes = table.sample.task.classes
    header = ["truth, images", *map(markdown, classes)]
    parts = []
    for line, own in known:
        if line in (known[0][0], table.base):
            rows = [
                [f"{markdown(name)}, {sum(counts):.0f}", *map(_per_cent_of(sum(counts)), counts)]
                for name, counts in zip(classes, own.confusion, strict=True)
            ]
            parts.append(f"{markdown(line.name)}\n\n{grid(header, rows)}")
    note = "Per cent of the images of a class, whose number stands beside it; means over draws and seeds."
    summary = f"What was taken for what, at {table.ratios[-1]} % of the labels"
    return unfolded(summary, "\n\n".join([*parts, note]))


def _per_cent_of(images: float) -> Callable[[float], str]:
    return lambda count: f"{100 * count / images:.0f}" if images else "–"


def records(table: Table, folder: str) -> str:
    """A link to every record, so that each number of the table can be traced."""
    lines = []
    for line in table.lines:
        for place, seed in enumerate(line.row.seeds):
            ratios = (
                f"{ratio} %: "
                + " ".join(
                    f"[{fold}]({link(f'{folder}/{of_seeds[place].id}.json')})"
                    for fold, of_seeds in sorted(by_fold.items())
                )
                for ratio, by_fold in sorted(line.row.records.items())
            )
            of = f", seed {seed}" if len(line.row.seeds) > 1 else ""
            lines.append(f"- {markdown(line.name)}{of}, folds at {'; '.join(ratios)}")
    return unfolded("Records", "\n".join(lines))


def unfolded(summary: str, content: str) -> str:
    return f"<details><summary>{summary}</summary>\n\n{content.strip()}\n\n</details>"

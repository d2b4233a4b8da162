"""The parts beneath a table that a reader can unfold: other metrics, recall by class, and the records."""

from collections.abc import Sequence

from cervbench.leaderboard.cells import FEWEST_GROUPS, Details
from cervbench.leaderboard.tables import Table
from cervbench.markup.escaping import link, markdown
from cervbench.markup.text import figure, grid, number
from cervbench.scoring.metrics import METRICS


def others(table: Table, known: Sequence[tuple[str, Details]]) -> str:
    """The metrics that have no table of their own, at the largest ratio."""
    shown = {
        name: METRICS[name]
        for name in known[0][1].others
        if any(own.others[name].value is not None for _, own in known)
    }
    header = ["method", *(metric.heading + " ↓" * metric.lower_is_better for metric in shown.values())]
    rows = [
        [
            markdown(row),
            *(figure(own.others[name], per_cent=metric.unit == "%") for name, metric in shown.items()),
        ]
        for row, own in known
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


def class_wise(table: Table, known: Sequence[tuple[str, Details]]) -> str:
    """Recall by class at the largest ratio, with the images and groups that each class rests on."""
    classes = table.sample.task.classes
    one = known[0][1].classes
    groups_known = table.sample.task.groups_known
    header = ["method"]
    for name in classes:
        groups = f", {one[name].groups} groups" if groups_known else ""
        header.append(f"{markdown(name)}<br>{one[name].images} images{groups}")
    rows = [[markdown(row), *(figure(own.classes[name].recall) for name in classes)] for row, own in known]
    note = f"A class in fewer than {FEWEST_GROUPS} groups bears no interval." if groups_known else ""
    return unfolded(
        f"Recall class by class, at {table.ratios[-1]} % of the labels", f"{grid(header, rows)}\n\n{note}"
    )


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

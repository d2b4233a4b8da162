"""The audit as a page."""

from collections.abc import Sequence

from cervbench.audit.findings import ALIKE, CONTROL, LOOKED_AT, OWN, RANDOM, SETTINGS, Audit, control_of
from cervbench.audit.ladder import Rung
from cervbench.markup.escaping import markdown
from cervbench.markup.text import grid, number


def page(audit: Audit) -> str:
    random, own, control = (audit.rung(name) for name in (RANDOM, OWN, CONTROL))
    parts = [
        f"# What a random split of {markdown(audit.variant)} leaks",
        f"{audit.labelled:,} labelled images in {len(audit.classes)} classes. "
        + (
            f"The group that folds keep together: {markdown(audit.group)}."
            if own
            else "Groups are not known here."
        ),
        "## The ladder",
        f"Accuracy when folds keep ever larger groups of images together. {SETTINGS}."
        + (
            " The last column has the same predictions in two classes, abnormal or not, as many papers do; "
            f"{number(100 * audit.abnormal, 1)} % of the images are abnormal."
            if audit.abnormal
            else ""
        ),
        _rungs("folds keep together", audit.ladder),
    ]
    if random and own and control:
        lost = 100 * (random.balanced_accuracy - own.balanced_accuracy)
        shared = 100 * (random.balanced_accuracy - control.balanced_accuracy)
        parts.append(
            f"Folds of random images give {number(lost, 1)} points of balanced accuracy more than folds that "
            "keep the card's group together. Groups of the same sizes and classes, dealt at random (the "
            f"control), account for {number(shared, 1)} of them: the rest, {number(lost - shared, 1)} "
            "points, is what images of one group know of each other beyond their class. Differences are "
            "taken before they are rounded."
            f"{_beside(audit, random)}{_wider(audit)}"
        )
    by_group = " by the card's group" if own else ""
    parts += [
        "## Without looking at the cell",
        f"The same folds{by_group}, from these alone:",
        _rungs("what is seen", audit.without_the_cell),
        "## Near-duplicates",
        f"Pairs of different groups on two sides of a fold whose pixels correlate at {ALIKE} or more, in any "
        f"of eight orientations, at 24 × 24 px: {audit.alike}{'+' if audit.alike >= LOOKED_AT else ''}. "
        "The closest are on the sheet of pictures beside this page (not committed where images may not be):",
        grid(
            ["one", "other", "classes", "correlation"],
            [
                [*map(markdown, (pair.one, pair.other, pair.labels)), number(pair.correlation, 4)]
                for pair in audit.pairs
            ],
        ),
        "## Groups a class is in",
        grid(["class", "groups"], [[markdown(name), str(groups)] for name, groups in audit.classes.items()]),
    ]
    return "\n\n".join(parts) + "\n"


def _beside(audit: Audit, random: Rung) -> str:
    """How uncertain that is: rungs beside the card's own show it better than the spread over seeds."""
    names = [rung.together for rung in audit.ladder]
    place = names.index(OWN)
    beside = [
        100 * (random.balanced_accuracy - rung.balanced_accuracy)
        for rung in audit.ladder[place - 1 : min(place + 3, names.index(CONTROL))]
        if rung.together not in (RANDOM, OWN)
    ]
    if not beside:
        return ""
    least, most = (number(points, 1) for points in (min(beside), max(beside)))
    return (
        f" Where groups are cut finer or wider, by the rungs beside it, the whole is {least} to {most} "
        "points: which groups there happen to be moves it, and the spread over seeds, which is that of "
        "dealing the same groups anew, does not show it."
    )


def _wider(audit: Audit) -> str:
    """What images of a wider group know of each other beyond their class."""
    told = [
        f"{markdown(rung.together)}, {number(100 * (control.balanced_accuracy - rung.balanced_accuracy), 1)}"
        for rung in audit.ladder
        if rung.together != OWN and (control := audit.rung(control_of(rung.together)))
    ]
    return f" The same difference to its own control, for wider groups: {'; '.join(told)}." if told else ""


def _rungs(head: str, rungs: Sequence[Rung]) -> str:
    rows = [
        [
            f"**{markdown(rung.together)}**" if rung.together == OWN else markdown(rung.together),
            str(rung.groups),
            *(number(100 * share, 1) for share in (rung.accuracy, rung.balanced_accuracy, rung.spread)),
            *([] if rung.abnormal_accuracy is None else [number(100 * rung.abnormal_accuracy, 1)]),
        ]
        for rung in rungs
    ]
    heads = [head, "groups", "accuracy, %", "balanced accuracy, %", "sd over seeds"]
    in_two = ["accuracy in two, %"] if any(rung.abnormal_accuracy is not None for rung in rungs) else []
    return grid(heads + in_two, rows)

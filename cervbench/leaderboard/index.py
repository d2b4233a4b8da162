"""The index of the pages: what they are, how to read them, and the best of every table of real images."""

from collections.abc import Sequence
from pathlib import Path

from cervbench.leaderboard.tables import Line, Table, title
from cervbench.leaderboard.variant_page import MARK
from cervbench.leaderboard.variants import Variant
from cervbench.markup.escaping import link, markdown
from cervbench.markup.text import figure, grid
from cervbench.scoring.classification import HEADLINE

_ABOUT = """# Leaderboards

How well self-supervised methods learn from cervical images when labels are scarce. Every score, interval and
test on these pages was computed from stored predictions; images forwarded and time are what the machine that
ran it says. Each table links to the records that it rests on. In this folder, `cervbench verify {home}`
computes them again, and `cervbench leaderboard check --records {home}{options}` compares the pages too."""

_READING = """## How to read the tables

- A table holds one variant of a dataset, tier, backbone, initialisation and evaluation, under one revision of
  the training rules; figures of two tables answer two questions. Tiers are budgets: `smoke` tests the
  machinery, `quick` is minutes on two processor cores, `standard` is paper-grade.
- Rows of a table have the same pretraining seeds: 0, or those that its title names. Any two methods meet in a
  table of all the seeds that both have. A table says which of its rows are means over more seeds elsewhere:
  read those there. References without random weights stand beneath tables of any seeds.
- Charts of a page have one axis, and a row has the same colour and shape in all that rest on the same
  pretraining. A solid line without marks is the row that had no pretext stage, dashed ones are reference
  rows. With more than five methods, whiskers are drawn for the first of them and the solid line alone; all
  intervals are in the table.
- Rows are methods, in the order of their mean over the ratios that all of them have, or of their names
  where there is no such ratio; those that lack folds come last.
- Beneath a table stands what its numbers are. `folds` and `pack` are hashes: of which images are tested when,
  and of the pixels that were read, which may differ between copies of a dataset.
- Columns are shares of the labels that a method may see. `32 + 0 labels` are 32 of the training part and
  none of the validation part; a range where folds differ. Not all that is permitted is looked at: `knn` and
  `finetune` use no validation label, `linear` chooses its strength by them from 25 % on. What was not run is
  empty.
- A figure is the mean over the draws of labels, and over the seeds if there are several, on the test
  predictions of all folds: every image is tested once. Balanced accuracy pools the predictions of the folds;
  an AUC is taken fold by fold, then the mean.
- Brackets hold the 95 % interval. It covers other groups of images (a jackknife within folds) and, where
  there are several, other draws of labels and other seeds; it is conditional on the training images and,
  where there is one, on the seed of the pretraining.
  A table with one draw says so beneath: its intervals are conditional on that one order of the labels too,
  and would be wider if they covered others. Overlapping intervals are not a test.
- **Bold** scores are the best of a column and all that a paired test does not tell from it, on the same
  groups, draws and seeds, corrected for the number of rows of the column (Holm): what is truly best is bold
  in 95 columns of a hundred or more, while of several rows that are equally good one may well not be. Since
  the test is paired, a row may be bold beside one of a higher figure that is not: its distance from the
  best is less certain. The test is conditional on what the intervals are conditional on. A row that lacks
  folds is not ranked, and a method that alone has all of them is not bold.
- Below the scores: how far each method is above the same encoder without its pretext stage, on the same
  groups, draws and seeds. The interval is for that row alone, and one that contains 0 shows no difference.
  **Bold** differences, above or below, remain when they are corrected for the number of rows in the column
  (Holm). Those of the AUC unfold beneath the table.
- Reference rows need no pretraining on these images: the majority class, width and height, colour,
  an untrained encoder, ImageNet's features. They are not in the test that makes scores bold; how far each
  method is above the best of them stands below, bold by the same correction. A method that is not above it
  has not shown that it uses more than a crop's size, its colours or untrained weights give away; and the
  size is given to `image-size` alone, while an encoder sees crops that were scaled to one size. `majority`
  answers with the commonest class of a fold's train part: where that differs from fold to fold, it is
  below one over the number of classes.
- Off protocol (`--all`), rows whose pretext stages alone are changed share a table, whatever the change: each
  says its own, and what is bold is bold among all of them.
- What can be unfolded beneath a table: the figures of each seed, where it shows their means; at its largest
  share of labels the other metrics, the recall of each class, and what was taken for what by the first row
  and by that without a pretext stage; and the records of every row. `cervbench leaderboard figures` gives
  all figures, but for what was taken for what, as data.
- Equal epochs are not equal compute: the images that went forward through an encoder in pretraining, or
  through a copy that follows it, each patch, turn and crop for itself, and the time (by the clock of a
  machine that may have had other work), medians over folds and seeds, stand in the first table. A small
  image counts as a large one does, and one of which MAE hides three quarters as a whole one."""


SPEED = {
    "throughput.md": "how fast pretext stages train, beside the model alone",
    "peers.md": "the same recipe through other libraries",
}
"""The pages that `cervbench bench` may have written to the same folder, and what the index says of them."""


def index(
    variants: Sequence[Variant], speed: Sequence[str], audits: Sequence[str], home: str, everything: bool
) -> str:
    """`speed` and `audits` are other pages in the folder, by file; `home` leads from it to the records."""
    options = ("" if home == "." else " --pages .") + " --all" * everything
    real = [variant for variant in variants if not variant.synthetic]
    synthetic = [variant for variant in variants if variant.synthetic]
    parts = [MARK, _ABOUT.format(home=home, options=options)]
    if not variants:
        parts.append("There are no records yet: `cervbench run` makes them.")
    if real:
        parts += ["## Datasets", *map(_summary, real)]
    if synthetic:
        parts += [
            "## Synthetic images",
            "Drawn by a procedure, to exercise the machinery. They say nothing about cells.",
            "\n".join(f"- [{markdown(variant.name)}]({link(variant.file)})" for variant in synthetic),
        ]
    if audits:
        lines = [f"- [{markdown(Path(file).stem)}]({link(file)})" for file in audits]
        parts += ["## Audits", "What a random split would leak.", "\n".join(lines)]
    if speed:
        lines = [f"- [{file.removesuffix('.md')}]({file}): {SPEED[file]}" for file in speed]
        parts += ["## Speed", "\n".join(lines)]
    return "\n\n".join([*parts, _READING]) + "\n"


def _summary(variant: Variant) -> str:
    """The best row of each table with the fewest labels and with the most, beside the best reference row."""
    rows = []
    for table in variant.tables:
        where = f"[{markdown(title(table))}]({link(variant.file)}#{table.digest})"
        ends = [
            show(table, ratio)
            for ratio in (table.ratios[0], table.ratios[-1])
            for show in (_best, _best_reference)
        ]
        lacking = sum(not line.whole for line in table.ranked)
        ranked = f"{len(table.ranked) - lacking}{f' and {lacking} lacking folds' if lacking else ''}"
        rows.append([where, ranked, *ends])
    header = ["balanced accuracy, %", "ranked rows"]
    header += [
        "best with the fewest labels",
        "reference row there",
        "best with the most",
        "reference row there",
    ]
    return f"### [{markdown(variant.name)}]({link(variant.file)})\n\n{grid(header, rows)}"


def _best(table: Table, ratio: int) -> str:
    if table.unrankable:
        return "not ranked" if table.ranked else "–"
    bold = table.best.get((HEADLINE, ratio), frozenset())
    whole = [line for line in table.ranked if line.row.complete(ratio)]
    shown = whole if len(whole) == 1 else [line for line in whole if line.name in bold]
    shown.sort(key=lambda line: -(line.cells[ratio].value(HEADLINE) or 0.0))
    if not shown:
        return "–"
    first, others = shown[0], len(shown) - 1
    tied = f", and {others} not told from it" if others else ""
    return f"{_named(first, ratio)}{tied}"


def _best_reference(table: Table, ratio: int) -> str:
    name = table.best_reference.get(ratio)
    return next((_named(line, ratio) for line in table.references if line.name == name), "–")


def _named(line: Line, ratio: int) -> str:
    return f"{markdown(line.name)} {figure(line.cells[ratio].figures[HEADLINE])} at {ratio} %"

"""The page of a variant, as Markdown."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from cervbench.leaderboard import details
from cervbench.leaderboard.rows import Row
from cervbench.leaderboard.tables import Best, Line, Table, seeds_of, title
from cervbench.markup.escaping import link, markdown
from cervbench.markup.text import duration, figure, grid
from cervbench.scoring.classification import HEADLINE
from cervbench.scoring.comparison import SIGNIFICANCE, Difference
from cervbench.scoring.metrics import METRICS

MARK = "<!-- Written by `cervbench leaderboard build` from the records beside it: edits are lost. -->"


def page(
    variant: str,
    introduction: Sequence[str],
    tables: Sequence[Table],
    charts: Mapping[str, str],
    records: str,
) -> str:
    """`charts` are files, by the digest of their table; `records` is a path from the page to the records."""
    top = "[All datasets, and how to read the tables](README.md)"
    contents = " · ".join(f"[{markdown(title(table))}](#{table.digest})" for table in tables)
    parts = [MARK, f"# {markdown(variant)}", top, *introduction, f"Tables: {contents}"]
    for table in tables:
        parts.append(f'<a id="{table.digest}"></a>\n\n## {markdown(title(table))}')
        parts.append(f"![{_drawn(table)}]({link(charts[table.digest])})")
        for metric in table.metrics:
            parts.append(f"**{_capital(METRICS[metric].heading)}**\n\n{_figures(table, metric)}")
        if any(HEADLINE in line.gains for line in table.lines):
            parts.append(f"**{_above_base(table, HEADLINE)}**\n\n{_gains(table, HEADLINE)}")
        if any(line.above_reference for line in table.lines):
            parts.append(_above_references(table))
        parts.append(_conditions(table, tables))
        parts += [
            details.unfolded(_above_base(table, metric), _gains(table, metric))
            for metric in table.metrics
            if metric != HEADLINE and any(metric in line.gains for line in table.lines)
        ]
        if len(table.key.contest.seeds) > 1:
            parts.append(details.seed_by_seed(table))
        parts += details.of_rows(table)
        parts.append(details.records(table, records))
    return "\n\n".join(parts) + "\n"


def _drawn(table: Table) -> str:
    """For whoever does not see the chart."""
    return markdown(
        f"Balanced accuracy by share of labels, {title(table)}: lines of rows whose figures are in the table "
        "below"
    )


def _capital(words: str) -> str:
    return words[0].upper() + words[1:]


def _figures(table: Table, metric: str) -> str:
    """The table of the first metric also says what the rows cost."""
    header = ["method", *(f"{ratio} %<br>{_label_counts(table, ratio)}" for ratio in table.ratios)]
    if metric == table.metrics[0]:
        header.append("images forwarded<br>in pretraining, time")
    rows = [_row(line, table, metric, table.best) for line in table.ranked]
    if table.references:
        rows.append(["*reference rows, not ranked*", *[""] * (len(header) - 1)])
        rows += [_row(line, table, metric, {}) for line in table.references]
    return grid(header, rows)


def _gains(table: Table, metric: str) -> str:
    p_values = table.p_of_gains.get(metric, {})
    rows = [
        _gained(line.name, line.gains[metric], table.ratios, p_values)
        for line in table.ranked
        if metric in line.gains
    ]
    header = ["method", *(f"{ratio} %" for ratio in table.ratios)]
    return grid(header, rows)


def _above_base(table: Table, metric: str) -> str:
    """What `gains` are of: the same encoder without a pretext stage."""
    base = "the untrained encoder" if table.sample.evaluation.frozen else "training from scratch"
    if table.key.init != "random":
        base = "the weights it started from"
    return f"{_capital(METRICS[metric].title)} above {base}, paired, points"


def _above_references(table: Table) -> str:
    """How far methods are above the best row that needs no pretraining on these images."""
    rows = [
        _gained(line.name, line.above_reference, table.ratios, table.p_above_reference)
        for line in table.ranked
        if line.above_reference
    ]
    names = {ratio: f"<br>{markdown(name)}" for ratio, name in table.best_reference.items()}
    header = ["method", *(f"{ratio} %{names.get(ratio, '')}" for ratio in table.ratios)]
    return f"**Balanced accuracy above the best reference row, paired, points**\n\n{grid(header, rows)}"


def _gained(
    name: str,
    gains: Mapping[int, Difference],
    ratios: Sequence[int],
    p_values: Mapping[tuple[str, int], float],
) -> list[str]:
    bold = {ratio: p_values.get((name, ratio), 1.0) <= SIGNIFICANCE for ratio in ratios}
    return [markdown(name), *(_gain(gains.get(ratio), bold[ratio]) for ratio in ratios)]


def _gain(shown: Difference | None, bold: bool) -> str:
    """`+4.2 [−0.3, +8.7]`: the interval is for this row alone, bold is corrected for the number of rows."""
    return figure(shown[:3], bold, signed=True) if shown else ""


def _row(line: Line, table: Table, metric: str, best: Best) -> list[str]:
    cells = [_cell(line, ratio, metric, line.name in best.get((metric, ratio), ())) for ratio in table.ratios]
    cost = [_cost(line.row)] if metric == table.metrics[0] else []
    return [markdown(line.name), *cells, *cost]


def _cost(row: Row) -> str:
    images, seconds = row.images_forwarded, row.pretext_seconds
    told = [f"{images:,.0f}"] if images is not None else []
    return "<br>".join([*told, *([duration(seconds)] if seconds is not None else [])]) or "–"


def _cell(line: Line, ratio: int, metric: str, bold: bool) -> str:
    cell = line.cells.get(ratio)
    if cell is None:
        return ""
    text = figure(cell.figures[metric], bold)
    if line.row.complete(ratio):
        return text
    return f"{text}<br>only {_folds(sorted(line.row.records[ratio]))} of {line.row.folds}"


def _folds(numbers: Sequence[int]) -> str:
    return f"fold{'s' if len(numbers) > 1 else ''} {', '.join(map(str, numbers))}"


def _label_counts(table: Table, ratio: int) -> str:
    """`32 + 0 labels` of train and val; a range if folds differ."""
    records = table.records_at(ratio)
    train = _range(record.train_labels for record in records)
    return f"{train} + {_range(record.val_labels for record in records)} labels"


def _range(counts: Iterable[int]) -> str:
    known = sorted(set(counts))
    return str(known[0]) if len(known) == 1 else f"{known[0]}–{known[-1]}"


def _conditions(table: Table, tables: Sequence[Table]) -> str:
    """A paragraph that says under which conditions the numbers of a table were obtained."""
    run, task = table.sample.run, table.sample.task
    said = [
        f"{markdown(run.dataset.variant)}, tier {markdown(run.protocol.tier)}, "
        f"protocol v{run.protocol.version}"
        f" (folds {markdown(run.dataset.manifest)}), training rules {run.protocol.rules}",
        f"images of {run.protocol.image_size} px{_budget(table)}",
        f"{table.lines[0].row.folds} folds, {_draws(table)}",
        f"{table.images:,} test images (pack {_packs(table)})"
        + (f" in {table.groups:,} groups" if task.groups_known else ", groups unknown"),
        _intervals(table),
        _pooling(table),
        _seeds(table, tables),
        _devices(table),
        _collapsed(table),
        _changed_code(table),
    ]
    if table.key.init.startswith("file:"):  # the sample can be a reference that began otherwise
        said.append(f"**begun from a file of weights**{_seen_before(table)}")
    if off := sorted({change for line in table.lines for change in line.row.sample.run.protocol.off}):
        said.append(f"off protocol: {markdown(', '.join(off))}")
    if table.unrankable:
        verdict = f"**Shown, not ranked**: {markdown(table.unrankable)}."
    elif table.best:
        verdict = (
            "Bold scores: the best of a column, and all that the paired test does not tell from it (Holm "
            "over it); bold differences: other than 0 by the same test and correction."
        )
    else:
        verdict = "No score is bold: fewer than two methods have all folds."
        if any(line.gains or line.above_reference for line in table.lines):
            verdict += " Bold differences: other than 0 by the paired test, corrected (Holm)."
    return f"<sub>{'; '.join(part for part in said if part)}. {verdict}</sub>"


def _packs(table: Table) -> str:
    """Hashes of the pixels, which can differ between copies of a dataset in different file formats."""
    packs = {line.row.sample.run.dataset.pack for line in table.lines}
    return markdown(", ".join(sorted(packs)))


def _intervals(table: Table) -> str:
    """What the intervals cover. Below 100 % that depends on how many label orders were tried."""
    if not table.sample.task.groups_known:
        return "no intervals: which images depend on each other is not known"
    draws = {cell.draws for line in table.lines for ratio, cell in line.cells.items() if ratio < 100}
    several = len(table.key.contest.seeds) > 1
    crossed = ["the label draws"] * bool(draws and 1 not in draws) + ["the pretraining seeds"] * several
    given = ["the pretraining seed"] * (not several) + ["the training images"]
    said = "in brackets 95 % intervals: a jackknife over the groups of each fold"
    said += f", crossed with {' and '.join(crossed)}" * bool(crossed)
    if 1 in draws:
        return (
            f"{said}, conditional on {', '.join(given)} and, below 100 %, on the one order in which labels "
            "were uncovered, as is the paired test: they say nothing of other labels"
        )
    return f"{said}, conditional on {' and '.join(given)}"


def _budget(table: Table) -> str:
    """How long the pretext stages are, if they are equally long in all rows."""
    budgets = [line.row.sample.run.protocol.pretext for line in table.lines]
    alike = {(budget.epochs, budget.batch_size) for budget in budgets if budget}
    if len(alike) != 1:
        return ""
    [(epochs, batch)] = alike
    return f", pretext stages of {epochs} epochs in batches of {batch}"


def _draws(table: Table) -> str:
    by_ratio = {ratio: cell.draws for line in table.lines for ratio, cell in line.cells.items()}
    counts = sorted(set(by_ratio.values()), reverse=True)
    if len(counts) == 1:
        return f"{counts[0]} draw{'s' if counts[0] > 1 else ''} of labels"
    each = (
        f"{count} at {', '.join(f'{ratio} %' for ratio in sorted(by_ratio) if by_ratio[ratio] == count)}"
        for count in counts
    )
    return f"draws of labels: {'; '.join(each)}"


def _seeds(table: Table, tables: Sequence[Table]) -> str:
    """Also which rows stand elsewhere over more seeds, and which references lack some of these."""
    told = f"{'means over ' * (len(table.key.contest.seeds) > 1)}{seeds_of(table)}"
    titles = {other.digest: seeds_of(other) for other in tables}
    for digest, lines in table.over_more_seeds(tables).items():
        names = markdown(", ".join(line.name for line in lines))
        told += f"; **of {names} there are [means over {titles[digest]}](#{digest})**"
    if lacking := table.lacks(tables):
        told += f"; **not a reference here, for want of these seeds: {markdown(', '.join(lacking))}**"
    return told


def _seen_before(table: Table) -> str:
    """Weights that were trained on test images, even without labels, may do better on them."""
    told = [line.row.tests_seen for line in table.lines if line.row.sample.run.init == table.key.init]
    if None in told and not any(told):
        return ": nobody here knows which of these images it has seen"
    return f" that had been trained on {max(filter(None, told), default='none')} of the images tested here"


def _pooling(table: Table) -> str:
    """How maps or tokens become a vector, or what else is evaluated, with names where rows differ."""
    rows: dict[str, list[str]] = defaultdict(list)
    for line in table.lines:
        every = [one for seen in line.row.observed.values() for one in seen]
        for how in sorted({str(one["pooling"]) for one in every if "pooling" in one}):
            rows[how].append(line.name)
    usual, *others = sorted(rows, key=lambda how: -len(rows[how])) or [""]
    told = [usual, *(f"of {', '.join(rows[how])} {how}" for how in others)]
    return f"evaluated: {markdown('; '.join(told))}" if usual else ""


def _collapsed(table: Table) -> str:
    """Folds in which methods collapsed: a low figure may then not be the fault of the method's idea."""
    collapsed = [line for line in table.ranked if line.row.collapsed and not line.row.baseline]
    found = [f"{line.name} in {_folds(line.row.collapsed)}" for line in collapsed]
    return f"**collapsed while it was pretrained**: {markdown('; '.join(found))}" if found else ""


def _changed_code(table: Table) -> str:
    changed = [line.name for line in table.lines if line.row.of_changed_code]
    told = "**folds or seeds of different code of the method, or of its backbone, under one `revision`**"
    return f"{told}: {markdown(', '.join(changed))}" if changed else ""


def _devices(table: Table) -> str:
    seen = {device for line in table.lines for device in line.row.devices}
    return f"computed on {markdown(', '.join(sorted(seen)))}" if seen else ""

"""The page of the throughput benchmark, which is made from its rows alone."""

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from cervbench.atomic import write_text
from cervbench.bench.chart import chart
from cervbench.bench.measurement import merged, one_at_a_time, read, write
from cervbench.bench.rows import Row, missing
from cervbench.markup.escaping import markdown
from cervbench.markup.text import grid

MARK = "<!-- Written by `cervbench bench throughput` from throughput.json beside it: edits are lost. -->"
ROWS, PAGE, CHART = "throughput.json", "throughput.md", "charts/throughput.svg"

_ABOUT = """# Throughput

How fast a pretext stage trains, end to end, beside the **ceiling**: the same loop, method and optimiser on
one batch that is on the device already. What lies between the two is what views and pack cost."""

_COUNTED = """## What is counted

- **views/s**: N images of two views are 2 N. Divided by the views of an image they are samples/s, as others
  count them. What a method makes of a view is not in the count: jigsaw cuts it into nine patches, rotation
  shows it in four turns, and all of them go through the model. So between methods views/s compare what a view
  costs, not what a forward pass does.
- End to end is what `cervbench run` does: pack, feed, views, stage, the one training loop, on the train
  images of fold 0. It takes turns of some steps with the ceiling, in rounds; rates are medians over rounds,
  **share** is the median of the rounds' own ratios, and so not quite the ratio of the two rates. Before,
  both are warmed up and the sizes that views ask for are made; the clock is read only after waiting for the
  device.
- **of matmul** is the part of the device's matmul rate that the model reaches at the ceiling: the operations
  of its matrix products and convolutions, forward and backward, against the best square product of some
  sizes in the same precision.
- Milliseconds a step are measured in a pass of their own that waits after every phase: forward with the loss,
  backward with the clipping of gradients, the optimiser; the rest is the loop's and the method's own.
- Memory is the peak of the device, on a processor that of the whole process, libraries included."""


def publish(out: Path, fresh: Sequence[Row] = ()) -> list[Path]:
    """Merge rows with those in a folder, and write all of them with their page and their chart."""
    with one_at_a_time(out / ROWS):
        rows = merged(read(out / ROWS, Row), fresh)
        write(out / ROWS, rows)
        write_text(out / PAGE, page(rows))
        write_text(out / CHART, chart(rows, MARK))
    return [out / PAGE, out / CHART, out / ROWS]


def page(rows: Sequence[Row]) -> str:
    """The page of rows that come in the order of their keys."""
    parts = [MARK, _ABOUT]
    if rows:
        parts.append(f"![Views a second, end to end and at the ceiling]({CHART})")
    for device, group in groupby(rows, key=lambda row: row.where.device):
        parts.append(f"## {markdown(device)}")
        ordered = sorted(group, key=_conditions)  # equal conditions keep the order of the keys
        parts += [_table(said, list(alike)) for said, alike in groupby(ordered, key=_conditions)]
    if wanted := missing(rows):
        parts.append(
            "## Not measured yet\n\nWanted of a GPU, and no GPU was at hand so far (`make bench-gpu` "
            "measures them in one call):\n\n" + "\n".join(f"- {markdown(setup)}" for setup in wanted)
        )
    return "\n\n".join([*parts, _COUNTED]) + "\n"


def _conditions(row: Row) -> str:
    """What the numbers of a row depend on, apart from its key."""
    versions = ", ".join(
        f"{name} {row.where.versions[name]}" for name in ("torch", "timm") if name in row.where.versions
    )
    host = "" if row.where.device.startswith("cpu") else f"host {row.where.host}; "
    threads = f"{row.where.threads} thread{'s' if row.where.threads > 1 else ''}"
    return f"{host}{row.where.precision}, {threads}, {versions}; images of {row.dataset}"


def _table(conditions: str, rows: Sequence[Row]) -> str:
    phases = list(dict.fromkeys(phase for row in rows for phase in row.seconds_per_step))
    header = ["method · backbone", "px", "batch", "rounds × steps", "views/s", "ceiling", "share"]
    header += ["of matmul", "matmul rate", "memory", *(f"{markdown(phase)}, ms" for phase in phases)]
    cells = [
        [
            markdown(row.setup.name),
            str(row.size),
            f"{row.batch} × {row.views}",
            f"{row.rounds} × {row.steps}",
            f"{row.views_per_second:,.0f}",
            f"{row.ceiling_views_per_second:,.0f}",
            f"{100 * row.ratio:.0f} %",
            f"{100 * row.share_of_matmul:.0f} %",
            _flops(row.matmul_flops_per_second),
            f"{row.peak_memory_bytes / 1e9:.1f} GB",
            *(f"{1000 * row.seconds_per_step.get(phase, 0):.1f}" for phase in phases),
        ]
        for row in rows
    ]
    return f"{grid(header, cells)}\n\n<sub>{markdown(conditions)}</sub>"


def _flops(rate: float) -> str:
    return f"{rate / 1e12:,.0f} TFLOP/s" if rate >= 1e13 else f"{rate / 1e9:,.0f} GFLOP/s"

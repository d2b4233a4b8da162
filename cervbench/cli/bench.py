"""`cervbench bench`: how fast training is on this machine."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cervbench import place
from cervbench.cli import options, parsing
from cervbench.cli.errors import Failed
from cervbench.cli.output import stdout_alone, tell
from cervbench.plugin.manager import plugins

if TYPE_CHECKING:
    from cervbench.bench.peers.findings import PeerComparison
    from cervbench.bench.rows import Row
    from cervbench.bench.setups import Setup
    from cervbench.bench.workload import Bench

PEERS = ("lightly", "kornia")


@click.group()
def bench() -> None:
    """Measure how fast training is on this machine, beside the bare model and beside other libraries."""


_shared = options.together(
    click.option(
        "--dataset", help="Where images are from.  [default: herlev if it is there, else synthetic]"
    ),
    options.data_root,
    options.device,
    click.option("--rounds", type=click.IntRange(min=1), default=5, show_default=True),
    options.out,
    options.as_json(),
)


@bench.command()
@options.several(
    "--methods", parse=parsing.names, metavar="NAMES", help="[default: all with a pretext stage]"
)
@options.several("--backbones", parse=parsing.names, metavar="NAMES", help="[default: resnet18]")
@options.several("--sizes", parse=parsing.sizes, metavar="64,128", help="In pixels.  [default: 64]")
@click.option("--batch", type=click.IntRange(min=2), help="[default: 128]")
@click.option(
    "--steps",
    type=click.IntRange(min=1),
    help="Steps of one turn.  [default: as many as take 1.5 s, or 6 s on a GPU]",
)
@click.option(
    "--compile", "compiled", is_flag=True, help="With torch.compile, which takes minutes to warm up."
)
@options.settings("A setting, which each of the --methods must have.")
@click.option(
    "--wanted",
    is_flag=True,
    help="Measure the rows that the page wants of a GPU; other options narrow or change them.",
)
@_shared
def throughput(
    dataset: str | None,
    data_root: Path,
    device: str,
    rounds: int,
    steps: int | None,
    out: Path,
    as_json: bool,
    wanted: bool,
    **chosen: Any,
) -> None:
    """Measure views per second end to end, beside the same loop on a constant batch.

    Rows are merged with those in the output folder, so that each machine adds its own.
    """
    setups = Choice(**chosen).setups(wanted)
    from cervbench.bench.measurement import read
    from cervbench.bench.page import ROWS, publish
    from cervbench.bench.rows import Row
    from cervbench.bench.throughput import throughput as measure

    read(out / ROWS, Row)  # fails before measuring, if rows cannot be merged with it
    bench = _bench(dataset, data_root, device)
    paths: Sequence[Path] = ()
    with stdout_alone() as stdout:
        for row in measure(bench, setups, rounds, steps):
            tell(row.model_dump_json() if as_json else _row_in_words(row), stdout)
            paths = publish(out, [row])
    for path in paths:
        click.echo(path, err=True)


@bench.command()
@click.option("--size", type=click.IntRange(min=8), default=64, show_default=True, help="In pixels.")
@click.option("--batch", type=click.IntRange(min=2), default=128, show_default=True)
@click.option("--steps", type=click.IntRange(min=1), default=2, show_default=True, help="Steps of one turn.")
@_shared
def peers(
    dataset: str | None,
    data_root: Path,
    device: str,
    rounds: int,
    out: Path,
    as_json: bool,
    size: int,
    batch: int,
    steps: int,
) -> None:
    """Measure the same model, batch, size and views in lightly, kornia, torchvision v2 and cervbench."""
    if absent := [name for name in PEERS if find_spec(name) is None]:
        raise Failed(f"{' and '.join(absent)} not installed here: pip install 'cervbench[peers]'")
    from cervbench.bench.measurement import read
    from cervbench.bench.peers.comparison import compare
    from cervbench.bench.peers.findings import PeerComparison
    from cervbench.bench.peers.page import MEASURED, publish

    read(out / MEASURED, PeerComparison)  # fails before measuring, if rows cannot be merged with it
    bench = _bench(dataset, data_root, device)
    with stdout_alone():
        found = compare(bench, size, batch, rounds, steps, lambda doing: click.echo(doing, err=True))
    if as_json:
        click.echo(found.model_dump_json())
    else:
        click.echo(_in_words(found))
    for path in publish(out, [found]):
        click.echo(path, err=True)


def _row_in_words(row: "Row") -> str:
    return (
        f"{row.setup}: {row.views_per_second:,.0f} views/s, {100 * row.ratio:.0f} % of the ceiling's "
        f"{row.ceiling_views_per_second:,.0f}, which is {100 * row.share_of_matmul:.0f} % of the matmul rate "
        f"of {row.where.device}"
    )


def _in_words(found: "PeerComparison") -> str:
    versions = ", ".join(f"{name} {version}" for name, version in found.where.versions.items())
    lines = [f"{found.where.device}: {versions}"]
    for title, contestants in (("training, end to end", found.training), ("views alone", found.views)):
        lines.append(f"{title}, views/s, and how many times as fast cervbench is")
        lines += [f"  {c.views_per_second:>9,.0f} {c.ours_over_it:>7.2f}  {c.name}" for c in contestants]
    lines.append("lightly's recipe in each setting that was tried, views/s")
    lines += [f"  {rate:>9,.0f}          {name}" for name, rate in found.tried.items()]
    lines.append("what each library's views hold")
    return "\n".join([*lines, *(f"  {name}: {said}" for name, said in found.augmentations.items())])


@dataclass(frozen=True)
class Choice:
    """What the command line says of the setups to measure; None leaves it open."""

    methods: tuple[str, ...] | None
    backbones: tuple[str, ...] | None
    sizes: tuple[int, ...] | None
    batch: int | None
    compiled: bool
    settings: Mapping[str, Any]

    def __post_init__(self) -> None:
        if of_protocol := [key for key in self.settings if key.startswith("protocol.")]:
            raise click.UsageError(
                f"--set {of_protocol[0]}: for that there are --sizes, --batch and --compile"
            )

    def setups(self, wanted: bool) -> "list[Setup]":
        """Each once."""
        return list(dict.fromkeys(self._of_the_wanted() if wanted else self._every_combination()))

    def _every_combination(self) -> "list[Setup]":
        from cervbench.bench.setups import Setup

        methods = self.methods or tuple(
            name for name, entry in plugins().methods.items() if entry.offer.pretrains
        )
        return [
            Setup(method, backbone, size, self.batch or 128, self.compiled, self.settings)
            for size in self.sizes or (64,)
            for backbone in self.backbones or ("resnet18",)
            for method in methods
        ]

    def _of_the_wanted(self) -> "list[Setup]":
        """The rows that the page wants, narrowed to the given names and with the given values in them."""
        from cervbench.bench.setups import WANTED

        chosen = [
            replace(
                setup,
                size=size,
                batch=self.batch or setup.batch,
                compiled=self.compiled or setup.compiled,
                settings={**setup.settings, **self.settings},
            )
            for setup in WANTED
            if setup.method in (self.methods or (setup.method,))
            and setup.backbone in (self.backbones or (setup.backbone,))
            for size in self.sizes or (setup.size,)
        ]
        known = plugins().methods
        for name in dict.fromkeys(setup.method for setup in chosen if setup.method not in known):
            click.echo(f"{name} is wanted and not installed here: its rows are left out", err=True)
        here = [setup for setup in chosen if setup.method in known]
        if not here:
            raise click.UsageError(f"of the wanted rows none is left: {'; '.join(map(str, WANTED))}")
        return here


def _bench(dataset: str | None, data_root: Path, device: str) -> "Bench":
    from cervbench.bench.workload import Bench
    from cervbench.training.device import named_device, working_on

    at_hand = "herlev" if (data_root / "herlev").is_dir() else "synthetic"
    here = place.Place(data_root=data_root, device=device)
    chosen = named_device(device)
    click.get_current_context().with_resource(working_on(chosen))
    return Bench(dataset or at_hand, here, plugins(), chosen)

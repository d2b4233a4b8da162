"""`cervbench show`: what a record's classifier looks at."""

from pathlib import Path

import click

from cervbench import place
from cervbench.cli import options
from cervbench.plugin.manager import plugins
from cervbench.progress import shown_on_stderr
from cervbench.records.record import Record
from cervbench.records.store import Store


@click.command()
@click.argument("record", metavar="RECORD")
@click.option("--attention", is_flag=True, help="Draw test images, with a red frame around what weighs most.")
@click.option("--out", type=options.FOLDER, help="The folder to write to.  [default: attention-<id>]")
@click.option(
    "--count", type=click.IntRange(min=1), default=100, show_default=True, help="How many pictures."
)
@options.records
@click.option("--dataset", help="The manifest or folder, if the record's dataset is one of your own.")
@click.option("--init", help="The file of weights, if the record's encoder began from one.")
@options.data_root
@options.device
def show(
    record: str,
    attention: bool,
    out: Path | None,
    count: int,
    records: Path,
    dataset: str | None,
    init: str | None,
    data_root: Path,
    device: str,
) -> None:
    """Show what the classifier of a RECORD looks at.

    RECORD is the file or the id of a record of finetune, or of another evaluation that offers its classifier.
    The classifier is trained again from the kept encoder, with the first of its label orders. A patch is
    framed in red if it weighs more than the mean of its image; a table beside the pictures has all weights.
    """
    if not attention:
        raise click.UsageError("say what to show: --attention")
    found, store = _find(record, records)
    folder = out or Path(f"attention-{found.id}")
    from cervbench.attention import attention as of_record
    from cervbench.attention import draw

    files = {name: path for name, path in (("dataset", dataset), ("init", init)) if path}
    here = place.Place(data_root=data_root, out=store.root, device=device)
    with shown_on_stderr() as watch:
        looked = of_record(found, here, plugins(), watch, files)
    pictures = draw(looked, count, folder)
    click.echo(f"{len(pictures)} pictures and attention.csv: {folder.resolve()}")
    click.echo(
        "the classifier answers as the record says, bit for bit"
        if looked.apart == 0
        else f"the classifier was trained again and is not quite the record's: its answers are up to "
        f"{looked.apart:.2g} apart, since device, threads or versions are others",
        err=True,
    )


def _find(record: str, records: Path) -> tuple[Record, Store]:
    """The record with this file or, among the records of an output folder, with this id."""
    path = Path(record).absolute()
    if not path.is_file():
        of_id = [path for path in Store(records).paths() if path.stem == record]
        if not of_id:
            raise click.UsageError(f"{record} is no file of a record, and no id of one in {records}/records")
        path = of_id[0].absolute()
    store = Store.holding(path)
    return store.record(path), store

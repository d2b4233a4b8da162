"""What the pages of a folder show: by variant, its rows and their tables."""

from collections.abc import Iterable, Iterator, Sequence, Sized
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from cervbench.leaderboard.cache import Cache
from cervbench.leaderboard.figures import Figures
from cervbench.leaderboard.rows import Row, gather
from cervbench.leaderboard.seeds import over_seeds
from cervbench.leaderboard.table_rows import by_table
from cervbench.leaderboard.tables import Table, tables
from cervbench.leaderboard.workers import ALONE, Workers
from cervbench.markup.escaping import file_name, markdown
from cervbench.plugin.offers import CLASSIFICATION_SCHEMA
from cervbench.records.store import Store


@dataclass(frozen=True)
class Variant:
    """One variant as its page has it."""

    name: str
    figures: Figures
    tables: Sequence[Table]
    synthetic: bool
    left_out: Sequence[str]
    """Sentences that say which records its page leaves out."""

    @property
    def file(self) -> str:
        """The name of its page."""
        return f"{file_name(self.name)}.md"


def variants(
    store: Store, paths: Sequence[Path], cache: Cache, everything: bool = False, workers: Workers = ALONE
) -> Iterator[Variant]:
    """Each is made when it is asked for.

    Records that are off protocol or of the smoke tier are left out, unless a variant has no others
    or `everything` is asked for.
    """
    for name, records in groupby(paths, key=lambda path: path.parent.name):
        gathered = gather(store, list(records), cache, workers)
        synthetic = any(row.sample.run.dataset.synthetic for row in gathered)
        rows, left_out = _selected(gathered, everything)
        parts = by_table(over_seeds(rows))
        standing = list(dict.fromkeys(row for part in parts for row in part.all))
        figures = Figures(standing, store, cache, workers)
        if lost := _ids(rows) - _ids(standing):
            left_out.append(
                f"Left out: {_counted(lost)} of further seeds. A seed that lacks folds is in no table if "
                "others of its method have all, and a reference row stands with the seeds of ranked rows."
            )
        yield Variant(name, figures, tables(parts, figures), synthetic, left_out)


def _selected(gathered: Sequence[Row], everything: bool) -> tuple[list[Row], list[str]]:
    """The rows that a variant's page shows, and sentences that say what it leaves out."""
    rows = [row for row in gathered if row.sample.evaluation.schema_ == CLASSIFICATION_SCHEMA]
    said = []
    if others := [row for row in gathered if row.sample.evaluation.schema_ != CLASSIFICATION_SCHEMA]:
        names = sorted({row.sample.evaluation.name for row in others})
        said.append(
            f"{_counted(_ids(others))} of {markdown(', '.join(names))} have tables of predictions of another "
            "kind, which these pages cannot pool; their scores stand in the records."
        )
    full = [row for row in rows if not row.trial]
    if everything or not full:
        return rows, said
    if trials := [row for row in rows if row.trial]:
        said.append(
            f"{_counted(_ids(trials))} off protocol or of the smoke tier are left out; "
            "`--all` of `cervbench leaderboard` shows them in tables of their own."
        )
    return full, said


def _ids(rows: Iterable[Row]) -> set[str]:
    return {
        record.id
        for row in rows
        for by_fold in row.records.values()
        for of_seeds in by_fold.values()
        for record in of_seeds
    }


def _counted(ids: Sized) -> str:
    return f"{len(ids)} record{'s' if len(ids) > 1 else ''}"

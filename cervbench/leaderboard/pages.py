"""Write the pages of an output folder from its records, or check pages against them."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from cervbench.atomic import write_text
from cervbench.error import CervbenchError, first_few, warn_once
from cervbench.leaderboard.cache import Cache
from cervbench.leaderboard.charts import charts
from cervbench.leaderboard.index import SPEED, index
from cervbench.leaderboard.tables import Table
from cervbench.leaderboard.variant_page import MARK, page
from cervbench.leaderboard.variants import variants
from cervbench.leaderboard.workers import Workers
from cervbench.lock import locked
from cervbench.markup.escaping import file_name
from cervbench.place import cache_root
from cervbench.plugin.manager import Plugins
from cervbench.records.store import RecordError, Store
from cervbench.records.verify import verify_file

_SYNTHETIC = (
    "> **Synthetic images**, drawn by a procedure to exercise the machinery: "
    "these figures say nothing about cells."
)
_MISPLACED = "records lie in records/<variant>/<id>.json alone, so this is on no page; move or delete it"


class PagesError(CervbenchError):
    """A page cannot be written where it should be; the message says why and what to do."""


def build(
    out: Path,
    pages: Path | None = None,
    everything: bool = False,
    workers: int = 1,
    cache: Path | None = None,
) -> list[Path]:
    """Write the pages of an output folder, by default into that folder; returns their paths, the index first.

    A variant's page leaves out records that are off protocol or of the smoke tier, and says how many, unless
    it has no others or `everything` is asked for. Figures that are not in the cache are computed, by up to
    `workers` processes if there are many, and added to it. `cache` is by default the folder that
    `CERVBENCH_CACHE` names.
    """
    pages = pages or out
    if misplaced := Store(out).misplaced():
        warn_once(f"{first_few([*map(str, misplaced)])}: {_MISPLACED}")
    with _alone(pages):
        made = _render(out, Store(out).paths(), pages, everything, workers, cache or cache_root())
        for name in made:
            refuse_foreign(pages / name)
        for name, text in made.items():
            if _read(pages / name) != text:
                write_text(pages / name, text)
        for name in _ours(pages):
            if name not in made:
                (pages / name).unlink(missing_ok=True)
    return [pages / name for name in made]


def check(
    out: Path,
    pages: Path | None = None,
    everything: bool = False,
    plugins: Plugins | None = None,
    workers: int = 1,
) -> list[str]:
    """What is wrong with the records of a folder, or where its pages differ from what the records give.

    Every figure is computed anew: a cache is as trustworthy as all who can write to it.
    """
    pages = pages or out
    records = Store(out).paths()
    problems = [f"{path}: {_MISPLACED}" for path in Store(out).misplaced()]
    verdicts = {path: verify_file(path, plugins) for path in records}
    problems += [f"{path}: {problem}" for path, verdict in verdicts.items() for problem in verdict.problems]
    if problems:
        return [*problems, "the pages were not compared: mend the records first"]
    if on_trust := sum(bool(verdict.on_trust) for verdict in verdicts.values()):
        warn_once(f"partly on trust: {on_trust} of {len(records)} records, as `cervbench verify {out}` says")
    try:
        with TemporaryDirectory(prefix="cervbench-check-") as empty:
            made = _render(out, records, pages, everything, workers, Path(empty))
    except RecordError as error:
        return [str(error)]
    options = ["" if pages == out else f" --pages {pages}", " --all" * everything]
    mend = f"run `cervbench leaderboard build --records {out}{''.join(options)}`"
    for name, text in made.items():
        found = _read(pages / name)
        if found is None:
            problems.append(f"{pages / name} is missing: {mend}")
        elif found != text:
            problems.append(f"{pages / name} is not what the records give: {mend}")
    problems += [f"{pages / name} belongs to no record: {mend}" for name in _ours(pages) if name not in made]
    return problems


@contextmanager
def _alone(pages: Path) -> Iterator[None]:
    """One process at a time lists records and writes pages: the last to write has seen all records."""
    lock = pages / ".locks" / "pages.lock"
    for path in (lock.parent, lock, pages / "charts"):
        if path.is_symlink():  # in a folder that somebody else made, it may lead anywhere
            raise PagesError(f"{path} is a link, and pages are written through none; remove it")
    with locked(lock):
        yield


def _render(
    out: Path, paths: Sequence[Path], pages: Path, everything: bool, workers: int, cache: Path
) -> dict[str, str]:
    """The text of every page, by its name in the folder."""
    made = {"README.md": ""}
    listed = []
    with Cache(cache) as kept, Workers(workers) as others:
        for variant in variants(Store(out), paths, kept, everything, others):
            files = {table.digest: f"charts/{_chart_name(table)}.svg" for table in variant.tables}
            made |= {files[digest]: chart for digest, chart in charts(variant.tables, MARK).items()}
            listed.append(variant)
            made[variant.file] = page(
                variant.name,
                [_SYNTHETIC] * variant.synthetic + [*variant.left_out],
                variant.tables,
                files,
                Path(os.path.relpath(out / "records" / variant.name, pages)).as_posix(),
            )
    audits = sorted(f"audits/{path.name}" for path in (pages / "audits").glob("*.md"))
    speed = [name for name in SPEED if (pages / name).exists()]
    home = Path(os.path.relpath(out, pages)).as_posix()
    made["README.md"] = index(listed, speed, audits, home, everything)
    return made


def _chart_name(table: Table) -> str:
    run, evaluation = table.sample.run, table.sample.evaluation.name
    words = (run.dataset.variant, run.protocol.tier, evaluation, table.key.backbone, table.key.init[:12])
    return file_name("-".join([*(word[:40] for word in words), table.digest]))


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except (FileNotFoundError, UnicodeDecodeError):
        return None


def _ours(pages: Path) -> list[str]:
    """The names of those files in the folder that bear our mark, and may be replaced or deleted."""
    found = [*pages.glob("*.md"), *pages.glob("charts/*.svg")]
    return sorted(path.relative_to(pages).as_posix() for path in found if MARK in (_read(path) or "")[:600])


def refuse_foreign(path: Path) -> None:
    """Refuse to write a page over a file that is none of ours."""
    if path.exists() and MARK not in (_read(path) or "")[:600]:
        raise PagesError(
            f"{path} was not written by `cervbench leaderboard build` and would be lost: "
            "move it, or choose another folder"
        )

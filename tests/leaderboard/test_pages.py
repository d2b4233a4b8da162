"""Pages are a function of the records, safe to show, and checked against them."""

import json
import re
import shutil
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner
from markdown_it import MarkdownIt

from cervbench.cli import main
from cervbench.cli.leaderboard import leaderboard
from cervbench.leaderboard import PagesError, build, check
from cervbench.leaderboard.cache import Cache
from cervbench.leaderboard.charts import apart
from cervbench.markup.escaping import file_name
from cervbench.records.record import Record
from cervbench.records.store import RecordError, Store
from cervbench.scoring.task import Task

Write = Callable[..., list[Record]]
HOSTILE = "<script>alert(1)</script>|`a`\n# b](http://x.y) *c* <!-- & @d \u202e"


@pytest.fixture
def two_methods(write: Write) -> None:
    write("simclr", 0.7)
    write("byol", 0.6)
    write("supervised", 0.4, pretext=False)


def contents(folder: Path) -> dict[str, bytes]:
    files = [*folder.glob("*.md"), *folder.glob("charts/*.svg")]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


@pytest.mark.usefixtures("two_methods")
def test_the_same_records_give_the_same_bytes_with_and_without_what_was_cached(
    out: Path, cache: Path
) -> None:
    assert build(out)[0] == out / "README.md"
    first = contents(out)
    assert set(first) >= {"README.md", "cells.md"}
    build(out)
    assert contents(out) == first
    shutil.rmtree(cache)
    build(out)
    assert contents(out) == first


@pytest.mark.usefixtures("two_methods")
def test_predictions_that_are_gone_stop_the_build_though_their_figures_are_known(
    out: Path, write: Callable[..., list[Record]]
) -> None:
    (record, *_) = write(ratios=(100,))
    build(out)
    Store(out).predictions_path("cells", record.id).unlink()
    with pytest.raises(RecordError, match=f"{record.id}.parquet is missing: a record is nothing without"):
        build(out)


def test_a_cache_that_is_broken_costs_time_and_nothing_else(out: Path, cache: Path) -> None:
    build(out)
    first = contents(out)
    for path in cache.iterdir():
        path.write_bytes(b"not a database")
    build(out)
    assert contents(out) == first


@pytest.mark.usefixtures("two_methods")
def test_what_is_computed_is_kept_where_it_is_said(out: Path, cache: Path, tmp_path: Path) -> None:
    """Regression: `cervbench.run` kept it on this machine, whatever cache its place had."""
    build(out, cache=tmp_path / "other")
    assert (tmp_path / "other" / "leaderboard.sqlite").exists()
    assert not cache.exists()


@pytest.mark.parametrize("every", [1, 2, 3])
def test_what_was_kept_and_has_changed_on_the_disk_is_computed_again(
    out: Path, cache: Path, write: Write, every: int
) -> None:
    for method, accuracy in (("simclr", 0.95), ("byol", 0.9), ("moco", 0.5), ("jigsaw", 0.4)):
        write(method, accuracy, ratios=(100,))
    build(out)
    first = contents(out)
    with closing(sqlite3.connect(cache / "leaderboard.sqlite")) as database:
        kept = database.execute("select key, value from kept").fetchall()
        assert any(b'"figures"' in value for _, value in kept)
        database.execute("delete from kept where length(value) < 40")  # what is bold is tested again
        for key, value in kept[::every]:
            changed = bytes(b ^ 1 if chr(b).isdigit() else b for b in value[8:])
            database.execute("update kept set value = ? where key = ?", (value[:8] + changed, key))
        database.commit()
    build(out)
    assert contents(out) == first


@pytest.mark.usefixtures("two_methods")
def test_check_believes_no_cache(out: Path, cache: Path) -> None:
    """Regression: whoever could write to the cache decided what the pages say, and check agreed."""
    build(out)
    assert check(out) == []
    with closing(sqlite3.connect(cache / "leaderboard.sqlite")) as database:
        kept = database.execute("select key, value from kept").fetchall()
    with Cache(cache) as forged:
        forged.keep({key: json.loads(re.sub(rb"\b0\.\d", b"0.9", value[8:])) for key, value in kept})
    build(out)
    assert any("cells.md is not what the records give" in told for told in check(out))


@pytest.mark.usefixtures("two_methods")
def test_rows_that_come_later_give_the_page_of_a_build_from_nothing(
    out: Path, cache: Path, write: Write
) -> None:
    build(out)
    for method, accuracy in (("agbt", 0.95), ("jigsaw", 0.3), ("simsiam", 0.94), ("moco", 0.35)):
        write(method, accuracy)
    build(out)
    first = contents(out)
    shutil.rmtree(cache)
    build(out)
    assert contents(out) == first


@pytest.mark.usefixtures("two_methods")
def test_several_processes_give_the_bytes_of_one(
    out: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(out)
    first = contents(out)
    shutil.rmtree(cache)
    monkeypatch.setattr("cervbench.leaderboard.workers.WORTH_WORKERS", 10)
    build(out, workers=2)
    assert contents(out) == first


def test_what_another_process_finds_wrong_is_said_as_by_one(
    out: Path, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = write("simclr", ratios=(10, 100), folds=(0,))
    store = Store(out)
    shutil.copy(store.predictions_path("cells", one.id), store.predictions_path("cells", other.id))
    monkeypatch.setattr("cervbench.leaderboard.workers.WORTH_WORKERS", 1)
    with pytest.raises(RecordError, match=r"its content hashes to .* the record says"):
        build(out, workers=2)


@pytest.mark.usefixtures("two_methods")
def test_a_record_that_was_fine_before_is_refused_once_it_is_edited_or_renamed(out: Path) -> None:
    build(out)
    path = Store(out).paths()[0]
    whole = path.read_bytes()
    path.write_bytes(re.sub(rb'"pretext_forwarded": \d+', b'"pretext_forwarded": 7', whole))
    assert path.read_bytes() != whole
    with pytest.raises(RecordError, match="an entry was changed after it was written"):
        build(out)
    path.unlink()
    path.with_stem("0" * 16).write_bytes(whole)
    with pytest.raises(RecordError, match="its name or an entry was changed"):
        build(out)


def test_rows_of_one_column_that_were_tested_on_other_images_are_named(out: Path, write: Write) -> None:
    write("simclr", ratios=(100,))
    write("byol", ratios=(100,), groups=11)
    with pytest.raises(
        RecordError, match=r"at 100 % cannot be compared: .* 20 images are in one of them only"
    ):
        build(out)


@pytest.mark.usefixtures("two_methods")
def test_check_accepts_what_build_wrote_and_names_what_is_stale_missing_or_left_over(
    out: Path, write: Write
) -> None:
    build(out)
    assert check(out) == []
    page = out / "cells.md"
    text = page.read_text()
    page.write_text(re.sub(r"\| simclr \| \*\*\d", "| simclr | **9", text, count=1))
    assert page.read_text() != text
    assert [p for p in check(out) if str(page) in p and "is not what the records give" in p]
    page.unlink()
    mend = f"run `cervbench leaderboard build --records {out}`"
    assert f"{page} is missing: {mend}" in check(out)
    build(out)
    shutil.copy(page, out / "old.md")
    assert check(out) == [f"{out / 'old.md'} belongs to no record: {mend}"]
    build(out)
    assert not (out / "old.md").exists()
    write("barlow-twins", 0.5)
    assert any("cells.md is not what the records give" in problem for problem in check(out))


@pytest.mark.usefixtures("two_methods")
def test_check_refuses_an_edited_record(out: Path) -> None:
    build(out)
    path = next((out / "records").glob("*/*.json"))
    text = path.read_text()
    path.write_text(re.sub(r'"accuracy": 0\.\d', '"accuracy": 0.0', text))
    assert path.read_text() != text
    assert check(out)[0].startswith(f"{path}: scores.accuracy: stored 0.0")


def test_predictions_that_are_not_the_recorded_ones_stop_the_build(out: Path, write: Write) -> None:
    one, other = write("simclr", ratios=(10, 100), folds=(0,))
    store = Store(out)
    shutil.copy(store.predictions_path("cells", one.id), store.predictions_path("cells", other.id))
    with pytest.raises(RecordError, match=r"its content hashes to .* the record says"):
        build(out)


def test_a_page_that_someone_else_wrote_is_never_lost(out: Path, write: Write) -> None:
    write("simclr", ratios=(100,))
    own = out / "README.md"
    own.write_text("# My notes\n")
    (out / "notes.md").write_text("keep\n")
    with pytest.raises(PagesError, match=r"README\.md was not written by"):
        build(out)
    assert own.read_text() == "# My notes\n"
    own.unlink()
    build(out)
    assert (out / "notes.md").read_text() == "keep\n"


@pytest.mark.parametrize("name", ["charts", ".locks", ".locks/pages.lock"])
def test_pages_are_written_through_no_link(name: str, out: Path, write: Write, tmp_path: Path) -> None:
    """Regression: in a folder of somebody else's it led to files outside, which were written and deleted."""
    write("simclr", ratios=(100,))
    (out / name).parent.mkdir(exist_ok=True)
    (out / name).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(PagesError, match=f"{name} is a link"):
        build(out)
    assert not (tmp_path / "elsewhere").exists()


class Seen(HTMLParser):
    """The tags of a page, its links, and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("href", "src")]

    def handle_data(self, data: str) -> None:
        self.text += data


def test_that_weights_came_from_a_file_is_told(out: Path, write: Write) -> None:
    """They may be of another fold, where images that are tested here were trained on."""
    told = "nobody here knows which of these images it has seen"
    write("supervised", ratios=(100,), init="file:1f2320ab00000000")
    build(out)
    assert (out / "cells.md").read_text().count(told) == 1
    write("simclr", ratios=(100,))
    build(out)
    assert (out / "cells.md").read_text().count(told) == 1


def test_weights_that_had_been_trained_on_what_is_tested_are_told_and_not_ranked(
    out: Path, write: Write
) -> None:
    """Regression: it was warned of while the run went on, and stood in no record and on no page."""
    weights = "file:1f2320ab00000000"

    def told(folds: Sequence[int], seen: object) -> str:
        for method in ("simclr", "byol"):
            write(method, ratios=(100,), folds=folds, init=weights, observed={"init_tests_seen": seen})
        build(out)
        return (out / "cells.md").read_text()

    page = told((2,), 0)
    assert "**begun from a file of weights** that had been trained on none of the images tested here" in page
    assert "Shown, not ranked" not in page
    page = told((0, 1, 3, 4), 12)
    assert "**begun from a file of weights** that had been trained on 48 of the images tested here" in page
    assert "**Shown, not ranked**: the weights it begins from had been trained on images that are" in page
    page = told(range(5), {"2": [[]]})
    assert "**begun from a file of weights**: nobody here knows which of these images it has seen" in page


def shown(page: Path) -> Seen:
    return Seen(MarkdownIt("commonmark").enable("table").render(page.read_text()))


def test_hostile_names_are_text_and_nothing_else(out: Path, write: Write) -> None:
    task = Task(classes=("normal", f"light{HOSTILE}"), abnormal=("normal",))
    for method in (HOSTILE, f"{HOSTILE}2"):
        write(method, ratios=(100,), backbone=HOSTILE, evaluation=f"linear{HOSTILE}", task=task)
    written = build(out)
    seen = shown(out / "cells.md")
    allowed = {
        "h1",
        "h2",
        "p",
        "a",
        "img",
        "strong",
        "em",
        "sub",
        "br",
        "details",
        "summary",
        "ul",
        "li",
        "code",
    }
    assert set(seen.tags) <= allowed | {"table", "thead", "tbody", "tr", "th", "td"}
    assert "<script>alert(1)</script>|`a` # b](http://x.y) *c*" in seen.text
    assert not [link for link in seen.links if "x.y" in link]
    widths = {
        line.count(" | ") for line in (out / "cells.md").read_text().splitlines() if line.startswith("| ")
    }
    assert len(widths) == 3  # of the tables of scores, of other metrics, and of the class-wise one
    for path in written:
        if path.suffix == ".svg":
            drawing = ElementTree.fromstring(path.read_text())
            assert not [
                e for e in drawing.iter() if e.tag.endswith(("script", "a", "image", "foreignObject"))
            ]
            assert "<script>alert(1)</script>" in "".join(drawing.itertext())


def test_every_link_leads_to_a_file_also_from_another_folder(out: Path, write: Write, tmp_path: Path) -> None:
    write("simclr", ratios=(100,), variant="cric@3f2a:b c")
    pages = tmp_path / "site" / "deep"
    for folder in (out, pages):
        build(out, folder)
        for page in folder.glob("*.md"):
            links = [link.partition("#") for link in shown(page).links]
            assert len(links) > 1
            for link, _, anchor in links:
                target = folder / unquote(link) if link else page
                assert target.is_file(), link
                assert not anchor or f'<a id="{anchor}"></a>' in target.read_text(), anchor
    assert check(out, pages) == []


def test_file_names_are_safe_and_different_for_different_names() -> None:
    names = ["a/b", "a%2Fb", "../x", "README", "readme", "a b", "cric@3f", "a:b", "ä"]
    made = [file_name(name) for name in names]
    assert len({name.lower() for name in made}) == len(names)
    assert not any("/" in name or name.lower() == "readme" for name in made)


@pytest.mark.parametrize("schema", ["classification/1", "retrieval/1"])
def test_synthetic_images_have_their_own_page_and_of_the_index_a_link(
    schema: str, out: Path, write: Write
) -> None:
    write("simclr", ratios=(100,))
    write("simclr", ratios=(100,), variant="synthetic", synthetic=True, schema=schema)
    build(out)
    real, synthetic = (out / "README.md").read_text().split("## Synthetic images")
    assert "cells.md" in real
    assert "synthetic.md" not in real
    assert "synthetic.md" in synthetic
    assert "cells.md" not in synthetic
    assert synthetic.partition("\n## ")[0].strip().splitlines()[2:] == ["- [synthetic](synthetic.md)"]
    assert "> **Synthetic images**" in (out / "synthetic.md").read_text()
    assert "Synthetic" not in (out / "cells.md").read_text()


def test_the_index_names_the_pages_of_speed_where_there_are_some(out: Path, write: Write) -> None:
    write("simclr", ratios=(100,))
    build(out)
    assert "throughput.md" not in (out / "README.md").read_text()
    (out / "throughput.md").write_text("# Throughput\n")
    assert check(out) != []
    build(out)
    assert "(throughput.md)" in (out / "README.md").read_text()
    assert check(out) == []
    assert (out / "throughput.md").read_text() == "# Throughput\n"


@pytest.mark.parametrize("everything", [False, True])
def test_the_commands_that_pages_and_check_tell_are_those_that_work(
    out: Path, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, everything: bool
) -> None:
    """Regression: of pages in another folder, or of all records, they ended with an error."""
    write("simclr", ratios=(100,))
    pages = tmp_path / "elsewhere"
    build(out, pages, everything)
    told = (pages / "README.md").read_text()
    monkeypatch.chdir(pages)
    for line in re.findall(r"`cervbench (verify [^`]*|leaderboard check[^`]*)`", told):
        answer = CliRunner().invoke(main, line.split())
        assert answer.exit_code == 0, (line, answer.output)
    (pages / "cells.md").unlink()
    [missing] = check(out, pages, everything)
    [mend] = re.findall(r"run `cervbench (.*)`", missing)
    assert CliRunner().invoke(main, mend.split()).exit_code == 0
    assert check(out, pages, everything) == []


def test_the_index_names_the_audits_that_are_there(out: Path, write: Write) -> None:
    """Regression: they stood in the folder, and no page led to them."""
    write("simclr", ratios=(100,))
    (out / "audits").mkdir()
    (out / "audits" / "herlev.md").write_text("# What a random split leaks\n")
    build(out)
    assert "- [herlev](audits/herlev.md)" in (out / "README.md").read_text()
    assert check(out) == []


def test_trials_are_counted_and_left_out_unless_all_are_asked_for_or_there_is_nothing_else(
    out: Path, write: Write
) -> None:
    write("simclr", ratios=(100,), tier="smoke")
    build(out)
    assert "· smoke" in (out / "cells.md").read_text()
    write("simclr", ratios=(100,))
    write("simclr", ratios=(100,), off={"image_size": 48})
    build(out)
    text = (out / "cells.md").read_text()
    assert "10 records off protocol or of the smoke tier are left out" in text
    assert "· smoke" not in text
    assert "off protocol" not in text.split("## linear")[1]
    build(out, everything=True)
    text = (out / "cells.md").read_text()
    assert "off protocol: image\\_size=48" in text
    assert "· smoke" in text
    assert check(out, everything=True) == []
    assert check(out) != []


def test_records_of_another_schema_are_counted_and_not_pooled(out: Path, write: Write) -> None:
    write("simclr", ratios=(100,))
    write("simclr", ratios=(100,), evaluation="pairs", schema="pairs/1")
    build(out)
    assert "5 records of pairs have tables of predictions of another kind" in (out / "cells.md").read_text()


@pytest.mark.usefixtures("two_methods")
def test_a_chart_says_in_words_what_it_shows(out: Path) -> None:
    build(out)
    (path,) = (out / "charts").glob("*.svg")
    drawing = ElementTree.fromstring(path.read_text())
    described = {child.get("id"): child.text for child in drawing}
    assert drawing.get("role") == "img"
    assert set((drawing.get("aria-labelledby") or "").split()) <= set(described)
    row = next(line for line in (out / "cells.md").read_text().splitlines() if line.startswith("| simclr |"))
    values = [re.sub(r"[* ]|\[.*", "", cell) for cell in row.split(" | ")[1:3]]
    assert f"simclr {values[0]} at 10 %, {values[1]} at 100 %;" in (described["figures"] or "")


def test_a_method_is_drawn_alike_in_all_charts_and_unlike_others_and_scales_are_the_same(
    out: Path, write: Write
) -> None:
    """Regression: its colour was its rank, so two charts of a page could swap the colours of two methods."""
    for evaluation, best in (("linear", "byol"), ("knn", "simclr")):
        for method in ("byol", "moco", "simclr"):
            write(method, 0.8 if method == best else 0.5, ratios=(100,), evaluation=evaluation)
    build(out)
    drawings = [ElementTree.parse(path).getroot() for path in sorted((out / "charts").glob("*.svg"))]
    assert len(drawings) == 2
    marks, heights = [], []
    for drawing in drawings:
        elements = list(drawing)
        named = [k for k, e in enumerate(elements) if (e.get("class") or "").startswith("name ")]
        ends = re.compile(r"M\S+ \S+ ")
        shapes = {k: ends.sub("", elements[k - 1].get("d") or "") for k in named}
        marks.append({elements[k].text: (elements[k].get("class"), shapes[k]) for k in named})
        ticks = (e for e in elements if e.get("y") and (e.text or "").endswith(" %"))
        heights.append([(e.text, e.get("y")) for e in ticks])
    assert marks[0].keys() == {"byol", "moco", "simclr"}
    assert marks[0] == marks[1]
    assert len(set(marks[0].values())) == len({shape for _, shape in marks[0].values()}) == 3
    assert heights[0] == heights[1]


def test_labels_are_said_to_be_permitted_and_counted_as_the_axis_says(out: Path, write: Write) -> None:
    records = write("simclr", ratios=(10,))
    build(out)
    (path,) = (out / "charts").glob("*.svg")
    written = [text.strip() for text in ElementTree.fromstring(path.read_text()).itertext()]
    assert "share of the labels permitted, and their mean number, train and val together" in written
    counts = [record.labels.train + record.labels.val for record in records]
    assert written[written.index("10 %") + 1 :].count(f"{sum(counts) / len(counts):.0f}") == 1
    assert "shares of the labels that a method may see" in (out / "README.md").read_text()


def test_names_at_line_ends_keep_apart_stay_inside_and_move_no_further_than_needed() -> None:
    assert apart([10, 50, 90], 15, 0, 100) == [10, 50, 90]
    assert apart([50, 50, 50], 15, 0, 100) == [35, 50, 65]
    assert apart([98, 99], 15, 0, 100) == [85, 100]
    crowded = apart([1, 2, 3, 40, 41, 80, 99, 99, 99], 12, 0, 100)
    assert crowded[0] >= 0
    assert crowded[-1] <= 100
    assert min(b - a for a, b in pairwise(crowded)) >= 12 - 1e-9


@pytest.mark.usefixtures("two_methods")
def test_the_commands_build_check_and_fail_when_pages_disagree(
    out: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = ["--records", str(out)]
    built = CliRunner().invoke(leaderboard, ["build", *folder])
    assert (built.exit_code, built.stdout) == (0, f"{out / 'README.md'}\n")
    assert CliRunner().invoke(leaderboard, ["check", *folder]).exit_code == 0
    assert "partly on trust: 30 of 30 records, as `cervbench verify" in caplog.text  # no folds lie there
    (out / "cells.md").unlink()
    failed = CliRunner().invoke(leaderboard, ["check", *folder])
    assert (failed.exit_code, "cells.md is missing" in failed.stdout) == (1, True)


def test_the_commands_say_what_folder_they_need(tmp_path: Path) -> None:
    failed = CliRunner().invoke(leaderboard, ["build", "--records", str(tmp_path)])
    assert failed.exit_code == 2
    assert "what `cervbench run` was given as --out" in failed.output


def test_a_record_in_a_wrong_folder_is_told_by_build_and_check(
    out: Path, write: Write, caplog: pytest.LogCaptureFixture
) -> None:
    """Regression: after a merge one folder too high, pages without these records were said to agree."""
    path, other = (Store(out).record_path("cells", record.id) for record in write("simclr", 0.7)[:2])
    build(out)
    assert check(out) == []
    high, deep = path.parents[1] / path.name, path.parent / "old" / other.name
    deep.parent.mkdir()
    path.rename(high)
    other.rename(deep)
    build(out)
    told = [problem for problem in check(out) if "records/<variant>/<id>.json alone" in problem]
    assert {problem.split(": ")[0] for problem in told} == {str(high), str(deep)}
    assert all(str(path) in caplog.text for path in (high, deep))

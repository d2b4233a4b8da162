"""Ids and seals of records: what docs/records.md says they are gives them, with json and hashlib alone."""

import hashlib
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cervbench.records.record import Record
from cervbench.records.store import RecordError, Store

ROOT = Path(__file__).parents[2]
COMMITTED = sorted(ROOT.glob("leaderboards/records/herlev/*.json"))

OF_AN_ID, OF_A_TABLE, _, OF_A_PAGE, *_ = re.findall(
    r"```python\n(.*?)```", (ROOT / "docs" / "records.md").read_text("utf-8"), re.DOTALL
)
"""What the page prints for strangers."""

Recompute = Callable[[Path], bool]


@pytest.fixture
def recompute(monkeypatch: pytest.MonkeyPatch) -> Recompute:
    """Runs the page's code on a record: whether its id is the name of its file."""
    assert set(re.findall(r"^(?:import|from) (.*)", OF_AN_ID, re.MULTILINE)) == {
        "hashlib, json, sys",
        "pathlib import Path",
    }

    def holds(path: Path) -> bool:
        monkeypatch.setattr(sys, "argv", ["recipe.py", str(path)])
        with pytest.raises(SystemExit) as ended:
            exec(compile(OF_AN_ID, "recipe.py", "exec"), {})
        return not ended.value.code

    return holds


@pytest.mark.parametrize(
    ("seeds", "row"),
    [
        ("", "simclr"),
        ("", "imagenet (tf\\_efficientnet\\_lite0)"),
        (" · seeds 0, 1, 2", "simclr"),
        (" · seeds 0, 1, 2", "untrained"),
        (" · seeds 0, 1, 2", "imagenet (tf\\_efficientnet\\_lite0)"),
    ],
)
def test_a_stranger_recomputes_a_figure_of_the_committed_page(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], seeds: str, row: str
) -> None:
    """Of the linear probe with all labels, by the docs' lines, from the records that the page lists."""
    pages = ROOT / "leaderboards"
    sections = (pages / "herlev.md").read_text("utf-8").split("\n## ")
    title = f"linear · resnet18, random init · quick{seeds}"
    [table] = [text for text in sections if text.splitlines()[0] == title]
    last = r"\**([\d.]+)\** \[[^|]*\|[^|]*\|$"  # of the shares of labels; one column follows, of the cost
    printed = re.search(rf"^\| {re.escape(row)} \|.*\| {last}", table, re.M)
    listed = re.findall(rf"^- {re.escape(row)}(?:, seed \d)?, folds at .*100 %: (.*)$", table, re.M)
    assert printed
    assert len(listed) == (3 if seeds and not row.startswith("imagenet") else 1)
    records = re.findall(r"\((records/[^)]*)\)", " ".join(listed))
    assert len(records) == 5 * len(listed)
    monkeypatch.setattr(sys, "argv", ["recipe.py", *(str(pages / record) for record in records)])
    exec(compile(OF_A_PAGE, "recipe.py", "exec"), {})
    assert capsys.readouterr().out.strip() == printed[1]


def test_a_stranger_recomputes_the_id_of_every_committed_record(recompute: Recompute) -> None:
    assert COMMITTED
    assert [path.name for path in COMMITTED if not recompute(path)] == []


def test_a_stranger_recomputes_the_hash_of_a_table(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in COMMITTED[::100]:
        monkeypatch.setattr(sys, "argv", ["recipe.py", str(path)])
        with pytest.raises(SystemExit) as ended:
            exec(compile(OF_A_TABLE, "recipe.py", "exec"), {})
        assert ended.value.code == 0
        stored = json.loads(path.read_text())["predictions"]["hash"]
        assert capsys.readouterr().out == f"recomputed {stored}, stored {stored}\n"


@pytest.mark.parametrize(
    "changes",
    [
        {"sources": ["cric"], "strategy": "pooled", "weights": "timm 1.0", "backbone_revision": 2},
        {"sources": [], "strategy": "alone", "weights": "", "backbone_revision": 1},
        {"protocol": {"off": ["image_size=48"]}, "method": {"builds_on": {"jigsaw": 2}}},
        {"protocol": {"off": []}, "method": {"builds_on": {}}},
    ],
)
def test_a_stranger_recomputes_the_id_whatever_is_neutral_in_it(
    tmp_path: Path, recompute: Recompute, changes: dict[str, Any]
) -> None:
    plain = json.loads(COMMITTED[0].read_text("utf-8"))
    for name, value in changes.items():
        plain["run"][name] = {**plain["run"][name], **value} if isinstance(value, dict) else value
    record = Record.sealed(**plain)
    path = tmp_path / f"{record.id}.json"
    path.write_text(json.dumps(record.model_dump(mode="json", by_alias=True)))
    assert recompute(path)
    assert not recompute(path.rename(tmp_path / f"{'0' * 16}.json"))


def test_the_seal_is_the_hash_of_the_file_without_it() -> None:
    assert COMMITTED
    for path in COMMITTED:
        content = json.loads(path.read_text("utf-8"))
        seal = content.pop("seal")
        canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
        assert seal == hashlib.sha256(canonical.encode()).hexdigest()[:16]


@pytest.mark.parametrize(
    ("unsealed", "told"), [({}, "seal: Field required"), ({"seal": ""}, "an entry was changed")]
)
def test_a_record_without_its_seal_is_refused(tmp_path: Path, unsealed: dict[str, str], told: str) -> None:
    """Regression: where the seal was deleted with what it vouches for, reading sealed the record anew."""
    content = json.loads(COMMITTED[0].read_text("utf-8"))
    store = Store(tmp_path)
    path = store.record_path(content["run"]["dataset"]["variant"], COMMITTED[0].stem)
    store.record(path, json.dumps(content).encode())
    del content["seal"]
    with pytest.raises(RecordError, match=told):
        store.record(path, json.dumps({**content, **unsealed}).encode())


def test_a_record_of_a_newer_cervbench_is_told_from_a_broken_one(tmp_path: Path) -> None:
    """Regression: one was told to delete it."""
    content = json.loads(COMMITTED[0].read_text("utf-8")) | {"schema": 2}
    with pytest.raises(RecordError, match="schema 2: a newer cervbench made it; update") as told:
        Store(tmp_path).record(tmp_path / "new.json", json.dumps(content).encode())
    assert "delete" not in str(told.value)
    content = json.loads(COMMITTED[0].read_text("utf-8"))
    content["run"]["protocol"]["temperature"] = 1
    with pytest.raises(RecordError, match=r"cervbench made it, or an edit: run\.protocol\.temp") as told:
        Store(tmp_path).record(tmp_path / "new.json", json.dumps(content).encode())
    assert "delete" not in str(told.value)

"""Measurements of several machines share a file, and pages say what it holds and what it lacks."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner
from markdown_it import MarkdownIt

from cervbench.bench import page as throughput
from cervbench.bench.chart import chart
from cervbench.bench.measurement import MeasurementError, Where, merged, read, write
from cervbench.bench.peers import page as peers
from cervbench.bench.peers.findings import Contestant, PeerComparison, claims
from cervbench.bench.rows import Row, missing
from cervbench.bench.setups import WANTED
from cervbench.cli import main
from cervbench.cli.bench import Choice
from cervbench.leaderboard import check

HOSTILE = "<script>alert(1)</script>|`a`\n# b](http://x.y) *c* <!-- & @d \u202e"
COMMITTED = Path(__file__).parents[2] / "leaderboards"


def where(device: str = "cpu: Some Processor, 2 cores") -> Where:
    return Where(
        device=device, host="Some Processor", precision="bf16", threads=2, versions={"torch": "2.6.0"}
    )


def row(device: str = "cpu: Some Processor, 2 cores", **changes: object) -> Row:
    known: dict[str, object] = {
        "where": where(device),
        "dataset": "herlev",
        "method": "simclr",
        "backbone": "resnet18",
        "size": 64,
        "batch": 128,
        "compiled": False,
        "views": 2,
        "rounds": 5,
        "steps": 2,
        "views_per_second": 300.0,
        "ceiling_views_per_second": 400.0,
        "ratio": 0.75,
        "peak_memory_bytes": 2_000_000_000,
        "seconds_per_step": {"views": 0.01, "forward": 0.2},
        "flops_per_view": 1e9,
        "matmul_flops_per_second": 8e11,
        "matmul_size": 2048,
    }
    return Row.model_validate(known | changes)


def comparison(**changes: object) -> PeerComparison:
    def one(name: str, rate: float) -> Contestant:
        return Contestant(name=name, views_per_second=rate, ours_over_it=round(300 / rate, 3))

    known: dict[str, object] = {
        "where": where(),
        "dataset": "herlev",
        "stored": 224,
        "size": 64,
        "batch": 128,
        "rounds": 5,
        "steps": 2,
        "augmentations": {"lightly": "crop & blur"},
        "views": [
            one("cervbench", 300),
            one("kornia, a", 50),
            one("kornia, b", 150),
            one("lightly, one", 30),
        ],
        "training": [
            one("cervbench", 300),
            one("cervbench, ceiling", 310),
            one("lightly, fp32, 1 worker", 150),
            one("lightly, bf16, 2 workers", 200),
        ],
        "tried": {"lightly, fp32, 1 worker": 149.0},
    }
    return PeerComparison.model_validate(known | changes)


@pytest.mark.parametrize(
    ("of", "read_back", "one"),
    [
        (throughput, lambda out: read(out / throughput.ROWS, Row), row),
        (peers, lambda out: read(out / peers.MEASURED, PeerComparison), comparison),
    ],
)
def test_benchmarks_that_end_together_lose_no_row(of, read_back, one, tmp_path: Path, monkeypatch) -> None:
    """Regression: each had read the file before the others wrote theirs."""

    def slowly(*asked: object) -> list[object]:
        found = read(*asked)
        time.sleep(0.1)
        return found

    monkeypatch.setattr(of, "read", slowly)
    fresh = [one(where=where(f"cpu: number {number}")) for number in range(4)]
    with ThreadPoolExecutor() as together:
        list(together.map(lambda own: of.publish(tmp_path, [own]), fresh))
    assert len(read_back(tmp_path)) == 4


def test_a_newer_row_takes_the_place_of_the_older_and_those_of_other_machines_stay() -> None:
    here, there = row(), row("cuda: Some Card")
    newer, other = row(views_per_second=350.0), row(size=128)
    assert merged([there, here], [other, newer]) == [newer, other, there]


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    rows = [row(), row("cuda: Some Card", views_per_second=0.1 + 0.2)]
    write(tmp_path / "rows.json", rows)
    assert read(tmp_path / "rows.json", Row) == rows
    assert [sorted(one) for one in json.loads((tmp_path / "rows.json").read_text())] == [
        sorted(Row.model_fields)
    ] * 2
    assert read(tmp_path / "none.json", Row) == []
    write(tmp_path / "peers.json", [comparison()])
    assert read(tmp_path / "peers.json", PeerComparison) == [comparison()]


@pytest.mark.parametrize("text", ["not json", "{}", '[{"device": 1}]', "[1"])
def test_a_damaged_file_is_named_with_what_to_do(tmp_path: Path, text: str) -> None:
    path = tmp_path / "throughput.json"
    path.write_text(text)
    with pytest.raises(MeasurementError, match=r"throughput\.json: .*delete it and measure again"):
        read(path, Row)
    told = CliRunner().invoke(main, ["bench", "throughput", "--out", str(tmp_path)])
    assert told.exit_code == 1
    assert "throughput.json" in told.output
    assert path.read_text() == text


def test_wanted_rows_are_named_until_a_gpu_has_given_them() -> None:
    on_the_processor = [row(**vars(setup)) for setup in WANTED]
    assert list(missing(on_the_processor)) == list(WANTED)
    with_other_settings = [row("cuda: Some Card", **(vars(setup) | {"settings": {}})) for setup in WANTED]
    assert {setup.method for setup in missing(with_other_settings)} == {"barlow-twins"}
    on_a_card = [row("cuda: Some Card", **vars(setup)) for setup in WANTED]
    assert list(missing(on_a_card[1:])) == [WANTED[0]]
    assert "Not measured yet" not in throughput.page(on_a_card)
    without = throughput.page(merged(on_the_processor, on_a_card[1:]))
    assert without.count("- simclr · resnet50, 128 px, batch 256") == 1
    assert "- simclr · vit" not in without


def test_rows_of_other_settings_stand_side_by_side_and_files_of_before_are_read(tmp_path: Path) -> None:
    path = tmp_path / "throughput.json"
    before = row().model_dump(mode="json")
    del before["settings"]
    path.write_text(json.dumps([before]))
    wide = row(settings={"projector": [8192]})
    both = merged(read(path, Row), [wide])
    assert [one.settings for one in both] == [{}, {"projector": [8192]}]
    assert "simclr · resnet18 (projector [8192])" in throughput.page(both).replace("\\", "")


def test_a_cell_of_the_page_is_the_figure_of_its_row() -> None:
    cells = "64 | 128 × 2 | 5 × 2 | 300 | 400 | 75 % | 50 % | 800 GFLOP/s | 2.0 GB | 10.0 | 200.0"
    assert f"| simclr · resnet18 | {cells} |" in throughput.page([row()])


def test_claims_are_taken_against_the_fastest_of_a_library() -> None:
    measured = [claim.measured for claim in claims(comparison())]
    assert measured == [pytest.approx(300 / 310, abs=1e-3), 2.0, 1.5, 2.0, 10.0]
    held = [
        line for line in peers.page([comparison()]).splitlines() if line.endswith(("| yes |", "| **no** |"))
    ]
    assert [line.endswith("yes |") for line in held] == [True, True, False, False, True]


def test_strange_names_stay_text_on_pages_and_in_the_chart() -> None:
    strange = row(HOSTILE, method=HOSTILE, backbone=HOSTILE, dataset=HOSTILE, seconds_per_step={HOSTILE: 1.0})
    compared = comparison(where=where(HOSTILE), dataset=HOSTILE, augmentations={HOSTILE: HOSTILE})
    for text in (throughput.page([strange]), peers.page([compared])):
        html = MarkdownIt("commonmark").enable("table").render(text)
        assert "<script" not in html
        assert 'href="http' not in html
        assert "\u202e" not in html
    drawing = ElementTree.fromstring(chart([strange], throughput.MARK))
    assert not [e for e in drawing.iter() if e.tag.endswith(("script", "a", "image", "foreignObject"))]


def test_bars_are_as_long_as_their_rates_each_device_on_its_own_scale() -> None:
    rows = [row(), row("cuda: Some Card", views_per_second=9000.0, ceiling_views_per_second=9000.0)]
    drawing = ElementTree.fromstring(chart(rows, throughput.MARK))
    lengths = [
        float(bar.attrib["width"])
        for bar in drawing.iter()
        if bar.attrib.get("class") in ("run", "ceiling") and bar.attrib["x"] not in ("20", "120")
    ]
    assert lengths[0] / lengths[1] == pytest.approx(300 / 400, rel=1e-3)
    assert lengths[1] == lengths[2] == lengths[3]


def test_pages_beside_records_are_no_business_of_the_leaderboards_check(tmp_path: Path) -> None:
    (tmp_path / "records").mkdir()
    written = [*throughput.publish(tmp_path, [row()]), *peers.publish(tmp_path, [comparison()])]
    assert not [problem for problem in check(tmp_path) for path in written if path.name in problem]


def test_committed_pages_are_what_the_measurements_beside_them_give() -> None:
    made = {
        throughput.PAGE: throughput.page(read(COMMITTED / throughput.ROWS, Row)),
        throughput.CHART: chart(read(COMMITTED / throughput.ROWS, Row), throughput.MARK),
        peers.PAGE: peers.page(read(COMMITTED / peers.MEASURED, PeerComparison)),
    }
    there = {name: COMMITTED / name for name in made if (COMMITTED / name).exists()}
    assert {name: path.read_text("utf-8") for name, path in there.items()} == {n: made[n] for n in there}


def test_without_the_peers_their_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cervbench.cli.bench.PEERS", ("a_library_that_nobody_has",))
    told = CliRunner().invoke(main, ["bench", "peers"])
    assert told.exit_code == 1
    assert "pip install 'cervbench[peers]'" in told.output


def test_what_is_set_is_asked_of_every_cell_and_a_number_of_the_protocol_is_refused() -> None:
    changed = {"redundancy_weight": 0.1}
    choice = Choice(
        methods=("barlow-twins",), backbones=None, sizes=None, batch=None, compiled=True, settings=changed
    )
    setups = choice.setups(wanted=True)
    assert [setup.size for setup in setups if setup.compiled] == [128, 224]
    assert setups[0].settings == {"projector": [8192, 8192, 8192], "redundancy_weight": 0.1}
    told = CliRunner().invoke(main, ["bench", "throughput", "--set", "protocol.image_size=32"])
    assert told.exit_code == 2
    assert "--set protocol.image_size: for that there are --sizes, --batch and --compile" in told.output


@pytest.mark.parametrize("asked", [["--methods", "nope"], ["--backbones", "resnet18"]])
def test_a_selection_that_leaves_none_of_the_wanted_rows_is_refused(tmp_path: Path, asked: list[str]) -> None:
    told = CliRunner().invoke(
        main, ["bench", "throughput", "--wanted", *asked, "--out", str(tmp_path / "out")]
    )
    assert told.exit_code == 2
    assert "of the wanted rows none is left: simclr · resnet50, 128 px, batch 256; simclr" in told.output
    assert not (tmp_path / "out").exists()


def test_rates_are_said_to_be_of_views() -> None:
    text = throughput.page([row()])
    assert "| views/s |" in text
    assert "Views a second" in text
    assert "Views a second" in chart([row()], throughput.MARK)
    assert not [
        one
        for one in (text, chart([row()], throughput.MARK), peers.page([comparison()]))
        if "images/s" in one
    ]


def test_a_size_that_is_no_number_is_refused() -> None:
    told = CliRunner().invoke(main, ["bench", "throughput", "--sizes", "64,large"])
    assert told.exit_code == 2
    assert "'large' in '64,large' is not a whole number" in told.output

"""What bad input gets: one message that names the file, row or key and the remedy; and nothing is lost."""

import errno
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from filelock import FileLock
from PIL import Image

from cervbench.cli import main
from cervbench.harness import execute
from cervbench.place import Place
from cervbench.plugin import EvaluationOffer, hookimpl
from cervbench.plugin.manager import Plugins
from cervbench.records.record import Run
from cervbench.study import Request

CLASSES = ("high", "low")
IMAGES = 12
MAJORITY = ["--method", "majority", "--eval", "linear", "--tier", "smoke", "--labels", "100", "--folds", "0"]
SIMCLR = ["--method", "simclr", "--backbone", "test_resnet", "--device", "cpu", *MAJORITY[2:]]
"""On the processor, where the same run gives the same bits."""


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CERVBENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw(tmp_path_factory.mktemp("drawn") / "clinic")


@contextmanager
def home(folder: Path) -> Iterator[Path]:
    """A folder to leave something in, from which each test takes a copy."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CERVBENCH_CACHE", str(folder / "cache"))
        yield folder


@pytest.fixture(scope="session")
def prepared(drawn: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    with home(tmp_path_factory.mktemp("prepared")) as folder:
        done(cervbench("data", "prepare", drawn))
    return folder


@pytest.fixture
def new_clinic(drawn: Path, tmp_path: Path) -> Path:
    """A folder of class folders."""
    return shutil.copytree(drawn, tmp_path / "clinic")


@pytest.fixture
def clinic(new_clinic: Path, prepared: Path, tmp_path: Path) -> Path:
    """Whose pack is in the cache."""
    shutil.copytree(prepared, tmp_path, dirs_exist_ok=True)
    return new_clinic


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def draw(folder: Path) -> Path:
    """A folder of class folders."""
    rng = np.random.default_rng(0)
    for shift, name in enumerate(CLASSES):
        (folder / name).mkdir(parents=True)
        for n in range(IMAGES):
            pixels = rng.integers(0, 80, (32, 32, 3)) + 100 * shift
            Image.fromarray(pixels.astype(np.uint8)).save(folder / name / f"{n:02d}.png")
    return folder


def cervbench(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments], prog_name="cervbench")


def run(dataset: Path | str, out: Path, *more: str, of: list[str] = MAJORITY) -> Result:
    return cervbench("run", "--dataset", dataset, "--out", out, *of, *more)


def refused(answer: Result, *told: str) -> None:
    """One message, which tells all of this, and no traceback."""
    assert answer.exit_code == 1, answer.output
    assert isinstance(answer.exception, SystemExit), answer.exception
    assert answer.stderr.count("Error: ") == 1
    assert [words for words in told if words not in answer.stderr] == [], answer.stderr


def done(answer: Result) -> None:
    assert answer.exit_code == 0, answer.output


def files(folder: Path, pattern: str = "*") -> list[Path]:
    return sorted(path for path in folder.rglob(pattern) if path.is_file())


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)


def empty(path: Path) -> None:
    path.write_bytes(b"")


# Images


@pytest.mark.parametrize("damage", [cut, empty])
@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "tif", "webp"])
def test_a_damaged_image_is_named(
    new_clinic: Path, out: Path, cache: Path, suffix: str, damage: Callable[[Path], None]
) -> None:
    original = new_clinic / "low" / "03.png"
    image = original.with_suffix(f".{suffix}")
    Image.open(original).save(image)
    if suffix != "png":
        original.unlink()
    damage(image)
    refused(run(new_clinic, out), str(image), "image low/03", "get the file again, or remove it")
    assert not list(cache.rglob("pixels.npy"))
    checked = cervbench("data", "check", new_clinic)
    assert checked.exit_code == 1
    [finding] = checked.stdout.splitlines()
    assert finding.startswith(f"unreadable: low/03: {image}")


def test_an_image_broken_where_the_decoder_does_not_expect_it_is_named(clinic: Path, out: Path) -> None:
    """Regression: a PNG with a broken chunk is a SyntaxError to PIL."""
    image = clinic / "low" / "03.png"
    content = image.read_bytes()
    at = content.index(b"IDAT")
    image.write_bytes(content[:at] + b"\xd3LZ\x01" + content[at + 4 :])
    refused(run(clinic, out), str(image), "get the file again, or remove it")


GREY = np.tile(np.linspace(0, 255, 32).astype(np.uint8), (32, 1))
COLOUR = np.stack([GREY // 64 * 64, GREY.T // 64 * 64, 255 - GREY // 64 * 64], -1)


def in_other_modes() -> Mapping[str, tuple[np.ndarray, Image.Image]]:
    """What is to be seen, and an image of another mode that shows it."""
    colour, grey = Image.fromarray(COLOUR), Image.fromarray(GREY)
    behind = Image.fromarray(np.where(GREY[..., None] > 99, COLOUR, 255).astype(np.uint8))
    clear = Image.fromarray(COLOUR).convert("RGBA")
    clear.putalpha(Image.fromarray(np.where(GREY > 99, 255, 0).astype(np.uint8)))
    shown = {
        "palette.png": (colour, colour.quantize(64)),
        "palette.bmp": (colour, colour.quantize(64)),
        "grey.png": (grey, grey),
        "bits.png": (grey.point(lambda v: 255 * (v > 127)), grey.point(lambda v: 255 * (v > 127), "1")),
        "deep.png": (grey, Image.fromarray(GREY.astype(np.uint16) * 257)),
        "deep.tif": (grey, Image.fromarray(GREY.astype(np.uint16) * 257)),
        "inks.tif": (colour, colour.convert("CMYK")),
        "opaque.png": (colour, colour.convert("RGBA")),
        "clear.png": (behind, clear),
        "clear.tif": (behind, clear),
        "clear-grey.png": (grey, Image.merge("LA", [grey, Image.new("L", grey.size, 255)])),
    }
    return {name: (np.asarray(seen.convert("RGB")), image) for name, (seen, image) in shown.items()}


def test_an_image_in_another_mode_is_read_as_what_it_shows(clinic: Path, tmp_path: Path) -> None:
    twins = draw(tmp_path / "twins")
    for name, (seen, image) in in_other_modes().items():
        stem, _, suffix = name.partition(".")
        image.save(clinic / "low" / f"{stem}-{suffix}.{suffix}")
        Image.fromarray(seen).save(twins / "low" / f"{stem}-{suffix}.png")
    packs = []
    for folder in (clinic, twins):
        answer = cervbench("data", "prepare", folder, "--json")
        done(answer)
        packs.append(Path(json.loads(answer.stdout)["folder"]))
    ids = [json.loads((pack / "index.json").read_text())["images"] for pack in packs]
    pixels = [np.load(pack / "pixels.npy") for pack in packs]
    assert ids[0] == ids[1]
    different = [id for id, a, b in zip(ids[0], *pixels, strict=True) if not np.array_equal(a, b)]
    assert different == []


def test_the_inks_of_a_jpeg_are_read_as_colours(clinic: Path) -> None:
    from cervbench.data.reading import read_image

    Image.fromarray(COLOUR).convert("CMYK").save(clinic / "inks.jpg", quality=100, subsampling=0)
    assert np.abs(np.asarray(read_image(clinic / "inks.jpg")).astype(int) - COLOUR).max() <= 4


@pytest.mark.parametrize("kind", [np.int32, np.float32])
def test_an_image_whose_white_nobody_knows_is_refused(clinic: Path, out: Path, kind: type) -> None:
    """Regression: it was read as black."""
    (clinic / "low" / "03.png").unlink()
    Image.fromarray((GREY / 255).astype(kind)).save(clinic / "low" / "03.tif")
    answer = run(clinic, out)
    refused(answer, str(clinic / "low" / "03.tif"), "32 bits", "save it with 8 or 16")
    assert "get the file again" not in answer.stderr


def test_what_is_no_picture_is_not_run_whatever_it_is_called(clinic: Path, out: Path) -> None:
    """Regression: for an EPS file that was called .png, PIL started Ghostscript."""
    image = Image.fromarray(COLOUR)
    image.save(clinic / "low" / "03.eps")
    (clinic / "low" / "03.eps").replace(clinic / "low" / "03.png")
    refused(run(clinic, out), str(clinic / "low" / "03.png"), "cannot be read as an image")


def test_a_pipe_among_the_images_is_left_alone(clinic: Path, out: Path) -> None:
    """Regression: it was waited for, for ever."""
    os.mkfifo(clinic / "low" / "pipe.png")
    done(run(clinic, out))


def test_a_manifest_that_is_cut_short_is_refused(clinic: Path, tmp_path: Path, out: Path) -> None:
    """Regression: an image whose label was cut off was taken for one without a label."""
    rows = [f"{path.relative_to(clinic)},{path.parent.name}" for path in sorted(clinic.rglob("*.png"))]
    text = "path,label\n" + "\n".join(rows)
    manifest = clinic / "manifest.csv"
    manifest.write_text(text[: text.rindex(",")])
    refused(run(manifest, out), str(manifest), f"row {len(rows) + 1} has fewer values than columns")


# Tables and folders


def test_two_files_of_one_id_are_both_named(clinic: Path, out: Path) -> None:
    shutil.copy(clinic / "low" / "03.png", clinic / "low" / "03.bmp")
    told = (str(clinic / "low" / "03.png"), str(clinic / "low" / "03.bmp"), "keep one of each")
    refused(run(clinic, out), *told)


def cric(folder: Path, *rows: str) -> Path:
    (folder / "cric" / "images").mkdir(parents=True)
    Image.new("RGB", (160, 120), "pink").save(folder / "cric" / "images" / "field.png")
    table = folder / "cric" / "cells.csv"
    table.write_text("\n".join(["image,cell_id,bethesda,nucleus_x,nucleus_y", *rows]) + "\n")
    return table


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        (["field.png,1,NILM,50,50", "field.png,2,NLIM,60,60"], "row 3: 'NLIM' is none of NILM, ASC-US"),
        (["field.png,1,NILM,50,50", "field.png,1,HSIL,60,60"], "row 3: cell 1 of field.png stands in row 2"),
        (["field.png,1,NILM,50,middle"], "row 2: cell_id, nucleus_x and nucleus_y must be whole numbers"),
        (["field.png,1"], "row 2 has fewer values than columns"),
        (["field.png,1,NILM,50,50,7"], "row 2 has more values than columns"),
    ],
    ids=["unknown label", "duplicate id", "no number", "short row", "long row"],
)
def test_a_wrong_row_of_a_known_dataset_is_named(
    tmp_path: Path, out: Path, rows: list[str], told: str
) -> None:
    table = cric(tmp_path, *rows)
    refused(run("cric", out, "--data-root", str(tmp_path)), f"{table}, {told}")


def test_a_table_cannot_bring_in_a_file_from_outside_its_folder(tmp_path: Path, out: Path) -> None:
    cric(tmp_path, "../../secret.png,1,NILM,50,50", f"{tmp_path}/secret.png,2,NILM,50,50")
    Image.new("RGB", (160, 120)).save(tmp_path / "secret.png")
    refused(run("cric", out, "--data-root", str(tmp_path)), f"{tmp_path / 'cric'} holds no image")


@pytest.fixture
def herlev(tmp_path: Path) -> Path:
    """A data root with a part of Herlev's ids, every class in five groups or more, as far as names go."""
    from cervbench.protocol.folds import frozen

    whole = frozen("herlev")
    for image, label in zip(whole.images[::3], whole.labels[::3], strict=True):
        path = tmp_path / "data" / "herlev" / label / f"{image}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), "pink").save(path)
    return tmp_path / "data"


def test_a_class_of_a_known_dataset_that_has_no_image_is_named(herlev: Path, out: Path) -> None:
    """Regression: a table with a class that nothing could be right about."""
    shutil.rmtree(herlev / "herlev" / "normal_columnar")
    told = ("no image of the class 'normal_columnar'", "cervbench data check herlev")
    refused(run("herlev", out, "--data-root", str(herlev)), *told)
    assert "missing: normal_columnar" in cervbench("data", "check", "herlev", "--data-root", herlev).stdout


def test_a_class_of_a_known_dataset_with_too_few_groups_is_named(herlev: Path, out: Path) -> None:
    for path in sorted((herlev / "herlev" / "normal_columnar").iterdir())[1:]:
        path.unlink()
    told = ("herlev: there are 5 folds", "in each: 'normal_columnar' in 1.")
    refused(run("herlev", out, "--data-root", str(herlev)), *told)


def test_a_foreign_file_among_those_of_a_known_dataset_is_named(herlev: Path, out: Path) -> None:
    stray = herlev / "herlev" / "normal_columnar" / "holiday.png"
    Image.new("RGB", (8, 8)).save(stray)
    refused(run("herlev", out, "--data-root", str(herlev)), f"{stray}: ", "remove it")


def test_a_class_with_too_few_groups_is_named(clinic: Path, out: Path) -> None:
    for path in sorted((clinic / "low").iterdir())[3:]:
        path.unlink()
    refused(run(clinic, out), "clinic: there are 5 folds", "in each: 'low' in 3.", "Merge it", "`split`")


@pytest.mark.parametrize("command", [["run", *MAJORITY, "--dataset"], ["data", "prepare"], ["data", "audit"]])
def test_a_wrong_data_root_is_named_with_what_it_should_hold(tmp_path: Path, command: list[str]) -> None:
    answer = cervbench(*command, "herlev", "--data-root", tmp_path / "nowhere")
    remedies = ("--data-root (or CERVBENCH_DATA)", "cervbench data fetch herlev")
    refused(answer, str(tmp_path / "nowhere" / "herlev"), *remedies)


def test_a_data_root_with_another_folder_of_the_name_is_refused(tmp_path: Path, out: Path) -> None:
    (tmp_path / "herlev" / "holiday").mkdir(parents=True)
    answer = run("herlev", out, "--data-root", str(tmp_path))
    refused(answer, str(tmp_path / "herlev"), "none of the class folders", "name the right folder with")


# Records


@pytest.fixture(scope="session")
def recorded(drawn: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    with home(tmp_path_factory.mktemp("recorded")) as folder:
        done(run(drawn, folder / "out"))
    return folder


@pytest.fixture
def record(recorded: Path, out: Path, tmp_path: Path) -> Path:
    shutil.copytree(recorded, tmp_path, dirs_exist_ok=True)
    (path,) = files(out / "records")
    return path


def edit(where: str) -> Callable[[Path], None]:
    def changed(path: Path) -> None:
        content = json.loads(path.read_text())
        *way, last = where.split(".")
        part = content
        for key in way:
            part = part[key]
        part[last] += 1
        path.write_text(json.dumps(content))

    return changed


DAMAGES = {
    "cut short": cut,
    "empty": empty,
    "a score": edit("scores.balanced_accuracy"),
    "a time": edit("observed.evaluation_seconds"),
    "the ratio": edit("ratio"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_record_is_refused_by_name_and_never_written_over(
    record: Path, clinic: Path, out: Path, damage: str
) -> None:
    DAMAGES[damage](record)
    left = record.read_bytes()
    for command in (
        lambda: run(clinic, out),
        lambda: run(clinic, out, "--eval", "linear,knn"),
        lambda: cervbench("leaderboard", "build", "--records", out),
    ):
        refused(command(), str(record), "Restore it from a copy; or delete it")
        assert record.read_bytes() == left
    verified = cervbench("verify", record)
    assert verified.exit_code == 1
    assert str(record) in verified.stdout
    assert len(files(out / "records")) == 1  # a damaged record was noticed before knn was worked on

    record.unlink()
    done(run(clinic, out))
    assert cervbench("verify", out).exit_code == 0


@pytest.mark.parametrize("damage", [cut, empty, flip, Path.unlink])
def test_damaged_predictions_are_refused_by_name(
    record: Path, out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: Callable[[Path], None]
) -> None:
    (table,) = files(out / "predictions")
    damage(table)
    for verified in (cervbench("verify", out), cervbench("leaderboard", "check", "--records", out)):
        assert verified.exit_code == 1
        assert str(record) in verified.stdout
    monkeypatch.setenv("CERVBENCH_CACHE", str(tmp_path / "another"))  # which remembers no figures
    refused(cervbench("leaderboard", "build", "--records", out), str(table))


# What is in the cache


def test_a_damaged_pack_is_built_anew(clinic: Path, cache: Path, caplog: pytest.LogCaptureFixture) -> None:
    first = cervbench("data", "prepare", clinic, "--json").stdout
    for name in ("pixels.npy", "index.json", "folds-v1.csv"):
        for damage in (cut, empty, Path.unlink):
            (path,) = cache.rglob(name)
            damage(path)
            again = cervbench("data", "prepare", clinic, "--json")
            done(again)
            assert again.stdout == first, name
            assert name == "folds-v1.csv" or str(path.parent) in caplog.text
            caplog.clear()


def test_folds_that_were_kept_are_dealt_again_where_one_bin_is_another(clinic: Path, cache: Path) -> None:
    """Regression: nothing was noticed, and a group stood on two sides of a fold."""
    first = cervbench("data", "prepare", clinic, "--json").stdout
    (kept,) = cache.rglob("folds-v1.csv")
    told = kept.read_text()
    header, row = told.splitlines()[:2]
    cells, at = row.split(","), header.split(",").index("bin")
    cells[at] = str((int(cells[at]) + 1) % 10)
    kept.write_text(told.replace(row, ",".join(cells)))
    assert cervbench("data", "prepare", clinic, "--json").stdout == first
    assert kept.read_text() == told


@pytest.fixture(scope="session")
def trained(drawn: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    with home(tmp_path_factory.mktemp("trained")) as folder:
        done(run(drawn, folder / "out", of=SIMCLR))
    return folder


@pytest.fixture
def pretrained(trained: Path, cache: Path, tmp_path: Path) -> Path:
    """The folder of an encoder that was trained."""
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    (weights,) = cache.rglob("method.safetensors")
    return weights.parent


@pytest.mark.parametrize("damage", [cut, empty, flip, Path.unlink])
@pytest.mark.parametrize("name", ["method.safetensors", "observed.json"])
def test_damaged_weights_are_named_and_made_anew(
    pretrained: Path,
    clinic: Path,
    out: Path,
    caplog: pytest.LogCaptureFixture,
    name: str,
    damage: Callable[[Path], None],
) -> None:
    whole = (pretrained / "method.safetensors").read_bytes()
    damage(pretrained / name)
    told = (name, damage) != ("observed.json", Path.unlink)  # then it was never done
    answer = run(clinic, out, "--eval", "linear,knn", of=SIMCLR)
    done(answer)
    assert (str(pretrained / name) in caplog.text) == told
    assert "pretext" in answer.stderr
    assert (pretrained / "method.safetensors").read_bytes() == whole
    assert cervbench("verify", out).exit_code == 0


@pytest.fixture(scope="session")
def stopped(drawn: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    def stop(*arguments: object) -> None:
        raise KeyboardInterrupt

    with home(tmp_path_factory.mktemp("stopped")) as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr("cervbench.training.pretrain.reestimate_norms", stop)
        refused(run(drawn, folder / "out", of=SIMCLR), "the same command goes on where this one stopped")
    return folder


@pytest.fixture
def interrupted(stopped: Path, cache: Path, tmp_path: Path) -> Path:
    """The folder of a checkpoint that a run stopped after."""
    shutil.copytree(stopped, tmp_path, dirs_exist_ok=True)
    (state,) = cache.rglob("optimizer.pt")
    return state.parent


@pytest.mark.parametrize("damage", [cut, empty, flip, Path.unlink])
@pytest.mark.parametrize("name", ["weights.safetensors", "optimizer.pt"])
def test_a_damaged_checkpoint_is_named_and_its_stage_begins_anew(
    interrupted: Path,
    clinic: Path,
    out: Path,
    caplog: pytest.LogCaptureFixture,
    name: str,
    damage: Callable[[Path], None],
) -> None:
    damage(interrupted / name)
    done(run(clinic, out, of=SIMCLR))
    assert str(interrupted / name) in caplog.text


def test_what_began_anew_ends_as_what_was_undisturbed(
    interrupted: Path, clinic: Path, out: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut(interrupted / "optimizer.pt")
    done(run(clinic, out, of=SIMCLR))
    monkeypatch.setenv("CERVBENCH_CACHE", str(cache.with_name("another")))
    done(run(clinic, out.with_name("undisturbed"), of=SIMCLR))
    first, second = files(cache.parent, "method.safetensors")
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize("damage", [cut, empty])
def test_damaged_weights_to_start_from_are_named(
    pretrained: Path, clinic: Path, out: Path, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    start = tmp_path / "start.safetensors"
    shutil.copy(pretrained / "method.safetensors", start)
    done(run(clinic, out, "--init", str(start), of=SIMCLR))
    damage(start)
    refused(run(clinic, out, "--init", str(start), of=SIMCLR), f"{start} is not a safetensors file")


# Evaluations of others


def trained_further(trained: Any) -> None:
    trained.classifier(2)


def nothing(**arguments: Any) -> None:
    """Whose author forgot the return."""


@pytest.mark.parametrize(
    ("predict", "told"),
    [
        (nothing, "predict returns None, where a dict of columns is due"),
        (trained_further, "Majority has no encoder"),
    ],
)
def test_an_evaluation_that_breaks_its_contract_is_named_with_its_package(
    clinic: Path, out: Path, monkeypatch: pytest.MonkeyPatch, predict: Callable[..., Any], told: str
) -> None:
    found = Plugins.discover()
    offer = EvaluationOffer(predict, "a test")
    package = SimpleNamespace(cervbench_evaluations=hookimpl(lambda: {"strange": offer}))
    found.add(package, "cervbench-strange")
    monkeypatch.setattr("cervbench.harness.plugins", lambda: found)
    answer = run(clinic, out, "--eval", "linear,strange")
    refused(answer, "evaluation strange of package cervbench-strange", told, "--eval")
    assert len(files(out / "records")) == len(files(out / "predictions")) == 1  # linear came before


# Disks


@contextmanager
def no_file_larger_than(size: int) -> Iterator[None]:
    """The system refuses what is beyond, in the middle of a file, as it does where a disk is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_pack_that_cannot_be_written_is_named_and_leaves_nothing_half_written(
    new_clinic: Path, out: Path, cache: Path
) -> None:
    with no_file_larger_than(1_000_000):
        refused(run(new_clinic, out), "File too large", str(cache / "packs" / "clinic"), "pixels.npy")
    assert [path for path in files(cache) if path.suffix != ".lock"] == []
    done(run(new_clinic, out))


def test_a_checkpoint_that_cannot_be_written_is_named_and_leaves_nothing_half_written(
    clinic: Path, out: Path, cache: Path
) -> None:
    with no_file_larger_than(1_000_000):
        answer = run(clinic, out, of=SIMCLR)
    refused(answer, "File too large", str(cache / "pretrainings"), "pretext/step-")
    assert [path for path in files(cache / "pretrainings") if path.suffix != ".lock"] == []
    done(run(clinic, out, of=SIMCLR))


@pytest.mark.usefixtures("record")
def test_a_record_without_its_predictions_is_made_again(clinic: Path, out: Path) -> None:
    (table,) = files(out / "predictions")
    content = table.read_bytes()
    table.unlink()
    done(run(clinic, out))
    assert table.read_bytes() == content


def test_a_class_that_is_not_in_every_part_is_named(clinic: Path) -> None:
    rows = [(path.relative_to(clinic), path.parent.name) for path in sorted(clinic.glob("*/*"))]
    *others, last = sorted({label for _, label in rows})
    parts = {label: ["train", "val", "test"] for label in others} | {last: ["train", "test", "train"]}
    table = clinic / "parted.csv"
    told = [f"{path},{label},{parts[label][n % 3]}" for n, (path, label) in enumerate(rows)]
    table.write_text("\n".join(["path,label,split", *told]) + "\n")
    assert f"class {last} is missing from fold 0: val\n" in cervbench("data", "prepare", table).stdout
    answer = json.loads(cervbench("data", "prepare", table, "--json").stdout)
    assert answer["lacking"] == {last: ["fold 0: val"]}


def test_that_groups_are_unknown_is_told(
    clinic: Path, out: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Regression: whoever ran it from Python was not told."""
    asked = Request("majority", str(clinic), tier="smoke", folds=(0, 1), ratios=(100,), evaluations=("knn",))
    list(execute([asked], Place(cache=tmp_path / "cache", out=out)))
    [told] = caplog.messages
    assert "nothing says which images belong together" in told
    assert "unknown: folds may leak, and no interval is shown" in cervbench("data", "prepare", clinic).stdout


@pytest.mark.parametrize("kind", ["predictions", "records"])
def test_on_a_full_disk_the_file_is_named_and_nothing_half_written_remains(
    clinic: Path, out: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    flush = os.fsync

    def full(handle: int) -> None:
        if os.fstat(handle).st_ino in {path.stat().st_ino for path in files(out / kind)}:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        flush(handle)

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", full)
        answer = run(clinic, out)
    refused(answer, "No space left on device", f"{out / kind}/clinic", "what is done is kept")
    assert files(out / "records") == []
    assert len(files(out / "predictions")) == (kind == "records")
    done(run(clinic, out))
    assert cervbench("verify", out).exit_code == 0


def in_a_namespace(script: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a shell script that may mount small file systems, which nobody else sees."""
    try:
        subprocess.run(["unshare", "-rm", "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("needs namespaces of its own to mount a small disk in")
    return subprocess.run(
        ["unshare", "-rm", "sh", "-c", script],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "cervbench": f"{sys.executable} -m cervbench", **environment},
    )


def test_a_disk_that_is_full_ends_with_a_message_and_with_more_room_the_run_goes_on(
    new_clinic: Path, out: Path, cache: Path
) -> None:
    """Regression: written through a memory map, a full disk killed the process with SIGBUS."""
    cache.mkdir()
    command = f'$cervbench run --dataset "$data" --out "$out" {" ".join(MAJORITY)}'
    answer = in_a_namespace(
        'mount -t tmpfs -o size=1m tmpfs "$CERVBENCH_CACHE"\n'
        f'{command}; echo "ended $?"; find "$CERVBENCH_CACHE" -type f ! -name "*.lock"\n'
        'mount -o remount,size=64m tmpfs "$CERVBENCH_CACHE"\n'
        f'{command} > /dev/null; echo "ended $?"',
        data=str(new_clinic),
        out=str(out),
    )
    assert answer.stdout.splitlines() == ["ended 1", "ended 0"], answer.stderr
    assert answer.stderr.count("Error: No space left on device") == 1
    assert f"{cache / 'packs' / 'clinic'}" in answer.stderr
    assert "Traceback" not in answer.stderr


def test_an_output_folder_below_a_file_is_noticed_before_training(
    clinic: Path, tmp_path: Path, cache: Path
) -> None:
    (tmp_path / "file").write_text("")
    answer = run(clinic, tmp_path / "file" / "out", of=SIMCLR)
    refused(answer, str(tmp_path / "file"), "choose another folder")
    assert "pretext" not in answer.stderr
    assert not list(cache.rglob("method.safetensors"))


@pytest.mark.parametrize("used_before", [False, True])
def test_a_read_only_output_folder_is_noticed_before_training(
    clinic: Path, out: Path, cache: Path, used_before: bool
) -> None:
    out.mkdir()
    answer = in_a_namespace(
        'mount -t tmpfs tmpfs "$out"\n'
        f"{'mkdir $out/.locks' if used_before else ''}\n"
        'mount -o remount,ro tmpfs "$out"\n'
        f'$cervbench run --dataset "$data" --out "$out" {" ".join(SIMCLR)}',
        data=str(clinic),
        out=str(out),
    )
    assert answer.returncode == 1, answer.stderr
    assert f"Error: Read-only file system ({out}" in answer.stderr
    assert "choose a folder that can be written to (--out" in answer.stderr
    assert "Traceback" not in answer.stderr
    assert not list(cache.rglob("*.safetensors"))


# Processes


def start(*arguments: str, **environment: str) -> subprocess.Popen[str]:
    threads = str(torch.get_num_threads())  # the same number gives the same bits
    return subprocess.Popen(
        [sys.executable, "-m", "cervbench", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": threads, **environment},
        # What a shell starts in the background ignores Ctrl-C, and so would its children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


def test_a_closed_stdout_ends_with_1_and_the_same_command_goes_on(clinic: Path, out: Path) -> None:
    """Regression: behind `| head`, without a word."""
    reader, writer = os.pipe()
    os.close(reader)
    command = ["run", "--dataset", str(clinic), "--out", str(out), *MAJORITY, "--json"]
    ended = subprocess.run(
        [sys.executable, "-m", "cervbench", *command],
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(writer)
    assert ended.returncode == 1, ended.stderr
    told = "Error: stdout was closed; what is done is kept, and the same command goes on"
    assert ended.stderr.splitlines()[-1] == told
    assert len(files(out / "records")) == 1
    done(run(clinic, out))


def test_two_processes_on_one_folder_wait_for_each_other_and_both_end_well(
    clinic: Path, out: Path, cache: Path
) -> None:
    planned = run(clinic, out, "--dry-run", "--json").stdout.splitlines()[0]
    id = Run.model_validate(json.loads(planned)["run"]).id
    (cache / "pretrainings").mkdir()
    command = ["run", "--dataset", str(clinic), "--out", str(out), *MAJORITY, "--json"]
    with FileLock(cache / "pretrainings" / f"{id}.lock"):  # so that the two surely meet
        both = [start(*command) for _ in range(2)]
        for process in both:
            assert process.stderr is not None
            assert any("waiting for another process" in line for line in process.stderr)
    told = [process.communicate() for process in both]
    assert [process.returncode for process in both] == [0, 0], told
    records = [json.loads(printed) for printed, _ in told]
    assert sorted(record.pop("existed") for record in records) == [False, True]
    assert records[0] == records[1]
    assert len(files(out / "records")) == len(files(out / "predictions")) == 1
    assert [path for path in files(out, ".*") if path.parent.name != ".locks"] == []
    assert cervbench("leaderboard", "check", "--records", out).exit_code == 0


@pytest.mark.usefixtures("record")
def test_pages_know_the_records_that_another_process_wrote_meanwhile(
    clinic: Path, out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Regression: one rendered again and again for as long as others wrote; each renders once, in turn."""
    from cervbench.leaderboard import pages

    done(run(clinic, tmp_path / "other", "--folds", "1"))
    render, others, renders = pages._render, [], []

    def meanwhile(*arguments: Any) -> dict[str, str]:
        made = render(*arguments)
        renders.append(made)
        if not others:
            for folder in ("records", "predictions"):
                shutil.copytree(tmp_path / "other" / folder, out / folder, dirs_exist_ok=True)
            others.append(Thread(target=pages.build, args=[out]))
            others[0].start()
            others[0].join(0.5)  # if it did not wait, it would be done by now
        return made

    with monkeypatch.context() as patch:
        patch.setattr(pages, "_render", meanwhile)
        done(cervbench("leaderboard", "build", "--records", out))
        others[0].join()
    assert len(renders) == 2
    assert cervbench("leaderboard", "check", "--records", out).exit_code == 0


def test_ctrl_c_ends_with_1_and_the_same_command_goes_on_to_the_same_bits(
    clinic: Path, out: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    epochs = 40
    asked = [*SIMCLR, "--set", f"protocol.pretext.epochs={epochs}"]
    monkeypatch.setenv("CERVBENCH_CHECKPOINT_SECONDS", "0")
    process = start("run", "--dataset", str(clinic), "--out", str(out), *asked)
    while process.poll() is None and not list(cache.rglob("step-*")):
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    printed, told = process.communicate()
    assert process.returncode == 1, told
    assert printed == ""
    assert told.splitlines()[-1] == "Error: interrupted; the same command goes on where this one stopped"
    assert "Traceback" not in told
    (left,) = cache.rglob("step-*")
    step = int(left.name.removeprefix("step-"))

    resumed = run(clinic, out, of=asked)
    done(resumed)
    assert f"pretext {step + 1}/{epochs} " in resumed.stderr
    monkeypatch.setenv("CERVBENCH_CACHE", str(cache.with_name("another")))
    done(run(clinic, out.with_name("undisturbed"), of=asked))
    first, second = files(cache.parent, "method.safetensors")
    assert first.read_bytes() == second.read_bytes()

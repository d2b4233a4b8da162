"""What scripts may rely on: streams, exit codes, and a start that does not wait for torch."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import PackageNotFoundError
from itertools import product
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from click.testing import CliRunner, Result
from PIL import Image

from cervbench import progress
from cervbench.cli import COMMANDS, main
from cervbench.plugin import Encoder, Method, MethodConfig, Offer, hookimpl
from cervbench.plugin.manager import Plugins, plugins

SMOKE = [
    "run",
    "--method",
    "majority",
    "--dataset",
    "synthetic",
    "--tier",
    "smoke",
    "--folds",
    "0",
    "--labels",
    "100",
]
IMAGENET = ["--method", "supervised", "--backbone", "tf_efficientnet_lite0", "--init", "imagenet"]


def cervbench(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments, prog_name="cervbench")


@pytest.fixture(scope="module", autouse=True)
def cache(
    tmp_path_factory: pytest.TempPathFactory, cache_with_cells: Callable[[Path], Path]
) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("CERVBENCH_CACHE", str(cache_with_cells(tmp_path_factory.mktemp("cache"))))
        yield


def test_every_command_can_be_asked_for_help() -> None:
    for name in COMMANDS:
        answer = cervbench(name, "--help")
        assert answer.exit_code == 0, answer.output
        assert answer.output.startswith(f"Usage: cervbench {name} ")


def test_help_names_every_command_with_its_line() -> None:
    shown = cervbench("--help").output
    for name, (_, line) in COMMANDS.items():
        assert f"{name} " in shown
        assert line in shown


def test_torch_is_not_imported_for_what_computes_nothing() -> None:
    """One after another, so that the first that imports it is named."""
    commands = [
        ["--help"],
        ["--version"],
        *(["list", kind] for kind in ("methods", "datasets", "backbones", "evaluations", "studies")),
        ["run", "--method", "simclr", "--dataset", "herlev", "--set", "temprature=1"],
        ["run", "--method", "nothing", "--dataset", "herlev"],
        ["run", "--method", "supervised", "--dataset", "herlev", "--backbone", "not-installed:convnet"],
        [*SMOKE, "--dry-run"],
        [*SMOKE, *IMAGENET, "--dry-run"],
    ]
    program = (
        "import json, sys; from cervbench.cli import main\n"
        "for arguments in json.loads(sys.argv[1]):\n"
        "    try: main(arguments, 'cervbench')\n"
        "    except SystemExit: pass\n"
        "    print(*arguments, 'torch' in sys.modules, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, json.dumps(commands)], capture_output=True, text=True, check=False
    )
    told = [line for line in done.stderr.splitlines() if line.endswith((" True", " False"))]
    assert told == [" ".join([*arguments, "False"]) for arguments in commands], done.stderr


def test_help_imports_none_of_the_heavy_packages() -> None:
    program = "import sys, cervbench.cli; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not {"torch", "numpy", "pandas", "pyarrow", "sklearn", "PIL", "rich", "pydantic"} & set(loaded)


def test_list_as_json_is_one_object_a_line() -> None:
    for kind in ("methods", "datasets", "backbones", "evaluations"):
        rows = [json.loads(line) for line in cervbench("list", kind, "--json").stdout.splitlines()]
        assert rows
        assert all(row["name"] and row["package"] and row["version"] for row in rows)


def test_list_plugins_shows_what_each_package_adds() -> None:
    rows = [json.loads(line) for line in cervbench("list", "plugins", "--json").stdout.splitlines()]
    adds = {row["package"]: row["adds"] for row in rows}
    assert "method supervised" in adds["cervbench"]
    assert "method simclr" in adds["cervbench-simclr"]
    assert not any(row["problems"] for row in rows)


WRONG = {
    "unknown command": (["rum"], "rum"),
    "unknown method": (["run", "--method", "simclear", "--dataset", "herlev"], "did you mean 'simclr'?"),
    "a row for a method": (["run", "--method", "scratch", "--dataset", "herlev"], "--eval finetune makes it"),
    "unknown dataset": (["run", "--method", "majority", "--dataset", "herlef"], "did you mean 'herlev'?"),
    "no dataset": (["run", "--method", "majority"], "--dataset is missing"),
    "unknown setting": (
        ["run", "--method", "simclr", "--dataset", "herlev", "--set", "temprature=1"],
        "did you mean 'temperature'?",
    ),
    "setting twice": ([*SMOKE, "--set", "a=1", "--set", "a=2"], "--set gives a more than once"),
    "unknown study": (["run", "no-such-study"], "no study 'no-such-study'"),
    "study and setting": (
        ["run", "some.toml", "--set", "a=1"],
        "--set has no place beside a study",
    ),
    "evaluation that a study has not": (
        ["run", "attentive-transfer", "--eval", "linear"],
        "it has evaluations finetune",
    ),
    "method that a study has not": (
        ["run", "baselines", "--method", "majority"],
        "it has method supervised",
    ),
    "unknown evaluation": ([*SMOKE, "--eval", "liner"], "did you mean 'linear'?"),
    "strange ratio": ([*SMOKE[:-1], "3"], "no ratio 3"),
    "folds backwards": ([*SMOKE, "--folds", "3-1"], "runs backwards"),
    "unknown fold": ([*SMOKE, "--folds", "7"], "no fold 7"),
    "misspelt number of the protocol": (
        [*SMOKE, "--set", "protocol.finetune.stesp=3"],
        "did you mean 'finetune.steps'?",
    ),
    "no record": (["verify", __file__], "test_commands.py is no record: these are <out>/records/"),
    "unknown device": ([*SMOKE, "--device", "toaster"], "device is 'toaster'; say auto, cpu, cuda"),
    "device that is not there": ([*SMOKE, "--device", "cuda:99"], "device is 'cuda:99', and "),
    "unknown tier": ([*SMOKE, "--tier", "huge"], "'smoke', 'quick', 'standard'"),
}


@pytest.fixture
def simclr_alone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No other package of a method is installed."""
    monkeypatch.setenv("CERVBENCH_PLUGINS", "cervbench-simclr")
    plugins.cache_clear()
    yield
    plugins.cache_clear()


@pytest.mark.usefixtures("simclr_alone")
def test_a_method_that_is_not_installed_is_told_with_the_package_that_brings_it() -> None:
    asked = cervbench("run", "--method", "agbt", "--dataset", "synthetic")
    assert asked.exit_code == 2
    assert "pip install -e plugins/cervbench-agbt" in asked.stderr
    assert "if it is installed, name it in CERVBENCH_PLUGINS" in asked.stderr


@pytest.mark.parametrize("fault", WRONG)
def test_wrong_usage_ends_with_2_and_says_what_is_wrong(
    fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Regression: with a device that is not there, folds were written first."""
    monkeypatch.chdir(tmp_path)
    arguments, told = WRONG[fault]
    answer = cervbench(*arguments)
    assert answer.exit_code == 2
    assert told in answer.stderr
    assert answer.stdout == ""
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize("option", ["--out", "--data-root"])
def test_a_file_in_place_of_a_folder_is_wrong_usage_whatever_the_option(option: str, tmp_path: Path) -> None:
    """Regression: only some of the options that take a folder said so; with others the run began."""
    (tmp_path / "file").write_text("a file")
    answer = cervbench(*SMOKE, option, str(tmp_path / "file"))
    assert answer.exit_code == 2
    assert f"'{tmp_path / 'file'}' is a file" in answer.stderr


@pytest.mark.parametrize("kind", [(), ("--dry-run",)])
def test_a_readme_of_somebody_else_is_told_before_anything_is_trained(
    kind: tuple[str, ...], tmp_path: Path
) -> None:
    """Regression: it was told when all was done, where the pages were to be written."""
    (tmp_path / "README.md").write_text("# My notes\n")
    answer = cervbench(*SMOKE, "--out", str(tmp_path), *kind)
    assert answer.exit_code == 1
    assert "would be lost: move it, or choose another folder" in answer.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["README.md"]


def test_run_prints_one_record_a_line_and_the_second_time_that_it_was_done(tmp_path: Path) -> None:
    command = [*SMOKE, "--out", str(tmp_path), "--json"]
    first, second = cervbench(*command), cervbench(*command)
    assert (first.exit_code, second.exit_code) == (0, 0), first.output + second.output

    records = [json.loads(line) for line in first.stdout.splitlines()]
    assert {record["evaluation"]["name"] for record in records} == {"linear", "knn"}
    assert not any(record["existed"] for record in records)
    assert all((tmp_path / "records" / "synthetic" / f"{record['id']}.json").exists() for record in records)
    assert str(tmp_path / "README.md") in first.stderr

    again = [json.loads(line) for line in second.stdout.splitlines()]
    assert again == [record | {"existed": True} for record in records]
    assert "done already" in second.stderr


class Exploding(Method):
    """Has no finite loss."""

    def loss(self, views: Sequence[torch.Tensor]) -> torch.Tensor:
        return self.encoder(views[0]).sum() * torch.nan


class Misplaced(Method):
    """Reads a file that is not there."""

    def build(self, encoder: Encoder) -> None:
        Path("codebook.npy").read_bytes()


class TooLarge(Method):
    """Says what torch says where a device's memory does not suffice."""

    def loss(self, views: Sequence[torch.Tensor]) -> torch.Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9.54 GiB.")


def beside_majority(
    name: str,
    method: type[Method] | str,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    *options: str,
    **hooks: Callable[..., None],
) -> tuple[Result, Path]:
    """What a study of a method and of another that works says, and where it put its records."""
    found = Plugins.discover()
    offer = Offer(MethodConfig, method, "nobody")
    marked = {hook: hookimpl(function) for hook, function in hooks.items()}
    found.add(SimpleNamespace(cervbench_methods=hookimpl(lambda: {name: offer}), **marked), "package")
    monkeypatch.setattr("cervbench.harness.plugins", lambda: found)
    study, out = folder / "some.toml", folder / "out"
    study.write_text(
        f'[[runs]]\nmethod = ["{name}", "majority"]\ndataset = "synthetic"\nbackbone = "test_resnet"\n'
        'tier = "smoke"\nfolds = [0, 1]\nratios = [100]\nevaluations = ["linear"]\n'
    )
    return cervbench("run", str(study), "--out", str(out), *options), out


@pytest.mark.parametrize(
    ("method", "why"),
    [
        (Exploding, "loss"),
        (Misplaced, "No such file or directory (codebook.npy)"),
        (TooLarge, "Tried to allocate 9.54 GiB: a smaller --backbone or --tier takes less"),
    ],
)
def test_a_run_that_fails_keeps_no_other_of_a_study_from_its_records(
    method: type[Method], why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer, out = beside_majority("exploding", method, tmp_path, monkeypatch)
    assert answer.exit_code == 1, answer.output
    first, second = (line for line in answer.stderr.splitlines() if "· exploding" in line)
    assert first.startswith("Error: synthetic smoke fold 0 · exploding test_resnet random seed 0: ")
    assert why in first
    assert second == "Error: synthetic smoke fold 1 · exploding test_resnet random seed 0: the same"
    assert answer.stderr.splitlines()[-1].startswith("Error: 2 of 4 runs failed")
    assert "Traceback" not in answer.stderr
    assert len(answer.stdout.splitlines()) == len(list(out.glob("records/synthetic/*.json"))) == 2
    assert "majority" in (out / "synthetic.md").read_text()


def test_a_method_whose_module_cannot_be_imported_is_told_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Regression: a traceback through importlib, of which the package was to be guessed."""
    (tmp_path / "broken_method.py").write_text("import of_a_package_that_is_not_there\n")
    monkeypatch.syspath_prepend(tmp_path)
    answer, _ = beside_majority("broken", "broken_method:Broken", tmp_path, monkeypatch)
    assert answer.exit_code == 1, answer.output
    assert "broken_method:Broken cannot be imported: ModuleNotFoundError" in answer.stderr
    assert f"at {tmp_path / 'broken_method.py'}:1" in answer.stderr
    assert "Traceback" not in answer.stderr
    assert len(answer.stdout.splitlines()) == 2


@pytest.mark.parametrize(
    ("method", "told"),
    [
        ("json.loads", "'json.loads' does not read 'package.module:name'"),
        (
            "json:loads",
            "names a function as its method (json:loads); give a subclass of cervbench.plugin.Method",
        ),
        ("json:JSONDecoder", "names the class JSONDecoder as its method"),
    ],
)
def test_an_offer_that_names_no_method_is_told(
    method: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer, _ = beside_majority("misnamed", method, tmp_path, monkeypatch, "--folds", "0")
    assert answer.exit_code == 1, answer.output
    assert told in answer.stderr
    assert "Traceback" not in answer.stderr


class Mistaken(Method):
    def loss(self, views: Sequence[torch.Tensor]) -> torch.Tensor:
        return views[0] @ views[0].flatten()


def test_a_mistake_of_a_method_is_told_with_its_run_and_line_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Regression: only errors that were foreseen left the rest of a study to be done."""
    answer, out = beside_majority("mistaken", Mistaken, tmp_path, monkeypatch)
    assert answer.exit_code == 1, answer.output
    assert "Error: synthetic smoke fold 0 · mistaken test_resnet random seed 0: Traceback" in answer.stderr
    assert "return views[0] @ views[0].flatten()" in answer.stderr
    assert answer.stderr.splitlines()[-1].startswith("Error: 2 of 4 runs failed")
    assert "majority" in (out / "synthetic.md").read_text()


class Talking(Method):
    def loss(self, views: Sequence[torch.Tensor]) -> torch.Tensor:
        print("the loss talks")
        return self.encoder(views[0]).square().mean()


def test_a_variable_that_cannot_be_understood_is_told_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CERVBENCH_CHECKPOINT_SECONDS", "often")
    answer = CliRunner().invoke(main, SMOKE)
    assert answer.exit_code == 2
    assert "CERVBENCH_CHECKPOINT_SECONDS is 'often'" in answer.stderr
    assert isinstance(answer.exception, SystemExit)


def test_what_a_plugin_prints_goes_to_stderr_and_stdout_has_records_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Regression: a print in a loss stood between the records that a script was to read."""

    def talk(step: int) -> None:
        print("the watcher talks")

    answer, _ = beside_majority("talking", Talking, tmp_path, monkeypatch, "--json", cervbench_step=talk)
    assert answer.exit_code == 0, answer.output
    assert len([json.loads(line)["id"] for line in answer.stdout.splitlines()]) == 4
    assert "the loss talks" in answer.stderr
    assert "the watcher talks" in answer.stderr


class Leaving(Method):
    def loss(self, views: Sequence[torch.Tensor]) -> torch.Tensor:
        sys.exit(0)


def test_a_method_that_exits_is_a_run_that_failed_and_ends_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Regression: the command ended with 0, without a word and without the records."""
    answer, out = beside_majority("leaving", Leaving, tmp_path, monkeypatch)
    assert answer.exit_code == 1, answer.output
    told = f"sys.exit is called at {__file__}:{Leaving.loss.__code__.co_firstlineno + 1}, in a run of method"
    assert f"random seed 0: {told} leaving; raise an error" in answer.stderr
    assert len(answer.stdout.splitlines()) == len(list(out.glob("records/synthetic/*.json"))) == 2


def test_a_watcher_that_exits_is_left_alone_and_the_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def leave(step: int) -> None:
        sys.exit(0)

    answer, _ = beside_majority("talking", Talking, tmp_path, monkeypatch, cervbench_step=leave)
    assert answer.exit_code == 0, answer.output
    assert len(answer.stdout.splitlines()) == 4


def test_runs_that_cannot_be_done_as_they_were_asked_for_end_with_2(tmp_path: Path) -> None:
    """Regression: with 1, behind which a script tries again."""
    asked = [*SMOKE, "--method", "mae", "--backbone", "test_resnet", "--folds", "0,1"]
    answer = cervbench(*asked, "--out", str(tmp_path))
    assert answer.exit_code == 2, answer.output
    assert answer.stderr.count("mae leaves patches out, which ResNet cannot") == 1
    assert "Error: synthetic smoke fold 1 · mae test_resnet random seed 0: the same" in answer.stderr
    assert "2 of 2 runs failed" in answer.stderr.splitlines()[-1]


def test_a_dry_run_writes_nothing_and_says_what_is_due(tmp_path: Path) -> None:
    answer = cervbench(*SMOKE, "--out", str(tmp_path / "out"), "--dry-run", "--json")
    assert answer.exit_code == 0, answer.output
    due = [json.loads(line) for line in answer.stdout.splitlines()]
    assert [(one["evaluation"]["name"], one["ratio"], one["existed"]) for one in due] == [
        ("linear", 100, False),
        ("knn", 100, False),
    ]
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (("--backbone", "resnet19"), "a backbone 'resnet19', and timm has no such model; near it: resnet18"),
        (("--backbone", "vti"), "a backbone 'vti', and timm has no such model; near it: vit"),
        (("--backbone", "ViT"), "a backbone 'ViT', and timm has no such model; near it: vit"),
        (("--backbone", "2nn"), "see cervbench list backbones and timm.list_models()"),
        (("--backbone", "not-installed:convnet"), "no backbone 'not-installed:convnet' (there are resnet18,"),
        (("--backbone", "local-dir:/some/model"), "local-dir:/some/model names a place"),
        (("--device", "tpu"), "device is 'tpu'; say auto, cpu, cuda or, of several, cuda:1"),
        (("--method", "SimCLR"), "did you mean 'simclr'?"),
    ],
)
def test_a_dry_run_promises_no_run_that_cannot_begin(
    asked: tuple[str, str], told: str, tmp_path: Path
) -> None:
    answer = cervbench(*SMOKE, "--method", "simclr", *asked, "--out", str(tmp_path / "out"), "--dry-run")
    assert answer.exit_code == 2, answer.output
    assert told in answer.stderr


def test_seeds_are_asked_for_like_folds(tmp_path: Path) -> None:
    asked = (*SMOKE, "--out", str(tmp_path / "out"), "--dry-run", "--json", "--seed")
    due = [json.loads(line)["run"] for line in cervbench(*asked, "0,2-3").stdout.splitlines()]
    folds = sorted({run["fold"] for run in due})
    assert sorted({(run["seed"], run["fold"]) for run in due}) == list(product((0, 2, 3), folds))
    assert cervbench(*asked, "-1").exit_code == 2


def test_a_run_is_told_by_what_was_chosen_for_it(tmp_path: Path) -> None:
    chosen = ("--set", "temperature=0.3", "--set", "protocol.pretext.epochs=3")
    asked = (*SMOKE, "--method", "simclr", "--out", str(tmp_path / "out"), "--dry-run")
    answer = cervbench(*asked, *chosen)
    assert answer.exit_code == 0, answer.output
    assert "(temperature 0.3; off protocol: pretext.epochs=3)" in answer.stdout
    assert "(" not in cervbench(*asked).stdout


def test_a_terminal_that_lacks_a_letter_is_shown_another_and_ends_no_run(tmp_path: Path) -> None:
    """Regression: after the first record was made, `·` ended the run in a UnicodeEncodeError."""
    answer = CliRunner(charset="ascii").invoke(main, [*SMOKE, "--out", str(tmp_path)])
    assert answer.exit_code == 0, answer.output
    assert r"synthetic smoke fold 0 \xb7 majority" in answer.stdout


def test_a_list_is_given_with_commas_or_by_saying_the_option_again(tmp_path: Path) -> None:
    """Regression: of `--eval linear --eval knn` the last alone was done."""
    asked = ["run", "--method", "supervised", "--dataset", "synthetic", "--tier", "smoke", "--dry-run"]
    again = ("--eval", "linear", "--eval", "knn", "--folds", "0", "--labels", "1", "--labels", "10,100")
    commas = ("--eval", "linear,knn", "--folds", "0", "--labels", "1,10,100")
    one, other = (cervbench(*asked, "--out", str(tmp_path), *way) for way in (again, commas))
    assert one.exit_code == 0, one.output
    assert len(one.stdout.splitlines()) == 6
    assert one.stdout == other.stdout


def test_list_datasets_tells_scripts_what_is_abnormal_and_how_classes_rank() -> None:
    (herlev,) = (
        row
        for row in map(json.loads, cervbench("list", "datasets", "--json").stdout.splitlines())
        if row["name"] == "herlev"
    )
    normal = {"normal_superficiel", "normal_intermediate", "normal_columnar"}
    assert set(herlev["classes"]) - set(herlev["abnormal"]) == normal
    assert set(herlev["severity"]) == set(herlev["classes"])
    assert herlev["source"].startswith("http")


def test_check_counts_what_it_found() -> None:
    answer = cervbench("data", "check", "synthetic")
    assert answer.exit_code == 0, answer.output
    assert "420 images, of 42 groups" in answer.stdout
    assert "60 carcinoma_in_situ" in answer.stdout


def test_prepare_tells_the_classes_and_groups() -> None:
    answer = cervbench("data", "prepare", "synthetic", "--json")
    assert answer.exit_code == 0, answer.output
    known = json.loads(answer.stdout)
    assert known["images"] == sum(known["classes"].values()) > 0
    assert known["folds"] == 5


def test_an_audit_tells_how_far_the_pack_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Regression: a dataset that was not packed yet was packed in silence, which may take an hour."""
    for number in range(10):
        path = tmp_path / "own" / f"class-{number % 2}" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40, 40), (number, 0, 0)).save(path)
    monkeypatch.setenv("CERVBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("cervbench.audit.audit", lambda dataset, out: (None, [out]))
    answer = cervbench("data", "audit", str(tmp_path / "own"))
    assert answer.exit_code == 0, answer.output
    assert "pack own 10/10" in answer.stderr


def test_doctor_finds_nothing_that_prevents_a_run() -> None:
    answer = cervbench("doctor")
    assert answer.exit_code == 0, answer.output
    told = {line[2:].partition(":")[0] for line in answer.stdout.splitlines()}
    assert told >= {"versions", "GPU", "processor", "threads", "data root", "cache", "packages"}


def test_doctor_tells_what_the_cache_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CERVBENCH_CACHE", str(tmp_path))
    assert "made again" not in cervbench("doctor").stdout
    for name, size in (("packs/herlev/one", 10**9), ("pretrainings/a/two", 3 * 10**8)):
        path = tmp_path / name
        path.parent.mkdir(parents=True)
        with path.open("wb") as file:
            file.truncate(size)
    assert "; packs 1.0 GB, pretrainings 0.3 GB: packs are made again" in cervbench("doctor").stdout


def test_doctor_names_a_package_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(package: str) -> str:
        if package == "torchvision":
            raise PackageNotFoundError(package)
        return "1"

    monkeypatch.setattr("cervbench.cli.doctor.version", version)
    answer = cervbench("doctor")
    assert answer.exit_code == 1
    assert "! versions: not installed: torchvision\n    in a clone: pip install" in answer.output


def test_progress_tells_loss_and_speed() -> None:
    assert progress.in_words({"loss": 1.23456, "images_per_second": 1234.5}) == "loss 1.235, 1,234 views/s"
    values = {"images_per_second": 7, "batch_rank": 41.6, "loss": 1}
    assert progress.in_words(values) == "loss 1.000, rank 42, 7 views/s"
    assert progress.in_words({}) == ""


def test_progress_that_nobody_can_be_shown_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Regression: a terminal that was closed, or a full /dev/full, ended the training."""

    def gone(*words: object, **keywords: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("click.echo", gone)
    with progress.shown_on_stderr() as watch:
        watch("pretext", 1, 2, {})
    monkeypatch.setattr("sys.stderr", None)
    with progress.shown_on_stderr() as watch:
        watch("pretext", 2, 2, {})

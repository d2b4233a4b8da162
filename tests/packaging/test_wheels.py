"""What pip installs is whole, and runs from a folder that is not the repository."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
PROJECTS = [ROOT, *sorted(path.parent for path in ROOT.glob("plugins/*/pyproject.toml"))]
OTHERS = [HERE / "stranger", HERE / "broken"]

Command = Callable[..., subprocess.CompletedProcess[str]]

VARIABLES = {
    name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")
} | {"PYTHONSAFEPATH": "1"}
"""Without what would let the repository be imported from where it is."""


def copied(project: Path, copy: Path) -> Path:
    """To build from, so that the build leaves nothing behind in the original."""
    made = shutil.ignore_patterns("__pycache__", "*.egg-info", ".*")
    beside = shutil.ignore_patterns("tests", "leaderboards", "demo", "build", "dist", "docs")

    def left(where: str, names: list[str]) -> set[str]:
        return made(where, names) | (beside(where, names) if Path(where) == project else set())

    shutil.copytree(project, copy, ignore=left)
    return copy


def pip(*arguments: str) -> None:
    command = [sys.executable, "-m", "pip", "-q", *arguments]
    done = subprocess.run(command, env=VARIABLES, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def install_in(environment: Path, *projects: str) -> None:
    python = environment / "bin" / "python"
    pip("--python", str(python), "install", "--no-deps", "--no-index", "--no-build-isolation", *projects)


def new_environment(folder: Path, cache: Path, installed: Sequence[Path], plugins: str) -> Command:
    """A virtual environment with these wheels, and the dependencies of the one that runs the tests.

    `plugins` are those that cervbench sees in it.
    """
    environment = folder / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True)
    install_in(environment, *map(str, installed))
    [site] = environment.glob("lib/python*/site-packages")
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    variables = VARIABLES | {
        "CERVBENCH_CACHE": str(cache),
        "CERVBENCH_PLUGINS": plugins,
        "OMP_NUM_THREADS": "1",
    }

    def command(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(environment / "bin" / arguments[0]), *arguments[1:]],
            cwd=elsewhere,
            env=variables,
            capture_output=True,
            text=True,
            check=False,
        )

    return command


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[Path, Path]:
    """Of each project, built in one call: pip itself takes a second to start."""
    folder = tmp_path_factory.mktemp("wheels")
    sources = [str(copied(project, folder / "source" / project.name)) for project in (*PROJECTS, *OTHERS)]
    users_own = folder / "source" / ROOT.name / "cervbench-my-method" / "src" / "cervbench_my_method"
    users_own.mkdir(parents=True)
    (users_own / "__init__.py").touch()
    pip("wheel", "--no-deps", "--no-index", "--no-build-isolation", "--wheel-dir", str(folder), *sources)
    built = {path.name.split("-")[0]: path for path in folder.glob("*.whl")}
    return {project: built[name_of(project).replace("-", "_")] for project in (*PROJECTS, *OTHERS)}


def name_of(project: Path) -> str:
    known: str = tomllib.loads((project / "pyproject.toml").read_text("utf-8"))["project"]["name"]
    return known


@pytest.fixture(scope="module")
def installed(wheels: dict[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Command:
    """Core and plugins, a stranger's package, and a broken one."""
    folder = tmp_path_factory.mktemp("installed")
    chosen = ",".join(map(name_of, [*PROJECTS, *OTHERS]))
    return new_environment(folder, folder / "cache", [*wheels.values()], chosen)


@pytest.mark.parametrize("project", PROJECTS, ids=lambda project: project.name)
def test_every_file_of_a_package_is_in_its_wheel(project: Path, wheels: dict[Path, Path]) -> None:
    home = project / "cervbench" if project == ROOT else project / "src"
    root = project if project == ROOT else home
    files = {
        path.relative_to(root).as_posix()
        for path in home.rglob("*")
        if path.is_file() and not {"__pycache__"} & set(path.parts) and ".egg-info" not in str(path)
    }
    with ZipFile(wheels[project]) as wheel:
        assert files - set(wheel.namelist()) == set()
        assert any(name.endswith("py.typed") for name in wheel.namelist())


def test_what_a_user_writes_beside_the_core_is_not_in_its_wheel(wheels: dict[Path, Path]) -> None:
    """Regression: `plugin new my-method` in a clone, and whoever built the core shipped that package."""
    with ZipFile(wheels[ROOT]) as wheel:
        top = {name.split("/")[0] for name in wheel.namelist()}
    assert top - {"cervbench"} == {name for name in top if name.endswith(".dist-info")}


@pytest.mark.parametrize("project", PROJECTS, ids=lambda project: project.name)
def test_the_licence_is_in_each_wheel(project: Path, wheels: dict[Path, Path]) -> None:
    with ZipFile(wheels[project]) as wheel:
        texts = {Path(name).name: wheel.read(name) for name in wheel.namelist() if "/licenses/" in name}
    ours = ["LICENSE", "NOTICE"] if project == ROOT else ["LICENSE"]  # the notice is of the frozen folds
    assert texts == {name: (ROOT / name).read_bytes() for name in ours}


def test_what_is_imported_is_what_was_installed(installed: Command) -> None:
    modules = ["cervbench.cli", *(path.parent.name for path in ROOT.glob("plugins/*/src/*/__init__.py"))]
    say_where = "import importlib, sys; [print(importlib.import_module(m).__file__) for m in sys.argv[1:]]"
    files = installed("python", "-c", say_where, *modules).stdout.splitlines()
    assert len(files) == len(modules) == len(PROJECTS)
    assert [file for file in files if "environment" not in file or str(ROOT) in file] == []


def test_the_command_line_works_from_another_folder(installed: Command) -> None:
    assert installed("cervbench", "--help").returncode == 0
    listed = installed("cervbench", "list", "methods", "--json")
    packages = {row["name"]: row["package"] for row in map(json.loads, listed.stdout.splitlines())}
    assert packages["supervised"] == "cervbench"
    assert packages["simclr"] == "cervbench-simclr"
    assert packages["spread"] == "stranger"


def test_a_broken_package_is_named_with_its_line_and_disturbs_no_other(installed: Command) -> None:
    listed = installed("cervbench", "list", "plugins", "--json")
    problems = {row["package"]: row["problems"] for row in map(json.loads, listed.stdout.splitlines())}
    [problem] = problems.pop("broken")
    assert "this package is broken on purpose" in problem["what"]
    assert problem["where"].endswith("broken.py:3")
    assert not any(problems.values()), problems


def test_a_strangers_method_dataset_and_evaluation_run(installed: Command) -> None:
    asked = ["--method", "spread", "--dataset", "shades", "--eval", "centroid", "--labels", "10,100"]
    done = installed(
        "cervbench", "run", *asked, "--tier", "smoke", "--folds", "0", "--set", "margin=0.5", "--json"
    )
    assert done.returncode == 0, done.stderr

    records = [json.loads(line) for line in done.stdout.splitlines()]
    assert [record["ratio"] for record in records] == [10, 100]
    assert {record["run"]["method"]["package"] for record in records} == {"stranger"}
    assert {record["run"]["method"]["config"]["margin"] for record in records} == {0.5}
    assert all(record["scores"]["balanced_accuracy"] > 0.9 for record in records), "dark and light are easy"
    assert all(f"the stranger saw {record['id']}" in done.stderr for record in records)

    verified = installed("cervbench", "verify", "leaderboards")
    assert verified.returncode == 0, verified.stdout + verified.stderr


def test_a_new_package_installs_passes_its_checks_and_its_tests_and_runs(
    wheels: dict[Path, Path], tmp_path: Path, cache_with_cells: Callable[[Path], Path]
) -> None:
    cache = cache_with_cells(tmp_path / "cache")
    command = new_environment(tmp_path, cache, [wheels[ROOT]], "cervbench-near-far")
    written = command("cervbench", "plugin", "new", "near-far")
    assert written.returncode == 0, written.stderr
    package = tmp_path / "elsewhere" / "cervbench-near-far"
    assert str(package.name) in written.stdout

    install_in(tmp_path / "environment", "-e", str(package))
    checked = command("cervbench", "plugin", "check", "cervbench-near-far", "--json")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    subjects = {row["subject"] for row in map(json.loads, checked.stdout.splitlines())}
    assert subjects == {"package cervbench-near-far", "method near-far"}

    by_hand = command("python", "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "by_hand", str(package))
    assert by_hand.returncode == 0, by_hand.stdout
    assert f"2 passed, {len(checked.stdout.splitlines())} deselected" in by_hand.stdout

    asked = ["--method", "near-far", "--dataset", "synthetic", "--eval", "knn", "--labels", "100"]
    done = command("cervbench", "run", *asked, "--tier", "smoke", "--folds", "0", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["run"]["method"]["package"] == "cervbench-near-far"

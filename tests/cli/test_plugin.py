"""Beginning a package, checking one, and the settings of a method, from the command line."""

import json
import tomllib
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner, Result
from packaging.requirements import Requirement
from pydantic import Field

from cervbench import checks
from cervbench.checks import Check, CheckFailed
from cervbench.checks.check import Skipped
from cervbench.cli import main
from cervbench.cli.listing import _as_typed, methods
from cervbench.cli.parsing import setting
from cervbench.cli.settings_table import described
from cervbench.plugin import MethodConfig, Offer, Settings, added_later, hookimpl
from cervbench.plugin.manager import Plugins

TEMPLATE = Path(main.callback.__code__.co_filename).parents[1] / "plugin" / "template"  # type: ignore[union-attr]


def cervbench(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments, prog_name="cervbench")


def files(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()
    }


def test_a_new_package_is_called_after_its_method_throughout(tmp_path: Path) -> None:
    answer = cervbench("plugin", "new", "near-2-far", "--into", str(tmp_path / "mine"))
    assert answer.exit_code == 0, answer.output
    written = files(tmp_path / "mine" / "cervbench-near-2-far")
    assert set(written) == {
        "README.md",
        "pyproject.toml",
        "src/cervbench_near_2_far/__init__.py",
        "src/cervbench_near_2_far/method.py",
        "src/cervbench_near_2_far/py.typed",
        "tests/test_near_2_far.py",
    }
    assert "class Near2Far(Method):" in written["src/cervbench_near_2_far/method.py"]
    assert '"cervbench_near_2_far.method:Near2Far"' in written["src/cervbench_near_2_far/__init__.py"]
    project = tomllib.loads(written["pyproject.toml"])["project"]
    assert project["entry-points"]["cervbench"] == {"near-2-far": "cervbench_near_2_far"}
    assert not any("example" in text.lower() for text in written.values())
    assert "cervbench plugin check cervbench-near-2-far" in answer.stdout


def test_a_new_package_asks_for_this_version_of_cervbench() -> None:
    project = tomllib.loads((TEMPLATE / "pyproject.toml").read_text())["project"]
    [requirement] = map(Requirement, project["dependencies"])
    assert requirement.name == "cervbench"
    assert requirement.specifier.contains(version("cervbench"))


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("Near", "cannot be the name of a method"),
        ("near--far", "cannot be the name of a method"),
        ("../near", "cannot be the name of a method"),
        ("2near", "cannot be the name of a method"),
        ("n" * 41, "cannot be the name of a method"),
        ("simclr", "there is a method 'simclr' already"),
        ("none", "would be called None"),
        ("method", "would be called Method"),
    ],
)
def test_a_name_that_cannot_be_is_refused_with_why(name: str, why: str, tmp_path: Path) -> None:
    answer = cervbench("plugin", "new", "--into", str(tmp_path), "--", name)
    assert answer.exit_code == 2
    assert why in answer.stderr
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    there = tmp_path / "cervbench-near-far"
    there.mkdir()
    answer = cervbench("plugin", "new", "near-far", "--into", str(tmp_path))
    assert answer.exit_code == 2
    assert f"{there} is there already" in answer.stderr
    assert list(tmp_path.iterdir()) == [there]
    assert list(there.iterdir()) == []


def it_is_met(examined: object) -> str:
    """It is met."""
    return "with a note"


def it_is_said_aloud(examined: object) -> None:
    """It is met."""
    print("what the package prints")


def there_is_nothing_to_look_at(examined: object) -> str:
    """It is met where there is something to look at."""
    return Skipped("torch finds no CUDA device here")


def it_is_not_met(examined: object) -> None:
    """It is not met."""
    raise CheckFailed("the loss does not fall", "look at its sign")


def test_check_prints_each_check_why_and_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    made = [Check(demand, None, "method learner", "nowhere") for demand in (it_is_met, it_is_not_met)]
    monkeypatch.setattr(checks, "checks_of", lambda package: made)
    answer = cervbench("plugin", "check", "a-package")
    assert answer.exit_code == 1
    assert answer.stdout.splitlines() == [
        "ok    method learner: it_is_met",
        "      with a note",
        "FAILS method learner: it_is_not_met",
        "      the loss does not fall",
        "      look at its sign",
    ]
    assert answer.stderr == "2 checks: 1 failed, 0 skipped\n"

    rows = [
        json.loads(line) for line in cervbench("plugin", "check", "a-package", "--json").stdout.splitlines()
    ]
    assert {row["subject"] for row in rows} == {"method learner"}
    assert [(row["check"], row["passed"], row["why"]) for row in rows] == [
        ("it_is_met", True, "with a note"),
        ("it_is_not_met", False, "the loss does not fall"),
    ]

    made = [Check(there_is_nothing_to_look_at, None, "method learner", "nowhere")]
    monkeypatch.setattr(checks, "checks_of", lambda package: made)
    answer = cervbench("plugin", "check", "a-package")
    assert answer.exit_code == 0
    assert answer.stdout.startswith("skip  method learner: there_is_nothing_to_look_at\n")
    assert answer.stderr == "1 checks: 0 failed, 1 skipped\n"
    row = json.loads(cervbench("plugin", "check", "a-package", "--json").stdout)
    assert (row["passed"], row["skipped"]) == (True, True)


def test_what_a_package_prints_is_on_stderr(monkeypatch: pytest.MonkeyPatch) -> None:
    """Regression: it stood before the JSON, also where its modules were imported to find the checks."""

    def checks_of(package: str) -> list[Check]:
        print("what its module prints")
        return [Check(it_is_said_aloud, None, "method learner", "nowhere")]

    monkeypatch.setattr(checks, "checks_of", checks_of)
    answer = cervbench("plugin", "check", "a-package", "--json")
    [row] = map(json.loads, answer.stdout.splitlines())
    assert row["passed"]
    assert "what its module prints\nwhat the package prints\n" in answer.stderr


def test_interrupted_it_does_not_promise_to_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(package: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(checks, "checks_of", stop)
    answer = cervbench("plugin", "check", "a-package")
    assert answer.exit_code == 1
    assert answer.stderr == "Error: interrupted; give the same command again\n"


def test_a_package_that_is_not_installed_is_wrong_usage() -> None:
    answer = cervbench("plugin", "check", "cervbench-nothing")
    assert answer.exit_code == 2
    assert "no package 'cervbench-nothing' is installed" in answer.stderr


class Inner(Settings):
    depth: int = 1


class Config(MethodConfig):
    keep: float = Field(0.99, ge=0, lt=1, description="of the target")
    widths: tuple[int, ...] = (64, 32)
    chosen: bool | None = None
    inner: Inner = Inner()


def test_every_setting_is_described_by_default_bounds_and_purpose() -> None:
    rows = {row["setting"]: row for row in described(Config)}
    assert list(rows)[:3] == ["optimizer", "learning_rate", "weight_decay"]
    assert rows["optimizer"]["accepts"] == "adamw | sgd"
    assert rows["keep"] == {
        "setting": "keep",
        "default": 0.99,
        "accepts": "number ≥ 0 and < 1",
        "description": "of the target",
    }
    assert (rows["widths"]["accepts"], rows["widths"]["default"]) == ("list of integer", [64, 32])
    assert rows["chosen"]["accepts"] == "boolean | null"
    assert rows["inner"]["accepts"] == "object"


def test_the_settings_of_a_method_are_listed() -> None:
    shown = cervbench("list", "methods", "--config", "simclr")
    assert shown.exit_code == 0, shown.output
    assert "temperature" in shown.stdout
    assert "width of the projector's hidden layer" in shown.stdout

    rows = [
        json.loads(line)
        for line in cervbench("list", "methods", "--config", "simclr", "--json").stdout.splitlines()
    ]
    assert {"setting": "hidden", "default": 512, "accepts": "integer > 0"}.items() <= {
        row["setting"]: row for row in rows
    }["hidden"].items()


def test_defaults_are_shown_as_they_are_set() -> None:
    shown = cervbench("list", "methods", "--config", "barlow-twins")
    assert shown.exit_code == 0, shown.output
    assert "[1024, 1024, 1024]" in shown.stdout


def test_a_default_of_several_parts_is_shown_as_it_can_be_set() -> None:
    """Regression: as JSON, which `--set` refuses."""
    default = {"epsilon": 0.05, "inner": {"steps": 3, "name": "a"}}
    text = _as_typed({"default": default})["default"]
    assert setting(f"sinkhorn={text}") == ("sinkhorn", default)


def test_a_setting_that_was_added_later_is_listed_at_its_default() -> None:
    class Grown(MethodConfig):
        warm_up: float = added_later(0.25, ge=0, description="share of the steps")

    found = Plugins.of(
        {"one": SimpleNamespace(cervbench_methods=hookimpl(lambda: {"m": Offer(Grown, "a:B", "A paper")}))}
    )
    assert not found.problems
    [row] = methods(found)
    assert row["settings"]["warm_up"] == 0.25
    assert {row["setting"]: row["default"] for row in described(Grown)}["warm_up"] == 0.25


def test_a_method_without_settings_is_said_to_have_none() -> None:
    assert cervbench("list", "methods", "--config", "majority").stdout == "majority has no settings\n"


def test_settings_are_asked_of_a_method_that_exists() -> None:
    assert "did you mean 'simclr'" in cervbench("list", "methods", "--config", "simclear").stderr
    answer = cervbench("list", "datasets", "--config", "herlev")
    assert answer.exit_code == 2
    assert "cervbench list methods --config NAME" in answer.stderr

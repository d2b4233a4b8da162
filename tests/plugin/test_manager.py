"""A broken package is named by package, file and line, and everything else works."""

import logging
import re
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distributions
from pathlib import Path
from textwrap import dedent
from types import SimpleNamespace
from typing import Any

import pytest

from cervbench.error import UsageError
from cervbench.plugin import BackboneOffer, EvaluationOffer, MethodConfig, Offer, Settings, hookimpl
from cervbench.plugin.catalog import UnknownName
from cervbench.plugin.installed import PLUGINS_VARIABLE
from cervbench.plugin.manager import Plugins
from cervbench.records.record import MethodOfRun, Run
from cervbench.training.backbones import LITE0, cervbench_backbones

PLUGINS = Path(__file__).parents[2] / "plugins"
GOOD = """
    from cervbench.plugin import MethodConfig, Offer, hookimpl

    @hookimpl
    def cervbench_methods():
        return {"good": Offer(MethodConfig, "good_plugin:Learner", "A paper")}

    class Learner:
        pass
"""


class Site:
    """A folder on the import path, with packages as pip leaves them; installed again, one is replaced."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.install("cervbench", "0.1.0", "", module="")

    def install(self, package: str, version: str, source: str, requires: str = "", module: str = "") -> None:
        module = module or package.replace("-", "_")
        if source:
            (self.folder / f"{module}.py").write_text(dedent(source).lstrip())
        info = self.folder / f"{package.replace('-', '_')}-{version}.dist-info"
        info.mkdir(exist_ok=True)
        needs = f"Requires-Dist: {requires}\n" if requires else ""
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n{needs}")
        (info / "RECORD").write_text(f"{info.name}/METADATA,,\n")
        point = f"it = {module}\n" if source else ""
        (info / "entry_points.txt").write_text(f"[cervbench]\n{point}")

    def discover(self) -> Plugins:
        return Plugins.discover()


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.delenv(PLUGINS_VARIABLE, raising=False)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.setattr(
        "cervbench.plugin.installed.distributions",
        lambda **named: distributions(path=[str(tmp_path)], **named),
    )
    before = set(sys.modules)
    yield Site(tmp_path)
    for name in set(sys.modules) - before:
        if name.endswith("_plugin"):
            del sys.modules[name]


def line_of(file: Path, text: str) -> int:
    lines = file.read_text().splitlines()
    return next(number for number, line in enumerate(lines, 1) if text in line)


BROKEN = {
    "fails on import": ("import a_module_that_is_not_there", "a_module_that_is_not_there", "ModuleNotFound"),
    "exits on import": ("import sys; sys.exit(3)", "sys.exit(3)", "SystemExit"),
    "panics on import": (
        "class PanicException(BaseException):\n    pass\n\nraise PanicException('poisoned')",
        "raise PanicException",
        "PanicException: poisoned",
    ),
    "panics in a hook": (
        "from cervbench.plugin import hookimpl\n\n@hookimpl\ndef cervbench_methods():\n"
        "    raise BaseException('poisoned')",
        "raise BaseException",
        "BaseException: poisoned",
    ),
    "returns a mapping that fails": (
        "from collections import UserDict\nfrom cervbench.plugin import hookimpl\n\n"
        "class Lazy(UserDict):\n    def __iter__(self):\n        raise KeyError('later')\n\n"
        "@hookimpl\ndef cervbench_methods():\n    return Lazy(m=1)",
        "raise KeyError",
        "KeyError",
    ),
    "offers no settings": (
        "from cervbench.plugin import hookimpl, Offer\n\n@hookimpl\ndef cervbench_methods():\n"
        "    return {'m': Offer(None, 'x:y', '', pretrains=False)}",
        "Offer(None",
        "config is None; give a class",
    ),
    "has a default that cannot be listed": (
        "from cervbench.plugin import hookimpl, Offer, PretextConfig\n\n"
        "class Config(PretextConfig):\n    scale: complex = 1j\n    what: object = object()\n\n"
        "@hookimpl\ndef cervbench_methods():\n    return {'m': Offer(Config, 'x:y', '')}",
        "Offer(Config",
        "defaults of Config cannot be listed",
    ),
    "is no Python": ("def cervbench_methods(:\n    pass", "(:", "SyntaxError"),
    "misspells a hook": (
        "from cervbench.plugin import hookimpl\n\n@hookimpl\ndef cervbench_metods():\n    return {}",
        "@hookimpl",
        "there is no hook cervbench_metods",
    ),
    "asks for an argument that the hook has not": (
        "from cervbench.plugin import hookimpl\n\n@hookimpl\ndef cervbench_step(stp):\n    pass",
        "@hookimpl",
        "stp",
    ),
    "forgets to return": (
        "from cervbench.plugin import hookimpl\n\n@hookimpl\ndef cervbench_methods():\n    {}",
        "@hookimpl",
        "returns None, where a mapping of names to Offer is due",
    ),
    "returns no mapping": (
        "from cervbench.plugin import hookimpl\n\n@hookimpl\ndef cervbench_methods():\n    return ['simclr']",
        "@hookimpl",
        "returns a list",
    ),
    "offers something else": (
        "from cervbench.plugin import hookimpl\n\n@hookimpl\ndef cervbench_methods():\n    return {'m': int}",
        "@hookimpl",
        "offers the class int as 'm', where an instance of Offer is due",
    ),
    "gives a name that could leave a folder": (
        "from cervbench.plugin import hookimpl, MethodConfig, Offer\n\n@hookimpl\ndef cervbench_methods():\n"
        "    return {'../m': Offer(MethodConfig, 'x:y', '')}",
        "@hookimpl",
        "'../m'",
    ),
    "fails in a hook": (
        "from cervbench.plugin import hookimpl\n\n@hookimpl\ndef cervbench_methods():\n    return 1 / 0",
        "1 / 0",
        "ZeroDivisionError",
    ),
    "wraps the hooks of others": (
        "from cervbench.plugin import hookimpl\n\n@hookimpl(wrapper=True)\ndef cervbench_run_started(run):\n"
        "    return (yield)",
        "@hookimpl",
        "cervbench_run_started is marked wrapper, which does nothing",
    ),
    "forgets to mark a hook": (
        "def cervbench_methods():\n    return {}",
        "def cervbench",
        "is not marked as a hook",
    ),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_a_package_that(fault: str, site: Site) -> None:
    source, line, what = BROKEN[fault]
    site.install("bad-plugin", "1.0", source)
    site.install("good-plugin", "1.0", GOOD)

    found = site.discover()

    assert list(found.methods) == ["good"]
    [problem] = found.problems
    file = site.folder / "bad_plugin.py"
    assert problem.package == "bad-plugin"
    assert problem.where == f"{file}:{line_of(file, line)}"
    assert what in problem.what
    assert problem.how_to_mend


def test_a_package_without_hooks_is_told_so(site: Site) -> None:
    site.install("bad-plugin", "1.0", "x = 1")
    [problem] = site.discover().problems
    assert problem.what == "it has no hook"
    assert problem.where == str(site.folder / "bad_plugin.py")


def test_a_misspelt_hook_is_told_the_nearest_one(site: Site) -> None:
    site.install("bad-plugin", "1.0", BROKEN["misspells a hook"][0])
    assert "did you mean 'cervbench_methods'?" in site.discover().problems[0].what


def test_a_package_for_another_cervbench_is_not_imported(site: Site) -> None:
    site.install("later-plugin", "2.0", "raise RuntimeError('imported')", requires="cervbench>=0.2,<0.3")
    [problem] = site.discover().problems
    assert "requires cervbench<0.3,>=0.2, and this is cervbench 0.1.0" in problem.what
    assert "later_plugin" not in sys.modules
    assert problem.where == f"{site.folder / 'later_plugin-2.0.dist-info' / 'METADATA'}:4"


@pytest.mark.parametrize(
    "requires", ["cervbench>=0.1,<0.2", "Cervbench~=0.1.0", "", "cervbench>=9; extra == 'x'"]
)
def test_a_package_for_this_cervbench_is_loaded(requires: str, site: Site) -> None:
    site.install("good-plugin", "1.0", GOOD, requires=requires)
    assert list(site.discover().methods) == ["good"]


def test_unreadable_metadata_disturbs_no_one(site: Site) -> None:
    site.install("bad-plugin", "1.0", "x = 1")
    (site.folder / "bad_plugin-1.0.dist-info" / "entry_points.txt").write_text(
        "[cervbench]\nno equals sign\n"
    )
    site.install("good-plugin", "1.0", GOOD)
    found = site.discover()
    assert list(found.methods) == ["good"]
    assert [problem.package for problem in found.problems] == ["bad-plugin"]


@pytest.mark.parametrize(
    ("damaged", "bytes_left", "why"),
    [
        ("METADATA", None, "METADATA is missing, or has no Name or no Version"),
        ("METADATA", b"Metadata-Version: 2.1\nName: bad-plugin\n", "METADATA is missing, or has no Name or"),
        ("METADATA", b"Name: \xff\n", "UnicodeDecodeError"),
        ("entry_points.txt", b"[cervbench]\nit = \xff\n", "UnicodeDecodeError"),
    ],
    ids=["without METADATA", "without a version", "with METADATA", "with entry points"],
)
@pytest.mark.parametrize("chosen", [None, "good-plugin", "good-plugin,bad-plugin"])
def test_a_package_whose_own_files_are_damaged_is_named_by_its_folder(
    damaged: str,
    bytes_left: bytes | None,
    why: str,
    chosen: str | None,
    site: Site,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Regression: one such folder on the path, and no command worked."""
    site.install("bad-plugin", "1.0", "x = 1")
    site.install("good-plugin", "1.0", GOOD)
    folder = site.folder / "bad_plugin-1.0.dist-info"
    (folder / damaged).unlink()
    if bytes_left is not None:
        (folder / damaged).write_bytes(bytes_left)
    if chosen is not None:
        monkeypatch.setenv(PLUGINS_VARIABLE, chosen)
    found = site.discover()
    assert list(found.methods) == ["good"]
    if chosen == "good-plugin":
        assert found.problems == []
        return
    [problem] = found.problems
    assert (problem.package, problem.where) == ("bad-plugin", str(folder))
    assert why in problem.what


@pytest.mark.parametrize("chosen", ["good_plugin", "another, good-plugin"])
def test_packages_can_be_chosen(site: Site, monkeypatch: pytest.MonkeyPatch, chosen: str) -> None:
    """Regression: behind a comma and a space none was found."""
    site.install("another", "1.0", "")
    site.install("good-plugin", "1.0", GOOD)
    site.install("bad-plugin", "1.0", "import nothing_of_the_kind")
    monkeypatch.setenv(PLUGINS_VARIABLE, chosen)
    found = site.discover()
    assert list(found.methods) == ["good"]
    assert found.problems == []


@pytest.mark.parametrize("chosen", ["good-plugni", "good-plugin bad-plugin"])
def test_a_package_that_was_chosen_and_is_not_there_is_told(
    site: Site, monkeypatch: pytest.MonkeyPatch, chosen: str
) -> None:
    """Regression: a slip left the core alone, without a word."""
    site.install("good-plugin", "1.0", GOOD)
    monkeypatch.setenv(PLUGINS_VARIABLE, chosen)
    [problem] = site.discover().problems
    assert (problem.package, problem.where) == (chosen, PLUGINS_VARIABLE)
    assert problem.what == "is not installed"
    assert "did you mean 'good-plugin'?" in problem.how_to_mend
    assert "commas between" in problem.how_to_mend


def test_a_class_that_cannot_be_imported_shows_when_everything_is_loaded(site: Site) -> None:
    site.install("good-plugin", "1.0", GOOD.replace("class Learner", "class Lerner"))
    found = site.discover()
    assert found.problems == []
    found.load_everything()
    assert "has no attribute 'Learner'" in found.problems[0].what
    found.load_everything()
    assert len(found.problems) == 1  # regression: it was told once a time


def test_a_module_that_is_missing_is_told_with_the_line_of_its_offer(site: Site) -> None:
    """Regression: it was told at the name of the module that is not there, as `method of method 'good'`."""
    site.install("good-plugin", "1.0", GOOD.replace("good_plugin:Learner", "no_such_plugin:Learner"))
    found = site.discover()
    found.load_everything()
    [problem] = found.problems
    assert problem.where == f"{site.folder / 'good_plugin.py'}:3"
    assert problem.what.startswith("method 'good' cannot be imported: ModuleNotFoundError")


def test_what_a_package_prints_when_it_is_found_goes_to_stderr(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    """Regression: it stood before the JSON that a script was to read."""
    site.install("good-plugin", "1.0", dedent(GOOD) + "print('how good I am')\n")
    site.discover().load_everything()
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("", "how good I am\n")


def test_a_classifier_that_cannot_be_imported_shows_as_well() -> None:
    offer = EvaluationOffer("json:dumps", "a test", classifier="json:no_such")
    package = SimpleNamespace(cervbench_evaluations=hookimpl(lambda: {"some": offer}))
    found = Plugins.of({"one": package})
    found.load_everything()
    [problem] = found.problems
    assert "classifier of evaluation 'some' cannot be imported" in problem.what


def test_a_score_and_a_schema_of_ones_own_come_together_and_the_one_that_lacks_is_named() -> None:
    with pytest.raises(TypeError, match="give another score a schema of its own"):
        EvaluationOffer("json:dumps", "a test", score="json:loads")
    with pytest.raises(TypeError, match=r"own/1 have no score: .* give this schema a score of its own"):
        EvaluationOffer("json:dumps", "a test", schema="own/1")


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"settings": {"k": 1}}, "settings is a dict; give a class that is derived from Settings"),
        ({"settings": "my_package:KSettings"}, "settings is a str; give a class"),
        ({"settings": MethodConfig()}, "settings is a MethodConfig; give a class"),
        ({"revision": "two"}, "revision is 'two'; give a whole number"),
        ({"revision": 0}, "revision is 0; give a whole number"),
        ({"frozen": "no"}, "frozen is 'no'; give True or False"),
        ({"predict": None}, "predict is None; give 'package.module:function'"),
    ],
)
def test_an_evaluation_offer_of_other_types_is_refused_where_it_is_made(
    wrong: dict[str, Any], told: str
) -> None:
    """Regression: that a dict has no attribute `parse` was told when a run was asked for."""
    with pytest.raises(TypeError, match=told):
        EvaluationOffer(**{"predict": "json:dumps", "reference": "a test", **wrong})


class Needing(Settings):
    sharpness: float
    k: int = 1


def test_settings_of_an_evaluation_without_a_default_are_a_problem_of_its_package() -> None:
    """Regression: `Field required`, told to whoever ran it, who has no option to set it."""
    offer = EvaluationOffer("json:dumps", "a test", settings=Needing)
    found = Plugins.of({"one": SimpleNamespace(cervbench_evaluations=hookimpl(lambda: {"some": offer}))})
    [problem] = found.problems
    assert "settings of evaluation 'some' have no default, and no option sets them: sharpness" in problem.what
    assert "some" not in found.evaluations


class Learner:
    pass


def offering(*names: str) -> SimpleNamespace:
    return SimpleNamespace(
        cervbench_methods=hookimpl(lambda: {name: Offer(MethodConfig, Learner, "A paper") for name in names})
    )


def test_a_name_offered_twice_belongs_to_neither() -> None:
    methods = Plugins.of({"one": offering("same", "other"), "two": offering("same")}).methods
    with pytest.raises(UnknownName, match=r"one:same \(one 0\) or two:same \(two 0\)"):
        methods.get("same")
    assert methods.get("two:same").package == "two"
    assert methods.get("other").package == "one"
    assert list(methods) == ["one:same", "other", "two:same"]


def test_packages_that_claim_one_name_are_both_told_the_line_and_the_choice() -> None:
    found = Plugins.of({"one": offering("same"), "two": offering("same", "own")})
    where = f"{__file__}:{line_of(Path(__file__), 'cervbench_methods=hookimpl(lambda')}"
    assert [(one.package, one.where) for one in found.problems] == [("two", where), ("one", where)]
    assert found.problems[0].what == f"offers method 'same', as one does ({where})"
    assert found.problems[1].what == f"offers method 'same', as two does ({where})"
    assert found.problems[1].how_to_mend == "say one:same or two:same; or rename it in cervbench_methods"


def test_a_name_of_the_core_is_claimed_by_the_other_package(site: Site) -> None:
    """Whatever the order of their names, the core was there before."""
    site.install("cervbench", "0.1.0", GOOD.replace("good_plugin", "core_plugin"), module="core_plugin")
    site.install("a-plugin", "1.0", GOOD)
    assert [problem.package for problem in site.discover().problems] == ["a-plugin"]


def test_a_package_added_again_replaces_what_it_had() -> None:
    plugins = Plugins.of({"notebook": offering("first")})
    plugins.add(offering("second"), "notebook")
    assert list(plugins.methods) == ["second"]


@pytest.mark.parametrize("name", ["cervbench", "CervBench", "cervbench-good", "Cervbench_Good"])
def test_nothing_is_added_under_the_name_of_the_core_or_of_an_installed_package(
    name: str, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Regression: an evaluation of one's own took the place of the core's, and records named the core."""
    site.install("cervbench-good", "1.0", GOOD)
    monkeypatch.setenv(PLUGINS_VARIABLE, "")
    found = site.discover()
    with pytest.raises(UsageError, match=rf"'{name}' is the name of an installed package"):
        found.add(offering("own"), name)
    assert list(found.methods) == []


def test_an_unknown_name_is_told_the_nearest_and_the_list() -> None:
    methods = Plugins.of({"one": offering("moco", "dino")}).methods
    with pytest.raises(
        UnknownName, match=r"no method 'mocco'; did you mean 'moco'\? \(there are dino, moco\)"
    ):
        methods.get("mocco")


@pytest.mark.parametrize(
    ("method", "package"),
    [("barlow-twins", "cervbench-barlow-twins"), ("simclr-published", "cervbench-simclr")],
)
def test_a_method_whose_package_is_missing_names_the_package(method: str, package: str) -> None:
    with pytest.raises(UnknownName, match=f"pip install -e plugins/{package}(;|$)"):
        Plugins.of({}).methods.get(method)


@pytest.mark.parametrize("method", ["agbt", "attentive-patch"])
def test_a_package_that_needs_another_is_named_with_it(method: str) -> None:
    """Regression: pip took the other from an index, where a stranger may have the name."""
    text = (PLUGINS / f"cervbench-{method}" / "pyproject.toml").read_text("utf-8")
    needed = set(re.findall(r'"(cervbench-[a-z-]+)', text))
    with pytest.raises(UnknownName) as refused:
        Plugins.of({}).methods.get(method)
    assert set(re.findall(r"-e plugins/([a-z-]+)", str(refused.value))) == needed | {f"cervbench-{method}"}


def test_a_method_whose_package_is_broken_shows_what_is_wrong(site: Site) -> None:
    site.install("cervbench-byol", "0.1.0", "import a_module_that_is_not_there", module="byol_plugin")
    with pytest.raises(UnknownName, match="a_module_that_is_not_there"):
        site.discover().methods.get("byol")


def watching(hook: str, function: Any) -> SimpleNamespace:
    return SimpleNamespace(**{hook: hookimpl(function)})


def test_a_watcher_that_failed_is_called_again_once_it_is_mended() -> None:
    seen: list[int] = []

    def cervbench_step(step: int) -> None:
        raise OSError("no disk")

    faulty = watching("cervbench_step", cervbench_step)
    found = Plugins.of({"notebook": faulty, "another": faulty})
    found.notify("cervbench_step", run=None, stage="pretext", step=0, steps=9, values={})
    found.add(watching("cervbench_step", lambda step: seen.append(step)), "notebook")
    found.notify("cervbench_step", run=None, stage="pretext", step=1, steps=9, values={})
    assert seen == [1]
    assert [problem.package for problem in found.problems] == ["another"]


def test_a_watcher_that_fails_is_reported_once_and_the_others_go_on(caplog: pytest.LogCaptureFixture) -> None:
    seen: list[int] = []

    def cervbench_step(step: int) -> None:
        raise RuntimeError("no connection")

    plugins = Plugins.of(
        {
            "faulty": watching("cervbench_step", cervbench_step),
            "steady": watching("cervbench_step", lambda step: seen.append(step)),
        }
    )
    with caplog.at_level(logging.WARNING, "cervbench"):
        for step in range(3):
            plugins.notify("cervbench_step", run=None, stage="pretext", step=step, steps=9, values={})

    assert seen == [0, 1, 2]
    [warning] = caplog.messages
    assert "faulty" in warning
    assert "no connection" in warning
    raising = line_of(Path(__file__), 'raise RuntimeError("no')
    assert f"{__file__}:{raising}" in warning


def test_what_a_watcher_changes_is_in_no_run_and_no_other_watcher_sees_it() -> None:
    """Regression: it was handed the run itself, and the record then claimed settings that were not used."""
    seen: list[object] = []

    def cervbench_step(run: Any, values: dict[str, float]) -> None:
        seen.append((run.seed, dict(run.method.config), dict(values)))
        run.__dict__["seed"] = 7
        run.method.config["temperature"] = values["loss"] = 7

    watcher = watching("cervbench_step", cervbench_step)
    method = MethodOfRun(name="simclr", package="", revision=1, config={"temperature": 0.5}, pretext=True)
    run, values = Run.model_construct(method=method, seed=0), {"loss": 0.25}
    Plugins.of({"one": watcher, "other": watcher}).notify(
        "cervbench_step", run=run, stage="pretext", step=0, steps=9, values=values
    )
    untouched = (0, {"temperature": 0.5}, {"loss": 0.25})
    assert [*seen, (run.seed, method.config, values)] == [untouched] * 3


@pytest.mark.parametrize("where", ["at import", "in a hook"])
def test_a_package_that_asks_for_all_plugins_while_they_are_found_is_told(site: Site, where: str) -> None:
    """Regression: each discovery began another, 77 of them, and every command took half a minute."""
    asks = "Plugins.discover()"  # what `plugins()` does in a process that has not done it yet
    calls = {"at import": (asks, "pass"), "in a hook": ("pass", asks)}[where]
    site.install("good-plugin", "1", GOOD)
    site.install(
        "asking-plugin",
        "1",
        f"""
        from cervbench.plugin import hookimpl
        from cervbench.plugin.manager import Plugins
        {calls[0]}

        @hookimpl
        def cervbench_datasets():
            {calls[1]}
            return {{}}
        """,
    )
    found = site.discover()
    [problem] = found.problems
    assert problem.package == "asking-plugin"
    assert re.search(r"asking_plugin\.py:\d+$", problem.where)
    assert "import it: from cervbench.data.cards.herlev import CARD" in problem.what
    assert "good" in found.methods


def test_a_package_may_build_on_a_card_of_the_core(site: Site) -> None:
    site.install(
        "merging-plugin",
        "1",
        """
        from cervbench.data.cards.herlev import CARD
        from cervbench.plugin import hookimpl

        CLASSES = {"normal": CARD.classes[:3], "abnormal": CARD.classes[3:]}
        MERGED = CARD.merged("herlev-2", "Herlev, two classes", CLASSES)

        @hookimpl
        def cervbench_datasets():
            return {"herlev-2": MERGED}
        """,
    )
    found = site.discover()
    assert found.problems == []
    assert found.datasets.get("herlev-2").offer.abnormal == {"abnormal"}


def test_weights_that_lie_on_the_path_without_being_installed_stop_no_backbone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Regression: what has no version made every backbone of the core unknown."""

    def version(package: str) -> str:
        raise PackageNotFoundError(package)

    monkeypatch.setattr("cervbench.training.backbones.version", version)
    offers = cervbench_backbones()
    assert offers["resnet18"].weights == offers[LITE0].weights == "timm"


def test_weights_that_are_no_text_are_told_where_they_are_offered() -> None:
    with pytest.raises(TypeError, match="weights is True; give text"):
        BackboneOffer("a:b", "A paper, 2024", weights=True)  # type: ignore[arg-type]

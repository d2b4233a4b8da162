from collections.abc import Callable
from inspect import signature
from pathlib import Path

import pytest
from pydantic import ValidationError

import cervbench
from cervbench.plugin.settings import SettingsError
from cervbench.study import Request, Study, shipped

TEXT = """
title = "Two methods, two seeds"
[[runs]]
method = ["supervised", "simclr"]
dataset = "herlev"
seed = [0, 1]
ratios = [1, 100]
tier = "smoke"
[[runs]]
method = "majority"
dataset = "herlev"
settings = { "protocol.pretext.epochs" = 3 }
"""


def test_what_is_asked_for_twice_is_done_once() -> None:
    """Regression: the table of `cervbench.run` had each of its records twice."""
    asked = {"method": "simclr", "dataset": "herlev", "folds": [1, 0, 1], "evaluations": ["knn", "knn"]}
    request = Request.parse(asked, "here")
    assert (request.folds, request.evaluations) == ((1, 0), ("knn",))
    assert Request.parse({**asked, "folds": iter([0, 0])}, "here").folds == (0,)


@pytest.mark.parametrize(
    "settings",
    ['{ "protocol.pretext.epochs" = 3, width = 2 }', "{ protocol.pretext.epochs = 3, width = 2 }"],
)
def test_dotted_keys_need_no_quotes(settings: str) -> None:
    """Regression: TOML makes tables of them, and there was no setting 'protocol'."""
    text = f'[[runs]]\nmethod = "simclr"\ndataset = "herlev"\nsettings = {settings}'
    [request] = Study.parse("mine", text).requests
    assert request.settings == {"protocol.pretext.epochs": 3, "width": 2}


def test_the_paths_of_a_study_lead_from_its_folder(tmp_path: Path) -> None:
    """Regression: they led from where the command was given, and no study could be handed on with images."""
    study = tmp_path / "own.toml"
    study.write_text(
        '[[runs]]\nmethod = "simclr"\ndataset = ["herlev", "cells.csv", "./cells", "/data/cells"]\n'
        'init = ["random", "weights/a.safetensors"]'
    )
    asked = {(request.dataset, request.init) for request in Study.load(str(study)).requests}
    weights = str(tmp_path / "weights" / "a.safetensors")
    places = ("herlev", str(tmp_path / "cells.csv"), str(tmp_path / "cells"), "/data/cells")
    assert asked == {(place, init) for place in places for init in ("random", weights)}


def test_a_path_in_the_folder_at_hand_is_no_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Regression: `./synthetic` became the name of the dataset that is built in."""
    monkeypatch.chdir(tmp_path)
    Path("own.toml").write_text('[[runs]]\nmethod = "simclr"\ndataset = "./synthetic"\ninit = "./imagenet"')
    study = Study.load("own.toml").narrowed({"dataset": "./synthetic"})  # as it is written there
    [request] = study.requests
    assert (request.dataset, request.init) == (str(tmp_path / "synthetic"), str(tmp_path / "imagenet"))


def test_what_is_said_in_two_ways_is_refused() -> None:
    table = '{ "protocol.pretext.epochs" = 9, protocol.pretext.epochs = 3 }'
    text = f'[[runs]]\nmethod = "simclr"\ndataset = "herlev"\nsettings = {table}'
    with pytest.raises(SettingsError, match=r"says protocol\.pretext\.epochs twice"):
        Study.parse("mine", text)


def test_lists_are_every_combination() -> None:
    study = Study.parse("mine", TEXT)
    assert [(r.method, r.seed) for r in study.requests] == [
        ("supervised", 0),
        ("supervised", 1),
        ("simclr", 0),
        ("simclr", 1),
        ("majority", 0),
    ]
    assert study.requests[0] == Request("supervised", "herlev", ratios=(1, 100), tier="smoke")
    assert study.title == "Two methods, two seeds"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[runs]]\nmethd = 'simclr'\ndataset = 'herlev'", "did you mean 'method'"),
        ("[[runs]]\nmethod = 'simclr'", "dataset.*(missing|Missing|required)"),
        ("title = 'nothing'", "no \\[\\[runs\\]\\]"),
        ("[[runs]", "study mine"),
        ("[runs]\nmethod = 'simclr'\ndataset = 'herlev'", "in two brackets"),
        ("[[runs]]\nmethod = []\ndataset = 'herlev'", "method is an empty list"),
        ("[[runs]]\nmethod = 'simclr'\ndataset = 'herlev'\nratios = []", r"ratios = \[\]: is empty"),
        ("[[runs]]\nmethod = 'simclr'\ndataset = 'herlev'\nevaluations = []", r"evaluations = \[\]"),
        ("[[runs]]\nmethod = 'simclr'\ndataset = 'herlev'\nfolds = []", r"folds = \[\]"),
        (
            "[[runs]]\nmethod = 'simclr'\ndataset = 'herlev'\nlabels = [10]",
            r"no key 'labels'; did you mean 'ratios'\? \(it has ",
        ),
        (
            "[[runs]]\nmethod = 'simclr'\ndataset = 'herlev'\neval = 'knn'",
            "'eval'; did you mean 'evaluations'",
        ),
        (
            "[[runs]]\nmethod = 'simclr'\ndataset = 'herlev'\nfolds = '0-4'",
            "folds = '0-4': is text; give a list",
        ),
        ("[[runs]]\nmethod = 'simclr'\ndataset = 'herlev'\nseed = -1", "seed = -1"),
        (
            "[[runs]]\nmethod = 'simclr'\ndataset = 'herlev'\n[[runs]]\nmethod = 'byol'",
            r"study mine: \[\[runs\]\] number 2: dataset",
        ),
        ("tiers = 3\n[[runs]]\nmethod = 'simclr'\ndataset = 'herlev'", "'tiers' is unknown"),
    ],
)
def test_what_is_wrong_with_a_study_is_said(text: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        Study.parse("mine", text)


def test_one_is_a_list_of_one() -> None:
    text = "[[runs]]\nmethod = 'simclr'\ndataset = 'herlev'\nratios = 10\nfolds = 0\nevaluations = 'linear'"
    [request] = Study.parse("mine", text).requests
    assert (request.ratios, request.folds, request.evaluations) == ((10,), (0,), ("linear",))


@pytest.mark.parametrize("folds", ["0-4", "0", ["0-4"], ("0", "1")])
def test_from_python_numbers_are_no_text(folds: object) -> None:
    """Regression: `0-4` was read as the number -4."""
    with pytest.raises(SettingsError, match=r"cervbench\.run: folds = .*give a list of numbers"):
        cervbench.run("simclr", "synthetic", folds=folds)  # type: ignore[arg-type]


@pytest.mark.parametrize(("key", "value"), [("folds", "true"), ("ratios", "[10, true]"), ("seed", "false")])
def test_a_truth_value_is_no_number_of_a_study(key: str, value: str) -> None:
    """Regression: true was fold 1, 1 % of the labels, and seed 1."""
    text = f"[[runs]]\nmethod = 'simclr'\ndataset = 'herlev'\n{key} = {value}"
    with pytest.raises(SettingsError, match=f"{key} = .*: Input should be a number, and is a truth value"):
        Study.parse("mine", text)


def test_a_study_that_is_no_text_is_refused(tmp_path: Path) -> None:
    junk = tmp_path / "junk.toml"
    junk.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SettingsError, match="no text in UTF-8"):
        Study.load(str(junk))


@pytest.mark.parametrize(("key", "meant"), [("fold", "folds"), ("labels", "ratios"), ("eval", "evaluations")])
def test_from_python_an_unknown_keyword_is_refused_with_the_one_that_was_meant(key: str, meant: str) -> None:
    """Regression: `fold=0` ran all folds, and `out=` wrote elsewhere, without a word."""
    with pytest.raises(SettingsError, match=rf"cervbench\.run has no key '{key}'; did you mean '{meant}'"):
        cervbench.run("simclr", "synthetic", **{key: 0})  # type: ignore[arg-type]


def test_from_python_a_folder_in_place_of_a_place_is_told_how_to_be_one() -> None:
    with pytest.raises(cervbench.CervbenchError, match=r"say place=cervbench\.Place\(out='mine'\)"):
        cervbench.run("simclr", "synthetic", place="mine")  # type: ignore[arg-type]


def test_to_a_notebook_the_package_shows_what_is_meant_for_users() -> None:
    errors = ["CervbenchError", "Diverged", "Place", "UsageError"]
    assert dir(cervbench) == [*errors, "__version__", "compare", "encoder", "figures", "run"]


def test_from_python_a_readme_of_somebody_else_is_told_before_anything_is_trained(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("# My notes\n")
    with pytest.raises(cervbench.CervbenchError, match="would be lost: move it"):
        cervbench.run("majority", "synthetic", place=cervbench.Place(out=tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["README.md"]


@pytest.mark.parametrize("progress", [True, False])
def test_from_python_progress_is_told_on_stderr_unless_it_is_not_wanted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], progress: bool
) -> None:
    place = cervbench.Place(out=tmp_path / "out", cache=tmp_path / "cache")
    asked = {"tier": "smoke", "folds": 0, "ratios": 100, "evaluations": "linear"}
    cervbench.run("majority", "synthetic", place=place, progress=progress, **asked)  # type: ignore[arg-type]
    told = capsys.readouterr()
    assert ("majority on synthetic, fold 0: linear at 100 %" in told.err) is progress
    assert not told.out


def test_from_python_what_is_of_the_place_is_told_to_be(tmp_path: Path) -> None:
    told = r"out is of the place; say place=cervbench\.Place\(out=…\)"
    with pytest.raises(cervbench.UsageError, match=told):
        cervbench.run("majority", "synthetic", out=tmp_path)  # type: ignore[arg-type]


def test_of_several_runs_progress_says_which_it_is_of(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = cervbench.Place(out=tmp_path / "out", cache=tmp_path / "cache")
    cervbench.run(
        "majority",
        "synthetic",
        tier="smoke",
        folds=[0, 2],
        seed=[0, 1],
        ratios=100,
        evaluations="linear",
        place=place,
    )
    told = capsys.readouterr().err
    assert "1 of 4, majority on synthetic, fold 0, seed 0: " in told
    assert "4 of 4, majority on synthetic, fold 2, seed 1: " in told


def test_from_python_the_defaults_are_those_of_a_study() -> None:
    def defaults(asked: Callable[..., object]) -> dict[str, object]:
        return {name: one.default for name, one in signature(asked).parameters.items()}

    function, request = defaults(cervbench.run), defaults(Request)
    assert function.pop("place") is None
    assert function.pop("progress") is True
    del function["unknown"]
    assert function.pop("settings") is None
    assert Request("simclr", "herlev").settings == {}
    del request["settings"]
    assert function == request


def test_from_python_an_empty_list_is_not_everything_either() -> None:
    """Regression: no folds at all ran all of them."""
    with pytest.raises(ValidationError, match="folds"):
        Request("simclr", "herlev", folds=())


def test_every_study_that_ships_can_be_read() -> None:
    assert shipped()
    for name in shipped():
        assert Study.load(name).requests


def test_an_unknown_study_is_named_with_those_there_are() -> None:
    with pytest.raises(SettingsError, match="herlev-quick"):
        Study.load("herlev-quik")


def test_a_study_is_narrowed_to_the_runs_that_are_wanted() -> None:
    narrowed = Study.parse("mine", TEXT).narrowed({"tier": "smoke", "seed": 1})
    assert [(r.method, r.seed) for r in narrowed.requests] == [("supervised", 1), ("simclr", 1)]
    several = Study.parse("mine", TEXT).narrowed({"method": "simclr", "seed": (1, 2)})
    assert [(r.method, r.seed) for r in several.requests] == [("simclr", 1)]


def test_of_folds_ratios_and_evaluations_a_part_can_be_asked_for() -> None:
    text = """
    [[runs]]
    method = "simclr"
    dataset = "herlev"
    [[runs]]
    method = "byol"
    dataset = "herlev"
    ratios = [1, 10, 100]
    evaluations = ["finetune"]
    """
    study = Study.parse("mine", text)
    simclr, byol = study.narrowed({"folds": (4,), "ratios": (5, 10)}).requests
    assert (simclr.folds, simclr.ratios, simclr.evaluations) == ((4,), (5, 10), None)
    assert (byol.folds, byol.ratios, byol.evaluations) == ((4,), (10,), ("finetune",))
    [simclr] = study.narrowed({"evaluations": ("knn",)}).requests
    assert (simclr.method, simclr.evaluations) == ("simclr", ("knn",))
    with pytest.raises(SettingsError, match="it has method byol, ratios 1,10,100; method simclr"):
        study.narrowed({"method": "byol", "ratios": (5,)})


def test_a_study_narrowed_to_nothing_says_what_it_has() -> None:
    with pytest.raises(
        SettingsError, match="it has seed 0, tier quick; seed 0, tier smoke; seed 1, tier smoke"
    ):
        Study.parse("mine", TEXT).narrowed({"seed": 1, "tier": "quick"})

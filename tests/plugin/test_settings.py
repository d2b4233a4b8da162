"""Wrong settings are told all at once, each with what is wrong with it."""

from typing import Annotated, Any

import pytest
from pydantic import Field

from cervbench.plugin import MethodConfig, Settings, SettingsError


class Config(MethodConfig):
    temperature: float = 0.5


def test_a_misspelt_key_is_told_the_nearest_and_what_there_is() -> None:
    with pytest.raises(SettingsError) as wrong:
        Config.parse({"temprature": 0.1}, "method near-far")
    assert str(wrong.value) == (
        "method near-far has no setting 'temprature'; did you mean 'temperature'? "
        "(it has optimizer, learning_rate, weight_decay, momentum, policy, temperature)"
    )


def test_every_wrong_key_and_value_is_told_at_once() -> None:
    wrong = {"temprature": 0.1, "momentum": 2.0, "optimizer": "lion", "depth": 3, "learning_rate": 0.1}
    with pytest.raises(SettingsError) as told:
        Config.parse(wrong, "method near-far")
    unknown, deeper, values = str(told.value).splitlines()
    assert "'temprature'; did you mean 'temperature'?" in unknown
    assert "no setting 'depth'" in deeper
    assert "momentum = 2.0" in values
    assert "optimizer = 'lion'" in values
    assert "learning_rate =" not in values


@pytest.mark.parametrize("name", ["temperature", "learning_rate"])
@pytest.mark.parametrize("value", [float("inf"), float("nan"), True])
def test_a_number_is_one_that_json_can_hold(name: str, value: float) -> None:
    """Regression: infinity was accepted and written as null, and true was 1."""
    with pytest.raises(SettingsError, match=f"{name} = {value}: .*number"):
        Config.parse({name: value}, "method near-far")


class Part(Settings):
    on: bool = False


class Nested(Settings):
    perhaps: int | None = None
    several: tuple[float, ...] = ()
    marked: tuple[Annotated[int, Field(gt=0)], ...] = ()
    by_name: dict[str, float] = Field(default={})
    switch: bool | int = 0
    either: float | Part = 0.0


@pytest.mark.parametrize(
    "wrong",
    [
        {"perhaps": True},
        {"several": [0.5, True]},
        {"marked": (True,)},
        {"by_name": {"a": 1.0, "b": False}},
        {"either": True},
    ],
)
def test_a_truth_value_is_no_number_however_the_annotation_wraps_it(wrong: dict[str, Any]) -> None:
    """Regression: it was refused only where the annotation was exactly int or float."""
    with pytest.raises(SettingsError, match=f"{next(iter(wrong))} = .*number, and is a truth value"):
        Nested.parse(wrong, "method near-far")


def test_a_truth_value_is_taken_where_the_annotation_has_one() -> None:
    assert Nested.parse({"switch": True}, "method near-far").switch is True
    assert Nested.parse({"either": {"on": True}}, "method near-far").either == Part(on=True)


def test_momentum_that_has_no_effect_is_no_run_of_its_own() -> None:
    """Regression: adamw has none, and each value of it was another row all the same."""
    with pytest.raises(SettingsError, match="momentum is of sgd; say --set optimizer=sgd too"):
        Config.parse({"momentum": 0.5}, "method near-far")
    for known in ({"momentum": 0.9}, {"momentum": 0.5, "optimizer": "sgd"}):
        assert Config.parse(known, "method near-far").momentum == known["momentum"]


class Needy(Settings):
    name: str
    size: int


def test_a_missing_value_is_not_shown_and_a_long_one_is_cut() -> None:
    with pytest.raises(SettingsError) as told:
        Needy.parse({"size": "x" * 500}, "it")
    assert str(told.value).startswith("it: name: Field required; size = 'xxxx")
    assert len(str(told.value)) < 200

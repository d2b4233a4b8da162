"""What is typed becomes the value that it says."""

from typing import Any

import click
import pytest

from cervbench.cli import parsing


@pytest.mark.parametrize(
    ("typed", "meant"), [("0-4", (0, 1, 2, 3, 4)), ("0,2", (0, 2)), ("3", (3,)), ("4, 0-1,1", (0, 1, 4))]
)
def test_numbers(typed: str, meant: tuple[int, ...]) -> None:
    assert parsing.numbers(typed) == meant


@pytest.mark.parametrize("typed", ["", "a", "1-", "-1", "0,,1", "4-2", "1.5", "²"])
def test_numbers_that_mean_nothing_are_refused(typed: str) -> None:
    with pytest.raises(click.BadParameter):
        parsing.numbers(typed)


@pytest.mark.parametrize(("typed", "meant"), [("1,10,100", (1, 10, 100)), ("10%,5%", (5, 10)), ("25", (25,))])
def test_ratios(typed: str, meant: tuple[int, ...]) -> None:
    assert parsing.ratios(typed) == meant


def test_sizes_keep_their_order_and_stand_once() -> None:
    assert parsing.sizes("128, 64,128") == (128, 64)


@pytest.mark.parametrize("typed", ["", "a", "64,", "-64", "6.4"])
def test_sizes_that_mean_nothing_are_refused(typed: str) -> None:
    with pytest.raises(click.BadParameter):
        parsing.sizes(typed)


def test_names_keep_their_order_and_stand_once() -> None:
    assert parsing.names("linear, knn,linear") == ("linear", "knn")


@pytest.mark.parametrize(
    ("typed", "key", "value"),
    [
        ("temperature=0.2", "temperature", 0.2),
        ("epochs=3", "epochs", 3),
        ("learning_rate=1e-3", "learning_rate", 0.001),
        ("symmetric=true", "symmetric", True),
        ("optimizer=sgd", "optimizer", "sgd"),
        ('name="3"', "name", "3"),
        ("sizes=[64, 32]", "sizes", [64, 32]),
        ("protocol.pretext.epochs=10", "protocol.pretext.epochs", 10),
        ("path=a=b", "path", "a=b"),
        ("empty=", "empty", ""),
        ("two=1\nother = 2", "two", "1\nother = 2"),
    ],
)
def test_a_setting_is_typed_as_toml_types_it(typed: str, key: str, value: Any) -> None:
    read_key, read_value = parsing.setting(typed)
    assert read_key == key
    assert read_value == value
    assert type(read_value) is type(value)


@pytest.mark.parametrize("typed", ["temperature", "=0.2", ""])
def test_what_is_no_setting_is_refused(typed: str) -> None:
    with pytest.raises(click.BadParameter, match="KEY=VALUE"):
        parsing.setting(typed)

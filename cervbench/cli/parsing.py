"""Parsers of what is typed: plain functions from text to values."""

import tomllib
from typing import Any

import click


def numbers(text: str) -> tuple[int, ...]:
    """`0-4`, `0,2` or both: `0,2-4`."""
    found: list[int] = []
    for part in _parts(text):
        first, dash, last = part.partition("-")
        start, stop = _whole(first, text), _whole(last if dash else first, text)
        if stop < start:
            raise click.BadParameter(f"{part!r} runs backwards; write {stop}-{start}")
        found += range(start, stop + 1)
    return tuple(sorted(set(found)))


def ratios(text: str) -> tuple[int, ...]:
    """`1,10,100`: per cent of the labels."""
    return tuple(sorted({_whole(part.removesuffix("%"), text) for part in _parts(text)}))


def sizes(text: str) -> tuple[int, ...]:
    """`64,128`: pixels, in the given order."""
    return tuple(dict.fromkeys(_whole(part, text) for part in _parts(text)))


def names(text: str) -> tuple[str, ...]:
    """`linear,knn`, in the given order."""
    return tuple(dict.fromkeys(_parts(text)))


def setting(text: str) -> tuple[str, Any]:
    """`KEY=VALUE`. The value is read as TOML, and taken as a string if it is not."""
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise click.BadParameter(f"{text!r} does not read KEY=VALUE")
    return key.strip(), _literal(value.strip())


def _literal(text: str) -> Any:
    try:
        table = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    return table["value"] if len(table) == 1 else text


def _parts(text: str) -> list[str]:
    parts = [part.strip() for part in text.split(",")]
    if not all(parts):
        raise click.BadParameter(f"{text!r} has an empty place; separate with single commas")
    return parts


def _whole(text: str, where: str) -> int:
    if not text.strip().isdecimal():
        raise click.BadParameter(f"{text!r} in {where!r} is not a whole number")
    return int(text)

"""Measurements: where and with what they were made, and how those of several machines share a file."""

import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from cervbench.atomic import write_text
from cervbench.error import CervbenchError
from cervbench.plugin.settings import Closed, wrong_values


class Where(Closed):
    """The device, what stands beside it, and the software."""

    device: str
    host: str
    """The processor, also where the device is another."""
    precision: str
    threads: int
    versions: dict[str, str]


class Measurement(Closed, ABC):
    where: Where

    @property
    @abstractmethod
    def key(self) -> tuple[str | int, ...]:
        """What a newer measurement replaces; begins with the device."""


class MeasurementError(CervbenchError, ValueError):
    """A file of measurements cannot be read; the message names it and says what to do."""


Kind = TypeVar("Kind", bound=Measurement)


def merged(known: Iterable[Kind], fresh: Iterable[Kind]) -> list[Kind]:
    """All of them in order of their keys; a fresh one takes the place of a known one."""
    by_key = {one.key: one for one in [*known, *fresh]}
    return [by_key[key] for key in sorted(by_key)]


def read(path: Path, kind: type[Kind]) -> list[Kind]:
    """The measurements of a file; none where there is no file."""
    try:
        return _several(kind).validate_json(path.read_bytes())
    except FileNotFoundError:
        return []
    except ValidationError as error:
        raise MeasurementError(
            f"{path}: {wrong_values(error, most=1)}. Restore it from a copy; or delete it and measure again"
        ) from None


def write(path: Path, measured: Sequence[Measurement]) -> None:
    plain = [one.model_dump(mode="json") for one in measured]
    write_text(path, json.dumps(plain, indent=1, ensure_ascii=False) + "\n")


def _several(kind: type[Kind]) -> "TypeAdapter[list[Kind]]":
    return TypeAdapter(list[kind])  # type: ignore[valid-type]

"""Measurements: where and with what they were made, and how those of several machines share a file."""

import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from pydantic import TypeAdapter, ValidationError

from cervbench.atomic import write_text
from cervbench.error import CervbenchError
from cervbench.host import observe_host
from cervbench.lock import locked
from cervbench.plugin.settings import Closed, wrong_values

if TYPE_CHECKING:
    import torch


class Where(Closed):
    """The device, its host, and the software."""

    device: str
    host: str
    """The CPU, even if the device is a GPU."""
    precision: str
    threads: int
    versions: dict[str, str]

    @classmethod
    def of(cls, device: "torch.device", packages: Mapping[str, str] | None = None) -> "Where":
        """What is measured with here; `packages` are further ones whose versions matter."""
        import torch

        seen = observe_host(device, packages or {})
        host = observe_host(torch.device("cpu"), {})["device"]
        return cls(
            device=seen["device"],
            host=host.removeprefix("cpu: "),
            precision=seen["precision"],
            threads=seen["threads"],
            versions=seen["versions"],
        )


class Measurement(Closed, ABC):
    where: Where

    @property
    @abstractmethod
    def key(self) -> tuple[str | int, ...]:
        """A newer measurement replaces the one of the same key, which begins with the device."""


class MeasurementError(CervbenchError, ValueError):
    """A file of measurements cannot be read; the message names it, and says what to do."""


Kind = TypeVar("Kind", bound=Measurement)


def merged(known: Iterable[Kind], fresh: Iterable[Kind]) -> list[Kind]:
    """All measurements in the order of their keys, a fresh one replacing a known one of the same key."""
    by_key = {one.key: one for one in [*known, *fresh]}
    return [by_key[key] for key in sorted(by_key)]


def read(path: Path, kind: type[Kind]) -> list[Kind]:
    """The measurements in a file; none if there is no file."""
    try:
        return _several(kind).validate_json(path.read_bytes())
    except FileNotFoundError:
        return []
    except ValidationError as error:
        raise MeasurementError(
            f"{path}: {wrong_values(error, most=1)}. Restore it from a copy; or delete it and measure again"
        ) from None


def one_at_a_time(path: Path) -> AbstractContextManager[None]:
    """For whoever reads measurements, adds to them and writes all of them again."""
    return locked(path.parent / ".locks" / f"{path.name}.lock")


def write(path: Path, measured: Sequence[Measurement]) -> None:
    plain = [one.model_dump(mode="json") for one in measured]
    write_text(path, json.dumps(plain, indent=1, ensure_ascii=False) + "\n")


def _several(kind: type[Kind]) -> "TypeAdapter[list[Kind]]":
    return TypeAdapter(list[kind])  # type: ignore[valid-type]

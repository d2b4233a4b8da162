"""What users ask for: a request names runs, and a study is a TOML file of requests."""

import itertools
import os
import tomllib
from collections.abc import Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass, field, fields, replace
from importlib.resources import files
from numbers import Integral
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as checked

from cervbench import place
from cervbench.plugin.settings import SettingsError, did_you_mean, refuse_truth_values, wrong_values


def _listed(value: Any) -> Any:
    """A single value as a list of one. None asks for everything; an empty list is a mistake."""
    listed = (value,) if isinstance(value, Integral | str) else value
    if isinstance(listed, Sized) and not len(listed):
        raise ValueError("is empty; left out, it asks for all")
    return listed


def _once(listed: Any) -> Any:
    """Whoever asks twice wants one record, and one row of a table."""
    return listed and tuple(dict.fromkeys(listed))


def _numbers(value: Any) -> Any:
    """A list of numbers. Text is refused, since pydantic reads `0-4` as the number -4."""
    listed = _listed(refuse_truth_values(value))
    if isinstance(listed, Sequence) and any(isinstance(one, str | bytes) for one in listed):
        raise ValueError("is text; give a list of numbers, like [0, 1, 2]")
    return listed


def _dotted(settings: Any) -> Any:
    """Dotted keys for a table `protocol`, which TOML makes of `protocol.pretext.epochs` without quotes."""
    if not isinstance(settings, Mapping) or not isinstance(settings.get("protocol"), Mapping):
        return settings
    others = {key: one for key, one in settings.items() if key != "protocol"}
    of_protocol = dict(_leaves("protocol", settings["protocol"]))
    if twice := sorted(of_protocol.keys() & others.keys()):
        raise ValueError(f"says {twice[0]} twice")
    return others | of_protocol


def _leaves(key: str, value: Any) -> Iterator[tuple[str, Any]]:
    if not isinstance(value, Mapping):
        yield key, value
        return
    for inner, one in value.items():
        yield from _leaves(f"{key}.{inner}", one)


Numbers = Annotated[tuple[int, ...] | None, BeforeValidator(_numbers), AfterValidator(_once)]
Names = Annotated[tuple[str, ...] | None, BeforeValidator(_listed), AfterValidator(_once)]
NameOrPath = Annotated[str, BeforeValidator(lambda v: os.fspath(v) if isinstance(v, os.PathLike) else v)]

OF_THE_COMMAND_LINE = {"labels": "ratios", "eval": "evaluations"}
"""Options of the command line whose field in a request has another name."""


@checked(frozen=True)
class Request:
    """One method on one dataset: pretrained on each fold, then evaluated at each ratio."""

    method: str
    dataset: NameOrPath
    backbone: str = "resnet18"
    init: NameOrPath = "random"
    ratios: Numbers = None
    evaluations: Names = None
    folds: Numbers = None
    seed: Annotated[int, BeforeValidator(refuse_truth_values), Field(ge=0)] = 0
    tier: str = "quick"
    settings: Annotated[Mapping[str, Any], BeforeValidator(_dotted)] = field(default_factory=dict)
    """Settings of the method. Those that start with `protocol.` change the protocol: the run is off it."""

    @classmethod
    def parse(cls, given: Mapping[str, Any], where: str) -> "Request":
        """The request, or one SettingsError that names what is wrong; `where` begins its message."""
        known = [field.name for field in fields(cls)]
        for key in given:
            if key not in known:
                meant = OF_THE_COMMAND_LINE.get(key)
                hint = f"; did you mean {meant!r}?" if meant else did_you_mean(key, known)
                raise SettingsError(f"{where} has no key {key!r}{hint} (it has {', '.join(known)})")
        try:
            return _CHECKED.validate_python(dict(given))
        except ValidationError as error:
            raise SettingsError(f"{where}: {wrong_values(error)}") from None


@dataclass(frozen=True)
class Study:
    name: str
    title: str
    written: tuple[Request, ...]
    """As they stand in the file."""
    folder: Path | None = None
    """Where the file is; None for a study that ships."""

    @property
    def requests(self) -> tuple[Request, ...]:
        """With the paths of the file as they are seen from here."""
        return tuple(_from(self.folder, one) for one in self.written) if self.folder else self.written

    @classmethod
    def load(cls, study: str) -> "Study":
        """A study by path, or by the name of one that ships with the package."""
        path = Path(study)
        if path.is_file():
            try:
                return replace(cls.parse(path.stem, path.read_text("utf-8")), folder=path.parent)
            except UnicodeDecodeError:
                raise SettingsError(
                    f"study {study}: this is no text in UTF-8; a study is a TOML file"
                ) from None
        known = shipped()
        if study in known:
            return cls.parse(study, files("cervbench.studies").joinpath(f"{study}.toml").read_text("utf-8"))
        hint = did_you_mean(study, known)
        raise SettingsError(
            f"no study {study!r}: no file of this path, and none that ships{hint} ({', '.join(known)})"
        )

    @classmethod
    def parse(cls, name: str, text: str) -> "Study":
        """Read `[[runs]]` tables with the fields of a request; a list, of methods say, makes one of each."""
        try:
            tables = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise SettingsError(f"study {name}: {error}") from None
        if strange := set(tables) - {"title", "runs"}:
            raise SettingsError(f"study {name}: {min(strange)!r} is unknown; a study has title and [[runs]]")
        tables_of_runs = tables.get("runs", [])
        if not isinstance(tables_of_runs, list) or not all(isinstance(runs, dict) for runs in tables_of_runs):
            raise SettingsError(f"study {name}: runs are written [[runs]], in two brackets")
        requests = [
            request
            for number, runs in enumerate(tables_of_runs, 1)
            for request in _requests(f"study {name}: [[runs]] number {number}", runs)
        ]
        if not requests:
            raise SettingsError(f"study {name} has no [[runs]]")
        return cls(name, str(tables.get("title", name)), tuple(requests))

    def narrowed(self, wanted: Mapping[str, Any]) -> "Study":
        """The requests that have the wanted fields, cut down to the wanted folds, ratios and evaluations.

        Of a field that has one value in a request, a tuple of them is any of these.
        """
        left = [r for request in self.written if (r := _narrowed(request, wanted))]
        if not left:
            has = sorted(
                {", ".join(f"{name} {_told(getattr(r, name))}" for name in wanted) for r in self.written}
            )
            raise SettingsError(f"study {self.name} has no run that matches; it has {'; '.join(has)}")
        return replace(self, written=tuple(left))


SEVERAL = ("method", "dataset", "backbone", "init", "seed", "tier")
"""Fields of a request that a study may give as a list: every combination is run."""
PARTS = ("folds", "ratios", "evaluations")
"""Fields that hold lists in a request, of which a part can be asked for."""


def _narrowed(request: Request, wanted: Mapping[str, Any]) -> Request | None:
    """The part of a request that is wanted; None if there is none."""
    for name in (name for name in SEVERAL if name in wanted):
        any_of = wanted[name] if isinstance(wanted[name], tuple) else (wanted[name],)
        if getattr(request, name) not in any_of:
            return None
    parts: dict[str, Any] = {}
    for name in (name for name in PARTS if name in wanted):
        own = getattr(request, name)
        parts[name] = wanted[name] if own is None else tuple(one for one in own if one in wanted[name])
    return replace(request, **parts) if all(parts.values()) else None


def _told(value: Any) -> str:
    """The value of a field, as a user writes it."""
    if value is None:
        return "all"
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _from(folder: Path, request: Request) -> Request:
    """The request of a study in this folder, from which its paths lead. A bare name is no path."""

    def seen(given: str) -> str:
        if Path(given).name == given and not given.lower().endswith((".csv", ".safetensors")):
            return given
        return str((folder / place.folder(given)).absolute())

    return replace(request, dataset=seen(request.dataset), init=seen(request.init))


def _requests(where: str, runs: Mapping[str, Any]) -> list[Request]:
    if empty := [key for key in SEVERAL if runs.get(key) == []]:
        raise SettingsError(f"{where}: {empty[0]} is an empty list")
    lists = {k: v if isinstance(v, list) else [v] for k, v in runs.items() if k in SEVERAL}
    fixed = {k: v for k, v in runs.items() if k not in SEVERAL}
    return [
        Request.parse({**fixed, **dict(zip(lists, values, strict=True))}, where)
        for values in itertools.product(*lists.values())
    ]


_CHECKED = TypeAdapter(Request)


def shipped() -> list[str]:
    """Names of the studies in the package."""
    return sorted(
        path.name.removesuffix(".toml")
        for path in files("cervbench.studies").iterdir()
        if path.name.endswith(".toml")
    )

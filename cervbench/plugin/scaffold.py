"""Writes a new package from the template: a method that runs as it is, its tests, and a README."""

import ast
import keyword
import re
from collections.abc import Container, Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path, PurePosixPath

from cervbench.atomic import whole_folder
from cervbench.error import UsageError
from cervbench.plugin.missing_methods import PACKAGES

LONGEST = 40
_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


def new_package(name: str, into: Path, taken: Container[str] = ()) -> Path:
    """Write the package `cervbench-NAME` with the method NAME into a folder; nothing is overwritten."""
    template = dict(_files(files("cervbench.plugin") / "template", PurePosixPath()))
    _refuse_unusable(name, taken, template)
    target = into / f"cervbench-{name}"
    if target.exists() or target.is_symlink():
        raise UsageError(f"{target} is there already; choose another name, or another folder with --into")
    with whole_folder(target) as beside:
        for path, text in template.items():
            file = beside / _renamed(path.as_posix(), name, in_a_path=True)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(_renamed(text, name), "utf-8")
    return target


def _refuse_unusable(name: str, taken: Container[str], template: dict[PurePosixPath, str]) -> None:
    if not _NAME.fullmatch(name) or len(name) > LONGEST:
        raise UsageError(
            f"{name!r} cannot be the name of a method: say small letters and digits, with single dashes "
            f"between words, a letter first, {LONGEST} at the most"
        )
    if name in taken or name in PACKAGES:
        raise UsageError(
            f"there is a method {name!r} already, and a name offered twice belongs to neither; choose another"
        )
    code = "\n".join(text for path, text in template.items() if path.suffix == ".py")
    in_use = {node.id for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Name)} - {"Example"}
    if keyword.iskeyword(_class(name)) or _class(name) in in_use:
        raise UsageError(
            f"the class of {name!r} would be called {_class(name)}, which is something else in its module; "
            "choose another name"
        )


def _class(name: str) -> str:
    return "".join(word.capitalize() for word in name.split("-"))


def _renamed(text: str, name: str, in_a_path: bool = False) -> str:
    """The text, with the method's name wherever the template has the example's."""
    word = name.replace("-", "_")
    new = {
        "cervbench_example": f"cervbench_{word}",
        "cervbench-example": f"cervbench-{name}",
        "Example": _class(name),
        "example": word if in_a_path else name,
    }
    return re.sub("|".join(new), lambda found: new[found[0]], text)


def _files(folder: Traversable, path: PurePosixPath) -> Iterator[tuple[PurePosixPath, str]]:
    for entry in folder.iterdir():
        if entry.is_file():
            yield path / entry.name, entry.read_text("utf-8")
        elif entry.name != "__pycache__" and not entry.name.endswith(".egg-info"):
            yield from _files(entry, path / entry.name)

"""Which installed packages have plugins for this cervbench, and why others cannot be loaded."""

import os
import re
from collections.abc import Iterable
from importlib.metadata import Distribution, distributions
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from cervbench.plugin.catalog import CORE
from cervbench.plugin.problems import Problem, in_words
from cervbench.plugin.settings import did_you_mean

PLUGINS_VARIABLE = "CERVBENCH_PLUGINS"
"""Environment variable: the packages to load besides the core, separated by commas; unset loads all."""

GROUP = "cervbench"
"""The entry-point group by which a package says that it has plugins."""


def packages_to_load() -> tuple[dict[str, Distribution], list[Problem]]:
    """The packages by name, and the problems of those that cannot be among them.

    They are all that are installed or, where CERVBENCH_PLUGINS is set, the core and those it names.
    """
    installed, damaged = _installed()
    chosen = os.environ.get(PLUGINS_VARIABLE)
    if chosen is None:
        return installed, damaged
    named = {CORE, *(canonicalize_name(name.strip()) for name in chosen.split(",") if name.strip())}
    damaged = [problem for problem in damaged if problem.package in named]
    absent = named - installed.keys() - {CORE, *(problem.package for problem in damaged)}
    problems = [_not_installed(name, installed) for name in sorted(absent)]
    return {package: installed[package] for package in installed if package in named}, problems + damaged


def _installed() -> tuple[dict[str, Distribution], list[Problem]]:
    """Packages with entry points for cervbench, by name (the first on the path wins), and damaged ones."""
    found: dict[str, Distribution] = {}
    damaged: list[Problem] = []
    for distribution in distributions():
        try:
            # Asking for a name parses the metadata, and most packages on the path are not for us.
            if f"[{GROUP}]" not in (distribution.read_text("entry_points.txt") or ""):
                continue
            said = distribution.metadata  # Python is going to raise a KeyError where it has no Name
            if not all(key in said and said[key] for key in ("Name", "Version")):
                raise ValueError("METADATA is missing, or has no Name or no Version")
            found.setdefault(canonicalize_name(distribution.name), distribution)
        except Exception as error:
            damaged.append(unreadable(distribution, error))
    return found, damaged


def is_installed(package: str) -> bool:
    """Whether this names, in any spelling, the core or a package with entry points for it, loaded or not."""
    return canonicalize_name(package) == CORE or any(
        found.entry_points.select(group=GROUP) for found in distributions(name=package)
    )


def unreadable(distribution: Distribution, error: Exception) -> Problem:
    """The problem of damaged metadata. It may lack even a name, so the package is named after its folder."""
    folder = Path(str(getattr(distribution, "_path", distribution)))  # importlib has no public name for it
    package = canonicalize_name(folder.stem.partition("-")[0])
    what = f"its metadata cannot be read: {in_words(error)}"
    return Problem(package, str(folder), what, f"reinstall {package}, or delete this folder")


def _not_installed(chosen: str, installed: Iterable[str]) -> Problem:
    """The problem of a package that CERVBENCH_PLUGINS names in vain, which may be a typing slip."""
    hint = did_you_mean(chosen, installed)
    return Problem(chosen, PLUGINS_VARIABLE, "is not installed", f"name packages with commas between{hint}")


def why_refused(distribution: Distribution, core: Distribution | None) -> str:
    """Why a package cannot be used with this version of cervbench; empty if it can."""
    for text in distribution.requires or ():
        try:
            requirement = Requirement(text)
        except InvalidRequirement as error:
            return f"its requirement {text!r} cannot be read: {error}"
        if (
            core is not None
            and canonicalize_name(requirement.name) == CORE
            and (requirement.marker is None or requirement.marker.evaluate({"extra": ""}))
            and not requirement.specifier.contains(core.version, prereleases=True)
        ):
            return f"it requires cervbench{requirement.specifier}, and this is cervbench {core.version}"
    return ""


def where_required(distribution: Distribution) -> str:
    """The line of the installed metadata that requires cervbench."""
    for file in distribution.files or ():
        if file.name == "METADATA":
            for number, line in enumerate(file.read_text().splitlines(), 1):
                if re.match(rf"Requires-Dist: {CORE}\b(?!-)", line, re.IGNORECASE):
                    return f"{file.locate()}:{number}"
    return f"requirements of {distribution.name} {distribution.version}"

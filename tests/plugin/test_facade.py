"""`cervbench.plugin`, through which authors see the core: lazy, yet known to editors and type checkers."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

import cervbench.plugin
from cervbench.plugin.scaffold import new_package


def seen_by_type_checkers() -> set[tuple[str, str]]:
    """Module and name of what is imported for types alone."""
    tree = ast.parse(Path(cervbench.plugin.__file__).read_text("utf-8"))
    (block,) = [n for n in tree.body if isinstance(n, ast.If) and ast.unparse(n.test) == "TYPE_CHECKING"]
    return {(node.module or "", each.name) for node in block.body for each in node.names}  # type: ignore[attr-defined]


def test_a_type_checker_sees_what_is_imported_later() -> None:
    assert seen_by_type_checkers() == {(module, name) for name, module in cervbench.plugin._HOME.items()}


def test_what_type_checkers_are_told_of_is_what_there_is() -> None:
    """They read `__all__` as it is written, so that no name in it can be computed."""
    text = Path(cervbench.plugin.__file__).read_text("utf-8")
    written = ast.literal_eval(text.partition("\n__all__ = ")[2].partition("\n]")[0] + "]")
    at_once = {name for name in vars(cervbench.plugin) if name in written}
    assert {*written} == at_once | {*cervbench.plugin._HOME}


MINE = """
import cervbench

place = cervbench.Place(out="my-results", cache="here")
table = cervbench.run("simclr", "synthetic", folds=[0], ratios=(10, 100), tier="smoke", place=place)
print(table["balanced_accuracy"].mean(), place.out / "README.md")
"""


def test_what_authors_and_users_write_passes_a_strict_type_checker(tmp_path: Path) -> None:
    """Regression: no name of `cervbench.plugin` was exported for it, and a folder of results was no text."""
    pytest.importorskip("mypy", reason="mypy comes with the extra `dev`")
    package = new_package("near-far", tmp_path)
    (tmp_path / "mine.py").write_text(MINE)
    asked = [
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        "--config-file=",
        f"--cache-dir={os.devnull}",
        "--follow-imports=silent",
        "mine.py",
        str(package / "src"),
    ]
    told = subprocess.run(
        [*asked, str(package / "tests")],
        cwd=tmp_path,
        env={**os.environ, "MYPYPATH": str(Path(cervbench.__file__).parents[1])},
        capture_output=True,
        text=True,
    )
    assert told.returncode == 0, told.stdout + told.stderr


def test_every_name_can_be_had_and_is_listed() -> None:
    assert dir(cervbench.plugin) == sorted(cervbench.plugin.__all__)
    for name in cervbench.plugin.__all__:
        assert getattr(cervbench.plugin, name) is not None


def test_a_misspelt_name_is_answered_with_the_one_that_was_meant() -> None:
    with pytest.raises(AttributeError, match="no 'Normalize'; did you mean 'Normalise'"):
        _ = cervbench.plugin.Normalize
    with pytest.raises(AttributeError, match=r"no 'nothing_like_it'; docs/hooks\.md lists what it has"):
        _ = cervbench.plugin.nothing_like_it

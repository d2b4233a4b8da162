"""`cervbench.plugin`, through which authors see the core: lazy, yet known to editors and type checkers."""

import ast
from pathlib import Path

import pytest

import cervbench.plugin


def seen_by_type_checkers() -> set[tuple[str, str]]:
    """Module and name of what is imported for types alone."""
    tree = ast.parse(Path(cervbench.plugin.__file__).read_text("utf-8"))
    (block,) = [n for n in tree.body if isinstance(n, ast.If) and ast.unparse(n.test) == "TYPE_CHECKING"]
    return {(node.module or "", each.name) for node in block.body for each in node.names}  # type: ignore[attr-defined]


def test_a_type_checker_sees_what_is_imported_later() -> None:
    assert seen_by_type_checkers() == {(module, name) for name, module in cervbench.plugin._HOME.items()}


def test_every_name_can_be_had_and_is_listed() -> None:
    assert dir(cervbench.plugin) == sorted(cervbench.plugin.__all__)
    for name in cervbench.plugin.__all__:
        assert getattr(cervbench.plugin, name) is not None


def test_a_misspelt_name_is_answered_with_the_one_that_was_meant() -> None:
    with pytest.raises(AttributeError, match="no 'Normalize'; did you mean 'Normalise'"):
        _ = cervbench.plugin.Normalize
    with pytest.raises(AttributeError, match=r"no 'nothing_like_it'; docs/hooks\.md lists what it has"):
        _ = cervbench.plugin.nothing_like_it

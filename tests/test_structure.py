"""The way through the house: a room imports only from those before it, and not from those beside it."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import cervbench.plugin

ROOT = Path(__file__).parents[1]
CORE = ROOT / "cervbench"

ORDER = [
    {"error", "atomic", "watching", "studies", "markup"},
    {"lock"},
    {"place", "plugin", "sealed", "progress"},
    {"protocol"},
    {"data"},
    {"training"},
    {"scoring"},
    {"records"},
    {"methods", "evaluations"},
    {"study", "answers", "offered_code", "host", "overview"},
    {"resolve", "weight_history"},
    {"runs"},
    {"plan"},
    {"harness", "kept_encoder"},
    {"audit", "leaderboard", "bench", "checks", "attention"},
    {"cli"},
]
LEVEL = {room: level for level, rooms in enumerate(ORDER) for room in rooms}
LEVEL["__main__"] = LEVEL["cervbench"] = len(ORDER)  # the faces, __init__.py and __main__.py

MODULES = sorted(CORE.rglob("*.py"))
OF_AUTHORS = sorted(
    [*CORE.glob("methods/*.py"), *CORE.glob("evaluations/*.py"), *ROOT.glob("plugins/*/src/**/*.py")]
)
OF_THE_API = {"cervbench.plugin", *(f"cervbench.plugin.{name}" for name in cervbench.plugin.__all__)}


def imports(module: Path) -> Iterator[str]:
    """Modules that are imported when it runs, at the top or in a function; not those for types alone."""
    pending: list[ast.AST] = [ast.parse(module.read_text(encoding="utf-8"))]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            pending += node.orelse
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} imports relatively; say cervbench.…"
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        else:
            pending += ast.iter_child_nodes(node)


def room(name: str) -> str:
    """The room of a dotted module name: `cervbench.data.pack` is in `data`."""
    parts = name.split(".")
    return parts[1] if len(parts) > 1 and parts[1] in LEVEL else "cervbench"


def name_of(module: Path) -> str:
    return ".".join(module.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def relative(module: Path) -> str:
    return str(module.relative_to(ROOT))


@pytest.mark.parametrize("module", MODULES, ids=relative)
def test_a_module_imports_only_from_rooms_before_its_own(module: Path) -> None:
    own = room(name_of(module))
    imported = {name for name in imports(module) if name.startswith("cervbench.") and room(name) != own}
    assert [name for name in sorted(imported) if LEVEL[room(name)] >= LEVEL[own]] == []


@pytest.mark.parametrize("module", MODULES, ids=relative)
def test_every_module_is_in_a_room(module: Path) -> None:
    first = module.relative_to(CORE).parts[0].removesuffix(".py")
    assert first == "__init__" or first in LEVEL


@pytest.mark.parametrize("module", OF_AUTHORS, ids=relative)
def test_methods_and_evaluations_use_the_plugin_api_and_nothing_else_of_the_core(module: Path) -> None:
    own_room = name_of(module).rpartition(".")[0] if module.is_relative_to(CORE) else ""
    foreign = [
        name
        for name in sorted(set(imports(module)))
        if name.startswith("cervbench.")
        and name not in OF_THE_API
        and not (own_room and name.startswith(own_room))
    ]
    assert foreign == []


@pytest.mark.parametrize("module", MODULES, ids=relative)
def test_a_module_imports_nothing_at_first_that_only_posix_has(module: Path) -> None:
    """Regression: one `import resource` at the top kept every run from beginning."""
    pending: list[ast.AST] = [ast.parse(module.read_text(encoding="utf-8"))]
    named = set()
    while pending:
        node = pending.pop()
        if isinstance(node, ast.Import):
            named |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            named.add(node.module)
        elif not isinstance(node, ast.FunctionDef | ast.Lambda):  # what runs on import
            pending += ast.iter_child_nodes(node)
    assert named.isdisjoint({"fcntl", "grp", "posix", "pty", "pwd", "resource", "termios"})


@pytest.mark.parametrize("module", MODULES, ids=relative)
def test_a_module_can_be_read_at_once(module: Path) -> None:
    lines = len(module.read_text(encoding="utf-8").splitlines())
    assert lines <= 300, f"{lines} lines: look for the second noun in it"


@pytest.mark.parametrize("module", [m for m in MODULES if m.parent.name != "checks"], ids=relative)
def test_every_error_is_a_cervbench_error(module: Path) -> None:
    """So that one word catches them all. Those of checks are findings, caught where they are raised."""
    own = {"CervbenchError", "UsageError", "DataError", "ContractError", "ClickException"}
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_") and node.name != "CervbenchError":
            bases = {ast.unparse(base).rpartition(".")[2] for base in node.bases}
            an_error = any(base.endswith(("Error", "Exception")) for base in bases)
            assert not an_error or bases & own, node.name

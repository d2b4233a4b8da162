"""Tables as evaluations store them, small enough to reason about."""

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from cervbench.scoring.task import Task


@pytest.fixture
def task() -> Task:
    return Task(
        classes=("normal", "light", "severe"),
        abnormal=("light", "severe"),
        severity={"normal": 0, "light": 1, "severe": 2},
    )


@pytest.fixture
def table(task: Task) -> Callable[..., dict[str, np.ndarray]]:
    """`table(fold)`: 30 images in 10 groups, every class in several, rows in no order."""

    def make(fold: int = 0, draws: int = 3, signal: float = 1.0) -> dict[str, np.ndarray]:
        rng = np.random.default_rng([fold, draws])
        labels = np.arange(30) % 3
        logits = rng.normal(size=(draws, 30, 3)) + signal * np.eye(3)[labels]
        probabilities = (np.exp(logits) / np.exp(logits).sum(axis=2, keepdims=True)).astype(np.float32)
        columns = {
            "image": np.tile([f"{fold}-{i:02d}" for i in range(30)], draws).astype(object),
            "group": np.tile([f"{fold}-{i // 3}" for i in range(30)], draws).astype(object),
            "label": np.tile(np.array(task.classes, dtype=object)[labels], draws),
            "draw": np.repeat(np.arange(draws, dtype=np.int16), 30),
        }
        for k, name in enumerate(task.classes):
            columns[f"p_{name}"] = probabilities[:, :, k].ravel()
        mixed = rng.permutation(30 * draws)
        return {name: values[mixed] for name, values in columns.items()}

    return make


def script(name: str) -> ModuleType:
    path = Path(__file__).parents[2] / "scripts" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def study() -> ModuleType:
    """The simulation of scripts/interval_coverage.py."""
    return script("interval_coverage")


@pytest.fixture(scope="session")
def means() -> ModuleType:
    """The simulation of scripts/few_draws_and_seeds.py."""
    return script("few_draws_and_seeds")

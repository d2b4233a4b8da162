import math
from collections.abc import Callable

import pytest
import torch
from cervbench_example.method import alignment, uniformity

from cervbench.plugin.checks import checks_of

EAST, WEST, NORTH = [1.0, 0.0], [-1.0, 0.0], [0.0, 1.0]


@pytest.mark.parametrize("check", checks_of("cervbench-example"), ids=str)
def test_what_cervbench_demands(check: Callable[[], str]) -> None:
    check()


def test_alignment_worked_by_hand() -> None:
    """Squared distances: 0 from east to east, 2 from east to north."""
    assert alignment(torch.tensor([EAST, EAST]), torch.tensor([EAST, NORTH])).item() == pytest.approx(1.0)


def test_uniformity_worked_by_hand() -> None:
    """Three pairs, at squared distances 4, 2 and 2."""
    expected = math.log((math.exp(-8) + 2 * math.exp(-4)) / 3)
    assert uniformity(torch.tensor([EAST, WEST, NORTH])).item() == pytest.approx(expected)

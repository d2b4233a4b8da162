import math

import pytest
import torch
from cervbench_simclr.method import nt_xent
from lightly.loss import NTXentLoss


def test_nt_xent_worked_by_hand() -> None:
    """Two images on the axes, both views of each the same: every view has itself left out, its partner
    at cosine 1 and two others at cosine 0."""
    views = torch.tensor([[1.0, 0.0], [0.0, 2.0], [3.0, 0.0], [0.0, 4.0]])
    expected = -math.log(math.exp(1 / 0.5) / (math.exp(1 / 0.5) + 2))
    assert nt_xent(views, 0.5).item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("temperature", [0.07, 0.5])
def test_nt_xent_is_lightlys(temperature: float) -> None:
    torch.manual_seed(0)
    one, other = torch.randn(16, 32), torch.randn(16, 32)
    theirs = NTXentLoss(temperature)(one, other)
    assert nt_xent(torch.cat([one, other]), temperature).item() == pytest.approx(theirs.item(), abs=1e-5)

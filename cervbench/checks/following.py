"""For the tests of a method with a network that follows: does all of it, and how far does it go?"""

from collections.abc import Callable

import torch
from torch import nn


def followed(follower: nn.Module, leader: nn.Module, step: Callable[[], object]) -> float:
    """What share of the way to its leader, which is moved first, the follower goes in a step.

    Both begin alike. An AssertionError where some of it goes another share than the rest.
    """
    before = [parameter.clone() for parameter in follower.parameters()]
    with torch.no_grad():
        for parameter in leader.parameters():
            parameter.add_(1.0)
    step()
    pairs = zip(before, follower.parameters(), leader.parameters(), strict=True)
    gone = torch.cat([((now - was) / (ahead - was)).flatten() for was, now, ahead in pairs]).detach()
    torch.testing.assert_close(gone, gone.mean().expand_as(gone), rtol=0, atol=1e-5)
    return float(gone.mean())

"""The learning rate of every stage: a linear warm-up, then half a cosine down to zero."""

import math

WARM_UP = 0.1
"""The share of the steps that warm up."""


def rate_at(step: int, steps: int) -> float:
    """The factor on the learning rate in step 0, 1, …, steps - 1."""
    warm_up = max(1, round(WARM_UP * steps))
    if step < warm_up:
        return (step + 1) / warm_up
    return 0.5 * (1 + math.cos(math.pi * (step - warm_up) / max(1, steps - warm_up)))

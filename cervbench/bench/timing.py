"""Timing: contestants take turns, so that whatever else the machine does slows all of them equally."""

import time
from collections.abc import Callable, Mapping, Sequence
from statistics import median

import torch

Turn = Callable[[], float]
"""Does its work once, and returns at what rate."""


def synchronise(device: torch.device) -> None:
    """Wait until the device, which works while the host goes on, has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def seconds(work: Callable[[], object], device: torch.device) -> float:
    synchronise(device)
    started = time.perf_counter()
    work()
    synchronise(device)
    return time.perf_counter() - started


def alternate(turns: Mapping[str, Turn], rounds: int) -> dict[str, list[float]]:
    """The rates of every contestant, round by round; each round is begun by another one."""
    names = list(turns)
    rates: dict[str, list[float]] = {name: [] for name in names}
    for number in range(rounds):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            rates[name].append(turns[name]())
    return rates


def median_ratio(one: Sequence[float], other: Sequence[float]) -> float:
    """The median over rounds of the ratio of the two rates."""
    return median(a / b for a, b in zip(one, other, strict=True))

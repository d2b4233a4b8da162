"""Timing: contestants take turns, so that what else the machine does falls on all of them alike."""

import time
from collections.abc import Callable, Mapping, Sequence
from statistics import median

import torch

Turn = Callable[[], float]
"""Does its work once and says at what rate."""


def synchronise(device: torch.device) -> None:
    """Wait until the device has done what it was given: it works while the host goes on."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def seconds(work: Callable[[], object], device: torch.device) -> float:
    synchronise(device)
    started = time.perf_counter()
    work()
    synchronise(device)
    return time.perf_counter() - started


def alternate(turns: Mapping[str, Turn], rounds: int) -> dict[str, list[float]]:
    """The rates of every contestant, round by round; who begins changes from round to round."""
    names = list(turns)
    rates: dict[str, list[float]] = {name: [] for name in names}
    for number in range(rounds):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            rates[name].append(turns[name]())
    return rates


def median_ratio(one: Sequence[float], other: Sequence[float]) -> float:
    """The median over rounds of one rate over the other of the same round."""
    return median(a / b for a, b in zip(one, other, strict=True))

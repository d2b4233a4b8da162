"""Several pretended devices: the loss on each of them, with the rows that it gathers from the others."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from cervbench.plugin.devices import pretended


class _Asked(BaseException):
    """A device waits for the rows of the others; a method must not catch that."""

    def __init__(self, rows: Tensor) -> None:
        super().__init__()
        self.rows = rows


@dataclass
class _Device:
    """A device that knows the rows gathered so far, and stops when it gathers more."""

    rank: int
    count: int
    known: Sequence[Tensor]
    asked: int = 0

    def gather(self, rows: Tensor) -> Tensor:
        if self.asked == len(self.known):
            raise _Asked(rows.detach())
        self.asked += 1
        return self.known[self.asked - 1]


def losses_on_devices(loss: Callable[[int], Tensor], count: int) -> list[Tensor] | None:
    """`loss(rank)` on each device; None if one still gathers when another has ended, so that it would hang.

    Every device runs until it gathers. Then all begin again, knowing what was gathered so far. So `loss` is
    called many times, and has to draw the same each time.
    """
    known: list[Tensor] = []
    while True:
        ended, asked = [], []
        for rank in range(count):
            try:
                with pretended(_Device(rank, count, known)):
                    ended.append(loss(rank).detach())
            except _Asked as waiting:
                asked.append(waiting.rows)
        if not asked:
            return ended
        if ended:
            return None
        known.append(torch.cat(asked))

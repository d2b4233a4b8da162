"""Several devices that are only pretended: a loss on each, with what it gathers from the others."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from cervbench.plugin.devices import pretended


class _Asked(BaseException):
    """A device waits for the rows of the others: nothing that a method might catch."""

    def __init__(self, rows: Tensor) -> None:
        super().__init__()
        self.rows = rows


@dataclass
class _Device:
    """One that knows what was gathered so far, and stops at the next time that it gathers."""

    rank: int
    count: int
    known: Sequence[Tensor]
    asked: int = 0

    def gather(self, rows: Tensor) -> Tensor:
        if self.asked == len(self.known):
            raise _Asked(rows.detach())
        self.asked += 1
        return self.known[self.asked - 1]


def losses_of_parts(loss: Callable[[int], Tensor], count: int) -> list[Tensor] | None:
    """`loss(rank)` on each device; None where one gathers and another has ended, which would wait for ever.

    All are run as far as they come, again and again, with what they gathered before: so `loss` begins anew
    each time, and draws the same.
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

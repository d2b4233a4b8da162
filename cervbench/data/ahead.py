"""Batches made ahead: on CUDA the views of the next step are computed beside the step."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from typing import Protocol, TypeVar

import torch

from cervbench.data.batches import Batch

Made = TypeVar("Made")

PILED_UP = 3
"""A batch is begun when the step so many before it is computed: so launching it has the time of two steps."""


class Feeding(Protocol):
    """Whatever has a batch for each step."""

    def batch(self, step: int) -> Batch: ...


@contextmanager
def ahead(feed: Feeding, start: int, until: int, device: torch.device) -> Iterator[Iterator[Batch]]:
    """The batches of these steps in order, no other than those asked for one by one.

    On CUDA the next one is made in a thread, on a stream of its own; meanwhile nothing else may look at
    the pyramid. On a processor each is made when it is asked for: a thread would take from the step the
    cores that it runs on.
    """
    steps = range(start, until)
    if device.type != "cuda":
        yield (feed.batch(step) for step in steps)
        return
    beside = _stream_beside(device)
    beside.wait_stream(torch.cuda.current_stream(device))
    computed: dict[int, torch.cuda.Event] = {}

    def made(step: int) -> tuple[Batch, torch.cuda.Event]:
        # Steps are launched long before they are computed: their batches would pile up in memory.
        if (earlier := computed.pop(step - PILED_UP, None)) is not None:
            earlier.synchronize()
        with torch.cuda.device(device), torch.cuda.stream(beside):  # a thread has a current device of its own
            return feed.batch(step), beside.record_event()

    def received(batches: Iterator[tuple[Batch, torch.cuda.Event]]) -> Iterator[Batch]:
        for step, (batch, ready) in zip(steps, batches, strict=True):
            stream = torch.cuda.current_stream(device)
            stream.wait_event(ready)
            for tensor in batch.tensors():
                tensor.record_stream(stream)  # its memory is not given away before the step is computed
            yield batch
            computed[step] = stream.record_event(torch.cuda.Event(blocking=True))

    try:
        with one_ahead(made, steps) as batches:
            yield received(batches)
    finally:
        torch.cuda.current_stream(device).wait_stream(beside)


@cache
def _stream_beside(device: torch.device) -> torch.cuda.Stream:
    """One for the process: what was freed on a stream is given out again on that stream alone."""
    return torch.cuda.Stream(device)


@contextmanager
def one_ahead(make: Callable[[int], Made], steps: range) -> Iterator[Iterator[Made]]:
    """What `make` makes of each step, the next one in a thread while one is in use.

    An error of the thread is raised where its step is asked for. Leaving early waits for one step at most.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="ahead") as thread:

        def each() -> Iterator[Made]:
            coming = thread.submit(make, steps[0])
            for step in steps[1:]:
                made, coming = coming.result(), thread.submit(make, step)
                yield made
            yield coming.result()

        yield each() if steps else iter(())

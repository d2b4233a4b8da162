"""Batches made ahead: on CUDA the views of the next step are computed while this one trains."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from typing import TypeVar

import torch

from cervbench.data.batches import Batch, Feed

Made = TypeVar("Made")

QUEUED = 3
"""How many steps may be queued on the device before another batch is started."""


@contextmanager
def ahead(feed: Feed, start: int, until: int, device: torch.device) -> Iterator[Iterator[Batch]]:
    """The batches of these steps in order, the same as if they were made one by one.

    On CUDA a thread makes the next batch on its own stream, and meanwhile nothing else may use the pyramid.
    On a CPU each batch is made when it is asked for: a thread would only take cores away from the step.
    """
    steps = range(start, until)
    if device.type != "cuda":
        yield (feed.batch(step) for step in steps)
        return
    beside = _stream_beside(device)
    beside.wait_stream(torch.cuda.current_stream(device))
    computed: dict[int, torch.cuda.Event] = {}

    def made(step: int) -> tuple[Batch, torch.cuda.Event]:
        # Steps are queued long before they are computed, so their batches would pile up in memory.
        if (earlier := computed.pop(step - QUEUED, None)) is not None:
            earlier.synchronize()
        with torch.cuda.device(device), torch.cuda.stream(beside):  # a thread has its own current device
            return feed.batch(step), beside.record_event()

    def received(batches: Iterator[tuple[Batch, torch.cuda.Event]]) -> Iterator[Batch]:
        for step, (batch, ready) in zip(steps, batches, strict=True):
            stream = torch.cuda.current_stream(device)
            stream.wait_event(ready)
            for tensor in batch.tensors():
                tensor.record_stream(stream)  # keeps its memory from being reused before the step is computed
            yield batch
            computed[step] = stream.record_event(torch.cuda.Event(blocking=True))

    try:
        with one_ahead(made, steps) as batches:
            yield received(batches)
    finally:
        torch.cuda.current_stream(device).wait_stream(beside)


@cache
def _stream_beside(device: torch.device) -> torch.cuda.Stream:
    """One for the whole process, because memory freed on a stream is reused on that stream only."""
    return torch.cuda.Stream(device)


@contextmanager
def one_ahead(make: Callable[[int], Made], steps: range) -> Iterator[Iterator[Made]]:
    """What `make` makes of each step; a thread makes the next one while this one is in use.

    An error in the thread is raised when its step is asked for. Leaving early waits for one step at most.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="ahead") as thread:

        def each() -> Iterator[Made]:
            coming = thread.submit(make, steps[0])
            for step in steps[1:]:
                made, coming = coming.result(), thread.submit(make, step)
                yield made
            yield coming.result()

        yield each() if steps else iter(())

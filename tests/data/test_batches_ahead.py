"""Batches made ahead are the batches, and what goes wrong while they are made is not lost."""

import threading
import traceback
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch

from cervbench.data.ahead import ahead, one_ahead
from cervbench.data.batches import Batch, Feed, Images
from cervbench.data.views import Normalise, Pyramid, named_policy

CPU = torch.device("cpu")


@dataclass
class Counting:
    """A feed that says which of its batches were made, and by which thread."""

    made: list[int] = field(default_factory=list)
    threads: set[int] = field(default_factory=set)

    def batch(self, step: int) -> Batch:
        self.made.append(step)
        self.threads.add(threading.get_ident())
        return Batch([torch.tensor([step])])


def test_on_a_processor_each_batch_is_made_when_it_is_asked_for() -> None:
    feed = Counting()
    with ahead(feed, 3, 6, CPU) as batches:
        for step, batch in enumerate(batches, start=3):
            assert int(batch.views[0]) == step
            assert feed.made == list(range(3, step + 1))
    assert feed.threads == {threading.get_ident()}


@pytest.mark.parametrize("steps", [range(5, 9), range(2, 3), range(4, 4)])
def test_all_steps_come_in_order(steps: range) -> None:
    with one_ahead(lambda step: step, steps) as made:
        assert list(made) == list(steps)


def test_the_next_is_made_while_one_is_in_use_and_no_further() -> None:
    making = {step: threading.Event() for step in range(5)}

    def make(step: int) -> int:
        making[step].set()
        return step

    with one_ahead(make, range(5)) as made:
        for step in range(3):
            next(made)
            assert making[step + 1].wait(10)
            assert not making[step + 2].is_set()


def test_an_error_is_raised_where_its_step_is_asked_for_and_says_where_it_was() -> None:
    def faulty_view(step: int) -> int:
        if step == 2:
            raise RuntimeError("no such row")
        return step

    with one_ahead(faulty_view, range(5)) as made:
        assert [next(made), next(made)] == [0, 1]
        with pytest.raises(RuntimeError, match="no such row") as raised:
            next(made)
    assert "faulty_view" in "".join(traceback.format_tb(raised.value.__traceback__))


def test_leaving_early_makes_one_more_at_most_and_ends_the_thread() -> None:
    made: list[int] = []
    before = threading.active_count()

    def interrupted() -> None:
        with one_ahead(made.append, range(1000)) as steps:
            for _ in range(3):
                next(steps)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert 3 <= len(made) <= 4
    assert threading.active_count() == before


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("budget", [0, 2**30])
def test_on_cuda_batches_made_ahead_are_those_made_one_by_one(budget: int) -> None:
    stored = np.random.default_rng(0).integers(0, 256, (200, 64, 64, 3), dtype=np.uint8)
    pyramid = Pyramid(stored, 32, "cuda", budget)
    images = Images(tuple(map(str, range(200))), np.full((200, 2), 64), np.arange(200), pyramid)
    policies = (named_policy("simclr"), named_policy("simclr"))
    feed = Feed(images, policies, Normalise((0.5,) * 3, (0.2,) * 3), 32, ("test",), np.arange(200))
    with ahead(feed, 0, 20, torch.device("cuda")) as batches:
        seen = [[tensor.clone() for tensor in batch.tensors()] for batch in batches]
    for step, tensors in enumerate(seen):
        assert all(torch.equal(a, b) for a, b in zip(tensors, feed.batch(step).tensors(), strict=True))

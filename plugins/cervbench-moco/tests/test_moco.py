import math
from collections import deque
from typing import Any

import pytest
import torch
from cervbench_moco import Config, method
from cervbench_moco.method import MoCo, info_nce
from lightly.loss import NTXentLoss
from lightly.models.modules.heads import MoCoProjectionHead
from torch import Tensor, nn
from torch.nn.functional import normalize

from cervbench.plugin import Progress
from cervbench.plugin.checks import followed, small_encoder


def moco(**settings: object) -> Any:  # of its parts, tests know more than a type checker
    torch.manual_seed(0)
    config = Config.model_validate({"hidden": 16, "projection": 4, "queue": 8, **settings})
    return MoCo(config, small_encoder())


def two_views(step: int, count: int = 4) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(step)
    one, other = torch.randn(2, count, 3, 32, 32, generator=generator)
    return one, other


def keys_of(method: Any, view: Tensor) -> Tensor:
    encoder, projector = method.follower.network
    return normalize(projector(encoder(view)))


def test_info_nce_worked_by_hand() -> None:
    """A query and its key along one axis, two strangers along the other: cosines 1, 0 and 0."""
    queries, keys = torch.tensor([[3.0, 0.0]]), torch.tensor([[1.0, 0.0]])
    strangers = torch.tensor([[0.0, 1.0], [0.0, -1.0]])
    expected = -math.log(math.exp(1 / 0.5) / (math.exp(1 / 0.5) + 2))
    assert info_nce(queries, keys, strangers, 0.5).item() == pytest.approx(expected, abs=1e-6)


def test_over_many_steps_the_loss_is_lightlys_with_a_memory_bank() -> None:
    """A referee for the queue too: it wraps twice, and no key of the batch is among the strangers.

    The maker of keys is another network by now, so that it matters which of the two makes them.
    """
    method = moco(temperature=0.5)
    for parameter in method.follower.parameters():
        parameter.add_(0.1 * torch.randn_like(parameter))
    referee = NTXentLoss(0.5, memory_bank_size=(8, 4))
    referee.memory_bank.bank.copy_(method.queue)
    for step in range(5):
        one, other = two_views(step)
        theirs = referee(method.projector(method.encoder(one)), keys_of(method, other))
        assert method.loss([one, other]).item() == pytest.approx(theirs.item(), abs=1e-5)


def test_the_first_strangers_are_as_long_as_keys() -> None:
    torch.testing.assert_close(moco(queue=50).queue.norm(dim=1), torch.ones(50))


@pytest.mark.parametrize("counts", [[3, 3, 3, 3], [8, 8], [5, 11, 2], [20]])
def test_the_queue_holds_the_latest_keys_whatever_the_batch(counts: list[int]) -> None:
    method = moco()
    latest: deque[Tensor] = deque(maxlen=8)
    for step, count in enumerate(counts):
        one, other = two_views(step, count)
        latest.extend(keys_of(method, other))
        method.loss([one, other])
    held = method.queue[torch.arange(int(method.oldest), int(method.oldest) + 8) % 8]
    torch.testing.assert_close(held, torch.stack(list(latest)))


def test_the_gradient_is_that_of_the_queue_before_the_batch_entered_it() -> None:
    method, (one, other) = moco(), two_views(0)
    keys, strangers = keys_of(method, other), method.queue.clone()
    queries = method.projector(method.encoder(one))
    (expected,) = torch.autograd.grad(info_nce(queries, keys, strangers, 0.2), method.projector[-1].weight)
    method.loss([one, other]).backward()
    torch.testing.assert_close(method.projector[-1].weight.grad, expected)


def test_the_queue_is_given_the_keys_of_all_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    moco_here, (one, other) = moco(), two_views(0)
    elsewhere = normalize(torch.randn(4, 4))
    monkeypatch.setattr(method, "gather", lambda keys: torch.cat([keys, elsewhere]))
    moco_here.loss([one, other])
    torch.testing.assert_close(moco_here.queue, torch.cat([keys_of(moco_here, other), elsewhere]))


def test_the_projector_is_lightlys() -> None:
    ours = moco().projector
    theirs = MoCoProjectionHead(ours[0].in_features, 16, 4)
    theirs.layers.load_state_dict(ours.state_dict())
    vectors = torch.randn(6, ours[0].in_features)
    torch.testing.assert_close(ours(vectors), theirs(vectors))


def test_the_maker_of_keys_learns_nothing() -> None:
    method = moco()
    method.loss(two_views(0)).backward()
    assert all(p.grad is None for p in method.follower.parameters())
    assert all(p.grad is not None for p in method.leader.parameters())


def test_all_of_the_maker_of_keys_follows() -> None:
    method = moco(keep=0.75, memory=1)
    leader = nn.Sequential(method.encoder, method.projector)
    gone = followed(method.follower, leader, lambda: method.after_step(Progress(1, 10)))
    assert gone == pytest.approx(0.25, abs=1e-5)


def test_the_queue_survives_a_checkpoint() -> None:
    method, resumed = moco(), moco()
    method.loss(two_views(0, count=3))
    resumed.load_state_dict(method.state_dict())
    assert torch.equal(method.loss(two_views(1)), resumed.loss(two_views(1)))
    assert torch.equal(method.queue, resumed.queue)


def test_the_loss_is_computed_in_float32_where_networks_are_in_bf16() -> None:
    queries, keys, strangers = normalize(torch.randn(3, 16, 32), dim=2).bfloat16().unbind()
    with torch.autocast("cpu", torch.bfloat16):
        mixed = info_nce(queries, keys, strangers, 0.1)
    exact = info_nce(queries.float(), keys.float(), strangers.float(), 0.1)
    assert mixed.item() == pytest.approx(exact.item(), abs=1e-5)


def test_keys_in_the_queue_are_of_unit_length_where_networks_are_in_bf16() -> None:
    method = moco()
    with torch.autocast("cpu", torch.bfloat16):
        method.loss(two_views(0))
    torch.testing.assert_close(method.queue[:4].norm(dim=1), torch.ones(4), rtol=0, atol=1e-6)

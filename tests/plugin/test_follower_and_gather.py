"""What methods with a following network, and losses over a whole batch, get from the plugin API."""

import os
import socket
from pathlib import Path

import pytest
import torch
from torch import Tensor, distributed, multiprocessing, nn

from cervbench.plugin import Follower, Progress, gather
from cervbench.plugin.checks import followed
from cervbench.plugin.problems import ContractError


def test_a_follower_begins_as_its_leader_and_shares_nothing_with_it() -> None:
    leader = nn.Linear(3, 4)
    follower = Follower(leader, keep=0.5, memory=1)
    one, other = list(leader.parameters()), list(follower.parameters())
    assert len(one) == len(other) == 2
    assert all(torch.equal(a, b) and a.data_ptr() != b.data_ptr() for a, b in zip(one, other, strict=True))
    rows = torch.randn(2, 3, requires_grad=True)
    assert torch.equal(follower(rows), leader(rows))
    assert not follower(rows).requires_grad
    assert not any(parameter.requires_grad for parameter in other)


def test_it_moves_its_share_of_the_way_and_keeps_its_buffers() -> None:
    leader = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    follower = Follower(leader, keep=0.75, memory=1)
    for network, value in ((leader, 1.0), (follower, 3.0)):
        for parameter in network.parameters():
            nn.init.constant_(parameter, value)
    leader(torch.randn(8, 3))  # moves the leader's running statistics
    follower.follow(leader, Progress(1, 100))
    for parameter in follower.parameters():
        torch.testing.assert_close(parameter, torch.full_like(parameter, 2.5))
    assert follower.network[1].num_batches_tracked == 0


def test_a_follower_that_moves_in_part_or_not_with_all_of_its_leader_is_found() -> None:
    leader = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    follower = Follower(leader, keep=0.75, memory=1)

    def in_part() -> None:
        nn.init.zeros_(follower.network[0].bias)

    with pytest.raises(AssertionError):
        followed(follower, leader, in_part)
    with pytest.raises(ValueError, match="zip"):
        followed(Follower(leader[0], keep=0.75, memory=1), leader, lambda: None)
    assert followed(Follower(leader, keep=0.75, memory=1), leader, lambda: None) == 0


@pytest.mark.parametrize(("keep", "memory"), [(-0.1, 1), (1.5, 1), (0.9, 0), (0.9, -1), (float("nan"), 1)])
def test_what_it_cannot_keep_or_remember_is_refused(keep: float, memory: float) -> None:
    """Regression: with -1 it ran away from its leader."""
    with pytest.raises(ContractError, match=f"keep is {keep} and memory is {memory}"):
        Follower(nn.Linear(3, 4), keep=keep, memory=memory)


def test_it_follows_nothing_but_what_it_is_a_copy_of() -> None:
    """Regression: parts of other names that fitted by chance were averaged."""
    follower = Follower(nn.ModuleDict({"one": nn.Linear(3, 4)}), keep=0.9, memory=1)
    with pytest.raises(ContractError, match=r"only one of the two has one\.bias; one\.weight; other\.bias"):
        follower.follow(nn.ModuleDict({"other": nn.Linear(3, 4)}), Progress(1, 9))


@pytest.mark.parametrize(
    ("steps", "expected"), [(5, 0.0), (20, 0.5), (200, 0.95), (1000, 0.99), (1_000_000, 0.99)]
)
def test_in_a_short_stage_it_moves_too(steps: int, expected: float) -> None:
    """It remembers 1 / (1 - keep) steps: a tenth of the stage, unless that is more than it may."""
    follower = Follower(nn.Identity(), keep=0.99, memory=0.1)
    assert follower.kept(Progress(1, steps)) == pytest.approx(expected)


def test_what_is_kept_stays_or_rises_to_all_along_half_a_cosine() -> None:
    """BYOL's 1 - (1 - 0.996) · (cos(πk/K) + 1) / 2, at the start, quarter, half and end."""
    places = [Progress(step, 8000) for step in (0, 2000, 4000, 8000)]
    staying, rising = (Follower(nn.Identity(), 0.996, 1.0, rises) for rises in (False, True))
    assert [staying.kept(place) for place in places] == [0.996] * 4
    expected = [0.996, 1 - 0.004 * (2**-0.5 + 1) / 2, 0.998, 1.0]
    assert [rising.kept(place) for place in places] == pytest.approx(expected)


def test_on_one_device_gathering_changes_nothing() -> None:
    rows = torch.randn(4, 2)
    assert gather(rows) is rows


def spread_of(rows: Tensor) -> Tensor:
    """A loss that no part of a batch can compute by itself."""
    return ((rows - rows.mean(0)) ** 2).sum() + (rows @ rows.T).tanh().sum()


def _rank(rank: int, port: int, answers: str) -> None:
    distributed.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    whole, weight = torch.arange(12.0).reshape(6, 2).sin(), torch.tensor([[0.3, -0.2], [0.1, 0.7]])
    weight.requires_grad_()
    loss = spread_of(gather(whole[rank * 3 : rank * 3 + 3] @ weight))
    loss.backward()
    assert weight.grad is not None
    distributed.all_reduce(weight.grad)
    torch.save({"loss": loss.detach(), "mean_gradient": weight.grad / 2}, f"{answers}/{rank}.pt")
    distributed.destroy_process_group()
    # The group's threads may outlive it, and one that wants the interpreter while it is being torn down
    # aborts the process: seen in one run of fifty, with all answers written.
    os._exit(0)


def test_two_devices_have_the_loss_and_the_mean_gradient_of_the_whole_batch(tmp_path: Path) -> None:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    multiprocessing.spawn(_rank, (port, str(tmp_path)), nprocs=2)
    whole, weight = torch.arange(12.0).reshape(6, 2).sin(), torch.tensor([[0.3, -0.2], [0.1, 0.7]])
    weight.requires_grad_()
    loss = spread_of(whole @ weight)
    loss.backward()
    for rank in range(2):
        found = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        torch.testing.assert_close(found["loss"], loss.detach())
        torch.testing.assert_close(found["mean_gradient"], weight.grad)

"""Nothing that a kill leaves behind stays for ever."""

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import SafetensorError
from torch import nn

from cervbench.plugin.problems import ContractError
from cervbench.sealed import seal
from cervbench.training.checkpoint import Checkpoints, State
from cervbench.training.kept import Kept
from cervbench.training.weight_file import CODE, HOST, load_weights, save_weights, warn_of_other_code
from cervbench.training.workshop import Workshop


def test_without_a_record_there_is_nothing_to_clear(tmp_path: Path) -> None:
    """Regression: it was the folder of the pretraining, encoder included, that went."""
    weights = tmp_path / "method.safetensors"
    weights.touch()
    with pytest.raises(AssertionError):
        Workshop(tmp_path, torch.device("cpu")).clear("")
    assert weights.exists()


@pytest.mark.parametrize(
    "told",
    [
        "Error while serializing: I/O error: File too large (os error 27)",
        'Error while serializing: IoError(Os { code: 27, kind: FileTooLarge, message: "File too large" })',
    ],
)
def test_what_the_system_refuses_is_known_by_its_number_in_every_release_of_safetensors(
    told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Regression: 0.4 writes it in the second way, and a full disk was a traceback."""

    def refuse(*arguments: Any) -> None:
        raise SafetensorError(told)

    monkeypatch.setattr("cervbench.training.weight_file.save_model", refuse)
    with pytest.raises(OSError, match="File too large") as refused:
        save_weights(nn.Linear(1, 1), tmp_path / "weights.safetensors")
    assert refused.value.errno == 27


class Queue(nn.Module):
    bank: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("bank", torch.zeros(4, 2))

    def push(self, rows: torch.Tensor) -> None:
        self.bank = torch.cat([rows, self.bank])[:4]


def test_a_queue_that_is_a_slice_of_what_it_was_is_stored(tmp_path: Path) -> None:
    """Regression: safetensors stores no part of a larger storage, and said so in words of its own."""
    queue, again = Queue(), Queue()
    queue.push(torch.arange(6.0).reshape(3, 2))
    save_weights(queue, tmp_path / "weights.safetensors")
    load_weights(again, tmp_path / "weights.safetensors")
    assert torch.equal(again.bank, queue.bank)
    assert again.bank[:3].flatten().tolist() == [0, 1, 2, 3, 4, 5]


def test_weights_that_other_code_has_made_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Regression: an author changed the loss, and was given the old encoder without a word."""
    weights = tmp_path / "weights.safetensors"
    save_weights(nn.Linear(2, 2), weights, {CODE: "before"})
    for now, told in ({CODE: "before"}, False), ({}, False), ({CODE: "after"}, True):
        caplog.clear()
        warn_of_other_code(weights, now)
        assert ("raise `revision` where the change" in caplog.text) == told
    save_weights(nn.Linear(2, 2), weights)
    caplog.clear()
    warn_of_other_code(weights, {CODE: "after"})
    assert not caplog.text


def test_weights_that_do_not_fit_the_code_of_today_say_what_to_do(tmp_path: Path) -> None:
    """Regression: whoever gave a method another layer got a traceback of safetensors."""
    weights = tmp_path / "run" / "method.safetensors"
    weights.parent.mkdir()
    save_weights(nn.Sequential(nn.Linear(2, 3)), weights)
    with pytest.raises(ContractError, match=r"does not fit Sequential .*1\.weight.* or delete .*run to"):
        load_weights(nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 2)), weights)


def test_the_same_weights_with_the_same_header_are_the_same_file(tmp_path: Path) -> None:
    """Regression: of two entries safetensors writes now one first, now the other; runs go by the hash."""
    module, header = nn.Linear(2, 2), {CODE: "sources", "run": "{}", "more": "of it"}
    for number in range(20):
        save_weights(module, tmp_path / f"{number}.safetensors", header)
    assert len({path.read_bytes() for path in tmp_path.glob("*.safetensors")}) == 1


def test_a_stage_that_goes_on_elsewhere_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Regression: it ended with other bits, and its record named one of the two places."""
    stage = nn.Linear(2, 2)
    optimizer = torch.optim.SGD(stage.parameters())
    Checkpoints(tmp_path / "pretext", {HOST: "cpu, bf16"}).save(stage, State(optimizer, 3, 1.0))
    for here, told in (("cpu, bf16", False), ("", False), ("cpu, fp32", True)):
        caplog.clear()
        state = State(optimizer)
        Checkpoints(tmp_path / "pretext", {HOST: here}).resume(stage, state)
        assert (state.step, state.seconds) == (3, 1.0)
        assert ("is of cpu, bf16, and its stage goes on with cpu, fp32" in caplog.text) == told


def test_a_checkpoint_of_other_parameter_groups_is_named_with_what_to_do(tmp_path: Path) -> None:
    """Regression: an author who regrouped parameters between a kill and its resume met torch's traceback."""
    stage = nn.Linear(2, 2)
    checkpoints = Checkpoints(tmp_path / "pretext")
    checkpoints.save(stage, State(torch.optim.SGD(stage.parameters()), 3, 1.0))
    regrouped = torch.optim.SGD([{"params": [stage.weight]}, {"params": [stage.bias]}])
    told = r"optimizer\.pt does not fit .*different number of parameter groups.* or delete .*-000000003 to"
    with pytest.raises(ContractError, match=told):
        checkpoints.resume(stage, State(regrouped))


def test_a_kept_file_that_a_kill_left_without_its_seal_is_not_called_missing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Regression: it was told to be missing or damaged, and lay there sound."""
    kept, module = Kept(tmp_path), nn.Linear(2, 2)
    kept.keep(module, {})
    (tmp_path / "observed.json.sha256").unlink()
    assert kept.load(module) is None
    assert f"{kept.observed} was not written to its end, or is damaged: it is made anew" in caplog.text
    kept.keep(module, {})
    kept.weights.unlink()
    assert kept.load(module) is None
    assert f"{kept.weights} is missing: it is made anew" in caplog.text


def test_a_checkpoint_that_holds_code_is_never_run(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Whoever can write a file can seal it too."""
    stage = nn.Linear(2, 2)
    optimizer = torch.optim.SGD(stage.parameters())
    checkpoints, before = Checkpoints(tmp_path / "pretext"), stage.weight.clone()
    state = tmp_path / "pretext" / "step-000000003" / "optimizer.pt"
    for hostile in (pickle.dumps(_Writes(tmp_path / "ran"), 2), pickle.dumps({}, 2), b"junk", b""):
        checkpoints.save(nn.Linear(2, 2), State(optimizer, 3, 1.0))
        state.write_bytes(hostile)
        seal(state)
        caplog.clear()
        fresh = State(optimizer)
        checkpoints.resume(stage, fresh)
        assert (fresh.step, fresh.seconds, fresh.logged) == (0, 0.0, {})
        assert f"{state} is missing or damaged" in caplog.text
        assert torch.equal(stage.weight, before)
    assert not (tmp_path / "ran").exists()


class _Writes:
    """Unpickled as code, it leaves a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)

"""What a record says of its host."""

import torch

from cervbench.host import observe_host


def test_a_host_tells_the_instructions_that_torch_takes() -> None:
    told = observe_host(torch.device("cpu"), {})["instructions"]
    assert f"CPU capability usage: {told}\n" in torch.__config__.show()

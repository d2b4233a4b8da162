"""Floating-point operations: how many a step takes, and how many the device does per second at its best.

A multiplication and its addition count as two, in both.
"""

from dataclasses import dataclass

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from cervbench.bench.timing import seconds
from cervbench.bench.workload import Workload
from cervbench.training.precision import autocast, has_bf16

SIZES = {"cpu": (512, 1024, 2048, 4096), "cuda": (2048, 4096, 8192, 16384)}
"""The sides of the square matrices that are tried, of which the fastest counts."""
LASTING = 0.15
"""For how many seconds, at least, products of one size are timed; that is done three times."""


@dataclass(frozen=True)
class MatmulRate:
    per_second: float
    size: int


def flops_of_step(workload: Workload) -> int:
    """The operations of all matrix products and convolutions in a step of the stage, forward and backward."""
    stage = workload.stage.train()
    batch = workload.ceiling.batch(0)
    # Some versions of torch do not count fused attention, but all count the products that it consists of.
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        with autocast(workload.device):
            loss, _ = stage.forward(batch)  # not stage(batch), which the counter cannot see if it is compiled
        loss.backward()
    workload.state.optimizer.zero_grad(set_to_none=True)
    return int(counter.get_total_flops())


def matmul_rate(device: torch.device) -> MatmulRate:
    """The best rate among several sizes, in the precision that training uses."""
    dtype = torch.bfloat16 if has_bf16(device) else torch.float32
    rates = (_rate(size, dtype, device) for size in SIZES[device.type])
    return max(rates, key=lambda rate: rate.per_second)


def _rate(size: int, dtype: torch.dtype, device: torch.device) -> MatmulRate:
    one, other = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    product = torch.empty_like(one)

    def multiply(times: int) -> float:
        return seconds(lambda: [torch.mm(one, other, out=product) for _ in range(times)], device)

    multiply(1)
    times = max(1, round(LASTING / multiply(1)))
    fastest = min(multiply(times) for _ in range(3)) / times
    return MatmulRate(2 * size**3 / fastest, size)

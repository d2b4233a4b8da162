"""Floating-point operations: what a step asks for, and what the device gives at its best.

A multiplication with its addition counts as two, on both sides.
"""

from dataclasses import dataclass

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from cervbench.bench.timing import seconds
from cervbench.bench.workload import Workload
from cervbench.training.precision import autocast, has_bf16

SIZES = {"cpu": (512, 1024, 2048, 4096), "cuda": (2048, 4096, 8192, 16384)}
"""Sides of the square matrices that are tried; the best counts."""
LASTING = 0.15
"""Seconds that the products of one size take, at the least; measured three times."""


@dataclass(frozen=True)
class MatmulRate:
    per_second: float
    size: int


def flops_of_step(workload: Workload) -> int:
    """The operations of matrix products and convolutions in one step of the stage, forward and backward."""
    stage = workload.stage.train()
    batch = workload.ceiling.batch(0)
    # Written out as products attention is counted by every torch; fused it is not by some.
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        with autocast(workload.device):
            loss, _ = stage.forward(batch)  # not as a call: a compiled one is opaque to the counter
        loss.backward()
    workload.state.optimizer.zero_grad(set_to_none=True)
    return int(counter.get_total_flops())


def matmul_rate(device: torch.device) -> MatmulRate:
    """The best of some sizes, in the precision that training uses."""
    dtype = torch.bfloat16 if has_bf16(device) else torch.float32
    sizes = SIZES.get(device.type, SIZES["cpu"])
    return max((_rate(size, dtype, device) for size in sizes), key=lambda rate: rate.per_second)


def _rate(size: int, dtype: torch.dtype, device: torch.device) -> MatmulRate:
    one, other = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    product = torch.empty_like(one)

    def multiply(times: int) -> float:
        return seconds(lambda: [torch.mm(one, other, out=product) for _ in range(times)], device)

    multiply(1)
    times = max(1, round(LASTING / multiply(1)))
    fastest = min(multiply(times) for _ in range(3)) / times
    return MatmulRate(2 * size**3 / fastest, size)

"""Limited-memory BFGS for many problems side by side: what it remembers, and where it goes next.

In the compact form of Byrd, Nocedal and Schnabel (1994) all inner products of the memory take a few batched
matrix products, and what remains is a small triangular system for each problem.
"""

import torch
from torch import Tensor

STEPS = 10
"""How many steps are remembered. With a curvature near 1, more cost time and save hardly any iterations."""


class Memory:
    """The last steps of draws × strengths problems, and how each changed the gradient."""

    def __init__(self, gradient: Tensor) -> None:
        draws, strengths = gradient.shape[:2]
        self.steps = gradient.new_zeros(draws, strengths, STEPS, gradient[0, 0].numel())
        self.changes = torch.zeros_like(self.steps)

    def keep(self, chosen: Tensor) -> None:
        """Go on with these strengths alone."""
        self.steps, self.changes = self.steps[:, chosen], self.changes[:, chosen]

    def add(self, step: Tensor, change: Tensor) -> Tensor:
        """Remember a step if the curvature along it is above 0, and return whether it is."""
        step, change = step.flatten(2), change.flatten(2)
        curved = (step * change).sum(2, keepdim=True) > 0
        self.steps = torch.cat([self.steps[:, :, 1:], (step * curved)[:, :, None]], 2)
        self.changes = torch.cat([self.changes[:, :, 1:], (change * curved)[:, :, None]], 2)
        return curved[..., 0]

    def direction(self, gradient: Tensor) -> Tensor:
        """The downhill direction, by the inverse curvature that the memory implies."""
        flat = gradient.flatten(2)[..., None]
        across = (self.steps @ self.changes.mT).double()
        among = (self.changes @ self.changes.mT).double()
        met = across.diagonal(dim1=-2, dim2=-1)
        # A step that was not remembered is a row of zeros, so its equation is replaced by 1 · u = 0.
        system = across.triu() + torch.diag_embed((met == 0).double())
        last = among[..., -1, -1]
        size = torch.where(last > 0, met[..., -1] / last, 1.0)[..., None, None]
        u = torch.linalg.solve_triangular(system, (self.steps @ flat).double(), upper=True)
        wanted = met[..., None] * u + size * (among @ u - (self.changes @ flat).double())
        v = torch.linalg.solve_triangular(system.mT, wanted, upper=False)
        by_steps, by_changes = v.mT.to(flat.dtype) @ self.steps, (size * u).mT.to(flat.dtype) @ self.changes
        uphill = size[..., 0].to(flat.dtype) * flat[..., 0] + (by_steps - by_changes)[..., 0, :]
        return -uphill.view(gradient.shape)

"""How far AGBT's attention alone makes two views agree that have nothing in common.

    python scripts/attention_on_noise.py

Prints the table of docs/methods/agbt.md: views of independent noise, an encoder that does nothing, and only
the attention trained. Least and most over five seeds of the mean of the diagonal of C in the last 50 of 300
steps, before attention and after it. Two minutes.
"""

from collections.abc import Iterator

import torch
from cervbench_agbt import Config
from cervbench_agbt.method import AGBT
from torch import Tensor, nn

from cervbench.markup.text import grid

IMAGES, WIDTH, STEPS, SEEDS = 256, 32, 300, 5
NOISE = {"one batch": (0, False)} | {f"drawn anew, around {mean}": (mean, True) for mean in (0, 1, 3)}


class AsItIs(nn.Identity):
    width = WIDTH


def views(around: float, anew: bool) -> Iterator[list[Tensor]]:
    kept = None
    while True:
        if kept is None or anew:
            kept = [around + torch.randn(IMAGES, WIDTH) for _ in range(2)]
        yield kept


def diagonals(target: str, around: float, anew: bool, seed: int) -> Tensor:
    """Before attention and after it."""
    torch.manual_seed(seed)
    method = AGBT(Config.parse({"projector": (128, 128), "target": target}, "method agbt"), AsItIs())  # type: ignore[arg-type]
    trained = torch.optim.Adam(method.attention.parameters(), lr=1e-2)
    seen = []
    for _, pair in zip(range(STEPS), views(around, anew), strict=False):
        loss, parts = method.loss(pair)
        trained.zero_grad()
        loss.backward()
        trained.step()
        seen.append([parts["diagonal_before_attention"].item(), parts["diagonal_after_attention"].item()])
    return torch.tensor(seen[-50:]).mean(0)


def main() -> None:
    rows = []
    for target in ("embedding", "projection"):
        for told, (around, anew) in NOISE.items():
            found = torch.stack([diagonals(target, around, anew, seed) for seed in range(SEEDS)])
            least, most = found.amin(0).tolist(), found.amax(0).tolist()
            rows.append([target, told, *(f"{a:.2f} to {b:.2f}" for a, b in zip(least, most, strict=True))])
    print(grid(["weighed", "the noise", "before attention", "after"], rows))


if __name__ == "__main__":
    main()

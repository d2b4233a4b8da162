"""Training does not depend on where images are kept, to the last bit."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from cervbench.data.batches import Batch, Feed, Images
from cervbench.data.stored import StoredImages
from cervbench.data.views import Normalise, Pyramid, View, named_policy
from cervbench.training.loop import Sitting, begin, train
from cervbench.training.stage import Stage

NORMALISE = Normalise((0.5,) * 3, (0.2,) * 3)


class Alike(Stage):
    """Two views of an image are to have the same vector."""

    sees: Literal["images"] = "images"
    learning_rate = 1e-2
    weight_decay = 1e-4

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        layers = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4)
        self.net = nn.Sequential(*layers)

    def views(self) -> Sequence[View]:
        return (named_policy("simclr"), named_policy("simclr"))

    def forward(self, batch: Batch) -> tuple[Tensor, Mapping[str, Tensor]]:
        one, other = (self.net(view).float() for view in batch.views)
        return (one - other).square().mean(), {}


def images(pyramid: Pyramid) -> Images:
    count = len(pyramid)
    return Images(tuple(map(str, range(count))), np.full((count, 2), 60), np.arange(count), pyramid)


def trained(pyramid: Pyramid, steps: int = 8) -> Mapping[str, Tensor]:
    stage, sitting = Alike(), Sitting()
    feed = Feed(images(pyramid).isolated(), stage.views(), NORMALISE, 16, ("test",))
    train(stage, begin(stage, sitting), feed, steps, sitting)
    return stage.state_dict()


def test_weights_are_the_same_whether_images_are_kept_in_memory_or_streamed_from_disk(tmp_path: Path) -> None:
    stored = np.random.default_rng(0).integers(0, 256, (50, 60, 60, 3), dtype=np.uint8)
    np.save(tmp_path / "pixels.npy", stored)
    streamed = trained(Pyramid(StoredImages.open(tmp_path / "pixels.npy"), 16, budget=0))
    resident = trained(Pyramid(stored, 16))
    assert all(torch.equal(resident[name], streamed[name]) for name in resident)


def test_images_as_they_are_come_in_order_with_their_native_sizes() -> None:
    stored = np.random.default_rng(0).integers(0, 256, (50, 60, 60, 3), dtype=np.uint8)
    pyramid = Pyramid(stored, 60)
    native = np.random.default_rng(1).integers(30, 90, (50, 2))
    rows = np.random.default_rng(2).permutation(50)[:33]
    some = Images(tuple(map(str, rows)), native[rows], rows, pyramid)
    pixels, sizes = (torch.cat(column) for column in zip(*some.batches(NORMALISE, 8), strict=True))
    expected = (torch.from_numpy(stored[rows]).permute(0, 3, 1, 2) / 255 - 0.5) / 0.2
    torch.testing.assert_close(pixels, expected, rtol=0, atol=1e-5)
    assert sizes.tolist() == native[rows].tolist()


def test_seed_and_fold_decide_which_images_share_a_batch() -> None:
    """Each image has a colour of its own, which no view changes."""

    class AsItIs:
        def draw(self, rng: np.random.Generator, count: int) -> dict[str, np.ndarray]:
            return {}

        def apply(self, pixels: Pyramid, rows: Tensor, *_: object) -> Tensor:
            return rows

    of_colours = np.zeros((40, 8, 8, 3), dtype=np.uint8)
    seen = images(Pyramid(of_colours, 8, torch.device("cpu")))
    orders = []
    for purpose in ((0, 0, "pretext"), (0, 1, "pretext"), (1, 0, "pretext"), (0, 0, "pretext")):
        feed = Feed(seen, [AsItIs()], NORMALISE, 10, purpose)
        batches = [feed.batch(step).views[0].tolist() for step in range(4)]
        assert sorted(row for batch in batches for row in batch) == list(range(40))
        orders.append(tuple(map(tuple, batches)))
    assert orders[0] == orders[3]
    assert len(set(orders)) == 3

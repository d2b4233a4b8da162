"""How much memory of the host a run takes on a pack that is larger than it.

    python scripts/large_pack.py [--images 40000] [--steps 20] [--method simclr] [--folder DIR]

Packs noise in a temporary folder, trains some steps spread over it through the classes of a run, looks at
every image once as an evaluation does, and prints the peak of resident memory after each. Needs some 150 kB
of disk an image; only Linux says how much memory was resident.
"""

import argparse
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image

from cervbench.data.batches import Feed
from cervbench.data.cards.card import Card
from cervbench.data.cards.item import Item
from cervbench.data.cards.source import Source
from cervbench.data.dataset import open_dataset
from cervbench.data.parts import Parts
from cervbench.plugin.manager import plugins
from cervbench.protocol.protocol import load
from cervbench.protocol.randomness import generator
from cervbench.training.device import named_device, working_on
from cervbench.training.loop import Sitting, begin, train
from cervbench.training.memory import resident_peak
from cervbench.training.pretrain import build_method
from cervbench.training.recipe import Recipe
from cervbench.training.stage import PretextStage

GROUPS = 100
CLASSES = ("normal", "abnormal")


def noise(images: int, side: int) -> Card:
    """A dataset of noise of which no file is on disk."""

    def items(folder: Path) -> Sequence[Item]:
        return [Item(f"{n:06d}", CLASSES[n % 2], f"{n % GROUPS:03d}", Path()) for n in range(images)]

    def read(item: Item) -> Image.Image:
        return Image.fromarray(generator("noise", item.id).integers(0, 256, (side, side, 3), dtype=np.uint8))

    return Card(
        name="noise",
        title="Noise",
        classes=CLASSES,
        items=items,
        citation="",
        licence="",
        source=Source(page=""),
        group="none",
        read=read,
        synthetic=True,
    )


def peak() -> float:
    """The most memory that was resident so far, in GB."""
    return resident_peak() / 1e9


@contextmanager
def told(what: str) -> Iterator[None]:
    started = time.perf_counter()
    yield
    print(f"{what:<40} {time.perf_counter() - started:7.1f} s   peak {peak():5.2f} GB resident", flush=True)


def main(images: int, steps: int, name: str, folder: Path | None) -> None:
    protocol = load("quick")
    card = noise(images, protocol.pack.stored_size)
    offer = plugins().methods.get(name).offer
    recipe = Recipe(
        offer, offer.config(), "resnet18", None, "random", protocol.image_size, protocol.pretext, 0, 0
    )
    print(f"{'imports':<40} {'':9}   peak {peak():5.2f} GB resident")
    device = named_device("cpu")
    with tempfile.TemporaryDirectory(dir=folder) as cache, working_on(device):
        with told(f"a pack of {images:,} images"):
            dataset = open_dataset(card, Path("nowhere"), Path(cache), protocol)
        size = (dataset.pack.folder / "pixels.npy").stat().st_size
        parts = Parts.of(dataset, 0, protocol, device)
        stage = PretextStage(build_method(recipe))
        normalise = stage.method.encoder.normalise
        feed = Feed(parts.train, stage.views(), normalise, protocol.pretext.batch_size, recipe.purpose)
        sitting = Sitting()
        with told(f"{steps} steps of {feed.per_step} images, {name}"):
            train(stage, begin(stage, sitting), feed, feed.steps(1), sitting, until=steps)
        with told("every image as it is"):
            for _ in parts.everything.batches(normalise):
                pass
    print(f"the pack has {size / 1e9:.2f} GB on disk; {peak():.2f} GB were resident at most")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, default=40_000)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--method", default="simclr")
    parser.add_argument("--folder", type=Path, help="where the pack is written; by default the system's")
    asked = parser.parse_args()
    main(asked.images, asked.steps, asked.method, asked.folder)

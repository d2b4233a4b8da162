"""SimCLR's views made by kornia and torchvision, as far as these have the operations."""

from collections.abc import Callable, Mapping
from functools import partial

import kornia.augmentation as kornia
import torch
from torch import Tensor
from torch.nn import functional
from torchvision.transforms import v2

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SCALE, SIGMA = (0.2, 1.0), (0.1, 2.0)
JITTER = (0.4, 0.4, 0.2, 0.1)

OfRows = Callable[[Tensor], Tensor]
"""Takes rows of the stored images and makes one view of each, float32 n × 3 × size × size."""

AUGMENTATIONS: Mapping[str, str] = {
    "cervbench": "crop, both mirrors, quarter turns, colour jitter, greyscale, blur, normalisation; "
    "drawn image by image",
    "kornia": "crop, both mirrors, colour jitter, greyscale, blur, normalisation; drawn image by image",
    "torchvision": "crop, both mirrors, colour jitter, greyscale, blur, normalisation; on a batch it draws "
    "once for all its images, which is no policy to train by and is shown for its speed",
    "lightly": "SimCLRTransform as it comes: crop, one mirror, colour jitter, greyscale, blur, "
    "normalisation; drawn image by image",
}
BATCHED = "torchvision v2, on the batch"
"""All images of a batch get the same parameters, so nobody would train on these views."""


def on_tensors(stored: Tensor, size: int) -> dict[str, OfRows]:
    """Every way that is tried, by name; `stored` is uint8 N × 3 × S × S on the device."""
    smaller = _smaller(stored, round(1.5 * size))
    ways: dict[str, OfRows] = {}
    for images in (stored, smaller) if smaller.shape[-1] < stored.shape[-1] else (stored,):
        for mode in ("slice", "resample"):
            name = f"kornia, cropping by {mode} from {images.shape[-1]} px"
            ways[name] = partial(_through_kornia, _kornia(size, mode), images)
    views = _torchvision(size)
    ways[BATCHED] = lambda rows: views(stored[rows])
    ways["torchvision v2, image by image"] = lambda rows: torch.stack(
        [views(image) for image in stored[rows]]
    )
    return ways


def _smaller(stored: Tensor, side: int) -> Tensor:
    """Images resized on the host, since CUDA cannot resize uint8 with antialiasing."""
    smaller = functional.interpolate(stored.cpu(), size=(side, side), mode="bilinear", antialias=True)
    return smaller.to(stored.device)


def _through_kornia(views: Callable[[Tensor], Tensor], stored: Tensor, rows: Tensor) -> Tensor:
    with torch.no_grad():
        return views(stored[rows].float() / 255)


def _kornia(size: int, mode: str) -> Callable[[Tensor], Tensor]:
    views: Callable[[Tensor], Tensor] = kornia.AugmentationSequential(
        kornia.RandomResizedCrop((size, size), scale=SCALE, cropping_mode=mode),
        kornia.RandomHorizontalFlip(p=0.5),
        kornia.RandomVerticalFlip(p=0.5),
        kornia.ColorJitter(*JITTER, p=0.8),
        kornia.RandomGrayscale(p=0.2),
        kornia.RandomGaussianBlur((_kernel(size), _kernel(size)), SIGMA, p=0.5),
        kornia.Normalize(torch.tensor(MEAN), torch.tensor(STD)),
        data_keys=["input"],
    )
    return views


def _torchvision(size: int) -> v2.Compose:
    return v2.Compose(
        [
            v2.RandomResizedCrop(size, scale=SCALE, antialias=True),
            v2.RandomHorizontalFlip(),
            v2.RandomVerticalFlip(),
            v2.RandomApply([v2.ColorJitter(*JITTER)], p=0.8),
            v2.RandomGrayscale(0.2),
            v2.RandomApply([v2.GaussianBlur(_kernel(size), SIGMA)], p=0.5),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(MEAN, STD),
        ]
    )


def _kernel(size: int) -> int:
    """The side of SimCLR's blur kernel: odd, and about a tenth of the image."""
    return max(3, size // 10 // 2 * 2 + 1)

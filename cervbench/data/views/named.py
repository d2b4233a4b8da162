"""Policies by name: the shared default, and those that the study of augmentations compares."""

from collections.abc import Callable, Mapping

from cervbench.data.views.blur import Blur
from cervbench.data.views.colour import Brightness, Contrast, Greyscale, Hue, Saturation
from cervbench.data.views.elastic import Elastic
from cervbench.data.views.geometry import Crop, Flip, Rotation
from cervbench.data.views.operation import Operation, Together
from cervbench.data.views.policy import Policy
from cervbench.data.views.sharpen import Sharpen
from cervbench.data.views.speckle import Speckle
from cervbench.data.views.tone import Equalise


def plain_policy() -> Policy:
    """For supervised training: flips, and crops that keep the shapes by which cells are told apart."""
    return Policy((Crop(scale=(0.6, 1.0), ratio=(1.0, 1.0)), Flip()))


def named_policy(name: str) -> Policy:
    """The policy of this name: `simclr`, or `A` to `E`."""
    if name not in POLICIES:
        raise ValueError(f"no policy is named {name!r}; there are {', '.join(POLICIES)}")
    return POLICIES[name]()


def _simclr() -> Policy:
    """SimCLR's views for cells, which have no way up: they are also mirrored both ways, and turned.

    Only by quarters, since any other turn would fill the corners with a smeared border.
    """
    return Policy((Crop(scale=(0.2, 1.0)), Flip(), Rotation(step=90), _JITTER, Greyscale(p=0.2), Blur()))


def _with(*group: Operation | Together) -> Callable[[], Policy]:
    """Crops and flips without turns, and one more group of operations."""
    return lambda: Policy((Crop(scale=(0.2, 1.0)), Flip(), *group))


_JITTER = Together((Brightness(0.4), Contrast(0.4), Saturation(0.2), Hue(0.1)), p=0.8)

POLICIES: Mapping[str, Callable[[], Policy]] = {
    "simclr": _simclr,
    "A": _with(),
    "B": _with(_JITTER, Equalise(p=0.5)),
    "C": _with(Elastic(p=0.5)),
    "D": _with(Blur(p=0.5), Speckle(p=0.5)),
    "E": _with(Blur(p=0.5), Sharpen(p=0.5)),
}
"""`A` is crops and flips; `B` to `E` add to it colour, soft deformation, noise and sharpness.

The study names its operations but gives no values. Crops, jitter and blur take those of the shared default.
Elastic (alpha 50, sigma 5) and the chance of a half for sharpening and equalising are torchvision's defaults;
the factor 2 of sharpening is from torchvision's examples, and the deviation 0.1 of speckle is that of its
Gaussian noise. The chance of a half for elastic and speckle has no source.
"""

"""Views: augmentations of a batch, drawn on the host and applied on the device that holds the pixels.

Geometry is one affine and one sampling from a ladder of antialiased sizes; linear colour is one
matrix, applied once together with the encoder's normalisation; blur comes last.
"""

from cervbench.data.views.blur import Blur
from cervbench.data.views.colour import Brightness, Contrast, Gamma, Greyscale, Hue, Saturation
from cervbench.data.views.geometry import Crop, Flip, Rotation, Shift, Zoom
from cervbench.data.views.normalise import Normalise
from cervbench.data.views.operation import Operation, Together
from cervbench.data.views.policy import Policy, View, plain_policy, simclr_policy
from cervbench.data.views.pyramid import Pyramid

__all__ = [
    "Blur",
    "Brightness",
    "Contrast",
    "Crop",
    "Flip",
    "Gamma",
    "Greyscale",
    "Hue",
    "Normalise",
    "Operation",
    "Policy",
    "Pyramid",
    "Rotation",
    "Saturation",
    "Shift",
    "Together",
    "View",
    "Zoom",
    "plain_policy",
    "simclr_policy",
]

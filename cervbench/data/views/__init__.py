"""Views: augmentations of a batch, drawn on the host and applied on the device that holds the pixels.

All geometry of a policy is one warp, sampled once from a ladder of antialiased sizes. All linear colour is
one matrix, applied once together with the encoder's normalisation. Retouching touches only the views that
draw it. A few images go through all of it before the next few begin, so that they stay in the cache.
"""

from cervbench.data.views.blur import Blur
from cervbench.data.views.colour import Brightness, Contrast, Greyscale, Hue, Saturation
from cervbench.data.views.elastic import Elastic
from cervbench.data.views.geometry import Crop, Flip, Rotation, Shift, Zoom
from cervbench.data.views.named import POLICIES, named_policy, plain_policy
from cervbench.data.views.normalise import Normalise
from cervbench.data.views.operation import Operation, Together
from cervbench.data.views.policy import Policy, View
from cervbench.data.views.pyramid import Pyramid
from cervbench.data.views.sharpen import Sharpen
from cervbench.data.views.speckle import Speckle
from cervbench.data.views.tone import Equalise, Gamma
from cervbench.data.views.transfer import on_device

__all__ = [
    "POLICIES",
    "Blur",
    "Brightness",
    "Contrast",
    "Crop",
    "Elastic",
    "Equalise",
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
    "Sharpen",
    "Shift",
    "Speckle",
    "Together",
    "View",
    "Zoom",
    "named_policy",
    "on_device",
    "plain_policy",
]

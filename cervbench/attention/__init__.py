"""Attention: where the classifier of a record looks, framed on the images that it was tested on."""

from cervbench.attention.attention import Attention, attention
from cervbench.attention.pictures import draw

__all__ = ["Attention", "attention", "draw"]

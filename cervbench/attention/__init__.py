"""Attention: where the classifier of a record looks, framed on images it was tested on."""

from cervbench.attention.looking import Attention, attention
from cervbench.attention.pictures import draw

__all__ = ["Attention", "attention", "draw"]

"""What a method's own classifier may offer besides its answers: where it looks."""

from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from torch import Tensor


@runtime_checkable
class Attentive(Protocol):
    """A classifier whose attention `cervbench show --attention` draws on the test images."""

    def attention(self, images: "Tensor") -> "tuple[Tensor, Tensor]":
        """The weight of each place, images × places, and where the places are, places × 4.

        A place is given by left, top, width and height, as shares of the side of the image.
        """

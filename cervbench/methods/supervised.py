"""Supervised training: a method that learns nothing before it sees labels.

Its rows are called `scratch` where the encoder is fine-tuned, and `untrained` where it is used as it is.
"""

from cervbench.plugin import Encoder, Method


class Supervised(Method):
    def build(self, encoder: Encoder) -> None:
        """Nothing is added to the encoder."""

"""Supervised training: a method that learns nothing before labels are seen.

Its rows are `scratch` where the encoder is fine-tuned and `untrained` where it is used as it is.
"""

from cervbench.plugin import Encoder, Method


class Supervised(Method):
    def build(self, encoder: Encoder) -> None:
        """Nothing is added to the encoder."""

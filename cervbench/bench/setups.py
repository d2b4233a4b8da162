"""What can be asked to be timed, and what the page wants of a GPU. Imports no torch."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Setup:
    """One method on one backbone, at one size and batch."""

    method: str
    backbone: str
    size: int
    batch: int
    compiled: bool = False
    """By torch.compile, which a tier may ask for."""
    settings: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """Of the method, as they were set: told apart by them, though no mapping can be hashed."""

    @property
    def name(self) -> str:
        """Without size and batch, which have columns of their own."""
        chosen = ", ".join(f"{key} {json.dumps(value)}" for key, value in self.settings.items())
        told = f" ({chosen})" if chosen else ""  # last, for a chart cuts what is long
        return f"{self.method} · {self.backbone}{', compiled' if self.compiled else ''}{told}"

    def __str__(self) -> str:
        return f"{self.name}, {self.size} px, batch {self.batch}"


WANTED = tuple(
    Setup(method, backbone, size, 256, compiled, settings)
    for backbone, size in (("resnet50", 128), ("vit", 224))
    for method, settings in (("simclr", {}), ("barlow-twins", {"projector": [8192, 8192, 8192]}))
    for compiled in (False, True)
)
"""Of a GPU; at 224 px `vit` is ViT-S/16, and the projector is the paper's."""

"""What can be timed, and what the page wants measured on a GPU. Imports no torch."""

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
    """Whether torch.compile is used, which a tier may ask for."""
    settings: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """The settings that are given to the method. A mapping has no hash, but setups are compared by it."""

    @property
    def name(self) -> str:
        """A name without size and batch, which have their own columns."""
        chosen = ", ".join(f"{key} {json.dumps(value)}" for key, value in self.settings.items())
        told = f" ({chosen})" if chosen else ""  # last, because a chart cuts long names
        return f"{self.method} · {self.backbone}{', compiled' if self.compiled else ''}{told}"

    def __str__(self) -> str:
        return f"{self.name}, {self.size} px, batch {self.batch}"


WANTED = tuple(
    Setup(method, backbone, size, 256, compiled, settings)
    for backbone, size in (("resnet50", 128), ("vit", 224))
    for method, settings in (("simclr", {}), ("barlow-twins", {"projector": [8192, 8192, 8192]}))
    for compiled in (False, True)
)
"""What the page wants of a GPU. At 224 px `vit` is ViT-S/16; the projector is that of the paper."""

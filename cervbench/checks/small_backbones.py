"""Backbones of each kind that are small enough to be trained in a check."""

from collections.abc import Mapping
from typing import Any

from cervbench.plugin import BackboneOffer


def cnn(image_size: int, pretrained: bool) -> Any:
    import timm

    return timm.create_model("resnet18", num_classes=0, layers=(1, 1, 1, 1), channels=(16, 32, 64, 128))


def vit(image_size: int, pretrained: bool) -> Any:
    import timm

    slim: Mapping[str, int] = {"depth": 2, "embed_dim": 48, "num_heads": 3, "patch_size": 8}
    return timm.create_model("vit_tiny_patch16_224", num_classes=0, img_size=image_size, **slim)


BACKBONES = {
    "CNN": BackboneOffer(cnn, "a ResNet of four blocks"),
    "ViT": BackboneOffer(vit, "a ViT of two blocks, patches of 8 px"),
}

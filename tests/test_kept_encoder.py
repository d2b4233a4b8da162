"""An encoder that was kept is the one of its run, for whoever is handed its file."""

import json
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

import cervbench
from cervbench.checks.examined import CPU
from cervbench.data.parts import Parts
from cervbench.harness import pretrained
from cervbench.place import Place
from cervbench.plan import plan
from cervbench.plugin import Normalise
from cervbench.plugin.manager import plugins
from cervbench.study import Request
from cervbench.training.initial_weights import build_encoder
from cervbench.training.weight_file import HEADER, INPUT, WeightsError, header_of, save_weights, told_of_input
from cervbench.watching import unwatched

LITE0 = "tf_efficientnet_lite0"
PACKAGED = Normalise((127 / 255,) * 3, (128 / 255,) * 3)


def kept_of(request: Request, place: Place) -> Path:
    [planned] = plan([request], place, unwatched, plugins())
    parts = Parts.of(planned.dataset, 0, planned.resolved.protocol, CPU)
    pretrained(planned, parts, place, CPU, unwatched)
    return place.pretraining(planned.run.id) / "method.safetensors"


def test_the_input_of_a_kept_encoder_is_that_of_its_run(place: Place, tmp_path: Path) -> None:
    """Regression: one begun from a package's ImageNet weights was given the input of random weights."""
    asked = Request("supervised", "synthetic", backbone=LITE0, init="imagenet", tier="smoke", folds=(0,))
    weights = kept_of(asked, place)
    encoder, _ = cervbench.encoder(weights)
    assert encoder.normalise == PACKAGED
    offer = plugins().backbones.get(LITE0).offer
    assert build_encoder(LITE0, offer, str(weights), 64, ("test",)).normalise == PACKAGED

    told = header_of(weights)
    del told[INPUT]
    older = tmp_path / "older.safetensors"
    save_file(load_file(weights), older, {HEADER: json.dumps(told)})
    encoder, _ = cervbench.encoder(older)
    assert encoder.normalise == PACKAGED


@pytest.mark.parametrize(
    "said",
    [
        "[[1], [1]]",
        "[[0, 0, 0], [1, 0, 1]]",
        "[[NaN, 0, 0], [1, 1, 1]]",
        "{",
        f"[[1{400 * '0'}, 0, 0], [1, 1, 1]]",
        200_000 * "[",
    ],
    ids=range(6),
)
def test_a_header_with_an_input_that_is_none_is_refused(tmp_path: Path, said: str) -> None:
    offer = plugins().backbones.get("resnet18").offer
    model = build_encoder("resnet18", offer, "random", 32, ("test",)).backbone
    save_weights(model, tmp_path / "weights.safetensors", {INPUT: said})
    with pytest.raises(WeightsError, match=r"weights\.safetensors gives .* as the mean and deviation"):
        build_encoder("resnet18", offer, str(tmp_path / "weights.safetensors"), 32, ("test",))


def test_a_run_begins_with_the_input_that_its_file_of_weights_names(tmp_path: Path) -> None:
    offer, half = plugins().backbones.get("resnet18").offer, Normalise((0.5,) * 3, (0.25,) * 3)
    first = build_encoder("resnet18", offer, "random", 32, ("test",))
    save_weights(first.backbone, tmp_path / "weights.safetensors", told_of_input(half))
    begun = build_encoder("resnet18", offer, str(tmp_path / "weights.safetensors"), 32, ("other",))
    assert begun.normalise == half
    assert torch.equal(begun.backbone.conv1.weight, first.backbone.conv1.weight)


def test_a_method_without_an_encoder_has_none_to_keep(place: Place) -> None:
    """Regression: it was said that no package offers a backbone 'none'."""
    weights = kept_of(Request("majority", "synthetic", tier="smoke", folds=(0,)), place)
    with pytest.raises(WeightsError, match=r"method\.safetensors is of a run of majority, which has no enc"):
        cervbench.encoder(weights)


def test_what_is_no_list_of_images_is_refused(place: Place) -> None:
    """Regression: of one path each letter was opened, and of no images an error of numpy's was raised."""
    asked = Request("supervised", "synthetic", backbone="test_resnet", tier="smoke", folds=(0,))
    _, prepare = cervbench.encoder(kept_of(asked, place))
    for images in ("a.png", Path("a.png"), Image.new("RGB", (8, 8)), []):
        with pytest.raises(cervbench.UsageError, match=r"prepare takes a list of images, of at least one"):
            prepare(images)  # type: ignore[arg-type]


def test_a_file_that_is_not_there_is_told_as_missing(tmp_path: Path) -> None:
    with pytest.raises(cervbench.CervbenchError, match=r"there is no file .*method\.safetensors"):
        cervbench.encoder(tmp_path / "method.safetensors")

"""What is demanded of a method."""

import json
from collections.abc import Sequence

import numpy as np
import torch
from pydantic import BaseModel

from cervbench.checks.check import CheckFailed, Skipped
from cervbench.checks.drawn_dataset import BATCH
from cervbench.checks.examined import Demand, ExaminedMethod, train_stepwise
from cervbench.checks.of_devices import (
    it_has_one_loss_on_several_devices,
    it_keeps_to_the_device_of_its_views,
)
from cervbench.checks.of_features import (
    its_classifier_answers_for_one_image_each,
    its_features_are_of_one_image_each,
)
from cervbench.checks.of_states import (
    it_begins_elsewhere_with_another_seed,
    it_gives_the_same_bits_again,
    it_learns_the_same_whatever_the_labels,
    it_resumes_to_the_same_bits,
    its_encoder_is_stored_once,
    its_state_goes_through_safetensors,
)
from cervbench.checks.of_views import its_views_are_of_one_image_each
from cervbench.checks.small_backbones import BACKBONES
from cervbench.error import first_few
from cervbench.plugin import Offer, Settings
from cervbench.plugin.problems import ContractError
from cervbench.training.initial_weights import build_encoder
from cervbench.training.pretrain import build_method
from cervbench.training.trained import Trained

CLASSES = 3
SOME_STEPS = 2
LARGE_BATCH = 32
"""The batch size of a check that needs losses to fall: those over a batch, such as a correlation of its
columns, cannot fall far in a small one."""
LENGTHS = (14, 56)
"""Within how many epochs a loss has to fall. The longer training is done only if the first is not enough."""


def its_config_comes_back_from_json(method: ExaminedMethod) -> None:
    """Every setting has a default, and the config is the same after it was written to JSON and read back."""
    for name, field in type(method.config).model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel) and not issubclass(kind, Settings):
            raise CheckFailed(
                f"{name} is a {kind.__name__}, which takes a misspelt key without a word",
                "derive it from cervbench.plugin.Settings, which knows its keys",
            )
    text = json.dumps(method.config.model_dump(mode="json"), allow_nan=False)
    back = method.offer.config.parse(json.loads(text), f"method {method.name}")
    if back != method.config:
        fields = type(back).model_fields
        wrong = [name for name in fields if getattr(back, name) != getattr(method.config, name)]
        raise CheckFailed(
            f"{', '.join(wrong)} of the config is another value after a way through JSON",
            "a setting is a number, a string, a truth value, or a tuple or model of such",
        )


def it_works_on_a_cnn_and_a_vit_or_says_which(method: ExaminedMethod) -> str | None:
    """It trains on each kind of backbone, or `build` raises a SettingsError that says what it needs."""
    if len(method.refusals) == len(BACKBONES):
        raise CheckFailed(
            f"it refuses every kind of backbone: {'; '.join(method.refusals.values())}",
            "let `build` accept the backbones that the method is for",
        )
    for kind in BACKBONES:
        if kind not in method.refusals:
            method.losses(method.recipe(kind), until=SOME_STEPS)
    refusals = [f"no {kind}: {why}" for kind, why in method.refusals.items()]
    return "; ".join(refusals) or None


def it_trains_and_its_loss_falls(method: ExaminedMethod) -> None:
    """On the same batches, the loss ends lower than that of a copy that learns nothing.

    A method that learns slowly, compared with the noise between batches, gets four times as many epochs.
    """
    for epochs in LENGTHS:
        recipe = method.recipe(method.backbone, batch=LARGE_BATCH, epochs=epochs)
        trained, idle = (method.losses(recipe, learning=learning) for learning in (True, False))
        late = len(trained) // 4
        reached, left = np.mean(trained[-late:]), np.mean(idle[-late:])
        if reached < left:
            return
    raise CheckFailed(
        f"after {len(trained)} steps the loss is {reached:.4g}, and {left:.4g} without any learning",
        "look at the sign of the loss, at what is detached, and at the learning rate",
    )


def it_trains_the_encoder(method: ExaminedMethod) -> None:
    """In some step the loss reaches each matrix and kernel of the encoder, and the optimiser moves it."""
    recipe = method.recipe(method.backbone)
    learner = build_method(recipe)
    # Tokens, positions and norms may be left out: one method does not use a class token, another not the last
    # norm. Changed weights prove nothing, because weight decay shrinks even those that no loss reaches. And
    # one step is not enough, because a norm that starts at zero lets no gradient through at first.
    named = learner.encoder.named_parameters()
    weights = {name: p for name, p in named if p.ndim > 1 and name.endswith("weight")}
    before = {name: weight.detach().clone() for name, weight in weights.items()}
    unreached = dict(weights)

    def look(loss: float) -> None:
        for name, weight in weights.items():
            if weight.grad is not None and bool(weight.grad.any()):
                unreached.pop(name, None)

    train_stepwise(learner, recipe, look)
    still = [name for name, weight in weights.items() if torch.equal(before[name], weight)]
    if left := [name for name in still if name not in unreached]:
        raise CheckFailed(
            f"{first_few(left)} of the encoder have a gradient and never move",
            "`param_groups` must hold the parameters of self.encoder too",
        )
    if unreached:
        raise CheckFailed(
            f"no gradient reaches {first_few(list(unreached))} of the encoder, in any step",
            "no_grad, detach or requires_grad_(False) keep the loss from reaching self.encoder, and a loss "
            "that does not depend on it has a gradient of zero",
        )


def it_survives_odd_batches_and_image_sizes(method: ExaminedMethod) -> None:
    """It trains with two, three, four or five images in a batch, and at several image sizes."""
    for kind in BACKBONES:
        odd = 45 if kind == "CNN" else 40  # a ViT needs whole patches
        for size, batch in ((32, 2), (32, 3), (odd, 5), (64, 4)):
            if kind not in method.refusals:
                method.losses(method.recipe(kind, size, batch), until=SOME_STEPS)


def its_encoder_can_be_used_afterwards(method: ExaminedMethod) -> None:
    """The encoder has the tensors of its backbone, gives finite vectors, and can be trained further."""
    trained, recipe = method.undisturbed.trained, method.recipe(method.backbone)
    assert trained.encoder is not None
    plain = build_encoder(recipe.backbone, recipe.backbone_offer, "random", recipe.image_size, ("check",))
    shapes, due = ({n: t.shape for n, t in e.state_dict().items()} for e in (trained.encoder, plain))
    if shapes != due:
        strange = sorted(n for n in {*shapes, *due} if shapes.get(n) != due.get(n))
        raise CheckFailed(
            f"the encoder is not that of its backbone any more: {first_few(strange)}",
            "add parts to the method, not to the encoder, and leave its layers as they are",
        )
    if frozen := [name for name, p in trained.encoder.named_parameters() if not p.requires_grad]:
        raise CheckFailed(
            f"{first_few(frozen)} of the encoder cannot be trained any more",
            "freeze a copy (a Follower is one) and leave requires_grad of self.encoder on, for fine-tuning",
        )
    _require_features(trained)
    _require_classifier(trained)


def it_gives_finite_features(method: ExaminedMethod) -> None:
    """`features` gives n × width finite numbers, with a row for each image."""
    _require_features(method.undisturbed.trained)


def it_works_on_a_gpu(method: ExaminedMethod) -> str | None:
    """If there is a CUDA device, it trains, gives features and is fine-tuned there too."""
    if not torch.cuda.is_available():
        return Skipped("torch finds no CUDA device here")
    trained = method.pretrained(method.recipe(method.backbone), device=torch.device("cuda")).trained
    _require_features(trained)
    if method.offer.has_encoder:
        _require_classifier(trained)
    return None


ALWAYS: tuple[Demand, ...] = (its_config_comes_back_from_json, it_works_on_a_gpu)
WITH_A_PRETEXT_STAGE: tuple[Demand, ...] = (
    it_works_on_a_cnn_and_a_vit_or_says_which,
    its_views_are_of_one_image_each,
    it_trains_and_its_loss_falls,
    it_trains_the_encoder,
    it_begins_elsewhere_with_another_seed,
    it_gives_the_same_bits_again,
    it_resumes_to_the_same_bits,
    it_learns_the_same_whatever_the_labels,
    it_survives_odd_batches_and_image_sizes,
    it_keeps_to_the_device_of_its_views,
    it_has_one_loss_on_several_devices,
    its_state_goes_through_safetensors,
)
WITH_AN_ENCODER: tuple[Demand, ...] = (
    its_encoder_is_stored_once,
    its_encoder_can_be_used_afterwards,
    its_features_are_of_one_image_each,
    its_classifier_answers_for_one_image_each,
)


def demands(offer: Offer) -> Sequence[Demand]:
    """The demands that apply: there are fewer for a method without a pretext stage, or without an encoder."""
    if not offer.has_encoder:
        return (*ALWAYS, it_gives_finite_features, its_features_are_of_one_image_each)
    return (*ALWAYS, *(WITH_A_PRETEXT_STAGE if offer.pretrains else ()), *WITH_AN_ENCODER)


def _require_features(trained: Trained) -> None:
    try:
        trained.features(trained.images)
    except ContractError as error:
        raise CheckFailed(str(error), "most methods leave `features` as it is") from error


def _require_classifier(trained: Trained) -> None:
    classifier = trained.classifier(CLASSES).train()
    pixels, _ = next(trained.images.batches(trained.normalise))
    answers = classifier(pixels[:BATCH])
    if answers.shape != (BATCH, CLASSES):
        raise CheckFailed(
            f"a classifier of {CLASSES} classes answers {BATCH} images with {tuple(answers.shape)}",
            "`classifier(encoder, classes)` gives a module whose output is n × classes",
        )

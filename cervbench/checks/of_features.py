"""What is demanded of what evaluations see of a method: its features, and the classifier to be fine-tuned."""

from collections.abc import Callable

import torch
from torch import Tensor

from cervbench.checks.drawn_dataset import BATCH
from cervbench.checks.examined import ExaminedMethod, require_close

CLASSES = 3


def its_features_are_of_one_image_each(method: ExaminedMethod) -> None:
    """In eval mode an image has the same features, whatever is beside it and however large it was."""
    trained = method.undisturbed.trained
    learner = trained.method.eval()
    pixels, native_size = next(trained.images.batches(trained.normalise))
    with torch.inference_mode():
        features = learner.features(pixels, native_size)
        _require_one_answer_an_image(
            lambda kept: learner.features(pixels[kept], native_size[kept]), "features"
        )
        if method.offer.has_encoder:
            require_close(
                features,
                learner.features(pixels, 2 * native_size),
                "features of an image that was twice as large before it was scaled to one size are others",
                "no encoder is told the native size, which alone tells classes apart: use no more of it than "
                "its aspect, to leave out what an image was padded with",
            )


def its_classifier_answers_for_one_image_each(method: ExaminedMethod) -> None:
    """In eval mode the classifier that is fine-tuned answers for an image the same, whatever is beside it."""
    trained = method.undisturbed.trained
    classifier = trained.classifier(CLASSES).eval()
    chance = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in classifier.parameters():
            if not weight.any():  # a head that begins at zero would hide whatever is before it
                weight.normal_(generator=chance)
    pixels, _ = next(trained.images.batches(trained.normalise))
    with torch.inference_mode():
        _require_one_answer_an_image(lambda kept: classifier(pixels[kept]), "the classifier's answers")


def _require_one_answer_an_image(answers: Callable[[slice], Tensor], named: str) -> None:
    whole = answers(slice(0, BATCH))
    require_close(
        whole,
        answers(slice(0, BATCH)),
        f"in eval mode {named} of the same images are others the second time",
        "let chance, such as dropout, act only where `self.training` is true",
    )
    require_close(
        whole[BATCH // 2 :],
        answers(slice(BATCH // 2, BATCH)),
        f"in eval mode {named} of an image are others where fewer images are beside it",
        "center, scale and normalise over a batch only in training, or the test images tell of one another",
    )

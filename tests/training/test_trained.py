import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.utils import check_random_state
from torch import nn

from cervbench.data.batches import Batch, Examples, Feed, Images
from cervbench.data.parts import opaque
from cervbench.data.views import Normalise, Pyramid
from cervbench.methods.reference import ColourHistogram, ImageSize
from cervbench.plugin import Encoder, Method, MethodConfig, plain_policy
from cervbench.plugin.checks import small_encoder
from cervbench.plugin.problems import AnswerError, ContractError
from cervbench.training.norms import reestimate_norms
from cervbench.training.stage import Stage
from cervbench.training.trained import LinearOnEncoder, Trained
from cervbench.training.weight_file import header_of
from cervbench.training.workshop import Workshop


@pytest.fixture
def sorted_by_class() -> np.ndarray:
    """The last images are unlike the others, and stand together."""
    pixels = np.random.default_rng(0).integers(0, 100, (600, 8, 8, 3), dtype=np.uint8)
    pixels[400:] += 120
    return pixels


def images_of(pixels: np.ndarray) -> Images:
    pyramid = Pyramid(pixels, 8, torch.device("cpu"))
    ids = tuple(opaque(str(number)) for number in range(len(pixels)))
    return Images(ids, np.full((len(pixels), 2), 8), np.arange(len(pixels)), pyramid)


def reestimated(pixels: np.ndarray) -> tuple[Any, nn.BatchNorm2d]:
    images = images_of(pixels)
    norm = nn.BatchNorm2d(3)
    encoder: Any = nn.Sequential(norm)
    encoder.normalise = Normalise((0.0,) * 3, (1.0,) * 3)
    method: Any = SimpleNamespace(encoder=encoder)
    reestimate_norms(method, images)
    return encoder, norm


def test_batch_norm_statistics_are_the_average_over_images_and_not_over_batches(
    sorted_by_class: np.ndarray,
) -> None:
    """Regression: the last, short batch weighed as much as a full one."""
    encoder, norm = reestimated(sorted_by_class)
    assert norm.running_mean is not None
    expected = sorted_by_class.mean((0, 1, 2)) / 255
    np.testing.assert_allclose(norm.running_mean.numpy(), expected, atol=1e-5)
    assert not encoder.training


def test_batch_norm_variances_are_of_all_images_though_classes_stand_together(
    sorted_by_class: np.ndarray,
) -> None:
    """Regression: batches in the order of ids had one class each: what lies between was missing."""
    _, norm = reestimated(sorted_by_class)
    assert norm.running_var is not None
    expected = (sorted_by_class / 255).var((0, 1, 2))
    np.testing.assert_allclose(norm.running_var.numpy(), expected, rtol=0.03)


@pytest.fixture
def trained(tmp_path: Path, sorted_by_class: np.ndarray) -> Trained:
    method: Any = SimpleNamespace(encoder=None)
    return Trained(
        method=method,
        images=images_of(sorted_by_class),
        from_scratch=True,
        purpose=("test",),
        workshop=Workshop(tmp_path, torch.device("cpu")),
    )


HALF = Normalise((0.5,) * 3, (0.25,) * 3)


@pytest.fixture
def asks_for_half(trained: Trained) -> Trained:
    """Of an encoder that wants its input less a half, over a quarter; its vectors are mean colours."""
    method: Any = SimpleNamespace(
        encoder=SimpleNamespace(normalise=HALF), eval=lambda: None, features=lambda x, native: x.mean((2, 3))
    )
    return replace(trained, method=method)


class WithOwnClassifier(Method):
    def loss(self, views: Sequence[torch.Tensor]) -> torch.Tensor:
        return views[0].sum()

    def classifier(self, encoder: Encoder, classes: int) -> nn.Module:
        return nn.Linear(encoder.width, classes)


def test_a_classifier_of_its_own_is_told_of_fine_tuning_alone(trained: Trained) -> None:
    """Regression: it was said to work on the encoder's pooled maps."""
    plain = replace(trained, method=WithOwnClassifier(MethodConfig(), small_encoder()))
    assert plain.pooling(frozen=True) == "global average pool"
    assert plain.pooling(frozen=False) == "the method's own classifier"


SOME = np.array([7, 531, 31, 0])


def colours(pixels: np.ndarray) -> torch.Tensor:
    return torch.from_numpy((pixels[SOME] / 255).mean((1, 2)) - 0.5).float() / 0.25


def test_vectors_are_of_their_images_normalised_as_the_encoder_wants(
    asks_for_half: Trained, sorted_by_class: np.ndarray
) -> None:
    vectors = asks_for_half.features(asks_for_half.images.subset(SOME))
    torch.testing.assert_close(torch.from_numpy(vectors), colours(sorted_by_class), rtol=0, atol=1e-4)


def test_a_classifier_answers_at_rest_of_images_normalised_as_the_encoder_wants(
    asks_for_half: Trained, sorted_by_class: np.ndarray
) -> None:
    """In training its norm would take the test images' statistics, and its dropout half of them away."""
    net = nn.Sequential(nn.BatchNorm2d(3), nn.Dropout(0.5), nn.AdaptiveAvgPool2d(1), nn.Flatten()).train()
    answers = asks_for_half.probabilities(net, asks_for_half.images.subset(SOME))
    expected = (colours(sorted_by_class) / (1 + 1e-5) ** 0.5).softmax(1)
    torch.testing.assert_close(torch.from_numpy(answers), expected, rtol=0, atol=1e-4)


def test_a_stage_is_fed_images_normalised_as_the_encoder_wants_by_draws_of_its_run(
    asks_for_half: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    fed: list[Feed] = []
    monkeypatch.setattr("cervbench.training.trained.train", lambda stage, state, feed, *_: fed.append(feed))
    monkeypatch.setattr("cervbench.training.trained.begin", lambda *_: None)
    stage: Any = SimpleNamespace(views=lambda: ("a view",), sees="labelled")
    labels = np.arange(600)
    asks_for_half.at("one").fit(stage, Examples(asks_for_half.images, labels), 1, 8, "purpose")
    [feed] = fed
    assert (feed.normalise, feed.purpose, feed.batch_size) == (HALF, ("test", "purpose"), 8)
    assert feed.labels is labels


@pytest.mark.parametrize(
    ("sees", "optimizer", "told"),
    [
        ("both", "adamw", "sees is 'both'; it must be 'images' or 'labelled'"),
        ("images", "adam", "optimizer is 'adam'; it must be 'adamw' or 'sgd'"),
    ],
)
def test_a_stage_that_declares_what_the_loop_does_not_know_is_refused(
    trained: Trained, sees: str, optimizer: str, told: str
) -> None:
    """Regression: `both` trained without labels, and `adam` with AdamW, without a word."""
    stage: Any = SimpleNamespace(views=lambda: ("a view",), sees=sees, optimizer=optimizer)
    with pytest.raises(ContractError, match=told):
        trained.at("one").fit(stage, Examples(trained.images, np.arange(600)), 1, 8, "purpose")


def test_work_on_no_images_is_refused(trained: Trained) -> None:
    """Regression: an evaluation that used `val` below 10 % was told of sections and divisions by zero."""
    none = trained.images.subset(np.arange(0))
    stage: Any = SimpleNamespace(views=lambda: ("a view",), sees="images")
    with pytest.raises(AnswerError, match="no images; `val` is empty below the ratio"):
        trained.probabilities(nn.Flatten(), none)
    with pytest.raises(AnswerError, match="no images; `val` is empty below the ratio"):
        trained.at("one").fit(stage, Examples(none, np.arange(0)), 1, 8, "purpose")


def test_checkpoints_of_fine_tuning_say_which_code_and_host_they_are_of(
    trained: Trained, tmp_path: Path
) -> None:
    """Regression: they had no header, so that going on elsewhere, or with other code, was never told."""
    kept: list[dict[str, str]] = []

    class OneStep(Stage):
        sees = "images"
        learning_rate, weight_decay = 0.1, 0.0

        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(1))

        def views(self) -> Any:
            return (plain_policy(),)

        def forward(self, batch: Batch) -> Any:
            return (self.weight * batch.views[0].mean()).sum(), {}

    workshop = Workshop(
        tmp_path,
        torch.device("cpu"),
        checkpoint_seconds=0,
        host={"device": "cpu", "precision": "bf16"},
        header={"code": "12ab"},
        watch=lambda *_: kept.extend(map(header_of, tmp_path.rglob("weights.safetensors"))),
    )
    at_work = replace(trained, workshop=workshop).at("record")
    at_work.fit(OneStep(), Examples(trained.images, np.arange(600)), 2, 8, "purpose")
    assert kept == [{"code": "12ab", "host": "device cpu, precision bf16"}]


def test_a_second_stage_never_goes_on_where_another_ended(
    trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Regression: fitted for the same purpose, it silently took the weights of the first."""
    for name in ("train", "begin"):
        monkeypatch.setattr(f"cervbench.training.trained.{name}", lambda *_: None)
    stage: Any = SimpleNamespace(views=lambda: ("a view",), sees="images")
    examples: Any = SimpleNamespace(images=trained.images)
    one, other = trained.at("one"), trained.at("other")
    for at_work, purpose in ((one, "first"), (one, "second"), (other, "first")):
        at_work.fit(stage, examples, 1, 1, purpose)
    with pytest.raises(AnswerError, match="give each a purpose of its own"):
        one.fit(stage, examples, 1, 1, "first")


def test_vectors_of_images_that_are_not_the_runs_own_are_refused(trained: Trained) -> None:
    """Regression: those of other images came back, by the numbers of their rows."""
    with pytest.raises(AnswerError, match="of images that predict was handed"):
        trained.features(trained.images.subset(np.arange(5)).isolated())


def test_what_an_evaluation_does_to_its_encoder_is_nothing_to_the_next(trained: Trained) -> None:
    """Regression: all evaluations of a run shared one module, and its features were made of what was left."""
    run = replace(trained, method=WithOwnClassifier(MethodConfig(), small_encoder("CNN")))
    undisturbed = replace(run).features(run.images)
    one, next_one = run.at("one"), run.at("next")
    assert one.encoder is not None
    assert one.encoder is one.encoder
    assert not one.encoder.training
    one.encoder.train().requires_grad_(False)
    with torch.no_grad():
        for weight in one.encoder.parameters():
            weight.zero_()
    np.testing.assert_array_equal(one.features(run.images), undisturbed)
    assert next_one.encoder is not None
    assert all(p.requires_grad and p.count_nonzero() for p in next_one.encoder.parameters() if p.ndim > 1)
    assert next_one.features(run.images) is not None
    assert next_one._features is one._features


class Mixes(nn.Module):
    """Means of colours through a dropout and a product in which bf16 would lose digits."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder: Any = None
        self.drop, self.mix = nn.Dropout(0.5), nn.Linear(3, 4)

    def features(self, pixels: torch.Tensor, native_size: torch.Tensor) -> torch.Tensor:
        mixed: torch.Tensor = self.mix(self.drop(pixels.mean((2, 3))))
        return mixed


def test_features_are_of_a_method_in_evaluation_and_in_float32(
    trained: Trained, sorted_by_class: np.ndarray
) -> None:
    torch.manual_seed(0)
    method: Any = Mixes().train()
    found = replace(trained, method=method).features(trained.images)
    weight, bias = (tensor.detach().double().numpy() for tensor in (method.mix.weight, method.mix.bias))
    np.testing.assert_allclose(found, sorted_by_class.mean((1, 2)) / 255 @ weight.T + bias, atol=1e-5)


@pytest.mark.parametrize(
    ("features", "told"),
    [
        (lambda x, _: x.mean((2, 3)) / 0, "not finite, of"),
        (lambda x, _: x.mean((2, 3))[:1], r"of shape \(.*give n × width"),
        (lambda x, _: x.mean((1, 2, 3)), r"of shape \(.*give n × width"),
        (lambda x, _: (x.mean((2, 3)), x), "returns a tuple of a Tensor.*give a tensor"),
    ],
)
def test_features_that_are_none_are_told_with_the_class_that_gave_them(
    trained: Trained, features: Any, told: str
) -> None:
    """Regression: kNN was blamed for its probabilities, and of too few rows an index was out of range."""
    method: Any = Mixes()
    method.features = features
    with pytest.raises(ContractError, match=f"^features of Mixes .*{told}"):
        replace(trained, method=method).features(trained.images)


def test_what_an_evaluation_draws_is_of_its_seed_and_fold_too(trained: Trained) -> None:
    drawn = []
    for purpose in ((0, 0), (0, 1), (1, 0), (0, 0)):
        replace(trained, purpose=purpose).seed("linear", 10)
        drawn.append(torch.rand(()).item())
    assert drawn[0] == drawn[3]
    assert len(set(drawn)) == 3


def test_what_draws_without_torch_has_a_seed_too(trained: Trained) -> None:
    """Regression: nothing that was documented seeded numpy or scikit-learn."""
    told = [replace(trained, purpose=(fold,)).seed("forest", draw) for fold in (0, 1) for draw in (0, 1)]
    assert len(set(told)) == 4
    assert replace(trained, purpose=(0,)).seed("forest", 0) == told[0]
    assert check_random_state(told[0]).randint(2**31) == np.random.RandomState(told[0]).randint(2**31)


def test_batch_norm_statistics_are_of_an_encoder_that_drops_nothing(sorted_by_class: np.ndarray) -> None:
    norm = nn.BatchNorm2d(3)
    encoder: Any = nn.Sequential(nn.Dropout(0.5), norm)
    encoder.normalise = Normalise((0.0,) * 3, (1.0,) * 3)
    method: Any = SimpleNamespace(encoder=encoder)
    reestimate_norms(method, images_of(sorted_by_class))
    assert norm.running_var is not None
    expected = (sorted_by_class / 255).var((0, 1, 2))
    np.testing.assert_allclose(norm.running_var.numpy(), expected, rtol=0.03)


def test_the_row_of_sizes_sees_logarithms_of_width_and_height_their_squares_and_product() -> None:
    size = torch.tensor([[40.0, 30.0], [7.0, 200.0]])
    found = ImageSize(None, None).features(torch.zeros(2, 3, 4, 4), size)
    expected = [
        [math.log(w), math.log(h), math.log(w) ** 2, math.log(h) ** 2, math.log(w) * math.log(h)]
        for w, h in size.tolist()
    ]
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-6)


def test_the_row_of_colours_counts_pixels_in_cells_of_the_cube() -> None:
    image = torch.zeros(1, 3, 2, 2)
    image[0, :, 0, 0] = torch.tensor([0.99, 0.5, 0.2])  # red level 5, green 3, blue 1, of six
    found = ColourHistogram(None, None).features(image, torch.ones(1, 2))
    expected = np.zeros(216)
    expected[0], expected[5 * 36 + 3 * 6 + 1] = math.sqrt(3 / 4), math.sqrt(1 / 4)
    np.testing.assert_allclose(found.numpy(), [expected], atol=1e-6)


def test_nothing_of_what_the_pretext_stage_left_stays_in_the_statistics() -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (40, 32, 32, 3), dtype=np.uint8)
    fresh, used = small_encoder(), small_encoder()
    used.load_state_dict(fresh.state_dict())
    for norm in (one for one in used.modules() if isinstance(one, nn.BatchNorm2d)):
        assert norm.running_mean is not None
        assert norm.num_batches_tracked is not None
        norm.running_mean.fill_(7.0)
        norm.num_batches_tracked.fill_(200)
    for encoder in (fresh, used):
        method: Any = SimpleNamespace(encoder=encoder)
        reestimate_norms(method, images_of(pixels))
    assert any("running" in name for name, _ in fresh.named_buffers())
    for (name, expected), (_, found) in zip(fresh.named_buffers(), used.named_buffers(), strict=True):
        torch.testing.assert_close(found, expected, msg=name)


def test_a_fresh_linear_layer_finds_all_classes_equally_likely() -> None:
    """Else where fine-tuning begins would depend on the draw of that layer."""
    assert (LinearOnEncoder(small_encoder(), 5).eval()(torch.randn(3, 3, 32, 32)) == 0).all()

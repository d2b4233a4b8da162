"""Fine-tuning: what is minimised, how long, at which rate, and what moves."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from cervbench.checks.examined import ExaminedMethod, parts_at
from cervbench.data.batches import Batch, Examples
from cervbench.data.views import Crop, Flip, Policy
from cervbench.evaluations import FineTuneSettings
from cervbench.evaluations.finetune import FineTuning, fine_tuned
from cervbench.methods import cervbench_methods
from cervbench.training.trained import LinearOnEncoder

SETTINGS = FineTuneSettings(
    steps=10,
    epochs=3,
    batch_size=4,
    draws=1,
    learning_rate_scratch=1e-3,
    learning_rate_trained=3e-4,
    weight_decay=0.1,
)


def stage(labels: np.ndarray) -> FineTuning:
    return FineTuning(nn.Flatten(), labels, 3, rate=1e-3, decay=0.0)


def test_the_loss_is_the_mean_over_classes_of_the_mean_over_their_images() -> None:
    labels = np.array([0] * 6 + [2] * 2)
    logits, truth = torch.randn(8, 3), torch.from_numpy(labels)
    loss, _ = stage(labels)(Batch([logits], truth))
    each = -logits.log_softmax(1)[torch.arange(8), truth]
    torch.testing.assert_close(loss, (each[:6].mean() + each[6:].mean()) / 2)


def test_its_views_keep_the_shape_of_a_cell() -> None:
    assert stage(np.zeros(1, int)).views() == (Policy((Crop(scale=(0.6, 1.0), ratio=(1.0, 1.0)), Flip())),)


@pytest.mark.parametrize(("scratch", "count", "rate", "steps"), [(True, 7, 1e-3, 10), (False, 40, 3e-4, 30)])
def test_it_has_the_rate_of_its_start_and_a_floor_of_steps(
    scratch: bool, count: int, rate: float, steps: int
) -> None:
    """Three epochs of 40 labels in batches of 4 are 30 steps; of 7 labels they are 5, and the floor is 10."""
    told = []

    def fit(stage: FineTuning, examples: Examples, steps: int, batch_size: int, *purpose: object) -> None:
        told.append((stage.learning_rate, stage.weight_decay, steps, batch_size))

    trained: Any = SimpleNamespace(
        from_scratch=scratch,
        device=torch.device("cpu"),
        seed=lambda *purpose: None,
        classifier=lambda classes: nn.Linear(2, classes),
        fit=fit,
    )
    nothing: Any = None
    labelled = Examples(nothing, np.arange(count) % 2)
    seen: Any = SimpleNamespace(classes=("a", "b"), ratio=1, draw=0, train=labelled)
    fine_tuned(trained, seen, SETTINGS)
    assert told == [(rate, 0.1, steps, 4)]


def test_it_trains_a_copy_of_the_encoder_and_leaves_the_runs_own_as_it_is() -> None:
    supervised = ExaminedMethod("supervised", cervbench_methods()["supervised"])
    trained = supervised.pretrained(supervised.recipe("CNN")).trained
    kept = trained.method.encoder
    before = {name: value.clone() for name, value in kept.state_dict().items()}
    few = SETTINGS.model_copy(update={"steps": 3, "epochs": 1})
    tuned = fine_tuned(trained.at("tuned"), parts_at(32).labelled(50)[0], few)
    assert isinstance(tuned, LinearOnEncoder)
    first = "backbone.conv1.weight"
    assert not torch.equal(tuned.encoder.state_dict()[first], before[first])
    assert all(torch.equal(before[name], value) for name, value in kept.state_dict().items())


def test_each_draw_is_seeded_before_its_classifier_is_made_and_trained_for_a_purpose_of_its_own() -> None:
    told: list[tuple[object, ...]] = []

    def made(classes: int) -> nn.Module:
        told.append(("classifier",))
        return nn.Linear(2, classes)

    trained: Any = SimpleNamespace(
        from_scratch=True,
        device=torch.device("cpu"),
        seed=lambda *purpose: told.append(("seed", *purpose)),
        classifier=made,
        fit=lambda stage, examples, steps, batch_size, *purpose: told.append(("fit", *purpose)),
    )
    images: Any = np.arange(4)
    train = Examples(images, np.arange(4) % 3)
    for draw in (0, 1):
        seen: Any = SimpleNamespace(classes=("a", "b", "c"), ratio=10, draw=draw, train=train)
        fine_tuned(trained, seen, SETTINGS)
    assert told == [
        step
        for draw in (0, 1)
        for step in (("seed", "finetune", 10, draw), ("classifier",), ("fit", "finetune", 10, draw))
    ]


def test_epochs_count_images_and_not_whole_batches() -> None:
    told: list[int] = []
    trained: Any = SimpleNamespace(
        from_scratch=True,
        device=torch.device("cpu"),
        seed=lambda *purpose: None,
        classifier=lambda classes: nn.Linear(2, classes),
        fit=lambda stage, examples, steps, size, *purpose: told.append(steps),
    )
    none: Any = None
    seen: Any = SimpleNamespace(classes=("a", "b"), ratio=1, draw=0, train=Examples(none, np.arange(43) % 2))
    fine_tuned(trained, seen, SETTINGS)
    assert told == [32]  # 3 epochs of 43 images, in batches of 4

"""Built-in evaluations."""

from collections.abc import Mapping

from pydantic import Field

from cervbench.plugin import EvaluationOffer, Settings, hookimpl


class LinearSettings(Settings):
    strength: float = Field(gt=0, description="of the L2 penalty, per labelled image")
    grid: tuple[float, ...] = Field(description="strengths to choose from on the permitted val images")
    select_from: int = Field(description="per cent of labels from which the strength is chosen")


class NeighbourSettings(Settings):
    neighbours: int = Field(gt=0)


class FineTuneSettings(Settings):
    steps: int = Field(gt=0, description="at least so many")
    epochs: int = Field(gt=0, description="about so many passes over the labelled images")
    batch_size: int = Field(gt=1)
    draws: int = Field(gt=0, description="label orders that are fine-tuned, of the protocol's")
    learning_rate_scratch: float = Field(gt=0)
    learning_rate_trained: float = Field(gt=0)
    weight_decay: float = Field(ge=0)


@hookimpl
def cervbench_evaluations() -> Mapping[str, EvaluationOffer]:
    return {
        "linear": EvaluationOffer(
            "cervbench.evaluations.linear:predict",
            "logistic regression on the frozen vector",
            settings=LinearSettings,
        ),
        "knn": EvaluationOffer(
            "cervbench.evaluations.knn:predict",
            "nearest neighbours of the frozen vector",
            settings=NeighbourSettings,
        ),
        "finetune": EvaluationOffer(
            "cervbench.evaluations.finetune:predict",
            "the encoder and a linear layer trained on the labels",
            settings=FineTuneSettings,
            frozen=False,
            classifier="cervbench.evaluations.finetune:fine_tuned",
        ),
    }

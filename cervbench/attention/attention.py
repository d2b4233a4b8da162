"""Where the classifier of a record looks.

Its weights are not kept, so it is trained again from the kept encoder. That gives the same bits on the same
CPU, and nearly the same on a GPU; how far its answers are from those of the record is told.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cervbench.attention.again import planned_again
from cervbench.data.dataset import Dataset
from cervbench.error import UsageError
from cervbench.harness import pretrained
from cervbench.place import Place
from cervbench.plan import PlannedRun
from cervbench.plugin.calling import call
from cervbench.plugin.catalog import CORE
from cervbench.plugin.manager import Plugins
from cervbench.plugin.offers import imported
from cervbench.records.record import Record, Run
from cervbench.records.store import Store
from cervbench.watching import WatchStages

if TYPE_CHECKING:
    from torch import nn

    from cervbench.data.batches import Images
    from cervbench.plugin import Attentive
    from cervbench.training.trained import Trained


@dataclass(frozen=True)
class Attention:
    """The attention on every test image, in one draw; row n of every array but `places` is image n."""

    dataset: Dataset
    rows: np.ndarray
    """The rows of the images in the pack."""
    answers: np.ndarray
    """Probabilities, images × classes."""
    weights: np.ndarray
    """How much each place counts, images × places."""
    places: np.ndarray
    """Where the places are: left, top, width, height as shares of the side, places × 4."""
    apart: float
    """The largest difference between an answer and the record's; 0 means that this is the very classifier."""

    @property
    def framed(self) -> np.ndarray:
        """Which places weigh more than the average place of their image: images × places."""
        framed: np.ndarray = self.weights > self.weights.mean(axis=1, keepdims=True)
        return framed


def attention(
    record: Record, place: Place, plugins: Plugins, watch: WatchStages, files: Mapping[str, str]
) -> Attention:
    """The attention of a record's classifier; `files` has its dataset and init where these are paths."""
    planned, one = planned_again(record, place, plugins, watch, files)
    dataset, run = planned.dataset, planned.run
    stored = Store(place.out).columns(run.dataset.variant, record.id, record.predictions.hash)

    from cervbench.data.parts import Parts
    from cervbench.training.device import named_device, working_on

    device = named_device(place.device)
    with (
        place.locked(run.id, lambda: watch("waiting for another process", 0, 0, {})),
        working_on(device, place.threads),
    ):
        if one.entry.package == CORE:  # it fine-tunes the method's own classifier, and others need not
            _require_attention(planned)
        parts = Parts.of(dataset, run.fold, planned.resolved.protocol, device)
        _say_where_not_kept(place, run)
        trained = one.begin(pretrained(planned, parts, place, device, watch)[0])
        seen = parts.labelled(one.ratio, 1)[0]
        train = imported(one.entry.offer.classifier)
        assert train is not None
        classifier: nn.Module = call(train, trained=trained, seen=seen, settings=one.settings)
        trained.workshop.clear(one.id)
        attentive = _attentive(classifier, run)
        answers = trained.probabilities(classifier, parts.test)
        weights, places = _weights(attentive, parts.test, trained)
    rows = parts.in_pack(parts.test)
    recorded = _answers(stored, seen.draw, dataset, rows)
    return Attention(dataset, rows, answers, weights, places, float(np.abs(answers - recorded).max()))


def _require_attention(planned: PlannedRun) -> None:
    """Refuse a method whose own classifier has no attention, before anything is trained."""
    from cervbench.training.pretrain import build_method

    method = build_method(planned.recipe)
    _attentive(method.classifier(method.encoder, len(planned.dataset.card.classes)), planned.run)


def _attentive(classifier: "nn.Module | None", run: Run) -> "Attentive":
    from cervbench.plugin import Attentive

    if isinstance(classifier, Attentive):
        return classifier
    raise UsageError(
        f"the classifier of {run.method.name} has no attention to show: attentive-patch has, and any "
        "method whose classifier offers attention(images) (see cervbench.plugin.Attentive)"
    )


def _say_where_not_kept(place: Place, run: Run) -> None:
    from cervbench.training.kept import Kept

    folder = place.pretraining(run.id)
    if not Kept(folder).done:
        logging.getLogger("cervbench").warning(
            "the encoder of this run is not kept in %s: it is pretrained again, as long as that takes", folder
        )


def _weights(classifier: "Attentive", images: "Images", trained: "Trained") -> tuple[np.ndarray, np.ndarray]:
    """The weights, images × places, and where the places are, which is the same in all images."""
    import torch

    with torch.inference_mode():
        of_batches = [classifier.attention(pixels) for pixels, _ in images.batches(trained.normalise)]
    weights = np.concatenate([weights.float().cpu().numpy() for weights, _ in of_batches])
    return weights, of_batches[0][1].cpu().numpy()


def _answers(stored: Mapping[str, np.ndarray], draw: int, dataset: Dataset, rows: np.ndarray) -> np.ndarray:
    """The answers that a record holds for these images, in one draw: images × classes."""
    of_draw = np.flatnonzero(stored["draw"] == draw)
    found = {stored["image"][n]: n for n in of_draw}
    chosen = [found[dataset.pack.ids[row]] for row in rows]
    return np.stack([stored[f"p_{name}"][chosen] for name in dataset.card.classes], axis=1)

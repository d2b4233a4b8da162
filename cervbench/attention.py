"""Attention: where the classifier of a record looks, framed on images it was tested on.

Its weights are not kept. It is trained again from the kept encoder, which on the same processor gives the
same bits and on a GPU nearly so, and whether its answers are those of the record is said.
"""

import ast
import csv
import io
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cervbench.atomic import write_atomically, write_text
from cervbench.data.dataset import Dataset
from cervbench.due import Due, due
from cervbench.harness import plan, pretrained
from cervbench.place import Place
from cervbench.plugin.catalog import CORE
from cervbench.plugin.manager import Plugins
from cervbench.plugin.settings import SettingsError
from cervbench.records.record import Record, Run
from cervbench.records.store import RecordError, Store
from cervbench.records.verify import differences
from cervbench.runs import Understood, recipe_of
from cervbench.study import Request
from cervbench.watching import WatchStages

if TYPE_CHECKING:
    from torch import nn

    from cervbench.data.batches import Images
    from cervbench.plugin import Attentive
    from cervbench.training.trained import Trained

RED = (230, 20, 40)


@dataclass(frozen=True)
class Attention:
    """Of every test image in one draw; row n of every array is image n."""

    dataset: Dataset
    rows: np.ndarray
    """Of the pack."""
    answers: np.ndarray
    """Images × classes."""
    weights: np.ndarray
    """Images × places."""
    places: np.ndarray
    """Places × 4: left, top, width, height, as shares of the side."""
    apart: float
    """The furthest that an answer is from the record's; 0 where this is the very classifier."""

    @property
    def framed(self) -> np.ndarray:
        """Which places weigh more than those of their image do on average: images × places."""
        framed: np.ndarray = self.weights > self.weights.mean(axis=1, keepdims=True)
        return framed


def attention(
    record: Record, place: Place, plugins: Plugins, progress: WatchStages, files: Mapping[str, str]
) -> Attention:
    """The attention of the classifier of a record; `files` are its dataset and init where these are paths."""
    asked, dataset, run, one = _asked_again(record, place, plugins, progress, files)
    stored = Store(place.out).columns(run.dataset.variant, record.id, record.predictions.hash)
    with place.alone(run.id, lambda: progress("waiting for another process", 0, 0, {})):
        from cervbench.data.parts import part
        from cervbench.training.device import use

        device = use(place.device, place.threads)
        if one.entry.package == CORE:  # which fine-tunes the method's own classifier; others may have theirs
            _require_attention(asked, run, dataset)
        parts = part(dataset, run.fold, asked.protocol, device)
        _say_where_not_kept(place, run)
        trained = one.begun(pretrained(asked, run, parts, place, device, progress)[0])
        seen = parts.labelled(one.ratio, 1)[0]
        train = one.entry.offer.load_classifier()
        assert train is not None
        classifier: nn.Module = train(trained, seen, one.settings)
        trained.clear_checkpoints()
        attentive = _attentive(classifier, run)
        answers = trained.probabilities(classifier, parts.test)
        weights, places = _weights(attentive, parts.test, trained)
    rows = parts.in_pack(parts.test)
    recorded = _answers(stored, seen.draw, dataset, rows)
    return Attention(dataset, rows, answers, weights, places, float(np.abs(answers - recorded).max()))


def draw(shown: Attention, count: int, folder: Path) -> list[Path]:
    """Write a picture of each of the first `count` images, and the numbers of all of them as a table."""
    pack = shown.dataset.pack
    names = list(_names(shown))
    for number, row in enumerate(shown.rows[:count]):
        places = shown.places[shown.framed[number]]
        write_atomically(folder / names[number], _framing(pack.pixels[int(row)], places))
    write_text(folder / "attention.csv", _table(shown, names, count))
    return [folder / name for name in names[:count]]


def _asked_again(
    record: Record, place: Place, plugins: Plugins, progress: WatchStages, files: Mapping[str, str]
) -> tuple[Understood, Dataset, Run, Due]:
    """What a record was asked by; refused where the same would be another record today."""
    run = record.run
    evaluation = f"{record.evaluation.package}:{record.evaluation.name}"
    if plugins.evaluations.get(evaluation).offer.classifier is None:
        offering = [name for name, entry in plugins.evaluations.items() if entry.offer.classifier]
        raise SettingsError(
            f"record {record.id} is of {record.evaluation.name}, which offers no classifier to look at; "
            f"name a record of {' or '.join(offering)}"
        )
    request = Request(
        method=f"{run.method.package}:{run.method.name}",
        dataset=files.get("dataset", run.dataset.name),
        backbone=run.backbone,
        init=files.get("init", run.init),
        ratios=(record.ratio,),
        evaluations=(evaluation,),
        folds=(run.fold,),
        seed=run.seed,
        tier=run.protocol.tier,
        settings={**run.method.config, **dict(map(_change, run.protocol.off))},
    )
    [(asked, dataset, again)] = plan([request], place, progress, plugins)
    [one] = due(asked, again)
    if one.id != record.id:
        pairs = {"run": (run, again), "evaluation": (record.evaluation, one.evaluation)}
        changed = "; ".join(
            difference
            for part, pair in pairs.items()
            for difference in differences(part, *(of.model_dump(mode="json", by_alias=True) for of in pair))
        )
        raise RecordError(
            f"record {record.id} cannot be made again here, so its classifier cannot be shown: {changed}. "
            "Use the code, data and weights that it was made with, or run it again and show the new record"
        )
    return asked, dataset, again, one


def _change(off: str) -> tuple[str, Any]:
    """A change of the protocol, as a record notes it and as a request makes it."""
    key, _, value = off.partition("=")
    try:
        return f"protocol.{key}", ast.literal_eval(value)
    except (SyntaxError, ValueError):
        return f"protocol.{key}", value


def _require_attention(asked: Understood, run: Run, dataset: Dataset) -> None:
    """Of the method's own classifier, as it is before anything is trained."""
    from cervbench.training.pretrain import build_method

    method = build_method(recipe_of(asked, run))
    _attentive(method.classifier(method.encoder, len(dataset.card.classes)), run)


def _attentive(classifier: "nn.Module | None", run: Run) -> "Attentive":
    from cervbench.plugin import Attentive

    if isinstance(classifier, Attentive):
        return classifier
    raise SettingsError(
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
    """Of every image, images × places, and where the places are, which is the same in all."""
    import torch

    with torch.inference_mode():
        looked = [classifier.attention(pixels) for pixels, _ in images.batches(trained.normalise)]
    weights = np.concatenate([weights.float().cpu().numpy() for weights, _ in looked])
    return weights, looked[0][1].cpu().numpy()


def _answers(stored: Mapping[str, np.ndarray], draw: int, dataset: Dataset, rows: np.ndarray) -> np.ndarray:
    """What a record holds of these images in a draw: images × classes."""
    of_draw = np.flatnonzero(stored["draw"] == draw)
    found = {stored["image"][n]: n for n in of_draw}
    chosen = [found[dataset.pack.images[row]] for row in rows]
    return np.stack([stored[f"p_{name}"][chosen] for name in dataset.card.classes], axis=1)


def _names(shown: Attention) -> Iterator[str]:
    """Files are numbered: ids of images may be paths, and hold anything."""
    digits = len(str(len(shown.rows)))
    return (f"{number:0{digits}}.png" for number in range(1, len(shown.rows) + 1))


def _framing(pixels: np.ndarray, places: np.ndarray) -> Callable[[Path], None]:
    """Writes an image with these places framed."""
    from PIL import Image, ImageDraw

    picture, side = Image.fromarray(pixels), len(pixels)
    brush = ImageDraw.Draw(picture)
    for left, top, width, height in places * side:
        box = [round(left), round(top), round(left + width) - 1, round(top + height) - 1]
        brush.rectangle(box, outline=RED, width=max(1, side // 75))
    return lambda beside: picture.save(beside, format="PNG")


def _table(shown: Attention, names: list[str], count: int) -> str:
    pack, classes = shown.dataset.pack, shown.dataset.card.classes
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(
        ["image", "picture", "label", "answer", *(f"weight_{n + 1}" for n in range(shown.weights.shape[1]))]
    )
    for number, row in enumerate(shown.rows):
        writer.writerow(
            [
                pack.images[row],
                names[number] if number < count else "",
                pack.labels[row],
                classes[int(shown.answers[number].argmax())],
                *(f"{weight:.6f}" for weight in shown.weights[number]),
            ]
        )
    return out.getvalue()

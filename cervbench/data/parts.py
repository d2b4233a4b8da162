"""The parts of a fold: images, labels that may be seen, and the truth, which joins the answers at the end."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from cervbench.data.batches import Examples, Images, Labelled
from cervbench.data.dataset import Dataset
from cervbench.data.pack import Pack
from cervbench.data.views import Pyramid
from cervbench.error import first_few
from cervbench.plugin.problems import AnswerError, shown
from cervbench.protocol.folds import Fold
from cervbench.protocol.protocol import Protocol

KEPT_ON_HOST = 3 * 2**27
"""Bytes of images that stay in memory where the device is the CPU: enough for all sizes of Herlev."""
KEPT_OF_FREE = 0.5
"""The share of a GPU's free memory that images may take; the rest is for the model."""


@dataclass(frozen=True)
class Parts:
    """One fold, with its images on a device."""

    dataset: Dataset
    fold: Fold
    protocol: Protocol
    of_pack: Pyramid
    """In the order of the pack, by id; that may be the order of the classes, so it is not handed out."""

    @classmethod
    def of(cls, dataset: Dataset, fold: int, protocol: Protocol, device: torch.device) -> "Parts":
        pyramid = _pyramid(dataset.pack, protocol.image_size, device)
        return cls(dataset, dataset.manifest.fold(fold), protocol, pyramid)

    @cached_property
    def train(self) -> Images:
        """All of train, labelled or not: a pretext stage is given these images and nothing else."""
        return self._images(self.fold.train).isolated()

    @cached_property
    def everything(self) -> Images:
        """All images of the dataset, whatever part they are in, in the order of their rows."""
        return self._images(self._order)

    @cached_property
    def test(self) -> Images:
        return self._images(self.fold.test).in_order_of_ids()

    def labelled(self, ratio: int, draws: int | None = None) -> list[Labelled]:
        """What may be seen at a ratio, for each draw; `draws` may ask for fewer than the protocol has."""
        count = self.protocol.labels.draws_at(ratio, draws)
        return [self._labelled(ratio, draw) for draw in range(count)]

    def with_truth(self, answers: Mapping[str, np.ndarray], draws: Sequence[int]) -> dict[str, np.ndarray]:
        """The answers with group and label; refused unless each draw answers each test image exactly once."""
        if not callable(getattr(answers, "items", None)):
            raise AnswerError(f"predict returns {shown(answers)}, where a dict of columns is due")
        columns = {name: np.asarray(values) for name, values in answers.items()}
        self._refuse_partial(columns, draws)
        row_of = dict(zip(self.test.ids, self.in_pack(self.test), strict=True))
        rows = [row_of[image] for image in columns["image"]]
        pack = self.dataset.pack
        return {
            **columns,
            "image": np.array([pack.ids[row] for row in rows]),
            "group": np.array([pack.groups[row] for row in rows]),
            "label": np.array([pack.labels[row] for row in rows]),
        }

    def in_pack(self, images: Images) -> np.ndarray:
        """Their rows of the pack, for the harness alone to know. Not for `train`, which has its own rows."""
        assert images.pyramid.has_the_rows_of(self._in_opaque_order)
        return self._order[images.rows]

    def _refuse_partial(self, columns: Mapping[str, np.ndarray], draws: Sequence[int]) -> None:
        if missing := {"image", "draw"} - set(columns):
            raise AnswerError(f"the columns {' and '.join(sorted(missing))} are missing")
        for name, values in columns.items():
            if values.ndim != 1:
                raise AnswerError(f"column {name!r} is of shape {values.shape}, where one value a row is due")
        lengths = {len(values) for values in columns.values()}
        if len(lengths) > 1:
            raise AnswerError(f"columns are of different lengths: {', '.join(map(str, sorted(lengths)))}")
        numbers = columns["draw"].tolist()
        if odd := [number for number in numbers if not _is_whole(number)]:
            raise AnswerError(f"column 'draw' holds {odd[0]!r}, where the whole number of a draw is due")
        wanted = Counter((image, draw) for draw in draws for image in self.test.ids)
        given = Counter(zip(map(str, columns["image"]), map(int, numbers), strict=True))
        if given != wanted:
            told = {"missing": wanted - given, "too many": given - wanted}
            raise AnswerError(
                f"each of the {len(self.test)} test images is to be answered once in each of {len(draws)} "
                f"draws; {'; '.join(_counted(what, rows) for what, rows in told.items() if rows)}"
            )

    def _labelled(self, ratio: int, draw: int) -> Labelled:
        train, val = self.dataset.manifest.permitted(self.fold, ratio, draw, self.protocol.labels)
        return Labelled(
            classes=self.dataset.card.classes,
            ratio=ratio,
            draw=draw,
            train=self._examples(train),
            val=self._examples(val),
            unlabelled=self._unlabelled,
        )

    @cached_property
    def _unlabelled(self) -> Images:
        return self._images(self.fold.train).in_order_of_ids()

    @cached_property
    def _ids(self) -> np.ndarray:
        return np.array([opaque(image) for image in self.dataset.pack.ids])

    @cached_property
    def _order(self) -> np.ndarray:
        """Rows of the pack by opaque id: images are handed out with a number, which must tell nothing."""
        return np.argsort(self._ids)

    @cached_property
    def _place(self) -> np.ndarray:
        """The inverse of `_order`: where each row of the pack stands in it."""
        return np.argsort(self._order)

    @cached_property
    def _in_opaque_order(self) -> Pyramid:
        """The pyramid that images are handed out with."""
        return self.of_pack.of(self._order)

    def _images(self, rows: np.ndarray) -> Images:
        """Images by their rows of the pack."""
        return Images(
            tuple(self._ids[rows].tolist()),
            self.dataset.pack.native_size[rows],
            self._place[rows],
            self._in_opaque_order,
        )

    def _examples(self, rows: np.ndarray) -> Examples:
        return Examples(self._images(rows), self.dataset.label_indices[rows])


def _is_whole(number: object) -> bool:
    return isinstance(number, int | float) and float(number).is_integer()


def _counted(what: str, answers: Counter[tuple[str, int]]) -> str:
    named = first_few([f"image {image} in draw {draw}" for image, draw in sorted(answers)])
    return f"{answers.total()} {'answer is' if answers.total() == 1 else 'answers are'} {what}: {named}"


def opaque(image: str) -> str:
    """The id by which evaluations know an image; its own may hold its class."""
    return hashlib.sha256(image.encode()).hexdigest()[:16]


_LAST: dict[tuple[Pack, int, torch.device], Pyramid] = {}


def _pyramid(pack: Pack, size: int, device: torch.device) -> Pyramid:
    """The last one is kept, because the runs of a study mostly share it.

    The old one is dropped first, or the new one's budget would be half of what it leaves free.
    """
    key = (pack, size, device)
    if key not in _LAST:
        _LAST.clear()
        _LAST[key] = Pyramid(pack.pixels, size, device, budget(device), pack.content)
    return _LAST[key]


def budget(device: torch.device) -> float:
    """How many bytes the images may take on a device. That changes how long a run takes, and no bit of it."""
    if device.type != "cuda":
        return KEPT_ON_HOST
    free, _ = torch.cuda.mem_get_info(device)
    cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return KEPT_OF_FREE * (free + cached)

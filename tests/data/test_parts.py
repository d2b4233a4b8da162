import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from cervbench.data.batches import Feed, Images
from cervbench.data.dataset import Dataset, open_dataset
from cervbench.data.pack import Pack
from cervbench.data.parts import Parts, opaque
from cervbench.data.views import Normalise, Pyramid, named_policy
from cervbench.plugin.manager import plugins
from cervbench.plugin.problems import AnswerError
from cervbench.protocol.labels import uncovered
from cervbench.protocol.protocol import load

PROTOCOL = load("smoke")
PLAIN = Normalise((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))


@pytest.fixture(scope="module")
def dataset(shared_cache: Path) -> Dataset:
    return open_dataset(plugins().datasets.get("synthetic").offer, Path("nowhere"), shared_cache, PROTOCOL)


@pytest.fixture(scope="module")
def parts(dataset: Dataset) -> Parts:
    return Parts.of(dataset, 0, PROTOCOL, torch.device("cpu"))


def feed(images: Images, batch_size: int = 32) -> Feed:
    return Feed(images, (named_policy("simclr"), named_policy("simclr")), PLAIN, batch_size, ("test",))


def test_what_a_pretext_stage_is_handed_has_no_way_to_labels_or_groups(parts: Parts) -> None:
    assert set(vars(parts.train)) == {"ids", "native_size", "rows", "pyramid"}
    assert "labels" not in vars(parts.train.pyramid)


def test_labels_are_those_of_the_images(dataset: Dataset, parts: Parts) -> None:
    label_of = {opaque(i): label for i, label in zip(dataset.pack.ids, dataset.pack.labels, strict=True)}
    seen = parts.labelled(50)[2]
    for examples in (seen.train, seen.val):
        assert [seen.classes[c] for c in examples.labels] == [label_of[id] for id in examples.images.ids]


@pytest.mark.parametrize("ratio", [1, 10, 50])
def test_each_draw_uncovers_the_labels_of_its_own_order(dataset: Dataset, parts: Parts, ratio: int) -> None:
    manifest, fold = dataset.manifest, dataset.manifest.fold(0)
    draws = parts.labelled(ratio)
    assert len({frozenset(seen.train.images.ids) for seen in draws}) == len(draws) == 5
    for draw, seen in enumerate(draws):
        permitted = fold.val if ratio >= 10 else fold.val[:0]
        for examples, rows in ((seen.train, fold.train), (seen.val, permitted)):
            due = uncovered(manifest.labels, manifest.orders[:, draw], rows, ratio)
            assert set(examples.images.ids) == {opaque(manifest.images[row]) for row in due}
    assert [seen.draw for seen in parts.labelled(ratio, 2)] == [0, 1]


def test_what_is_handed_out_does_not_say_the_class(dataset: Dataset, parts: Parts) -> None:
    """Regression: ids often hold the class, and packs are sorted by id; so were images, or their rows."""
    assert not {*parts.test.ids} & {*dataset.pack.ids}
    handed = (parts.test, parts.labelled(10)[0].unlabelled, parts.everything)
    for images in handed:
        assert alike(parts.in_pack(images), np.arange(len(images))) < 0.2
        assert alike(parts.in_pack(images), images.rows) < 0.2
    assert alike(dataset.manifest.fold(0).train, parts.train.rows) < 0.2


def alike(one: np.ndarray, other: np.ndarray) -> float:
    """How far one order tells the other."""
    return abs(float(np.corrcoef(np.argsort(np.argsort(one)), np.argsort(np.argsort(other)))[0, 1]))


def test_images_are_the_same_wherever_their_rows_are(dataset: Dataset, parts: Parts) -> None:
    pack = dataset.pack
    for images in (parts.train, parts.test, parts.everything):
        of_pack = {opaque(image): row for row, image in enumerate(pack.ids)}
        rows = np.array([of_pack[image] for image in images.ids])
        stored = Pyramid(pack.pixels[rows], parts.protocol.image_size, content=pack.content[rows])
        here, there = torch.from_numpy(images.rows), torch.arange(len(rows))
        assert torch.equal(images.pyramid.level(0, here), stored.level(0, there))
        assert np.array_equal(images.pyramid.content(here), stored.content(there))
        assert (images.native_size == pack.native_size[rows]).all()


def test_a_pretext_stage_has_no_way_to_other_images(parts: Parts) -> None:
    """Regression: its views were handed all images of the dataset, test images too."""
    train = parts.train
    assert len(train.pyramid) == len(train) < len(parts.everything)
    with pytest.raises(IndexError):
        train.pyramid.level(0, torch.tensor([len(train)]))


def test_where_images_lie_changes_no_view(parts: Parts) -> None:
    among_all = parts.labelled(100)[0].unlabelled
    assert len(among_all.pyramid) == len(parts.everything)
    alone = among_all.isolated()
    assert torch.equal(feed(alone).batch(2).views[0], feed(among_all).batch(2).views[0])


def without_first(answers: dict[str, Any]) -> dict[str, Any]:
    return {name: values[1:] for name, values in answers.items()}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            without_first,
            "to be answered once in each of 2 draws; 1 answer is missing: image FIRST in draw 0$",
        ),
        (
            lambda a: a | {"draw": 1 - a["draw"] % 1},
            "answers are missing: image FIRST in draw 0; .*too many: ",
        ),
        (
            lambda a: a | {"draw": a["draw"] + 1},
            "answers are missing: image FIRST in draw 0; .*too many: image FIRST in draw 2",
        ),
        (lambda a: a | {"image": [a["image"][1], *a["image"][1:]]}, "1 answer is too many: .* in draw 0$"),
        (lambda a: a | {"image": ["unasked", *a["image"][1:]]}, "too many: image unasked in draw 0$"),
        (lambda a: {"image": a["image"]}, "the columns draw are missing"),
        (lambda a: a | {"p": a["draw"][:-1]}, "columns are of different lengths"),
        (lambda a: a | {"draw": a["draw"].astype(str)}, "column 'draw' holds '0', where the whole number"),
        (lambda a: a | {"draw": a["draw"] + 0.9}, "column 'draw' holds 0.9, where the whole number"),
        (lambda a: a | {"draw": a["draw"] * np.nan}, "column 'draw' holds nan, where the whole number"),
        (lambda a: a | {"p": np.zeros((len(a["draw"]), 2))}, r"column 'p' is of shape \(\d+, 2\)"),
        (lambda a: a | {"p": 0.5}, r"column 'p' is of shape \(\)"),
    ],
)
def test_answers_that_are_not_what_was_asked_are_refused_with_what_is_wrong(
    parts: Parts, change: Callable[[dict[str, Any]], dict[str, Any]], told: str
) -> None:
    """Regression: a draw of 0.9 passed for 0, text was a ValueError of int(), and no image was named."""
    ids = sorted(parts.test.ids)
    answers = {"image": np.tile(ids, 2), "draw": np.repeat([0, 1], len(ids))}
    assert len(parts.with_truth(answers, [0, 1])["label"]) == 2 * len(ids)
    with pytest.raises(AnswerError, match=told.replace("FIRST", ids[0])):
        parts.with_truth(change(answers), [0, 1])


class Rows:
    """A view that shows which image it is of."""

    def draw(self, rng: np.random.Generator, count: int) -> dict[str, np.ndarray]:
        return {"number": rng.random(count)}

    def apply(
        self, pixels: Pyramid, rows: Tensor, drawn: Mapping[str, np.ndarray], normalise: Normalise
    ) -> Tensor:
        return rows


class Drawn(Rows):
    """A view that shows what was drawn for it."""

    def apply(
        self, pixels: Pyramid, rows: Tensor, drawn: Mapping[str, np.ndarray], normalise: Normalise
    ) -> Tensor:
        return torch.from_numpy(drawn["number"])


def test_each_view_of_each_step_is_drawn_anew_and_for_its_own_purpose(parts: Parts) -> None:
    feeds = [Feed(parts.train, (Drawn(), Drawn()), PLAIN, 32, purpose) for purpose in (("one",), ("other",))]
    shown = [view for each in feeds for step in range(4) for view in each.batch(step).views]
    assert len({tuple(view.tolist()) for view in shown}) == 2 * 4 * 2


def test_the_labels_of_a_batch_are_those_of_its_images(parts: Parts) -> None:
    """Here a label is the place of its image among those of train."""
    labelled = Feed(parts.train, (Rows(),), PLAIN, 32, ("test",), labels=np.arange(len(parts.train)))
    for step in range(3):
        batch = labelled.batch(step)
        assert batch.labels is not None
        assert parts.train.rows[batch.labels.numpy()].tolist() == batch.views[0].tolist()


def test_an_epoch_shows_each_image_at_most_once_and_all_but_the_rest_of_a_batch(parts: Parts) -> None:
    one = Feed(parts.train, (Rows(),), PLAIN, 50, ("test",))
    shown = torch.cat([one.batch(step).views[0] for step in range(one.steps_per_epoch)])
    assert len(shown) == len(set(shown.tolist())) == one.steps_per_epoch * 50
    assert len(parts.train) - len(shown) < 50
    second = torch.cat(
        [one.batch(one.steps_per_epoch + step).views[0] for step in range(one.steps_per_epoch)]
    )
    assert shown.tolist() != second.tolist()


def test_a_few_images_more_or_less_do_not_change_the_length_of_a_stage(parts: Parts) -> None:
    """Regression: with 640 images to a fold, 6 fewer were a fifth of the steps fewer."""
    lengths = [feed(parts.train.subset(np.arange(n)), 128).steps(40) for n in (250, 256, 262)]
    assert lengths == [78, 80, 82]


def test_a_batch_is_a_function_of_its_step(parts: Parts) -> None:
    one, other = feed(parts.train), feed(parts.train)
    for step in range(5):
        one.batch(step)
    assert all(torch.equal(a, b) for a, b in zip(one.batch(5).views, other.batch(5).views, strict=True))


def test_a_set_smaller_than_a_batch_is_one_batch(parts: Parts) -> None:
    few = feed(parts.train.subset(np.arange(7)))
    assert few.steps_per_epoch == 1
    assert len(few.batch(3).views[0]) == 7


def answers(parts: Parts) -> dict[str, np.ndarray]:
    ids = parts.test.ids
    return {"image": np.array(ids), "draw": np.zeros(len(ids), int), "p_a": np.ones(len(ids))}


def test_truth_is_joined_by_image(dataset: Dataset, parts: Parts) -> None:
    mixed = np.random.default_rng(0).permutation(len(parts.test))
    table = parts.with_truth({name: column[mixed] for name, column in answers(parts).items()}, [0])
    for column, known in (("label", dataset.pack.labels), ("group", dataset.pack.groups)):
        of_image = dict(zip(dataset.pack.ids, known, strict=True))
        assert [of_image[image] for image in table["image"]] == table[column].tolist()
    assert len(set(table["group"])) < len(parts.test)
    assert {*table["image"]} == {dataset.pack.ids[row] for row in parts.in_pack(parts.test)}


def test_no_test_image_is_ever_labelled(parts: Parts) -> None:
    test = set(parts.test.ids)
    for seen in parts.labelled(100):
        assert not test & {*seen.train.images.ids, *seen.val.images.ids, *seen.unlabelled.ids}


def test_permuted_labels_show_a_pretext_stage_the_same_images(dataset: Dataset) -> None:
    """Folds are frozen data; with them kept, labels have no way into what is trained on."""
    mixed = np.random.default_rng(0).permutation(len(dataset.pack.labels))
    labels = tuple(dataset.pack.labels[n] for n in mixed)
    other = replace(dataset, pack=replace(dataset.pack, labels=labels))
    one, two = (Parts.of(d, 0, PROTOCOL, torch.device("cpu")).train for d in (dataset, other))
    assert one.ids == two.ids
    assert torch.equal(feed(one).batch(3).views[0], feed(two).batch(3).views[0])


def test_images_that_do_not_fit_into_the_memory_for_them_make_the_same_batches(
    dataset: Dataset, parts: Parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cervbench.data.parts.KEPT_ON_HOST", 1)
    copied = Pack.open(shutil.copytree(dataset.pack.folder, tmp_path / "copy"))
    streamed = Parts.of(replace(dataset, pack=copied), 0, PROTOCOL, torch.device("cpu"))
    for step in (0, 3):
        ours, theirs = (feed(whose.train).batch(step).views for whose in (streamed, parts))
        assert all(torch.equal(one, other) for one, other in zip(ours, theirs, strict=True))


def test_folds_in_turn_share_what_was_made_of_the_images(dataset: Dataset) -> None:
    one, other = (Parts.of(dataset, fold, PROTOCOL, torch.device("cpu")) for fold in (0, 1))
    assert one.of_pack is other.of_pack


def test_a_stage_knows_where_its_images_lie_in_their_squares(parts: Parts) -> None:
    alone = parts.train
    left, top, width, height = alone.pyramid.content(torch.from_numpy(alone.rows)).T
    assert np.allclose(np.maximum(width, height), 1)
    assert np.allclose(
        np.log(width / height), np.log(alone.native_size[:, 0] / alone.native_size[:, 1]), atol=0.02
    )
    assert np.allclose(2 * left + width, 1, atol=1 / PROTOCOL.pack.stored_size)
    assert np.allclose(2 * top + height, 1, atol=1 / PROTOCOL.pack.stored_size)


def test_what_vectors_are_standardised_by_is_all_of_train_and_nothing_else(
    dataset: Dataset, parts: Parts
) -> None:
    train = {opaque(dataset.manifest.images[row]) for row in dataset.manifest.fold(0).train}
    for ratio in (1, 50, 100):
        for seen in parts.labelled(ratio):
            assert set(seen.unlabelled.ids) == train

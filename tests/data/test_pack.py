import json
import os
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from queue import Queue

import numpy as np
import pytest
from PIL import Image

from cervbench.data import pack
from cervbench.data.cards.card import Card
from cervbench.data.cards.item import Item, read_file
from cervbench.data.cards.own import own_card
from cervbench.data.check import check
from cervbench.data.error import DataError
from cervbench.data.fitting import content_box, fit
from cervbench.data.pack import Pack, prepare
from cervbench.lock import locked


def folder_of_classes(root: Path, images: int = 4) -> Path:
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        (root / name).mkdir(parents=True)
        for n in range(images):
            pixels = rng.integers(0, 255, (30 + n, 40, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / name / f"{n}.png")
    return root


def pack_of(folder: Path, cache: Path, side: int = 32) -> Pack:
    return prepare(own_card(folder), folder.parent, cache, side)


def test_a_pack_holds_every_image_once_in_the_order_of_ids(tmp_path: Path) -> None:
    pack = pack_of(folder_of_classes(tmp_path / "own"), tmp_path / "cache")
    assert list(pack.ids) == sorted(pack.ids)
    assert len(pack.ids) == 8
    assert pack.pixels.shape == (8, 32, 32, 3)
    assert pack.native_size[0].tolist() == [40, 30]


def test_a_pack_is_built_once_and_anew_when_a_file_changes(tmp_path: Path) -> None:
    folder = folder_of_classes(tmp_path / "own")
    built: list[int] = []
    card = own_card(folder)
    first = prepare(card, tmp_path, tmp_path / "cache", 32, lambda doing, n, of, values: built.append(n))
    again = prepare(card, tmp_path, tmp_path / "cache", 32, lambda doing, n, of, values: built.append(n))
    assert len(built) == 8
    assert first.hash == again.hash
    Image.new("RGB", (40, 30), "red").save(folder / "a" / "0.png")
    changed = prepare(own_card(folder), tmp_path, tmp_path / "cache", 32)
    assert changed.hash != first.hash


def test_other_images_of_the_same_names_sizes_and_dates_are_another_pack(tmp_path: Path) -> None:
    """Regression: the pack of the first folder stood in for the second, whose run was `done already`."""
    packs = []
    for place, colour in (("raw", "red"), ("stained", "blue")):
        for name in ("a/0.bmp", "b/0.bmp"):
            path = tmp_path / place / "own" / name
            path.parent.mkdir(parents=True)
            Image.new("RGB", (8, 8), colour).save(path)
            os.utime(path, (0, 0))
        packs.append(pack_of(tmp_path / place / "own", tmp_path / "cache"))
    assert packs[0].hash != packs[1].hash
    assert (packs[1].pixels[0] == [0, 0, 255]).all()


def test_cards_of_one_name_that_read_otherwise_have_packs_of_their_own(tmp_path: Path) -> None:
    """Regression: a package's card with the name of a dataset could hand its pixels to that dataset's own."""
    honest = own_card(folder_of_classes(tmp_path / "own"))
    painted = replace(honest, read=_painted)
    hashes = [prepare(card, tmp_path, tmp_path / "cache", 32).hash for card in (painted, honest)]
    assert hashes[0] != hashes[1]


def _painted(item: Item) -> Image.Image:
    return Image.new("RGB", (9, 9), "red" if item.label == "a" else "blue")


def test_the_hash_follows_labels_too(tmp_path: Path) -> None:
    folder = folder_of_classes(tmp_path / "own")
    before = pack_of(folder, tmp_path / "cache")
    (folder / "a" / "3.png").rename(folder / "b" / "moved.png")
    assert pack_of(folder, tmp_path / "cache").hash != before.hash


def test_aspect_ratio_is_kept_and_the_padding_has_the_colour_of_the_border() -> None:
    image = Image.new("RGB", (80, 40), (200, 100, 50))
    image.paste((0, 0, 0), (35, 15, 45, 25))  # a square of 10 × 10
    square = fit(image, 40)
    dark = (square.sum(2) < 150).nonzero()
    assert np.ptp(dark[0]) == np.ptp(dark[1])
    assert (square[:10] == [200, 100, 50]).all()
    assert (square[30:] == [200, 100, 50]).all()


@pytest.mark.parametrize("size", [(40, 30), (31, 97), (500, 20), (64, 64), (7, 8)])
def test_content_is_where_the_image_lies_and_the_rest_has_one_colour(size: tuple[int, int]) -> None:
    width, height = size
    noise = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    square = fit(Image.fromarray(noise), 50)
    [[left, top, across, down]] = content_box(np.array([size]), 50)
    inside = np.zeros((50, 50), dtype=bool)
    inside[top : top + down, left : left + across] = True
    assert len(np.unique(square[~inside], axis=0)) <= 1
    for edge in (square[top], square[top + down - 1], square[:, left], square[:, left + across - 1]):
        assert len(np.unique(edge, axis=0)) > 1
    assert max(across, down) == 50


def test_a_pack_knows_where_its_images_lie(tmp_path: Path) -> None:
    pack = pack_of(
        folder_of_classes(tmp_path / "own"), tmp_path / "cache"
    )  # the first is 40 × 30, in 32 × 32
    assert pack.content[0].tolist() == [0, 4 / 32, 1, 24 / 32]


def test_small_images_are_enlarged_and_stay_centred() -> None:
    image = Image.new("RGB", (10, 10), "white")
    image.paste((0, 0, 0), (4, 4, 6, 6))
    rows, columns = (fit(image, 50).sum(2) < 200).nonzero()
    assert abs(rows.mean() - 24.5) < 0.6
    assert abs(columns.mean() - 24.5) < 0.6


def test_a_pack_brought_along_stands_in_for_absent_files(tmp_path: Path) -> None:
    folder = folder_of_classes(tmp_path / "own")
    card = own_card(folder)
    built = prepare(card, tmp_path, tmp_path / "cache", 32)
    shutil.rmtree(folder)
    assert prepare(card, tmp_path, tmp_path / "cache", 32).ids == built.ids
    with pytest.raises(DataError, match="CERVBENCH_DATA"):
        prepare(card, tmp_path, tmp_path / "cache", 16)


def test_a_pack_that_a_kill_left_half_built_is_no_pack(tmp_path: Path) -> None:
    """Regression: it could stand in for absent files, or for a second pack beside the whole one."""
    folder = folder_of_classes(tmp_path / "own")
    card = own_card(folder)
    built = prepare(card, tmp_path, tmp_path / "cache", 32)
    shutil.copytree(built.folder, built.folder.with_name(f".{built.folder.name}.killed"))
    files = folder.rename(tmp_path / "elsewhere")
    assert prepare(card, tmp_path, tmp_path / "cache", 32).folder == built.folder
    shutil.rmtree(built.folder)
    with pytest.raises(DataError, match="CERVBENCH_DATA"):
        prepare(card, tmp_path, tmp_path / "cache", 32)
    files.rename(folder)
    assert prepare(card, tmp_path, tmp_path / "cache", 32).hash == built.hash
    assert [path.name for path in built.folder.parent.iterdir() if path.is_dir()] == [built.folder.name]


def test_a_pack_that_another_process_built_meanwhile_is_not_built_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Regression: it was taken for a damaged one and discarded, while the other read it."""
    folder = folder_of_classes(tmp_path / "own")
    opened = pack._opened
    built: list[int] = []

    def late(path: Path) -> Pack | None:
        monkeypatch.setattr(pack, "_opened", opened)
        found = opened(path)
        built.append(pack_of(folder, tmp_path / "cache").pixels.path.stat().st_ino)
        return found

    monkeypatch.setattr(pack, "_opened", late)
    again = pack_of(folder, tmp_path / "cache")
    assert [again.pixels.path.stat().st_ino] == built
    assert caplog.text == ""


def test_who_waits_for_another_process_to_build_a_pack_is_told(tmp_path: Path) -> None:
    folder, told = folder_of_classes(tmp_path / "own"), Queue[str]()
    built = pack_of(folder, tmp_path / "cache").folder
    shutil.rmtree(built)
    with ThreadPoolExecutor() as others:
        with locked(built.with_suffix(".lock")):
            waiting = others.submit(
                prepare, own_card(folder), tmp_path, tmp_path / "cache", 32, lambda doing, *_: told.put(doing)
            )
            assert told.get(timeout=30) == "pack own: waiting for another process"
        assert waiting.result().folder == built


@pytest.mark.parametrize("column", ["images", "labels", "groups", "digests", "native_size"])
def test_a_pack_whose_index_was_changed_is_built_anew(tmp_path: Path, column: str) -> None:
    folder = folder_of_classes(tmp_path / "own")
    built = pack_of(folder, tmp_path / "cache")
    index = json.loads((built.folder / "index.json").read_text())
    index[column][0], index[column][-1] = index[column][-1], index[column][0]
    (built.folder / "index.json").write_text(json.dumps(index))
    again = pack_of(folder, tmp_path / "cache")
    assert (again.ids, again.labels, again.digests) == (built.ids, built.labels, built.digests)
    assert np.array_equal(again.native_size, built.native_size)  # it was covered by no hash, and scored


def test_a_flipped_bit_in_the_pixels_is_noticed_when_they_are_read(tmp_path: Path) -> None:
    folder = folder_of_classes(tmp_path / "own")
    pixels = pack_of(folder, tmp_path / "cache").pixels
    content = bytearray(pixels.path.read_bytes())
    content[pixels.start + 3 * 32 * 32 * 3] ^= 1
    pixels.path.write_bytes(content)
    again = pack_of(folder, tmp_path / "cache")
    assert again.pixels[2].shape == (32, 32, 3)
    with pytest.raises(DataError, match="image 3 of"):
        again.pixels[3]


def test_a_build_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    folder = folder_of_classes(tmp_path / "own")
    (folder / "a" / "broken.png").write_bytes(b"no image")
    with pytest.raises(DataError, match="broken"):
        pack_of(folder, tmp_path / "cache")
    assert not list((tmp_path / "cache").rglob("pixels.npy"))


def test_an_image_is_resized_by_bicubics_and_padded_with_the_median_of_its_border() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    noise[0] = 255  # a bright edge that would move a mean
    square = fit(Image.fromarray(noise), 30)
    small = np.asarray(Image.fromarray(noise).resize((30, 20), Image.Resampling.BICUBIC))
    np.testing.assert_array_equal(square[5:25], small)
    border = [small[0], small[-1], small[:, 0], small[:, -1]]
    assert square[0, 0].tolist() == np.median(np.concatenate(border), axis=0).astype(np.uint8).tolist()


def listing(folder: Path, **changed: object) -> Card:
    """A folder's own card; of its first image something is said otherwise."""
    card = own_card(folder)

    def items(below: Path) -> list[Item]:
        first, *others = sorted(card.items(below), key=lambda item: item.id)
        official = [replace(item, split="train") for item in others]
        return [replace(first, **{"split": "train", **changed}), *official]  # type: ignore[arg-type]

    return replace(card, items=items)


@pytest.mark.parametrize(
    ("changed", "column"),
    [
        ({"label": "b"}, "labels"),
        ({"group": "another"}, "groups"),
        ({"split": "test"}, "splits"),
        ({"box": (3, 4, 20, 20)}, "digests"),
    ],
    ids=lambda value: value if isinstance(value, str) else next(iter(value)),
)
def test_the_same_files_of_which_something_else_is_said_are_another_pack(
    changed: dict[str, object], column: str, tmp_path: Path
) -> None:
    folder = folder_of_classes(tmp_path / "own")
    cards = listing(folder), listing(folder, **changed)
    before, after = (prepare(card, tmp_path, tmp_path / "cache", 32) for card in cards)
    assert getattr(before, column)[0] != getattr(after, column)[0]
    assert getattr(before, column)[1:] == getattr(after, column)[1:]
    assert before.hash != after.hash


def test_a_card_of_another_revision_is_packed_anew(tmp_path: Path) -> None:
    folder = folder_of_classes(tmp_path / "own")
    card = own_card(folder)
    revised = replace(card, revision=2, read=lambda item: Image.new("RGB", (9, 9), "red"))
    before, after = (prepare(one, tmp_path, tmp_path / "cache", 32) for one in (card, revised))
    assert before.hash != after.hash
    assert (np.asarray(after.pixels[0]) == [255, 0, 0]).all()


def _of_another_mode(item: Item) -> Image.Image:
    return read_file(item).convert("L" if item.id.endswith("2") else "RGB")


def _fails(item: Item) -> Image.Image:
    raise KeyError(item.id)


def _opens_alone(item: Item) -> Image.Image:
    return Image.open(item.path)


@pytest.mark.parametrize(
    ("read", "told"),
    [
        (_of_another_mode, "gives an image of mode L, where a PIL image of mode RGB is due"),
        (_fails, r"`read` of its card failed: KeyError.* \(at .*test_pack\.py:\d+\)"),
        (lambda item: np.asarray(read_file(item)), r"gives a ndarray of shape \(\d+, 40, 3\)"),
        (_opens_alone, "`read` of its card failed: OSError: image file is truncated"),
        (lambda item: Image.new("RGB", (0, 0)), "`read` of its card gives an image of 0 × 0 pixels"),
    ],
)
def test_what_a_cards_read_gives_is_looked_at_before_it_is_stored(
    tmp_path: Path, read: Callable[[Item], Image.Image], told: str
) -> None:
    folder = folder_of_classes(tmp_path / "own")
    whole = (folder / "a" / "2.png").read_bytes()
    if read is _opens_alone:
        (folder / "a" / "2.png").write_bytes(whole[: len(whole) // 2])
    card = replace(own_card(folder), read=read)
    with pytest.raises(DataError, match=told):
        prepare(card, tmp_path, tmp_path / "cache", 32)
    assert {finding.kind for finding in check(card, tmp_path).findings} >= {"unreadable"}


def test_a_read_that_was_changed_without_a_revision_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Regression: runs had the old pixels, while `data check` looked at the new ones and found them sound."""

    def read(item: Item) -> Image.Image:
        return Image.new("RGB", (9, 9), colours[-1])

    colours = ["red"]
    card = replace(own_card(folder_of_classes(tmp_path / "own")), read=read)
    for _ in range(2):
        prepare(card, tmp_path, tmp_path / "cache", 32)
    assert caplog.text == ""
    colours.append("blue")
    kept = prepare(card, tmp_path, tmp_path / "cache", 32)
    assert "`read` of its card gives other pixels of image a/0 than the pack that is kept" in caplog.text
    assert "raise the card's `revision`" in caplog.text
    assert (kept.pixels[0] == [255, 0, 0]).all()
    caplog.clear()
    assert (
        prepare(replace(card, revision=2), tmp_path, tmp_path / "cache", 32).pixels[0] == [0, 0, 255]
    ).all()
    assert caplog.text == ""

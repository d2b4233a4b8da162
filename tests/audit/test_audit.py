import errno
import re
from dataclasses import replace
from html import unescape
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from markdown_it import MarkdownIt
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold

from cervbench.audit import audit
from cervbench.audit.audit import controls_of, groupings_of
from cervbench.audit.findings import CONTROL, OWN, RANDOM, Audit, NamedPair, control_of
from cervbench.audit.ladder import Rung, _cross_validated, climb, shuffled_within_class
from cervbench.audit.page import page
from cervbench.audit.pairs import closest_pairs, draw_sheet
from cervbench.data.dataset import Dataset, open_dataset
from cervbench.plugin.manager import plugins
from cervbench.protocol.protocol import load

GROUP = np.repeat(np.arange(40), 8)
LABEL = np.array([f"class {n % 3}" for n in GROUP])


def features(of_group: float) -> np.ndarray:
    """What is seen of an image: something of its class, and so much of its group."""
    rng = np.random.default_rng(0)
    of_class = {name: rng.normal(size=30) for name in sorted(set(LABEL))}
    own = rng.normal(size=(40, 30))[GROUP]
    return np.stack([of_class[name] for name in LABEL]) + of_group * own + 3 * rng.normal(size=(320, 30))


def ladder(of_group: float) -> dict[str, float]:
    groups = [str(g) for g in GROUP]
    groupings = {"images": [str(n) for n in range(320)], "groups": groups}
    rungs = climb(features(of_group), LABEL, groupings, controls={"control": groups})
    return {rung.together: rung.balanced_accuracy for rung in rungs}


def test_what_a_group_shares_is_seen_as_leakage_and_the_control_does_not_lose_it() -> None:
    found = ladder(of_group=4.0)
    assert found["images"] - found["groups"] > 0.1
    assert abs(found["images"] - found["control"]) < 0.06


def test_groups_that_share_nothing_leak_nothing() -> None:
    found = ladder(of_group=0.0)
    assert abs(found["images"] - found["groups"]) < 0.06


@pytest.mark.filterwarnings("error")
def test_what_is_the_same_in_all_images_says_nothing_and_warns_of_nothing() -> None:
    """Regression: images of one size flooded the terminal."""
    [rung] = climb(np.ones((320, 5)), LABEL, {"images": [str(n) for n in range(320)]})
    assert rung.balanced_accuracy == pytest.approx(1 / 3, abs=0.02)


def test_ways_to_group_that_a_card_knows_are_climbed_though_its_own_groups_are_not_known() -> None:
    """Regression: an audit of such a card had random images alone, whatever its `groupings` said."""
    card = replace(
        plugins().datasets.get("synthetic").offer,
        groupings={"slides": lambda ids: [id[0] for id in ids], "visits": lambda ids: [id[:2] for id in ids]},
    )
    ids, own = ["aa1", "ab2", "ba3", "ab4"], ["1", "1", "2", "2"]
    known = groupings_of(card, ids, own)
    assert list(known) == [RANDOM, "visits", OWN, "slides"]
    assert controls_of(card, known) == {CONTROL: own, control_of("slides"): ["a", "a", "b", "a"]}
    without = replace(card, groups_known=False)
    unknown = groupings_of(without, ids, ids)
    assert unknown == {RANDOM: ids, "visits": ["aa", "ab", "ba", "ab"], "slides": ["a", "a", "b", "a"]}
    assert controls_of(without, unknown) == {}


def test_the_control_has_groups_of_the_same_sizes_and_classes() -> None:
    groups = [str(g) for g in GROUP]
    mixed, other = (shuffled_within_class(LABEL, groups, seed).tolist() for seed in (0, 1))
    assert groups != mixed != other
    assert sorted(zip(LABEL, mixed, strict=True)) == sorted(zip(LABEL, groups, strict=True))


def test_a_control_is_shuffled_anew_with_every_seed() -> None:
    """Regression: one shuffle served all seeds, so its spread was that of folds alone."""
    groups = (np.arange(320) % 5).astype(str)  # a fold each, so that a seed deals no other folds
    [same, control] = climb(features(2.0), LABEL, {"own": groups}, controls={"control": groups})
    assert control.groups == same.groups == 5
    assert (same.spread, control.spread > 0) == (0, True)


@pytest.fixture(scope="module")
def dataset(shared_cache: Path) -> Dataset:
    return open_dataset(
        plugins().datasets.get("synthetic").offer, Path("nowhere"), shared_cache, load("smoke")
    )


def with_twin(dataset: Dataset, twin_bin: int) -> tuple[Dataset, int, int]:
    """Image 0 again, turned, mirrored, darker and of another stain, as the image of another group."""
    manifest = dataset.manifest
    other = int(np.flatnonzero(manifest.bins == twin_bin)[-1])
    pixels = np.array(dataset.pack.pixels)
    turned = np.rot90(pixels[0], 1)[:, ::-1].astype(float)
    noise = np.random.default_rng(0).normal(0, 6, turned.shape)
    pixels[other] = np.clip(0.8 * turned + [5, 25, 10] + noise, 0, 255)
    pack = replace(dataset.pack)
    pack.__dict__["pixels"] = pixels
    return replace(dataset, pack=pack), 0, other


def test_a_twin_across_folds_is_found_turned_mirrored_and_of_another_stain(dataset: Dataset) -> None:
    twin_bin = (int(dataset.manifest.bins[0]) + 3) % 10
    twinned, one, other = with_twin(dataset, twin_bin)
    first = closest_pairs(twinned, 5)[0]
    assert {first.one, first.other} == {one, other}
    assert first.correlation > 0.95


def test_pairs_of_one_group_or_one_bin_are_no_finding(dataset: Dataset) -> None:
    bins, groups = dataset.manifest.bins, dataset.pack.groups
    for pair in closest_pairs(dataset, 50):
        assert groups[pair.one] != groups[pair.other]
        assert bins[pair.one] != bins[pair.other]


def test_where_there_are_fewer_pairs_than_are_asked_for_there_are_no_others(dataset: Dataset) -> None:
    """Regression: the list was filled up with an image beside itself, and with pairs of one group."""
    bins, groups = dataset.manifest.bins, np.array(dataset.pack.groups)
    parted = (groups[:, None] != groups) & (bins[:, None] != bins)
    pairs = closest_pairs(dataset, len(groups) ** 2)
    assert len({frozenset((pair.one, pair.other)) for pair in pairs}) == len(pairs) == parted.sum() // 2


def test_the_sheet_shows_the_pairs(dataset: Dataset, tmp_path: Path) -> None:
    """Three pairs a row, two tiles of 160 px each: the image most like a tile is that of the pair."""
    pairs = closest_pairs(dataset, 4)
    draw_sheet(dataset, pairs, tmp_path / "sheet.png")
    sheet = np.asarray(Image.open(tmp_path / "sheet.png")).astype(float)
    coarse = np.asarray(dataset.pack.pixels[:]).reshape(-1, 16, 14, 16, 14, 3).mean((2, 4))
    for n, pair in enumerate(pairs):
        top, left = n // 3 * 206, n % 3 * 340
        for shift, row in ((0, pair.one), (160, pair.other)):
            tile = sheet[top : top + 160, left + shift : left + shift + 160].reshape(16, 10, 16, 10, 3)
            assert np.abs(coarse - tile.mean((1, 3))).mean((1, 2, 3)).argmin() == row


def test_a_sheet_that_cannot_be_written_whole_is_not_written(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def half(image: Image.Image, path: Path, **options: object) -> None:
        path.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(Image.Image, "save", half)
    with pytest.raises(OSError, match=r"sheet\.png"):
        draw_sheet(dataset, closest_pairs(dataset, 3), tmp_path / "sheet.png")
    assert list(tmp_path.iterdir()) == []


def test_the_files_of_an_audit_are_called_as_the_pages_of_its_variant_are(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Regression: `cric@3f2a` and a dataset called `cric-3f2a` had one file."""
    partial = replace(dataset)
    partial.__dict__["variant"] = "cric@3f2a"
    found = Audit("cric@3f2a", 90, 90, {"a": 4}, "session", [], [], 0, [])
    module = import_module("cervbench.audit.audit")
    monkeypatch.setattr(module, "_examine", lambda dataset: (found, closest_pairs(dataset, 3)))
    _, paths = audit(partial, tmp_path)
    assert [path.name for path in paths] == ["cric@3f2a.md", "cric@3f2a.json", "cric@3f2a-pairs.png"]
    assert sorted(tmp_path.iterdir()) == sorted(paths)


def test_the_page_takes_what_the_control_loses_off_the_leakage() -> None:
    rungs = [
        Rung("nothing (random images)", 90, 0.6, 0.60, 0.01),
        Rung("finer", 20, 0.6, 0.57, 0.01),
        Rung("the card's group", 9, 0.5, 0.50, 0.01),
        Rung("wider", 6, 0.5, 0.54, 0.01),
        Rung("control: the card's group, images shuffled within class", 9, 0.6, 0.58, 0.01),
        Rung("control: wider, images shuffled within class", 6, 0.6, 0.575, 0.01),
    ]
    pairs = [NamedPair("i", "j", "a / a", 0.9)]
    text = page(Audit("made", 90, 90, {"a": 4}, "session", rungs, [], 0, pairs))
    assert "10.0 points" in text
    assert "account for 2.0 of them: the rest, 8.0 points" in text
    assert "by the rungs beside it, the whole is 3.0 to 6.0 points" in text
    assert "The same difference to its own control, for wider groups: wider, 3.5." in text


def test_points_bear_a_true_minus_sign_and_zero_bears_none() -> None:
    """Regression: on one page stood 5.1 and -0.0 beside −0.3."""
    rungs = [
        Rung("nothing (random images)", 90, 0.6, 0.60, 0.01),
        Rung("finer", 20, 0.6, 0.60004, 0.01),
        Rung("the card's group", 9, 0.5, 0.5965, 0.01),
        Rung("wider", 6, 0.5, 0.6172, 0.01),
        Rung("control: the card's group, images shuffled within class", 9, 0.6, 0.603, 0.01),
    ]
    text = page(Audit("made", 90, 90, {"a": 4}, "session", rungs, [], 0, []))
    assert "account for −0.3 of them" in text
    assert "by the rungs beside it, the whole is −1.7 to 0.0 points" in text


TABLE = {"table", "thead", "tbody", "tr", "th", "td"}


def test_names_from_a_users_manifest_are_text_and_nothing_else() -> None:
    hostile, number = "<b>a|`b`_c_ [d](http://x.y)", "1e5"
    rungs = [Rung(hostile, 90, 0.6, 0.60, 0.01), Rung("the card's group", 9, 0.5, 0.50, 0.01)]
    pairs = [NamedPair(hostile, number, f"{hostile} / {number}", 0.9)]
    text = page(Audit(hostile, 90, 90, {hostile: 4, number: 5}, hostile, rungs, [], 0, pairs))
    html = MarkdownIt("commonmark").enable("table").render(text)
    assert set(re.findall(r"<(\w+)", html)) == {"h1", "h2", "p", "strong"} | TABLE
    shown = unescape(re.sub(' style="text-align:(left|right)"', "", html))
    assert shown.count(hostile) == 6
    for row in ([hostile, number, f"{hostile} / {number}", "0.9000"], [hostile, "4"], [number, "5"]):
        assert "<tr>\n" + "".join(f"<td>{cell}</td>\n" for cell in row) + "</tr>" in shown
    assert "<strong>the card's group</strong>" in shown


def test_a_rung_is_the_mean_over_seeds_and_its_spread_that_of_balanced_accuracy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    labels = np.array(list("aabbbb"))
    guesses = [np.array(list(text)) for text in ("aabbbb", "bbbbbb", "aabbba", "aabbaa")]
    monkeypatch.setattr("cervbench.audit.ladder._cross_validated", lambda *asked: guesses[asked[-1]])
    [rung] = climb(np.zeros((6, 2)), labels, {"images": list("012345")})
    assert (rung.accuracy, rung.balanced_accuracy) == pytest.approx((5 / 6 - 1 / 24, 0.78125))
    assert rung.spread == pytest.approx(np.std([1, 0.5, 0.875, 0.75], ddof=1))
    assert rung.abnormal_accuracy is None


def test_the_last_column_has_the_same_predictions_in_two_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Taken for another of the abnormal classes, an image is right."""
    labels, guessed = np.array(list("nnabca")), np.array(list("nabcnb"))
    monkeypatch.setattr("cervbench.audit.ladder._cross_validated", lambda *_: guessed)
    groupings = {"nothing (random images)": list("012345")}
    [rung] = climb(np.zeros((6, 2)), labels, groupings, abnormal=frozenset("abc"))
    assert rung.abnormal_accuracy == pytest.approx(4 / 6)
    text = page(Audit("made", 6, 6, {}, "session", [rung], [rung], 0, [], abnormal=4 / 6))
    assert "66.7 % of the images are abnormal" in text
    assert "| accuracy in two, % |" in text
    unknown = [replace(rung, abnormal_accuracy=None)]
    assert "in two" not in page(Audit("made", 6, 6, {}, "session", unknown, [], 0, []))


def test_a_guess_is_of_logistic_regression_on_100_components_of_what_was_trained_on() -> None:
    """Against a decomposition of its own and scikit-learn, on noise in which the penalty shows."""
    rng, groups = np.random.default_rng(0), np.repeat(np.arange(60), 10)
    labels = (groups % 3).astype(str)
    x = rng.normal(size=(600, 150)) + 0.1 * rng.normal(size=(3, 150))[groups % 3]
    x = x * np.geomspace(1, 50, 150) + 9  # unscaled, the widest would decide
    guesses = []
    for seed in (0, 1):
        expected = np.empty_like(labels)
        for train, test in StratifiedGroupKFold(5, shuffle=True, random_state=seed).split(x, labels, groups):
            scaled = (x - x[train].mean(axis=0)) / x[train].std(axis=0)
            axes = np.linalg.svd(scaled[train], full_matrices=False)[2][:100].T
            model = LogisticRegression(C=0.1, max_iter=5000, tol=1e-8)
            expected[test] = model.fit(scaled[train] @ axes, labels[train]).predict(scaled[test] @ axes)
        guesses.append(_cross_validated(x, labels, groups, seed))
        assert (guesses[-1] != expected).mean() < 0.01
    assert (guesses[0] != guesses[1]).any()


def test_what_an_audit_counts_is_counted_by_hand(shared_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module, told = import_module("cervbench.audit.audit"), list[np.ndarray]()
    asked = plugins().datasets.get("synthetic").offer, Path("nowhere"), shared_cache, load("smoke")
    dataset = open_dataset(*asked)
    pack, card = dataset.pack, dataset.card

    def climbed(features: np.ndarray, *others: object) -> list[str]:
        told.append(features)
        return ["rung"]

    correlations = [0.97] * 20 + [0.95] + [0.94] * 5
    pairs = [SimpleNamespace(one=0, other=1, correlation=value) for value in correlations]
    monkeypatch.setattr(module, "imagenet_features", lambda dataset, rows: np.zeros((len(rows), 2)))
    monkeypatch.setattr(module, "climb", climbed)
    monkeypatch.setattr(module, "closest_pairs", lambda dataset, count: pairs)
    found, _ = module._examine(dataset)
    assert (found.alike, len(found.pairs)) == (21, 12)
    abnormal = sum(label in card.abnormal for label in pack.labels)
    assert found.abnormal == pytest.approx(abnormal / len(pack.labels))
    of_class = {
        name: {group for group, label in zip(pack.groups, pack.labels, strict=True) if label == name}
        for name in card.classes
    }
    assert found.classes == {name: len(groups) for name, groups in of_class.items()}
    width, height = np.log(pack.native_size.astype(float)).T
    crops = np.column_stack([width, height, width * width, height * height, width * height])
    np.testing.assert_allclose(told[1], crops)


def test_features_of_an_audit_are_those_of_imagenet_at_224_px(monkeypatch: pytest.MonkeyPatch) -> None:
    """And not of random weights, or of what the encoders of the benchmark see."""
    module, asked = import_module("cervbench.audit.audit"), list[object]()

    def build(backbone: str, offer: object, init: str, size: int, purpose: object) -> object:
        asked.extend((backbone, init, size))
        raise InterruptedError

    monkeypatch.setattr(module, "build_encoder", build)
    nothing: Any = None
    with pytest.raises(InterruptedError):
        module.imagenet_features(nothing, np.arange(3))
    assert asked == ["tf_efficientnet_lite0", "imagenet", 224]

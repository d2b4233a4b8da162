from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from cervbench_jigsaw import Config
from cervbench_jigsaw.method import Jigsaw, laid
from cervbench_jigsaw.puzzle import SHARE, Puzzle, corners, cut, orders, puzzle_policy, standardised
from PIL import Image, ImageOps
from sklearn.linear_model import RidgeClassifier
from sklearn.model_selection import GroupKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from cervbench.plugin import (
    Card,
    Elastic,
    Encoder,
    Flip,
    Normalise,
    Policy,
    Pyramid,
    Rotation,
    SettingsError,
    named_policy,
)
from cervbench.plugin.checks import small_encoder
from cervbench.plugin.manager import plugins

UNIT = Normalise((0.0,) * 3, (1.0,) * 3)
STORED = 224
WHOLE = np.array([[0.0, 0.0, 1.0, 1.0]])
CHANCE = 1 / 9
POLICIES = ["simclr", "A", "B", "C", "D", "E"]
UPRIGHT = Policy(())
STRETCHED = Policy((Rotation(), Elastic(p=1)))


def stored(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """In a square that the image does not fill, and where in the square it is, as shares of the side."""
    inside = ImageOps.contain(Image.fromarray(image), (STORED, STORED))
    left, top = (STORED - inside.width) // 2, (STORED - inside.height) // 2
    square = Image.new("RGB", (STORED, STORED), tuple(np.median(image, (0, 1)).astype(int).tolist()))
    square.paste(inside, (left, top))
    return np.asarray(square), np.array([left, top, inside.width, inside.height]) / STORED


def pieces(images: np.ndarray, where: np.ndarray, policy: Policy = UPRIGHT) -> Tensor:
    puzzle = Puzzle(policy, patch=48)
    drawn = puzzle.draw(np.random.default_rng(0), len(images))
    return puzzle.apply(Pyramid(images, 64, content=where), torch.arange(len(images)), drawn, UNIT)


@pytest.mark.parametrize(("patch", "cell"), [(153, 170), (48, 54), (64, 72), (224, 249)])
def test_a_piece_lies_anywhere_within_its_cell_each_place_as_often(patch: int, cell: int) -> None:
    """153 of 170 as in the source, and never more than that share."""
    assert Puzzle(UPRIGHT, patch).cell == cell
    assert patch <= cell * SHARE + 1e-9
    left, top = corners(np.random.default_rng(0).random((3000, 9, 2)), patch, cell).transpose(2, 0, 1)
    column, row = np.tile(np.arange(3), 3), np.repeat(np.arange(3), 3)
    for start, place in ((left, column), (top, row)):
        gaps = start - place * cell
        found, often = np.unique(gaps, return_counts=True)
        assert found.tolist() == list(range(cell - patch + 1))
        assert often.std() < 3 * np.sqrt(often.mean())
    assert corners(np.ones((1, 9, 2)), patch, cell).max() == 3 * cell - patch


def test_each_piece_has_a_place_of_its_own_in_its_cell() -> None:
    """One for all nine, or none drawn, would leave gaps that are known, and edges that could be matched."""
    within = Puzzle(UPRIGHT, patch=48).draw(np.random.default_rng(0), 4000)["within"]
    assert within.shape == (4000, 9, 2)
    flat = within.reshape(4000, 18)
    assert np.abs(flat.mean(0) - 0.5).max() < 4 * flat.std() / np.sqrt(4000)
    assert np.abs(np.corrcoef(flat.T) - np.eye(18)).max() < 5 / np.sqrt(4000)


def test_what_is_cut_is_the_square_below_and_right_of_its_corner() -> None:
    images = torch.randn(3, 3, 20, 20)
    where = np.random.default_rng(0).integers(0, 13, (3, 9, 2))
    shown = cut(images, where, 8)
    for n in range(3):
        for k in range(9):
            left, top = where[n, k]
            assert torch.equal(shown[n, k], images[n, :, top : top + 8, left : left + 8])


@pytest.mark.parametrize("policy", [UPRIGHT, puzzle_policy("turns"), named_policy("A"), STRETCHED], ids=str)
@pytest.mark.parametrize("shape", [(200, 200), (60, 200), (200, 35), (97, 131)])
def test_no_piece_shows_padding(shape: tuple[int, int], policy: Policy) -> None:
    """Green and blue are noise, red is 255 in the padding and nowhere else: a piece has no red to show."""
    height, width = shape
    noise = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    fitted, where = stored(noise)
    square = fitted.copy()
    square[..., 0] = 255
    left, top, across, down = (where * STORED).round().astype(int)
    square[top : top + down, left : left + across, 0] = 0
    shown = pieces(square[None].repeat(40, 0), where[None].repeat(40, 0), policy)
    assert (shown[:, :, 0] == 0).all()
    assert (shown[:, :, 1:].std((3, 4)) > 0.9).all()


@pytest.mark.parametrize("turned", [False, True])
def test_pieces_come_row_by_row_as_they_lie_in_the_image_that_was_turned(turned: bool) -> None:
    """Only the cell in the middle of the top row has anything in it."""
    image = np.zeros((STORED, STORED, 3), np.uint8)
    image[20:60, 95:130] = np.random.default_rng(0).integers(0, 256, (40, 35, 3))
    puzzle = Puzzle(puzzle_policy("turns") if turned else UPRIGHT, patch=48)
    drawn = puzzle.draw(np.random.default_rng(1), 60)
    pixels = Pyramid(image[None].repeat(60, 0), 64)
    shown = puzzle.apply(pixels, torch.arange(60), drawn, UNIT).std((2, 3, 4)) > 0.1
    grid = np.array([[0, 1, 0], [0, 0, 0], [0, 0, 0]], dtype=bool)
    for n in range(60):
        seen = grid
        if turned:
            across, down = drawn["0_flip"][n]
            seen = seen[:: int(down), :: int(across)]
            seen = np.rot90(seen, round(float(drawn["1_rotation"][n, 0]) / 90))
        assert shown[n].reshape(3, 3).tolist() == seen.tolist()


def test_each_channel_of_a_piece_has_mean_0_and_spread_1_and_a_constant_one_is_0() -> None:
    shown = pieces(
        np.random.default_rng(0).integers(0, 256, (4, 64, 64, 3), dtype=np.uint8), WHOLE.repeat(4, 0)
    )
    torch.testing.assert_close(shown.mean((3, 4)), torch.zeros(4, 9, 3), rtol=0, atol=1e-5)
    torch.testing.assert_close(shown.std((3, 4), correction=0), torch.ones(4, 9, 3), rtol=0, atol=1e-5)
    assert standardised(torch.full((1, 9, 3, 8, 8), 77.0)).abs().max() < 1e-4


def told_apart(shown: Tensor) -> dict[str, float]:
    """How often a linear classifier names the place of a piece, in images that it was not fitted to."""
    flat = shown.flatten(0, 1)
    sides = (flat[:, :, 0], flat[:, :, -1], flat[:, :, :, 0], flat[:, :, :, -1])
    known = {
        "mean and spread": torch.cat([flat.mean((2, 3)), flat.std((2, 3))], 1),
        "border pixels": torch.cat(sides, 2).flatten(1),
        "mean and spread of borders": torch.cat([f(s, 2) for s in sides for f in (torch.mean, torch.std)], 1),
    }
    place, image = np.tile(np.arange(9), len(shown)), np.repeat(np.arange(len(shown)), 9)
    linear = make_pipeline(StandardScaler(), RidgeClassifier(1000.0))
    return {
        name: cross_val_score(linear, x.numpy(), place, cv=GroupKFold(5), groups=image).mean()
        for name, x in known.items()
    }


def rolled(card: Card, folder: Path, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Images rolled around by any distance both ways, so that what they show says nothing of places."""
    rng = np.random.default_rng(0)
    items = card.items(folder)
    images = (np.asarray(card.read(items[chosen])) for chosen in rng.permutation(len(items))[:count])
    moved = (np.roll(image, rng.integers(image.shape[:2]), (0, 1)) for image in images)
    squares, where = zip(*map(stored, moved), strict=True)
    return np.stack(squares), np.stack(where)


@pytest.mark.parametrize("name", ["synthetic", "herlev"])
def test_what_is_cut_out_does_not_give_its_place_away(
    name: str, real: Callable[[str], Path], tmp_path: Path
) -> None:
    """On rolled images: where a cell lies in its image is what the puzzle is about, and no leak.

    With padding in the pieces the same classifier finds places, so it would see such a leak.
    """
    card = plugins().datasets.get(name).offer
    images, where = rolled(card, tmp_path if card.synthetic else real(name), 250)
    four_sigma = 4 * np.sqrt(CHANCE * (1 - CHANCE) / (9 * len(images)))
    for kind, share in told_apart(pieces(images, where)).items():
        assert share < CHANCE + four_sigma, kind
    padded = told_apart(pieces(images, WHOLE.repeat(len(images), 0)))
    assert padded["mean and spread of borders"] > CHANCE + 2 * four_sigma


@pytest.mark.parametrize("distant", [False, True])
def test_orders_are_permutations_no_two_the_same_and_the_same_ones_always(distant: bool) -> None:
    found = orders(300, distant)
    assert (found.sort(dim=1).values == torch.arange(9)).all()
    assert len({tuple(order) for order in found.tolist()}) == 300
    assert torch.equal(found, orders(300, distant))


def test_distant_orders_are_further_from_the_nearest_other_than_random_ones() -> None:
    def nearest(found: Tensor) -> float:
        apart = (found[:, None] != found).sum(2).float()
        return float(apart.fill_diagonal_(9).min(1).values.mean())

    assert nearest(orders(100, True)) > nearest(orders(100, False)) + 1


def test_order_i_says_which_piece_lies_in_place_i() -> None:
    said = torch.arange(18.0).reshape(1, 9, 2)
    order = torch.tensor([[8, 1, 2, 3, 4, 5, 6, 7, 0]])
    assert laid(said, order)[0, :, 0].tolist() == [16, 2, 4, 6, 8, 10, 12, 14, 0]


def method(encoder: Encoder) -> Jigsaw:
    return Jigsaw(Config.parse({"permutations": 7, "embedding": 5, "hidden": 6}, "jigsaw"), encoder)


def test_the_loss_is_the_cross_entropy_of_pieces_that_were_shuffled_one_by_one() -> None:
    """Not while it trains: statistics of a batch depend, in the last bits, on the order of its images."""
    jigsaw = method(small_encoder()).eval().requires_grad_(False)
    assert jigsaw.encoder is not None
    shown = torch.randn(3, 9, 3, 48, 48)
    torch.manual_seed(5)
    loss, parts = jigsaw.loss([shown])
    torch.manual_seed(5)
    drawn = torch.randint(7, (3,))
    total, right = 0.0, 0
    for image, number in zip(shown, drawn.tolist(), strict=True):
        puzzle = torch.stack([image[int(piece)] for piece in jigsaw.orders[number]])
        answer = jigsaw.arrange(jigsaw.embed(jigsaw.encoder(puzzle)).reshape(1, -1))[0].double()
        total += float(answer.exp().sum().log() - answer[number])
        right += int(answer.argmax()) == number
    assert loss.item() == pytest.approx(total / 3, abs=1e-5)
    assert parts["accuracy"].item() == pytest.approx(right / 3)


def test_a_vit_is_given_pieces_of_the_size_that_it_takes() -> None:
    turns = Policy((Flip(), Rotation(step=90)))
    assert method(small_encoder("ViT", 32)).views() == (Puzzle(turns, patch=32),)
    assert method(small_encoder("CNN", 32)).views() == (Puzzle(turns, patch=48),)


def test_a_size_of_pieces_that_a_vit_does_not_take_is_refused() -> None:
    """Regression: it was taken for a setting of the run, and had no effect."""
    with pytest.raises(SettingsError, match="leave out patch, and it is 32"):
        Jigsaw(Config.parse({"patch": 64}, "jigsaw"), small_encoder("ViT", 32))


@pytest.mark.parametrize("chosen", ["random", "distant"])
def test_its_orders_are_chosen_as_it_is_told(chosen: str) -> None:
    jigsaw = Jigsaw(Config.parse({"permutations": 20, "chosen": chosen}, "jigsaw"), small_encoder())
    assert torch.equal(jigsaw.orders, orders(20, distant=chosen == "distant"))


@pytest.mark.parametrize("name", POLICIES)
def test_the_view_that_is_cut_up_is_of_any_named_policy(name: str) -> None:
    jigsaw = Jigsaw(Config.parse({"policy": name}, "jigsaw"), small_encoder())
    assert jigsaw.views() == (Puzzle(named_policy(name), patch=48),)


def test_a_faint_texture_is_brought_to_spread_1_too() -> None:
    faint = 77 + torch.randn(1, 9, 3, 24, 24)
    assert standardised(faint).std((3, 4), correction=0).min() > 0.99


def test_orders_are_those_that_records_were_made_with() -> None:
    """Other orders are another puzzle: they would ask for another revision."""
    assert orders(1, False).tolist() == [[8, 0, 2, 6, 1, 4, 3, 5, 7]]

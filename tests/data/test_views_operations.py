"""Each operation against torchvision given the same parameters, or against a formula worked by hand."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
import torchvision.transforms.v2.functional as tv
from scipy.stats import kstest
from torch import Tensor
from torchvision.transforms import InterpolationMode

from cervbench.data.views import (
    Blur,
    Brightness,
    Contrast,
    Crop,
    Elastic,
    Equalise,
    Flip,
    Gamma,
    Greyscale,
    Hue,
    Normalise,
    Operation,
    Policy,
    Pyramid,
    Rotation,
    Saturation,
    Sharpen,
    Shift,
    Speckle,
    Together,
    Zoom,
)
from cervbench.data.views.noise import normal, uniform
from cervbench.data.views.normalise import UNIT

BILINEAR = InterpolationMode.BILINEAR
SAMPLING = 1e-4
GREY_WEIGHTS = 2e-4
"""torchvision's grey weights sum to 0.9999; ours to 1."""


def noise(side: int = 33) -> Tensor:
    rng = np.random.default_rng(0)
    return torch.from_numpy(rng.integers(0, 256, (3, 3, side, side), dtype=np.uint8))


def smooth(side: int = 33) -> Tensor:
    place = torch.linspace(0, 3, side)
    waves = [torch.sin(place[:, None] * k + place[None] * (k + 1) + k) for k in range(9)]
    return (torch.stack(waves).view(3, 3, side, side) * 127 + 128).to(torch.uint8)


@pytest.fixture(params=[noise, smooth, lambda: noise(20)], ids=["noise", "smooth", "even"])
def images(request: pytest.FixtureRequest) -> Tensor:
    return request.param()


def seen(images: Tensor, *steps: tuple[Operation, tuple[float, ...]], normalise: Normalise = UNIT) -> Tensor:
    """All images through operations with parameters that are given and not drawn."""
    policy = Policy([operation for operation, _ in steps])
    keys = policy.draw(np.random.default_rng(0), len(images))
    drawn = {
        key: np.tile(np.asarray(parameters, dtype=np.float32), (len(images), 1))
        for key, (_, parameters) in zip(keys, steps, strict=True)
    }
    pyramid = Pyramid(images.permute(0, 2, 3, 1).numpy(), images.shape[-1])
    return policy.apply(pyramid, torch.arange(len(images)), drawn, normalise)


def inner(images: Tensor, margin: int) -> Tensor:
    return images[..., margin:-margin, margin:-margin]


def assert_close(ours: Tensor, theirs: Tensor, tolerance: float) -> None:
    torch.testing.assert_close(ours, theirs, rtol=0, atol=tolerance)


def test_a_crop_that_magnifies_is_resized_crop_but_for_its_outermost_pixels(images: Tensor) -> None:
    side = images.shape[-1]
    left, top, width, height = 3, 5, 12, 9
    ours = seen(images, (Crop(), (left / side, top / side, width / side, height / side)))
    theirs = tv.resized_crop(images / 255, top, left, height, width, [side, side], antialias=False)
    assert_close(inner(ours, 2), inner(theirs, 2), SAMPLING)


def test_a_crop_sees_the_pixels_beside_it_and_the_border_repeated_beyond_the_image(images: Tensor) -> None:
    side = images.shape[-1]
    ours = seen(images, (Crop(), (0, 0, 0.5, 0.5)))
    theirs = tv.resize(images / 255, [2 * side, 2 * side], antialias=False)[..., :side, :side]
    assert_close(ours, theirs, SAMPLING)


def test_flips_are_torchvisions(images: Tensor) -> None:
    assert_close(seen(images, (Flip(), (-1, 1))), tv.horizontal_flip(images / 255), SAMPLING)
    assert_close(seen(images, (Flip(), (1, -1))), tv.vertical_flip(images / 255), SAMPLING)


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_quarter_turns_move_whole_pixels(images: Tensor, turns: int) -> None:
    assert_close(
        seen(images, (Rotation(), (90 * turns,))), torch.rot90(images / 255, turns, (2, 3)), SAMPLING
    )


@pytest.mark.parametrize("angle", [-30.0, 17.0, 121.0])
def test_a_free_rotation_is_torchvisions_within_the_circle_that_stays_inside(
    images: Tensor, angle: float
) -> None:
    side = images.shape[-1]
    place = torch.arange(side) - (side - 1) / 2
    inside = place[:, None] ** 2 + place[None] ** 2 < (side / 2 - 1) ** 2
    theirs = tv.rotate(images / 255, angle, interpolation=BILINEAR)
    assert_close(seen(images, (Rotation(), (angle,)))[..., inside], theirs[..., inside], SAMPLING)


def test_a_shift_is_torchvisions_translation_and_repeats_the_border(images: Tensor) -> None:
    side = images.shape[-1]
    ours = seen(images, (Shift(), (3 / side, -2 / side)))
    theirs = tv.affine(
        images / 255, angle=0.0, translate=[3, -2], scale=1.0, shear=[0.0], interpolation=BILINEAR
    )
    assert_close(inner(ours, 3), inner(theirs, 3), SAMPLING)
    first_column = (images / 255)[..., 2:, :1].expand(-1, -1, -1, 3)
    assert_close(ours[..., :-2, :3], first_column, SAMPLING)


@pytest.mark.parametrize(("factor", "margin"), [(1.25, 1), (0.8, 5)])
def test_a_zoom_is_torchvisions_scaling(images: Tensor, factor: float, margin: int) -> None:
    theirs = tv.affine(
        images / 255, angle=0.0, translate=[0, 0], scale=factor, shear=[0.0], interpolation=BILINEAR
    )
    assert_close(inner(seen(images, (Zoom(), (factor,))), margin), inner(theirs, margin), SAMPLING)


def test_geometry_is_undergone_in_the_order_of_the_policy(images: Tensor) -> None:
    side = images.shape[-1]
    turn, crop = (Rotation(), (90.0,)), (Crop(), (0.0, 0.0, 0.5, 0.5))

    def doubled(corner: Tensor) -> Tensor:
        return inner(tv.resize(corner, [2 * side, 2 * side], antialias=False)[..., :side, :side], 2)

    turned = torch.rot90(images / 255, 1, (2, 3))
    assert_close(inner(seen(images, turn, crop), 2), doubled(turned), SAMPLING)
    cropped = tv.resize(images / 255, [2 * side, 2 * side], antialias=False)[..., :side, :side]
    assert_close(seen(images, crop, turn), torch.rot90(cropped, 1, (2, 3)), SAMPLING)


@pytest.mark.parametrize("factor", [0.0, 0.4, 1.0, 1.9])
def test_jitter_is_torchvisions_with_its_clamping(images: Tensor, factor: float) -> None:
    pixels = images / 255
    assert_close(seen(images, (Brightness(), (factor,))), tv.adjust_brightness(pixels, factor), GREY_WEIGHTS)
    assert_close(seen(images, (Contrast(), (factor,))), tv.adjust_contrast(pixels, factor), GREY_WEIGHTS)
    assert_close(seen(images, (Saturation(), (factor,))), tv.adjust_saturation(pixels, factor), GREY_WEIGHTS)


def test_greyscale_is_torchvisions(images: Tensor) -> None:
    theirs = tv.rgb_to_grayscale(images / 255, num_output_channels=3)
    assert_close(seen(images, (Greyscale(), (1,))), theirs, GREY_WEIGHTS)


@pytest.mark.parametrize("turn", [-0.1, 0.05, 0.25, 0.5])
def test_hue_turns_the_chroma_of_yiq(images: Tensor, turn: float) -> None:
    muted = (images // 4 + 96) / 255  # so that nothing leaves 0..1
    red, green, blue = muted.double().unbind(1)
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    in_phase = 0.5959 * red - 0.2746 * green - 0.3213 * blue
    quadrature = 0.2115 * red - 0.5227 * green + 0.3112 * blue
    chroma = torch.complex(in_phase, quadrature) * np.exp(-2j * np.pi * turn)  # yellow lies clockwise of red
    i, q = chroma.real, chroma.imag
    expected = torch.stack(
        [luma + 0.956 * i + 0.619 * q, luma - 0.272 * i - 0.647 * q, luma - 1.106 * i + 1.703 * q], 1
    )
    assert_close(seen(images // 4 + 96, (Hue(), (turn,))), expected.float(), 1e-3)


def test_hue_leaves_grey_as_it_is_and_turns_the_way_of_torchvision() -> None:
    grey = noise()[:, :1].expand(-1, 3, -1, -1)
    assert_close(seen(grey, (Hue(), (0.3,))), grey / 255, 1e-5)
    red = torch.tensor([160, 96, 96], dtype=torch.uint8).view(1, 3, 1, 1).expand(1, 3, 4, 4)
    for turn in (-0.1, 0.1):
        ours = (seen(red, (Hue(), (turn,))) - red / 255)[0, :, 0, 0]
        theirs = (tv.adjust_hue(red / 255, turn) - red / 255)[0, :, 0, 0]
        gains = int(theirs[1:].argmax())  # green or blue, by the direction
        assert ours[1:].argmax() == gains
        assert ours[1 + gains] > 0


def test_linear_colour_composes_like_its_steps_one_by_one(images: Tensor) -> None:
    muted = images // 4 + 96
    ours = seen(muted, (Brightness(), (1.2,)), (Contrast(), (0.6,)), (Saturation(), (1.5,)))
    theirs = tv.adjust_saturation(tv.adjust_contrast(tv.adjust_brightness(muted / 255, 1.2), 0.6), 1.5)
    assert_close(ours, theirs, 2 * GREY_WEIGHTS)


def test_contrast_is_about_the_mean_of_the_view_and_not_of_the_image(images: Tensor) -> None:
    crop = (Crop(), (0.0, 0.0, 0.5, 0.5))
    ours = seen(images, crop, (Contrast(), (0.5,)))
    assert_close(ours, tv.adjust_contrast(seen(images, crop), 0.5), GREY_WEIGHTS)


@pytest.mark.parametrize("factor", [0.5, 1.0, 2.2])
def test_gamma_is_torchvisions_and_comes_after_linear_colour(images: Tensor, factor: float) -> None:
    assert_close(seen(images, (Gamma(), (factor,))), tv.adjust_gamma(images / 255, factor), SAMPLING)
    ours = seen(images, (Gamma(), (factor,)), (Brightness(), (0.7,)))
    assert_close(ours, tv.adjust_gamma(tv.adjust_brightness(images / 255, 0.7), factor), SAMPLING)


@pytest.mark.parametrize("operation", [Brightness(), Gamma()], ids=["linear", "gamma"])
def test_views_are_normalised_and_held_between_black_and_white(images: Tensor, operation: Operation) -> None:
    mean, std = (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)
    ours = seen(images, (operation, (1.8,)), normalise=Normalise(mean, std))
    assert_close(ours, tv.normalize(seen(images, (operation, (1.8,))), list(mean), list(std)), 1e-5)


@pytest.mark.parametrize("side", [4, 33, 64])
@pytest.mark.parametrize("share", [0.05, 0.4, 1.0])
def test_blur_is_torchvisions_gaussian(side: int, share: float) -> None:
    blur = Blur(sigma=(0.1, 20.0))
    sigma = 20.0 * share
    width = 2 * blur.radius(side) + 1
    theirs = tv.gaussian_blur(noise(side) / 255, [width, width], [sigma * side / 224])
    assert_close(seen(noise(side), (blur, (sigma,))), theirs, 1e-5)


@pytest.mark.parametrize("size", [32, 64, 96, 224])
def test_the_kernel_of_the_blur_holds_all_but_a_hundredth_of_its_widest_gaussian(size: int) -> None:
    blur = Blur()
    sigma = blur.sigma[1] * size / 224
    reach = (blur.radius(size) + 0.5) / sigma
    outside = torch.special.erfc(torch.tensor(reach / 2**0.5)).item()
    assert outside < 0.01


def test_equalising_is_torchvisions_on_stored_values(images: Tensor) -> None:
    assert torch.equal((seen(images, (Equalise(), (1,))) * 255).round(), tv.equalize(images).float())
    muted = images // 8 + 40
    assert torch.equal((seen(muted, (Equalise(), (1,))) * 255).round(), tv.equalize(muted).float())


def test_equalising_leaves_a_channel_of_one_level_as_it_is_and_the_others_not() -> None:
    images = noise(16)
    images[:, 1] = 77
    ours = (seen(images, (Equalise(), (1,))) * 255).round()
    assert (ours[:, 1] == 77).all()
    assert torch.equal(ours, tv.equalize(images).float())
    assert not torch.equal(ours[:, 0], images[:, 0].float())


@pytest.mark.parametrize("factor", [0.0, 0.5, 2.0, 6.0])
def test_sharpening_is_torchvisions_with_its_clamping_and_its_border(images: Tensor, factor: float) -> None:
    theirs = tv.adjust_sharpness(images / 255, factor)
    assert_close(seen(images, (Sharpen(), (factor,))), theirs, 1e-6)
    mean, std = (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)
    normalised = seen(images, (Sharpen(), (factor,)), normalise=Normalise(mean, std))
    assert_close(normalised, tv.normalize(theirs, list(mean), list(std)), 1e-5)


def test_speckle_multiplies_each_value_by_one_and_noise_and_is_clamped(images: Tensor) -> None:
    ours = seen(images, (Speckle(), (0.3, 1234.0)))
    grain = normal(torch.tensor([1234.0]), images[0].numel()).view(1, *images.shape[1:])
    assert_close(ours, (images / 255 * (1 + 0.3 * grain)).clamp(0, 1), 1e-6)


def elastic(images: Tensor, displacement: Tensor) -> Tensor:
    return torch.cat(
        [
            tv.elastic(image[None] / 255, moved.permute(1, 2, 0)[None], interpolation=BILINEAR)
            for image, moved in zip(images, displacement.expand(len(images), -1, -1, -1), strict=True)
        ]
    )


@pytest.mark.parametrize("alpha", [50.0, 300.0])
def test_elastic_is_torchvisions_given_the_same_displacement(images: Tensor, alpha: float) -> None:
    parameters = (alpha, 99.0)
    displacement = Elastic().displacement(torch.tensor([parameters]), images.shape[-1])
    margin = 1 + int((displacement.abs().max() * images.shape[-1] / 2).ceil())
    ours, theirs = seen(images, (Elastic(), parameters)), elastic(images, displacement)
    assert_close(inner(ours, margin), inner(theirs, margin), SAMPLING)
    assert (inner(ours, margin) - inner(images / 255, margin)).abs().max() > 100 * SAMPLING


def test_elastic_deforms_what_the_other_geometry_has_made(images: Tensor) -> None:
    parameters = (200.0, 99.0)
    displacement = Elastic().displacement(torch.tensor([parameters]), images.shape[-1])
    turned = torch.rot90(images, 1, (2, 3))
    for steps in (
        [(Rotation(), (90.0,)), (Elastic(), parameters)],
        [(Elastic(), parameters), (Rotation(), (90.0,))],
    ):
        ours = seen(images, *steps)
        assert_close(inner(ours, 5), inner(elastic(turned, displacement), 5), SAMPLING)


def test_the_displacement_of_elastic_at_224_pixels_is_made_as_torchvision_makes_it() -> None:
    ours = Elastic(sigma=5.0).displacement(torch.tensor([[50.0, 7.0]]), 224)
    field = torch.stack(uniform(torch.tensor([7.0]), 224**2), dim=1).view(1, 2, 224, 224)
    assert_close(ours, tv.gaussian_blur(field, [41, 41], [5.0, 5.0]) * 50 / 224, 1e-7)


def test_a_small_view_is_deformed_as_much_as_a_large_one() -> None:
    keys = torch.stack([torch.full((64,), 50.0), torch.arange(64.0)], dim=1)
    large, small = (Elastic().displacement(keys, size).std().item() for size in (224, 64))
    assert small == pytest.approx(large, rel=0.1)


def test_retouching_goes_from_gamma_to_equalising_blur_sharpening_and_speckle(images: Tensor) -> None:
    side = images.shape[-1]
    blur = Blur(sigma=(0.1, 20.0))
    width = 2 * blur.radius(side) + 1
    ours = seen(
        images,
        (Speckle(), (0.1, 5.0)),
        (Sharpen(), (2.0,)),
        (blur, (10.0,)),
        (Equalise(), (1,)),
        (Gamma(), (0.8,)),
    )
    bright = (tv.adjust_gamma(images / 255, 0.8) * 255).round().to(torch.uint8)
    equal = tv.equalize(bright) / 255
    sharp = tv.adjust_sharpness(tv.gaussian_blur(equal, [width, width], [10.0 * side / 224]), 2.0)
    grain = normal(torch.tensor([5.0]), images[0].numel()).view(1, *images.shape[1:])
    assert_close(ours, (sharp * (1 + 0.1 * grain)).clamp(0, 1), 1e-5)


@pytest.mark.parametrize(
    "operation",
    [Crop(), Flip(), Rotation(), Shift(), Zoom(), Brightness(), Contrast(), Saturation(), Hue(), Greyscale(),
     Gamma(), Equalise(), Blur(), Sharpen(), Speckle(), Elastic()],
    ids=lambda operation: type(operation).__name__,
)  # fmt: skip
def test_the_parameters_of_a_spared_image_leave_it_as_it_is(images: Tensor, operation: Operation) -> None:
    assert_close(seen(images, (operation, operation.identity)), images / 255, 1e-6)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Crop(scale=(0.5, 0.2)),
        lambda: Crop(ratio=(1.2, 2.0)),
        lambda: Flip(horizontal=1.5),
        lambda: Rotation(step=0),
        lambda: Rotation(step=50),
        lambda: Rotation(degrees=30, step=15),
        lambda: Rotation(degrees=-10.0),
        lambda: Shift(by=-0.1),
        lambda: Zoom(factor=(0.0, 1.0)),
        lambda: Zoom(factor=(0.5, 1.0)),
        lambda: Brightness(-0.1),
        lambda: Hue(0.7),
        lambda: Gamma(factor=(2.0, 1.0)),
        lambda: Blur(sigma=(0.0, 1.0)),
        lambda: Greyscale(p=-0.1),
        lambda: Equalise(p=2.0),
        lambda: Sharpen(factor=(-0.5, 1.0)),
        lambda: Speckle(sigma=(0.0, 0.1)),
        lambda: Elastic(alpha=(0.0, 50.0)),
        lambda: Elastic(sigma=0.0),
        lambda: Together((Hue(),), p=1.1),
    ],
)
def test_a_setting_that_cannot_be_is_refused_with_its_value(wrong: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match=r"\w+\(.*=.*\): .* must"):
        wrong()


DRAWN = 4000


def parameters(operation: Operation) -> np.ndarray:
    (drawn,) = Policy([operation]).draw(np.random.default_rng(5), DRAWN).values()
    return drawn.astype(float)


@pytest.mark.parametrize(
    ("operation", "low", "high", "scale"),
    [
        (Brightness(0.4), 0.6, 1.4, np.asarray),
        (Blur(sigma=(0.1, 2.0), p=1.0), 0.1, 2.0, np.asarray),
        (Hue(0.1), -0.1, 0.1, np.asarray),
        (Zoom((0.8, 2.0)), 0.8, 2.0, np.log),
    ],
)
def test_values_are_spread_evenly_over_their_range(
    operation: Operation, low: float, high: float, scale: Callable[[object], np.ndarray]
) -> None:
    """By Kolmogorov's and Smirnov's test at 0.1 %; zooms are even in their logarithm."""
    start, end = float(scale(low)), float(scale(high))
    values = scale(parameters(operation)[:, 0])
    assert kstest(values, "uniform", args=(start, end - start)).statistic < 1.95 / DRAWN**0.5


def test_a_crop_lies_anywhere_across_and_down_apart() -> None:
    left, top, width, height = parameters(Crop(scale=(0.2, 0.5))).T
    across, down = left / (1 - width), top / (1 - height)
    for place, share in ((across, width), (down, height)):
        assert kstest(place[share < 0.95], "uniform").statistic < 0.05
    assert abs(np.corrcoef(across, down)[0, 1]) < 0.08

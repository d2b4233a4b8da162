"""Drawing a cell as it looks on a stained smear: cytoplasm, nucleus and what lies over them absorb light."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cervbench.protocol.randomness import generator

if TYPE_CHECKING:
    from PIL.Image import Image

Range = tuple[float, float]
_ANGLES = np.linspace(-np.pi, np.pi, 257)


@dataclass(frozen=True)
class Kind:
    """How the cells of a class look: each draws from these ranges, which overlap between classes."""

    nucleus: Range
    """The radius of the nucleus, in radii of the cell."""
    darkness: Range
    """How much stain the nucleus holds."""
    irregular: Range
    """How far the outline of the nucleus departs from an ellipse."""
    clumped: Range
    """How unevenly the chromatin is spread."""
    cytoplasm: Range
    """How much stain the cytoplasm holds."""
    length: Range
    """How many times as long as wide the cell is."""
    corners: bool = False
    """Whether the cell is polygonal, as the flat cells of the surface are."""
    eccentric: float = 0.15
    """How far from the middle the nucleus may lie, in radii of the cell."""


@dataclass(frozen=True)
class Stain:
    """What all cells of a preparation have in common."""

    nucleus: np.ndarray
    """How much red, green and blue light the nucleus absorbs."""
    cytoplasm: np.ndarray
    """How much red, green and blue light the cytoplasm absorbs."""
    light: np.ndarray
    """The red, green and blue of the light."""
    focus: float
    """How blurred the photographs are."""
    crowded: float
    """How many other cells and specks are in the pictures."""


class Dice:
    """Uniform draws from a counter-based generator keyed by a name."""

    def __init__(self, name: str) -> None:
        self.generator = generator(name)

    def within(self, bounds: Range) -> float:
        return float(self.generator.uniform(*bounds))

    def around_zero(self, *shape: int) -> np.ndarray:
        return self.generator.uniform(-1, 1, shape)


def draw_stain(group: str) -> Stain:
    dice = Dice(f"stain {group}")
    blue, pink = np.array([0.85, 0.42, 0.28]), np.array([0.18, 0.62, 0.48])
    share = dice.within((0.0, 1.0))
    return Stain(
        nucleus=np.array([0.95, 1.0, 0.5]) * (1 + 0.18 * dice.around_zero(3)),
        cytoplasm=1.25 * (share * blue + (1 - share) * pink) * (1 + 0.15 * dice.around_zero(3)),
        light=np.array([0.95, 0.93, 0.94]) + 0.04 * dice.around_zero(3),
        focus=dice.within((0.5, 1.3)),
        crowded=dice.within((0.3, 1.6)),
    )


def draw_cell(name: str, kind: Kind, stain: Stain, others: Mapping[str, Kind]) -> "Image":
    """The image of the cell called `name`; the same name gives the same image."""
    from PIL import Image

    dice = Dice(name)
    long_side = 60 * (200 / 60) ** dice.within((0, 1))
    short_side = max(60.0, long_side * dice.within((0.65, 1)))
    width, height = (round(side) for side in (long_side, short_side))
    if dice.within((0, 1)) < 0.5:
        width, height = height, width
    canvas = _Canvas(width, height, dice)
    nuclei, cytoplasm = canvas.empty(), canvas.empty()
    for _ in range(int(dice.within((0, 2)) + stain.crowded)):
        neighbour = list(others.values())[int(dice.within((0, len(others))))]
        turn, far = dice.within((-np.pi, np.pi)), dice.within((1.2, 1.8))
        _add_cell(canvas, neighbour, far * np.cos(turn), far * np.sin(turn), nuclei, cytoplasm)
    _add_cell(canvas, kind, 0.08 * dice.within((-1, 1)), 0.08 * dice.within((-1, 1)), nuclei, cytoplasm)
    for _ in range(int(dice.within((0, 2.2)) * stain.crowded)):
        nuclei += dice.within((0.3, 0.9)) * canvas.speck()
    absorbed = nuclei[..., None] * stain.nucleus + cytoplasm[..., None] * stain.cytoplasm
    transmitted = stain.light * np.exp(-absorbed) * (1 + 0.05 * canvas.clouds(3))[..., None]
    return Image.fromarray(_photograph(transmitted, stain.focus * width / 120, dice))


class _Canvas:
    """A picture's coordinates, in which the shorter side reaches from -1 to 1, and textures for it."""

    def __init__(self, width: int, height: int, dice: Dice) -> None:
        self.width, self.height, self.dice = width, height, dice
        half = min(width, height) / 2
        self.x = ((np.arange(width) + 0.5) - width / 2)[None, :] / half
        self.y = ((np.arange(height) + 0.5) - height / 2)[:, None] / half

    def empty(self) -> np.ndarray:
        return np.zeros((self.height, self.width))

    def clouds(self, detail: float) -> np.ndarray:
        """Smooth noise in -1..1 with about `detail` blots along each side."""
        grid = self.dice.around_zero(int(detail) + 2, int(detail) + 2)
        rows, columns = (_between(length, len(grid)) for length in (self.height, self.width))
        return np.asarray(rows @ grid @ columns.T)

    def polar(self, x: float, y: float, turn: float, length: float) -> tuple[np.ndarray, np.ndarray]:
        """Polar coordinates of every pixel around (x, y), for an ellipse `length` times as long as wide."""
        along = ((self.x - x) * np.cos(turn) + (self.y - y) * np.sin(turn)) / np.sqrt(length)
        across = ((self.y - y) * np.cos(turn) - (self.x - x) * np.sin(turn)) * np.sqrt(length)
        return np.hypot(along, across), np.arctan2(across, along)

    def speck(self) -> np.ndarray:
        """Debris or the nucleus of a white blood cell: small, round and dark, anywhere in the picture."""
        dice = self.dice
        distance, _ = self.polar(
            dice.within((-1.2, 1.2)), dice.within((-1.2, 1.2)), 0.0, dice.within((1, 1.6))
        )
        return _inside(distance, dice.within((0.04, 0.11)), 0.02)


def _add_cell(
    canvas: _Canvas, kind: Kind, x: float, y: float, nuclei: np.ndarray, cytoplasm: np.ndarray
) -> None:
    dice = canvas.dice
    radius, length = dice.within((0.6, 0.92)), dice.within(kind.length)
    turn = dice.within((-np.pi, np.pi))
    distance, angle = canvas.polar(x, y, turn, length)
    outline = _outline(dice, 0.06, 4) * (_polygon(dice) if kind.corners else 1.0)
    body = _inside(distance, radius * np.interp(angle, _ANGLES, outline), 0.035)
    grain = 1 + 0.35 * canvas.clouds(4) + 0.2 * canvas.clouds(16)
    cytoplasm += dice.within(kind.cytoplasm) * body * grain

    off = radius * kind.eccentric * dice.within((0.3, 1)) * np.sqrt(length)
    size = radius * dice.within(kind.nucleus)
    distance, angle = canvas.polar(
        x + off * np.cos(turn),
        y + off * np.sin(turn),
        turn + dice.within((-0.5, 0.5)),
        dice.within((1.0, 1.45)),
    )
    edge = size * np.interp(angle, _ANGLES, _outline(dice, dice.within(kind.irregular), 7))
    inside = _inside(distance, edge, 0.02)
    rim = np.exp(-(((distance - edge) / (0.12 * size + 0.01)) ** 2))
    clumped = dice.within(kind.clumped)
    chromatin = 1 + clumped * (canvas.clouds(2.5 / size) + canvas.clouds(5 / size))
    nuclei += dice.within(kind.darkness) * inside * np.clip(chromatin + 0.3 * rim, 0.15, 2.2)


def _outline(dice: Dice, irregular: float, harmonics: int) -> np.ndarray:
    """The radius at each angle, 1 on average; higher harmonics are weaker."""
    radius = np.ones_like(_ANGLES)
    for k in range(2, harmonics + 1):
        radius += (
            irregular
            * dice.within((0.4, 1.6))
            / np.sqrt(k - 1)
            * np.cos(k * _ANGLES + dice.within((0, 6.28)))
        )
    return radius


def _polygon(dice: Dice) -> np.ndarray:
    """The radius at each angle of a polygon with four to seven unequal sides."""
    sides = int(dice.within((4, 8)))
    corners = (np.arange(sides) + 0.3 * dice.around_zero(sides)) * 2 * np.pi / sides
    facing = (_ANGLES[:, None] - corners + np.pi) % (2 * np.pi) - np.pi
    radius = 1 / np.maximum(np.cos(facing), 0.2).max(axis=1)
    return np.asarray(np.minimum(radius, 1.35) * 0.9)


def _inside(distance: np.ndarray, edge: float | np.ndarray, softness: float) -> np.ndarray:
    """1 inside the edge and 0 outside, with a soft step between."""
    return np.asarray(1 / (1 + np.exp(np.clip((distance - edge) / softness, -30, 30))))


def _between(length: int, knots: int) -> np.ndarray:
    """Weights that smoothly interpolate `knots` values at `length` pixels."""
    place = (np.arange(length) + 0.5) / length * (knots - 1)
    left = np.minimum(place.astype(int), knots - 2)
    share = place - left
    share = share * share * (3 - 2 * share)
    weights = np.zeros((length, knots))
    weights[np.arange(length), left] = 1 - share
    weights[np.arange(length), left + 1] = share
    return weights


def _photograph(light: np.ndarray, blur: float, dice: Dice) -> np.ndarray:
    """A noisy photograph, a little out of focus, whose brightness is random so that it tells nothing."""
    reach = np.arange(-3, 4)
    kernel = np.exp(-0.5 * (reach / max(blur, 0.3)) ** 2)
    kernel /= kernel.sum()
    for axis in (0, 1):
        padded = np.pad(light, [(3, 3) if a == axis else (0, 0) for a in range(3)], mode="edge")
        count = light.shape[axis]
        light = sum(
            weight * padded.take(range(shift, shift + count), axis=axis)
            for shift, weight in enumerate(kernel)
        )
    exposed = light * (dice.within((0.55, 0.72)) / light.mean()) * (1 + 0.04 * dice.around_zero(3))
    noisy = exposed + 0.02 * dice.around_zero(*light.shape)
    return np.asarray(np.round(255 * np.clip(noisy, 0, 1)), dtype=np.uint8)

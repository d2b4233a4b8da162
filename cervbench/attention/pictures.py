"""Attention as pictures, in which places of more than average weight are framed, and as a table."""

import csv
import io
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from cervbench.atomic import write_atomically, write_text
from cervbench.attention.attention import Attention

RED = (230, 20, 40)


def draw(shown: Attention, count: int, folder: Path) -> list[Path]:
    """Write pictures of the first `count` images, and a table with the numbers of all images."""
    pack = shown.dataset.pack
    names = list(_names(shown))
    for number, row in enumerate(shown.rows[:count]):
        places = shown.places[shown.framed[number]]
        write_atomically(folder / names[number], _framing(pack.pixels[int(row)], places))
    write_text(folder / "attention.csv", _table(shown, names, count))
    return [folder / name for name in names[:count]]


def _names(shown: Attention) -> Iterator[str]:
    """Numbered file names, because the ids of images may hold anything, slashes included."""
    digits = len(str(len(shown.rows)))
    return (f"{number:0{digits}}.png" for number in range(1, len(shown.rows) + 1))


def _framing(pixels: np.ndarray, places: np.ndarray) -> Callable[[Path], None]:
    """A function that writes the image with these places framed."""
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
                pack.ids[row],
                names[number] if number < count else "",
                pack.labels[row],
                classes[int(shown.answers[number].argmax())],
                *(f"{weight:.6f}" for weight in shown.weights[number]),
            ]
        )
    return out.getvalue()

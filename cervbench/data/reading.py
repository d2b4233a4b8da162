"""Reading an image file as RGB, or a box of it that may reach beyond its border."""

from contextlib import suppress
from numbers import Integral
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from cervbench.data.error import DataError

FORMATS = ("BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP")
"""What is decoded, whatever a file is called: for EPS, say, PIL would start another program."""

MOST_PIXELS = 10_000**2
"""Of an image. A small file can hold many, and each takes up to sixteen bytes of memory, in every thread."""

_EDGES = "left, top, right, bottom (COCO gives left, top, width, height)"


def read_image(path: Path, box: tuple[int, int, int, int] | None = None) -> Image.Image:
    """A file as an RGB image, or the part of it inside `box`; beyond its border, the border is repeated.

    Of a file with several pages the first is read.
    """
    try:
        with Image.open(path, formats=FORMATS) as opened:
            if opened.width * opened.height > MOST_PIXELS:
                raise Image.DecompressionBombError(
                    f"it has {opened.width} × {opened.height} pixels, of at most {MOST_PIXELS:,}; cut it up"
                )
            opened.load()
            image = as_rgb(opened)
    except Image.DecompressionBombError as error:
        raise DataError(f"{path} is too large for the image of a cell or a field: {error}") from None
    except DataError as error:
        raise DataError(f"{path}: {error}") from None
    except Exception as error:  # a decoder may fail in any way on bytes that are no image
        raise DataError(
            f"{path} cannot be read as an image: {error}; get the file again, or remove it"
        ) from None
    return image if box is None else cut(image, box)


def cut(image: Image.Image, box: tuple[int, int, int, int]) -> Image.Image:
    """The part of an image inside a box; beyond the border, the border is repeated."""
    if len(box) != 4 or not all(isinstance(edge, Integral) for edge in box):
        raise DataError(f"a box is four whole numbers, {_EDGES}; this one is {box}")
    left, top, right, bottom = box
    if right <= left or bottom <= top:
        raise DataError(f"a box is {_EDGES}, and ends behind where it begins; this one is {box}")
    inside = (max(0, left), max(0, top), min(image.width, right), min(image.height, bottom))
    if inside[0] >= inside[2] or inside[1] >= inside[3]:
        raise DataError(f"a box {box} lies outside its image of {image.width} × {image.height} pixels")
    pixels = np.asarray(image.crop(inside))
    beyond = ((inside[1] - top, bottom - inside[3]), (inside[0] - left, right - inside[2]), (0, 0))
    return Image.fromarray(np.pad(pixels, beyond, mode="edge"))


def as_rgb(image: Image.Image) -> Image.Image:
    """A copy of the image, turned as its EXIF orientation says, with three channels of 8 bits.

    Unlike PIL's own conversion, this scales 16-bit images, and lays transparent ones on white.
    """
    of_png = image.format == "PNG"  # which copies forget
    with suppress(Exception):  # damaged EXIF says nothing, and the image may be sound
        image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I;16") or (image.mode == "I" and of_png):
        return Image.fromarray((np.asarray(image) // 257).astype(np.uint8)).convert("RGB")
    if image.mode in ("I", "F"):
        raise DataError("it has 32 bits a pixel, and nothing says which value is white; save it with 8 or 16")
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")
    return image.convert("RGB")

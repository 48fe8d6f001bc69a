"""Drawing: results onto photos."""

from __future__ import annotations

import colorsys
import io
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

if TYPE_CHECKING:
    from .results import Classification, Detections

__all__ = ["class_color", "draw_classes", "draw_detections", "to_png"]

_GOLDEN_RATIO = 0.618034
_WHITE = (255, 255, 255)
_BLACK = (0, 0, 0)

_Rgb = tuple[int, int, int]


def class_color(class_id: int) -> _Rgb:
    """A colour (red, green, blue) for a class id: neighbours differ, and it never changes."""
    hue = (class_id * _GOLDEN_RATIO) % 1.0
    red, green, blue = colorsys.hsv_to_rgb(hue, 0.85, 0.95)
    return int(red * 255), int(green * 255), int(blue * 255)


def draw_detections(image: npt.NDArray[np.uint8], detections: Detections) -> Image.Image:
    """The photo with a box and a label for every detection, the best on top.

    Args:
        image: (h, w, 3) uint8 RGB; left as it is.
        detections: What was found in it.
    """
    picture = Image.fromarray(image)
    draw = ImageDraw.Draw(picture)
    width, font = _pen(picture)
    for item in reversed(list(detections)):
        color = class_color(item.index)
        box = _drawable(list(item.boundingbox), picture.size)
        draw.rectangle(box, outline=color, width=width)
        _write(draw, (box[0], box[1]), f"{item.label} {item.score:.2f}", color, font)
    return picture


def draw_classes(image: npt.NDArray[np.uint8], classes: Classification) -> Image.Image:
    """The photo with its classes and scores in the upper left corner.

    Args:
        image: (h, w, 3) uint8 RGB; left as it is.
        classes: What it shows.
    """
    picture = Image.fromarray(image)
    draw = ImageDraw.Draw(picture)
    _, font = _pen(picture)
    bottom = 0.0
    for item in classes.top:
        text = f"{item.score:6.1%}  {item.label}"
        bottom = _write(draw, (0.0, bottom), text, class_color(item.index), font)
    return picture


def to_png(picture: Image.Image) -> bytes:
    """The picture as a PNG file's bytes."""
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG")
    return buffer.getvalue()


def _pen(picture: Image.Image) -> tuple[int, ImageFont.FreeTypeFont | ImageFont.ImageFont]:
    """Line width and font that stay readable at the picture's size."""
    side = min(picture.size)
    return max(2, side // 200), ImageFont.load_default(size=max(11, side // 32))


def _drawable(box: list[float], size: tuple[int, int]) -> list[float]:
    """The box cut to the picture, never inside out."""
    left, right = (min(max(x, 0.0), size[0] - 1.0) for x in (box[0], box[2]))
    top, bottom = (min(max(y, 0.0), size[1] - 1.0) for y in (box[1], box[3]))
    return [left, top, max(left, right), max(top, bottom)]


def _write(
    draw: ImageDraw.ImageDraw,
    corner: tuple[float, float],
    text: str,
    color: _Rgb,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
) -> float:
    """Write on a filled background above the corner (below it at the top edge); its bottom."""
    left, top, right, bottom = draw.textbbox((0, 0), text, font=font)
    height = bottom - top + 4
    y = corner[1] - height if corner[1] >= height else corner[1]
    draw.rectangle((corner[0], y, corner[0] + right - left + 6, y + height), fill=color)
    ink = _BLACK if sum(color) > 380 else _WHITE
    draw.text((corner[0] + 3 - left, y + 2 - top), text, fill=ink, font=font)
    return y + height

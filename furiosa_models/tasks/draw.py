"""Drawing: boxes, skeletons and lines of text onto photos."""

from __future__ import annotations

import colorsys
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from .fonts import fitting

__all__ = ["Canvas", "class_color", "to_png"]

_GOLDEN_RATIO = 0.618034
_PADDING = 3
_WHITE = (255, 255, 255)
_BLACK = (0, 0, 0)
_MIDDLE, _LEFT, _RIGHT = (250, 210, 40), (255, 110, 60), (60, 150, 255)
_Rgb = tuple[int, int, int]
_Point = tuple[float, float]


def class_color(class_id: int) -> _Rgb:
    """A colour (red, green, blue) for a class id: neighbours differ, and it never changes."""
    hue = (class_id * _GOLDEN_RATIO) % 1.0
    red, green, blue = colorsys.hsv_to_rgb(hue, 0.85, 0.95)
    return int(red * 255), int(green * 255), int(blue * 255)


def to_png(picture: Image.Image) -> bytes:
    """The picture as a PNG file's bytes."""
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG")
    return buffer.getvalue()


@dataclass(frozen=True, slots=True)
class Canvas:
    """A picture, and a pen and letters that stay readable at its size."""

    picture: Image.Image
    draw: ImageDraw.ImageDraw
    width: int
    letters: int

    @classmethod
    def of(cls, image: npt.NDArray[np.uint8]) -> Canvas:
        """A copy of the photo to draw on."""
        picture = Image.fromarray(image)
        side = min(picture.size)
        return cls(picture, ImageDraw.Draw(picture), max(2, side // 200), max(11, side // 32))

    def box(self, box: list[float], color: _Rgb, text: str) -> None:
        """Draw a box with a text at its upper left corner."""
        left, top, right, bottom = _drawable(box, self.picture.size)
        self.draw.rectangle((left, top, right, bottom), outline=color, width=self.width)
        self.write((left, top), text, color)

    def write(self, corner: _Point, text: str, color: _Rgb) -> float:
        """Write on a filled background above the corner (below it at the top edge); its bottom."""
        # Whole pixels, and the height of all letters: labels line up, and none is cut.
        x, y = int(corner[0]), int(corner[1])
        font, text = fitting(text, self.letters)
        _, top, _, bottom = self.draw.textbbox((0, 0), "Ag", font=font)
        width = self.draw.textlength(text, font=font)
        height = bottom - top + 2 * _PADDING
        y = y - int(height) if y >= height else y
        self.draw.rectangle((x, y, x + width + 2 * _PADDING, y + height), fill=color)
        ink = _BLACK if sum(color) > 380 else _WHITE
        self.draw.text((x + _PADDING, y + _PADDING - top), text, fill=ink, font=font)
        return y + height

    def skeleton(
        self,
        keypoints: Sequence[Sequence[float]],
        limbs: Sequence[tuple[int, int]],
        threshold: float,
    ) -> None:
        """Draw the keypoints that are sure enough, and the limbs between them.

        Args:
            keypoints: x, y and confidence of each, in pixels.
            limbs: Pairs of keypoints.
            threshold: Least confidence of a keypoint that is drawn.
        """
        width, height = self.picture.size
        # farther away than a picture's size a line would take long, and show nothing
        shown = {
            i: (x, y)
            for i, (x, y, confidence) in enumerate(keypoints)
            if confidence >= threshold and -width < x < 2 * width and -height < y < 2 * height
        }
        for a, b in limbs:
            if a in shown and b in shown:
                self.draw.line((shown[a], shown[b]), fill=_side(a, b), width=self.width)
        for i, (x, y) in shown.items():
            spot = (x - self.width, y - self.width, x + self.width, y + self.width)
            self.draw.ellipse(spot, fill=_side(i, i))


def _side(a: int, b: int) -> _Rgb:
    """A colour for the person's left (odd keypoints), right (even ones) and middle."""
    if 0 in (a, b) or a % 2 != b % 2:
        return _MIDDLE
    return _LEFT if a % 2 else _RIGHT


def _drawable(box: list[float], size: tuple[int, int]) -> list[float]:
    """The box cut to the picture, never inside out."""
    left, right = (min(max(x, 0.0), size[0] - 1.0) for x in (box[0], box[2]))
    top, bottom = (min(max(y, 0.0), size[1] - 1.0) for y in (box[1], box[3]))
    return [left, top, max(left, right), max(top, bottom)]

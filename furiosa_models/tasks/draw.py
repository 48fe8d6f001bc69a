"""Draw boxes, skeletons and text on photos."""

from __future__ import annotations

import colorsys
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from .fonts import fitting

__all__ = ["Canvas", "class_color"]

_GOLDEN_RATIO = 0.618034
_PADDING = 3
_STEPS = 16  # maximum distance of a label from its box, in lines
_CROWD = 100  # number of labels from which on they may overlap
_BRIGHT = 140  # luma of a background from which on text is black
_LEFT_OUT = "..."  # replaces text that does not fit
_WHITE = (255, 255, 255)
_BLACK = (0, 0, 0)
_MIDDLE, _LEFT, _RIGHT = (250, 210, 40), (255, 110, 60), (60, 150, 255)
_Rgb = tuple[int, int, int]
_Point = tuple[float, float]
_Rect = tuple[float, float, float, float]


def class_color(class_id: int) -> _Rgb:
    """Return a fixed RGB color for a class id; neighboring ids differ clearly."""
    hue = (class_id * _GOLDEN_RATIO) % 1.0
    red, green, blue = colorsys.hsv_to_rgb(hue, 0.85, 0.95)
    return int(red * 255), int(green * 255), int(blue * 255)


@dataclass(frozen=True, slots=True)
class Canvas:
    """A picture with line width and font size that suit its size."""

    picture: Image.Image
    draw: ImageDraw.ImageDraw
    width: int
    letters: int
    taken: list[_Rect] = field(default_factory=list)

    @classmethod
    def of(cls, image: npt.NDArray[np.uint8]) -> Canvas:
        """Return a canvas with a copy of the photo."""
        picture = Image.fromarray(image)
        side = min(picture.size)
        return cls(picture, ImageDraw.Draw(picture), max(2, side // 200), max(11, side // 32))

    def box(self, box: list[float], color: _Rgb) -> None:
        """Draw the outline of a box, clipped to the picture."""
        self.draw.rectangle(_drawable(box, self.picture.size), outline=color, width=self.width)

    def label(self, box: list[float], text: str, color: _Rgb, *, end: str = "") -> None:
        """Write a label near a box, where it covers no other label if possible.

        Args:
            box: The box.
            text: The text; truncated if it is wider than the picture.
            color: Background color.
            end: Text to append, which is never truncated.
        """
        left, top, right, bottom = own = _drawable(box, self.picture.size)
        text = self._cut(text, end)
        width, height = self._size(text)
        places = [
            (left, top - height),
            (left, top),
            (right - width, top - height),
            (left, bottom),
            (left, bottom - height),
            (right - width, bottom),
            *((left, top + step * height) for step in range(1, _STEPS)),
            *((left, top - step * height) for step in range(2, _STEPS)),
        ]
        inside = [self._inside(place, width, height) for place in places]
        if len(self.taken) > _CROWD:  # no place is free, and searching would be slow
            x, y = inside[0]
        else:
            # prefer a place that does not hide a tiny box
            x, y = min(
                inside,
                key=lambda place: (
                    self._covered((*place, width, height)),
                    _hides((*place, width, height), own),
                ),
            )
        self._write(x, y, text, color)

    def lines(self, lines: Sequence[tuple[str, _Rgb]]) -> None:
        """Write lines of text from the upper left corner down, as far as they fit."""
        y = 0.0
        for line, color in lines:
            text = self._cut(line)
            _, height = self._size(text)
            if y and y + height > self.picture.height:
                break
            self._write(0, y, text, color)
            y += height

    def _write(self, x: float, y: float, text: str, color: _Rgb) -> None:
        """Write text on a filled background with this upper left corner."""
        width, height = self._size(text)
        font, text = fitting(text, self.letters)
        _, top, _, _ = self.draw.textbbox((0, 0), "Ag", font=font)
        x, y = int(x), int(y)  # whole pixels, so that labels align
        self.draw.rectangle((x, y, x + width - 1, y + height - 1), fill=color)
        ink = _BLACK if _luma(color) > _BRIGHT else _WHITE
        self.draw.text((x + _PADDING, y + _PADDING - top), text, fill=ink, font=font)
        self.taken.append((x, y, width, height))

    def _cut(self, text: str, end: str = "") -> str:
        """Return the text in one line, truncated to fit beside its end."""
        room = self.picture.width
        text = " ".join(text.splitlines())
        if len(text) <= room and self._size(text + end)[0] <= room:
            return text + end
        low, high = 0, min(len(text), room)  # number of letters; each is at least a pixel wide
        while low < high:
            middle = (low + high + 1) // 2
            if self._size(f"{text[:middle]}{_LEFT_OUT}{end}")[0] <= room:
                low = middle
            else:
                high = middle - 1
        return f"{text[:low].rstrip()}{_LEFT_OUT}{end}"

    def _size(self, text: str) -> tuple[int, int]:
        """Return width and height of a text with its background."""
        font, text = fitting(text, self.letters)
        _, top, _, bottom = self.draw.textbbox((0, 0), "Ag", font=font)
        width = math.ceil(self.draw.textlength(text, font=font))
        return width + 2 * _PADDING, math.ceil(bottom - top) + 2 * _PADDING

    def _inside(self, place: _Point, width: int, height: int) -> _Point:
        """Move a position so that the text, or at least its beginning, is in the picture."""
        x = max(0.0, min(place[0], self.picture.width - width))
        return x, max(0.0, min(place[1], self.picture.height - height))

    def _covered(self, rect: _Rect) -> float:
        """Return the number of pixels of other labels that a label would cover."""
        x, y, width, height = rect
        return sum(
            max(0.0, min(x + width, a + c) - max(x, a))
            * max(0.0, min(y + height, b + d) - max(y, b))
            for a, b, c, d in self.taken
        )

    def skeleton(
        self,
        keypoints: Sequence[Sequence[float]],
        limbs: Sequence[tuple[int, int]],
        threshold: float,
    ) -> None:
        """Draw the keypoints above a confidence threshold, and the limbs between them.

        Args:
            keypoints: x, y and confidence of each, in pixels.
            limbs: Pairs of keypoint indices.
            threshold: Minimum confidence of a keypoint.
        """
        width, height = self.picture.size
        # skip keypoints far outside: drawing long lines is slow and shows nothing
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
    """Return a color for the person's left (odd keypoints), right (even ones) or middle."""
    if 0 in (a, b) or a % 2 != b % 2:
        return _MIDDLE
    return _LEFT if a % 2 else _RIGHT


def _luma(color: _Rgb) -> float:
    """Return the perceived brightness of a color."""
    red, green, blue = color
    return 0.299 * red + 0.587 * green + 0.114 * blue


def _hides(rect: _Rect, box: Sequence[float]) -> bool:
    """Return whether a label would hide most of a box."""
    x, y, width, height = rect
    left, top, right, bottom = box
    across = min(x + width, right + 1) - max(x, left)
    down = min(y + height, bottom + 1) - max(y, top)
    return max(0, across) * max(0, down) > (right + 1 - left) * (bottom + 1 - top) / 2


def _drawable(box: list[float], size: tuple[int, int]) -> list[float]:
    """Return the box clipped to the picture, never inverted."""
    left, right = (min(max(x, 0.0), size[0] - 1.0) for x in (box[0], box[2]))
    top, bottom = (min(max(y, 0.0), size[1] - 1.0) for y in (box[1], box[3]))
    return [left, top, max(left, right), max(top, bottom)]

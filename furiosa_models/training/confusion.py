"""Pictures of confusion matrices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from PIL.Image import Image as PILImage

__all__ = ["draw_confusion"]

_PIXELS = 900
"""Approximate side of the matrix."""

_MAX_CELL, _MIN_CELL = 44, 4
_LIGHT, _DARK = np.array([247, 251, 255.0]), np.array([8, 48, 107.0])
_INK, _MARGIN = (30, 30, 30), 12


def draw_confusion(counts: npt.NDArray[np.int64], names: Sequence[str]) -> PILImage:
    """Return a confusion matrix as a picture: true classes are rows, predicted ones are columns.

    A cell is the darker, the greater the part of its row; its number is the number of photos.

    Args:
        counts: (n, n) number of photos.
        names: Names of the classes.
    """
    from PIL import Image, ImageDraw, ImageFont

    size = len(names)
    cell = int(np.clip(_PIXELS // max(size, 1), _MIN_CELL, _MAX_CELL))
    font = ImageFont.load_default(min(max(cell - 4, 9), 15))
    is_named = cell >= 10
    texts = [name[:24] for name in names] if is_named else []
    margin = _MARGIN + max((int(font.getlength(text)) for text in texts), default=0)
    side = size * cell
    picture = Image.new("RGB", (margin + side + _MARGIN, margin + side + _MARGIN), "white")
    parts = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    colors = (_LIGHT + parts[:, :, None] * (_DARK - _LIGHT)).astype(np.uint8)
    matrix = Image.fromarray(colors).resize((side, side), Image.Resampling.NEAREST)
    picture.paste(matrix, (margin, margin))
    canvas = ImageDraw.Draw(picture)
    for index, text in enumerate(texts):
        middle = margin + index * cell + cell // 2
        canvas.text((margin - 6, middle), text, _INK, font, anchor="rm")
        _write_upward(picture, text, font, (middle, margin - 6))
    if cell >= 22:
        for row, column in np.argwhere(counts > 0).tolist():
            ink = (255, 255, 255) if parts[row, column] > 0.5 else _INK
            place = margin + column * cell + cell // 2, margin + row * cell + cell // 2
            canvas.text(place, str(counts[row, column]), ink, font, anchor="mm")
    return picture


def _write_upward(picture: PILImage, text: str, font: object, place: tuple[int, int]) -> None:
    """Write a text that ends at the top, centered on a column."""
    from PIL import Image, ImageDraw

    width, height = int(font.getlength(text)) + 2, 20  # type: ignore[attr-defined]
    line = Image.new("L", (width, height))
    ImageDraw.Draw(line).text((0, height // 2), text, 255, font, anchor="lm")  # type: ignore[arg-type]
    turned = line.rotate(90, expand=True)
    picture.paste(_INK, (place[0] - height // 2, place[1] - turned.height), turned)

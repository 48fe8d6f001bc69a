"""Draw the labels of a photo, to look at a data set and its augmentations."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

from ..ops.rle import decode_rle
from .records import LabeledPhoto, Mask

if TYPE_CHECKING:
    from PIL.Image import Image as PILImage
    from PIL.ImageDraw import ImageDraw

__all__ = ["draw_labels"]

_Color: TypeAlias = tuple[int, int, int]
_GOLDEN = 0.618  # turns of the color wheel from one class to the next
_OPACITY = 0.5
_NO_CLASS = 255


def draw_labels(
    image: npt.NDArray[np.uint8],
    photo: LabeledPhoto,
    classes: Sequence[str],
    skeleton: Sequence[tuple[int, int]] = (),
) -> PILImage:
    """Return a photo with its labels drawn on it.

    Args:
        image: (h, w, 3) uint8 RGB.
        photo: Its labels, for these pixels.
        classes: Names of the classes.
        skeleton: Pairs of keypoints, counted from 1, to connect.
    """
    from PIL import Image, ImageDraw

    pixels = np.array(image)
    for mask, class_id in _masks(photo):
        color = np.array(_color(class_id), np.float32)
        pixels[mask] = (pixels[mask] * (1 - _OPACITY) + color * _OPACITY).astype(np.uint8)
    picture = Image.fromarray(pixels)
    draw = ImageDraw.Draw(picture)
    if photo.class_id is not None and 0 <= photo.class_id < len(classes):
        _write(draw, (2, 2), classes[photo.class_id], _color(photo.class_id))
    if photo.objects is not None:
        rows = zip(photo.objects.boxes.tolist(), photo.objects.class_ids.tolist(), strict=True)
        for index, ((left, top, right, bottom), class_id) in enumerate(rows):
            color_of_class = _color(class_id)
            edges = (left, top, max(left, right - 1), max(top, bottom - 1))
            draw.rectangle(edges, outline=color_of_class, width=2)
            for outline in _polygons(photo, index):
                draw.polygon([tuple(point) for point in outline.tolist()], outline=color_of_class)
            if photo.objects.keypoints is not None:
                _draw_keypoints(draw, photo.objects.keypoints[index], skeleton, color_of_class)
            _write(draw, (left + 2, top + 2), classes[class_id], color_of_class)
    return picture


def _masks(photo: LabeledPhoto) -> list[tuple[npt.NDArray[np.bool_], int]]:
    """Return the masks of a photo that are given by pixels, each with its class."""
    found: list[tuple[npt.NDArray[np.bool_], int]] = []
    if isinstance(photo.mask, np.ndarray):
        ids = [int(i) for i in np.unique(photo.mask) if i != _NO_CLASS]
        found += [(photo.mask == class_id, class_id) for class_id in ids]
    if photo.objects is not None:
        pairs = zip(photo.objects.masks or (), photo.objects.class_ids.tolist(), strict=False)
        found += [(decode_rle(mask), int(i)) for mask, i in pairs if isinstance(mask, dict)]
    return found


def _polygons(photo: LabeledPhoto, index: int) -> Sequence[npt.NDArray[np.float32]]:
    masks: Sequence[Mask] = (photo.objects.masks if photo.objects else None) or ()
    return [] if index >= len(masks) or isinstance(masks[index], dict) else masks[index]


def _draw_keypoints(
    draw: ImageDraw,
    keypoints: npt.NDArray[np.float32],
    skeleton: Sequence[tuple[int, int]],
    color: _Color,
) -> None:
    """Draw the labeled keypoints of an object, and connect them."""
    points = [(x, y) if visible else None for x, y, visible in keypoints.tolist()]
    for first, second in skeleton:
        if 0 < first <= len(points) and 0 < second <= len(points):
            start, end = points[first - 1], points[second - 1]
            if start is not None and end is not None:
                draw.line((*start, *end), fill=color, width=2)
    for point in points:
        if point is not None:
            x, y = point
            draw.ellipse((x - 3, y - 3, x + 3, y + 3), fill=color)


def _write(draw: ImageDraw, place: tuple[float, float], text: str, color: _Color) -> None:
    draw.rectangle(draw.textbbox(place, text), fill=color)
    draw.text(place, text, fill=(0, 0, 0))


def _color(class_id: int) -> _Color:
    """Return a bright color; those of adjacent classes differ."""
    red, green, blue = colorsys.hsv_to_rgb(class_id * _GOLDEN % 1, 0.6, 1.0)
    return (round(red * 255), round(green * 255), round(blue * 255))

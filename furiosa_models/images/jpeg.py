"""JPEG, decoded by libjpeg-turbo (through simplejpeg) to the very pixels that Pillow gives.

Pillow decodes with the same library, but into four bytes a pixel of memory of its own, from which
the pixels then have to be copied twice. What this module does not take (CMYK, files that are
damaged in any way) is Pillow's, and so is every file where simplejpeg is not installed.
"""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = ["Resized", "decode_jpeg", "is_jpeg", "reduction"]

Resized: TypeAlias = "Callable[[int, int], tuple[int, int]]"
"""Height and width of a photo to the height and width that it is going to be resized to."""

_START = b"\xff\xd8\xff"
_ORIENTATION = 0x0112
_MOST_KEPT = 64 << 20  # bytes: photos of 22 megapixels
_APP1, _SCAN = 0xE1, 0xDA
_REDUCTIONS = 8, 4, 2  # those that libjpeg-turbo has fast transforms for
_TURNED: dict[int, Callable[[npt.NDArray[Any]], npt.NDArray[Any]]] = {
    2: lambda pixels: pixels[:, ::-1],
    3: lambda pixels: pixels[::-1, ::-1],
    4: lambda pixels: pixels[::-1],
    5: lambda pixels: pixels.swapaxes(0, 1),
    6: lambda pixels: pixels[::-1].swapaxes(0, 1),
    7: lambda pixels: pixels[::-1, ::-1].swapaxes(0, 1),
    8: lambda pixels: pixels[:, ::-1].swapaxes(0, 1),
}


def is_jpeg(head: bytes) -> bool:
    """Whether a file that starts with these bytes is a JPEG."""
    return head.startswith(_START)


def reduction(height: int, width: int, resized: Sequence[int]) -> int:
    """How many times smaller a photo can be decoded, no side below the one it is resized to.

    Args:
        height: Of the photo.
        width: Of the photo.
        resized: Height and width that it is going to be resized to.

    Returns:
        1, 2, 4 or 8.
    """
    fitting = (
        factor
        for factor in _REDUCTIONS
        if -(-height // factor) >= resized[0] and -(-width // factor) >= resized[1]
    )
    return next(fitting, 1)


class _Scratch(threading.local):
    """Memory for the pixels of one photo after the other, for each thread.

    Memory that is new costs a page fault for every four kilobytes: a fifth of the time that it
    takes to decode a photo.
    """

    memory: npt.NDArray[np.uint8] = np.empty(0, np.uint8)

    def of(self, size: int) -> npt.NDArray[np.uint8] | None:
        """So many bytes or more; None for so many that they are better given back."""
        if size > _MOST_KEPT:
            return None
        if len(self.memory) < size:
            self.memory = np.empty(size, np.uint8)
        return self.memory


_scratch = _Scratch()


def decode_jpeg(
    data: bytes, most_pixels: int, draft: Resized | None = None, *, fleeting: bool = False
) -> tuple[npt.NDArray[np.uint8], tuple[int, int]] | None:
    """Pixels of a JPEG, upright, and the height and width that it has undrafted.

    Args:
        data: The whole file.
        most_pixels: Number of pixels above which it is not decoded.
        draft: Decode at a half, a quarter or an eighth of the size where that is still no smaller
            than what this says; the inverse transforms of that size take less time.
        fleeting: The pixels are done with before this thread decodes the next photo, which may be
            put in their place.

    Returns:
        (h, w, 3) uint8, red first; or None for what Pillow has to decode.
    """
    simplejpeg = _simplejpeg()
    if simplejpeg is None:
        return None
    try:
        orientation = _orientation(data)
        height, width, space, _ = simplejpeg.decode_jpeg_header(data)
        if height * width > most_pixels or space in ("CMYK", "YCCK"):
            return None
        least = _least(height, width, orientation, draft)
        buffer = _scratch.of(3 * height * width) if fleeting else None
        pixels = simplejpeg.decode_jpeg(data, "RGB", buffer=buffer, **least)
    except Exception:  # what is wrong, if it matters at all, is for Pillow to say
        return None
    if orientation not in _TURNED:
        return pixels, (height, width)
    upright = np.ascontiguousarray(_TURNED[orientation](pixels))
    return upright, (width, height) if _is_sideways(orientation) else (height, width)


def _least(height: int, width: int, orientation: int, draft: Resized | None) -> dict[str, int]:
    """The least size to decode to, as simplejpeg takes it."""
    if draft is None:
        return {}
    sideways = _is_sideways(orientation)
    resized = draft(width, height)[::-1] if sideways else draft(height, width)
    factor = reduction(height, width, resized)
    return {"min_height": -(-height // factor), "min_width": -(-width // factor)}


def _is_sideways(orientation: int) -> bool:
    return orientation in (5, 6, 7, 8)


def _orientation(data: bytes) -> int:
    """How the photo is turned, as Pillow reads it off EXIF or XMP."""
    if not _may_be_turned(data):
        return 1
    from PIL import Image

    with Image.open(io.BytesIO(data), formats=("JPEG",)) as image:
        return int(image.getexif().get(_ORIENTATION, 1))


def _may_be_turned(data: bytes) -> bool:
    """Whether there is a segment APP1, that of EXIF and XMP, or what is there cannot be told.

    Opening the file with Pillow only to learn that it is upright would take longer than much of
    what follows.
    """
    at = len(_START) - 1
    while data[at : at + 1] == b"\xff":
        marker = data[at + 1]
        if marker in (_APP1, _SCAN):
            return marker == _APP1
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return True


@cache
def _simplejpeg() -> Any:
    try:
        import simplejpeg
    except ImportError:
        return None
    return simplejpeg

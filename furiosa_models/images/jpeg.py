"""JPEG, decoded by libjpeg-turbo (through simplejpeg) to the very pixels that Pillow gives.

Pillow decodes with the same library, but into four bytes a pixel of memory of its own, from which
the pixels then have to be copied twice. What this module does not take (CMYK, files that are
damaged in any way) is Pillow's, and so is every file where simplejpeg is not installed.

What decoding will hold and how long it can take is known from the header: a file of several scans
(a progressive one) is held as coefficients, whole, and each scan walks over all of them.
"""

from __future__ import annotations

import io
import logging
import struct
import threading
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from ..errors import ImageError
from ..progress import log_warning
from .budget import affordable, check_bytes
from .warned import named_warnings

__all__ = [
    "TURNED",
    "JpegHeader",
    "Resized",
    "decode_jpeg",
    "is_jpeg",
    "is_sideways",
    "read_header",
    "reduction",
]

logger = logging.getLogger(__name__)

Resized: TypeAlias = "Callable[[int, int], tuple[int, int]]"
"""Height and width of a photo to the height and width that it is going to be resized to."""

_START = b"\xff\xd8\xff"
_ORIENTATION = 0x0112
_EXIF = b"Exif\0\0"
_XMP_ORIENTATION = b"tiff:Orientation"
_SHORT = 3
_TIFF_SIZES = {1: 1, 2: 1, _SHORT: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8}
_MOST_KEPT = 64 << 20  # bytes: photos of 22 megapixels
_SCAN, _END = 0xDA, 0xD9
_START_OF_SCAN, _EXIF_OR_XMP = b"\xff\xda", b"\xe1"
_FRAMES = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})
_PROGRESSIVE = frozenset({0xC2, 0xC6, 0xCA, 0xCE})
_ALONE = frozenset({0x00, 0x01, *range(0xD0, 0xD8)})  # markers without a length
_REDUCTIONS = 8, 4, 2  # those that libjpeg-turbo has fast transforms for
_MOST_REDUCED = 1 << 30  # pixels of a photo that is decoded reduced
_SCANS = 20  # encoders write 10, of four channels 18
_SCANNED = 1 << 27  # pixels times scans of a file that has more
TURNED: dict[int, Callable[[npt.NDArray[Any]], npt.NDArray[Any]]] = {
    2: lambda pixels: pixels[:, ::-1],
    3: lambda pixels: pixels[::-1, ::-1],
    4: lambda pixels: pixels[::-1],
    5: lambda pixels: pixels.swapaxes(0, 1),
    6: lambda pixels: pixels[::-1].swapaxes(0, 1),
    7: lambda pixels: pixels[::-1, ::-1].swapaxes(0, 1),
    8: lambda pixels: pixels[:, ::-1].swapaxes(0, 1),
}
"""What makes a photo upright, by its EXIF orientation."""


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


class JpegHeader(NamedTuple):
    """What a JPEG says of itself before its first scan.

    Attributes:
        height: Of the photo as it is stored.
        width: Likewise.
        channels: 1, 3 or 4.
        coefficients: Bytes of coefficients that a decoder holds: 0 of one that decodes row by row.
        scans: Number of scans, of a file that is held as coefficients.
    """

    height: int
    width: int
    channels: int
    coefficients: int
    scans: int

    def needed(self, factor: int, bytes_per_pixel: int) -> int:
        """Bytes that decoding at a fraction of the size holds, but for the file."""
        height, width = -(-self.height // factor), -(-self.width // factor)
        return self.coefficients + bytes_per_pixel * height * width

    def check_scans(self, name: str) -> None:
        """Raise ImageError where the scans would keep a decoder busy for long."""
        if self.scans > _SCANS and self.scans * self.height * self.width > _SCANNED:
            msg = (
                f"image {name!r} of {self.width}x{self.height} pixels has {self.scans} scans, "
                f"which take long to decode; at most {_SCANS} are read of one of its size"
            )
            raise ImageError(msg)

    def affordable_factor(
        self, name: str, factor: int, needed: Resized | None, bytes_per_pixel: int, file_size: int
    ) -> int:
        """How many times smaller to decode the photo so that it fits into the limits.

        Args:
            name: What to call the photo.
            factor: How many times smaller it is wanted in any case.
            needed: What it is going to be resized to, as it is stored; None where it is wanted
                whole.
            bytes_per_pixel: That the decoder holds.
            file_size: Bytes of the file.

        Raises:
            ImageError: It does not fit, or only at a size below the one that is needed.
        """

        def fits(smaller: int) -> bool:
            height, width = -(-self.height // smaller), -(-self.width // smaller)
            return affordable(file_size + self.needed(smaller, bytes_per_pixel), width, height)

        if fits(factor):
            return factor
        whole = file_size + self.needed(1, bytes_per_pixel)
        largest = 1
        if needed is not None and self.height * self.width <= _MOST_REDUCED:
            largest = reduction(self.height, self.width, needed(self.height, self.width))
        for smaller in (2, 4, 8):
            if factor < smaller <= largest and fits(smaller):
                log_warning(
                    logger,
                    "image %r: decoded at 1/%d of its %dx%d pixels, more than the network takes; "
                    "whole it would take %.0f MB",
                    *(name, smaller, self.width, self.height, whole / 1e6),
                )
                return smaller
        check_bytes(name, whole, self.width, self.height)
        return factor


def read_header(data: bytes) -> JpegHeader | None:
    """Return what a JPEG says of itself; None where that cannot be told."""
    frame, progressive, at = 0, False, len(_START) - 1
    while 0 < (at := data.find(b"\xff", at)) < len(data) - 3:  # what is between is skipped
        marker = data[at + 1]
        if marker in _FRAMES:
            frame, progressive = at, marker in _PROGRESSIVE
        elif marker == _SCAN:
            return _header_of(data, frame, at, progressive=progressive) if frame else None
        elif marker == _END:
            return None
        if marker == 0xFF:
            at += 1
        elif marker in _ALONE:
            at += 2
        else:
            at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return None


def _header_of(data: bytes, frame: int, scan: int, *, progressive: bool) -> JpegHeader | None:
    """Read the frame header at `frame`, before the scan header at `scan`."""
    height, width = (int.from_bytes(data[at : at + 2], "big") for at in (frame + 5, frame + 7))
    if scan < frame + 10:
        return None
    channels = data[frame + 9]
    factors = [data[frame + 11 + 3 * i] for i in range(channels) if frame + 11 + 3 * i < scan]
    if len(factors) != channels or not channels or not all(f >> 4 and f & 15 for f in factors):
        return None
    coefficients = scans = 0
    if progressive or data[scan + 4] < channels:
        most = max(f >> 4 for f in factors) * max(f & 15 for f in factors)
        blocks = (-(-height // 8) + 1) * (-(-width // 8) + 1)
        coefficients = 128 * blocks * sum((f >> 4) * (f & 15) for f in factors) // most
        scans = data.count(b"\xff\xda", scan)
    return JpegHeader(height, width, channels, coefficients, scans)


def decode_jpeg(
    data: bytes,
    name: str,
    draft: Resized | None = None,
    *,
    needed: Resized | None = None,
    fleeting: bool = False,
) -> tuple[npt.NDArray[np.uint8], tuple[int, int]] | None:
    """Pixels of a JPEG, upright, and the height and width that it has undrafted.

    Args:
        data: The whole file.
        name: What to call it.
        draft: Decode at a half, a quarter or an eighth of the size where that is still no smaller
            than what this says; the inverse transforms of that size take less time.
        needed: Do so only if it is too large otherwise.
        fleeting: The pixels are done with before this thread decodes the next photo, which may be
            put in their place.

    Returns:
        (h, w, 3) uint8, red first; or None for what Pillow has to decode.

    Raises:
        ImageError: It is too large, or has too many scans.
    """
    simplejpeg = _simplejpeg()
    header = read_header(data)
    if header is not None:
        header.check_scans(name)
    if simplejpeg is None or header is None or header.channels not in (1, 3):
        return None
    orientation = _orientation(data, name)
    height, width = header.height, header.width
    if not (height and width):
        return None
    factor = (
        1 if draft is None else reduction(height, width, stored(draft, orientation)(height, width))
    )
    factor = header.affordable_factor(
        name,
        factor,
        stored(needed, orientation) if needed else None,
        6 if orientation in TURNED else 3,
        len(data),
    )
    least = {"min_height": -(-height // factor), "min_width": -(-width // factor)}
    try:
        buffer = _scratch.of(3 * least["min_height"] * least["min_width"]) if fleeting else None
        pixels = simplejpeg.decode_jpeg(data, "RGB", buffer=buffer, **(least if factor > 1 else {}))
    except Exception:  # what is wrong, if it matters at all, is for Pillow to say
        return None
    if orientation not in TURNED:
        return pixels, (height, width)
    upright = np.ascontiguousarray(TURNED[orientation](pixels))
    return upright, (width, height) if is_sideways(orientation) else (height, width)


def stored(resized: Resized, orientation: int) -> Resized:
    """What an upright photo is resized to, of the photo as it is stored."""
    if not is_sideways(orientation):
        return resized
    return lambda height, width: resized(width, height)[::-1]


def is_sideways(orientation: int) -> bool:
    """Whether a photo of an orientation is stored lying on its side."""
    return orientation in (5, 6, 7, 8)


def _orientation(data: bytes, name: str) -> int:
    """Return how the photo is turned, as Pillow reads it off EXIF or XMP; 1 if these are damaged.

    Opening the file with Pillow takes longer than much of what follows, so that it is left to what
    is said in an unusual way.
    """
    found = _plain_orientation(data)
    if found is not None:
        return found
    from PIL import Image

    try:
        with named_warnings(name), Image.open(io.BytesIO(data), formats=("JPEG",)) as image:
            return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # Pillow raises whatever a damaged block provokes
        return 1


def _plain_orientation(data: bytes) -> int | None:
    """Return the orientation that a file states in the usual way; None if Pillow has to read it."""
    blocks = []
    at = len(_START) - 1
    while (marker := data[at : at + 2])[:1] == b"\xff" and marker != _START_OF_SCAN:
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if marker[1:] == _EXIF_OR_XMP:
            blocks.append(data[at + 4 : end])
        at = end
    if marker != _START_OF_SCAN:
        return None
    exif = [block[len(_EXIF) :] for block in blocks if block.startswith(_EXIF)]
    if len(exif) > 1:
        return None
    orientation = _orientation_tag(exif[0]) if exif else 0
    if orientation == 0:  # then XMP may say it
        return None if any(_XMP_ORIENTATION in block for block in blocks) else 1
    return orientation


def _orientation_tag(tiff: bytes) -> int | None:
    """Return the orientation in a TIFF header; 0 if it has none, None if anything is unusual."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
    if order is None or len(tiff) < 10:
        return None
    (first,) = struct.unpack_from(order + "L", tiff, 4)
    if not 8 <= first <= len(tiff) - 2:
        return None
    (count,) = struct.unpack_from(order + "H", tiff, first)
    start = first + 2
    if start + 12 * count + 4 > len(tiff):
        return None
    found = 0
    for tag, kind, number, value in struct.iter_unpack(
        order + "HHL4s", tiff[start : start + 12 * count]
    ):
        size = number * _TIFF_SIZES.get(kind, 0)
        (place,) = struct.unpack(order + "L", value)
        if not size or (size > 4 and place + size > len(tiff)):
            return None
        if tag == _ORIENTATION:
            (one, _) = struct.unpack(order + "HH", value)
            if found or (kind, number) != (_SHORT, 1) or one not in range(1, 9):
                return None
            found = one
    return found


@cache
def _simplejpeg() -> Any:
    try:
        import simplejpeg
    except ImportError:
        return None
    return simplejpeg

"""Decode JPEG with libjpeg-turbo (through simplejpeg); the pixels equal Pillow's.

Pillow uses the same library, but decodes into its own memory with four bytes per pixel, which then
has to be copied twice. Files that this module does not handle (CMYK, damaged files), and all files
if simplejpeg is not installed, are left to Pillow.

The header tells how much memory and time decoding takes: files with several scans (progressive
JPEG) keep all coefficients in memory, and every scan processes all of them.
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
from .decoder_warnings import log_decoder_warnings
from .limits import check_bytes, is_affordable

__all__ = [
    "UPRIGHT_TRANSFORMS",
    "JpegHeader",
    "TargetSize",
    "decode_jpeg",
    "is_jpeg",
    "is_sideways",
    "read_header",
    "reduction_factor",
]

logger = logging.getLogger(__name__)

TargetSize: TypeAlias = "Callable[[int, int], tuple[int, int]]"
"""Function of a photo's height and width that returns the size it will be resized to."""

_START = b"\xff\xd8\xff"
_ORIENTATION = 0x0112
_EXIF = b"Exif\0\0"
_XMP_ORIENTATION = b"tiff:Orientation"
_SHORT = 3
_TIFF_SIZES = {1: 1, 2: 1, _SHORT: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8}
_MAX_BUFFER = 64 << 20  # bytes; enough for 22 megapixels
_SCAN, _END = 0xDA, 0xD9
_START_OF_SCAN, _EXIF_OR_XMP = b"\xff\xda", b"\xe1"
_FRAMES = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})
_PROGRESSIVE = frozenset({0xC2, 0xC6, 0xCA, 0xCE})
_STANDALONE_MARKERS = frozenset({0x00, 0x01, *range(0xD0, 0xD8)})  # markers without a length
_REDUCTIONS = 8, 4, 2  # libjpeg-turbo has fast transforms for these
_MAX_REDUCED_PIXELS = 1 << 30  # pixels of a photo that is decoded at a reduced size
_MAX_SCANS = 20  # encoders write 10, or 18 for four channels
_MAX_SCANNED_PIXELS = 1 << 27  # pixels times scans, for files with more scans
UPRIGHT_TRANSFORMS: dict[int, Callable[[npt.NDArray[Any]], npt.NDArray[Any]]] = {
    2: lambda pixels: pixels[:, ::-1],
    3: lambda pixels: pixels[::-1, ::-1],
    4: lambda pixels: pixels[::-1],
    5: lambda pixels: pixels.swapaxes(0, 1),
    6: lambda pixels: pixels[::-1].swapaxes(0, 1),
    7: lambda pixels: pixels[::-1, ::-1].swapaxes(0, 1),
    8: lambda pixels: pixels[:, ::-1].swapaxes(0, 1),
}
"""Functions that turn a photo upright, by EXIF orientation."""


def is_jpeg(head: bytes) -> bool:
    """Return whether a file with this beginning is a JPEG."""
    return head.startswith(_START)


def reduction_factor(height: int, width: int, resized: Sequence[int]) -> int:
    """Return how many times smaller a photo can be decoded and still cover the target size.

    Args:
        height: Height of the photo.
        width: Width of the photo.
        resized: Target height and width.

    Returns:
        1, 2, 4 or 8.
    """
    fitting_factors = (
        factor
        for factor in _REDUCTIONS
        if -(-height // factor) >= resized[0] and -(-width // factor) >= resized[1]
    )
    return next(fitting_factors, 1)


class _ReusableBuffer(threading.local):
    """A buffer for the pixels of one photo after another, one per thread.

    New memory costs a page fault per 4 KiB, which takes a fifth of the time of decoding a photo.
    """

    array: npt.NDArray[np.uint8] = np.empty(0, np.uint8)

    def of(self, size: int) -> npt.NDArray[np.uint8] | None:
        """Return a buffer of at least `size` bytes; None if that is too much memory to keep."""
        if size > _MAX_BUFFER:
            return None
        if len(self.array) < size:
            self.array = np.empty(size, np.uint8)
        return self.array


_reusable_buffer = _ReusableBuffer()


class JpegHeader(NamedTuple):
    """Properties of a JPEG, from its segments before the first scan.

    Attributes:
        height: Height of the photo as stored, before EXIF orientation.
        width: Width of the photo as stored.
        channels: 1, 3 or 4.
        coefficients: Bytes of coefficients that a decoder keeps; 0 if it decodes row by row.
        scans: Number of scans, if coefficients are kept.
    """

    height: int
    width: int
    channels: int
    coefficients: int
    scans: int

    def needed(self, factor: int, bytes_per_pixel: int) -> int:
        """Return the bytes that decoding at 1/`factor` of the size holds, without the file."""
        height, width = -(-self.height // factor), -(-self.width // factor)
        return self.coefficients + bytes_per_pixel * height * width

    def check_scans(self, name: str) -> None:
        """Check that the number of scans does not make decoding too slow.

        Raises:
            ImageError: There are too many scans for a photo of this size.
        """
        if self.scans > _MAX_SCANS and self.scans * self.height * self.width > _MAX_SCANNED_PIXELS:
            msg = (
                f"image {name!r} of {self.width}x{self.height} pixels has {self.scans} scans, "
                f"which take too long to decode; expected at most {_MAX_SCANS} for this size"
            )
            raise ImageError(msg)

    def affordable_factor(
        self,
        name: str,
        factor: int,
        needed: TargetSize | None,
        bytes_per_pixel: int,
        file_size: int,
    ) -> int:
        """Return how many times smaller to decode the photo so that it fits the memory limit.

        Args:
            name: Name of the photo.
            factor: Minimum factor.
            needed: Returns the size that the photo, as stored, will be resized to; None to require
                the full size.
            bytes_per_pixel: Bytes per pixel that the decoder holds.
            file_size: Size of the file in bytes.

        Raises:
            ImageError: The photo does not fit, or only at a size below the one needed.
        """

        def fits_limits(smaller: int) -> bool:
            height, width = -(-self.height // smaller), -(-self.width // smaller)
            return is_affordable(file_size + self.needed(smaller, bytes_per_pixel), width, height)

        if fits_limits(factor):
            return factor
        whole = file_size + self.needed(1, bytes_per_pixel)
        largest = 1
        if needed is not None and self.height * self.width <= _MAX_REDUCED_PIXELS:
            largest = reduction_factor(self.height, self.width, needed(self.height, self.width))
        for smaller in (2, 4, 8):
            if factor < smaller <= largest and fits_limits(smaller):
                log_warning(
                    logger,
                    "image %r: decoded at 1/%d of its %dx%d pixels, still more than needed; at "
                    "full size it would take %.0f MB",
                    *(name, smaller, self.width, self.height, whole / 1e6),
                )
                return smaller
        check_bytes(name, whole, self.width, self.height)
        return factor


def read_header(data: bytes) -> JpegHeader | None:
    """Return the header of a JPEG, or None if it cannot be parsed."""
    frame, progressive, at = 0, False, len(_START) - 1
    while 0 < (at := data.find(b"\xff", at)) < len(data) - 3:  # skip anything between segments
        marker = data[at + 1]
        if marker in _FRAMES:
            frame, progressive = at, marker in _PROGRESSIVE
        elif marker == _SCAN:
            return _parse_header(data, frame, at, progressive=progressive) if frame else None
        elif marker == _END:
            return None
        if marker == 0xFF:
            at += 1
        elif marker in _STANDALONE_MARKERS:
            at += 2
        else:
            at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return None


def _parse_header(data: bytes, frame: int, scan: int, *, progressive: bool) -> JpegHeader | None:
    """Parse the frame header at `frame`, which comes before the scan header at `scan`."""
    height, width = (int.from_bytes(data[at : at + 2], "big") for at in (frame + 5, frame + 7))
    if scan < frame + 10 or scan + 4 >= len(data):
        return None
    channels = data[frame + 9]
    factors = [data[frame + 11 + 3 * i] for i in range(channels) if frame + 11 + 3 * i < scan]
    if len(factors) != channels or not channels or not all(f >> 4 and f & 15 for f in factors):
        return None
    coefficients = scans = 0
    if progressive or data[scan + 4] < channels:
        max_sampling = max(f >> 4 for f in factors) * max(f & 15 for f in factors)
        blocks = (-(-height // 8) + 1) * (-(-width // 8) + 1)
        coefficients = 128 * blocks * sum((f >> 4) * (f & 15) for f in factors) // max_sampling
        scans = data.count(b"\xff\xda", scan)
    return JpegHeader(height, width, channels, coefficients, scans)


def decode_jpeg(
    data: bytes,
    name: str,
    draft: TargetSize | None = None,
    *,
    needed: TargetSize | None = None,
    reuse_buffer: bool = False,
) -> tuple[npt.NDArray[np.uint8], tuple[int, int]] | None:
    """Decode a JPEG and turn it upright; return its pixels, and the size of the full photo.

    Args:
        data: The whole file.
        name: Name of the photo.
        draft: Returns the target size. The photo is decoded at a half, a quarter or an eighth of
            its size if that is not smaller than the target, which takes less time.
        needed: Likewise, but only for photos that are too large otherwise.
        reuse_buffer: Return pixels in a buffer that the next call in this thread overwrites.

    Returns:
        Pixels as (h, w, 3) uint8 RGB, and height and width of the full photo; None if Pillow has to
        decode the file.

    Raises:
        ImageError: The photo is too large, or has too many scans.
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
        1
        if draft is None
        else reduction_factor(
            height, width, for_stored_orientation(draft, orientation)(height, width)
        )
    )
    factor = header.affordable_factor(
        name,
        factor,
        for_stored_orientation(needed, orientation) if needed else None,
        6 if orientation in UPRIGHT_TRANSFORMS else 3,
        len(data),
    )
    min_size = {"min_height": -(-height // factor), "min_width": -(-width // factor)}
    try:
        buffer = (
            _reusable_buffer.of(3 * min_size["min_height"] * min_size["min_width"])
            if reuse_buffer
            else None
        )
        pixels = simplejpeg.decode_jpeg(
            data, "RGB", buffer=buffer, **(min_size if factor > 1 else {})
        )
    except Exception:  # let Pillow try, and report the error
        return None
    if orientation not in UPRIGHT_TRANSFORMS:
        return pixels, (height, width)
    upright = np.ascontiguousarray(UPRIGHT_TRANSFORMS[orientation](pixels))
    return upright, (width, height) if is_sideways(orientation) else (height, width)


def for_stored_orientation(resized: TargetSize, orientation: int) -> TargetSize:
    """Convert a target size of the upright photo to one of the photo as stored."""
    if not is_sideways(orientation):
        return resized
    return lambda height, width: resized(width, height)[::-1]


def is_sideways(orientation: int) -> bool:
    """Return whether an EXIF orientation swaps height and width."""
    return orientation in (5, 6, 7, 8)


def _orientation(data: bytes, name: str) -> int:
    """Return the EXIF orientation as Pillow reads it (EXIF or XMP); 1 if it is damaged.

    Opening the file with Pillow is slow, so only files with unusual metadata are left to it.
    """
    found = _plain_orientation(data)
    if found is not None:
        return found
    from PIL import Image

    try:
        with log_decoder_warnings(name), Image.open(io.BytesIO(data), formats=("JPEG",)) as image:
            return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # Pillow may raise anything for damaged EXIF
        return 1


def _plain_orientation(data: bytes) -> int | None:
    """Return an orientation that is stated in the usual way; None if Pillow must read it."""
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

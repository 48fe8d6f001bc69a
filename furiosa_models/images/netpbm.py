"""Netpbm files that Pillow unpacks number by number: plain ones, and those of odd depths.

Binary files of one or 255 are Pillow's. The pixels are those that it gives, in a hundredth of the
time.
"""

from __future__ import annotations

import re

import numpy as np
import numpy.typing as npt

from .budget import check_bytes

__all__ = ["decode_netpbm"]

_Pixels = npt.NDArray[np.uint8]
_COMMENT = re.compile(rb"#[^\r\n]*")
_TOKEN = re.compile(rb"(?:[ \t\r\n\v\f]|#[^\r\n]*[\r\n])*([^ \t\r\n\v\f#]+)")
_NUMBERS = b"0123456789 \t\r\n\v\f"
_LARGEST = 65535
_BAND = 1 << 20
_HEAD = 4096  # bytes that the header with its comments may take
_PLAIN_BITS, _PLAIN_GRAY, _PLAIN_COLOR, _BITS, _GRAY, _COLOR = range(1, 7)


def decode_netpbm(data: bytes, name: str) -> _Pixels | None:
    """Return (h, w, 3) uint8, or None for a file that Pillow has to decode.

    Args:
        data: The whole file.
        name: What to call it.

    Raises:
        ImageError: It is too large.
        ValueError: It is damaged.
    """
    kind = data[1] - ord("0")
    if kind == _BITS:
        return None
    at, words = 2, []
    for _ in range(2 if kind == _PLAIN_BITS else 3):
        match = _TOKEN.match(data[:_HEAD], at)
        if match is None or not match[1].isdigit() or len(match[1]) > 9:
            msg = "its header is damaged"
            raise ValueError(msg)
        words.append(int(match[1]))
        at = match.end()
    width, height, largest = (*words, 1)[:3]
    if kind in (_GRAY, _COLOR) and largest == 255:
        return None
    if not (width and height and 0 < largest <= _LARGEST):
        msg = f"its header says {width}x{height} pixels of at most {largest}"
        raise ValueError(msg)
    channels = 3 if kind in (_PLAIN_COLOR, _COLOR) else 1
    count = width * height * channels
    is_binary = kind in (_GRAY, _COLOR)
    held = len(data) + count if is_binary else 4 * len(data) + 5 * count
    check_bytes(name, held, width, height)
    if is_binary:
        numbers = _binary(data, at + 1, count, largest)
    else:
        numbers = _plain(data, at, count, bits=kind == _PLAIN_BITS)
    if numbers.min() < 0 or numbers.max() > largest:
        msg = f"it holds numbers above {largest}, the largest that its header allows"
        raise ValueError(msg)
    table = _levels(largest, gray=channels == 1)
    if kind == _PLAIN_BITS:
        table = table[::-1]  # 1 is black
    pixels = np.empty(count, np.uint8)
    for at in range(0, count, _BAND):  # which are held as indexes of eight bytes
        pixels[at : at + _BAND] = table[numbers[at : at + _BAND]]
    return np.broadcast_to(pixels.reshape(height, width, channels), (height, width, 3))


def _binary(data: bytes, at: int, count: int, largest: int) -> npt.NDArray[np.integer]:
    dtype = np.dtype(">u2" if largest > 255 else "u1")
    if len(data) - at < count * dtype.itemsize:
        msg = f"it is cut off: {max(0, len(data) - at)} bytes of {count * dtype.itemsize}"
        raise ValueError(msg)
    return np.frombuffer(data, dtype, count, at)


def _plain(data: bytes, at: int, count: int, *, bits: bool) -> npt.NDArray[np.integer]:
    text = data[at:]
    if b"#" in text:
        text = _COMMENT.sub(b"", text)
    if foreign := text.translate(None, _NUMBERS):
        msg = f"it holds {foreign[:10]!r} where numbers were expected"
        raise ValueError(msg)
    if bits:  # which need nothing between them
        numbers = np.frombuffer(text.translate(None, b" \t\r\n\v\f"), np.uint8) - ord("0")
    elif text.strip():
        numbers = np.fromstring(text.decode("ascii"), np.int32, sep=" ")
    else:
        numbers = np.empty(0, np.int32)
    if len(numbers) < count:
        msg = f"it is cut off: {len(numbers)} numbers of {count}"
        raise ValueError(msg)
    return np.asarray(numbers[:count])


def _levels(largest: int, *, gray: bool) -> _Pixels:
    """The byte of each number, rounded as Pillow rounds it."""
    steps = np.arange(largest + 1) / largest
    if gray and largest > 255:  # by way of 16 bits
        return (np.rint(steps * _LARGEST).astype(np.int64) >> 8).astype(np.uint8)
    return np.rint(steps * 255).astype(np.uint8)

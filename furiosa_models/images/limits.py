"""How much memory the decoding of a photo may take: known before it begins, from its header."""

from __future__ import annotations

from ..errors import ImageError

__all__ = ["MAX_BYTES", "MAX_ENCODED_BYTES", "MAX_PIXELS", "check_bytes", "is_affordable"]

MAX_BYTES = 480_000_000
"""Most bytes that decoding one photo may hold at any time, its pixels and its file included."""

MAX_PIXELS = 178_956_970
"""Most pixels of a photo that is decoded whole: Pillow's own limit."""

MAX_ENCODED_BYTES = 128 << 20
"""Most bytes of an encoded photo that are taken into memory: of a body, a stream, a JPEG file."""


def is_affordable(needed: int, width: int, height: int) -> bool:
    """Whether a photo is within the limits.

    Args:
        needed: Bytes that decoding it holds.
        width: Of what is decoded.
        height: Likewise.
    """
    return needed <= MAX_BYTES and width * height <= MAX_PIXELS


def check_bytes(name: str, needed: int, width: int, height: int) -> None:
    """Raise unless a photo is `is_affordable`.

    Args:
        name: What to call it.
        needed: Bytes that decoding it holds.
        width: Of the photo.
        height: Likewise.

    Raises:
        ImageError: It is not.
    """
    if not is_affordable(needed, width, height):
        msg = (
            f"image {name!r} is too large: {width}x{height} pixels, {width * height} in all, take "
            f"{needed / 1e6:.0f} MB to decode; the limits are {MAX_PIXELS} pixels and "
            f"{MAX_BYTES / 1e6:.0f} MB: make it smaller, or pass its pixels as an array"
        )
        raise ImageError(msg)

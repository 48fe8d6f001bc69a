"""Limits on the memory that decoding a photo may take, checked before decoding."""

from __future__ import annotations

from ..errors import ImageError

__all__ = ["MAX_BYTES", "MAX_ENCODED_BYTES", "MAX_PIXELS", "check_bytes", "is_affordable"]

MAX_BYTES = 480_000_000
"""Maximum bytes that decoding one photo may hold at any time, including its pixels and file."""

MAX_PIXELS = 178_956_970
"""Maximum pixels of a photo that is decoded at full size: Pillow's own limit."""

MAX_ENCODED_BYTES = 128 << 20
"""Maximum bytes of an encoded photo that is read into memory: a body, a stream, a JPEG file."""


def is_affordable(needed: int, width: int, height: int) -> bool:
    """Return whether decoding a photo stays within the limits.

    Args:
        needed: Bytes that decoding holds.
        width: Width of the decoded image.
        height: Height of the decoded image.
    """
    return needed <= MAX_BYTES and width * height <= MAX_PIXELS


def check_bytes(name: str, needed: int, width: int, height: int) -> None:
    """Check that decoding a photo stays within the limits.

    Args:
        name: Name of the photo.
        needed: Bytes that decoding holds.
        width: Width of the photo.
        height: Height of the photo.

    Raises:
        ImageError: The photo is too large.
    """
    if not is_affordable(needed, width, height):
        msg = (
            f"image {name!r} is too large: {width}x{height} pixels, {width * height} in all, take "
            f"{needed / 1e6:.0f} MB to decode; the limits are {MAX_PIXELS} pixels and "
            f"{MAX_BYTES / 1e6:.0f} MB: make it smaller, or pass its pixels as an array"
        )
        raise ImageError(msg)

"""Size of a photo, from its header."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, BinaryIO

from ..errors import ImageError
from .decode import read_all
from .decoder_warnings import log_decoder_warnings
from .formats import heif_module, recognize
from .jpeg import is_sideways
from .read import read_image

__all__ = ["read_size"]

_HEADER_SIZE = 64  # bytes that identify a format
_ORIENTATION = 0x0112
_SIZE = (256, 257)  # tags of width and height


def read_size(path: Path) -> tuple[int, int]:
    """Return the width and height of a photo after its EXIF orientation is applied.

    Pixels are decoded only if the header cannot be read otherwise.

    Raises:
        ImageError: The file cannot be read, or is not a photo.
    """
    try:
        size = None
        if path.is_file():  # opening a pipe may block
            with path.open("rb") as file:
                size = _size_in_header(file, str(path))
    except OSError as error:
        msg = f"image {str(path)!r} cannot be opened: {error.strerror or error}"
        raise ImageError(msg) from error
    if size is not None:
        return size
    height, width = read_image(path).pixels.shape[:2]  # or an ImageError that says why not
    return width, height


def _size_in_header(file: BinaryIO, name: str) -> tuple[int, int] | None:
    """Return the upright width and height; None if the format is unknown or the header damaged."""
    from PIL import Image

    photo_format = recognize(file.read(_HEADER_SIZE))
    if photo_format is None or photo_format.problem:
        return None
    file.seek(0)
    try:
        if not photo_format.plugin:
            width, height = heif_module().open_heif(io.BytesIO(read_all(file, name))).size
            return int(width), int(height)
        with (
            log_decoder_warnings(name),
            Image.open(file, formats=(photo_format.plugin,)) as image,
        ):
            tags: Any = getattr(image, "tag_v2", {})  # Pillow may have turned the size of a TIFF
            width, height = (int(tags.get(t, n)) for t, n in zip(_SIZE, image.size, strict=True))
            sideways = is_sideways(int(image.getexif().get(_ORIENTATION, 1)))
    except Exception:  # decoders may raise anything; decoding will tell what is wrong
        return None
    return (height, width) if sideways else (width, height)

"""ICC color profiles of photos. Networks ignore them; saved pictures keep them."""

from __future__ import annotations

import io
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from ..progress import log_warning
from .decoder_warnings import log_decoder_warnings
from .formats import recognize
from .read import EncodedPhoto, is_url

if TYPE_CHECKING:
    from PIL.Image import Image as PILImage

__all__ = ["color_profile"]

logger = logging.getLogger(__name__)

_FORMATS = frozenset({"JPEG", "PNG", "TIFF", "WebP"})
_HEAD = 64  # bytes that identify a format
_COLOR_SPACE = slice(16, 20)  # bytes of a profile
_MAX_BYTES = 4 << 20


def color_profile(photo: Any) -> bytes | None:
    """Return the ICC profile of a photo, or None.

    Args:
        photo: A file (JPEG, PNG, TIFF or WebP), an encoded photo, or a PIL image; any other source
            has none. Profiles of other color spaces than RGB are ignored, since the decoded pixels
            are RGB.
    """
    from PIL import Image

    if isinstance(photo, Image.Image):
        return _read_from_image(photo)
    if isinstance(photo, EncodedPhoto):
        return _read_from_file(io.BytesIO(photo.data), photo.name)
    if not isinstance(photo, (str, Path)) or is_url(str(photo)) or not Path(photo).is_file():
        return None
    with Path(photo).open("rb") as file:
        return _read_from_file(file, str(photo))


def _read_from_file(file: BinaryIO, name: str) -> bytes | None:
    from PIL import Image

    photo_format = recognize(file.read(_HEAD))
    if photo_format is None or photo_format.name not in _FORMATS:
        return None
    file.seek(0)
    try:
        with log_decoder_warnings(name), Image.open(file, formats=[photo_format.plugin]) as picture:
            return _read_from_image(picture)
    except Exception as error:  # decoders may raise anything for a damaged file
        log_warning(logger, "%r: its color profile cannot be read: %s", name, error)
        return None


def _read_from_image(picture: PILImage) -> bytes | None:
    profile = picture.info.get("icc_profile")
    is_usable = (
        isinstance(profile, bytes)
        and profile[_COLOR_SPACE] == b"RGB "
        and len(profile) <= _MAX_BYTES
    )
    return profile if is_usable else None

"""Decode photos: pick a decoder by format, and stay within the limits of memory and time.

JPEG goes to libjpeg-turbo. `netpbm` and `tiff` read what Pillow reads slowly or wrongly. HEIC needs
the extra `heif`. Pillow reads everything else. Only the first picture of an animation is read.
Color profiles (ICC) are not applied, as in OpenCV: networks were trained on the stored pixels.
"""

from __future__ import annotations

import io
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt

from ..errors import FuriosaModelsError, ImageError
from ..progress import log_warning
from .color_conversion import to_rgb
from .decoder_warnings import log_decoder_warnings
from .formats import READABLE_FORMATS, PhotoFormat, describe_foreign, heif_module, recognize
from .jpeg import (
    UPRIGHT_TRANSFORMS,
    TargetSize,
    decode_jpeg,
    for_stored_orientation,
    is_sideways,
    read_header,
    reduction_factor,
)
from .limits import MAX_BYTES, MAX_ENCODED_BYTES, MAX_PIXELS, check_bytes, is_affordable

if TYPE_CHECKING:
    from PIL.Image import Image as PILImage

__all__ = ["DecodeOptions", "Pixels", "decode", "decode_picture", "decoding_bytes", "read_all"]

logger = logging.getLogger(__name__)

Pixels = npt.NDArray[np.uint8]

_HEADER_SIZE = 64  # bytes that identify a format
_READ_SIZE = 4 << 20  # bytes read from a stream at once
_CACHED_BLOCKS = 8  # Pillow's blocks of 16 MiB
_ORIENTATION = 0x0112
_SAMPLES = 0x0115
_PEAK_BYTES_PER_PIXEL = {"WEBP": 18.0, "AVIF": 13.0, "HEIF": 14.0, "SGI": 7.0}
"""Peak bytes per pixel of a decoder, if more than those of the picture."""

_MODE_BYTES_PER_PIXEL = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16B": 2, "I;16L": 2, "I;16N": 2}
"""Bytes per pixel of Pillow's modes; four for all others."""

_SLOW_DECODERS = frozenset({"bmp_rle", "ppm", "ppm_plain"})
_SLOW_PIXELS = 1 << 24
"""Pillow's decoders that are written in Python, and the maximum pixels they may decode."""

_JP2_BANDS = {"L": 1, "I;16": 1, "LA": 2, "RGB": 3, "YCbCr": 3}


class DecodeOptions(NamedTuple):
    """How to decode a photo; see `read_image`."""

    draft: TargetSize | None = None
    needed: TargetSize | None = None
    background: tuple[int, int, int] | None = None
    reuse_buffer: bool = False


def decode(
    source: bytes | BinaryIO, name: str, options: DecodeOptions
) -> tuple[Pixels, tuple[int, int] | None]:
    """Decode a photo.

    Args:
        source: The encoded photo, or a file that is read from its start.
        name: Name of the photo.
        options: How to decode it.

    Returns:
        Pixels as upright (h, w, 3) uint8 RGB; and height and width of the full photo, if it was
        decoded smaller.

    Raises:
        ImageError: The photo cannot be decoded.
    """
    head = source[:_HEADER_SIZE] if isinstance(source, bytes) else source.read(_HEADER_SIZE)
    photo_format = recognize(head)
    if photo_format is None:
        raise ImageError(_unreadable_message(name, describe_foreign(head)))
    if photo_format.problem:
        raise ImageError(_unreadable_message(name, photo_format.name, photo_format.problem))
    if photo_format.name not in ("JPEG", "Netpbm", "HEIC"):
        prepare = partial(_prepare, name=name, options=options)
        if isinstance(source, bytes):
            prepare = partial(prepare, file_size=len(source))
            source = io.BytesIO(source)
        return _decode_with_pillow(source, photo_format, name, options, prepare)
    data = source if isinstance(source, bytes) else _read_file(source, name)
    if photo_format.name == "JPEG":
        return _decode_jpeg(data, photo_format, name, options)
    with _naming_errors(name, photo_format):
        if photo_format.name == "HEIC":
            return _decode_heif(data, name, options), None
        from .netpbm import decode_netpbm

        pixels = decode_netpbm(data, name)
    if pixels is not None:
        return pixels, None
    prepare = partial(_prepare, name=name, options=options, file_size=len(data))
    return _decode_with_pillow(io.BytesIO(data), photo_format, name, options, prepare)


def decoding_bytes(data: bytes) -> int:
    """Return the maximum bytes that decoding a photo may hold, including its file.

    The estimate comes from the header and is rather too high than too low. A server uses it to
    limit the total memory of photos that it decodes at the same time.

    Args:
        data: The encoded photo.

    Returns:
        At most `MAX_BYTES`: a photo that needs more is refused, or decoded smaller.
    """
    photo_format = recognize(data[:_HEADER_SIZE])
    if photo_format is None or photo_format.problem:
        return len(data)
    try:
        needed = _max_picture_bytes(data, photo_format)
    except Exception:  # the header is damaged, or only our own readers parse it
        return MAX_BYTES if photo_format.name in ("TIFF", "Netpbm") else len(data)
    return min(len(data) + needed, MAX_BYTES)


def _max_picture_bytes(data: bytes, photo_format: PhotoFormat) -> int:
    """Return the maximum bytes that any way of decoding a photo holds, without its file."""
    if photo_format.name == "JPEG" and (header := read_header(data)):
        return header.needed(1, 7)
    if photo_format.name == "HEIC":
        width, height = heif_module().open_heif(data, convert_hdr_to_8bit=True).size
        return int(_PEAK_BYTES_PER_PIXEL["HEIF"] * int(width) * int(height))
    from PIL import Image

    with Image.open(io.BytesIO(data), formats=(photo_format.plugin,)) as image:
        pixels = int(image.width * image.height)
        if photo_format.name == "JPEG":
            return 15 * pixels
        if photo_format.name == "Netpbm":  # values may be text, or two bytes wide
            return 3 * len(data) + 22 * pixels
        tags: Any = getattr(image, "tag_v2", {})
        return max(_picture_bytes(image), pixels * (int(tags.get(_SAMPLES, 0)) + 7))


def read_all(file: BinaryIO, name: str) -> bytes:
    """Read the rest of a file object, up to the size limit.

    Args:
        file: A file object; `read` may return less than requested.
        name: Name of the photo.

    Raises:
        ImageError: There is more than the limit.
    """
    data = file.read(_READ_SIZE)
    chunks, size = [data], len(data)
    while data and (data := file.read(_READ_SIZE)):
        size += len(data)
        if size > MAX_ENCODED_BYTES:
            break
        chunks.append(data)
    if size > MAX_ENCODED_BYTES:
        raise ImageError(_too_large_message(name))
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def _read_file(file: BinaryIO, name: str) -> bytes:
    """Read a whole file from its start."""
    file.seek(0, os.SEEK_END)
    if file.tell() > MAX_ENCODED_BYTES:
        raise ImageError(_too_large_message(name))
    file.seek(0)
    return file.read()


def _too_large_message(name: str) -> str:
    return f"image {name!r} is larger than the limit of {MAX_ENCODED_BYTES} bytes"


def decode_picture(image: PILImage, name: str, options: DecodeOptions) -> Pixels:
    """Return the pixels of a PIL image. The image is loaded, but not changed otherwise.

    Raises:
        ImageError: The image cannot be loaded or converted.
    """
    if image.format == "EPS" and not _is_loaded(image):
        msg = f"image {name!r} is EPS: call its load() first, which starts Ghostscript"
        raise ImageError(msg)
    with _naming_errors(name), log_decoder_warnings(name):
        if not _is_loaded(image):
            if (pixels := _decode_with_own_readers(image, name, options)) is not None:
                return pixels
            if image.format not in ("JPEG", "MPO"):
                check_bytes(name, _picture_bytes(image), *image.size)
                _check_time(image, name)
        elif image.width * image.height > MAX_PIXELS:
            check_bytes(name, 3 * image.width * image.height, image.width, image.height)
        image.load()
        return _finish(image, name, options, copy=True)


def _decode_with_own_readers(image: PILImage, name: str, options: DecodeOptions) -> Pixels | None:
    """Return pixels of an unloaded image that Pillow would read slowly or wrongly, or None.

    The file's position is restored.
    """
    file: Any = getattr(image, "fp", None)
    if file is None or image.format not in ("JPEG", "MPO", "PPM", "TIFF"):
        return None
    if image.format == "TIFF":
        return _read_misread_tiff(file, name, options)
    at = file.tell()
    try:
        data = _read_file(file, name)
    finally:
        file.seek(at)
    if image.format == "PPM":
        from .netpbm import decode_netpbm

        return decode_netpbm(data, name)
    if header := read_header(data):
        header.check_scans(name)
        check_bytes(name, len(data) + header.needed(1, 7), *image.size)
    return None


def _decode_jpeg(
    data: bytes, photo_format: PhotoFormat, name: str, options: DecodeOptions
) -> tuple[Pixels, tuple[int, int] | None]:
    decoded = decode_jpeg(
        data, name, options.draft, needed=options.needed, reuse_buffer=options.reuse_buffer
    )
    if decoded is None:
        return _decode_jpeg_with_pillow(data, photo_format, name, options)
    pixels, size = decoded
    return pixels, None if size == pixels.shape[:2] else size


def _decode_jpeg_with_pillow(
    data: bytes, photo_format: PhotoFormat, name: str, options: DecodeOptions
) -> tuple[Pixels, tuple[int, int] | None]:
    """Decode what libjpeg-turbo cannot; reduce the size only if it is too large otherwise."""
    header = read_header(data)

    def prepare(image: PILImage) -> tuple[int, int] | None:
        if header is None or (header.height, header.width) != (image.height, image.width):
            # only the size is known: assume four channels and coefficients in memory
            check_bytes(name, len(data) + 15 * image.width * image.height, *image.size)
            return None
        orientation = _orientation(image)
        needed = for_stored_orientation(options.needed, orientation) if options.needed else None
        factor = header.affordable_factor(name, 1, needed, 7, len(data))
        if factor == 1:
            return None
        size = image.height, image.width
        image.draft(image.mode, (max(1, image.width // factor), max(1, image.height // factor)))
        return size[::-1] if is_sideways(orientation) else size

    return _decode_with_pillow(io.BytesIO(data), photo_format, name, options, prepare)


def _decode_with_pillow(
    file: BinaryIO,
    photo_format: PhotoFormat,
    name: str,
    options: DecodeOptions,
    prepare: Callable[[PILImage], tuple[int, int] | None],
) -> tuple[Pixels, tuple[int, int] | None]:
    """Open, prepare and load an image; `prepare` returns the full size if it reduced it."""
    from PIL import Image, UnidentifiedImageError

    _keep_pillow_blocks()
    with _naming_errors(name, photo_format), log_decoder_warnings(name):
        if (
            photo_format.name == "TIFF"
            and (pixels := _read_misread_tiff(file, name, options)) is not None
        ):
            return pixels, None
        file.seek(0)
        try:
            image = Image.open(file, formats=(photo_format.plugin,))
        except UnidentifiedImageError:
            if photo_format.name == "TIFF":
                return _read_plain_tiff(file, name, options), None
            if not photo_format.signatures and not photo_format.brands:
                raise ImageError(_unreadable_message(name, "")) from None
            msg = f"its {photo_format.name} header is damaged"
            raise ValueError(msg) from None
        with image:
            size = prepare(image)
            image.load()
            return _finish(image, name, options), size


def _prepare(
    image: PILImage, name: str, options: DecodeOptions, file_size: int = 0
) -> tuple[int, int] | None:
    """Check that an image is not too large; reduce the size of JPEG 2000 if necessary."""
    size = image.height, image.width
    _check_time(image, name)
    needed = _picture_bytes(image) + file_size
    if image.format == "JPEG2000" and options.needed and not is_affordable(needed, *image.size):
        largest = reduction_factor(*size, options.needed(*size))
        for factor in (2, 4, 8):
            if factor <= largest and is_affordable(needed // factor**2 + file_size, 0, 0):
                log_warning(
                    logger,
                    "image %r: decoded at 1/%d of its %dx%d pixels, still more than needed",
                    *(name, factor, image.width, image.height),
                )
                image.reduce = factor.bit_length() - 1  # type: ignore[method-assign,assignment]
                return size
    check_bytes(name, needed, *image.size)
    return None


def _finish(image: PILImage, name: str, options: DecodeOptions, *, copy: bool = False) -> Pixels:
    """Return the pixels of a loaded image: corrected, converted to RGB and upright."""
    orientation = _orientation(image)
    if image.format == "TIFF":
        from .tiff import corrections

        fixes = corrections(image)
        if fixes.palette is not None:
            image = image.copy() if copy else image
            image.putpalette(fixes.palette)
        pixels = to_rgb(image, name, background=options.background, limits=fixes.limits)
        if fixes.invert:
            pixels = np.subtract(255, pixels)
    else:
        pixels = to_rgb(image, name, background=options.background)
    if not copy:
        image.close()  # free its memory before turning the pixels
    return _turn_upright(pixels, orientation)


def _turn_upright(pixels: Pixels, orientation: int) -> Pixels:
    if orientation not in UPRIGHT_TRANSFORMS:
        return pixels
    return np.ascontiguousarray(UPRIGHT_TRANSFORMS[orientation](pixels))


def _read_plain_tiff(file: BinaryIO, name: str, options: DecodeOptions) -> Pixels:
    """Read a TIFF that Pillow does not support."""
    from .tiff import read_plain, read_tags

    image, orientation = read_plain(file, read_tags(file), name)
    return _turn_upright(to_rgb(image, name, background=options.background), orientation)


def _read_misread_tiff(file: Any, name: str, options: DecodeOptions) -> Pixels | None:
    """Read a TIFF that Pillow misinterprets, or return None. Restores the file's position."""
    from .tiff import is_misread, read_tags

    at = file.tell()
    try:
        try:
            misread = is_misread(read_tags(file))
        except Exception:  # let Pillow report damaged tags
            return None
        return _read_plain_tiff(file, name, options) if misread else None
    finally:
        file.seek(at)


def _check_time(image: PILImage, name: str) -> None:
    """Check that a picture is not too large for a slow decoder, one that Pillow has in Python.

    Raises:
        ImageError: It is too large.
    """
    kinds = {tile[0] for tile in getattr(image, "tile", ())}
    if image.width * image.height > _SLOW_PIXELS and not kinds.isdisjoint(_SLOW_DECODERS):
        msg = (
            f"image {name!r} of {image.width}x{image.height} pixels has a compression that "
            "takes too long to decode: save it as PNG or JPEG"
        )
        raise ImageError(msg)


def _is_loaded(image: PILImage) -> bool:
    """Return whether the pixels of an image are in memory rather than in its file."""
    fields = vars(image)
    pixels = fields.get("_im", fields.get("im"))  # private; "im" in older versions of Pillow
    return pixels is not None and not fields.get("tile")


def _picture_bytes(image: PILImage) -> int:
    """Return the bytes that loading and converting an image holds, without its file."""
    kind, pixels = image.format or "", image.width * image.height
    own = _MODE_BYTES_PER_PIXEL.get(image.mode, 4) + 3
    peak = max(own, _PEAK_BYTES_PER_PIXEL.get(kind, 0.0))
    if kind == "JPEG2000":
        peak = max(own, 6.5 * _JP2_BANDS.get(image.mode, 4) + 2)
    needed = int(peak * pixels)
    if kind == "TIFF":
        from .tiff import segment_bytes

        needed += segment_bytes(getattr(image, "tag_v2", {}))
    return needed


def _orientation(image: PILImage) -> int:
    """Return the EXIF orientation of an image; 1 if its EXIF is damaged."""
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # Pillow may raise anything for damaged EXIF
        return 1


def _decode_heif(data: bytes, name: str, options: DecodeOptions) -> Pixels:
    """Decode the primary image of a HEIC file; the library applies the orientation itself."""
    file = heif_module().open_heif(data, convert_hdr_to_8bit=True)
    width, height = file.size
    check_bytes(
        name, len(data) + int(_PEAK_BYTES_PER_PIXEL["HEIF"] * width * height), width, height
    )
    return to_rgb(file.to_pillow(), name, background=options.background)


@contextmanager
def _naming_errors(name: str, photo_format: PhotoFormat | None = None) -> Iterator[None]:
    """Convert a decoder's exception to an ImageError with the name of the photo."""
    try:
        yield
    except FuriosaModelsError:
        raise
    except Exception as error:  # decoders may raise anything for a malformed file
        kind = f" as {photo_format.name}" if photo_format else ""
        reason = str(error) or type(error).__name__
        msg = f"image {name!r} cannot be decoded{kind}: {reason}"
        raise ImageError(msg) from error


def _unreadable_message(name: str, what: str, why: str = "") -> str:
    if why:
        return f"image {name!r} cannot be decoded: it is {what}; {why}"
    known = f"it is {what}" if what else "its format is unknown"
    return f"image {name!r} cannot be decoded: {known}; supported are {READABLE_FORMATS}"


@cache
def _keep_pillow_blocks() -> None:
    """Let Pillow keep a few memory blocks between photos, unless the user has set it.

    By default Pillow returns all memory to the system, and the resulting page faults take as long
    as decoding. Users can set `PILLOW_BLOCKS_MAX`.
    """
    from PIL import Image

    core: Any = Image.core  # type: ignore[attr-defined]  # private, unlike the variable
    if not core.get_blocks_max():
        core.set_blocks_max(_CACHED_BLOCKS)

"""Encoded photos to pixels: each format by its decoder, within the limits of memory and time.

JPEG goes to libjpeg-turbo; what takes Pillow long, or what it gets wrong, is read by `netpbm` and
`tiff`; HEIC needs the extra `heif`, and everything else is Pillow's. Of an animation the
first picture is read, and color profiles (ICC) are not applied: networks were trained on pixels as
they are stored, and OpenCV reads them so.
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
from .budget import MAX_BYTES, MAX_ENCODED_BYTES, MAX_PIXELS, affordable, check_bytes
from .formats import READ, PhotoFormat, foreign, heif_module, recognize
from .jpeg import (
    TURNED,
    Resized,
    decode_jpeg,
    is_sideways,
    read_header,
    reduction,
    stored,
)
from .modes import to_rgb
from .warned import named_warnings

if TYPE_CHECKING:
    from PIL.Image import Image as PILImage

__all__ = ["Pixels", "Wanted", "decode", "decode_picture", "decoding_bytes", "read_all"]

logger = logging.getLogger(__name__)

Pixels = npt.NDArray[np.uint8]

_HEAD = 64  # bytes that tell a format
_PIECE = 4 << 20  # bytes that are read of a stream at once
_BLOCKS = 8  # of Pillow's, 16 MiB each
_ORIENTATION = 0x0112
_SAMPLES = 0x0115
_HELD = {"WEBP": 18.0, "AVIF": 13.0, "HEIF": 14.0, "SGI": 7.0}
"""Bytes a pixel that a decoder holds at its peak, where they are more than those of the picture."""

_STORED = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16B": 2, "I;16L": 2, "I;16N": 2}
"""Bytes a pixel that Pillow holds; four of every other mode."""

_SLOW = frozenset({"bmp_rle", "ppm", "ppm_plain"})
_SLOW_PIXELS = 1 << 24
"""Pillow's decoders that are written in Python, and how much they may be given."""

_JP2_BANDS = {"L": 1, "I;16": 1, "LA": 2, "RGB": 3, "YCbCr": 3}


class Wanted(NamedTuple):
    """How a photo is to be decoded; `read_image` explains it."""

    draft: Resized | None = None
    needed: Resized | None = None
    background: tuple[int, int, int] | None = None
    fleeting: bool = False


def decode(
    source: bytes | BinaryIO, name: str, wanted: Wanted
) -> tuple[Pixels, tuple[int, int] | None]:
    """Return the pixels of an encoded photo, red first.

    Args:
        source: The encoded photo, or a file that is read from its start.
        name: What to call it.
        wanted: How it is to be decoded.

    Returns:
        (h, w, 3) uint8, upright; and the height and width of the photo, if it was decoded smaller.

    Raises:
        ImageError: It cannot be decoded.
    """
    head = source[:_HEAD] if isinstance(source, bytes) else source.read(_HEAD)
    one = recognize(head)
    if one is None:
        raise ImageError(_not_read(name, foreign(head)))
    if one.problem:
        raise ImageError(_not_read(name, one.name, one.problem))
    if one.name not in ("JPEG", "Netpbm", "HEIC"):
        prepare = partial(_prepared, name=name, wanted=wanted)
        if isinstance(source, bytes):
            prepare = partial(prepare, file_size=len(source))
            source = io.BytesIO(source)
        return _by_pillow(source, one, name, wanted, prepare)
    data = source if isinstance(source, bytes) else _read_file(source, name)
    if one.name == "JPEG":
        return _jpeg(data, one, name, wanted)
    with _named(name, one):
        if one.name == "HEIC":
            return _heif(data, name, wanted), None
        from .netpbm import decode_netpbm

        pixels = decode_netpbm(data, name)
    if pixels is not None:
        return pixels, None
    prepare = partial(_prepared, name=name, wanted=wanted, file_size=len(data))
    return _by_pillow(io.BytesIO(data), one, name, wanted, prepare)


def decoding_bytes(data: bytes) -> int:
    """Return the most bytes that decoding a photo may hold, its file included.

    It is read off the header, and is rather too much than too little: for a server that has to know
    what many photos will hold together before it decodes them.

    Args:
        data: The encoded photo.

    Returns:
        At most `MAX_BYTES`: a photo that needs more is refused, or decoded smaller.
    """
    one = recognize(data[:_HEAD])
    if one is None or one.problem:
        return len(data)
    try:
        needed = _most_needed(data, one)
    except Exception:  # its header is damaged, or is one that only our own readers take
        return MAX_BYTES if one.name in ("TIFF", "Netpbm") else len(data)
    return min(len(data) + needed, MAX_BYTES)


def _most_needed(data: bytes, one: PhotoFormat) -> int:
    """Most bytes that any way of decoding a photo holds, but for its file."""
    if one.name == "JPEG" and (header := read_header(data)):
        return header.needed(1, 7)
    if one.name == "HEIC":
        width, height = heif_module().open_heif(data, convert_hdr_to_8bit=True).size
        return int(_HELD["HEIF"] * int(width) * int(height))
    from PIL import Image

    with Image.open(io.BytesIO(data), formats=(one.plugin,)) as image:
        pixels = int(image.width * image.height)
        if one.name == "JPEG":
            return 15 * pixels
        if one.name == "Netpbm":  # whose numbers may be text, and of two bytes
            return 3 * len(data) + 22 * pixels
        tags: Any = getattr(image, "tag_v2", {})
        return max(_needed(image), pixels * (int(tags.get(_SAMPLES, 0)) + 7))


def read_all(file: BinaryIO, name: str) -> bytes:
    """Read what is left of a file object, up to the limit.

    Args:
        file: Anything that can be read; a call may give less than it is asked for.
        name: What to call it.

    Raises:
        ImageError: There is more than the limit.
    """
    data = file.read(_PIECE)
    pieces, size = [data], len(data)
    while data and (data := file.read(_PIECE)):
        size += len(data)
        if size > MAX_ENCODED_BYTES:
            break
        pieces.append(data)
    if size > MAX_ENCODED_BYTES:
        raise ImageError(_too_long(name))
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _read_file(file: BinaryIO, name: str) -> bytes:
    """Read a file of the file system from its start."""
    file.seek(0, os.SEEK_END)
    if file.tell() > MAX_ENCODED_BYTES:
        raise ImageError(_too_long(name))
    file.seek(0)
    return file.read()


def _too_long(name: str) -> str:
    return f"image {name!r} is larger than {MAX_ENCODED_BYTES} bytes, the limit of what is read"


def decode_picture(image: PILImage, name: str, wanted: Wanted) -> Pixels:
    """Return the pixels of a picture of the caller's, which is loaded, and stays as it is else.

    Raises:
        ImageError: It cannot be loaded or converted.
    """
    if image.format == "EPS" and not _is_loaded(image):
        msg = f"image {name!r} is EPS: call its load() first, which starts Ghostscript"
        raise ImageError(msg)
    with _named(name), named_warnings(name):
        if not _is_loaded(image):
            if (pixels := _by_own_readers(image, name, wanted)) is not None:
                return pixels
            if image.format not in ("JPEG", "MPO"):
                check_bytes(name, _needed(image), *image.size)
                _check_time(image, name)
        elif image.width * image.height > MAX_PIXELS:
            check_bytes(name, 3 * image.width * image.height, image.width, image.height)
        image.load()
        return _finished(image, name, wanted, copy=True)


def _by_own_readers(image: PILImage, name: str, wanted: Wanted) -> Pixels | None:
    """Pixels that Pillow would take long for or get wrong, off the picture's file; or None.

    The file is left where it stood.
    """
    file: Any = getattr(image, "fp", None)
    if file is None or image.format not in ("JPEG", "MPO", "PPM", "TIFF"):
        return None
    if image.format == "TIFF":
        return _misread(file, name, wanted)
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


def _jpeg(
    data: bytes, one: PhotoFormat, name: str, wanted: Wanted
) -> tuple[Pixels, tuple[int, int] | None]:
    decoded = decode_jpeg(data, name, wanted.draft, needed=wanted.needed, fleeting=wanted.fleeting)
    if decoded is None:
        return _jpeg_by_pillow(data, one, name, wanted)
    pixels, size = decoded
    return pixels, None if size == pixels.shape[:2] else size


def _jpeg_by_pillow(
    data: bytes, one: PhotoFormat, name: str, wanted: Wanted
) -> tuple[Pixels, tuple[int, int] | None]:
    """What libjpeg-turbo does not take, whole; or reduced where it is too large for that."""
    header = read_header(data)

    def prepare(image: PILImage) -> tuple[int, int] | None:
        if header is None or (header.height, header.width) != (image.height, image.width):
            # nothing is known but its size: of four channels, and held as coefficients
            check_bytes(name, len(data) + 15 * image.width * image.height, *image.size)
            return None
        orientation = _orientation(image)
        needed = stored(wanted.needed, orientation) if wanted.needed else None
        factor = header.affordable_factor(name, 1, needed, 7, len(data))
        if factor == 1:
            return None
        size = image.height, image.width
        image.draft(image.mode, (max(1, image.width // factor), max(1, image.height // factor)))
        return size[::-1] if is_sideways(orientation) else size

    return _by_pillow(io.BytesIO(data), one, name, wanted, prepare)


def _by_pillow(
    file: BinaryIO,
    one: PhotoFormat,
    name: str,
    wanted: Wanted,
    prepare: Callable[[PILImage], tuple[int, int] | None],
) -> tuple[Pixels, tuple[int, int] | None]:
    """Open, prepare and load; `prepare` returns the size of what it has reduced."""
    from PIL import Image, UnidentifiedImageError

    _keep_memory()
    with _named(name, one), named_warnings(name):
        if one.name == "TIFF" and (pixels := _misread(file, name, wanted)) is not None:
            return pixels, None
        file.seek(0)
        try:
            image = Image.open(file, formats=(one.plugin,))
        except UnidentifiedImageError:
            if one.name == "TIFF":
                return _plain_tiff(file, name, wanted), None
            if not one.starts and not one.brands:
                raise ImageError(_not_read(name, "")) from None
            msg = f"its {one.name} header is damaged"
            raise ValueError(msg) from None
        with image:
            size = prepare(image)
            image.load()
            return _finished(image, name, wanted), size


def _prepared(
    image: PILImage, name: str, wanted: Wanted, file_size: int = 0
) -> tuple[int, int] | None:
    """Check that an image is not too large; JPEG 2000 can be decoded at a fraction of its size."""
    size = image.height, image.width
    _check_time(image, name)
    needed = _needed(image) + file_size
    if image.format == "JPEG2000" and wanted.needed and not affordable(needed, *image.size):
        largest = reduction(*size, wanted.needed(*size))
        for factor in (2, 4, 8):
            if factor <= largest and affordable(needed // factor**2 + file_size, 0, 0):
                log_warning(
                    logger,
                    "image %r: decoded at 1/%d of its %dx%d pixels, more than the network takes",
                    *(name, factor, image.width, image.height),
                )
                image.reduce = factor.bit_length() - 1  # type: ignore[method-assign,assignment]
                return size
    check_bytes(name, needed, *image.size)
    return None


def _finished(image: PILImage, name: str, wanted: Wanted, *, copy: bool = False) -> Pixels:
    """The pixels of a loaded picture, corrected, converted and upright."""
    orientation = _orientation(image)
    if image.format == "TIFF":
        from .tiff import corrections

        fixes = corrections(image)
        if fixes.palette is not None:
            image = image.copy() if copy else image
            image.putpalette(fixes.palette)
        pixels = to_rgb(image, name, background=wanted.background, limits=fixes.limits)
        if fixes.invert:
            pixels = np.subtract(255, pixels)
    else:
        pixels = to_rgb(image, name, background=wanted.background)
    if not copy:
        image.close()  # its memory is not needed to turn the pixels
    return _upright(pixels, orientation)


def _upright(pixels: Pixels, orientation: int) -> Pixels:
    if orientation not in TURNED:
        return pixels
    return np.ascontiguousarray(TURNED[orientation](pixels))


def _plain_tiff(file: BinaryIO, name: str, wanted: Wanted) -> Pixels:
    """A TIFF that Pillow does not take."""
    from .tiff import read_plain, read_tags

    image, orientation = read_plain(file, read_tags(file), name)
    return _upright(to_rgb(image, name, background=wanted.background), orientation)


def _misread(file: Any, name: str, wanted: Wanted) -> Pixels | None:
    """A TIFF that Pillow takes for another than it is; the file is left where it stood."""
    from .tiff import is_misread, read_tags

    at = file.tell()
    try:
        try:
            misread = is_misread(read_tags(file))
        except Exception:  # what is wrong with its tags is for Pillow to say
            return None
        return _plain_tiff(file, name, wanted) if misread else None
    finally:
        file.seek(at)


def _check_time(image: PILImage, name: str) -> None:
    """Raise ImageError for a large picture that Pillow decodes in Python."""
    kinds = {tile[0] for tile in getattr(image, "tile", ())}
    if image.width * image.height > _SLOW_PIXELS and not kinds.isdisjoint(_SLOW):
        msg = (
            f"image {name!r} of {image.width}x{image.height} pixels is compressed in a way that "
            "takes long to decode: save it as PNG or JPEG"
        )
        raise ImageError(msg)


def _is_loaded(image: PILImage) -> bool:
    """Whether the pixels of a picture are in memory, and not still in its file."""
    fields = vars(image)
    pixels = fields.get("_im", fields.get("im"))  # neither is public, and the latter older
    return pixels is not None and not fields.get("tile")


def _needed(image: PILImage) -> int:
    """Bytes that loading and converting a picture holds, but for its file."""
    kind, pixels = image.format or "", image.width * image.height
    own = _STORED.get(image.mode, 4) + 3
    held = max(own, _HELD.get(kind, 0.0))
    if kind == "JPEG2000":
        held = max(own, 6.5 * _JP2_BANDS.get(image.mode, 4) + 2)
    needed = int(held * pixels)
    if kind == "TIFF":
        from .tiff import segment_bytes

        needed += segment_bytes(getattr(image, "tag_v2", {}))
    return needed


def _orientation(image: PILImage) -> int:
    """How a picture is turned; upright where its EXIF is damaged."""
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # Pillow raises whatever a damaged block provokes
        return 1


def _heif(data: bytes, name: str, wanted: Wanted) -> Pixels:
    """The main picture of a HEIC file; the library turns it upright itself."""
    file = heif_module().open_heif(data, convert_hdr_to_8bit=True)
    width, height = file.size
    check_bytes(name, len(data) + int(_HELD["HEIF"] * width * height), width, height)
    return to_rgb(file.to_pillow(), name, background=wanted.background)


@contextmanager
def _named(name: str, one: PhotoFormat | None = None) -> Iterator[None]:
    """Give what a decoder raises the name of the photo."""
    try:
        yield
    except FuriosaModelsError:
        raise
    except Exception as error:  # decoders raise whatever a hostile file provokes
        kind = f" as {one.name}" if one else ""
        reason = str(error) or type(error).__name__
        msg = f"image {name!r} cannot be decoded{kind}: {reason}"
        raise ImageError(msg) from error


def _not_read(name: str, what: str, why: str = "") -> str:
    if why:
        return f"image {name!r} cannot be decoded: it is {what}; {why}"
    known = f"it is {what}" if what else "it is in none of the formats that are read"
    return f"image {name!r} cannot be decoded: {known}; {READ} are read"


@cache
def _keep_memory() -> None:
    """Let Pillow keep a few blocks of memory between photos, unless the user has set it.

    It gives all of them back by default, and page faults then take as long as decoding does.
    `PILLOW_BLOCKS_MAX` is the user's setting of it.
    """
    from PIL import Image

    core: Any = Image.core  # type: ignore[attr-defined]  # not public, its variable is
    if not core.get_blocks_max():
        core.set_blocks_max(_BLOCKS)

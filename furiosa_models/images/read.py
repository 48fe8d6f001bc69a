"""Image sources: whatever way a photo comes in, the same pixels come out."""

from __future__ import annotations

import io
import os
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, NamedTuple, TypeAlias, cast

import numpy as np
import numpy.typing as npt

from ..errors import ImageError
from .jpeg import Resized, decode_jpeg, is_jpeg

if TYPE_CHECKING:
    from PIL.Image import Image as PILImage

__all__ = [
    "MAX_PIXELS",
    "Color",
    "DecodedImage",
    "ImageSource",
    "is_file_like",
    "is_url",
    "read_image",
    "remember",
]

Color: TypeAlias = Literal["bgr", "rgb"]
ImageSource: TypeAlias = (
    "str | os.PathLike[str] | bytes | BinaryIO | PILImage | npt.NDArray[Any] | DecodedImage"
)

MAX_PIXELS = 178_956_970
"""Most pixels that are decoded: Pillow's own limit, half a gigabyte of RGB."""

MAX_DOWNLOAD_BYTES = 256 << 20
_HEAD = 3  # bytes that tell a JPEG
_BLOCKS = 8  # of Pillow's, 16 MiB each
_TIMEOUT_S = (10.0, 60.0)


class DecodedImage(NamedTuple):
    """Pixels of a photo.

    Attributes:
        pixels: (height, width, 3) uint8.
        bgr: Whether the channels are blue, green, red instead of red, green, blue.
        name: What to call the photo in messages and file names.
        drafted_from: Height and width of the photo, if it was decoded smaller than that.
    """

    pixels: npt.NDArray[np.uint8]
    bgr: bool
    name: str
    drafted_from: tuple[int, int] | None = None

    @property
    def rgb(self) -> npt.NDArray[np.uint8]:
        """(height, width, 3) uint8, red first; a view."""
        return self.pixels[:, :, ::-1] if self.bgr else self.pixels


def remember(source: ImageSource, image: DecodedImage) -> DecodedImage | Path:
    """What a result keeps to show its photo later: a file's name rather than its pixels."""
    is_name = isinstance(source, (str, os.PathLike)) and not is_url(os.fspath(source))
    return Path(image.name) if is_name else image


def read_image(
    source: ImageSource,
    *,
    color: Color = "bgr",
    draft: Resized | None = None,
    fleeting: bool = False,
) -> DecodedImage:
    """Decode one photo.

    EXIF orientation is applied; grey, palette, CMYK and 16-bit images become 8-bit RGB; an alpha
    channel is dropped, as OpenCV and Pillow drop it.

    Args:
        source: A file, an http(s) URL, encoded bytes, a binary file object, a PIL image, or an
            array: (h, w, 3) uint8, or (h, w) or (h, w, 1) uint8 grey. What is decoded stays as it
            is.
        color: Channel order of an array; everything else says it itself.
        draft: Given the height and width of a photo, says to what it is going to be resized. A
            JPEG may then be decoded at a half, a quarter or an eighth of its size, no smaller than
            that: less work, and pixels that differ a little. Nothing is drafted without it.
        fleeting: The pixels are done with before this thread reads the next photo, which may be put
            in their place: that spares the system from finding new memory for each.

    Raises:
        ImageError: The photo cannot be read; the message names it.
    """
    if isinstance(source, DecodedImage):
        return source
    if isinstance(source, np.ndarray):
        return _from_array(source, color)
    if isinstance(source, (str, os.PathLike)):
        return _from_name(source, draft, fleeting)
    if isinstance(source, (bytes, bytearray, memoryview)):
        return _decode(io.BytesIO(source), f"<{len(source)} bytes>", draft, fleeting)
    if is_file_like(source):
        name = str(getattr(source, "name", "<file object>"))
        return _decode(cast("BinaryIO", source), name, draft, fleeting)
    return _from_pillow(source)


def _from_array(array: npt.NDArray[Any], color: Color) -> DecodedImage:
    if color not in ("bgr", "rgb"):
        msg = f"color={color!r} is no channel order: expected 'bgr' or 'rgb'"
        raise ValueError(msg)
    grey = array.ndim == 2 or (array.ndim == 3 and array.shape[2] == 1)
    if array.dtype != np.uint8 or 0 in array.shape or not (grey or array.shape[2:] == (3,)):
        msg = (
            f"an image array must be uint8 of shape (h, w, 3) or (h, w), not empty; got "
            f"{array.dtype} of shape {array.shape}"
        )
        raise ImageError(msg)
    if grey:
        array = np.broadcast_to(array.reshape(*array.shape[:2], 1), (*array.shape[:2], 3))
    return DecodedImage(array, color == "bgr", f"<array {array.shape[1]}x{array.shape[0]}>")


def _from_name(
    source: str | os.PathLike[str], draft: Resized | None, fleeting: bool
) -> DecodedImage:
    name = os.fspath(source)
    if is_url(name):
        return _decode(io.BytesIO(_download(name)), name, draft, fleeting)
    try:
        with open(name, "rb") as file:  # noqa: PTH123 - PathLike of any kind
            return _decode(file, name, draft, fleeting)
    except OSError as error:
        msg = f"image {name!r} cannot be opened: {error.strerror or error}"
        raise ImageError(msg) from error
    except ValueError as error:  # a NUL in the name
        if isinstance(error, ImageError):
            raise
        msg = f"image {name!r} cannot be opened: {error}"
        raise ImageError(msg) from error


def _download(url: str) -> bytes:
    import requests

    body = bytearray()
    try:
        with requests.get(url, stream=True, timeout=_TIMEOUT_S) as response:
            response.raise_for_status()
            for chunk in response.iter_content(1 << 16):
                body += chunk
                if len(body) > MAX_DOWNLOAD_BYTES:
                    msg = f"image {url} is larger than {MAX_DOWNLOAD_BYTES} bytes"
                    raise ImageError(msg)
    except requests.RequestException as error:
        msg = f"image {url} cannot be fetched: {error}"
        raise ImageError(msg) from error
    return bytes(body)


def _decode(file: BinaryIO, name: str, draft: Resized | None, fleeting: bool) -> DecodedImage:
    head = file.read(_HEAD)
    if is_jpeg(head):
        data = head + file.read()
        decoded = decode_jpeg(data, MAX_PIXELS, draft, fleeting=fleeting)
        if decoded is not None:
            pixels, size = decoded
            drafted = None if size == pixels.shape[:2] else size
            return DecodedImage(pixels, bgr=False, name=name, drafted_from=drafted)
        file = io.BytesIO(data)
    elif getattr(file, "seekable", bool)():  # not every object that can be read has it
        file.seek(-len(head), os.SEEK_CUR)
    else:
        file = io.BytesIO(head + file.read())
    return _decode_by_pillow(file, name)


def _decode_by_pillow(file: BinaryIO, name: str) -> DecodedImage:
    from PIL import Image, ImageOps

    _keep_memory()
    try:
        with Image.open(file) as image:
            _check_size(image, name)
            ImageOps.exif_transpose(image, in_place=True)  # the image is ours: no copy
            return DecodedImage(np.asarray(_to_rgb(image, name)), bgr=False, name=name)
    except ImageError:
        raise
    except Exception as error:  # Pillow's plugins raise whatever a hostile file provokes
        msg = f"image {name!r} cannot be decoded: {error}"
        raise ImageError(msg) from error


def _from_pillow(source: object) -> DecodedImage:
    from PIL import Image, ImageOps

    if not isinstance(source, Image.Image):
        msg = (
            "expected an image (path, URL, bytes, file object, PIL image, numpy array, or a "
            f"sequence of them), got {type(source).__name__}"
        )
        raise ImageError(msg)
    name = str(getattr(source, "filename", "") or f"<PIL image {source.width}x{source.height}>")
    _check_size(source, name)
    try:
        upright = ImageOps.exif_transpose(source)  # a copy: the image is the caller's
        return DecodedImage(np.asarray(_to_rgb(upright, name)), bgr=False, name=name)
    except OSError as error:  # opened lazily, and truncated
        msg = f"image {name!r} cannot be decoded: {error}"
        raise ImageError(msg) from error


def _check_size(image: PILImage, name: str) -> None:
    if image.width * image.height > MAX_PIXELS:
        msg = f"image {name!r} has {image.width}x{image.height} pixels; at most {MAX_PIXELS}"
        raise ImageError(msg)


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


def _to_rgb(image: PILImage, name: str) -> PILImage:
    if image.mode == "RGB":
        return image
    if image.mode == "F":
        msg = f"image {name!r} has float pixels of unknown range: convert it to 8 bits first"
        raise ImageError(msg)
    if image.mode.startswith("I"):  # 16 bits, which Pillow would clip instead of scale
        from PIL import Image

        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    if image.mode in ("P", "PA"):  # by way of RGBA: Pillow warns of the direct one
        image = image.convert("RGBA")
    return image.convert("RGB")


def is_url(name: str) -> bool:
    """Whether a name is an http(s) URL."""
    return name.startswith(("http://", "https://"))


def is_file_like(source: object) -> bool:
    """Whether a source is a file object."""
    return hasattr(source, "read")

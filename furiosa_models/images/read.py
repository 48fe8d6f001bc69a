"""Read photos from any source: files, URLs, bytes, file objects, PIL images and arrays."""

from __future__ import annotations

import os
import stat
import weakref
from collections import deque
from pathlib import Path
from threading import Lock
from typing import (
    TYPE_CHECKING,
    Any,
    BinaryIO,
    Literal,
    NamedTuple,
    Protocol,
    TypeAlias,
    cast,
    runtime_checkable,
)

import numpy as np
import numpy.typing as npt

from ..errors import ImageError
from ..spec import check_choice
from .color_conversion import Background, parse_background
from .decode import DecodeOptions, decode, decode_picture, read_all
from .jpeg import TargetSize
from .limits import MAX_BYTES, MAX_PIXELS

if TYPE_CHECKING:
    from PIL.Image import Image as PILImage

__all__ = [
    "MAX_BYTES",
    "MAX_PIXELS",
    "Background",
    "Color",
    "DecodedImage",
    "EncodedPhoto",
    "ImageSource",
    "KeptPhoto",
    "buffer_source",
    "is_decoded",
    "is_file_like",
    "is_url",
    "photo_reference",
    "read_image",
]

Color: TypeAlias = Literal["bgr", "rgb"]
ImageSource: TypeAlias = (
    "str | os.PathLike[str] | bytes | BinaryIO | PILImage | npt.NDArray[Any] | DecodedImage "
    "| EncodedPhoto"
)

_PIPES = ("/dev/stdin", "/dev/fd/", "/proc/self/fd/")  # open already, so reading cannot block


@runtime_checkable
class KeptPhoto(Protocol):
    """A reference to a photo that can be decoded again. Results hold it instead of pixels."""

    @property
    def name(self) -> str:
        """Name of the photo."""

    def decode(self) -> DecodedImage:
        """Return the photo; raise ImageError if it can no longer be read."""


class DecodedImage(NamedTuple):
    """Pixels of a photo.

    Attributes:
        pixels: (height, width, 3) uint8.
        bgr: Whether the channels are in the order blue, green, red rather than red, green, blue.
        name: Name of the photo, for messages and file names.
        drafted_from: Height and width of the full photo, if it was decoded smaller.
        kept: A reference to the photo, so that a result need not hold the pixels.
    """

    pixels: npt.NDArray[np.uint8]
    bgr: bool
    name: str
    drafted_from: tuple[int, int] | None = None
    kept: KeptPhoto | None = None

    @property
    def rgb(self) -> npt.NDArray[np.uint8]:
        """A view of the pixels as (height, width, 3) uint8 RGB."""
        return self.pixels[:, :, ::-1] if self.bgr else self.pixels


class EncodedPhoto(NamedTuple):
    """A photo in encoded form, from bytes, a file object or a URL.

    Attributes:
        data: The encoded photo.
        name: Name of the photo.
    """

    data: bytes
    name: str

    def decode(self) -> DecodedImage:
        """Decode the photo at full size.

        Raises:
            ImageError: The photo cannot be decoded.
        """
        return read_image(self)

    @property
    def rgb(self) -> npt.NDArray[np.uint8]:
        """Pixels as (height, width, 3) uint8 RGB; decoded on every access."""
        return self.decode().rgb

    def __repr__(self) -> str:
        return f"EncodedPhoto(name={self.name!r})"


def read_image(
    source: ImageSource,
    *,
    color: Color = "bgr",
    draft: TargetSize | None = None,
    needed: TargetSize | None = None,
    background: Background | None = None,
    reuse_buffer: bool = False,
) -> DecodedImage:
    """Decode one photo.

    EXIF orientation is applied. Gray, palette, CMYK and 16-bit images are converted to 8-bit RGB.
    Only the first picture of an animation is read, and color profiles are not applied. The source
    is neither closed nor changed; a file object is read from its current position to its end.

    Args:
        source: A file, an http(s) URL, encoded bytes, a binary file object, a PIL image, or an
            array: (h, w, 3) uint8, or (h, w) or (h, w, 1) uint8 for gray. A DecodedImage is
            returned as it is.
        color: Channel order of an array; all other sources define it themselves.
        draft: A function of the photo's height and width that returns the size it will be resized
            to. It allows JPEGs to be decoded at a half, a quarter or an eighth of their size, but
            not smaller than that: this is faster and changes pixels slightly. By default photos are
            decoded at full size.
        needed: Likewise, but only for photos that would take more than `MAX_BYTES` otherwise.
        background: Color (a name, `#rrggbb`, or red, green and blue) to composite a photo with an
            alpha channel onto. By default alpha is dropped, as in OpenCV and Pillow.
        reuse_buffer: Whether the pixels may be overwritten when this thread reads its next photo.
            This avoids allocating memory for every photo.

    Raises:
        ImageError: The photo cannot be read; the message names it.
        ValueError: `color` or `background` is invalid.
    """
    check_choice("color", color, ("bgr", "rgb"))
    if isinstance(source, DecodedImage):
        return source
    if isinstance(source, np.ndarray):
        return _from_array(source, color)
    options = DecodeOptions(draft, needed, parse_background(background), reuse_buffer)
    if _is_path(source) and not is_url(name := os.fsdecode(os.fspath(cast("str", source)))):
        return _from_file(name, options)
    buffered = buffer_source(source)
    if isinstance(buffered, EncodedPhoto):
        return _decode(buffered.data, buffered.name, options)
    return _from_pillow(buffered, options)


def buffer_source(source: Any) -> Any:
    """Read a source that can be read only once, or may change, into memory.

    Returns:
        An `EncodedPhoto` for encoded bytes, file objects and URLs; any other source unchanged.

    Raises:
        ImageError: The source cannot be read.
    """
    if isinstance(source, bytes):
        return EncodedPhoto(source, f"<{len(source)} bytes>")
    if isinstance(source, (bytearray, memoryview)):
        data = bytes(source) if isinstance(source, bytearray) else source.tobytes()
        return EncodedPhoto(data, f"<{len(data)} bytes>")
    if _is_path(source):
        name = os.fsdecode(os.fspath(source))
        if not is_url(name):
            return source
        from ..artifacts.sources import without_password
        from .download import download

        return EncodedPhoto(download(name), without_password(name))
    if not isinstance(source, EncodedPhoto) and is_file_like(source):
        return _from_stream(source)
    return source


def photo_reference(
    source: ImageSource, image: DecodedImage
) -> DecodedImage | KeptPhoto | Path | Any:
    """Return what a result keeps in order to show its photo later: the source rather than pixels.

    Args:
        source: The source, as returned by `buffer_source`.
        image: The decoded photo.

    Returns:
        The path of a file; the pixels of an array; any other source as it is.
    """
    if image.kept is not None:
        return image.kept
    if isinstance(source, (EncodedPhoto, DecodedImage, np.ndarray)):
        return image if isinstance(source, np.ndarray) else source
    return Path(image.name) if _is_path(source) else source


def is_decoded(source: object) -> bool:
    """Return whether a source holds pixels in its owner's memory: an array or a PIL image."""
    if isinstance(source, DecodedImage):
        return source.kept is None
    if isinstance(source, (np.ndarray, EncodedPhoto)):
        return isinstance(source, np.ndarray)
    return not (
        isinstance(source, (bytes, bytearray, memoryview))
        or _is_path(source)
        or is_file_like(source)
    )


class RecentPixels:
    """Cache of the pixels of the last few video frames, for results that are drawn at once.

    Args:
        max_bytes: Maximum bytes of pixels to hold.
        min_frames: Number of frames to hold regardless of their size.
    """

    def __init__(self, max_bytes: int, *, min_frames: int = 1) -> None:
        self._max_bytes = max_bytes
        self._min_frames = min_frames
        self._held: deque[npt.NDArray[np.uint8]] = deque()
        self._bytes = 0
        self._lock = Lock()

    def add(self, pixels: npt.NDArray[np.uint8]) -> weakref.ref[npt.NDArray[np.uint8]]:
        """Hold pixels until newer ones replace them; return a weak reference to them."""
        with self._lock:
            self._held.append(pixels)
            self._bytes += pixels.nbytes
            while self._bytes > self._max_bytes and len(self._held) > self._min_frames:
                self._bytes -= self._held.popleft().nbytes
        return weakref.ref(pixels)


def _is_path(source: object) -> bool:
    return isinstance(source, (str, os.PathLike))


def _from_array(array: npt.NDArray[Any], color: Color) -> DecodedImage:
    array = np.asarray(array)  # np.matrix always stays two-dimensional
    is_gray = array.ndim == 2 or (array.ndim == 3 and array.shape[2] == 1)
    if array.dtype != np.uint8 or 0 in array.shape or not (is_gray or array.shape[2:] == (3,)):
        msg = (
            f"an image array must be non-empty uint8 of shape (h, w, 3) or (h, w), got "
            f"{array.dtype} of shape {array.shape}"
        )
        raise ImageError(msg)
    if is_gray:
        array = np.broadcast_to(array.reshape(*array.shape[:2], 1), (*array.shape[:2], 3))
    return DecodedImage(array, color == "bgr", f"<array {array.shape[1]}x{array.shape[0]}>")


def _decode(source: bytes | BinaryIO, name: str, options: DecodeOptions) -> DecodedImage:
    pixels, drafted_from = decode(source, name, options)
    return DecodedImage(pixels, bgr=False, name=name, drafted_from=drafted_from)


def _from_file(name: str, options: DecodeOptions) -> DecodedImage:
    try:
        with open(name, "rb", opener=_open_nonblocking) as file:
            if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                return _decode(file, name, options)
            data = read_all(file, name)
    except ImageError:
        raise
    except OSError as error:
        msg = f"image {name!r} cannot be opened: {error.strerror or error}"
        raise ImageError(msg) from error
    except ValueError as error:  # a NUL in the name
        msg = f"image {name!r} cannot be opened: {error}"
        raise ImageError(msg) from error
    return _decode(data, name, options)


def _open_nonblocking(name: str, flags: int) -> int:
    """Open a file without blocking.

    Raises:
        OSError: It is a pipe or device, which may block or never end. Pipes that are already open,
            such as standard input, are allowed.
    """
    descriptor = os.open(name, flags | getattr(os, "O_NONBLOCK", 0))
    mode = os.fstat(descriptor).st_mode
    is_pipe = stat.S_ISFIFO(mode) and name.startswith(_PIPES)
    if stat.S_ISREG(mode) or stat.S_ISDIR(mode) or is_pipe:
        if is_pipe:
            os.set_blocking(descriptor, True)
        return descriptor
    os.close(descriptor)
    raise OSError(0, "it is a pipe or a device, not a file: open it, and pass the file object")


def _from_stream(source: Any) -> EncodedPhoto:
    """Read a file object from its current position."""
    name = str(getattr(source, "name", "<file object>"))
    try:
        data: object = read_all(source, name)
    except ImageError:
        raise
    except Exception as error:  # user-defined file objects may raise anything
        msg = f"image {name!r} cannot be read: {error or type(error).__name__}"
        raise ImageError(msg) from error
    if isinstance(data, str):
        msg = f"image {name!r} is a text file: open it in mode 'rb'"
        raise ImageError(msg)
    if not data:
        msg = f"image {name!r} has no data at its current position: seek to the start of the photo"
        raise ImageError(msg)
    if not isinstance(data, (bytes, bytearray, memoryview)):
        msg = f"image {name!r} cannot be read: read() must return bytes, got {type(data).__name__}"
        raise ImageError(msg)
    return EncodedPhoto(bytes(data), name)


def _from_pillow(source: object, options: DecodeOptions) -> DecodedImage:
    from PIL import Image

    if not isinstance(source, Image.Image):
        msg = (
            "expected an image (path, URL, bytes, file object, PIL image, numpy array, or a "
            f"sequence of them), got {type(source).__name__}"
        )
        raise ImageError(msg)
    name = str(getattr(source, "filename", "") or f"<PIL image {source.width}x{source.height}>")
    return DecodedImage(decode_picture(source, name, options), bgr=False, name=name)


def is_url(name: str) -> bool:
    """Return whether a name is an http(s) URL."""
    return name[:8].lower().startswith(("http://", "https://"))


def is_file_like(source: object) -> bool:
    """Return whether a source is a file object."""
    return hasattr(source, "read")

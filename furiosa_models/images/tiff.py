"""Read TIFF files that Pillow reads wrongly or not at all, as scanners often write them.

Pillow reads most files; `corrections` returns what to fix in its pixels. Layouts that it rejects or
misinterprets are read here if they are uncompressed or deflated. Based on TIFF 6.0 and libtiff.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
import numpy.typing as npt

from .color_conversion import ValueRange, scale_to_bytes
from .limits import check_bytes

if TYPE_CHECKING:
    from PIL.Image import Image as PILImage

__all__ = [
    "Corrections",
    "Tags",
    "corrections",
    "is_misread",
    "read_plain",
    "read_tags",
    "segment_bytes",
]

_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _FILL_ORDER = 256, 257, 258, 259, 262, 266
_STRIPS, _SAMPLES, _ROWS, _STRIP_SIZES, _PLANAR, _PREDICTOR = 273, 277, 278, 279, 284, 317
_MAP, _TILE_WIDTH, _TILE_HEIGHT, _TILES, _TILE_SIZES = 320, 322, 323, 324, 325
_EXTRA, _NUMBERS = 338, 339
_LIMITS = ((340, 341), (280, 281))
_ORIENTATION = 274
_UNSIGNED, _SIGNED, _FLOAT = 1, 2, 3
_WHITE_IS_ZERO = 0
_COLORS = {_WHITE_IS_ZERO: 1, 1: 1, 2: 3, 5: 4}  # samples per pixel by photometric interpretation
_MODES = {1: "L", 3: "RGB", 4: "CMYK"}
_WITH_ALPHA = {(1, 1): "La", (1, 2): "LA", (3, 1): "RGBa", (3, 2): "RGBA"}
_PLAIN, _DEFLATED = 1, frozenset({8, 32946})

Tags = Mapping[int, Any]


@dataclass(frozen=True, slots=True)
class Corrections:
    """Fixes for the pixels that Pillow returns.

    Attributes:
        limits: Values of black and white, if pixels are not bytes.
        invert: Whether 0 is white.
        palette: Red, green and blue of each index, if Pillow's palette is wrong.
    """

    limits: ValueRange | None = None
    invert: bool = False
    palette: bytes | None = None


def read_tags(file: BinaryIO) -> Tags:
    """Return the tags of the first picture in a TIFF file.

    Raises:
        Exception: Any exception of Pillow, if the tags are damaged.
    """
    from PIL.TiffImagePlugin import ImageFileDirectory_v2

    file.seek(0)
    head = file.read(8)
    directory = ImageFileDirectory_v2(head + file.read(8) if 43 in head[2:4] else head)
    file.seek(directory.next)
    directory.load(file)
    return directory


def is_misread(tags: Tags) -> bool:
    """Return whether Pillow misinterprets the layout of a file."""
    planes_apart = tags.get(_PLANAR, 1) == 2 and _first(tags, _SAMPLES, 1) > 1
    return planes_apart and _first(tags, _BITS, 1) > 8 and _first(tags, _COMPRESSION, 1) == _PLAIN


def segment_bytes(tags: Tags) -> int:
    """Return the size of a strip or tile in bytes, which a decoder holds besides the picture."""
    bits = _first(tags, _BITS, 1) * _first(tags, _SAMPLES, 1)
    if _TILES in tags:
        area = int(tags.get(_TILE_WIDTH, 0)) * int(tags.get(_TILE_HEIGHT, 0))
    else:
        height = int(tags[_HEIGHT])
        area = int(tags[_WIDTH]) * min(_first(tags, _ROWS, height), height)
    return area * bits // 8


def corrections(image: PILImage) -> Corrections:
    """Return the fixes for the pixels that Pillow reads from a TIFF file."""
    tags: Tags = getattr(image, "tag_v2", {})
    numeric = image.mode in ("I", "F") or image.mode.startswith("I;")
    palette = None
    if image.mode in ("P", "PA") and (entries := tags.get(_MAP)) and max(entries) < 256:
        palette = np.array(entries, np.uint8).reshape(3, -1).T.tobytes()
    return Corrections(
        limits=_limits(tags) if numeric else None,
        invert=numeric and tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO,
        palette=palette,
    )


def read_plain(file: BinaryIO, tags: Tags, name: str) -> tuple[PILImage, int]:
    """Read an uncompressed or deflated file; return the picture and its orientation.

    Args:
        file: The file.
        tags: Its tags.
        name: Name of the photo.

    Raises:
        ImageError: The photo is too large.
        ValueError: The layout is not supported, or the file is damaged.
    """
    from PIL import Image

    layout = _Layout.of(tags)
    check_bytes(name, layout.pixels * (layout.samples + 7), layout.width, layout.height)
    samples = _samples(file, layout)
    if layout.invert:
        samples[:, :, 0] = 255 - samples[:, :, 0]
    shown = np.ascontiguousarray(samples[:, :, : layout.channels])
    size = layout.width, layout.height
    return Image.frombytes(layout.mode, size, shown.tobytes()), int(tags.get(_ORIENTATION, 1))


@dataclass(frozen=True, slots=True)
class _Layout:
    """Position and format of the samples in a file."""

    width: int
    height: int
    samples: int
    bits: int
    order: str
    numbers: int
    limits: ValueRange
    planes: int
    segment: tuple[int, int]
    segments: tuple[tuple[int, int], ...]
    compression: int
    predictor: int
    invert: bool
    mode: str
    channels: int

    @property
    def pixels(self) -> int:
        return self.width * self.height

    @classmethod
    def of(cls, tags: Tags) -> _Layout:
        """Parse the tags.

        Raises:
            ValueError: The layout is not supported.
        """
        samples, bits = _first(tags, _SAMPLES, 1), _first(tags, _BITS, 1)
        photometric = tags.get(_PHOTOMETRIC)
        colors = _COLORS.get(photometric, 0) if isinstance(photometric, int) else 0
        compression = _first(tags, _COMPRESSION, 1)
        limits = _limits(tags)
        if (
            not 0 < colors <= samples <= 8
            or len(set(tags.get(_BITS, (1,)))) != 1
            or bits not in (8, 12, 16, 32)
            or limits is None
            or (compression != _PLAIN and compression not in _DEFLATED)
            or _first(tags, _FILL_ORDER, 1) != 1
            or _first(tags, _PREDICTOR, 1) not in (1, 2)
        ):
            msg = "its pixel layout is not supported"
            raise ValueError(msg)
        width, height = int(tags[_WIDTH]), int(tags[_HEIGHT])
        if _TILES in tags:
            segment = int(tags[_TILE_HEIGHT]), int(tags[_TILE_WIDTH])
            segments = zip(tags[_TILES], tags[_TILE_SIZES], strict=True)
        else:
            segment = min(_first(tags, _ROWS, height), height), width
            segments = zip(tags[_STRIPS], tags[_STRIP_SIZES], strict=True)
        extra = _first(tags, _EXTRA, 0) if samples > colors else 0
        mode = _WITH_ALPHA.get((colors, extra), _MODES[colors])
        return cls(
            width,
            height,
            samples,
            bits,
            ">" if getattr(tags, "prefix", b"II") == b"MM" else "<",
            _first(tags, _NUMBERS, _UNSIGNED),
            limits,
            samples if tags.get(_PLANAR, 1) == 2 else 1,
            segment,
            tuple(segments),
            compression,
            _first(tags, _PREDICTOR, 1),
            photometric == _WHITE_IS_ZERO,
            mode,
            colors + (mode not in _MODES.values()),
        )


def _samples(file: BinaryIO, layout: _Layout) -> npt.NDArray[np.uint8]:
    """Return the samples as (height, width, samples) uint8."""
    out = np.zeros((layout.height, layout.width, layout.samples), np.uint8)
    segment_height, segment_width = layout.segment
    each = layout.samples // layout.planes
    for (plane, top, left), (offset, size) in zip(_corners(layout), layout.segments, strict=False):
        rows = (
            segment_height
            if segment_width != layout.width
            else min(segment_height, layout.height - top)
        )
        file.seek(offset)
        numbers = _decode_segment(file.read(size), layout, (rows, segment_width, each))
        place = out[top : top + rows, left : left + segment_width, plane : plane + each]
        place[:] = scale_to_bytes(numbers[: place.shape[0], : place.shape[1]], *layout.limits)
    return out


def _corners(layout: _Layout) -> Iterator[tuple[int, int, int]]:
    """Yield first sample, row and column of each segment, in file order."""
    segment_height, segment_width = layout.segment
    if segment_height < 1 or segment_width < 1:
        msg = "its tiles have no size"
        raise ValueError(msg)
    for plane in range(layout.planes):
        for top in range(0, layout.height, segment_height):
            for left in range(0, layout.width, segment_width):
                yield plane, top, left


def _decode_segment(data: bytes, layout: _Layout, shape: tuple[int, int, int]) -> npt.NDArray[Any]:
    rows, segment_width, each = shape
    row_bytes = -(-segment_width * each * layout.bits // 8)
    if layout.compression in _DEFLATED:
        data = zlib.decompressobj().decompress(data, rows * row_bytes)
    if len(data) < rows * row_bytes:
        msg = f"it is cut off: {len(data)} bytes where {rows * row_bytes} were expected"
        raise ValueError(msg)
    lines = np.frombuffer(data, np.uint8, rows * row_bytes).reshape(rows, row_bytes)
    if layout.bits == 12:
        numbers = _unpack_12_bits(lines)[:, : segment_width * each]
    else:
        kind = {_UNSIGNED: "u", _SIGNED: "i", _FLOAT: "f"}[layout.numbers]
        numbers = lines.view(f"{layout.order}{kind}{layout.bits // 8}")
    numbers = numbers.reshape(rows, segment_width, each)
    if layout.predictor == 2:
        numbers = np.cumsum(numbers, axis=1, dtype=numbers.dtype.newbyteorder("="))
    return numbers


def _unpack_12_bits(lines: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint16]:
    """Unpack two numbers from every three bytes."""
    padded = np.pad(lines, ((0, 0), (0, -lines.shape[1] % 3))).astype(np.uint16)
    first, second, third = padded[:, 0::3], padded[:, 1::3], padded[:, 2::3]
    pairs = np.stack([first << 4 | second >> 4, (second & 15) << 8 | third], axis=2)
    return pairs.reshape(len(lines), -1)


def _limits(tags: Tags) -> ValueRange | None:
    """Return the values of black and white: the type's range, or what the tags say."""
    bits, numbers = _first(tags, _BITS, 1), _first(tags, _NUMBERS, _UNSIGNED)
    if numbers == _UNSIGNED:
        return 0.0, float((1 << bits) - 1)
    if numbers == _SIGNED and bits <= 16:
        return float(-(1 << (bits - 1))), float((1 << (bits - 1)) - 1)
    for low, high in _LIMITS:
        if low in tags and high in tags:
            black, white = (np.ravel(tags[number])[0] for number in (low, high))
            if white > black:
                return float(black), float(white)
    return None


def _first(tags: Tags, number: int, default: int) -> int:
    """Return the value of a tag, or the first of several."""
    value = tags.get(number, default)
    return int(value[0] if isinstance(value, tuple) else value)

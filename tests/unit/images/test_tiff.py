"""TIFF files with the layouts of scanners and cameras, compared with the expected pixels."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from furiosa_models.errors import ImageError
from furiosa_models.images.read import read_image


def combinations(*options: Any) -> list[tuple[Any, ...]]:
    return list(product(*options))


RAMP = np.tile(np.arange(0, 256, 4), (8, 1))
RGB = np.dstack([RAMP, RAMP[:, ::-1], np.full_like(RAMP, 77)])
SIZES = {"H": 3, "I": 4, "f": 11, "i": 9}
Tags: TypeAlias = "Mapping[int, tuple[str, Sequence[Any]]]"


def tiff(strips: Sequence[bytes], tags: Tags, order: str = "<", size: Any = (64, 8)) -> bytes:
    """Make a TIFF of one image; tags map numbers to types and values."""
    body, at = b"".join(strips), [8]
    for strip in strips:
        at.append(at[-1] + len(strip))
    whole: dict[int, tuple[str, Sequence[Any]]] = {
        256: ("H", [size[0]]),
        257: ("H", [size[1]]),
        259: ("H", [1]),
        273: ("I", at[:-1]),
        278: ("H", [size[1]]),
        279: ("I", [len(strip) for strip in strips]),
        **tags,
    }
    entries, rest, free = b"", b"", 8 + len(body) + 2 + 12 * len(whole) + 4
    for number, (kind, values) in sorted(whole.items()):
        data = struct.pack(f"{order}{len(values)}{kind}", *values)
        entries += struct.pack(order + "HHI", number, SIZES[kind], len(values))
        if len(data) <= 4:
            entries += data.ljust(4, b"\0")
        else:
            entries += struct.pack(order + "I", free + len(rest))
            rest += data
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8 + len(body))
    return head + body + struct.pack(order + "H", len(whole)) + entries + bytes(4) + rest


def gray(values: npt.NDArray[Any], photometric: int = 1, numbers: int = 1, **options: Any) -> bytes:
    """Make a gray TIFF of values of some type."""
    order = options.get("order", "<")
    stored = values.astype(values.dtype.newbyteorder(order)).tobytes()
    tags = {
        258: ("H", [values.dtype.itemsize * 8]),
        262: ("H", [photometric]),
        277: ("H", [1]),
        339: ("H", [numbers]),
        **options.get("tags", {}),
    }
    return tiff([options.get("pack", bytes)(stored)], tags, order)


def level(data: bytes) -> npt.NDArray[np.int64]:
    return read_image(data).rgb[:, :, 0].astype(np.int64)


@pytest.mark.parametrize(("bits", "order", "white"), combinations((8, 16, 32), "<>", (False, True)))
def test_photometric_white_is_zero(bits: int, order: str, white: bool) -> None:
    most = 2**bits - 1
    values = (RAMP * (most // 255)).astype(f"u{bits // 8}")
    stored = most - values if white else values
    np.testing.assert_array_equal(level(gray(stored, int(not white), order=order)), RAMP)


@pytest.mark.parametrize(("order", "white"), combinations("<>", (False, True)))
def test_twelve_bit_samples(order: str, white: bool) -> None:
    values = RAMP * 16 + 9
    values = 4095 - values if white else values
    first, second = values.reshape(8, -1, 2).transpose(2, 0, 1)
    packed = np.stack([first >> 4, (first & 15) << 4 | second >> 8, second & 255], axis=2)
    tags = {258: ("H", [12]), 262: ("H", [int(not white)]), 277: ("H", [1])}
    np.testing.assert_array_equal(
        level(tiff([packed.astype(np.uint8).tobytes()], tags, order)), RAMP
    )


@pytest.mark.parametrize(
    ("order", "planar", "photometric", "bits"), combinations("<>", (1, 2), (2, 5), (8, 16))
)
def test_chunky_and_planar_colors(order: str, planar: int, photometric: int, bits: int) -> None:
    colors = RGB if photometric == 2 else np.dstack([255 - RGB, np.zeros_like(RAMP)])
    values = (colors * (257 if bits == 16 else 1)).astype(f"{order}u{bits // 8}")
    count = values.shape[2]
    strips = (
        [values.tobytes()]
        if planar == 1
        else [values[:, :, band].tobytes() for band in range(count)]
    )
    tags = {
        258: ("H", [bits] * count),
        262: ("H", [photometric]),
        277: ("H", [count]),
        284: ("H", [planar]),
    }
    data = tiff(strips, tags, order)
    for source in (data, Image.open(io.BytesIO(data))):
        np.testing.assert_allclose(read_image(source).rgb.astype(int), RGB, atol=1)


@pytest.mark.parametrize(("planar", "extra"), combinations((1, 2), (1, 2)))
def test_sixteen_bit_gray_with_alpha(planar: int, extra: int) -> None:
    alpha = np.full_like(RAMP, 255)
    values = (np.dstack([RAMP, alpha]) * 257).astype("<u2")
    strips = (
        [values.tobytes()] if planar == 1 else [values[:, :, band].tobytes() for band in (0, 1)]
    )
    tags = {
        258: ("H", [16, 16]),
        262: ("H", [1]),
        277: ("H", [2]),
        284: ("H", [planar]),
        338: ("H", [extra]),
    }
    np.testing.assert_array_equal(level(tiff(strips, tags)), RAMP)


def test_deflate_with_horizontal_predictor() -> None:
    values = (RAMP * 257).astype(">u2")
    differences = np.diff(values.astype(np.int64), axis=1, prepend=0).astype(">u2")
    data = zlib.compress((65535 - values).astype(">u2").tobytes())
    tags = {258: ("H", [16]), 262: ("H", [0]), 277: ("H", [1]), 259: ("H", [8])}
    np.testing.assert_array_equal(level(tiff([data], tags, ">")), RAMP)
    white = {**tags, 262: ("H", [1]), 317: ("H", [2])}
    packed = zlib.compress(differences.tobytes())
    np.testing.assert_array_equal(level(tiff([packed], white, ">")), RAMP)


def test_planar_tiles() -> None:
    values = (RGB * 257).astype("<u2")
    tiles = [
        np.pad(values[:, left : left + 48, band], ((0, 8), (0, max(0, left + 48 - 64)))).tobytes()
        for band in range(3)
        for left in (0, 48)
    ]
    at = np.cumsum([8, *map(len, tiles)])
    tags: Tags = {
        258: ("H", [16] * 3),
        262: ("H", [2]),
        277: ("H", [3]),
        284: ("H", [2]),
        322: ("H", [48]),
        323: ("H", [16]),
        324: ("I", at[:-1].tolist()),
        325: ("I", [len(tile) for tile in tiles]),
    }
    np.testing.assert_array_equal(read_image(tiff(tiles, tags)).rgb, RGB)


@pytest.mark.parametrize(("bits", "factor"), combinations((8, 4), (257, 1)))
def test_color_maps_of_sixteen_and_eight_bits(bits: int, factor: int) -> None:
    steps = RAMP if bits == 8 else RAMP // 16 * 17
    count = 1 << bits
    map_ = [value * 255 // (count - 1) * factor for value in range(count)] * 3
    indexes = steps if bits == 8 else steps // 17
    if bits == 4:
        indexes = indexes[:, 0::2] << 4 | indexes[:, 1::2]
    tags = {258: ("H", [bits]), 262: ("H", [3]), 277: ("H", [1]), 320: ("H", map_)}
    data = tiff([indexes.astype(np.uint8).tobytes()], tags)
    for source in (data, Image.open(io.BytesIO(data))):
        np.testing.assert_array_equal(read_image(source).rgb[:, :, 0], steps)


def test_signed_and_float_samples_with_a_range() -> None:
    np.testing.assert_array_equal(level(gray((RAMP * 257 - 32768).astype(np.int16), 1, 2)), RAMP)
    floats = (RAMP / 255).astype(np.float32)
    limits = {340: ("f", [0.0]), 341: ("f", [1.0])}
    np.testing.assert_array_equal(level(gray(floats, 1, 3, tags=limits)), RAMP)
    np.testing.assert_array_equal(level(gray(1 - floats, 0, 3, tags=limits)), RAMP)
    whole = {340: ("i", [-1000]), 341: ("i", [1550])}
    np.testing.assert_array_equal(
        level(gray((RAMP * 10 - 1000).astype(np.int32), 1, 2, tags=whole)), RAMP
    )
    for data in (gray(floats, 1, 3), gray((RAMP * 999).astype(np.int32), 1, 2)):
        with pytest.raises(ImageError, match="unknown range"):
            read_image(data)


def test_truncated_and_unsupported_files_raise_image_error() -> None:
    values = (RAMP * 257).astype(">u2")
    whole = gray(values, 0, order=">")
    tags = {258: ("H", [16]), 262: ("H", [0]), 277: ("H", [1])}
    for data in (
        tiff([values.tobytes()[:-9]], tags, ">"),
        tiff([values.tobytes()], {**tags, 259: ("H", [34712])}, ">"),
        tiff([values.tobytes()], {**tags, 258: ("H", [13])}, ">"),
        whole[:-20],
        whole[:9],
    ):
        with pytest.raises(ImageError, match="as TIFF"):
            read_image(data)

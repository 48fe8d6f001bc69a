"""The Netpbm decoder: the pixels of Pillow, but faster."""

from __future__ import annotations

import io
from itertools import product
from typing import Any

import numpy as np
import pytest
from PIL import Image

from furiosa_models.errors import ImageError
from furiosa_models.images.read import read_image


def combinations(*options: Any) -> list[tuple[Any, ...]]:
    return list(product(*options))


RNG = np.random.default_rng(0)


def pillow(data: bytes) -> Any:
    image = Image.open(io.BytesIO(data))
    if image.mode == "I":
        return (np.asarray(image) >> 8).repeat(3).ravel().tolist()
    return np.asarray(image.convert("RGB")).ravel().tolist()


@pytest.mark.parametrize(
    ("kind", "largest"), combinations((b"P2", b"P3", b"P5", b"P6"), (1, 100, 255, 256, 1023, 65535))
)
def test_every_depth_equals_that_of_pillow(kind: bytes, largest: int) -> None:
    count = 7 * 5 * (3 if kind in (b"P3", b"P6") else 1)
    numbers = RNG.integers(0, largest + 1, count)
    head = b"%s\n# a comment\n7 5 # another\n%d\n" % (kind, largest)
    if kind in (b"P2", b"P3"):
        body = b" ".join(b"%d" % number for number in numbers) + b"\n# the end"
    else:
        body = numbers.astype(">u2" if largest > 255 else "u1").tobytes()
    assert read_image(head + body).rgb.ravel().tolist() == pillow(head + body)


@pytest.mark.parametrize("body", [b"0 1 1\n0 1 0", b"011010"])
def test_bitmaps_with_and_without_spaces(body: bytes) -> None:
    data = b"P1 3 2\n" + body
    assert read_image(data).rgb.ravel().tolist() == pillow(data)


@pytest.mark.parametrize(
    "data",
    [
        b"P6 4 4 65535\n" + bytes(95),
        b"P3 4 4 255\n1 2 3",
        b"P3 1 1 255\n1 2 256",
        b"P3 1 1 255\n1 2 99999999999",
        b"P3 1 1 255\n1 2 x",
        b"P2 1 1 255\n-1",
        b"P5 0 4 255\n",
        b"P5 4 4 70000\n",
        b"P5 4",
        b"P1 2 1\n05",
        b"P2 1 1 255\n",
    ],
)
def test_damaged_files_raise_image_error(data: bytes) -> None:
    with pytest.raises(ImageError, match="as Netpbm"):
        read_image(data)


@pytest.mark.timeout(60)
def test_large_photo_is_read_quickly() -> None:
    values = RNG.integers(0, 65536, (1000, 1500, 3))
    data = b"P6 1500 1000 65535\n" + values.astype(">u2").tobytes()
    plain = b"P3 500 400 255\n" + b" ".join(b"%d" % n for n in RNG.integers(0, 256, 600_000))
    pixels = read_image(data).rgb
    read_image(plain)
    assert np.abs(pixels - (values >> 8)).max() <= 1

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from furiosa_models.errors import ImageError
from furiosa_models.images.read import read_image
from furiosa_models.images.size import read_size


def photo(path: Path, orientation: int = 1) -> Path:
    pixels = np.random.default_rng(0).integers(0, 255, (20, 30, 3), np.uint8)
    image = Image.fromarray(pixels)
    exif = image.getexif()
    exif[0x0112] = orientation
    image.save(path, exif=exif)
    return path


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_size_is_that_of_the_upright_pixels(tmp_path: Path, suffix: str, orientation: int) -> None:
    path = photo(tmp_path / f"x.{suffix}", orientation)
    height, width = read_image(path).pixels.shape[:2]
    assert read_size(path) == (width, height)


@pytest.mark.parametrize("suffix", ["gif", "bmp", "jp2", "ppm", "tga", "avif"])
def test_all_formats_have_a_size(tmp_path: Path, suffix: str) -> None:
    pixels = np.zeros((20, 30, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / f"x.{suffix}")
    assert read_size(tmp_path / f"x.{suffix}") == (30, 20)


def test_heic_has_a_size() -> None:
    path = Path(__file__).with_name("turned.heic")
    height, width = read_image(path).pixels.shape[:2]
    assert read_size(path) == (width, height)


def test_what_is_no_photo_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("no photo")
    (tmp_path / "empty.jpg").write_bytes(b"")
    os.mkfifo(tmp_path / "pipe.jpg")
    for name in ("text.jpg", "empty.jpg", "pipe.jpg", "missing.jpg", "."):
        with pytest.raises(ImageError, match=name):
            read_size(tmp_path / name)
    with pytest.raises(ImageError):
        read_size(tmp_path / ("x" * 5000))
    with pytest.raises(ImageError):
        read_size(Path("a\0b"))


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    suffix=st.sampled_from(["jpg", "png", "tif"]),
    place=st.integers(0, 600),
    value=st.binary(min_size=1, max_size=8),
    end=st.integers(0, 2000),
)
def test_damaged_headers_give_a_size_or_an_image_error(
    suffix: str, place: int, value: bytes, end: int, tmp_path: Path
) -> None:
    path = tmp_path / f"x.{suffix}"
    data = bytearray(photo(path).read_bytes())
    data[place : place + len(value)] = value
    path.write_bytes(data[:end])
    try:
        width, height = read_size(path)
    except ImageError:
        return
    assert width > 0
    assert height > 0

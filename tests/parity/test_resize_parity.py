"""Resizing: our results equal those of OpenCV and Pillow bit for bit."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from furiosa_models.images.resize import resize
from furiosa_models.spec import Interpolation
from furiosa_models.types import Platform

cv2 = pytest.importorskip("cv2", reason="OpenCV is the oracle")

Pixels = npt.NDArray[np.uint8]
LENGTH = st.one_of(st.integers(1, 4), st.integers(1, 40), st.integers(1, 300))
SHAPE = st.tuples(LENGTH, LENGTH)
OPENCV: dict[Interpolation, int] = {
    "opencv_linear": cv2.INTER_LINEAR,
    "opencv_area": cv2.INTER_AREA,
}
PILLOW: dict[Interpolation, Image.Resampling] = {
    "pillow_bilinear": Image.Resampling.BILINEAR,
    "pillow_bicubic": Image.Resampling.BICUBIC,
}


def noise(shape: tuple[int, ...], seed: int) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def by_library(image: Pixels, size: tuple[int, int], method: Interpolation) -> Pixels:
    height, width = size
    if method in OPENCV:
        resized = cv2.resize(image, (width, height), interpolation=OPENCV[method])
        return np.asarray(resized, np.uint8).reshape(*size, *image.shape[2:])
    # x before y, independent of the order of this version of Pillow
    narrow = Image.fromarray(image).resize((width, image.shape[0]), PILLOW[method])
    return np.asarray(narrow.resize((width, height), PILLOW[method]))


def check(image: Pixels, size: tuple[int, int], method: Interpolation) -> None:
    expected = by_library(image, size, method)
    for platform in (Platform.RUST, Platform.PYTHON):
        np.testing.assert_array_equal(resize(image, size, method, platform=platform), expected)


@pytest.mark.parametrize("method", [*OPENCV, *PILLOW])
@settings(max_examples=60, deadline=None)
@given(shape=SHAPE, size=SHAPE, color=st.booleans(), seed=st.integers(0, 99))
def test_any_size_equals_the_library(
    method: Interpolation, shape: tuple[int, int], size: tuple[int, int], color: bool, seed: int
) -> None:
    check(noise((*shape, 3) if color else shape, seed), size, method)


@pytest.mark.parametrize("method", OPENCV)
@settings(max_examples=60, deadline=None)
@given(
    size=st.tuples(st.integers(1, 12), st.integers(1, 12)),
    blocks=st.tuples(st.integers(1, 60), st.integers(1, 60)),
    color=st.booleans(),
)
def test_integer_scales_equal_the_library(
    method: Interpolation, size: tuple[int, int], blocks: tuple[int, int], color: bool
) -> None:
    shape = size[0] * blocks[0], size[1] * blocks[1]
    check(noise((*shape, 3) if color else shape, 0), size, method)


@pytest.mark.parametrize("method", [*OPENCV, *PILLOW])
@pytest.mark.parametrize(
    ("shape", "size"),
    [
        ((480, 640), (300, 300)),
        ((640, 960), (320, 480)),
        ((1080, 1920), (360, 640)),
        ((1, 4000), (3, 2)),
        ((4000, 1), (1, 5)),
        ((1, 1), (77, 33)),
        ((2, 3), (700, 500)),
    ],
)
def test_common_and_extreme_sizes_equal_the_library(
    method: Interpolation, shape: tuple[int, int], size: tuple[int, int]
) -> None:
    check(noise((*shape, 3), 1), size, method)


@pytest.mark.parametrize("method", PILLOW)
@pytest.mark.parametrize("shape", [(300, 400), (1080, 1920), (500, 333)])
def test_typical_photos_equal_pillow_in_its_own_order(
    method: Interpolation, shape: tuple[int, int]
) -> None:
    image = noise((*shape, 3), 2)
    size = 256, 256 * shape[1] // shape[0]
    expected = np.asarray(Image.fromarray(image).resize(size[::-1], PILLOW[method]))
    np.testing.assert_array_equal(resize(image, size, method), expected)

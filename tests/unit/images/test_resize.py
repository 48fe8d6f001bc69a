from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from furiosa_models.errors import ShapeError
from furiosa_models.images.resize import resize
from furiosa_models.spec import Interpolation
from furiosa_models.types import Platform

from ...platforms import BOTH

METHODS: tuple[Interpolation, ...] = (
    "opencv_linear",
    "opencv_area",
    "pillow_bilinear",
    "pillow_bicubic",
)


@BOTH
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("shape", [(1, 1), (1, 9, 3), (9, 1, 3), (5, 7, 1), (64, 48, 3)])
@pytest.mark.parametrize("size", [(1, 1), (1, 20), (20, 1), (3, 5), (64, 48)])
def test_uniform_image_stays_uniform(
    platform: Platform, method: Interpolation, shape: tuple[int, ...], size: tuple[int, int]
) -> None:
    resized = resize(np.full(shape, 137, np.uint8), size, method, platform=platform)
    assert resized.shape == (*size, *shape[2:])
    # OpenCV's bilinear truncates each product before the sum: it may lose one level
    assert set(np.unique(resized)) <= ({136, 137} if method.startswith("opencv") else {137})


@BOTH
@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ("opencv_linear", [[0, 25, 75, 100]]),
        ("opencv_area", [[0, 0, 100, 100]]),
        ("pillow_bilinear", [[0, 25, 75, 100]]),
        ("pillow_bicubic", [[0, 21, 79, 109]]),
    ],
)
def test_two_pixels_are_enlarged_to_four(
    platform: Platform, method: Interpolation, expected: list[list[int]]
) -> None:
    row = np.array([[0, 100]], np.uint8)
    assert resize(row, (1, 4), method, platform=platform).tolist() == expected


@BOTH
def test_area_rounds_halves_up_in_2x2_blocks_else_to_even(platform: Platform) -> None:
    block = np.array([[0, 1], [1, 0]], np.uint8)
    assert resize(block, (1, 1), "opencv_area", platform=platform).item() == 1
    row = np.array([[0, 1]], np.uint8)
    assert resize(row, (1, 1), "opencv_area", platform=platform).item() == 0


@BOTH
@pytest.mark.parametrize("side", [2910, 4200])  # sums beyond 31 and 32 bits
def test_area_of_large_blocks_does_not_overflow(platform: Platform, side: int) -> None:
    image = np.full((side, side), 255, np.uint8)
    assert resize(image, (1, 1), "opencv_area", platform=platform).item() == 255


@BOTH
@pytest.mark.parametrize("method", METHODS)
def test_arrays_with_any_strides_are_accepted(platform: Platform, method: Interpolation) -> None:
    base = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    for view in (
        base[::-1],
        base[:, ::-2],
        base[3:30, 5:50],
        base[:, :, ::-1],
        base.transpose(1, 0, 2),
    ):
        expected = resize(np.ascontiguousarray(view), (13, 17), method, platform=platform)
        np.testing.assert_array_equal(resize(view, (13, 17), method, platform=platform), expected)


@BOTH
@pytest.mark.parametrize(
    ("image", "got"),
    [
        (np.zeros((4, 4, 3), np.float32), "float32 of shape"),
        (np.zeros((4, 4, 4), np.uint8), r"\(4, 4, 4\)"),
        (np.zeros((0, 4, 3), np.uint8), r"\(0, 4, 3\)"),
        (np.zeros(4, np.uint8), r"\(4,\)"),
        ("photo.jpg", "str"),
    ],
)
def test_invalid_arrays_are_rejected(
    platform: Platform, image: npt.NDArray[np.uint8], got: str
) -> None:
    with pytest.raises(ShapeError, match=f"uint8 array of h x w x 1 or 3.*got .*{got}"):
        resize(image, (2, 2), "opencv_linear", platform=platform)


@BOTH
def test_invalid_size_and_interpolation_are_rejected(platform: Platform) -> None:
    image = np.zeros((4, 4, 3), np.uint8)
    with pytest.raises(ValueError, match="at least 1 x 1, got 0 x 3"):
        resize(image, (0, 3), "opencv_linear", platform=platform)
    with pytest.raises(ValueError, match="interpolation must be one of opencv_linear"):
        resize(image, (3, 3), "lanczos", platform=platform)  # type: ignore[arg-type]


def test_platform_without_an_implementation_is_rejected() -> None:
    with pytest.raises(ValueError, match="RUST or PYTHON, got CPP"):
        resize(np.zeros((4, 4), np.uint8), (3, 3), "opencv_area", platform=Platform.CPP)

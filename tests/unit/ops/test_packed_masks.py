from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from furiosa_models.enums import Platform
from furiosa_models.errors import ShapeError
from furiosa_models.ops import native
from furiosa_models.ops.masks import Axis, box_of_mask, photo_axes
from furiosa_models.ops.packed_masks import areas_of, boxes_of, pack, resize_masks, unpack
from furiosa_models.spec import ImageContext

RUST, PYTHON = Platform.RUST, Platform.PYTHON

stacks = hnp.arrays(np.bool_, hnp.array_shapes(min_dims=3, max_dims=3, min_side=0, max_side=20))
maps = hnp.arrays(
    np.float32,
    hnp.array_shapes(min_dims=3, max_dims=3, max_side=9),
    elements=st.floats(width=32, allow_nan=True, allow_infinity=True)
    | st.floats(0, 1, width=32)
    | st.sampled_from([0.0, 0.5, 1.0]),
)


def axes(height: int, width: int, shape: tuple[int, int]) -> tuple[Axis, Axis]:
    """Return the axes of a photo that was stretched to an input of the map's size."""
    context = ImageContext(width, height, stretch=(shape[1] / width, shape[0] / height))
    return photo_axes(context, shape, shape)


@given(stacks)
def test_packed_masks_keep_what_they_are(masks: npt.NDArray[np.bool_]) -> None:
    bits = (
        pack(masks) if masks.size else np.zeros((*masks.shape[:2], -(-masks.shape[2] // 8)), "u1")
    )
    np.testing.assert_array_equal(unpack(bits, masks.shape[2]), masks)
    np.testing.assert_array_equal(areas_of(bits), masks.sum((1, 2)))
    expected = [box_of_mask(mask) for mask in masks]
    assert boxes_of(bits, masks.shape[2]).tolist() == [[*box] for box in expected]


@given(maps, st.integers(1, 30), st.integers(1, 30), st.floats(0, 1, width=32))
def test_both_implementations_agree(
    values: npt.NDArray[np.float32], height: int, width: int, threshold: float
) -> None:
    place = axes(height, width, (values.shape[1], values.shape[2]))
    rust, python = (resize_masks(values, *place, threshold, platform=p) for p in (RUST, PYTHON))
    np.testing.assert_array_equal(rust.bits, python.bits)
    np.testing.assert_array_equal(rust.areas, python.areas)
    np.testing.assert_allclose(rust.means, python.means, rtol=1e-6)


@given(
    hnp.arrays(np.float32, (2, 5, 6), elements=st.floats(0, 1, width=32)),
    st.integers(1, 30),
    st.integers(1, 30),
)
def test_masks_are_thresholded_after_resizing(
    values: npt.NDArray[np.float32], height: int, width: int
) -> None:
    rows, columns = axes(height, width, (5, 6))
    found = resize_masks(values, rows, columns, 0.5)
    exact = values.astype(np.float64)
    lines = exact[:, rows.low] * (1 - rows.weight[:, None].astype(np.float64))
    lines += exact[:, rows.high] * rows.weight[:, None]
    level = lines[:, :, columns.low] * (1 - columns.weight.astype(np.float64))
    level += lines[:, :, columns.high] * columns.weight
    masks = unpack(found.bits, width)
    is_clear = np.abs(level - 0.5) > 1e-6
    np.testing.assert_array_equal(masks[is_clear], (level >= 0.5)[is_clear])
    for mask, mean, values_of in zip(masks, found.means, level, strict=True):
        expected = values_of[mask].mean() if mask.any() else 0.0
        assert mean == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("platform", [RUST, PYTHON])
def test_pixels_beyond_a_crop_are_in_no_mask(platform: Platform) -> None:
    context = ImageContext(20, 10, scale=1.0, pad=(-5.0, 0.0))  # the input is the middle
    place = photo_axes(context, (10, 10), (5, 5))
    found = resize_masks(np.ones((2, 5, 5), np.float32), *place, 0.5, platform=platform)
    assert found.areas.tolist() == [100, 100]
    assert boxes_of(found.bits, 20).tolist() == [[5, 0, 15, 10]] * 2


@pytest.mark.parametrize("platform", [RUST, PYTHON])
def test_no_maps_give_no_masks(platform: Platform) -> None:
    place = axes(7, 9, (4, 4))
    found = resize_masks(np.zeros((0, 4, 4), np.float32), *place, 0.5, platform=platform)
    assert (found.bits.shape, found.areas.shape, found.means.shape) == ((0, 7, 2), (0,), (0,))


@pytest.mark.parametrize("values", [np.zeros((2, 3), np.float32), np.zeros((1, 2, 2)), None])
def test_wrong_maps_are_refused(values: Any) -> None:
    with pytest.raises(ShapeError):
        resize_masks(values, *axes(4, 4, (2, 2)), 0.5)


@pytest.mark.parametrize(
    "windows",
    [
        np.array([[0, 0, 5, 4]], np.int32),
        np.array([[-1, 0, 4, 4]], np.int32),
        np.array([[3, 0, 2, 4]], np.int32),
        np.zeros((2, 4), np.int32),
        np.zeros((1, 3), np.int32),
    ],
)
def test_the_kernel_checks_windows(windows: npt.NDArray[np.int32]) -> None:
    rows, columns = axes(4, 4, (2, 2))
    values = np.ones((1, 2, 2), np.float32)
    with pytest.raises(ValueError, match="window"):
        native.load().resize_masks(values, *rows[:3], *columns[:3], windows, 0.5)

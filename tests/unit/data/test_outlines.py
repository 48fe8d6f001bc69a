from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from furiosa_models.data.outlines import clip_polygon
from furiosa_models.ops.rle import decode_rle, encode_rle

WIDTH, HEIGHT = 20, 12
Array = npt.NDArray[Any]


def contains(polygon: Array, points: Array) -> Array:
    """Return whether points are inside a polygon, by counting the edges on their right."""
    (x, y), (px, py) = polygon.astype(np.float64).T, points.T[:, :, None]
    next_x, next_y = np.roll(x, -1), np.roll(y, -1)
    spans = (y > py) != (next_y > py)
    slope = np.divide(next_x - x, next_y - y, out=np.zeros_like(x), where=next_y != y)
    crossings = spans & (px < x + (py - y) * slope)
    inside: Array = crossings.sum(axis=1) % 2 == 1
    return inside


corners = st.tuples(st.floats(-15, 35, width=16), st.floats(-12, 24, width=16))


@given(st.lists(corners, min_size=3, max_size=9))
def test_a_clipped_polygon_contains_the_same_points_of_the_image(corners: list[Any]) -> None:
    polygon = np.array(corners, np.float32)
    clipped = clip_polygon(polygon, WIDTH, HEIGHT)
    assert clipped.dtype == np.float32
    assert (clipped >= 0).all()
    assert (clipped <= (WIDTH, HEIGHT)).all()
    points = np.random.default_rng(0).uniform((0, 0), (WIDTH, HEIGHT), (400, 2))
    differing = contains(polygon, points)
    if len(clipped):
        differing = differing != contains(clipped, points)
    assert differing.sum() <= 2  # points on an edge


def test_a_polygon_inside_the_image_is_unchanged() -> None:
    polygon = np.array([[2, 3], [18, 1], [9, 11]], np.float32)
    np.testing.assert_array_equal(clip_polygon(polygon, WIDTH, HEIGHT), polygon)


def test_a_polygon_that_crosses_itself_is_kept() -> None:
    polygon = np.array([[0, 3], [0, 1], [2, 1], [1, 0]], np.float32)  # its lobes have equal areas
    np.testing.assert_array_equal(clip_polygon(polygon, WIDTH, HEIGHT), polygon)


@pytest.mark.parametrize("shift", [(0, -12), (0, 13), (-21, 0), (21, 0), (20, 0)])
def test_nothing_is_left_of_a_polygon_outside_the_image(shift: tuple[int, int]) -> None:
    polygon = np.array([[0, 0], [18, 1], [9, 11]], np.float32) + np.array(shift, np.float32)
    assert clip_polygon(polygon, WIDTH, HEIGHT).shape == (0, 2)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools
@given(arrays.arrays(np.bool_, st.tuples(st.integers(1, 9), st.integers(1, 9))))
def test_an_encoded_mask_is_read_back_here_and_by_pycocotools(mask: Array) -> None:
    mask_api = pytest.importorskip("pycocotools.mask")
    encoded = encode_rle(mask)
    np.testing.assert_array_equal(decode_rle(encoded), mask)
    compressed = mask_api.frPyObjects(encoded, *encoded["size"])
    np.testing.assert_array_equal(mask_api.decode(compressed).astype(np.bool_), mask)

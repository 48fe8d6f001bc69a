"""The pose head: Rust, numpy and the textbook implementation agree."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from furiosa_models.heads.pose import PoseArrays, decode_pose
from furiosa_models.ops.anchors import yolo_p6_anchors
from furiosa_models.types import Platform

from ..textbook import YOLO_P6_PIXELS, suppress

Floats = npt.NDArray[np.float32]
Maps = tuple[list[Floats], list[Floats]]
STRIDES = (8, 16, 32, 64)


def outputs(seed: int, objectness: float, *, images: int = 1) -> Maps:
    rng = np.random.default_rng(seed)
    box_maps, keypoint_maps = [], []
    for height, width in ((384 // stride, 640 // stride) for stride in STRIDES):
        values = rng.normal(0, 1.5, (images, 3, 57, height, width)).astype(np.float32)
        values[:, :, 4] += objectness
        values[:, :, 5] += 2
        values[:, :, 6:] *= 4
        values = values.reshape(images, 171, height, width)
        box_maps.append(values[:, :18].copy())
        keypoint_maps.append(values[:, 18:].copy())
    return box_maps, keypoint_maps


def decode_on_both(
    maps: Maps, anchors: Floats, strides: Any = STRIDES, **options: Any
) -> list[PoseArrays]:
    """Return the result of Rust after checking that the result of numpy is equal."""
    found = decode_pose(*maps, anchors, strides, platform=Platform.RUST, **options)
    others = decode_pose(*maps, anchors, strides, platform=Platform.PYTHON, **options)
    for ours, other in zip(found, others, strict=True):
        np.testing.assert_allclose(ours.scores, other.scores, rtol=1e-6)
        np.testing.assert_allclose(ours.boxes, other.boxes, rtol=1e-6, atol=1e-4)
        np.testing.assert_allclose(ours.keypoints, other.keypoints, rtol=1e-6)
    return found


def textbook(maps: Maps, image: int, threshold: float, limit: float) -> PoseArrays:
    """Decode every anchor in float64, then filter, then suppress."""
    tables = []
    for boxes, keypoints, anchors, stride in zip(*maps, YOLO_P6_PIXELS, STRIDES, strict=True):
        values = np.concatenate((boxes[image], keypoints[image])).astype(np.float64)
        height, width = values.shape[1:]
        values = values.reshape(3, 57, height, width)
        grid = np.mgrid[:height, :width][::-1]
        values[:, 6::3] = (values[:, 6::3] * 2 - 0.5 + grid[0]) * stride
        values[:, 7::3] = (values[:, 7::3] * 2 - 0.5 + grid[1]) * stride
        inside = [0, 1, 2, 3, 4, 5, *range(8, 57, 3)]
        values[:, inside] = 1 / (1 + np.exp(-values[:, inside]))
        center = (values[:, :2] * 2 - 0.5 + grid) * stride
        half = (values[:, 2:4] * 2) ** 2 * np.array(anchors)[:, :, None, None] / 2
        values[:, :2], values[:, 2:4] = center - half, center + half
        values[:, 4] *= values[:, 5]
        tables.append(values.transpose(0, 2, 3, 1).reshape(-1, 57))
    table = np.concatenate(tables)
    table = table[table[:, 4] > threshold]
    kept = suppress(table[:, :4], table[:, 4], np.zeros(len(table)), limit, epsilon=1e-5)
    return PoseArrays(table[kept, :4], table[kept, 4], table[kept, 6:].reshape(-1, 17, 3))


@pytest.mark.parametrize("images", [1, 4])
@pytest.mark.parametrize(("objectness", "some"), [(-14.0, False), (-6.5, True), (-5.0, True)])
def test_decoding_equals_the_textbook(objectness: float, some: bool, images: int) -> None:
    maps = outputs(1, objectness, images=images)
    for image, found in enumerate(decode_on_both(maps, yolo_p6_anchors())):
        expected = textbook(maps, image, 0.1, 0.45)
        assert (len(found.scores) > 0) is some
        assert found.keypoints.shape == (len(found.scores), 17, 3)
        np.testing.assert_allclose(found.scores, expected.scores, rtol=1e-5)
        np.testing.assert_allclose(found.boxes, expected.boxes, rtol=1e-5, atol=1e-3)
        np.testing.assert_allclose(found.keypoints, expected.keypoints, rtol=1e-5, atol=1e-3)


def test_rust_equals_numpy_on_thousands_of_people() -> None:
    (found,) = decode_on_both(outputs(0, -3.0), yolo_p6_anchors())
    assert len(found.scores) > 2000
    (best,) = decode_on_both(outputs(0, -3.0), yolo_p6_anchors(), max_detections=20)
    np.testing.assert_array_equal(best.keypoints, found.keypoints[:20])


@settings(max_examples=100, deadline=None)
@given(
    values=arrays.arrays(np.float32, (2, 114, 1, 2), elements=st.floats(width=32)),
    threshold=st.floats(0, 1),
    limit=st.floats(0, 1),
)
def test_rust_equals_numpy_on_any_floats(values: Floats, threshold: float, limit: float) -> None:
    maps = [values[:, :12]], [values[:, 12:]]
    anchors = np.array([[[1, 2], [3, 1]]], np.float32)
    options: dict[str, Any] = {"score_threshold": threshold, "iou_threshold": limit}
    for found in decode_on_both(maps, anchors, (4,), **options):
        assert np.isfinite(found.boxes).all()
        assert (found.scores > np.float32(threshold)).all()

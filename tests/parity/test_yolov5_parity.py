"""The YOLOv5 head: Rust, numpy, the published wheel and the textbook implementation agree."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from furiosa_models.heads.yolo import decode_yolov5
from furiosa_models.ops.anchors import yolo_p5_anchors, yolo_p6_anchors
from furiosa_models.ops.nms import DetectionArrays
from furiosa_models.ops.scores import sigmoid
from furiosa_models.types import Platform

from ..textbook import YOLO_P5_PIXELS, suppress

Floats = npt.NDArray[np.float32]
P5, P6 = (8, 16, 32), (8, 16, 32, 64)


def outputs(
    seed: int,
    classes: int,
    objectness: float,
    *,
    images: int = 1,
    size: int = 640,
    strides: tuple[int, ...] = P5,
) -> list[Floats]:
    """Return maps of logits."""
    rng = np.random.default_rng(seed)
    maps = []
    for side in (size // stride for stride in strides):
        values = rng.normal(0, 1.5, (images, 3, 5 + classes, side, side)).astype(np.float32)
        values[:, :, 4] += objectness
        values[:, :, 5:] -= 2
        maps.append(values.reshape(images, -1, side, side))
    return maps


def decode_on_both(
    maps: list[Floats], anchors: Floats, strides: Any, **options: Any
) -> list[DetectionArrays]:
    """Return the result of Rust after checking that the result of numpy is equal."""
    found = decode_yolov5(maps, anchors, strides, platform=Platform.RUST, **options)
    others = decode_yolov5(maps, anchors, strides, platform=Platform.PYTHON, **options)
    for ours, other in zip(found, others, strict=True):
        np.testing.assert_array_equal(ours.class_ids, other.class_ids)
        np.testing.assert_allclose(ours.scores, other.scores, rtol=1e-6)
        np.testing.assert_allclose(ours.boxes, other.boxes, rtol=1e-6, atol=1e-4)
    return found


def by_wheel(
    maps: list[Floats], anchors: Floats, strides: tuple[int, ...], image: int, limits: Any
) -> npt.NDArray[np.float64]:
    """Return rows of left, top, right, bottom, score, class, best first."""
    wheel = pytest.importorskip(
        "furiosa_native_postprocess.yolo", reason="the published wheel is the oracle"
    )
    decoder = wheel.RustPostProcessor(anchors, [float(stride) for stride in strides])
    alone = []
    for value in maps:
        _, channels, height, width = value.shape
        split = value[image].reshape(1, 3, channels // 3, height, width)
        alone.append(np.ascontiguousarray(split.transpose(0, 1, 3, 4, 2)))
    return np.asarray(decoder.eval(alone, *limits, None, None)[0], np.float64)


@pytest.mark.filterwarnings("ignore:numpy.core.multiarray:DeprecationWarning")
@pytest.mark.parametrize("images", [1, 4])
@pytest.mark.parametrize(
    ("classes", "objectness", "limits"),
    [
        (1, -9.0, (0.25, 0.45)),
        (1, -3.0, (0.25, 0.45)),
        (10, -6.0, (0.25, 0.45)),
        (10, -5.0, (0.1, 0.7)),
        (80, -7.0, (0.25, 0.45)),
        (80, -5.0, (0.25, 0.0)),
    ],
)
def test_decoding_equals_the_wheel(
    classes: int, objectness: float, limits: Any, images: int
) -> None:
    logits = outputs(classes, classes, objectness, images=images)
    maps = [sigmoid(m) for m in logits]
    options = dict(zip(("score_threshold", "iou_threshold"), limits, strict=True))
    applied = decode_on_both(maps, yolo_p5_anchors(), P5, **options)
    inside = decode_on_both(logits, yolo_p5_anchors(), P5, with_sigmoid=True, **options)
    for image in range(images):
        expected = by_wheel(maps, yolo_p5_anchors(), P5, image, limits)
        for found in (applied[image], inside[image]):
            got: Any = np.column_stack((found.boxes, found.scores, found.class_ids))
            assert got.shape == expected.shape
            np.testing.assert_allclose(got, expected, atol=1e-3, rtol=1e-6)


@pytest.mark.filterwarnings("ignore:numpy.core.multiarray:DeprecationWarning")
def test_decoding_equals_the_wheel_on_four_levels() -> None:
    maps = [sigmoid(m) for m in outputs(6, 5, -4.5, size=512, strides=P6)]
    (found,) = decode_on_both(maps, yolo_p6_anchors(), P6)
    expected = by_wheel(maps, yolo_p6_anchors(), P6, 0, (0.25, 0.45))
    assert len(found.scores) == len(expected) > 10
    np.testing.assert_allclose(found.boxes, expected[:, :4], atol=1e-3)


def test_rust_equals_numpy_on_thousands_of_candidates() -> None:
    (found,) = decode_on_both(outputs(2, 10, 0.0), yolo_p5_anchors(), P5, with_sigmoid=True)
    assert len(found.scores) == 300
    options: dict[str, Any] = {"with_sigmoid": True, "max_detections": None}
    maps = outputs(2, 3, 0.0, size=320)
    (found,) = decode_on_both(maps, yolo_p5_anchors(), P5, score_threshold=0.001, **options)
    assert len(found.scores) > 3000
    (best,) = decode_on_both(maps, yolo_p5_anchors(), P5, max_candidates=1000, **options)
    assert 100 < len(best.scores) < 1000


def textbook(maps: list[Floats], threshold: float, limit: float) -> DetectionArrays:
    """Decode every box of the first image in float64, then filter, then suppress."""
    rows = []
    for value, anchors, stride in zip(maps, YOLO_P5_PIXELS, P5, strict=True):
        _, channels, height, width = value.shape
        x, y, w, h, objectness, *classes = (
            (1 / (1 + np.exp(-value.astype(np.float64))))
            .reshape(3, channels // 3, height, width)
            .swapaxes(0, 1)
        )
        row, column = np.mgrid[:height, :width]
        x, y = (x * 2 - 0.5 + column) * stride, (y * 2 - 0.5 + row) * stride
        w, h = (
            (2 * s) ** 2 * a[:, None, None]
            for s, a in zip((w, h), np.array(anchors).T, strict=True)
        )
        box = x - w / 2, y - h / 2, x + w / 2, y + h / 2
        for class_id, score in enumerate(classes):
            hit = objectness * score > threshold
            columns = *(side[hit] for side in box), (objectness * score)[hit]
            rows.append(np.column_stack((*columns, np.full(hit.sum(), class_id))))
    table = np.concatenate(rows)
    kept = suppress(table[:, :4], table[:, 4], table[:, 5], limit, epsilon=1e-5)
    boxes, scores, class_ids = np.split(table[kept], [4, 5], axis=1)
    return DetectionArrays(boxes, scores[:, 0], class_ids[:, 0].astype(np.int64))


@pytest.mark.parametrize(("threshold", "limit"), [(0.1, 0.5), (0.25, 0.45), (0.4, 0.3)])
def test_decoding_equals_the_textbook(threshold: float, limit: float) -> None:
    maps = outputs(7, 4, -4.5)
    options: dict[str, Any] = {"score_threshold": threshold, "iou_threshold": limit}
    (found,) = decode_on_both(
        maps, yolo_p5_anchors(), P5, with_sigmoid=True, max_detections=None, **options
    )
    expected = textbook(maps, threshold, limit)
    assert len(expected.scores) > 2
    np.testing.assert_array_equal(found.class_ids, expected.class_ids)
    np.testing.assert_allclose(found.scores, expected.scores, rtol=1e-5)
    np.testing.assert_allclose(found.boxes, expected.boxes, rtol=1e-5, atol=1e-3)


@settings(max_examples=150, deadline=None)
@given(
    values=arrays.arrays(np.float32, (2, 14, 2, 2), elements=st.floats(width=32)),
    with_sigmoid=st.booleans(),
    threshold=st.floats(0, 1),
    limit=st.floats(0, 1),
)
def test_rust_equals_numpy_on_any_floats(
    values: Floats, with_sigmoid: bool, threshold: float, limit: float
) -> None:
    options: dict[str, Any] = {"score_threshold": threshold, "iou_threshold": limit}
    anchors = np.array([[[1, 2], [3, 1]]], np.float32)
    for found in decode_on_both([values], anchors, (4,), with_sigmoid=with_sigmoid, **options):
        assert np.isfinite(found.boxes).all()
        assert np.isfinite(found.scores).all()
        assert (found.scores > np.float32(threshold)).all()

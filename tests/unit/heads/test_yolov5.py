from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from furiosa_models.errors import ShapeError
from furiosa_models.heads.yolo import decode_yolov5
from furiosa_models.ops.anchors import yolo_p5_anchors, yolo_p6_anchors
from furiosa_models.ops.nms import DetectionArrays
from furiosa_models.ops.scores import sigmoid
from furiosa_models.types import Platform

from ...platforms import BOTH

NAN, INF = float("nan"), float("inf")
Floats = npt.NDArray[np.float32]
STRIDES = (8, 16)
ANCHORS = np.array([[[1, 2], [4, 0.5]], [[2, 2], [3, 3]]], np.float32)


@pytest.fixture
def maps() -> list[Floats]:
    """One image on two levels, 2 x 4 and 1 x 2 cells, of two anchors and three classes."""
    return [np.zeros((1, 2 * 8, 2, 4), np.float32), np.zeros((1, 2 * 8, 1, 2), np.float32)]


def put_detection(
    level: Floats, anchor: int, place: tuple[int, int], objectness: float, **classes: float
) -> Floats:
    """Write a detection of an anchor at a row and column; return its numbers there."""
    numbers: Floats = level[0].reshape(2, 8, *level.shape[2:])[anchor, :, place[0], place[1]]
    numbers[:5] = [0.5, 0.5, 0.5, 0.5, objectness]
    for name, score in classes.items():
        numbers[5 + int(name[1:])] = score
    return numbers


def detect(maps: Any, platform: Platform, **options: Any) -> list[DetectionArrays]:
    return decode_yolov5(maps, ANCHORS, STRIDES, platform=platform, **options)


@BOTH
def test_empty_outputs_give_no_detection(maps: list[Floats], platform: Platform) -> None:
    (found,) = detect(maps, platform)
    assert [column.shape for column in found] == [(0, 4), (0,), (0,)]
    assert [column.dtype for column in found] == [np.float32, np.float32, np.int64]


@BOTH
def test_boxes_are_decoded(maps: list[Floats], platform: Platform) -> None:
    put_detection(maps[0], 1, (1, 2), 0.9, c2=0.8)
    put_detection(maps[1], 0, (0, 1), 0.5, c0=1.0)[:4] = [0.0, 1.0, 1.0, 0.25]
    (found,) = detect(maps, platform)
    np.testing.assert_allclose(found.scores, [0.72, 0.5], rtol=1e-6)
    assert found.class_ids.tolist() == [2, 0]
    # center (2.5, 1.5) * 8, size (4, 0.5) * 8; center (0.5, 1.5) * 16, size (4 * 2, 2 / 4) * 16
    expected = [[4.0, 10.0, 36.0, 14.0], [-56.0, 20.0, 72.0, 28.0]]
    np.testing.assert_allclose(found.boxes, expected)


@BOTH
def test_every_class_above_the_threshold_is_detected(
    maps: list[Floats], platform: Platform
) -> None:
    put_detection(maps[0], 0, (0, 0), 0.5, c0=1.0, c1=0.75, c2=0.25)
    (found,) = detect(maps, platform)
    assert found.class_ids.tolist() == [0, 1]
    assert found.scores.tolist() == [0.5, 0.375]
    np.testing.assert_array_equal(found.boxes[0], found.boxes[1])


@BOTH
@pytest.mark.parametrize("threshold", [0.0, 0.001, 0.25, 0.5, 0.99])
def test_score_must_exceed_the_threshold(
    maps: list[Floats], platform: Platform, threshold: float
) -> None:
    at = np.float32(threshold)
    above = np.nextafter(at, np.float32(2))
    put_detection(maps[0], 0, (0, 0), 1.0, c0=float(at), c1=float(above))
    put_detection(maps[1], 1, (0, 0), float(at), c0=1.0)
    put_detection(maps[1], 0, (0, 1), float(above), c2=1.0)
    (found,) = detect(maps, platform, score_threshold=threshold)
    assert found.scores.tolist() == [above, above]
    assert found.class_ids.tolist() == [1, 2]


@BOTH
def test_threshold_of_logits_is_exact(maps: list[Floats], platform: Platform) -> None:
    """Of adjacent float32 logits, exactly those whose score exceeds the threshold pass."""
    for value in maps:
        value[:] = -99
    for step in range(-40, 40):
        logit = np.float32(step * 2.0**-25)
        objectness = np.float32(50)
        numbers = put_detection(maps[0], 0, (0, 0), float(objectness), c1=float(logit))
        score = sigmoid(numbers[6:7])[0]
        (found,) = detect(maps, platform, with_sigmoid=True, score_threshold=0.5)
        assert found.scores.tolist() == ([score] if score > np.float32(0.5) else [])


@BOTH
def test_objectness_must_exceed_the_threshold(maps: list[Floats], platform: Platform) -> None:
    put_detection(maps[0], 0, (0, 0), 0.25, c0=8.0)  # quantized graphs may exceed 1
    assert len(detect(maps, platform)[0].scores) == 0


@BOTH
def test_decoder_can_apply_the_sigmoid(platform: Platform) -> None:
    rng = np.random.default_rng(1)
    logits = [rng.normal(0, 2, (2, 16, h, w)).astype(np.float32) for h, w in ((2, 4), (1, 2))]
    inside = detect(logits, platform, with_sigmoid=True)
    applied = detect([sigmoid(m) for m in logits], platform)
    for one, other in zip(inside, applied, strict=True):
        assert len(one.scores) > 3
        assert_equal(one, other)


@BOTH
def test_suppression_order_and_limits(maps: list[Floats], platform: Platform) -> None:
    for place in ((0, 0), (1, 3)):
        put_detection(maps[0], 0, place, 0.5, c1=1.0, c2=1.0)
    put_detection(maps[0], 0, (0, 3), 1.0, c0=1.0)
    # equal scores rank as in memory: by level, anchor, class and cell
    (found,) = detect(maps, platform)
    assert found.class_ids.tolist() == [0, 1, 1, 2, 2]
    assert found.boxes[1:, 0].tolist() == [0.0, 24.0, 0.0, 24.0]
    assert detect(maps, platform, max_detections=2)[0].class_ids.tolist() == [0, 1]
    assert detect(maps, platform, max_candidates=4)[0].class_ids.tolist() == [0, 1, 1, 2]
    maps[0][0, :8, 0, 1] = maps[0][0, :8, 0, 0]
    maps[0][0, 0, 0, 0] = 1.0  # both centers at 1.0 cells, or 12 pixels
    maps[0][0, 0, 0, 1] = 0.5
    assert len(detect(maps, platform, iou_threshold=0.99)[0].scores) == 5
    assert len(detect(maps, platform, iou_threshold=1.0)[0].scores) == 7


@BOTH
@pytest.mark.parametrize("with_sigmoid", [True, False])
def test_nan_and_infinite_outputs(
    maps: list[Floats], platform: Platform, with_sigmoid: bool
) -> None:
    put_detection(maps[0], 0, (0, 0), NAN, c0=9.0)
    put_detection(maps[0], 0, (0, 1), INF, c0=NAN, c1=INF)
    put_detection(maps[0], 0, (1, 1), 9.0, c2=9.0)[0] = NAN
    put_detection(maps[0], 1, (1, 1), 9.0, c2=9.0)[2] = INF
    put_detection(maps[1], 1, (0, 1), -INF, c0=9.0)
    (found,) = detect(maps, platform, with_sigmoid=with_sigmoid, score_threshold=0.6)
    assert np.isfinite(found.boxes).all()
    # the sigmoid maps infinite logits to 1, and infinite sizes to a finite size
    assert found.class_ids.tolist() == ([1, 2] if with_sigmoid else [])


@BOTH
def test_batch_equals_single_images(platform: Platform) -> None:
    rng = np.random.default_rng(4)
    shapes = (3, 16, 2, 4), (3, 16, 1, 2)
    batch = [rng.uniform(0, 1, shape).astype(np.float32) for shape in shapes]
    for i, found in enumerate(detect(batch, platform)):
        assert len(found.scores) > 3
        assert_equal(found, detect([m[i : i + 1] for m in batch], platform)[0])
    assert detect([m[:0] for m in batch], platform) == []


@BOTH
def test_arrays_with_any_strides_are_accepted(maps: list[Floats], platform: Platform) -> None:
    put_detection(maps[0], 1, (1, 2), 0.9, c2=0.8)
    other = [np.ascontiguousarray(m.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2) for m in maps]
    assert_equal(detect(maps, platform)[0], detect(other, platform)[0])


def assert_equal(one: DetectionArrays, other: DetectionArrays) -> None:
    for column, its_column in zip(one, other, strict=True):
        np.testing.assert_array_equal(column, its_column)


@BOTH
@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ([], r"one map for each stride above 0, got 0"),
        ([(1, 16, 2, 4)], r"one map for each stride above 0, got 1 for \(8, 16\)"),
        ([(1, 16, 2), (1, 16, 1)], r"maps\[0\] must be a float32 array of shape"),
        ([(1, 16, 2, 4), (2, 16, 1, 2)], r"maps\[1\] must have shape \(1, 16, 1, 2\)"),
        ([(1, 16, 2, 4), (1, 14, 1, 2)], r"maps\[1\] must have shape \(1, 16, 1, 2\)"),
        ([(1, 16, 1, 2), (1, 16, 2, 4)], r"shape \(1, 16, 0.5, 1\).* got \(1, 16, 2, 4\)"),
        ([(1, 16, 0, 4), (1, 16, 0, 2)], r"maps\[0\] must have shape"),
        ([(1, 17, 2, 4), (1, 17, 1, 2)], r"a \* \(5 \+ c\) channels for the 2 anchors .* got 17"),
        ([(1, 10, 2, 4), (1, 10, 1, 2)], r"c classes, at least one, got 10"),
    ],
)
def test_wrong_maps_are_rejected(platform: Platform, shapes: Any, message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        detect([np.zeros(shape, np.float32) for shape in shapes], platform)


@BOTH
def test_other_invalid_arguments_are_rejected(maps: list[Floats], platform: Platform) -> None:
    with pytest.raises(ShapeError, match=r"maps\[1\] must be a float32 .* got float64"):
        detect([maps[0], maps[1].astype(float)], platform)
    with pytest.raises(ShapeError, match=r"anchors must be a float32 array of shape \(2, a, 2\)"):
        decode_yolov5(maps, yolo_p5_anchors(), STRIDES, platform=platform)
    with pytest.raises(ShapeError, match="stride above 0"):
        decode_yolov5(maps, ANCHORS, (8, 0), platform=platform)
    for name in ("score_threshold", "iou_threshold"):
        with pytest.raises(ValueError, match=f"{name} must lie between 0 and 1, got 1.5"):
            detect(maps, platform, **{name: 1.5})
    with pytest.raises(ValueError, match="max_candidates must be None or at least 0, got -1"):
        detect(maps, platform, max_candidates=-1)


def test_anchors_are_in_cells() -> None:
    np.testing.assert_array_equal(yolo_p5_anchors()[0, 0] * 8, [10, 13])
    np.testing.assert_array_equal(yolo_p5_anchors()[2, 2] * 32, [373, 326])
    np.testing.assert_array_equal(yolo_p6_anchors()[3, 2] * 64, [925, 792])
    assert yolo_p5_anchors().shape == (3, 3, 2)
    assert yolo_p6_anchors().shape == (4, 3, 2)
    with pytest.raises(ValueError, match="read-only"):
        yolo_p5_anchors()[0] = 0

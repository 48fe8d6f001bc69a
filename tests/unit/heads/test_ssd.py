from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pytest

from furiosa_models.errors import ShapeError
from furiosa_models.heads.ssd import decode_ssd
from furiosa_models.ops.nms import DetectionArrays
from furiosa_models.types import Platform

from ...platforms import BOTH

NAN, INF = float("nan"), float("inf")
Floats = npt.NDArray[np.float32]


class Head(NamedTuple):
    """One image on two maps, 2 x 2 with one anchor and 1 x 1 with two, of two classes."""

    class_maps: list[Floats]
    box_maps: list[Floats]
    anchors: Floats

    def decode(self, platform: Platform, **options: Any) -> list[DetectionArrays]:
        return decode_ssd(*self, platform=platform, **options)


@pytest.fixture
def head() -> Head:
    shapes = ((1, 1, 2, 2), (1, 2, 1, 1))
    class_maps = [np.full((n, a * 3, h, w), -20, np.float32) for n, a, h, w in shapes]
    box_maps = [np.zeros((n, a * 4, h, w), np.float32) for n, a, h, w in shapes]
    cells = [[x, y, 0.2, 0.2] for y in (0.25, 0.75) for x in (0.25, 0.75)]
    anchors = np.array([*cells, [0.5, 0.5, 0.4, 0.4], [0.5, 0.5, 0.2, 0.8]], np.float32)
    return Head(class_maps, box_maps, anchors)


@BOTH
def test_empty_outputs_give_no_detection(head: Head, platform: Platform) -> None:
    (found,) = head.decode(platform)
    assert [column.shape for column in found] == [(0, 4), (0,), (0,)]
    assert [column.dtype for column in found] == [np.float32, np.float32, np.int64]


@BOTH
def test_boxes_are_decoded(head: Head, platform: Platform) -> None:
    head.class_maps[0][0, 2, 1, 0] = 2.0
    head.class_maps[1][0, 3 + 1, 0, 0] = 1.0  # second anchor, class 1
    head.box_maps[1][0, 4:8, 0, 0] = [1.0, 2.0, 5 * np.log(0.5), 5 * np.log(2)]  # y, x, h, w
    (found,) = head.decode(platform)
    assert found.class_ids.tolist() == [2, 1]
    np.testing.assert_allclose(found.scores, 1 / (1 + np.exp([-2.0, -1.0])), rtol=1e-6)
    expected = [[0.15, 0.65, 0.35, 0.85], [0.34, 0.38, 0.74, 0.78]]
    np.testing.assert_allclose(found.boxes, expected, rtol=1e-5)


@BOTH
def test_background_is_not_detected(head: Head, platform: Platform) -> None:
    head.class_maps[0][0, 0] = 9.0
    assert len(head.decode(platform)[0].scores) == 0


@BOTH
@pytest.mark.parametrize("threshold", [0.0, 1e-9, 0.05, 0.3, 0.5, 0.9, 1 - 2**-20, 1.0])
def test_score_equal_to_the_threshold_passes(
    platform: Platform, head: Head, threshold: float
) -> None:
    """Of adjacent float32 logits, exactly those whose score reaches the threshold pass."""
    wanted = np.float32(threshold)
    center = np.float32(
        np.clip(np.log(max(threshold, 1e-30)) - np.log1p(-min(threshold, 1 - 1e-8)), -70, 30)
    )
    steps = center + np.arange(-40, 40) * np.spacing(center)
    for logit in steps.astype(np.float32):
        head.class_maps[1][0, 1] = logit
        score = np.float32(1 / (1 + np.exp(-np.float64(logit))))
        found = head.decode(platform, score_threshold=threshold)[0]
        assert (score in found.scores) == bool(score >= wanted)


@BOTH
@pytest.mark.parametrize("activation", ["sigmoid", "softmax", "none"])
def test_strict_threshold_must_be_exceeded(head: Head, platform: Platform, activation: Any) -> None:
    logit = {"sigmoid": 0.0, "softmax": 0.0, "none": 0.5}[activation]
    head.class_maps[0][0, 0] = 0.0  # the background, for softmax; the third class is negligible
    head.class_maps[0][0, 2] = -200.0
    head.class_maps[0][0, 1, 0, 0] = logit
    head.class_maps[0][0, 1, 1, 1] = np.nextafter(np.float32(logit + 1e-6), np.float32(1))
    options: dict[str, Any] = {"activation": activation, "score_threshold": 0.5}
    (reached,) = head.decode(platform, **options)
    (exceeded,) = head.decode(platform, strict=True, **options)
    assert reached.scores[1] == np.float32(0.5)
    assert exceeded.scores.tolist() == reached.scores[:1].tolist()
    assert exceeded.scores[0] > np.float32(0.5)
    assert (
        len(head.decode(platform, strict=True, activation=activation, score_threshold=1.0)[0][1])
        == 0
    )


@BOTH
def test_probabilities_are_passed_through(head: Head, platform: Platform) -> None:
    head.class_maps[0][:] = head.class_maps[1][:] = 0
    head.class_maps[0][0, 1, 0, 0] = 0.3
    head.class_maps[0][0, 1, 1, 1] = np.nextafter(np.float32(0.3), np.float32(0))
    (found,) = head.decode(platform, activation="none", score_threshold=0.3)
    assert found.scores.tolist() == [np.float32(0.3)]


@BOTH
def test_softmax_includes_the_background(head: Head, platform: Platform) -> None:
    head.class_maps[1][0, :3, 0, 0] = [0, np.log(2), 0]
    head.class_maps[1][0, 3:, 0, 0] = [9, 9, 8]
    (found,) = head.decode(platform, activation="softmax", score_threshold=0.4)
    powers = np.exp([9, 9, 8])
    np.testing.assert_allclose(found.scores, [0.5, powers[1] / powers.sum()], rtol=1e-6)
    assert found.class_ids.tolist() == [1, 1]


@BOTH
def test_suppression_order_and_limits(head: Head, platform: Platform) -> None:
    head.class_maps[0][0, 1] = [[0.0, 2.0], [1.0, 1.0]]
    head.class_maps[0][0, 2, 0, 0] = 1.0
    (found,) = head.decode(platform)
    assert found.class_ids.tolist() == [1, 1, 1, 2, 1]  # ties: class 1 comes first in the map
    assert head.decode(platform, max_per_class=2)[0].class_ids.tolist() == [1, 1, 2]
    with pytest.raises(ValueError, match="max_detections must be None or at least 0"):
        head.decode(platform, max_detections=-1)
    assert head.decode(platform, max_detections=1)[0].class_ids.tolist() == [1]
    head.anchors[:4] = [0.5, 0.5, 0.3, 0.3]
    assert head.decode(platform)[0].class_ids.tolist() == [1, 2]
    assert len(head.decode(platform, iou_threshold=1.0)[0].scores) == 5


@BOTH
@pytest.mark.parametrize("activation", ["sigmoid", "softmax", "none"])
def test_nan_and_infinite_outputs(head: Head, platform: Platform, activation: Any) -> None:
    head.class_maps[0][0, 1] = [[NAN, INF], [-INF, 3.0]]
    head.box_maps[0][0, :, 1, 1] = [0, 0, INF, 0]
    head.class_maps[1][0, 1, 0, 0] = 3.0
    head.box_maps[1][0, :4, 0, 0] = [NAN, 0, 0, 0]
    head.class_maps[1][0, 4, 0, 0] = 3.0
    head.box_maps[1][0, 4:, 0, 0] = [0, 0, 0, -INF]
    (found,) = head.decode(platform, activation=activation, score_threshold=0.6)
    assert np.isfinite(found.boxes).all()
    infinite = {"sigmoid": [1.0], "softmax": [], "none": []}[activation]
    assert found.scores[: len(infinite)].tolist() == infinite
    assert len(found.scores) == len(infinite) + 1
    assert found.boxes[-1, 0] == found.boxes[-1, 2] == 0.5  # a width of exp(-inf) is zero


@BOTH
def test_batch_equals_single_images(head: Head, platform: Platform) -> None:
    rng = np.random.default_rng(4)

    def batch_of(maps: list[Floats]) -> list[Floats]:
        return [rng.normal(0, 2, (3, *m.shape[1:])).astype(np.float32) for m in maps]

    batch = Head(batch_of(head.class_maps), batch_of(head.box_maps), head.anchors)
    for i, found in enumerate(batch.decode(platform)):
        image = slice(i, i + 1)
        alone = Head([m[image] for m in batch[0]], [m[image] for m in batch[1]], head.anchors)
        assert len(found.scores) > 0
        assert_equal(found, alone.decode(platform)[0])
    none = Head([m[:0] for m in batch[0]], [m[:0] for m in batch[1]], head.anchors)
    assert none.decode(platform) == []


@BOTH
def test_arrays_with_any_strides_are_accepted(head: Head, platform: Platform) -> None:
    def as_nhwc(maps: list[Floats]) -> list[Floats]:
        return [np.ascontiguousarray(m.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2) for m in maps]

    head.class_maps[0][0, 1] = [[0.0, 2.0], [1.0, 1.0]]
    other = Head(as_nhwc(head[0]), as_nhwc(head[1]), np.asfortranarray(head.anchors))
    assert_equal(head.decode(platform)[0], other.decode(platform)[0])


def assert_equal(one: DetectionArrays, other: DetectionArrays) -> None:
    for column, its_column in zip(one, other, strict=True):
        np.testing.assert_array_equal(column, its_column)


@BOTH
@pytest.mark.parametrize(
    ("index", "value", "message"),
    [
        (0, [], "as many class maps as box maps"),
        (1, [np.zeros((1, 4, 2, 2), np.float32)], "got 2 and 1"),
        (0, [np.zeros((1, 3, 2, 2)), np.zeros((1, 6, 1, 1))], r"class_maps\[0\] must be a float32"),
        (0, ["a", "b"], r"class_maps\[0\] must be .* got str"),
        (0, [np.zeros((3, 2, 2), np.float32)] * 2, r"\(n, channels, h, w\), got float32"),
        (
            0,
            [np.zeros((2, 3, 2, 2), np.float32), np.zeros((1, 6, 1, 1), np.float32)],
            r"box_maps\[0\] must",
        ),
        (
            0,
            [np.zeros((1, 3, 2, 2), np.float32), np.zeros((1, 8, 1, 1), np.float32)],
            r"class_maps\[1\] and",
        ),
        (
            1,
            [np.zeros((1, 4, 2, 2), np.float32), np.zeros((1, 7, 1, 1), np.float32)],
            r"class_maps\[1\] and",
        ),
        (
            1,
            [np.zeros((1, 0, 2, 2), np.float32), np.zeros((1, 8, 1, 1), np.float32)],
            r"class_maps\[0\] and",
        ),
        (2, np.zeros((5, 4), np.float32), "6 anchors, got 5"),
        (2, np.zeros((6, 4)), "anchors must be a float32 array"),
    ],
)
def test_wrong_maps_are_rejected(
    head: Head, platform: Platform, index: int, value: Any, message: str
) -> None:
    arguments: list[Any] = list(head)
    arguments[index] = value
    with pytest.raises(ShapeError, match=message):
        decode_ssd(*arguments, platform=platform)


@BOTH
@pytest.mark.parametrize("name", ["score_threshold", "iou_threshold"])
@pytest.mark.parametrize("value", [-0.01, 1.01, NAN, INF])
def test_thresholds_must_be_between_0_and_1(
    head: Head, platform: Platform, name: str, value: float
) -> None:
    with pytest.raises(ValueError, match=f"{name} must lie between 0 and 1"):
        head.decode(platform, **{name: value})


@BOTH
def test_other_invalid_arguments_are_rejected(head: Head, platform: Platform) -> None:
    with pytest.raises(ValueError, match="activation must be one of sigmoid, softmax, none"):
        head.decode(platform, activation="relu")
    with pytest.raises(ValueError, match="max_per_class must be None or at least 0"):
        head.decode(platform, max_per_class=-1)

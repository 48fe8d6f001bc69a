from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from furiosa_models.errors import ShapeError
from furiosa_models.ops.boxes import box_convert, box_iou, clip_boxes_to_image
from furiosa_models.types import Platform

from ...platforms import BOTH

NAN, INF = float("nan"), float("inf")


def boxes(*rows: list[float]) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.array(rows, np.float32).reshape(-1, 4)


@BOTH
@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ([0, 0, 2, 2], [0, 0, 2, 2], 1.0),
        ([0, 0, 2, 2], [1, 1, 3, 3], 1 / 7),
        ([0, 0, 2, 2], [0, 0, 1, 2], 0.5),
        ([0, 0, 1, 1], [1, 0, 2, 1], 0.0),
        ([0, 0, 1, 1], [2, 2, 3, 3], 0.0),
        ([0, 0, 1, 1], [0.5, 0.5, 0.5, 0.5], 0.0),
        ([1, 1, 1, 1], [1, 1, 1, 1], 0.0),
        ([1, 1, 0, 0], [0, 0, 1, 1], 0.0),
        ([0, 0, 1, 1], [0, 0, NAN, 1], 0.0),
        ([0, 0, 1, 1], [0, 0, INF, INF], 0.0),
    ],
)
def test_iou(platform: Platform, a: list[float], b: list[float], expected: float) -> None:
    got = box_iou(boxes(a), boxes(b), platform=platform)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, [[expected]], rtol=1e-6)


@BOTH
@pytest.mark.parametrize(("n", "m"), [(0, 0), (0, 3), (3, 0), (2, 3)])
def test_iou_shapes(platform: Platform, n: int, m: int) -> None:
    got = box_iou(np.ones((n, 4), np.float32), np.ones((m, 4), np.float32), platform=platform)
    assert got.shape == (n, m)


@BOTH
@pytest.mark.parametrize("bad", [np.zeros((2, 4)), np.zeros((2, 5), np.float32), [[0, 0, 1, 1]]])
def test_invalid_boxes_are_rejected(platform: Platform, bad: Any) -> None:
    with pytest.raises(ShapeError, match=r"boxes2 must be a float32 array of shape \(n, 4\)"):
        box_iou(boxes([0, 0, 1, 1]), bad, platform=platform)


FORMATS: dict[str, list[float]] = {
    "xyxy": [1, 2, 4, 8],
    "xywh": [1, 2, 3, 6],
    "cxcywh": [2.5, 5, 3, 6],
}


@pytest.mark.parametrize("source", FORMATS)
@pytest.mark.parametrize("target", FORMATS)
def test_convert_between_formats(source: Any, target: Any) -> None:
    converted = box_convert(boxes(FORMATS[source]), source, target)
    assert converted.dtype == np.float32
    assert converted.tolist() == [FORMATS[target]]


def test_convert_copies_and_rejects_unknown_formats() -> None:
    original = boxes([1, 2, 3, 4])
    box_convert(original, "xyxy", "xyxy")[:] = 0
    assert original.tolist() == [[1, 2, 3, 4]]
    with pytest.raises(ValueError, match="a box format must be one of xyxy, xywh, cxcywh"):
        box_convert(original, "xyxy", "yxyx")  # type: ignore[arg-type]


def test_clip_to_the_image() -> None:
    clipped = clip_boxes_to_image(boxes([-3, 5, 700, 500], [INF, -INF, 3, 4]), (480, 640))
    assert clipped.tolist() == [[0, 5, 640, 480], [640, 0, 3, 4]]

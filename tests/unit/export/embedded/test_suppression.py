"""Suppression in a graph keeps the boxes of `batched_nms`, in its order."""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
from hypothesis import given
from hypothesis import strategies as st

from furiosa_models.export.embedded.builder import Builder
from furiosa_models.export.embedded.suppression import Candidates, Limits, suppress
from furiosa_models.export.embedded.values import LIMITLESS
from furiosa_models.ops.nms import batched_nms

from .running import finished, session

Floats = npt.NDArray[np.float32]
Indices = npt.NDArray[np.int64]


class Rules(NamedTuple):
    epsilon: float = 1e-5
    max_candidates: int | None = None
    max_per_class: int | None = None


DEFAULT = Rules()


@cache
def graph(rules: Rules) -> ort.InferenceSession:
    g = Builder(17)
    inputs = [
        g.value("boxes", np.float32),
        g.value("scores", np.float32),
        g.value("classes", np.int64),
    ]
    iou, most = g.value("iou", np.float32), g.value("most", np.int64)
    kept = suppress(g, Candidates(*inputs), Limits(iou, most, *rules))
    defaults: dict[str, npt.NDArray[Any]] = {
        "iou": np.array(0.5, np.float32),
        "most": np.array(LIMITLESS, np.int64),
    }
    return session(finished(g, inputs, {"kept": kept}, defaults))


def check(
    boxes: Floats,
    scores: Floats,
    classes: Indices,
    iou_threshold: float,
    rules: Rules = DEFAULT,
    max_detections: int | None = None,
) -> int:
    """Compare, and return the number of kept boxes."""
    limits = {**rules._asdict(), "max_detections": max_detections}
    expected = batched_nms(boxes, scores, classes, iou_threshold, **limits)
    values = {"boxes": boxes, "scores": scores, "classes": classes}
    most = LIMITLESS if max_detections is None else max_detections
    options = {"iou": np.array(iou_threshold, np.float32), "most": np.array(most, np.int64)}
    (kept,) = graph(rules).run(None, {**values, **options})
    np.testing.assert_array_equal(kept, expected)
    return len(kept)


def random_boxes(count: int, classes: int) -> tuple[Floats, Floats, Indices]:
    rng = np.random.default_rng(count)
    corner, side = rng.uniform(0, 300, (count, 2)), rng.uniform(1, 60, (count, 2))
    boxes = np.concatenate((corner, corner + side), axis=1).astype(np.float32)
    scores = np.round(rng.uniform(0, 1, count), 2).astype(np.float32)  # many ties
    return boxes, scores, rng.integers(0, classes, count)


numbers = st.integers(0, 12).map(float)
items = st.lists(
    st.tuples(st.tuples(numbers, numbers, numbers, numbers), st.integers(0, 4), st.integers(0, 2)),
    max_size=25,
)


@given(
    items,
    st.floats(0, 1, width=32),
    st.sampled_from([DEFAULT, Rules(0.0), Rules(max_candidates=6), Rules(max_per_class=2)]),
    st.sampled_from([None, 0, 1, 3]),
)
def test_the_boxes_of_nms_are_kept(
    found: list[tuple[tuple[float, ...], int, int]],
    iou_threshold: float,
    rules: Rules,
    max_detections: int | None,
) -> None:
    boxes = np.array([item[0] for item in found], np.float32).reshape(-1, 4)
    scores = np.array([item[1] for item in found], np.float32)
    classes = np.array([item[2] for item in found], np.int64)
    check(boxes, scores, classes, iou_threshold, rules, max_detections)


def test_many_boxes_of_many_classes_are_kept() -> None:
    assert check(*random_boxes(3000, 40), 0.4) > 1000


def test_many_boxes_of_one_class_end_with_the_limit() -> None:
    assert check(*random_boxes(3000, 1), 0.4, max_detections=50) == 50


def test_tiny_boxes_overlap_less_by_the_epsilon() -> None:
    boxes, scores, classes = random_boxes(400, 2)
    fractions = boxes / np.float32(30_000)
    with_epsilon = check(fractions, scores, classes, 0.3)
    assert with_epsilon > check(fractions, scores, classes, 0.3, Rules(0.0))


def test_boxes_that_are_not_finite_are_dropped() -> None:
    boxes, scores, classes = random_boxes(40, 2)
    boxes[::7, 1], boxes[3, 2], scores[::5] = np.nan, np.inf, np.nan
    assert 0 < check(boxes, scores, classes, 0.5) < 32


def test_huge_boxes_overflow_to_no_overlap() -> None:
    huge = np.float32(3e38)
    boxes = np.array([[-huge, -huge, huge, huge]] * 3, np.float32)
    assert check(boxes, np.array([1, 2, 3], np.float32), np.zeros(3, np.int64), 0.5) == 3

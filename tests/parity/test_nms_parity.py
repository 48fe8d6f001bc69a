"""Suppression: Rust, numpy, OpenCV and the textbook implementation agree on any boxes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from furiosa_models.heads.classification import Activation, rank_classes
from furiosa_models.ops.boxes import box_iou
from furiosa_models.ops.nms import batched_nms, nms
from furiosa_models.types import Platform

from ..textbook import suppress

Floats = npt.NDArray[np.float32]
ANY_FLOAT = st.floats(width=32)


def random_boxes(
    count: int, seed: int, step: float = 1.0
) -> tuple[Floats, Floats, npt.NDArray[np.int64]]:
    """Return boxes on a coarse grid (so that they repeat), scores with ties, classes."""
    rng = np.random.default_rng(seed)
    corner, side = rng.integers(0, 40, (count, 2)) * step, rng.integers(1, 25, (count, 2)) * step
    boxes = np.concatenate((corner, corner + side), axis=1).astype(np.float32)
    scores = (rng.integers(0, max(count // 2, 2), count) / max(count, 1)).astype(np.float32)
    return boxes, scores, rng.integers(0, 4, count)


@settings(max_examples=80, deadline=None)
@given(count=st.integers(0, 120), seed=st.integers(0, 999), limit=st.floats(0, 1))
def test_suppression_equals_the_textbook(count: int, seed: int, limit: float) -> None:
    boxes, scores, classes = random_boxes(count, seed)
    expected = suppress(boxes, scores, classes, np.float32(limit))
    for platform in (Platform.RUST, Platform.PYTHON):
        assert batched_nms(boxes, scores, classes, limit, platform=platform).tolist() == expected


@pytest.mark.parametrize(("count", "seed"), [(1500, 0), (3000, 1)])
def test_rust_equals_numpy_on_many_boxes(count: int, seed: int) -> None:
    boxes, scores, classes = random_boxes(count, seed, step=0.37)
    for limits in ({}, {"max_candidates": 99}, {"max_per_class": 70}, {"max_detections": 50}):
        kept = [
            batched_nms(boxes, scores, classes, 0.5, platform=platform, **limits).tolist()
            for platform in (Platform.RUST, Platform.PYTHON)
        ]
        assert kept[0] == kept[1]


@settings(max_examples=150, deadline=None)
@given(
    data=arrays.arrays(np.float32, st.tuples(st.integers(0, 12), st.just(5)), elements=ANY_FLOAT)
)
def test_rust_equals_numpy_on_any_floats(data: Floats) -> None:
    boxes, scores = np.ascontiguousarray(data[:, :4]), data[:, 4].copy()
    kept = [nms(boxes, scores, 0.5, platform=p) for p in (Platform.RUST, Platform.PYTHON)]
    np.testing.assert_array_equal(kept[0], kept[1])
    np.testing.assert_allclose(
        box_iou(boxes, boxes, platform=Platform.RUST),
        box_iou(boxes, boxes, platform=Platform.PYTHON),
        rtol=1e-6,
    )


@settings(max_examples=150, deadline=None)
@given(
    data=arrays.arrays(
        np.float32, st.tuples(st.integers(0, 3), st.integers(1, 30)), elements=ANY_FLOAT
    ),
    k=st.integers(1, 40),
    softmax=st.booleans(),
)
def test_top_k_of_rust_equals_numpy_on_any_floats(data: Floats, k: int, softmax: bool) -> None:
    activation: Activation = "softmax" if softmax else "none"
    pairs = zip(
        rank_classes(data, k, activation=activation, platform=Platform.RUST),
        rank_classes(data, k, activation=activation, platform=Platform.PYTHON),
        strict=True,
    )
    for ours, other in pairs:
        np.testing.assert_array_equal(ours.class_ids, other.class_ids)
        np.testing.assert_allclose(ours.scores, other.scores, rtol=1e-6)


@pytest.mark.parametrize("seed", range(20))
def test_suppression_equals_opencv(seed: int) -> None:
    cv2 = pytest.importorskip("cv2", reason="OpenCV is the oracle")
    rng = np.random.default_rng(seed)
    corner, side = rng.uniform(0, 50, (200, 2)), rng.uniform(1, 30, (200, 2))
    boxes = np.concatenate((corner, corner + side), axis=1).astype(np.float32)
    scores = rng.permutation(np.linspace(0.1, 0.9, 200)).astype(np.float32)
    xywh = np.concatenate((boxes[:, :2], boxes[:, 2:] - boxes[:, :2]), axis=1)
    expected = np.asarray(cv2.dnn.NMSBoxes(xywh.tolist(), scores.tolist(), 0.0, 0.45)).ravel()
    assert nms(boxes, scores, 0.45).tolist() == expected.tolist()

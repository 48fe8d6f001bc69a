from __future__ import annotations

import numpy as np
import pytest

from furiosa_models.vision import results
from furiosa_models.vision.postprocess import (
    CXcywhBoundingBox,
    LtrbBoundingBox,
    ObjectDetectionResult,
    XywhBoundingBox,
    collate,
    xyxytocxcywh,
    xyxytoxywh,
)


def test_boxes_in_other_formats() -> None:
    box = LtrbBoundingBox(1, 2, 11, 22)
    assert xyxytoxywh(box) == XywhBoundingBox(1, 2, 10, 20)
    assert xyxytocxcywh(box) == CXcywhBoundingBox(6, 12, 10, 20)
    assert list(xyxytoxywh(box)) == [1, 2, 10, 20]
    assert list(xyxytocxcywh(box)) == [6, 12, 10, 20]


def test_types_are_those_of_the_results() -> None:
    assert LtrbBoundingBox is results.LtrbBoundingBox
    assert ObjectDetectionResult is results.ObjectDetectionResult


def test_collate_concatenates_runs() -> None:
    runs = [[np.full((1, 3, 4), i), np.full((1, 2), i)] for i in range(3)]
    first, second = collate(runs)
    assert first.shape == (3, 3, 4)
    assert second.tolist() == [[0, 0], [1, 1], [2, 2]]
    (side_by_side,) = collate([[np.zeros((2, 1))], [np.ones((2, 1))]], batch_axis=1)
    assert side_by_side.tolist() == [[0, 1], [0, 1]]
    assert collate([]) == []
    with pytest.raises(ValueError, match="argument 2 is shorter"):
        collate([runs[0], runs[1][:1]])

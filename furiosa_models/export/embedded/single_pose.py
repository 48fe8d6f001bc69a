"""Decoder of MoveNet SinglePose in a graph, as `heads.single_pose`."""

from __future__ import annotations

import numpy as np

from ...heads.pose import KEYPOINTS
from ...heads.single_pose import CHANNELS, NEAR_JOINT, SinglePoseHead, center_weights
from .outputs import Scene, map_size
from .values import Value

__all__ = ["decode_single_pose"]


def decode_single_pose(scene: Scene, head: SinglePoseHead) -> dict[str, Value]:
    """Return `boxes`, `scores` and `keypoints` of one person or nobody."""
    g = scene.g
    height, width = map_size(scene)
    cells = height * width
    center, heat, guess, shift = (
        output.value.reshape(count, cells)
        for output, count in zip(scene.outputs, CHANNELS, strict=True)
    )
    weights = g.constant(center_weights(height, width).reshape(1, -1))
    best = (center * weights).argmax(1)
    row = best // width
    cell = g.concat([row, best - row * width]).cast(np.float32)
    expected = guess.take(best, 1).reshape(KEYPOINTS, 2) + cell
    y, x = (g.constant(each.reshape(1, -1)) for each in np.indices((height, width), np.float32))
    down, across = y - expected.part(0, 1, 1), x - expected.part(1, 2, 1)
    away = g.op("Sqrt", down * down + across * across, dtype=np.float32)
    found = (heat / (away + float(NEAR_JOINT))).argmax(1)
    rows = found // width
    joints = g.constant(np.arange(KEYPOINTS), np.int64)
    shifts = shift.reshape(-1)
    positions = [
        at.cast(np.float32) + shifts.take((joints * 2 + part) * cells + found)
        for at, part in ((found - rows * width, 1), (rows, 0))
    ]
    confidence = heat.reshape(-1).take(joints * cells + found)
    sure = (confidence > head.keypoint_threshold).found()
    count = sure.size(0).cast(np.float32).at_least(1.0)
    score = confidence.take(sure).sum(0) / count
    points = g.stack(positions)
    # Without a sure joint there is nobody; the first joint keeps the extremes from being empty.
    known = points.take(
        g.concat([sure, g.constant([0], np.int64)]).part(0, sure.size(0).at_least(1))
    )
    box = g.concat([known.min(0), known.max(0)], axis=1)
    kept = ((score > scene.options["score_threshold"]) & (sure.size(0) > 0).reshape(1)).found()
    stride = float(head.stride)
    places = (points * stride).reshape(1, KEYPOINTS, 2)
    people = g.concat(
        [scene.placement.to_photo(places), confidence.reshape(1, KEYPOINTS, 1)], axis=2
    )
    return {
        "boxes": scene.corners_to_photo(box * stride).take(kept),
        "scores": score.take(kept),
        "keypoints": people.take(kept),
    }

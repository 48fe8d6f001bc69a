"""Decoder of MoveNet MultiPose in a graph, as `heads.center_pose`."""

from __future__ import annotations

import numpy as np

from ...heads.center_pose import CHANNELS, REACH, SAME, SPREAD, SURE, CenterPoseHead
from ...heads.pose import KEYPOINTS
from .outputs import Scene, map_size
from .suppression import Candidates, Limits, suppress
from .values import Value

__all__ = ["decode_center_pose"]


def decode_center_pose(scene: Scene, head: CenterPoseHead) -> dict[str, Value]:
    """Return `boxes`, `scores` and `keypoints`, best first."""
    g, options = scene.g, scene.options
    height, width = map_size(scene)
    cells = height * width
    scale, offset, heat, guess, shift = (
        output.value.reshape(count, cells)
        for output, count in zip(scene.outputs[1:], CHANNELS[1:], strict=True)
    )
    peaks = _peaks(scene)
    order = peaks.order(options["max_detections"])
    order = order.take((peaks.take(order) > 0.0).found())
    rows = order // width
    cell = g.concat([each.reshape(1, -1) for each in (rows, order - rows * width)])
    cell = cell.cast(np.float32)
    middle, side = offset.take(order, 1) + cell, scale.take(order, 1)
    half = (side > 0.0).where(side, 0.0) * 0.5
    limits = g.constant([[height], [width]], np.float32)
    low, high = (edge.at_most(limits).at_least(0.0) for edge in (middle - half, middle + half))
    expected = guess.take(order, 1).reshape(KEYPOINTS, 2, -1) + cell
    weighted = _weighted(scene, heat, expected, low, high)
    best = weighted.argmax(2)
    places = g.constant(np.arange(KEYPOINTS), np.int64)
    # Of all people, as in the published graph; a row of zeros, since there may be nobody.
    nobody = g.constant(np.zeros((1, KEYPOINTS, cells)), np.float32)
    strongest = g.concat([weighted, nobody]).max(0).reshape(-1)
    confidence = strongest.take(places * cells + best)
    y = best // width
    x = best - y * width
    shifts = shift.reshape(-1)
    points = [
        (at.cast(np.float32) + shifts.take((places * 2 + part) * cells + best)).reshape(
            -1, KEYPOINTS, 1
        )
        for at, part in ((x, 1), (y, 0))
    ]
    sure = confidence > SURE
    counts = sure.cast(np.float32).sum(1).at_least(1.0)
    scores = peaks.take(order) * (sure.where(confidence, 0.0).sum(1) / counts).reshape(-1)
    boxes = g.concat([low.take([1, 0]), high.take([1, 0])]).transpose(1, 0)
    kept = suppress(
        g,
        Candidates(boxes, scores, order * 0),
        Limits(options["iou_threshold"], options["max_detections"], epsilon=0.0),
    )
    kept = kept.take((scores.take(kept) > options["score_threshold"]).found())
    stride = float(head.stride)
    positions = g.concat(points, axis=2).take(kept) * stride
    confidence = confidence.reshape(-1, KEYPOINTS, 1).take(kept)
    return {
        "boxes": scene.corners_to_photo(boxes.take(kept) * stride),
        "scores": scores.take(kept),
        "keypoints": g.concat([scene.placement.to_photo(positions), confidence], axis=2),
    }


def _peaks(scene: Scene) -> Value:
    """Return the score of each cell that is the highest around it, and 0 elsewhere, `(cells,)`."""
    center = scene.outputs[0].value
    reach = [2 * REACH + 1] * 2
    pads = [REACH] * 4
    highest = scene.g.op("MaxPool", center, dtype=np.float32, kernel_shape=reach, pads=pads)
    return ((center - highest).abs() < float(SAME)).where(center, 0.0).reshape(-1)


def _weighted(scene: Scene, heat: Value, expected: Value, low: Value, high: Value) -> Value:
    """Return the score of each cell for each joint of each person, `(people, 17, cells)`."""
    height, width = map_size(scene)
    y, x = np.indices((height, width), np.float32).reshape(2, -1)
    rows, columns = (scene.g.constant(each, np.float32) for each in (y, x))
    people = expected.transpose(2, 0, 1)
    down, across = (
        places - people.part(part, part + 1, 2) for part, places in ((0, rows), (1, columns))
    )
    spread = float(SPREAD * np.float32(min(height, width)))
    fall = (-(down * down + across * across) / spread).exp()
    top, left, bottom, right = (
        edge.at(part).reshape(-1, 1) for edge in (low, high) for part in (0, 1)
    )
    inside = (rows >= top) & (rows < bottom) & (columns >= left) & (columns < right)
    return inside.reshape(-1, 1, height * width).where(heat * fall, 0.0)

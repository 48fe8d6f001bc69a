"""Head of MoveNet MultiPose: people as peaks of a map of centers.

The network is CenterNet (Zhou et al. 2019, "Objects as Points", arXiv:1904.07850). The decoding is
that of the graph that Google published: a person is a peak among 5 x 5 cells. Each joint is the
cell of the person's box with the best score, which falls off with the distance from where the
person's center expects the joint.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias

import numpy as np
import numpy.typing as npt

from ..enums import Platform
from ..ops import native
from ..ops.checks import (
    check_at_least,
    check_contexts,
    check_count,
    check_limit,
    check_named_maps,
    check_unit,
)
from ..spec import Head, ImageContext
from ..tasks.pose import POSE, Poses, PoseTask
from .pose import KEYPOINTS, PoseArrays

__all__ = [
    "CHANNELS",
    "REACH",
    "SAME",
    "SPREAD",
    "SURE",
    "CenterPoseHead",
    "decode_center_pose",
]

Floats: TypeAlias = npt.NDArray[np.float32]

CHANNELS = (1, 2, 2, KEYPOINTS, 2 * KEYPOINTS, 2 * KEYPOINTS)
_NAMES = (
    "center",
    "box_scale",
    "box_offset",
    "keypoint_heat",
    "keypoint_guess",
    "keypoint_offset",
)

# Constants of the graph, where they are float16.
SAME = np.float32(1.0132789611816406e-06)  # a peak may be that much below the maximum
SPREAD = np.float32(0.300048828125)  # of the fall-off, as a fraction of the side of the maps
SURE = np.float32(0.126953125)  # joints that count for the score of a person exceed it
REACH = 2  # cells around a peak that must not be higher


@dataclass(frozen=True, slots=True)
class CenterPoseHead(Head):
    """Head of MoveNet MultiPose.

    The score of a person is that of the center times the mean score of the joints that are sure.

    Attributes:
        stride: Side of a cell, in pixels of the input.
        score_threshold: Score threshold in 0..1; scores must exceed it.
        iou_threshold: Maximum IoU of two people, in 0..1; 1 suppresses nobody, as in the graph.
        max_detections: Maximum number of people per photo; the graph has 6.
        keypoint_threshold: Confidence from which on joints are drawn.
    """

    task: ClassVar[PoseTask] = POSE

    stride: int = 4
    score_threshold: float = 0.15
    iou_threshold: float = 1.0
    max_detections: int = 6
    keypoint_threshold: float = 0.2

    def __post_init__(self) -> None:
        check_at_least("stride", self.stride, 1)
        check_limit("max_detections", self.max_detections)
        for name in ("score_threshold", "iou_threshold", "keypoint_threshold"):
            check_unit(name, getattr(self, name))

    def decode(
        self,
        outputs: Sequence[npt.NDArray[Any]],
        contexts: Sequence[ImageContext],
        names: Sequence[str],  # noqa: ARG002 - all are people
        platform: Platform,
        *,
        score_threshold: float | None = None,
        iou_threshold: float | None = None,
    ) -> list[Poses]:
        """Return the people in each photo of a batch.

        Args:
            outputs: The six maps of `networks.builders.movenet`, float32 (n, channels, h, w).
            contexts: Contexts from `preprocess`, one per photo.
            names: Table of labels; not used.
            platform: RUST or PYTHON (numpy); results agree to 1e-6.
            score_threshold: Overrides the head's own.
            iou_threshold: Overrides the head's own.

        Raises:
            ShapeError: Outputs or contexts have the wrong count, shape or dtype.
            ValueError: A threshold is not between 0 and 1.
        """
        least = self.score_threshold if score_threshold is None else score_threshold
        overlap = self.iou_threshold if iou_threshold is None else iou_threshold
        check_unit("score_threshold", least)
        check_unit("iou_threshold", overlap)
        check_count(outputs, len(_NAMES))
        batch = decode_center_pose(outputs, max_detections=self.max_detections, platform=platform)
        check_contexts(contexts, len(batch))
        found = []
        with np.errstate(over="ignore", invalid="ignore"):  # outputs of damaged networks
            for people, context in zip(batch, contexts, strict=True):
                kept = people.distinct(least, overlap, platform=platform)
                own = people.take(kept, np.float32(self.stride))
                found.append(own.in_photo(context, self.keypoint_threshold))
        return found


def decode_center_pose(
    maps: Sequence[npt.NDArray[Any]],
    *,
    max_detections: int = 6,
    platform: Platform = Platform.RUST,
) -> list[PoseArrays]:
    """Return the people in every image of a batch, in cells of the maps.

    Args:
        maps: `center` (n, 1, h, w), `box_scale` and `box_offset` (n, 2, h, w), `keypoint_heat` (n,
            17, h, w), `keypoint_guess` and `keypoint_offset` (n, 34, h, w), float32. Scores are in
            0..1; vectors are y, x in cells.
        max_detections: Maximum number of people per image.
        platform: RUST or PYTHON (numpy); results agree to 1e-6.

    Raises:
        ShapeError: Maps have the wrong count, shape or dtype.
        ValueError: The limit is negative.
    """
    check_named_maps(maps, dict(zip(_NAMES, CHANNELS, strict=True)))
    check_limit("max_detections", max_detections)
    if native.is_selected(platform):
        batch = native.load().decode_center_pose(*maps, max_detections=max_detections)
        return [PoseArrays(*people) for people in batch]
    with np.errstate(all="ignore"):  # outputs of damaged networks
        return [_people([value[i] for value in maps], max_detections) for i in range(len(maps[0]))]


def _people(maps: Sequence[Floats], limit: int) -> PoseArrays:
    """Return the people of an image; its maps are (channels, h, w)."""
    center, scale, offset, heat, guess, shift = maps
    height, width = heat.shape[1:]
    peaks = np.where(np.abs(center[0] - _highest(center[0])) < SAME, center[0], 0).ravel()
    order = np.argsort(-peaks, kind="stable")[:limit]
    order = order[peaks[order] > 0]
    if not len(order):
        empty = np.zeros((0, KEYPOINTS, 3), np.float32)
        return PoseArrays(empty[:, :4, 0], empty[:, 0, 0], empty)
    rows, columns = np.divmod(order, max(width, 1))
    cells = np.stack((rows, columns)).astype(np.float32)
    middle = offset[:, rows, columns] + cells
    half = np.fmax(scale[:, rows, columns], 0) * np.float32(0.5)
    limits = np.array([[height], [width]], np.float32)
    low, high = (np.fmax(np.fmin(edge, limits), 0) for edge in (middle - half, middle + half))
    expected = guess[:, rows, columns].reshape(KEYPOINTS, 2, -1) + cells
    scores = _weighted(heat, expected, low, high).reshape(len(order), KEYPOINTS, -1)
    best = scores.argmax(axis=2)
    places = np.arange(KEYPOINTS)
    confidence = scores.max(axis=0, initial=0)[places, best]
    y, x = np.divmod(best, max(width, 1))
    points = np.stack((x + shift[2 * places + 1, y, x], y + shift[2 * places, y, x]), axis=2)
    sure = confidence > SURE
    means = np.where(sure, confidence, 0).sum(axis=1, dtype=np.float32)
    own = peaks[order] * (means / np.maximum(sure.sum(axis=1), 1).astype(np.float32))
    ranked = np.argsort(-own, kind="stable")
    boxes = np.stack((low[1], low[0], high[1], high[0]), axis=1)
    joints = np.concatenate((points, confidence[..., None]), axis=2).astype(np.float32)
    return PoseArrays(boxes[ranked], own[ranked], joints[ranked])


def _highest(values: Floats) -> Floats:
    """Return the maximum around each cell."""
    padded = np.pad(values, REACH, constant_values=-np.inf)
    height, width = values.shape
    span = range(2 * REACH + 1)
    rows = np.maximum.reduce([padded[:, i : i + width] for i in span])
    found: Floats = np.maximum.reduce([rows[i : i + height] for i in span])
    return found


def _weighted(heat: Floats, expected: Floats, low: Floats, high: Floats) -> Floats:
    """Return the score of each cell for each joint of each person, (people, 17, h, w).

    Args:
        heat: Scores of the joints, (17, h, w).
        expected: Where the joints are expected, (17, 2, people).
        low: Upper left corners of the boxes, (2, people).
        high: Their lower right corners.
    """
    height, width = heat.shape[1:]
    spread = SPREAD * np.float32(min(height, width))
    y = np.arange(height, dtype=np.float32)[:, None]
    x = np.arange(width, dtype=np.float32)
    ey, ex = (expected[:, i].T[..., None, None] for i in (0, 1))
    fall = np.exp(-(np.square(y - ey) + np.square(x - ex)) / spread)
    (top, left), (bottom, right) = (edge[..., None, None] for edge in (low, high))
    inside = (y >= top) & (y < bottom) & (x >= left) & (x < right)
    found: Floats = np.where(inside[:, None], heat * fall, np.float32(0))
    return found

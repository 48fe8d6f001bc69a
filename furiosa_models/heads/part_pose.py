"""Head of PoseNet: people as joints that displacements connect.

The decoding is that of Google's package for TensorFlow.js (Papandreou et al. 2018, "PersonLab",
arXiv:1803.08225): the best joints of a photo are roots, best first. From a root, displacements lead
to the next joints of the person, and from those to others. A root near that joint of a person who
was found before is no new person.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any, ClassVar, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from ..enums import Platform
from ..ops.checks import (
    check_at_least,
    check_contexts,
    check_limit,
    check_named_maps,
    check_unit,
)
from ..ops.scores import sigmoid
from ..spec import Head, ImageContext
from ..tasks.pose import POSE, Poses, PoseTask
from .pose import KEYPOINTS, PoseArrays, box_of_joints

__all__ = ["PartPoseHead", "decode_part_pose"]

Floats: TypeAlias = npt.NDArray[np.float32]

# From a joint to the next: both eyes, ears, shoulders, elbows, wrists, hips, knees and ankles.
_EDGES = (
    (0, 1), (1, 3), (0, 2), (2, 4),
    (0, 5), (5, 7), (7, 9), (5, 11), (11, 13), (13, 15),
    (0, 6), (6, 8), (8, 10), (6, 12), (12, 14), (14, 16),
)  # fmt: skip
_CHANNELS = (KEYPOINTS, 2 * KEYPOINTS, 2 * len(_EDGES), 2 * len(_EDGES))
_NAMES = ("heatmap", "offset", "displacement_fwd", "displacement_bwd")
_REFINEMENTS = 2  # times that the offset of the nearest cell corrects a joint


@dataclass(frozen=True, slots=True)
class PartPoseHead(Head):
    """Head of PoseNet.

    The score of a person is the mean score of the joints, where those near the same joint of a
    better person count as 0.

    Attributes:
        stride: Side of a cell, in pixels of the input.
        score_threshold: Score threshold in 0..1; scores must exceed it.
        iou_threshold: Maximum IoU of two people, in 0..1; 1 suppresses nobody, as by Google.
        max_detections: Maximum number of people per photo.
        root_threshold: Least score of the joint from which a person is found.
        radius: Distance in pixels of the input below which two joints are one.
        keypoint_threshold: Confidence from which on joints are drawn and are in the box.

    Raises:
        TypeError: A threshold is not a number, or `stride` or `max_detections` not an integer.
        ValueError: A threshold is not in 0..1, or another value is out of range.
    """

    task: ClassVar[PoseTask] = POSE

    stride: int = 16
    score_threshold: float = 0.15
    iou_threshold: float = 1.0
    max_detections: int = 10
    root_threshold: float = 0.5
    radius: float = 20.0
    keypoint_threshold: float = 0.2

    def __post_init__(self) -> None:
        check_at_least("stride", self.stride, 1)
        check_at_least("max_detections", self.max_detections, 0)
        for name in ("score_threshold", "iou_threshold", "root_threshold", "keypoint_threshold"):
            check_unit(name, getattr(self, name))
        radius: object = self.radius
        if not isinstance(radius, Real) or not 0 <= float(radius) < math.inf:
            msg = f"radius must be a finite number of pixels, at least 0, got {radius!r}"
            raise ValueError(msg)

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
            outputs: The four maps of `networks.builders.posenet`, float32 (n, channels, h, w).
            contexts: Contexts from `preprocess`, one per photo.
            names: Table of labels; not used.
            platform: RUST or PYTHON (numpy), for suppression; the rest uses numpy.
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
        batch = decode_part_pose(
            outputs,
            stride=self.stride,
            max_detections=self.max_detections,
            root_threshold=self.root_threshold,
            radius=self.radius,
        )
        check_contexts(contexts, len(batch))
        found = []
        for (joints, scores), context in zip(batch, contexts, strict=True):
            boxes = [box_of_joints(person, self.keypoint_threshold) for person in joints]
            people = PoseArrays(np.array(boxes, np.float32).reshape(-1, 4), scores, joints)
            kept = people.distinct(least, overlap, platform=platform)
            own = people.take(kept, np.float32(1))
            found.append(own.in_photo(context, self.keypoint_threshold))
        return found


class _Maps(NamedTuple):
    """The maps of an image, (channels, h, w); the heatmap has scores in 0..1."""

    heat: Floats
    offset: Floats
    forward: Floats
    backward: Floats


def decode_part_pose(
    maps: Sequence[npt.NDArray[Any]],
    *,
    stride: int = 16,
    max_detections: int = 10,
    root_threshold: float = 0.5,
    radius: float = 20.0,
) -> list[tuple[Floats, Floats]]:
    """Return the people in every image of a batch, best first.

    Args:
        maps: `heatmap` (n, 17, h, w), logits; `offset` (n, 34, h, w), `displacement_fwd` and
            `displacement_bwd` (n, 32, h, w), pixels: all y, then all x; float32.
        stride: Side of a cell, in pixels.
        max_detections: Maximum number of people per image.
        root_threshold: Least score of a root, in 0..1.
        radius: Distance in pixels below which two joints are one.

    Returns:
        Joints (n, 17, 3) float32, x and y in pixels and confidence, and scores (n,) float32.

    Raises:
        ShapeError: Maps have the wrong count, shape or dtype.
        ValueError: The limit is negative.
    """
    check_named_maps(maps, dict(zip(_NAMES, _CHANNELS, strict=True)))
    check_limit("max_detections", max_detections)
    found = []
    for heat, offset, forward, backward in zip(*maps, strict=True):
        own = _Maps(sigmoid(heat), offset, forward, backward)
        with np.errstate(all="ignore"):  # outputs of damaged networks
            people = _people(own, stride, max_detections, root_threshold, radius)
        joints = np.array([person for person, _ in people], np.float32).reshape(-1, KEYPOINTS, 3)
        scores = np.array([score for _, score in people], np.float32)
        order = np.argsort(-scores, kind="stable")
        found.append((joints[order], scores[order]))
    return found


def _people(
    maps: _Maps, stride: int, limit: int, threshold: float, radius: float
) -> list[tuple[npt.NDArray[np.float64], float]]:
    """Return the joints, x, y and confidence, and the score of each person, in order of roots."""
    found: list[tuple[npt.NDArray[np.float64], float]] = []
    known = np.zeros((0, KEYPOINTS, 2))
    for joint, row, column in _roots(maps.heat, threshold):
        if len(found) >= limit:
            break
        place = _corrected(maps, joint, row, column, stride)
        if _is_near(known[:, joint], np.array(place[:2]), radius).any():
            continue
        person = _person(maps, joint, place, stride)
        is_new = ~_is_near(known, person[:, :2], radius).any(0)
        found.append((person, float(person[is_new, 2].sum()) / KEYPOINTS))
        known = np.concatenate([known, person[None, :, :2]])
    return found


def _roots(heat: Floats, threshold: float) -> Iterator[tuple[int, ...]]:
    """Yield joint, row and column of scores that are highest among 3 x 3 cells, best first."""
    padded = np.pad(heat, ((0, 0), (1, 1), (1, 1)), constant_values=-np.inf)
    height, width = heat.shape[1:]
    shifted = [padded[:, y : y + height, x : x + width] for y in range(3) for x in range(3)]
    peaks = np.argwhere((heat >= np.maximum.reduce(shifted)) & (heat >= np.float32(threshold)))
    order = np.argsort(-heat[tuple(peaks.T)], kind="stable")
    yield from (tuple(peak) for peak in peaks[order].tolist())


def _person(
    maps: _Maps, root: int, place: tuple[float, float, float], stride: int
) -> npt.NDArray[np.float64]:
    """Return the joints of the person with a root: x, y and confidence, (17, 3)."""
    joints: list[tuple[float, float, float] | None] = [None] * KEYPOINTS
    joints[root] = place
    steps = [(edge, b, a, maps.backward) for edge, (a, b) in reversed([*enumerate(_EDGES)])]
    steps += [(edge, a, b, maps.forward) for edge, (a, b) in enumerate(_EDGES)]
    for edge, start, end, displacements in steps:
        source = joints[start]
        if source is not None and joints[end] is None:
            row, column = _cell(maps, source[0], source[1], stride)
            x = source[0] + float(displacements[len(_EDGES) + edge, row, column])
            y = source[1] + float(displacements[edge, row, column])
            for _ in range(_REFINEMENTS):
                x, y, _ = _corrected(maps, end, *_cell(maps, x, y, stride), stride)
            row, column = _cell(maps, x, y, stride)
            joints[end] = x, y, float(maps.heat[end, row, column])
    return np.array(joints, np.float64)


def _corrected(
    maps: _Maps, joint: int, row: int, column: int, stride: int
) -> tuple[float, float, float]:
    """Return where a joint is that lies in or near a cell, and the score of the cell."""
    x = column * stride + float(maps.offset[KEYPOINTS + joint, row, column])
    y = row * stride + float(maps.offset[joint, row, column])
    return x, y, float(maps.heat[joint, row, column])


def _cell(maps: _Maps, x: float, y: float, stride: int) -> tuple[int, int]:
    """Return row and column of the cell nearest to a place; halves round up."""
    height, width = maps.heat.shape[1:]
    row, column = (
        int(min(max(0.0, place / stride + 0.5), length - 1.0))  # NaN becomes 0
        for place, length in ((y, height), (x, width))
    )
    return row, column


def _is_near(
    known: npt.NDArray[np.float64], places: npt.NDArray[np.float64], radius: float
) -> npt.NDArray[np.bool_]:
    near: npt.NDArray[np.bool_] = np.square(known - places).sum(-1) <= radius * radius
    return near

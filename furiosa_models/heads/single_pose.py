"""Head of MoveNet SinglePose: the joints of the person nearest to the middle of the image.

The decoding is that of the graph that Google published. The center of the person is the best cell
of a map, whose scores fall off with the distance from the middle. Each joint is the cell with the
best score, which falls off with the distance from where the center expects the joint.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias

import numpy as np
import numpy.typing as npt

from ..enums import Platform
from ..errors import ShapeError
from ..ops.checks import check_at_least, check_contexts, check_named_maps, check_unit
from ..spec import Head, ImageContext
from ..tasks.pose import POSE, Poses, PoseTask
from .pose import KEYPOINTS, PoseArrays, box_of_joints

__all__ = [
    "CHANNELS",
    "NEAR_JOINT",
    "SinglePoseHead",
    "center_weights",
    "decode_single_pose",
]

Floats: TypeAlias = npt.NDArray[np.float32]

CHANNELS = (1, KEYPOINTS, 2 * KEYPOINTS, 2 * KEYPOINTS)
_NAMES = ("center", "keypoint_heat", "keypoint_guess", "keypoint_offset")

# The graph has the weights of the cells around the middle, and this constant, in float16.
_NEAR = 1.8
NEAR_JOINT = np.float32(np.float16(_NEAR))


@dataclass(frozen=True, slots=True)
class SinglePoseHead(Head):
    """Head of MoveNet SinglePose.

    The score of the person is the mean confidence of the joints that are sure, as in Google's
    package for TensorFlow.js, and the box encloses these joints.

    Attributes:
        stride: Side of a cell, in pixels of the input.
        score_threshold: Score threshold in 0..1; scores must exceed it.
        keypoint_threshold: Confidence that joints must exceed to be sure.
    """

    task: ClassVar[PoseTask] = POSE

    stride: int = 4
    score_threshold: float = 0.3
    keypoint_threshold: float = 0.2

    def __post_init__(self) -> None:
        check_at_least("stride", self.stride, 1)
        for name in ("score_threshold", "keypoint_threshold"):
            check_unit(name, getattr(self, name))

    def decode(
        self,
        outputs: Sequence[npt.NDArray[Any]],
        contexts: Sequence[ImageContext],
        names: Sequence[str],  # noqa: ARG002 - all are people
        platform: Platform,  # noqa: ARG002 - a person is found in a millisecond
        *,
        score_threshold: float | None = None,
        iou_threshold: float | None = None,
    ) -> list[Poses]:
        """Return the person in each photo of a batch, if the score exceeds the threshold.

        Args:
            outputs: The four maps of `networks.builders.movenet`, float32 (n, channels, h, w).
            contexts: Contexts from `preprocess`, one per photo.
            names: Table of labels; not used.
            platform: RUST or PYTHON; both use numpy.
            score_threshold: Overrides the head's own.
            iou_threshold: An option of the task, which changes nothing: one person overlaps nobody.

        Raises:
            ShapeError: Outputs or contexts have the wrong count, shape or dtype.
            ValueError: A threshold is not between 0 and 1.
        """
        least = self.score_threshold if score_threshold is None else score_threshold
        check_unit("score_threshold", least)
        if iou_threshold is not None:
            check_unit("iou_threshold", iou_threshold)
        batch = decode_single_pose(outputs)
        check_contexts(contexts, len(batch))
        found = []
        for joints, context in zip(batch, contexts, strict=True):
            person = self._person(joints)
            kept = np.flatnonzero(person.scores > np.float32(least))
            own = person.take(kept, np.float32(self.stride))
            found.append(own.in_photo(context, self.keypoint_threshold))
        return found

    def _person(self, joints: Floats) -> PoseArrays:
        """Return joints (17, 3) as a person with a score and a box; nobody if none is sure."""
        confidence = joints[:, 2]
        sure = confidence[confidence > np.float32(self.keypoint_threshold)]
        if not len(sure):
            empty = np.zeros((0, KEYPOINTS, 3), np.float32)
            return PoseArrays(empty[:, :4, 0], empty[:, 0, 0], empty)
        box = box_of_joints(joints, self.keypoint_threshold)
        score = sure.mean(dtype=np.float32)
        return PoseArrays(box[None], np.array([score], np.float32), joints[None])


def decode_single_pose(maps: Sequence[npt.NDArray[Any]]) -> Floats:
    """Return the joints of the person in every image of a batch, in cells of the maps.

    Args:
        maps: `center` (n, 1, h, w), `keypoint_heat` (n, 17, h, w), `keypoint_guess` and
            `keypoint_offset` (n, 34, h, w), float32. Scores are in 0..1; vectors are y, x in cells.

    Returns:
        (n, 17, 3) float32: x, y and confidence.

    Raises:
        ShapeError: Maps have the wrong count, shape or dtype.
    """
    check_named_maps(maps, dict(zip(_NAMES, CHANNELS, strict=True)))
    count = len(maps[0])
    if not maps[0].size:
        msg = f"maps must have at least one cell, got {maps[0].shape}"
        raise ShapeError(msg)
    with np.errstate(all="ignore"):  # outputs of damaged networks
        return np.stack([_joints(*(value[i] for value in maps)) for i in range(count)])


def _joints(center: Floats, heat: Floats, guess: Floats, shift: Floats) -> Floats:
    """Return the joints in an image; its maps are (channels, h, w)."""
    height, width = center.shape[1:]
    y, x = np.indices((height, width), np.float32)
    row, column = np.divmod(int((center[0] * center_weights(height, width)).argmax()), width)
    expected = guess[:, row, column].reshape(KEYPOINTS, 2, 1, 1)
    away = np.square(y - (expected[:, 0] + row)) + np.square(x - (expected[:, 1] + column))
    scores = heat / (np.sqrt(away) + NEAR_JOINT)
    rows, columns = np.divmod(scores.reshape(KEYPOINTS, -1).argmax(1), width)
    places = np.arange(KEYPOINTS)
    found = (
        columns + shift[2 * places + 1, rows, columns],
        rows + shift[2 * places, rows, columns],
        heat[places, rows, columns],
    )
    return np.stack(found, axis=1).astype(np.float32)


def center_weights(height: int, width: int) -> Floats:
    """Return the weights of scores of centers, which fall off from the middle, (h, w)."""
    y, x = np.indices((height, width), np.float32)
    from_middle = np.sqrt(np.square(y - height // 2) + np.square(x - width // 2)) + _NEAR
    weights: Floats = (1 / from_middle).astype(np.float16).astype(np.float32)
    return weights

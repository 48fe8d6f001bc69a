"""Pose estimation."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import numpy.typing as npt

from .._lazy import require
from ..enums import ModelTaskType, Task
from . import coco
from .base import THRESHOLD_ALIASES, ArrayResult, Photo, Truth, VisionTask

if TYPE_CHECKING:
    from PIL.Image import Image as PILImage
    from typing_extensions import Self


__all__ = [
    "KEYPOINT_NAMES",
    "LIMBS",
    "POSE",
    "Keypoint",
    "PoseEstimationResult",
    "PoseTask",
    "Poses",
]


@dataclass(slots=True)
class Keypoint:
    """A joint, or a part of the face, in pixels of the photo.

    Attributes:
        x: Distance from the left edge.
        y: Distance from the upper edge.
        confidence: Confidence that it is visible, between 0 and 1.
    """

    x: float
    y: float
    confidence: float


@dataclass(slots=True)
class PoseEstimationResult:
    """A person with the 17 keypoints of COCO. Left and right are the person's own.

    Attributes:
        bounding_box: Left, top, right and bottom, in pixels of the photo.
        confidence: Score of the person, between 0 and 1.
        track_id: Id of the person's track; -1 for none.
    """

    bounding_box: list[float]
    confidence: float
    nose: Keypoint
    left_eye: Keypoint
    right_eye: Keypoint
    left_ear: Keypoint
    right_ear: Keypoint
    left_shoulder: Keypoint
    right_shoulder: Keypoint
    left_elbow: Keypoint
    right_elbow: Keypoint
    left_wrist: Keypoint
    right_wrist: Keypoint
    left_hip: Keypoint
    right_hip: Keypoint
    left_knee: Keypoint
    right_knee: Keypoint
    left_ankle: Keypoint
    right_ankle: Keypoint
    track_id: int = field(default=-1, kw_only=True)


KEYPOINT_NAMES = tuple(
    each.name for each in fields(PoseEstimationResult) if each.type == Keypoint.__name__
)
"""Names of the keypoints, in COCO's order."""


_COLUMNS = ("x", "y", "confidence")


LIMBS = (
    (15, 13), (13, 11), (16, 14), (14, 12), (11, 12), (5, 11), (6, 12), (5, 6), (5, 7), (6, 8),
    (7, 9), (8, 10), (1, 2), (0, 1), (0, 2), (1, 3), (2, 4), (3, 5), (4, 6),
)  # fmt: skip
"""COCO's skeleton: pairs of keypoints."""


class Poses(ArrayResult[PoseEstimationResult]):
    """The people found in one photo, best first.

    Iterating and indexing yield `PoseEstimationResult`; the same data is available as arrays.

    Attributes:
        boxes: (n, 4) float32; left, top, right, bottom in pixels of the photo.
        scores: (n,) float32, between 0 and 1, descending.
        keypoints: (n, 17, 3) float32; x and y in pixels of the photo, confidence between 0 and 1;
            in the order of `KEYPOINT_NAMES`.
        track_ids: (n,) int64; -1 for a person without track.
        keypoint_threshold: Confidence from which on the network is sure of a keypoint.
        image: The photo, if known (`predict` sets it).
        image_size: Its width and height in pixels, if known.
        speed: Time of each stage of the prediction, if known.
    """

    __slots__ = (
        "_tracks", "boxes", "image", "image_size", "keypoint_threshold", "keypoints", "scores",
        "speed",
    )  # fmt: skip

    def __init__(
        self,
        boxes: npt.NDArray[np.float32],
        scores: npt.NDArray[np.float32],
        keypoints: npt.NDArray[np.float32],
        image: Photo | None = None,
        keypoint_threshold: float = 0.5,
    ) -> None:
        self.boxes = boxes
        self.scores = scores
        self.keypoints = keypoints
        self.image = image
        self.keypoint_threshold = keypoint_threshold
        self.image_size = None
        self.speed = None
        self._tracks = None

    @overload
    def __getitem__(self, index: int) -> PoseEstimationResult: ...
    @overload
    def __getitem__(self, index: slice | npt.NDArray[Any]) -> Poses: ...
    def __getitem__(self, index: int | slice | npt.NDArray[Any]) -> PoseEstimationResult | Poses:
        if isinstance(index, (slice, np.ndarray)):
            columns = self.boxes[index], self.scores[index], self.keypoints[index]
            part: Poses = self._copy_facts(
                Poses(*columns, self.image, self.keypoint_threshold), index
            )
            return part
        points = [Keypoint(*point) for point in self.keypoints[index].tolist()]
        box, score = self.boxes[index].tolist(), float(self.scores[index])
        return PoseEstimationResult(box, score, *points, track_id=int(self.track_ids[index]))

    def __iter__(self) -> Iterator[PoseEstimationResult]:
        columns = self.boxes, self.scores, self.keypoints, self.track_ids
        for box, score, points, track in zip(*(c.tolist() for c in columns), strict=True):
            joints = [Keypoint(*point) for point in points]
            yield PoseEstimationResult(box, score, *joints, track_id=track)

    def moved(self, x: float, y: float) -> Self:
        """Return the same people, moved by a number of pixels to the right and down."""
        moved = super().moved(x, y)
        moved.keypoints = self.keypoints + np.array([x, y, 0], np.float32)
        return moved

    def __repr__(self) -> str:
        shown = ", ".join(f"{score:.2f}" for score in self.scores[:5].tolist())
        rest = f", ... {len(self) - 5} more" if len(self) > 5 else ""
        people = "person" if len(self) == 1 else "people"
        return f"<{len(self)} {people}: {shown}{rest}>" if len(self) else "<no people>"

    def plot(
        self, image: Photo | None = None, *, keypoint_threshold: float | None = None
    ) -> PILImage:
        """Return the photo with skeletons and boxes drawn.

        Args:
            image: As for `Result.plot`.
            keypoint_threshold: Minimum confidence of a keypoint to draw; by default that of the
                network.

        Raises:
            FuriosaModelsError: There is no photo to draw on.
        """
        from .draw import Canvas, class_color

        if keypoint_threshold is None:
            keypoint_threshold = self.keypoint_threshold
        canvas = Canvas.of(self._photo(image))
        tracks = self.track_ids.tolist()
        colors = [class_color(i if track < 0 else track) for i, track in enumerate(tracks)]
        for i in reversed(range(len(self))):  # the best on top
            canvas.box(self.boxes[i].tolist(), colors[i])
            canvas.skeleton(self.keypoints[i].tolist(), LIMBS, keypoint_threshold)
        for i, box in enumerate(self.boxes.tolist()):
            track = f"#{tracks[i]} " if tracks[i] >= 0 else ""
            canvas.label(box, f"{track}{self.scores[i]:.2f}", colors[i])
        return canvas.picture

    def describe(self) -> Iterator[str]:
        """Yield a line of text per person."""
        columns = self.boxes.tolist(), self.scores.tolist(), self.track_ids.tolist()
        for box, score, track in zip(*columns, strict=True):
            name = f"person  #{track}" if track >= 0 else "person"
            yield f"{score:6.3f}  {name}  [{', '.join(f'{edge:.0f}' for edge in box)}]"

    def to_dict(self) -> list[dict[str, Any]]:
        """Return a list of `{"score", "box": [l, t, r, b], "keypoints"}`.

        The keypoints are `{"nose": {"x", "y", "confidence"}, ...}`. Tracked people have a
        `"track_id"`, too.
        """
        rows = zip(self.boxes.tolist(), self.scores.tolist(), self.keypoints.tolist(), strict=True)
        return [
            {
                "score": score,
                "box": box,
                "keypoints": {
                    name: dict(zip(_COLUMNS, point, strict=True))
                    for name, point in zip(KEYPOINT_NAMES, points, strict=True)
                },
                **self._track_fields(i),
            }
            for i, (box, score, points) in enumerate(rows)
        ]

    def to_coco(self, image_id: int, category_id: int = 1) -> list[dict[str, Any]]:
        """Return entries of a COCO keypoint results file.

        Args:
            image_id: COCO's id of the photo.
            category_id: COCO's category id of a person.
        """
        rows = zip(self._flat().tolist(), self.scores.tolist(), strict=True)
        return [
            {
                "image_id": image_id,
                "category_id": category_id,
                "keypoints": points,
                "score": score,
                **self._track_fields(i),
            }
            for i, (points, score) in enumerate(rows)
        ]

    def to_pandas(self) -> Any:
        """Return a `pandas.DataFrame` with left, top, right, bottom, score, nose_x, nose_y, ...

        Tracked people have a column track_id, too.

        Raises:
            ExtraRequired: pandas is not installed.
        """
        points = [f"{name}_{what}" for name in KEYPOINT_NAMES for what in _COLUMNS]
        table = (self.boxes, self.scores[:, None], self._flat())
        frame = require("pandas", "to_pandas() needs pandas").DataFrame(
            np.concatenate(table, axis=1),
            columns=["left", "top", "right", "bottom", "score", *points],
        )
        return frame.assign(track_id=self.track_ids) if self.is_tracked else frame

    def to_supervision(self) -> Any:
        """Return a `supervision.KeyPoints`, with the track ids as `data["tracker_id"]`.

        Raises:
            ExtraRequired: supervision is not installed.
        """
        supervision = require("supervision", "to_supervision() needs supervision")
        confidence = self.keypoints[:, :, 2]
        fields: dict[str, Any] = {"keypoint_confidence": confidence}
        fields["detection_confidence"] = self.scores
        if "keypoint_confidence" not in inspect.signature(supervision.KeyPoints).parameters:
            fields = {"confidence": confidence}  # before supervision 0.29
        if self.is_tracked:
            fields["data"] = {"tracker_id": self.track_ids}
        class_ids = np.zeros(len(self), dtype=int)
        return supervision.KeyPoints(xy=self.keypoints[:, :, :2], class_id=class_ids, **fields)

    def _flat(self) -> npt.NDArray[np.float32]:
        """Return all values of each person's keypoints, (n, 51)."""
        return self.keypoints.reshape(len(self), len(_COLUMNS) * len(KEYPOINT_NAMES))


class PoseTask(VisionTask[Poses]):
    """Pose estimation; measured by COCO mAP over keypoints."""

    name = "pose_estimation"
    task = Task.KEYPOINT
    task_type = ModelTaskType.POSE_ESTIMATION
    options = ("score_threshold", "iou_threshold")
    has_boxes = True
    aliases = THRESHOLD_ALIASES
    evaluation_options = MappingProxyType({"score_threshold": coco.SCORE_THRESHOLD})

    def read_truth(self, labels: Path, images: Path) -> Truth:
        """Read labeled keypoints in any layout of `furiosa_models.data.read_dataset`."""
        return self._read_dataset(labels, images)

    def measure(self, truth: Truth, results: Iterable[Poses]) -> dict[str, float]:
        """Return OKS mAP and OKS mAP50."""
        annotations = coco.Annotations.of(truth.labels)
        person = annotations.id_of_person(len(KEYPOINT_NAMES))
        rows: list[dict[str, Any]] = []
        for image_id, found in zip(annotations.images, results, strict=True):
            rows += found[: coco.MAX_DETECTIONS].to_coco(image_id, person)
        figures = annotations.average_precision(rows, "keypoints")
        return {f"OKS {metric}": value for metric, value in figures.items()}


POSE = PoseTask()

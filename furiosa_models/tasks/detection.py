"""Object detection."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeAlias, overload

import numpy as np
import numpy.typing as npt

from .._lazy import require
from ..enums import ModelTaskType, Task
from ..labels import coco_ids
from ..ops.boxes import box_convert
from . import coco
from .base import THRESHOLD_ALIASES, ArrayResult, Photo, Truth, VisionTask

if TYPE_CHECKING:
    from PIL.Image import Image as PILImage


__all__ = [
    "DETECTION",
    "DetectionTask",
    "Detections",
    "LtrbBoundingBox",
    "ObjectDetectionResult",
]


@dataclass(slots=True)
class LtrbBoundingBox:
    """A box by its left, top, right and bottom edges, in pixels of the photo."""

    left: float
    top: float
    right: float
    bottom: float

    def __iter__(self) -> Iterator[float]:
        return iter((self.left, self.top, self.right, self.bottom))


@dataclass(slots=True)
class ObjectDetectionResult:
    """One detected object.

    Attributes:
        boundingbox: Its box, in pixels of the photo.
        score: Confidence, between 0 and 1.
        label: Name of its class.
        index: Class id, an index into the table of labels.
        track_id: Id of its track; -1 for none.
    """

    boundingbox: LtrbBoundingBox
    score: float
    label: str
    index: int
    track_id: int = -1


class Detections(ArrayResult[ObjectDetectionResult]):
    """The objects found in one photo, best first.

    Iterating and indexing yield `ObjectDetectionResult`; the same data is available as arrays.

    Attributes:
        boxes: (n, 4) float32; left, top, right, bottom in pixels of the photo.
        scores: (n,) float32, between 0 and 1, descending.
        class_ids: (n,) int64.
        names: Table of labels by class id.
        track_ids: (n,) int64; -1 for an object without track.
        image: The photo, if known (`predict` sets it).
        image_size: Its width and height in pixels, if known.
        speed: Time of each stage of the prediction, if known.
    """

    __slots__ = (
        "_tracks", "boxes", "class_ids", "image", "image_size", "names", "scores", "speed",
    )  # fmt: skip

    def __init__(
        self,
        boxes: npt.NDArray[np.float32],
        scores: npt.NDArray[np.float32],
        class_ids: npt.NDArray[np.int64],
        names: Sequence[str],
        image: Photo | None = None,
    ) -> None:
        self.boxes = boxes
        self.scores = scores
        self.class_ids = class_ids
        self.names = names
        self.image = image
        self.image_size = None
        self.speed = None
        self._tracks = None

    @property
    def labels(self) -> list[str]:
        """Name of each object's class."""
        return [_name(self.names, class_id) for class_id in self.class_ids.tolist()]

    @overload
    def __getitem__(self, index: int) -> ObjectDetectionResult: ...
    @overload
    def __getitem__(self, index: slice | npt.NDArray[Any]) -> Detections: ...
    def __getitem__(
        self, index: int | slice | npt.NDArray[Any]
    ) -> ObjectDetectionResult | Detections:
        if isinstance(index, (slice, np.ndarray)):
            columns = self.boxes[index], self.scores[index], self.class_ids[index]
            part: Detections = self._copy_facts(Detections(*columns, self.names, self.image), index)
            return part
        class_id = int(self.class_ids[index])
        box = LtrbBoundingBox(*self.boxes[index].tolist())
        return ObjectDetectionResult(
            box,
            float(self.scores[index]),
            _name(self.names, class_id),
            class_id,
            int(self.track_ids[index]),
        )

    def __iter__(self) -> Iterator[ObjectDetectionResult]:
        columns = self.boxes, self.scores, self.class_ids, self.track_ids
        for box, score, class_id, track in zip(*(c.tolist() for c in columns), strict=True):
            label = _name(self.names, class_id)
            yield ObjectDetectionResult(LtrbBoundingBox(*box), score, label, class_id, track)

    def __repr__(self) -> str:
        shown = ", ".join(f"{item.label} {item.score:.2f}" for item in self[:5])
        rest = f", ... {len(self) - 5} more" if len(self) > 5 else ""
        return f"<{len(self)} detections: {shown}{rest}>" if len(self) else "<no detections>"

    def plot(self, image: Photo | None = None) -> PILImage:
        """Return the photo with its boxes drawn; see `Result.plot`.

        The color shows the track of a tracked object, else its class.
        """
        from .draw import Canvas, class_color

        canvas = Canvas.of(self._photo(image))
        items = [
            (item, class_color(item.index if item.track_id < 0 else item.track_id)) for item in self
        ]
        for item, color in reversed(items):  # the best on top
            canvas.box(list(item.boundingbox), color)
        for item, color in items:  # the best label is placed first
            track = f" #{item.track_id}" if item.track_id >= 0 else ""
            end = f"{track} {item.score:.2f}"
            canvas.label(list(item.boundingbox), item.label, color, end=end)
        return canvas.picture

    def to_dict(self) -> list[dict[str, Any]]:
        """Return a list of `{"label", "index", "score", "box": [l, t, r, b]}`.

        Tracked objects have a `"track_id"`, too.
        """
        return [
            {
                "label": d.label,
                "index": d.index,
                "score": d.score,
                "box": list(d.boundingbox),
                **self._track_fields(i),
            }
            for i, d in enumerate(self)
        ]

    def filter(
        self, *, labels: Collection[str] | None = None, min_score: float = 0.0
    ) -> Detections:
        """Return the detections of some classes, or above a score.

        Args:
            labels: Names of the classes to keep; all by default.
            min_score: Minimum score.
        """
        mask = self.scores >= np.float32(min_score)
        if labels is not None:
            mask &= np.array([label in labels for label in self.labels], bool)
        kept: Detections = self[mask]
        return kept

    def to_coco(
        self, image_id: int, category_ids: Sequence[int] | None = None
    ) -> list[dict[str, Any]]:
        """Return entries of a COCO results file.

        Args:
            image_id: COCO's id of the photo.
            category_ids: Category id by class id. By default those of COCO if all class names are
                COCO's; otherwise the class ids.
        """
        if category_ids is None:
            category_ids = coco_ids(tuple(self.names))
        rows = zip(
            box_convert(self.boxes, "xyxy", "xywh").tolist(),
            self.scores.tolist(),
            self.class_ids.tolist(),
            strict=True,
        )
        return [
            {
                "image_id": image_id,
                "category_id": class_id if category_ids is None else category_ids[class_id],
                "bbox": box,
                "score": score,
                **self._track_fields(i),
            }
            for i, (box, score, class_id) in enumerate(rows)
        ]

    def to_pandas(self) -> Any:
        """Return a `pandas.DataFrame` with left, top, right, bottom, score, index, label.

        Tracked objects have a column track_id, too.

        Raises:
            ExtraRequired: pandas is not installed.
        """
        pandas = require("pandas", "to_pandas() needs pandas")
        frame = pandas.DataFrame(self.boxes, columns=["left", "top", "right", "bottom"])
        frame = frame.assign(score=self.scores, index=self.class_ids, label=self.labels)
        return frame.assign(track_id=self.track_ids) if self.is_tracked else frame

    def to_supervision(self) -> Any:
        """Return a `supervision.Detections`, with the track ids as its `tracker_id`.

        Supervision's zones and lines take an object without track, of the id -1, for one of their
        own: select the others first, by `result[result.track_ids >= 0]`.

        Raises:
            ExtraRequired: supervision is not installed.
        """
        return require("supervision", "to_supervision() needs supervision").Detections(
            xyxy=self.boxes,
            confidence=self.scores,
            class_id=self.class_ids,
            tracker_id=self.track_ids if self.is_tracked else None,
            data={"class_name": np.asarray(self.labels, dtype=str)},
        )


def _name(names: Sequence[str], class_id: int) -> str:
    return names[class_id] if 0 <= class_id < len(names) else f"class_{class_id}"


_UNNAMED = re.compile(r"class_\d+")
Filter: TypeAlias = "Callable[[Detections], Detections]"


class DetectionTask(VisionTask[Detections]):
    """Object detection; measured by COCO mAP."""

    name = "object_detection"
    task = Task.DETECTION
    task_type = ModelTaskType.OBJECT_DETECTION
    options = ("score_threshold", "iou_threshold")
    has_boxes = True
    aliases = THRESHOLD_ALIASES
    evaluation_options = MappingProxyType({"score_threshold": coco.SCORE_THRESHOLD})

    def read_truth(self, labels: Path, images: Path) -> Truth:
        """Read labeled boxes in any layout of `furiosa_models.data.read_dataset`."""
        return self._read_dataset(labels, images)

    def measure(self, truth: Truth, results: Iterable[Detections]) -> dict[str, float]:
        """Return mAP and mAP50; classes are matched by name, and others are ignored."""
        annotations = coco.Annotations.of(truth.labels)
        ids: dict[str, int] | None = None
        rows: list[dict[str, Any]] = []
        for image_id, found in zip(annotations.images, results, strict=True):
            if ids is None and len(found.names):
                ids = annotations.ids_of(found.names)
            best = found[: coco.MAX_DETECTIONS]
            rows += [
                annotations.clipped({**row, "category_id": ids[name]})
                for row, name in zip(best.to_coco(image_id), best.labels, strict=True)
                if ids is not None and name in ids
            ]
        return annotations.average_precision(rows, "bbox")

    def filter_of(self, options: Mapping[str, Any]) -> tuple[dict[str, Any], Filter | None]:
        """Return options with a single threshold, and a function that applies those per class.

        `score_threshold={"person": 0.6, None: 0.3}` has one threshold for persons, and one for all
        others.

        Raises:
            ValueError: A threshold is for a class that the model does not have, or the one for all
                other classes is missing.
        """
        thresholds = options.get("score_threshold")
        if not isinstance(thresholds, Mapping):
            return dict(options), None
        if None not in thresholds:
            msg = "score_threshold by class needs one for the other classes, under the key None"
            raise ValueError(msg)

        def keep(found: Detections) -> Detections:
            return found[_exceeds(found, thresholds)]

        return {**options, "score_threshold": min(thresholds.values())}, keep

    def above(
        self, found: Detections, score_threshold: float | Mapping[str | None, float]
    ) -> npt.NDArray[np.bool_]:
        """Return which objects have a score above a threshold, or above that of their class."""
        if isinstance(score_threshold, Mapping):
            return _exceeds(found, score_threshold)
        return super().above(found, score_threshold)


def _exceeds(found: Detections, thresholds: Mapping[str | None, float]) -> npt.NDArray[np.bool_]:
    """Return which objects have at least the score of their class.

    Raises:
        ValueError: A threshold is for a class that the model does not have.
    """
    names = set(found.names)
    named = [n for n in thresholds if n is not None and not _UNNAMED.fullmatch(str(n))]
    if unknown := [name for name in named if name not in names]:
        msg = f"score_threshold names classes that the model does not have: {unknown}"
        raise ValueError(msg)
    min_scores = [thresholds.get(label, thresholds[None]) for label in found.labels]
    exceeds: npt.NDArray[np.bool_] = found.scores >= np.asarray(min_scores, np.float32)
    return exceeds


DETECTION = DetectionTask()

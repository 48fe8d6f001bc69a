"""Object detection: the objects in a photo."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import numpy.typing as npt

from .base import ArrayResult, Photo, import_extra, to_xywh

if TYPE_CHECKING:
    from PIL.Image import Image as PILImage


__all__ = ["Detections", "LtrbBoundingBox", "ObjectDetectionResult"]


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
        boundingbox: Where it is, in pixels of the photo.
        score: Confidence, between 0 and 1.
        label: Name of its class.
        index: Class id, an index into the table of labels.
    """

    boundingbox: LtrbBoundingBox
    score: float
    label: str
    index: int


class Detections(ArrayResult[ObjectDetectionResult]):
    """The objects found in one photo, best first.

    Iterating and indexing give `ObjectDetectionResult`; the arrays are there for the rest.

    Attributes:
        boxes: (n, 4) float32; left, top, right, bottom in pixels of the photo.
        scores: (n,) float32, between 0 and 1, descending.
        class_ids: (n,) int64.
        names: Table of labels by class id.
        image: The photo, where it is known (`predict` sets it).
    """

    __slots__ = ("boxes", "class_ids", "image", "names", "scores")

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

    @property
    def labels(self) -> list[str]:
        """Name of each object's class."""
        return [_name(self.names, class_id) for class_id in self.class_ids.tolist()]

    @overload
    def __getitem__(self, index: int) -> ObjectDetectionResult: ...
    @overload
    def __getitem__(self, index: slice) -> Detections: ...
    def __getitem__(self, index: int | slice) -> ObjectDetectionResult | Detections:
        if isinstance(index, slice):
            part = self.boxes[index], self.scores[index], self.class_ids[index]
            return Detections(*part, self.names, self.image)
        class_id = int(self.class_ids[index])
        box = LtrbBoundingBox(*self.boxes[index].tolist())
        return ObjectDetectionResult(
            box, float(self.scores[index]), _name(self.names, class_id), class_id
        )

    def __iter__(self) -> Iterator[ObjectDetectionResult]:
        rows = zip(self.boxes.tolist(), self.scores.tolist(), self.class_ids.tolist(), strict=True)
        for box, score, class_id in rows:
            label = _name(self.names, class_id)
            yield ObjectDetectionResult(LtrbBoundingBox(*box), score, label, class_id)

    def __repr__(self) -> str:
        shown = ", ".join(f"{item.label} {item.score:.2f}" for item in self[:5])
        rest = f", ... {len(self) - 5} more" if len(self) > 5 else ""
        return f"<{len(self)} detections: {shown}{rest}>" if len(self) else "<no detections>"

    def plot(self, image: Photo | None = None) -> PILImage:
        """The photo with its boxes drawn; see `Result.plot`."""
        from .draw import draw_detections

        return draw_detections(self._photo(image), self)

    def to_dict(self) -> list[dict[str, Any]]:
        """Plain Python: a list of `{"label", "index", "score", "box": [l, t, r, b]}`."""
        return [
            {"label": d.label, "index": d.index, "score": d.score, "box": list(d.boundingbox)}
            for d in self
        ]

    def to_coco(
        self, image_id: int, category_ids: Sequence[int] | None = None
    ) -> list[dict[str, Any]]:
        """Entries of a COCO results file.

        Args:
            image_id: COCO's id of the photo.
            category_ids: COCO's category id by class id, where they differ.
        """
        rows = zip(
            to_xywh(self.boxes).tolist(), self.scores.tolist(), self.class_ids.tolist(), strict=True
        )
        return [
            {
                "image_id": image_id,
                "category_id": class_id if category_ids is None else category_ids[class_id],
                "bbox": box,
                "score": score,
            }
            for box, score, class_id in rows
        ]

    def to_pandas(self) -> Any:
        """A `pandas.DataFrame` with columns left, top, right, bottom, score, index, label.

        Raises:
            ExtraRequired: pandas is not installed.
        """
        pandas = import_extra("pandas")
        frame = pandas.DataFrame(self.boxes, columns=["left", "top", "right", "bottom"])
        return frame.assign(score=self.scores, index=self.class_ids, label=self.labels)

    def to_supervision(self) -> Any:
        """A `supervision.Detections`.

        Raises:
            ExtraRequired: supervision is not installed.
        """
        return import_extra("supervision").Detections(
            xyxy=self.boxes,
            confidence=self.scores,
            class_id=self.class_ids,
            data={"class_name": np.asarray(self.labels)},
        )


def _name(names: Sequence[str], class_id: int) -> str:
    return names[class_id] if 0 <= class_id < len(names) else str(class_id)

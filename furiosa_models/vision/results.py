"""Results: arrays inside, the result types of furiosa-models 0.10 outside."""

from __future__ import annotations

import html
import importlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, overload

import numpy as np
import numpy.typing as npt

from ..errors import ExtraRequired, FuriosaModelsError
from .images import DecodedImage, read_image

if TYPE_CHECKING:
    from PIL.Image import Image as PILImage

__all__ = [
    "ClassScore",
    "Classification",
    "Detections",
    "LtrbBoundingBox",
    "ObjectDetectionResult",
]

Photo: TypeAlias = "DecodedImage | npt.NDArray[np.uint8] | str | Path"
"""A photo to draw on: decoded, (h, w, 3) uint8 RGB, or a file."""


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


@dataclass(frozen=True, slots=True)
class ClassScore:
    """A class and its score.

    Attributes:
        index: Class id.
        label: Name of the class.
        score: Probability, between 0 and 1.
    """

    index: int
    label: str
    score: float


class Detections(Sequence[ObjectDetectionResult]):
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

    def __len__(self) -> int:
        return len(self.scores)

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

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence) or isinstance(other, str):
            return NotImplemented
        return list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]  # holds arrays

    def __repr__(self) -> str:
        shown = ", ".join(f"{item.label} {item.score:.2f}" for item in self[:5])
        rest = f", ... {len(self) - 5} more" if len(self) > 5 else ""
        return f"<{len(self)} detections: {shown}{rest}>" if len(self) else "<no detections>"

    def plot(self, image: Photo | None = None) -> PILImage:
        """The photo with its boxes drawn.

        Args:
            image: The photo: a file, decoded, or (h, w, 3) uint8 RGB; the one that `predict`
                saw where it is left out.

        Raises:
            FuriosaModelsError: There is no photo to draw on.
        """
        from .draw import draw_detections

        return draw_detections(_photo(self.image if image is None else image), self)

    def save(self, path: str | Path) -> Path:
        """Write the annotated photo, or JSON where the name ends in `.json`; returns the path."""
        return _save(self, path)

    def to_dict(self) -> list[dict[str, Any]]:
        """Plain Python: a list of `{"label", "index", "score", "box": [l, t, r, b]}`."""
        return [
            {"label": d.label, "index": d.index, "score": d.score, "box": list(d.boundingbox)}
            for d in self
        ]

    def to_json(self, *, indent: int | None = None) -> str:
        """`to_dict` as JSON."""
        return json.dumps(self.to_dict(), indent=indent)

    def to_coco(
        self, image_id: int, category_ids: Sequence[int] | None = None
    ) -> list[dict[str, Any]]:
        """Entries of a COCO results file.

        Args:
            image_id: COCO's id of the photo.
            category_ids: COCO's category id by class id, where they differ.
        """
        sizes = self.boxes[:, 2:] - self.boxes[:, :2]
        boxes = np.concatenate([self.boxes[:, :2], sizes], axis=1).astype(float).tolist()
        rows = zip(boxes, self.scores.tolist(), self.class_ids.tolist(), strict=True)
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
        pandas = _import("pandas")
        frame = pandas.DataFrame(self.boxes, columns=["left", "top", "right", "bottom"])
        return frame.assign(score=self.scores, index=self.class_ids, label=self.labels)

    def to_supervision(self) -> Any:
        """A `supervision.Detections`.

        Raises:
            ExtraRequired: supervision is not installed.
        """
        return _import("supervision").Detections(
            xyxy=self.boxes,
            confidence=self.scores,
            class_id=self.class_ids,
            data={"class_name": np.asarray(self.labels)},
        )

    def _repr_png_(self) -> bytes | None:
        from .draw import to_png

        return None if self.image is None else to_png(self.plot())


class Classification(str):
    """The classes of one photo, best first; as a string, the label of the best one.

    It is a string because that is what furiosa-models 0.10 returns: `print(result)`,
    `result == "tabby, tabby cat"` and `json.dumps(result)` do what they did.

    Attributes:
        class_ids: (k,) int64, by descending score.
        scores: (k,) float32, between 0 and 1.
        labels: Name of each class.
        image: The photo, where it is known (`predict` sets it).
    """

    class_ids: npt.NDArray[np.int64]
    scores: npt.NDArray[np.float32]
    labels: list[str]
    image: Photo | None

    def __new__(
        cls,
        class_ids: npt.NDArray[np.int64],
        scores: npt.NDArray[np.float32],
        labels: Sequence[str],
        image: Photo | None = None,
    ) -> Classification:
        """Make one from three parallel columns of at least one class, best first."""
        self = super().__new__(cls, labels[0])
        self.class_ids, self.scores, self.labels = class_ids, scores, list(labels)
        self.image = image
        return self

    def __getnewargs__(self) -> tuple[Any, ...]:
        return self.class_ids, self.scores, self.labels, self.image

    @property
    def top(self) -> list[ClassScore]:
        """Every class that was kept, best first."""
        rows = zip(self.class_ids.tolist(), self.labels, self.scores.tolist(), strict=True)
        return [ClassScore(*row) for row in rows]

    @property
    def class_id(self) -> int:
        """Class id of the best class."""
        return int(self.class_ids[0])

    @property
    def label(self) -> str:
        """Name of the best class."""
        return str(self)

    @property
    def score(self) -> float:
        """Score of the best class."""
        return float(self.scores[0])

    def plot(self, image: Photo | None = None) -> PILImage:
        """The photo with its classes written on it; see `Detections.plot`."""
        from .draw import draw_classes

        return draw_classes(_photo(self.image if image is None else image), self)

    def save(self, path: str | Path) -> Path:
        """Write the annotated photo, or JSON where the name ends in `.json`; returns the path."""
        return _save(self, path)

    def to_dict(self) -> list[dict[str, Any]]:
        """Plain Python: a list of `{"label", "index", "score"}`."""
        return [{"label": c.label, "index": c.index, "score": c.score} for c in self.top]

    def to_json(self, *, indent: int | None = None) -> str:
        """`to_dict` as JSON."""
        return json.dumps(self.to_dict(), indent=indent)

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{html.escape(c.label)}</td><td>{c.score:.3f}</td></tr>" for c in self.top
        )
        return f"<table><tr><th>label</th><th>score</th></tr>{rows}</table>"


def _save(result: Detections | Classification, path: str | Path) -> Path:
    path = Path(path)
    if path.suffix.lower() == ".json":
        path.write_text(result.to_json(indent=2) + "\n", encoding="utf-8")
    else:
        result.plot().save(path)
    return path


def _photo(image: Photo | None) -> npt.NDArray[np.uint8]:
    if image is None:
        msg = "there is no photo to draw on: pass plot(image=...), or get the result by predict()"
        raise FuriosaModelsError(msg)
    if isinstance(image, np.ndarray):
        return image
    return (read_image(image) if isinstance(image, (str, Path)) else image).rgb


def _name(names: Sequence[str], class_id: int) -> str:
    return names[class_id] if 0 <= class_id < len(names) else str(class_id)


def _import(package: str) -> Any:
    try:
        return importlib.import_module(package)
    except ImportError as error:
        msg = f"this needs {package}, which is not installed: pip install {package}"
        raise ExtraRequired(msg) from error

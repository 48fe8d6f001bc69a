"""Image classification."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..data.classes import are_indices
from ..data.records import choose_task
from ..enums import ModelTaskType, Task
from ..labels import plain_name
from .base import Photo, Result, Truth, VisionTask

if TYPE_CHECKING:
    from PIL.Image import Image as PILImage

    from ..data.records import LabeledPhoto, LabeledPhotos

__all__ = ["CLASSIFICATION", "ClassScore", "Classification", "ClassificationTask"]


@dataclass(frozen=True, slots=True)
class ClassScore:
    """A class and its score.

    Attributes:
        index: Class id.
        label: Name of the class.
        score: Probability, between 0 and 1; NaN if the network gives only a class.
    """

    index: int
    label: str
    score: float

    @property
    def is_scored(self) -> bool:
        """Whether the score is known."""
        return not math.isnan(self.score)


class Classification(Result, str):
    """The classes of one photo, best first; as a string, the label of the best one.

    It is a string for compatibility with furiosa-models 0.10: `print(result)`, `result == "tabby,
    tabby cat"` and `json.dumps(result)` behave as they did there.

    Attributes:
        class_ids: (k,) int64, by descending score.
        scores: (k,) float32, between 0 and 1; NaN if the network gives only a class.
        labels: Name of each class.
        image: The photo, if known (`predict` sets it).
        image_size: Its width and height in pixels, if known.
        speed: Time of each stage of the prediction, if known.
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
        """Create a result from three parallel columns with at least one class, best first."""
        self = super().__new__(cls, labels[0])
        self.class_ids, self.scores, self.labels = class_ids, scores, list(labels)
        self.image = image
        return self

    def __getnewargs__(self) -> tuple[Any, ...]:
        return self.class_ids, self.scores, self.labels, self.image

    @property
    def top(self) -> list[ClassScore]:
        """All classes of the result, best first."""
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
        """Return the photo with its classes written on it; see `Result.plot`."""
        from .draw import Canvas, class_color

        canvas = Canvas.of(self._photo(image))
        canvas.lines(
            [
                (
                    f"{item.score:6.1%}  {item.label}" if item.is_scored else item.label,
                    class_color(item.index),
                )
                for item in self.top
            ]
        )
        return canvas.picture

    def to_dict(self) -> list[dict[str, Any]]:
        """Return a list of `{"label", "index", "score"}`; an unknown score is None."""
        return [
            {"label": c.label, "index": c.index, "score": c.score if c.is_scored else None}
            for c in self.top
        ]


class ClassificationTask(VisionTask[Classification]):
    """Image classification; measured by top-1 and top-5 accuracy."""

    name = "image_classification"
    task = Task.CLASSIFICATION
    task_type = ModelTaskType.IMAGE_CLASSIFICATION
    options = ("top_k",)
    evaluation_options = MappingProxyType({"top_k": 5})

    def read_truth(self, labels: Path, images: Path) -> Truth:
        """Read classes of photos in any layout of `furiosa_models.data.read_dataset`."""
        return self._read_dataset(labels, images)

    def measure(self, truth: Truth, results: Iterable[Classification]) -> dict[str, float]:
        """Return top-1 and top-5 accuracy; classes are matched by index, or else by name."""
        photos: LabeledPhotos = truth.labels
        choose_task(photos.source, self.task, photos.task)
        first = top_five = 0
        for photo, result in zip(photos, results, strict=True):
            ranks = _ranks(photos, photo, result)
            first += 0 in ranks
            top_five += bool(ranks)
        return {"top-1": first / len(photos), "top-5": top_five / len(photos)}


def _ranks(photos: LabeledPhotos, photo: LabeledPhoto, result: Classification) -> list[int]:
    """Return the places of a photo's class among those of its result."""
    class_id = photo.class_id
    if class_id is None or class_id < 0:
        return []
    if are_indices(photos):
        return [rank for rank, found in enumerate(result.class_ids.tolist()) if found == class_id]
    name = plain_name(photos.classes[class_id])
    return [rank for rank, label in enumerate(result.labels) if plain_name(label) == name]


CLASSIFICATION = ClassificationTask()

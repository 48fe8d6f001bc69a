"""Accuracy on labeled photos, by the metric of the model's task."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from .enums import Precision
from .tasks.base import VisionTask

__all__ = ["Evaluation", "Predictor", "evaluate"]


class Predictor(Protocol):
    """What is evaluated: a `Model`, or anything with its `predict`."""

    @property
    def vision_task(self) -> VisionTask[Any]:
        """The task, which reads labels and measures."""

    @property
    def weights(self) -> str:
        """Name of the weights."""

    @property
    def predict(self) -> Callable[..., Any]:
        """Results of photos; see `Model.predict`."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Measured accuracy.

    Attributes:
        model: Class of the model.
        weights: Name of its weights.
        photos: How many photos it was measured on.
        figures: Each metric's value, between 0 and 1, by name.
    """

    model: str
    weights: str
    photos: int
    figures: Mapping[str, float]


def evaluate(
    model: Predictor,
    images: str | Path,
    labels: str | Path,
    *,
    device: str | None = None,
    precision: Precision = "fp32",
    draft: bool = False,
) -> Evaluation:
    """Return the accuracy of a model on labeled photos.

    Args:
        model: The model.
        images: Folder of the photos.
        labels: For a classifier a CSV file with the columns `file` and `class_index`; for a
            detector a COCO annotation file (`instances_val2017.json`), and for poses its
            keypoints (`person_keypoints_val2017.json`); for another task what its `read_truth`
            reads.
        device: As for `predict`.
        precision: As for `predict`.
        draft: As for `predict`.

    Raises:
        FuriosaModelsError: The labels cannot be read, or name no photo; or the task does not say
            how it is measured.
        ExtraRequired: pycocotools, which computes mAP, is not installed.
    """
    task = model.vision_task
    truth = task.read_truth(Path(labels), Path(images))
    results = model.predict(
        list(truth.photos),
        stream=True,
        progress=True,
        device=device,
        precision=precision,
        draft=draft,
        **task.evaluation_options,
    )
    figures = task.measure(truth, results)
    return Evaluation(type(model).__name__, model.weights, len(truth.photos), figures)

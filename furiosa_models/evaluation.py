"""Measure accuracy on labeled photos, with the metric of the model's task."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from .enums import Precision
from .tasks.base import VisionTask

__all__ = ["Evaluation", "Predictor", "evaluate"]


class Predictor(Protocol):
    """The part of a `Model` that evaluation needs."""

    @property
    def vision_task(self) -> VisionTask[Any]:
        """The task, which reads labels and computes metrics."""

    @property
    def weights(self) -> str:
        """Name of the weights."""

    @property
    def predict(self) -> Callable[..., Any]:
        """Function that returns results of photos; see `Model.predict`."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Measured accuracy.

    Attributes:
        model: Class of the model.
        weights: Name of its weights.
        photos: Number of photos.
        figures: Value of each metric by name, between 0 and 1.
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
    """Measure the accuracy of a model on labeled photos.

    Args:
        model: The model.
        images: Folder of the photos.
        labels: For a classifier, a CSV file with the columns `file` and `class_index`; for a
            detector, a COCO annotation file (`instances_val2017.json`), and for poses, COCO
            keypoints (`person_keypoints_val2017.json`); for other tasks, whatever their
            `read_truth` reads.
        device: As for `predict`.
        precision: As for `predict`.
        draft: As for `predict`.

    Raises:
        FuriosaModelsError: The labels cannot be read, or contain no photo; or the task has no
            metric.
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

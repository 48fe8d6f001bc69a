"""Measure accuracy on labeled photos, with the metric of the model's task."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from .data.recognize import dataset_splits, read_dataset
from .data.records import LabeledPhotos
from .enums import DatasetSplitType, Precision
from .tasks.base import Truth, VisionTask

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
    def names(self) -> Mapping[int, str]:
        """Class names by class id."""

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
    images: str | os.PathLike[str] | None = None,
    labels: str | os.PathLike[str] | LabeledPhotos | None = None,
    *,
    split: DatasetSplitType | str | None = None,
    device: str | None = None,
    precision: Precision = "fp32",
    draft: bool = False,
) -> Evaluation:
    """Measure the accuracy of a model on labeled photos.

    Args:
        model: The model.
        images: Folder of the photos; None if the labels tell where they are.
        labels: File or folder of the labels, in any layout that `furiosa_models.data.read_dataset`
            reads, or a data set that it returned; by default the folder `images`. For tasks of your
            own, whatever their `read_truth` reads.
        split: Part of a data set that has several; by default the validation part.
        device: As for `predict`.
        precision: As for `predict`.
        draft: As for `predict`.

    Raises:
        FuriosaModelsError: The labels cannot be read, contain no photo, or have none of the model's
            classes; or the task has no metric.
        ExtraRequired: pycocotools, which computes mAP, is not installed.
        TypeError: There are neither photos nor labels.
    """
    task = model.vision_task
    truth = _read_truth(task, images, images if labels is None else labels, split)
    if isinstance(truth.labels, LabeledPhotos):
        task.check_classes(truth.labels, [*model.names.values()])
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


def _read_truth(
    task: VisionTask[Any],
    images: str | os.PathLike[str] | None,
    labels: str | os.PathLike[str] | LabeledPhotos | None,
    split: DatasetSplitType | str | None,
) -> Truth:
    """Return the labeled photos, in the form that the task measures."""
    if labels is None:
        msg = "evaluate() needs labels=, or images= that contains them"
        raise TypeError(msg)
    if isinstance(labels, LabeledPhotos):
        return Truth.of(labels)
    if images is not None and split is None:
        return task.read_truth(Path(labels), Path(images))
    if split is None and DatasetSplitType.VAL in dataset_splits(labels, task=task.task):
        split = DatasetSplitType.VAL
    return Truth.of(read_dataset(labels, images=images, split=split, task=task.task))

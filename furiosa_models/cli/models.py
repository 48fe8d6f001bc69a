"""Which model a command is given: one of the catalog, a file, or a saved folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ..catalog import find_task, get_model, is_file
from ..errors import ModelNotFound, WeightsError
from ..model import Model
from ..saved import INFO
from ..task_models import Classifier, Detector, PoseEstimator

__all__ = ["open_model"]

_CLASSES: dict[str, type[Model[Any]]] = {
    "object_detection": Detector,
    "pose_estimation": PoseEstimator,
    "image_classification": Classifier,
}


def open_model(
    name: str,
    weights: str | None = None,
    *,
    labels: str | None = None,
    task: str | None = None,
    postprocess: str = "rust",
) -> Model[Any]:
    """Return the model that MODEL stands for.

    Args:
        name: A name of the catalog, a file (ONNX, TensorFlow Lite), or a folder of `Model.save`.
        weights: As of `Model`, for a name.
        labels: As of `Model`: a table, or a file of names.
        task: What a file does; by default what it says itself, or what its outputs look like.
        postprocess: As `postprocessor_type` of `Model`.

    Raises:
        ModelNotFound: There is no such name, and no such file.
        ShapeError: The file is of no model that is known.
        UsageError: The options do not go with a file, or with a name.
    """
    options: dict[str, Any] = {"postprocessor_type": postprocess}
    if labels is not None:
        options["labels"] = labels
    if not is_file(name):
        if task is not None:
            msg = "--task goes with a file; a model of the catalog has a task of its own"
            raise click.UsageError(msg)
        if Path(name).is_dir():
            msg = f"{name} is a folder without {INFO}: give a folder of Model.save, or a file"
            raise ModelNotFound(msg)
        return get_model(name, weights, **options)
    if weights is not None:
        msg = f"--weights goes with a name of the catalog; {name} has its own"
        raise click.UsageError(msg)
    word = task or _task_in_metadata(name)
    if word is None:
        return get_model(name, **options)
    return _CLASSES[find_task(word)](name, **options).fitted()


def _task_in_metadata(name: str) -> str | None:
    """The task that a file says it is for, as exporters of YOLO write it into the metadata."""
    if Path(name).suffix.lower() != ".onnx" or not Path(name).is_file():
        return None
    from ..networks import edit

    try:
        return edit.metadata(Path(name).read_bytes()).get("task")
    except WeightsError as error:
        msg = f"{name}: {error}"
        raise WeightsError(msg) from error

"""Which model a command is given: one of the catalog, a file, or a saved folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from ..catalog import find_task, get_model
from ..errors import FuriosaModelsError, ShapeError
from ..model import Model
from ..saved import INFO, is_saved, read_saved
from ..task_models import Classifier, Detector, PoseEstimator

__all__ = ["is_own", "open_model"]

_SUFFIXES = frozenset({".onnx", ".pt", ".pth", ".safetensors", ".tflite"})
_CLASSES: dict[str, type[Model[Any]]] = {
    "object_detection": Detector,
    "pose_estimation": PoseEstimator,
    "image_classification": Classifier,
}
"""Class of the models of each task, in the order in which a file is tried."""


def is_own(name: str) -> bool:
    """Whether what a command is given for MODEL is a file or folder rather than a name."""
    path = Path(name)
    return path.suffix.lower() in _SUFFIXES or path.is_file() or path.is_dir()


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
    if not is_own(name):
        if task is not None:
            msg = "--task goes with a file; a model of the catalog has a task of its own"
            raise click.UsageError(msg)
        return get_model(name, weights, **options)
    if weights is not None:
        msg = f"--weights goes with a name of the catalog; {name} has its own"
        raise click.UsageError(msg)
    if Path(name).is_dir() and not is_saved(name):
        msg = f"{name} is a folder without {INFO}: give a folder of Model.save, or a file"
        raise FuriosaModelsError(msg)
    chosen = [*_classes(name, task)]
    problems = []
    for cls in chosen:
        model = cls(name, **options)
        try:
            _ = model.head  # looks at the graph
        except ShapeError as error:
            if len(chosen) == 1:
                raise
            problems.append(f"  as {cls.__name__}: {error}")
        else:
            return model
    msg = "\n".join([f"{name} is of no model that is known:", *problems])
    raise ShapeError(msg)


def _classes(name: str, task: str | None) -> Iterator[type[Model[Any]]]:
    """The classes that a file may be of."""
    word = task or _said(name)
    if word is not None:
        yield _CLASSES[find_task(word)]
    else:
        yield from _CLASSES.values()


def _said(name: str) -> str | None:
    """The task that a file says it is for."""
    if Path(name).is_dir():
        return str(read_saved(name).head.task.name)
    if Path(name).suffix.lower() != ".onnx" or not Path(name).is_file():
        return None
    from ..networks import edit

    return edit.metadata(Path(name).read_bytes()).get("task")

"""Opens the MODEL argument of commands: a name of the catalog, a file, or a saved folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ..catalog import class_for, get_model, is_file
from ..errors import ModelNotFound, WeightsError
from ..export.opened import is_embedded, is_export
from ..model import InferModel, Model
from ..saved import INFO

__all__ = ["open_model"]


def open_model(
    name: str,
    weights: str | None = None,
    *,
    labels: str | None = None,
    task: str | None = None,
    postprocess: str = "rust",
) -> Model[Any]:
    """Open the model that a MODEL argument refers to.

    Args:
        name: Name in the catalog, path of a file (ONNX, TensorFlow Lite), or folder of
            `Model.save`.
        weights: Set of weights, as for `Model`; only for a name.
        labels: Labels, as for `Model`: a table or a file of names.
        task: Task of a file; by default taken from its metadata or detected from its outputs.
        postprocess: `postprocessor_type` of `Model`.

    Raises:
        ModelNotFound: There is neither a model nor a file of this name.
        ShapeError: The outputs of the file match no known model.
        UsageError: An option does not apply to a file, or to a name.
    """
    options: dict[str, Any] = {"postprocessor_type": postprocess}
    if labels is not None:
        options["labels"] = labels
    if not is_file(name):
        if task is not None:
            msg = "--task applies only to files; a model of the catalog has a fixed task"
            raise click.UsageError(msg)
        if name and Path(name).is_dir():
            msg = f"{name} is a folder without {INFO}: expected a folder of Model.save, or a file"
            raise ModelNotFound(msg)
        if weights is None and "://" in name:  # a model on a hub
            return _managed(name, **options)
        return get_model(name, weights, **options)
    if weights is not None:
        msg = f"--weights applies only to names of the catalog; {name} has its own weights"
        raise click.UsageError(msg)
    if task is None and labels is None and (is_embedded(Path(name)) or is_export(Path(name))):
        return InferModel(name, postprocessor_type=postprocess)
    if (Path(name) / INFO).is_file() and task is None:  # a saved model, also of Focoos
        return _managed(name, **options)
    word = task or _task_in_metadata(name)
    if word is None:
        return get_model(name, **options)
    return class_for(word)(name, **options).fitted()


def _managed(name: str, **options: Any) -> Model[Any]:
    """Return the model of `ModelManager.get`."""
    # Its imports, of hubs and registries, take longer than those of all else that commands need.
    from ..manager import ModelManager

    return ModelManager.get(name, **options)


def _task_in_metadata(name: str) -> str | None:
    """Return the task in the metadata of an ONNX file; exporters of YOLO write one."""
    if Path(name).suffix.lower() != ".onnx" or not Path(name).is_file():
        return None
    from ..networks import edit

    try:
        return edit.metadata(Path(name).read_bytes()).get("task")
    except WeightsError as error:
        msg = f"{name}: {error}"
        raise WeightsError(msg) from error

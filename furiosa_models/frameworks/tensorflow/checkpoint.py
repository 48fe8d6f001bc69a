"""Checkpoints: those of TensorFlow 1 contain a graph, those of TensorFlow 2 only variables."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import ConversionError, WeightsError
from .framework import first_line, quiet, tensorflow
from .frozen import FrozenGraph
from .wire import read_file

__all__ = ["CheckpointFiles", "find_checkpoint", "frozen_checkpoint", "restore"]

_LATEST = re.compile(r'^model_checkpoint_path:\s*"(.*)"\s*$', re.MULTILINE)
_STATE_FILE = "checkpoint"


@dataclass(frozen=True, slots=True)
class CheckpointFiles:
    """Files of a checkpoint.

    Attributes:
        prefix: Path without the suffixes `.meta`, `.index` and `.data-...`.
    """

    prefix: Path

    @property
    def meta(self) -> Path:
        """The file with the graph, which only TensorFlow 1 writes."""
        return self.prefix.with_name(f"{self.prefix.name}.meta")

    @property
    def has_graph(self) -> bool:
        """Whether the checkpoint contains a graph."""
        return self.meta.is_file()


def find_checkpoint(path: Path) -> CheckpointFiles | None:
    """Return the checkpoint at a path: its folder, its prefix, or one of its files.

    Raises:
        WeightsError: The folder has several checkpoints, and no file says which one is the latest.
    """
    if path.is_dir():
        return _in_folder(path)
    if path.name == _STATE_FILE and path.is_file():
        return _in_folder(path.parent)
    prefix = path.with_suffix("") if path.suffix in (".index", ".meta") else path
    return CheckpointFiles(prefix) if _index(prefix).is_file() else None


def _in_folder(folder: Path) -> CheckpointFiles | None:
    prefixes = sorted(index.with_suffix("") for index in folder.glob("*.index"))
    if len(prefixes) <= 1:
        return CheckpointFiles(prefixes[0]) if prefixes else None
    state = folder / _STATE_FILE
    if state.is_file():
        found = _LATEST.search(read_file(state).decode("utf-8", "replace"))
        # Paths may be those of the machine that has written the file.
        name = re.split(r"[/\\]", found[1])[-1] if found else ""
        if folder / name in prefixes:
            return CheckpointFiles(folder / name)
    listed = ", ".join(prefix.name for prefix in prefixes)
    msg = f"{folder} has several checkpoints, {listed}: pass the path of one, as {prefixes[-1]}"
    raise WeightsError(msg)


def _index(prefix: Path) -> Path:
    return prefix.with_name(f"{prefix.name}.index")


def frozen_checkpoint(
    files: CheckpointFiles, inputs: Mapping[str, str], outputs: Mapping[str, str]
) -> FrozenGraph:
    """Return the graph of a checkpoint of TensorFlow 1, with its variables as constants.

    Raises:
        ConversionError: TensorFlow cannot restore or freeze it.
        ExtraRequired: TensorFlow is not installed.
    """
    tf = tensorflow(f"reading {files.prefix}")
    v1 = tf.compat.v1
    graph = tf.Graph()
    with quiet(), graph.as_default(), v1.Session(graph=graph) as session:
        try:
            saver = v1.train.import_meta_graph(str(files.meta), clear_devices=True)
            saver = saver or v1.train.Saver(v1.global_variables())
            saver.restore(session, str(files.prefix))
            nodes = [tensor.partition(":")[0] for tensor in outputs.values()]
            graph_def = v1.graph_util.convert_variables_to_constants(
                session, graph.as_graph_def(), nodes
            )
        except Exception as error:  # TensorFlow raises errors of many types
            msg = f"TensorFlow cannot restore {files.prefix}: {first_line(error)}"
            raise ConversionError(msg) from error
    return FrozenGraph(graph_def, dict(inputs), dict(outputs))


def restore(files: CheckpointFiles, model: Any) -> None:
    """Restore the variables of the user's model from a checkpoint of TensorFlow 2.

    The checkpoint names its root attributes as the user did (`Checkpoint(net=model)`), so the
    attribute is that whose variables are those of the model.

    Args:
        files: The checkpoint.
        model: A Keras model, or a `tf.Module`; its variables are changed.

    Raises:
        ConversionError: The checkpoint is damaged, or does not have the variables of the model.
        ExtraRequired: TensorFlow is not installed.
    """
    tf = tensorflow(f"reading {files.prefix}")
    variables = {id(variable): variable for variable in _variables(model)}
    if not variables:
        msg = "the model has no variables yet: call it once on data, or build it, and pass it again"
        raise ConversionError(msg)
    missing: dict[str, int] = {}
    with quiet():
        try:
            for attribute, root in _roots(tf, files, model).items():
                view = tf.train.CheckpointView(str(files.prefix))
                found = {id(trackable) for trackable in view.match(root).values()}
                missing[attribute] = len(variables.keys() - found)
                if not missing[attribute]:
                    root.restore(str(files.prefix)).expect_partial()
                    return
        except (TypeError, ValueError, tf.errors.OpError) as error:
            msg = f"TensorFlow cannot restore {files.prefix}: {first_line(error)}"
            raise ConversionError(msg) from error
    listed = ", ".join(f"{name} lacks {count}" for name, count in missing.items())
    msg = f"{files.prefix} is no checkpoint of this model: of {len(variables)} variables, {listed}"
    raise ConversionError(msg)


def _roots(tf: Any, files: CheckpointFiles, model: Any) -> dict[str, Any]:
    """Return a checkpoint object for each root attribute that may be the model."""
    keys = [name for name, _ in tf.train.list_variables(str(files.prefix))]
    names = sorted({key.partition("/")[0] for key in keys if "/" in key} - {"save_counter"})
    roots = {name: tf.train.Checkpoint(**{name: model}) for name in names if name.isidentifier()}
    return {**roots, "the root": tf.train.Checkpoint(root=model)}


def _variables(model: Any) -> list[Any]:
    """Return the variables of a Keras model, without those of its optimizer, or of a module."""
    found = getattr(model, "weights", None)
    return list(model.variables if found is None else found)

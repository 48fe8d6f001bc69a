"""TensorFlow: graphs and checkpoints of TensorFlow 1, SavedModels and checkpoints of TensorFlow 2.

| model | recognized by | `save` writes |
|---|---|---|
| frozen pb | a path that ends in `.pb`, or `x` where `x.pb` exists | `path.pb` |
| `tf.Graph`, `GraphDef` | its class | `path.pb` |
| TF1 checkpoint | folder, or prefix, with `.meta` and `.index` files | `path.pb` |
| TF1, TF2 SavedModel | folder with `saved_model.pb`, or that file | SavedModel folder |
| slim checkpoint | file or prefix, and `name=` | `path.pb` |
| TF2 checkpoint | folder, or prefix, with an `.index` file, and `model=` | SavedModel folder |

`tf.compat.v1.import_graph_def` reads a saved `.pb`; `tf.saved_model.load` a saved folder.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ...errors import ConversionError, WeightsError
from .checkpoint import CheckpointFiles, find_checkpoint
from .graph import CheckpointModel, GraphModel
from .model import TensorFlowModel
from .module import ModuleModel
from .saved_model import SavedModelModel, is_saved_model
from .slim import NETWORKS, slim_graph
from .wire import read_file

__all__ = [
    "CheckpointModel",
    "GraphModel",
    "ModuleModel",
    "SavedModelModel",
    "TensorFlowModel",
    "recognize",
]


def recognize(source: Any, **options: Any) -> TensorFlowModel | None:
    """Return the model of an object or path of TensorFlow.

    Args:
        source: An object, or a path.
        options: `input_names`, `output_names` for graphs and checkpoints of TensorFlow 1;
            `signature` for SavedModels; `model` for a checkpoint of TensorFlow 2: the Keras model
            or `tf.Module` whose variables it contains; `name` for a checkpoint of TF-Slim: the name
            of its network, such as `resnet_v1_50`.

    Raises:
        ConversionError: A checkpoint of TensorFlow 2 needs `model=`, or is of another model.
        WeightsError: A file is malformed, or a folder has several checkpoints.
        TypeError: The model has no such option.
    """
    if isinstance(source, Path):
        return _at_path(source, **options)
    kinds = {kind.__name__ for kind in type(source).__mro__ if _is_tensorflow(kind)}
    if "GraphDef" in kinds:
        return GraphModel(source.SerializeToString(), form="GraphDef", what="GraphDef", **options)
    if "Graph" in kinds:
        data = source.as_graph_def().SerializeToString()
        return GraphModel(data, form="Graph", what="Graph", raw=source, **options)
    if "Module" in kinds:
        return ModuleModel(source, **options)
    return None


def _is_tensorflow(kind: type) -> bool:
    return f"{kind.__module__}.".startswith("tensorflow.")


def _at_path(path: Path, name: str | None = None, **options: Any) -> TensorFlowModel | None:
    if name is not None:
        return _slim(path, name, **options)
    if path.name == "saved_model.pb" and path.is_file():
        return SavedModelModel(path.parent, **options)
    if is_saved_model(path):
        return SavedModelModel(path, **options)
    is_named = path.suffix == ".pb" or path.exists()
    frozen = path if is_named else path.with_name(f"{path.name}.pb")
    if frozen.suffix == ".pb" and frozen.is_file():
        return GraphModel(read_file(frozen), form="frozen pb", what=str(frozen), **options)
    files = find_checkpoint(path)
    if files is None and path.suffix == ".ckpt" and path.is_file():
        msg = (
            f"{path} is a checkpoint that has variables, but no network: pass the name of its "
            f"network in TF-Slim as name=: {', '.join(NETWORKS)}"
        )
        raise ConversionError(msg)
    return None if files is None else _checkpoint(files, **options)


def _slim(path: Path, name: str, **options: Any) -> GraphModel:
    files = find_checkpoint(path)
    if files is None and not path.is_file():
        msg = f"{path} is no checkpoint: expected a file, or the prefix of an .index file"
        raise WeightsError(msg)
    prefix = path if files is None else files.prefix
    data = slim_graph(prefix, name)
    return GraphModel(data, form="slim checkpoint", what=str(prefix), **options)


def _checkpoint(files: CheckpointFiles, model: Any = None, **options: Any) -> TensorFlowModel:
    if files.has_graph and model is None:
        return CheckpointModel(files, **options)
    if model is None:
        msg = (
            f"{files.prefix} is a checkpoint of TensorFlow 2, which has variables, but no network: "
            "pass the Keras model or tf.Module that it is of, as model=..."
        )
        raise ConversionError(msg)
    from .restored import restored_model

    return restored_model(files, model, **options)

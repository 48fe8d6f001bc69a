"""Saved models: a folder with the graph and `model_info.json` (input, head and labels).

`model_info.json` has the fields of Focoos' ModelInfo. Its field `config` contains our own: the
class, the input, the head as its class name and fields, and the network. If the graph was built
from a checkpoint, its arrays are there, too, as `model.safetensors`, which training needs, and as
`model_final.pth`, which Focoos and other programs read.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from datetime import datetime, timezone
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import numpy as np

from . import heads
from .enums import Task
from .errors import FuriosaModelsError, WeightsError
from .networks import NETWORKS, describe, read_weights
from .networks.weights import Checkpoint
from .networks.writers import to_pytorch, to_safetensors
from .ops.checks import check_unit
from .output import new_folder
from .runtime.source import is_tflite
from .spec import Head, ImageInput, ModelSpec, NetworkSpec

__all__ = [
    "CHECKPOINT",
    "FILE_FACTS",
    "INFO",
    "STATE",
    "Description",
    "Saved",
    "SavedParts",
    "is_saved",
    "read_info",
    "read_saved",
    "write_saved",
]

INFO = "model_info.json"
CHECKPOINT, STATE = "model.safetensors", "model_final.pth"
FILE_FACTS = ("exported", "graph", "network", "network_graph")
"""Keys of the configuration that are facts about the file beside it, not about the model."""

_GRAPHS = {"onnx": "model.onnx", "tflite": "model.tflite"}
_MAX_NUMBER = 1 << 31
_UNFIT = (ArithmeticError, FuriosaModelsError, LookupError, OSError, TypeError, ValueError)
"""Errors of builders with arguments that they do not take, and of files that cannot be read."""

_MALFORMED = (OSError, KeyError, TypeError, ValueError, AttributeError, RecursionError)
"""Errors of reading JSON, and of using what is not as it should be."""

_Parsed = TypeVar("_Parsed", Head, ImageInput)


@dataclass(frozen=True)
class SavedParts:
    """What a saved model consists of.

    Attributes:
        graph: The network, as ONNX or TensorFlow Lite.
        spec: Specification of the model.
        labels: Class names.
        facts: Further fields of `model_info.json`.
        checkpoint: The checkpoint that the graph was built with, if there is one.
    """

    graph: bytes
    spec: ModelSpec
    labels: tuple[str, ...]
    facts: Mapping[str, Any]
    checkpoint: Checkpoint | None = None

    def info(self, weights_uri: str | None) -> dict[str, Any]:
        """Return the fields of `model_info.json` for a file with the weights."""
        config = {
            **self.facts.get("config", {}),
            "num_classes": len(self.labels),
            "input": asdict(self.spec.input),
            "head": _head_to_json(self.spec.head),
        }
        if self.checkpoint is not None:
            network = self.checkpoint.network
            config["network"] = {"name": network.name, "params": dict(network.params)}
        return {
            **self.facts,
            "classes": list(self.labels),
            "im_size": list(self.spec.input.size),
            "config": config,
            "weights_uri": weights_uri,
            "updated_at": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        }

    def files(self) -> dict[str, bytes]:
        """Return the contents of the files by name."""
        name = _GRAPHS["tflite" if is_tflite(self.graph) else "onnx"]
        files = {name: self.graph}
        if self.checkpoint is not None:
            files[CHECKPOINT] = to_safetensors(self.checkpoint.arrays)
            files[STATE] = to_pytorch(self.checkpoint.arrays)
        files[INFO] = (json.dumps(self.info(name), indent=4) + "\n").encode()
        return files


@dataclass(frozen=True)
class Description:
    """What `model_info.json` says about a model of this package.

    Attributes:
        class_name: Class of the saved model.
        names: Class names.
        input: Input specification.
        head: Head.
        info: All fields.
    """

    class_name: str
    names: tuple[str, ...]
    input: ImageInput
    head: Head
    info: Mapping[str, Any]

    @classmethod
    def of(cls, info: Any, source: object) -> Description:
        """Return the description in the contents of a `model_info.json`.

        Args:
            info: The contents.
            source: Where they are from, for messages.

        Raises:
            WeightsError: They do not describe a model of this package, or are inconsistent.
        """
        try:
            config = info["config"]
            if "head" not in config:
                msg = (
                    f"{source} does not describe a saved model of this package, as its config "
                    "has no head: ModelManager.get(folder) opens models of Focoos"
                )
                raise WeightsError(msg)
            values: dict[str, Any] = {
                k: tuple(v) if isinstance(v, list) else v for k, v in config["input"].items()
            }
            found = cls(
                str(config["class"]),
                tuple(map(str, info["classes"])),
                _checked(ImageInput(**values)),
                _checked(_head_from_json(config["head"])),
                info,
            )
        except _MALFORMED as error:
            raise _does_not_describe(source, error) from error
        task = info.get("task")
        if task in [each.value for each in Task] and found.head.task.task not in (None, task):
            msg = (
                f"{source} has the task {task!r}, but its head, {type(found.head).__name__}, is "
                f"for {found.head.task.task.value!r}"
            )
            raise WeightsError(msg)
        return found


@dataclass(frozen=True)
class Saved:
    """Contents of a saved model's folder.

    Attributes:
        graph: File of the graph.
        description: What `model_info.json` says.
        network: The network that the graph was built by, if its checkpoint is there.
    """

    graph: Path
    description: Description
    network: NetworkSpec | None = None

    def checkpoint(self) -> Checkpoint:
        """Return the checkpoint that the graph was built with.

        Raises:
            WeightsError: It is not there or cannot be read, or there is no such network.
        """
        if self.network is None:
            msg = f"{self.graph.parent} has no {CHECKPOINT}"
            raise WeightsError(msg)
        path, network = self.graph.parent / CHECKPOINT, self.network
        try:
            describe(network.name, **network.params)
            data = {CHECKPOINT: path.read_bytes()}
        except _UNFIT as error:
            msg = (
                f"{self.graph.parent / INFO} does not describe the network of {CHECKPOINT}: "
                f"{type(error).__name__}: {error}"
            )
            raise WeightsError(msg) from error
        return Checkpoint(network, read_weights("safetensors", data))


def is_saved(path: str | os.PathLike[str]) -> bool:
    """Return whether a path is the folder of a saved model."""
    return (Path(path) / INFO).is_file()


def write_saved(folder: str | os.PathLike[str], parts: SavedParts) -> Path:
    """Write a model to a new folder; on failure, write nothing.

    Raises:
        FuriosaModelsError: The folder exists and is not empty, or cannot be written.
    """
    files = parts.files()
    with new_folder(folder) as partial:
        for name, data in files.items():
            (partial / name).write_bytes(data)
    return Path(folder)


def read_saved(folder: str | os.PathLike[str]) -> Saved:
    """Read a saved model.

    Raises:
        WeightsError: `model_info.json` cannot be read, is foreign or inconsistent, or the graph is
            missing.
    """
    path = Path(folder) / INFO
    info = read_info(folder)
    try:
        graph = Path(folder) / str(info["weights_uri"])
        network = _network_from_json(info["config"], Path(folder))
        inside = graph.resolve().parent == Path(folder).resolve() and graph.is_file()
    except _MALFORMED as error:
        raise _does_not_describe(path, error) from error
    saved = Saved(graph, Description.of(info, path), network)
    if not inside:
        msg = f"{path} names the weights {info['weights_uri']!r}, which are not in its folder"
        raise WeightsError(msg)
    return saved


def read_info(folder: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the contents of the `model_info.json` of a folder.

    Raises:
        WeightsError: It cannot be read.
    """
    path = Path(folder) / INFO
    try:
        info = json.loads(path.read_text(encoding="utf-8"))
        return {**info}
    except _MALFORMED as error:
        raise _does_not_describe(path, error) from error


def _does_not_describe(source: object, error: Exception) -> WeightsError:
    reason = f"{type(error).__name__}: {error}"
    return WeightsError(f"{source} does not describe a saved model: {reason}")


def _network_from_json(config: Mapping[str, Any], folder: Path) -> NetworkSpec | None:
    """Return the network whose checkpoint is in the folder."""
    found = config.get("network")
    if found is None or not (folder / CHECKPOINT).is_file():
        return None
    params = {k: tuple(v) if isinstance(v, list) else v for k, v in found["params"].items()}
    if found["name"] not in NETWORKS:
        msg = f"unknown network {found['name']!r}: expected one of {', '.join(NETWORKS)}"
        raise ValueError(msg)
    return NetworkSpec(str(found["name"]), params)


def _checked(made: _Parsed) -> _Parsed:
    """Check the types and ranges of an object's fields that came from JSON.

    Raises:
        TypeError: A field does not have its declared type.
        ValueError: A threshold is not between 0 and 1, or a limit is negative.
    """
    hints = get_type_hints(type(made))
    for name in (field.name for field in fields(made)):  # type: ignore[arg-type]
        value = getattr(made, name)
        if not _fits(value, hints[name]):
            msg = f"{name} has the wrong type: {str(value)[:60]!r}"
            raise TypeError(msg)
        if name.endswith("_threshold"):
            check_unit(name, value)
        if name.startswith("max_") and value is not None and value < 0:
            msg = f"{name} must be at least 0, got {value}"
            raise ValueError(msg)
    return made


def _fits(value: object, hint: Any) -> bool:
    """Return whether a value has a type that heads and inputs use; accept all other types."""
    parts = get_args(hint)
    if get_origin(hint) in (Union, UnionType):
        return any(_fits(value, part) for part in parts)
    if get_origin(hint) is Literal:
        return isinstance(value, str) and value in parts
    if get_origin(hint) is tuple:
        if not isinstance(value, tuple):
            return False
        each = parts[:1] * len(value) if parts[-1] is ... else parts
        return len(each) == len(value) and all(map(_fits, value, each))
    if hint in (int, float):
        kinds = (int,) if hint is int else (int, float)
        return isinstance(value, kinds) and not isinstance(value, bool) and abs(value) < _MAX_NUMBER
    return hint not in (bool, str, NoneType) or isinstance(value, hint)


def _head_to_json(head: Head) -> dict[str, Any]:
    if type(head).__name__ not in heads.__all__:
        msg = f"the user-defined head {type(head).__name__} cannot be saved, because it is code"
        raise FuriosaModelsError(msg)
    values = {field.name: getattr(head, field.name) for field in fields(head)}  # type: ignore[arg-type]
    plain = {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in values.items()}
    return {"type": type(head).__name__, **plain}


def _head_from_json(values: Mapping[str, Any]) -> Head:
    options = {
        k: tuple(v) if isinstance(v, list) and k != "anchors" else v for k, v in values.items()
    }
    name = options.pop("type")
    if name not in heads.__all__:
        msg = f"unknown head {name!r}: expected one of {', '.join(heads.__all__)}"
        raise ValueError(msg)
    made: Head = getattr(heads, name)(**options)
    return made

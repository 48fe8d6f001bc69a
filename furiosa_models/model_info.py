"""What is known about a model, with the names of Focoos: the contents of `model_info.json`."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields, is_dataclass
from enum import Enum
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from .enums import ModelFamily, ModelStatus, Task
from .errors import WeightsError
from .focoos import LatencyMetrics
from .output import replace_file
from .training.args import TrainerArgs

__all__ = ["DictClass", "ModelInfo", "TrainingInfo"]

logger = logging.getLogger(__name__)

_REQUIRED = ("name", "model_family", "classes", "im_size", "task", "config")

Made = TypeVar("Made")


class DictClass:
    """Base of dataclasses that can also be read as dictionaries, and by index as tuples."""

    def keys(self) -> list[str]:
        """Return the names of the fields."""
        return [each.name for each in fields(self)]  # type: ignore[arg-type]

    def values(self) -> list[Any]:
        """Return the values of the fields."""
        return [getattr(self, name) for name in self.keys()]

    def items(self) -> list[tuple[str, Any]]:
        """Return names and values of the fields."""
        return list(zip(self.keys(), self.values(), strict=True))

    def get(self, name: str, default: Any = None) -> Any:
        """Return the value of a field, or the default for an unknown one."""
        return getattr(self, name) if name in self.keys() else default

    def to_tuple(self) -> tuple[Any, ...]:
        """Return the values that are not None."""
        return tuple(value for value in self.values() if value is not None)

    def __getitem__(self, name: str | int | slice) -> Any:
        if not isinstance(name, str):
            return self.to_tuple()[name]
        if name not in self.keys():
            raise KeyError(name)
        return getattr(self, name)

    def __setitem__(self, name: str, value: Any) -> None:
        if name not in self.keys():
            raise KeyError(name)
        setattr(self, name, value)

    def __contains__(self, name: object) -> bool:
        return name in self.keys()

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def __len__(self) -> int:
        return len(self.keys())


@dataclass
class TrainingInfo(DictClass):
    """A training run on a hub.

    Attributes:
        algorithm_name: Name of the algorithm.
        instance_device: Device that it runs on.
        instance_type: Type of the machine.
        volume_size: Size of its disk in gigabytes.
        main_status: State of the run.
        failure_reason: Why it failed.
        status_transitions: Past states, each with `status`, `timestamp` and `detail`.
        start_time: When it began, in ISO format.
        end_time: When it ended, in ISO format.
        artifact_location: Where its files are.
    """

    algorithm_name: str = ""
    instance_device: str | None = None
    instance_type: str | None = None
    volume_size: int | None = None
    main_status: str | None = None
    failure_reason: str | None = None
    status_transitions: list[dict[str, Any]] | None = None
    start_time: str | None = None
    end_time: str | None = None
    artifact_location: str | None = None


@dataclass
class ModelInfo(DictClass):
    """Description of a model: `ModelManager.get(name, model_info=...)` makes a model of it.

    Attributes:
        name: Name of the model.
        model_family: Family of its network: a `ModelFamily`, or the name of a family of the zoo.
        classes: Class names by class id.
        im_size: Height and width of the input; one number for a square.
        task: Its task.
        config: Configuration of its network. Saved models of this package have `class`, `input`
            and `head` here; for the keys of a family of Focoos see its documentation.
        ref: Name of the model on the hub of Focoos.
        focoos_model: Model that this one was trained from.
        status: State of the model.
        description: One line about it.
        train_args: Arguments that it was trained with.
        weights_uri: File of its weights: a URL, or a path, relative ones in the folder of
            `model_info.json` or else in the current folder.
        val_dataset: Data that it was evaluated on.
        val_metrics: Measured accuracy.
        focoos_version: Version of Focoos that wrote the description.
        latency: Measured latency.
        training_info: Training run on a hub.
        updated_at: When it was written, in ISO format.
    """

    name: str
    model_family: ModelFamily | str
    classes: list[str]
    im_size: int | tuple[int, int]
    task: Task
    config: dict[str, Any]
    ref: str | None = None
    focoos_model: str | None = None
    status: ModelStatus | None = None
    description: str | None = None
    train_args: TrainerArgs | None = None
    weights_uri: str | None = None
    val_dataset: str | None = None
    val_metrics: dict[str, Any] | None = None
    focoos_version: str | None = None
    latency: list[LatencyMetrics] | None = None
    training_info: TrainingInfo | None = None
    updated_at: str | None = None

    folder: ClassVar[Path | None] = None
    """Folder of the file that it was read from, where its weights are."""

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the input."""
        return (self.im_size, self.im_size) if isinstance(self.im_size, int) else self.im_size

    @classmethod
    def from_json(cls, data: str | os.PathLike[str] | Mapping[str, Any]) -> ModelInfo:
        """Return the description in a `model_info.json`, or in its contents.

        Fields that are unknown are ignored, so that descriptions of newer versions can be read.

        Raises:
            WeightsError: The file cannot be read, or a field is missing or has a wrong value.
        """
        where = "the description of a model" if isinstance(data, Mapping) else os.fspath(data)
        try:
            if isinstance(data, Mapping):
                return _parsed(data)
            made = _parsed(_read(Path(data)))
            vars(made)["folder"] = Path(data).parent
            return made
        except (OSError, TypeError, ValueError, RecursionError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else error
            msg = f"{where} is not a valid model_info.json: {reason}"
            raise WeightsError(msg) from error

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as values of JSON."""
        found = {name: _plain(value) for name, value in self.items()}
        if self.train_args is not None:
            found["train_args"] = self.train_args.to_dict()
        return found

    def dump_json(self, path: str | os.PathLike[str]) -> None:
        """Write the description to a file, which may exist already.

        Raises:
            FuriosaModelsError: The file cannot be written.
        """
        text = json.dumps(self.to_dict(), indent=4, ensure_ascii=False)
        replace_file(Path(path), text.encode())

    def pprint(self) -> None:
        """Log the most important fields."""
        height, width = self.size
        rows = {
            "Name": self.name,
            "Family": getattr(self.model_family, "value", self.model_family),
            "Task": self.task.value,
            "Classes": len(self.classes),
            "Input": f"{height} x {width}",
            "Weights": self.weights_uri,
            "Accuracy": self.val_metrics,
        }
        for name, value in rows.items():
            logger.info("%-8s %s", name, value)


def _read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def _parsed(values: Any) -> ModelInfo:
    """Return a description from the contents of its file.

    Raises:
        TypeError: A value has a wrong type.
        ValueError: A field is missing, or has a wrong value.
    """
    if not isinstance(values, Mapping):
        msg = f"expected the fields of a model, got {type(values).__name__}"
        raise TypeError(msg)
    if missing := [name for name in _REQUIRED if name not in values]:
        msg = f"{', '.join(missing)} is missing; required are {', '.join(_REQUIRED)}"
        raise ValueError(msg)
    known = {each.name: values[each.name] for each in fields(ModelInfo) if each.name in values}
    classes, config = known["classes"], known["config"]
    if isinstance(classes, str) or not all(isinstance(name, str) for name in classes):
        msg = f"classes must be a list of names, got {str(classes)[:60]!r}"
        raise TypeError(msg)
    if not isinstance(config, Mapping):
        msg = f"config must be a dictionary, got {type(config).__name__}"
        raise TypeError(msg)
    known |= {
        "name": str(known["name"]),
        "model_family": _family(known["model_family"]),
        "classes": list(classes),
        "im_size": _size(known["im_size"]),
        "task": _member(Task, "task", known["task"]),
        "config": dict(config),
        "status": known.get("status") and _member(ModelStatus, "status", known["status"]),
        "train_args": _nested(known.get("train_args"), TrainerArgs, "train_args"),
        "training_info": _nested(known.get("training_info"), TrainingInfo, "training_info"),
        "latency": _latencies(known.get("latency")),
    }
    return ModelInfo(**known)


def _family(value: Any) -> ModelFamily | str:
    known = [each.value for each in ModelFamily]
    return ModelFamily(value) if value in known else str(value)


def _member(kind: type[Any], name: str, value: Any) -> Any:
    try:
        return kind(value)
    except ValueError:
        choices = ", ".join(repr(each.value) for each in kind)
        msg = f"{name} must be one of {choices}, got {value!r}"
        raise ValueError(msg) from None


def _size(value: Any) -> int | tuple[int, int]:
    if isinstance(value, str) and value.isdecimal():
        value = int(value)
    numbers = list(value) if isinstance(value, (list, tuple)) else [value]
    is_valid = all(type(n) is int and n > 0 for n in numbers)
    if not is_valid or len(numbers) != (2 if isinstance(value, (list, tuple)) else 1):
        msg = f"im_size must be a number of pixels, or height and width, got {value!r}"
        raise ValueError(msg)
    return numbers[0] if len(numbers) == 1 else (numbers[0], numbers[1])


def _nested(values: Any, kind: type[Made], name: str) -> Made | None:
    """Return a record within the description; ignore its unknown fields."""
    if values is None or isinstance(values, kind):
        return values
    if not isinstance(values, Mapping):
        msg = f"{name} must be a dictionary, got {type(values).__name__}"
        raise TypeError(msg)
    known = {f.name: values[f.name] for f in fields(kind) if f.name in values}  # type: ignore[arg-type]
    try:
        return TrainerArgs.from_dict(known) if kind is TrainerArgs else kind(**known)  # type: ignore[return-value]
    except (TypeError, ValueError) as error:
        msg = f"{name}: {error}"
        raise ValueError(msg) from error


def _latencies(rows: Any) -> list[LatencyMetrics] | None:
    if rows is None:
        return None
    if not isinstance(rows, (list, tuple)):
        msg = f"latency must be a list, got {type(rows).__name__}"
        raise TypeError(msg)
    return [row if isinstance(row, LatencyMetrics) else LatencyMetrics(**row) for row in rows]


def _plain(value: Any) -> Any:
    """Return a value as a value of JSON."""
    if isinstance(value, Enum):
        return value.value
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, Mapping):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    return str(value) if isinstance(value, os.PathLike) else value

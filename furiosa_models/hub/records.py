"""What the hub of Focoos tells about models, data sets and users, under its names."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from ..enums import ModelStatus
from ..errors import HubError, WeightsError
from ..model_info import ModelInfo, TrainingInfo

__all__ = [
    "DatasetPreview",
    "DatasetSpec",
    "HubSyncLocalTraining",
    "Metrics",
    "ModelPreview",
    "Quotas",
    "RemoteModelInfo",
    "User",
    "UserKey",
]

_Made = TypeVar("_Made", bound="_Record")


class _Record:
    """Base of the records: made of JSON, whose unknown fields are ignored."""

    @classmethod
    def from_json(cls: type[_Made], data: str | os.PathLike[str] | Mapping[str, Any]) -> _Made:
        """Return a record from a JSON file, or from its contents.

        Raises:
            HubError: The file cannot be read, a field is missing, or a value has a wrong type.
        """
        return cls.of(_read(data) if isinstance(data, (str, os.PathLike)) else data)

    @classmethod
    def of(cls: type[_Made], values: Any) -> _Made:
        """Return a record from what a hub answered: unlike `from_json`, never from a file.

        Raises:
            HubError: A field is missing, or a value has a wrong type.
        """
        if not isinstance(values, Mapping):
            msg = f"expected the fields of a {cls.__name__}, got {type(values).__name__}"
            raise HubError(msg)
        known = {f.name: values[f.name] for f in fields(cls) if f.name in values}  # type: ignore[arg-type]
        required = [f.name for f in fields(cls) if f.default is f.default_factory is MISSING]  # type: ignore[arg-type]
        if missing := [name for name in required if known.get(name) is None]:
            msg = f"the {cls.__name__} of a hub has no {', '.join(missing)}"
            raise HubError(msg)
        for name, kind in cls._nested().items():
            if known.get(name) is not None:
                known[name] = kind.of(known[name])
        hints = get_type_hints(cls)
        if wrong := [name for name, value in known.items() if not _fits(value, hints[name])]:
            msg = (
                f"the {cls.__name__} of a hub has a wrong {wrong[0]}: {str(known[wrong[0]])[:60]!r}"
            )
            raise HubError(msg)
        return cls(**known)

    @classmethod
    def _nested(cls) -> Mapping[str, type[_Record]]:
        """Return the types of the fields that are records."""
        return {}

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as values of JSON."""
        return asdict(self)  # type: ignore[call-overload, no-any-return]


@dataclass
class DatasetSpec(_Record):
    """Size of a data set.

    Attributes:
        train_length: Number of training photos.
        valid_length: Number of validation photos.
        size_mb: Size in megabytes.
    """

    train_length: int = 0
    valid_length: int = 0
    size_mb: float = 0.0


@dataclass
class DatasetPreview(_Record):
    """A data set on the hub.

    Attributes:
        ref: Its reference.
        name: Its name.
        task: Its task, a value of `Task`.
        layout: Its layout, a value of `DatasetLayout`.
        description: What it is.
        spec: Its size.
    """

    ref: str
    name: str
    task: str
    layout: str
    description: str | None = None
    spec: DatasetSpec | None = None

    @classmethod
    def _nested(cls) -> Mapping[str, type[_Record]]:
        return {"spec": DatasetSpec}


@dataclass
class ModelPreview(_Record):
    """A model on the hub, in short.

    Attributes:
        ref: Its reference: `hub://REF`.
        name: Its name.
        task: Its task, a value of `Task`.
        description: What it is.
        status: Its state, a value of `ModelStatus`.
        focoos_model: Model that it was trained from.
    """

    ref: str
    name: str
    task: str
    description: str | None = None
    status: str | None = None
    focoos_model: str | None = None


@dataclass
class RemoteModelInfo(_Record):
    """A model on the hub.

    Attributes:
        ref: Its reference: `hub://REF`.
        name: Its name.
        is_managed: Whether it is one of Focoos.
        owner_ref: Reference of its owner.
        focoos_model: Model that it was trained from.
        task: Its task, a value of `Task`.
        created_at: When it was made, in ISO format.
        updated_at: When it was changed last.
        status: Its state, a value of `ModelStatus`.
        description: What it is.
        config: Configuration of its network.
        model_family: Family of its network.
        metrics: Figures of its training run.
        classes: Class names.
        im_size: Height and width of its input; one number for a square.
        training_info: Its training run.
        dataset: Data set that it was trained on.
        hyperparameters: Arguments of its training run.
        focoos_version: Version of Focoos that trained it.
    """

    ref: str
    name: str
    is_managed: bool
    owner_ref: str
    focoos_model: str
    task: str
    created_at: str
    updated_at: str
    status: str
    description: str | None = None
    config: dict[str, Any] | None = None
    model_family: str | None = None
    metrics: dict[str, Any] | None = None
    classes: list[str] | None = None
    im_size: Any = None
    training_info: dict[str, Any] | None = None
    dataset: Any = None
    hyperparameters: dict[str, Any] | None = None
    focoos_version: str | None = None

    def to_model_info(self, weights_uri: str) -> ModelInfo:
        """Return the description of the model for `model_info.json`.

        Args:
            weights_uri: Name of the file of its weights.

        Raises:
            HubError: The hub does not tell its family, classes or input size, or tells wrong ones.
        """
        statuses = [each.value for each in ModelStatus]
        values = {
            **asdict(self),
            "config": self.config or {},
            "weights_uri": weights_uri,
            "val_dataset": self._dataset_name(),
            "val_metrics": (self.metrics or {}).get("best_valid_metric"),
            "status": self.status if self.status in statuses else None,
        }
        needed = ("model_family", "classes", "im_size")
        if missing := [name for name in needed if values[name] is None]:
            msg = f"the hub does not tell the {', '.join(missing)} of the model {self.ref}"
            raise HubError(msg)
        try:
            return ModelInfo.from_json(values)
        except WeightsError as error:
            msg = f"the hub describes the model {self.ref} wrongly: {error}"
            raise HubError(msg) from error

    def _dataset_name(self) -> str | None:
        found = self.dataset.get("name") if isinstance(self.dataset, Mapping) else self.dataset
        return None if found is None else str(found)


@dataclass
class Quotas(_Record):
    """What a user has used, and may use.

    Attributes:
        total_inferences: Number of inferences so far.
        max_inferences: Number of inferences allowed.
        used_storage_gb: Storage in use.
        max_storage_gb: Storage allowed.
        active_training_jobs: Number of training jobs that run.
        max_active_training_jobs: Number that may run at once.
        used_mlg4dnxlarge_training_jobs_hours: Hours of training so far.
        max_mlg4dnxlarge_training_jobs_hours: Hours of training allowed.
    """

    total_inferences: int = 0
    max_inferences: int = 0
    used_storage_gb: float = 0
    max_storage_gb: float = 0
    active_training_jobs: int = 0
    max_active_training_jobs: int = 0
    used_mlg4dnxlarge_training_jobs_hours: float = 0
    max_mlg4dnxlarge_training_jobs_hours: float = 0


@dataclass
class UserKey(_Record):
    """The API key of a user, which `repr` hides.

    Attributes:
        key: Its text.
    """

    key: str = field(repr=False)


@dataclass
class User(_Record):
    """The user of an API key.

    Attributes:
        email: Email address.
        created_at: When the account was made, in ISO format.
        updated_at: When it was changed last.
        company: Company.
        api_key: The key.
        quotas: What the user has used, and may use.
    """

    email: str
    created_at: str | None = None
    updated_at: str | None = None
    company: str | None = None
    api_key: UserKey | None = None
    quotas: Quotas | None = None

    @classmethod
    def _nested(cls) -> Mapping[str, type[_Record]]:
        return {"api_key": UserKey, "quotas": Quotas}


@dataclass
class Metrics(_Record):
    """Figures of a training run.

    Attributes:
        infer_metrics: Measured speeds.
        valid_metrics: One entry for each evaluation.
        train_metrics: One entry for each log period: losses, learning rate, seconds.
        iterations: Number of iterations so far.
        best_valid_metric: The best evaluation.
    """

    infer_metrics: list[dict[str, Any]] = field(default_factory=list)
    valid_metrics: list[dict[str, Any]] = field(default_factory=list)
    train_metrics: list[dict[str, Any]] = field(default_factory=list)
    iterations: int | None = None
    best_valid_metric: dict[str, Any] | None = None


@dataclass
class HubSyncLocalTraining:
    """State of a training run on this machine, for the hub.

    Attributes:
        status: State of the run.
        training_info: The run.
        metrics: Its figures.
        iterations: Number of iterations so far.
        focoos_version: Version of Focoos, None for this package.
    """

    status: ModelStatus
    training_info: TrainingInfo | None = None
    metrics: Metrics | None = None
    iterations: int | None = None
    focoos_version: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as values of JSON."""
        return {**asdict(self), "status": ModelStatus(self.status).value}


def _fits(value: object, hint: Any) -> bool:
    """Return whether a value has a type that the records have; numbers are interchangeable."""
    parts = get_args(hint)
    if hint is Any:
        return True
    if get_origin(hint) in (Union, UnionType):
        return any(_fits(value, part) for part in parts)
    if get_origin(hint) is list:
        return isinstance(value, list) and all(_fits(each, parts[0]) for each in value)
    if hint in (int, float):
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    return isinstance(value, get_origin(hint) or hint)


def _read(path: str | os.PathLike[str]) -> Any:
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        msg = f"{os.fspath(path)} is not the JSON of a hub: {error}"
        raise HubError(msg) from error

"""Reports of training runs to the hub of Focoos."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Protocol

from ..enums import ModelStatus
from ..errors import HubError
from ..model_info import ModelInfo, TrainingInfo
from ..output import replace_file
from .base import files_of
from .client import Repeat
from .records import HubSyncLocalTraining, Metrics
from .remote_model import UPLOADED, RemoteModel

__all__ = ["TrainingReport"]

_PLACE = "hub.json"
"""File in the folder of a run with the hub and the reference of its model there."""

_ALGORITHM = "furiosa_models"
_LOSS = "total_loss"
_MAX_REASON = 500


class _Hub(Protocol):
    """The part of a hub that reports need."""

    @property
    def host_url(self) -> str:
        """URL of the hub."""

    def new_model(self, model_info: ModelInfo) -> RemoteModel | None:
        """Create a model."""

    def get_remote_model(self, model_ref: str) -> RemoteModel:
        """Return a model."""


@dataclass
class _Run:
    """A run that has started."""

    model: RemoteModel
    folder: Path
    info: TrainingInfo
    iteration: int = 0
    entries: Sequence[Mapping[str, Any]] = field(default_factory=tuple)


class TrainingReport:
    """Reports a run to a model on the hub; a run that is resumed keeps its model.

    Args:
        hub: The hub.
    """

    def __init__(self, hub: _Hub) -> None:
        self._hub = hub
        self._run: _Run | None = None

    def start(self, folder: Path, info: Mapping[str, Any], *, resume: bool) -> None:
        """Create the model on the hub, or find that of the run; see `Reporter.start`.

        Raises:
            HubError: The hub refuses or fails, or takes no such models; or the run was reported to
                another hub.
        """
        model = self._found(folder) if resume else None
        if model is None:
            model = self._hub.new_model(ModelInfo.from_json(info))
            if model is None:
                msg = f"{info['name']} cannot be reported: the hub takes no models with keypoints"
                raise HubError(msg)
            place = {"host_url": self._hub.host_url, "ref": model.ref}
            replace_file(folder / _PLACE, json.dumps(place, indent=1).encode())
        started = TrainingInfo(algorithm_name=_ALGORITHM, start_time=_now(), status_transitions=[])
        self._run = _Run(model, folder, started)
        self._sync(ModelStatus.TRAINING_STARTING)

    def update(self, iteration: int, entries: Sequence[Mapping[str, Any]]) -> None:
        """Report the progress; see `Reporter.update`.

        Raises:
            HubError: The hub refuses or fails. It is asked only once.
        """
        run = self._started()
        run.iteration, run.entries = iteration, entries
        self._sync(ModelStatus.TRAINING_RUNNING, repeat="never")

    def finish(self, iteration: int) -> None:
        """Upload the files of the run, and report its end; see `Reporter.finish`.

        Raises:
            HubError: The hub refuses or fails.
        """
        run = self._started()
        run.iteration, run.info.end_time = iteration, _now()
        for path in files_of(run.folder):
            if path.suffix in UPLOADED:
                run.model.upload(path)
        self._sync(ModelStatus.TRAINING_COMPLETED)

    def fail(self, error: BaseException) -> None:
        """Report that the run was interrupted, or failed; see `Reporter.fail`.

        Raises:
            HubError: The hub refuses or fails.
        """
        run = self._started()
        run.info.end_time = _now()
        if isinstance(error, KeyboardInterrupt):
            self._sync(ModelStatus.TRAINING_STOPPED, repeat="never")
            return
        run.info.failure_reason = f"{type(error).__name__}: {error}"[:_MAX_REASON]
        self._sync(ModelStatus.TRAINING_ERROR)

    def _found(self, folder: Path) -> RemoteModel | None:
        """Return the model of a run that is continued; None if it was not reported before."""
        path = folder / _PLACE
        if not path.is_file():
            return None
        try:
            place = json.loads(path.read_text(encoding="utf-8"))
            host, ref = str(place["host_url"]), str(place["ref"])
        except (OSError, KeyError, TypeError, ValueError) as error:
            msg = f"{path} does not tell the model of the run on the hub: {error}"
            raise HubError(msg) from error
        if host != self._hub.host_url:
            msg = f"{folder} was reported to {host}, not to {self._hub.host_url}: use that hub"
            raise HubError(msg)
        return self._hub.get_remote_model(ref)

    def _started(self) -> _Run:
        if self._run is None:
            msg = "the run has not started"
            raise HubError(msg)
        return self._run

    def _sync(self, status: ModelStatus, *, repeat: Repeat = "always") -> None:
        run = self._started()
        if run.info.main_status != status.value:
            run.info.main_status = status.value
            transition = {"status": status.value, "timestamp": _now(), "detail": None}
            run.info.status_transitions = [*(run.info.status_transitions or ()), transition]
        state = HubSyncLocalTraining(status, run.info, _metrics(run), run.iteration)
        run.model.sync_local_training_job(state, run.folder, repeat=repeat)


def _metrics(run: _Run) -> Metrics:
    """Return the entries of `metrics.json`, with losses and figures apart."""
    entries = [
        {name: value if math.isfinite(value) else None for name, value in entry.items()}
        for entry in run.entries
    ]
    losses = [entry for entry in entries if _LOSS in entry]
    figures = [entry for entry in entries if _LOSS not in entry]
    best = max(figures, key=_first, default=None)
    return Metrics([], figures, losses, run.iteration, best)


def _first(entry: Mapping[str, Any]) -> float:
    """Return the figure that decides which evaluation is the best."""
    figures = [value for name, value in entry.items() if name != "iteration"]
    return -math.inf if not figures or figures[0] is None else float(figures[0])


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")

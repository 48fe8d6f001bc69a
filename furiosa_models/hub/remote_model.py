"""A model on the hub of Focoos: inference, and its training run."""

from __future__ import annotations

import io
import logging
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from types import NoneType
from typing import Any

import numpy as np
import numpy.typing as npt

from ..enums import ModelStatus
from ..errors import HubError
from ..focoos import FocoosDet, FocoosDetections, InferLatency, as_photo
from ..images.read import read_image
from ..model_info import TrainingInfo
from ..ops.checks import check_unit
from ..tasks.draw import Canvas, class_color
from .base import check_name
from .client import ApiClient, Repeat
from .records import HubSyncLocalTraining, Metrics, RemoteModelInfo
from .upload import upload

__all__ = ["UPLOADED", "RemoteModel"]

logger = logging.getLogger(__name__)

UPLOADED = (".pth", ".pt", ".onnx", ".json", ".txt")
"""Extensions of the files of a run that the hub takes."""

_JPEG_QUALITY = 95
_NOT_FOUND = 404
_EDGES = 4
_INTERVALS = (30, 240)
_ENDED = frozenset(
    {
        ModelStatus.TRAINING_ERROR.value,
        ModelStatus.TRAINING_COMPLETED.value,
        ModelStatus.TRAINING_STOPPED.value,
        ModelStatus.DEPLOYED.value,
        ModelStatus.DEPLOY_ERROR.value,
    }
)


class RemoteModel:
    """A model on the hub.

    Args:
        model_ref: Its reference.
        api_client: Client of the hub.

    Attributes:
        ref: Its reference.
        model_info: What the hub told about it first; `get_info` asks again.

    Raises:
        HubError: The hub has no such model, or fails.
    """

    def __init__(self, model_ref: str, api_client: ApiClient) -> None:
        self.ref = check_name(model_ref, "the reference of a model")
        self._client = api_client
        self.model_info = self.get_info()

    def __repr__(self) -> str:
        return f"RemoteModel({self.ref!r}, {self.model_info.name!r})"

    def get_info(self) -> RemoteModelInfo:
        """Return what the hub tells about the model.

        Raises:
            HubError: The hub fails.
        """
        what = f"read the model {self.ref}"
        return RemoteModelInfo.of(self._client.get(f"models/{self.ref}", what))

    def infer(self, image: Any, threshold: float = 0.5, annotate: bool = False) -> FocoosDetections:
        """Return what the hub finds in a photo.

        Args:
            image: A photo: a file, a URL, bytes, a PIL image, an RGB array, or a PyTorch tensor.
            threshold: Score that detections must exceed.
            annotate: Whether `image` of the result is the photo with the detections drawn on it.

        Raises:
            HubError: The hub fails, or does not answer with detections.
            ImageError: The photo cannot be read.
            ValueError: The threshold is not between 0 and 1.
        """
        check_unit("threshold", threshold)
        photo = read_image(as_photo(image), color="rgb").rgb
        what = f"run the model {self.ref}"
        found = self._client.post(
            f"models/{self.ref}/inference",
            what,
            params={"confidence_threshold": threshold},
            files={"file": ("image.jpg", _as_jpeg(photo), "image/jpeg")},
        )
        try:
            detections = [_detection(row) for row in found["detections"]]
            latency = _latency(found.get("latency"))
        except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
            msg = f"cannot {what}: expected detections, got {str(found)[:80]!r}"
            raise HubError(msg) from error
        picture = _drawn(photo, detections) if annotate else None
        return FocoosDetections(detections, picture, latency)

    def train_info(self) -> TrainingInfo | None:
        """Return the state of the training run; None if there is none.

        Raises:
            HubError: The hub fails.
        """
        found = self._of_training("train/status", {})
        known = {f.name: found[f.name] for f in fields(TrainingInfo) if f.name in found}
        return TrainingInfo(**known) if known else None

    def train_logs(self) -> list[str]:
        """Return the log of the training run; no lines if there is none.

        Raises:
            HubError: The hub fails. Focoos returns no lines then.
        """
        return [str(line) for line in self._of_training("train/logs", [])]

    def metrics(self) -> Metrics:
        """Return the figures of the training run; empty ones if there is none.

        Raises:
            HubError: The hub fails. Focoos returns empty ones then.
        """
        return Metrics.of(self._of_training("metrics", {}))

    def sync_local_training_job(
        self,
        local_training_info: HubSyncLocalTraining,
        dir: str | os.PathLike[str],
        upload_artifacts: Sequence[str] | None = None,
        *,
        repeat: Repeat = "always",
    ) -> None:
        """Report the state of a training run on this machine, and upload its files.

        Args:
            local_training_info: The state.
            dir: Folder of the run.
            upload_artifacts: Names of files to upload; none by default.
            repeat: When a failed report is sent again.

        Raises:
            HubError: The hub fails, or a file is missing or has another extension than the hub
                takes.
        """
        self._client.patch(
            f"models/{self.ref}/sync-local-training",
            f"report to the model {self.ref}",
            local_training_info.to_dict(),
            repeat=repeat,
        )
        for name in upload_artifacts or ():
            self.upload(Path(dir) / getattr(name, "value", name))

    def upload(self, path: Path) -> None:
        """Upload a file of the model.

        Raises:
            HubError: The hub fails, or does not take files of this kind.
        """
        if path.suffix not in UPLOADED:
            msg = f"the hub takes {' '.join(UPLOADED)} files, not {path.name}"
            raise HubError(msg)
        upload(self._client, f"models/{self.ref}", path, f"upload to the model {self.ref}")

    def notebook_monitor_train(
        self, interval: int = 30, plot_metrics: bool = False, max_runtime: int = 36000
    ) -> None:
        """Log the state of the training run until it ends.

        Args:
            interval: Seconds between two questions, 30 to 240.
            plot_metrics: Whether to draw the figures, which is not supported: a `ValueError`.
            max_runtime: Seconds after which to stop watching.

        Raises:
            HubError: The hub fails.
            ValueError: The interval is out of range, or plots are asked for.
        """
        low, high = _INTERVALS
        if not low <= interval <= high:
            msg = f"interval must be {low} to {high} seconds, got {interval}"
            raise ValueError(msg)
        if plot_metrics:
            msg = "plots are not supported: expected plot_metrics=False; metrics() has the figures"
            raise ValueError(msg)
        deadline = time.monotonic() + max_runtime
        while True:
            status = self.get_info().status
            figures = self.metrics()
            newest = (figures.valid_metrics or figures.train_metrics or [{}])[-1]
            logger.info("%s: %s, iteration %s, %s", self.ref, status, figures.iterations, newest)
            if status in _ENDED or time.monotonic() + interval > deadline:
                return
            time.sleep(interval)

    def _of_training(self, path: str, empty: Any) -> Any:
        """Return what the hub tells about the training run; `empty` if there is none."""
        what = f"read the training run of the model {self.ref}"
        try:
            found = self._client.get(f"models/{self.ref}/{path}", what)
        except HubError as error:
            if error.status == _NOT_FOUND:
                return empty
            raise
        if found is not None and not isinstance(found, type(empty)):
            msg = f"cannot {what}: expected a {type(empty).__name__}, got {str(found)[:80]!r}"
            raise HubError(msg)
        return found or empty


def _as_jpeg(photo: npt.NDArray[np.uint8]) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(photo).save(buffer, "JPEG", quality=_JPEG_QUALITY)
    return buffer.getvalue()


def _detection(row: Any) -> FocoosDet:
    """Return a detection that a hub answered.

    Raises:
        OverflowError: An edge of the box is infinite.
        TypeError: A value has a wrong type.
        ValueError: The box has not four edges.
    """
    found = FocoosDet.from_json(dict(row))
    kinds = {"conf": (int, float), "cls_id": int, "label": str, "mask": str}
    for name, kind in kinds.items():
        if not isinstance(value := getattr(found, name), (kind, NoneType)):  # type: ignore[arg-type]
            msg = f"{name} has the wrong type: {value!r}"
            raise TypeError(msg)
    if found.bbox is not None and len(found.bbox) != _EDGES:
        msg = f"expected four edges of a box, got {len(found.bbox)}"
        raise ValueError(msg)
    return found


def _latency(values: Any) -> InferLatency | None:
    if not isinstance(values, Mapping):
        return None
    names = [field.name for field in fields(InferLatency) if values.get(field.name) is not None]
    return InferLatency(**{name: float(values[name]) for name in names})


def _drawn(photo: npt.NDArray[np.uint8], detections: Sequence[FocoosDet]) -> npt.NDArray[np.uint8]:
    """Return a copy of the photo with boxes and labels; labels of classes are lines of text."""
    canvas = Canvas.of(np.ascontiguousarray(photo))
    lines = []
    for each in detections:
        color = class_color(each.cls_id or 0)
        score = "" if each.conf is None else f" {each.conf:.2f}"
        text = each.label or str(each.cls_id)
        if each.bbox is None:
            lines.append((text + score, color))
            continue
        box = [float(edge) for edge in each.bbox]
        canvas.box(box, color)
        canvas.label(box, text, color, end=score)
    canvas.lines(lines)
    return np.asarray(canvas.picture)

"""A user's extension module with a network, task, head, result, subclass and backend."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from PIL import Image

from furiosa_models import (
    Head,
    ImageInput,
    Model,
    ModelSpec,
    NetworkSpec,
    register,
    register_backend,
)
from furiosa_models.heads import YOLOv5Head
from furiosa_models.runtime.backends import Backend, Session, Setup, find_backend
from furiosa_models.tasks.base import Photo, Result, Truth, VisionTask
from furiosa_models.vision import SSDMobileNet, YOLOv5n

LETTERBOX = ImageInput(size=(320, 320), resize="letterbox", std=(255.0, 255.0, 255.0))


@register
class Traffic(YOLOv5n):
    """YOLOv5 nano for three classes of traffic, 320x320."""

    spec = ModelSpec(
        NetworkSpec(
            "yolov5", {"variant": "n", "num_classes": 3, "sigmoid": True, "image_size": 320}
        ),
        LETTERBOX,
        YOLOv5Head(),
        labels=("car", "bus", "bicycle"),
    )
    default_weights = "random"


@dataclass
class Warmth(Result):
    """How warm a photo looks."""

    value: npt.NDArray[np.float32]
    image: Photo | None = field(default=None, compare=False)

    def plot(self, image: Photo | None = None) -> Any:
        return Image.fromarray(self._photo(image))

    def to_dict(self) -> list[dict[str, Any]]:
        return [{"warmth": float(self.value)}]


class WarmthTask(VisionTask[Warmth]):
    """Estimate how warm photos look; the metric is the mean error."""

    name = "warmth_estimation"
    options = ("gain",)

    def read_truth(self, labels: Path, images: Path) -> Truth:
        with labels.open(newline="") as file:
            rows = list(csv.DictReader(file))
        photos = [images / row["file"] for row in rows]
        return Truth(photos, [float(row["warmth"]) for row in rows])

    def measure(self, truth: Truth, results: Iterable[Warmth]) -> dict[str, float]:
        pairs = zip(truth.labels, results, strict=True)
        return {"error": float(np.mean([abs(label - found.value) for label, found in pairs]))}


@dataclass(frozen=True)
class WarmthHead(Head):
    """Multiply the first logit by a gain."""

    task: ClassVar[WarmthTask] = WarmthTask()

    def decode(
        self,
        outputs: Sequence[npt.NDArray[np.float32]],
        contexts: object,
        labels: object,
        platform: object,
        *,
        gain: float = 1.0,
    ) -> list[Warmth]:
        del contexts, labels, platform
        return [Warmth(np.float32(gain) * row[0]) for row in outputs[0]]


@register
class WarmNet(Model[Warmth]):
    """Says how warm a photo looks."""

    spec = ModelSpec(
        NetworkSpec("mobilenet_v2"),
        ImageInput(size=(224, 224), std=(255.0, 255.0, 255.0)),
        WarmthHead(),
    )
    default_weights = "random"


@register
class Negative(SSDMobileNet):
    """Detects the best object in the inverted photo."""

    default_weights = "random"

    def preprocess(self, images: Any, with_scaling: bool = False, **options: Any) -> Any:
        tensor, contexts = super().preprocess(images, with_scaling, **options)
        return 255 - tensor, contexts

    def postprocess(self, model_outputs: Any, contexts: Any, **options: Any) -> Any:  # type: ignore[override]
        return [found[:1] for found in super().postprocess(model_outputs, contexts, **options)]


class CountingSession(Session):
    """Runs on ONNX Runtime, and counts its runs."""

    def __init__(self, backend: Counting, inner: Session) -> None:
        super().__init__(backend, inner.model)
        self._inner = inner
        self._counting = backend

    def execute(self, tensors: Any, output_names: Any) -> Any:
        self._counting.runs += 1
        return self._inner.execute(tensors, output_names)


@register_backend
class Counting(Backend):
    """A backend that counts its runs."""

    name = "counting"
    title = "Counting"
    runs = 0

    def load(self, program: bytes | str, setup: Setup) -> Session:
        inner = find_backend("onnxruntime")
        assert inner is not None
        return CountingSession(self, inner.load(program, setup))

"""What a model does with photos, task by task."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any, ClassVar, Generic, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from ..artifacts.progress import progress_bar
from ..errors import ShapeError
from ..model import Model
from ..runtime.sync import Runner
from ..types import ModelTaskType
from .heads import ClassificationHead, SSDHead
from .images import (
    Color,
    DecodedImage,
    ImageSource,
    expand_sources,
    is_single,
    read_image,
    remember,
)
from .labels import load_labels
from .preprocess import ImageContext, ImageInput, as_context, normalize, prepare
from .results import Classification, Detections

__all__ = ["ImageClassificationModel", "ImageModel", "ObjectDetectionModel"]

Photos: TypeAlias = "ImageSource | Iterable[ImageSource]"
Outputs: TypeAlias = "npt.NDArray[Any] | Sequence[npt.NDArray[Any]]"
Result = TypeVar("Result", Detections, Classification)


class ImageModel(Model, Generic[Result]):
    """A model that takes photos."""

    @abstractmethod
    def preprocess(self, *args: Any, **kwargs: Any) -> tuple[npt.NDArray[Any], Any]:
        """Photos as the network's input, and their contexts."""

    @abstractmethod
    def postprocess(self, *args: Any, **kwargs: Any) -> Any:
        """Results from the network's outputs and the contexts."""

    def predict(
        self,
        source: Photos,
        *,
        score_threshold: float | None = None,
        iou_threshold: float | None = None,
        top_k: int = 5,
        batch_size: int = 1,
        stream: bool = False,
        device: str | None = None,
        color: Color = "bgr",
    ) -> Any:
        """Results of photos: fetch, decode, preprocess, run, postprocess.

        Args:
            source: A photo in any form of `furiosa_models.vision.images.read_image`, or a
                sequence, folder or glob of them.
            score_threshold: Least score of a detection, between 0 and 1; the model's by default.
            iou_threshold: Largest overlap of two detections of one class; the model's by default.
            top_k: Number of classes of a classification.
            batch_size: Photos run at once.
            stream: Give a generator that works as it is consumed, instead of a list.
            device: `"cpu"`, an NPU device string, or None for what is there.
            color: Channel order of numpy arrays: `"bgr"`, OpenCV's, or `"rgb"`.

        Returns:
            One result for one photo; a list (a generator with `stream=True`) for many.

        Raises:
            ImageError: A photo cannot be read.
            ArtifactError: The weights cannot be had.
            BackendUnavailable: The device that was asked for is not there.
            ValueError: A threshold, `top_k` or `batch_size` is out of range.
        """
        if batch_size < 1:
            msg = f"batch_size must be at least 1, got {batch_size}"
            raise ValueError(msg)
        options = {"score_threshold": score_threshold, "iou_threshold": iou_threshold}
        results = self._results(source, batch_size, device, color, {**options, "top_k": top_k})
        if stream:
            return results
        return next(results) if is_single(source) else self._collect(source, results)

    def _collect(self, source: Photos, results: Iterator[Result]) -> list[Result]:
        total = (
            len(source) if isinstance(source, Sequence) and not isinstance(source, str) else None
        )
        with progress_bar(type(self).__name__, total, unit="photo") as bar:
            found = []
            for result in results:
                found.append(result)
                bar.update()
            return found

    def _results(
        self,
        source: Photos,
        batch_size: int,
        device: str | None,
        color: Color,
        options: Mapping[str, Any],
    ) -> Iterator[Result]:
        photos = expand_sources(source)
        while batch := list(islice(photos, batch_size)):
            images = [read_image(photo, color=color) for photo in batch]
            tensor, contexts = self._tensor(images)
            outputs = _run(self._runner(device), tensor)
            found = self._decode(outputs, contexts, options)
            for photo, image, result in zip(batch, images, found, strict=True):
                result.image = remember(photo, image)
                yield result

    def _preprocess(
        self, photos: Photos, color: Color, *, with_scaling: bool
    ) -> tuple[npt.NDArray[Any], list[ImageContext]]:
        images = [read_image(photo, color=color) for photo in expand_sources(photos)]
        if not images:
            msg = "expected at least one photo, got none"
            raise ShapeError(msg)
        tensor, contexts = self._tensor(images)
        if with_scaling:
            return normalize(tensor, self._input_spec(), self.platform), contexts
        return tensor, contexts

    def _tensor(
        self, images: Sequence[DecodedImage]
    ) -> tuple[npt.NDArray[np.uint8], list[ImageContext]]:
        spec: ImageInput = self._geometry()
        tensor = np.empty((len(images), 3, *spec.size), np.uint8)
        contexts = [
            prepare(image.pixels, spec, bgr=image.bgr, platform=self.platform, out=out)[1]
            for image, out in zip(images, tensor, strict=True)
        ]
        return tensor, contexts

    def _names(self) -> tuple[str, ...]:
        artifact = self._resolved.artifact if self._resolved else None
        return load_labels((artifact and artifact.labels) or self.labels)

    def _head_overrides(self) -> dict[str, Any]:
        """How the weights in use differ from the model's head; nothing before their first use."""
        artifact = self._resolved.artifact if self._resolved else None
        return artifact.head if artifact else {}

    @abstractmethod
    def _decode(
        self,
        outputs: Sequence[npt.NDArray[Any]],
        contexts: Sequence[ImageContext],
        options: Mapping[str, Any],
    ) -> list[Result]:
        """Results of a batch; takes from `options` what the task knows."""


class ObjectDetectionModel(ImageModel[Detections]):
    """A model that finds objects."""

    task_type = ModelTaskType.OBJECT_DETECTION

    head: ClassVar[SSDHead]

    def preprocess(
        self, images: Photos, with_scaling: bool = False, *, color: Color = "bgr"
    ) -> tuple[npt.NDArray[Any], list[ImageContext]]:
        """Photos as the network's input.

        Args:
            images: A photo, or a sequence, folder or glob of them.
            with_scaling: Give the scaled float32 that `origin` takes, instead of uint8.
            color: Channel order of numpy arrays.

        Returns:
            A contiguous (n, 3, h, w) tensor, uint8 or float32, and what `postprocess` has to know
            of each photo.

        Raises:
            ImageError: A photo cannot be read.
        """
        return self._preprocess(images, color, with_scaling=with_scaling)

    def postprocess(
        self,
        model_outputs: Outputs,
        contexts: Sequence[ImageContext | Mapping[str, Any]],
        score_threshold: float | None = None,
        iou_threshold: float | None = None,
        **aliases: float | None,
    ) -> list[Detections]:
        """Detections of each photo.

        Args:
            model_outputs: What the runner gave.
            contexts: What `preprocess` gave.
            score_threshold: Least score, between 0 and 1; the model's by default.
            iou_threshold: Largest overlap of two detections of one class.
            aliases: The names of 0.10: `confidence_threshold`, `conf_thres`, `iou_thres`.

        Raises:
            ShapeError: Outputs or contexts of the wrong count, shape or dtype.
            ValueError: A threshold is not between 0 and 1.
            TypeError: An unknown argument, or one given under two names.
        """
        given = {"score_threshold": score_threshold, "iou_threshold": iou_threshold}
        options = _renamed(given, aliases)
        return self._decode(_as_list(model_outputs), [as_context(c) for c in contexts], options)

    def _decode(
        self,
        outputs: Sequence[npt.NDArray[Any]],
        contexts: Sequence[ImageContext],
        options: Mapping[str, Any],
    ) -> list[Detections]:
        head = replace(self.head, **self._head_overrides())
        return head.decode(
            outputs,
            contexts,
            self._names(),
            self.platform,
            score_threshold=options["score_threshold"],
            iou_threshold=options["iou_threshold"],
        )


class ImageClassificationModel(ImageModel[Classification]):
    """A model that says what a photo shows."""

    task_type = ModelTaskType.IMAGE_CLASSIFICATION

    head: ClassVar[ClassificationHead]

    def preprocess(
        self, image: Photos, with_scaling: bool = False, *, color: Color = "bgr"
    ) -> tuple[npt.NDArray[Any], list[ImageContext] | None]:
        """Photos as the network's input.

        Args:
            image: A photo, or a sequence, folder or glob of them.
            with_scaling: Give the scaled float32 that `origin` takes, instead of uint8.
            color: Channel order of numpy arrays.

        Returns:
            A contiguous (n, 3, h, w) tensor, uint8 or float32, and the contexts of the photos;
            None for a single photo, as in 0.10.

        Raises:
            ImageError: A photo cannot be read.
        """
        tensor, contexts = self._preprocess(image, color, with_scaling=with_scaling)
        return tensor, None if is_single(image) else contexts

    def postprocess(
        self,
        model_outputs: Outputs,
        contexts: Sequence[ImageContext | Mapping[str, Any]] | None = None,
        *,
        top_k: int = 5,
    ) -> Any:
        """Classes of each photo.

        Args:
            model_outputs: What the runner gave.
            contexts: What `preprocess` gave.
            top_k: Number of classes to keep.

        Returns:
            A list of `Classification`; without contexts (a single photo), one `Classification`.

        Raises:
            ShapeError: Outputs or contexts of the wrong count, shape or dtype.
            ValueError: `top_k` is less than 1.
        """
        results = self._decode(_as_list(model_outputs), [], {"top_k": top_k})
        if contexts is None and len(results) == 1:
            return results[0]
        if contexts is not None and len(contexts) != len(results):
            msg = f"expected {len(results)} contexts, one for each photo, got {len(contexts)}"
            raise ShapeError(msg)
        return results

    def _decode(
        self,
        outputs: Sequence[npt.NDArray[Any]],
        contexts: Sequence[ImageContext],  # noqa: ARG002 - a class has no place in the photo
        options: Mapping[str, Any],
    ) -> list[Classification]:
        head = replace(self.head, **self._head_overrides())
        return head.decode(outputs, self._names(), self.platform, k=options["top_k"])


_ALIASES = {
    "confidence_threshold": "score_threshold",
    "conf_thres": "score_threshold",
    "iou_thres": "iou_threshold",
}


def _renamed(
    given: Mapping[str, float | None], aliases: Mapping[str, float | None]
) -> dict[str, float | None]:
    """The thresholds under one naming."""
    options = dict(given)
    for alias, value in aliases.items():
        name = _ALIASES.get(alias)
        if name is None or options[name] is not None:
            what = f"unknown argument {alias!r}" if name is None else f"{name} given twice"
            msg = f"{what}; expected score_threshold and iou_threshold"
            raise TypeError(msg)
        options[name] = value
    return options


def _as_list(outputs: Outputs) -> list[npt.NDArray[Any]]:
    return [outputs] if isinstance(outputs, np.ndarray) else list(outputs)


def _run(runner: Runner, tensor: npt.NDArray[np.uint8]) -> list[npt.NDArray[Any]]:
    """Outputs of a batch, one photo at a time where the program takes just one."""
    if len(tensor) == 1 or runner.takes_batches:
        return runner.run(tensor)
    parts = [runner.run(tensor[i : i + 1]) for i in range(len(tensor))]
    return [np.concatenate(outputs) for outputs in zip(*parts, strict=True)]

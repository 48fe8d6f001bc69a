"""What every model that takes photos does."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Generic, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from ...artifacts.progress import progress_bar
from ...errors import ShapeError
from ...model import Model
from ...runtime.sync import Runner
from ..images import (
    Color,
    DecodedImage,
    ImageSource,
    expand_sources,
    is_single,
    read_image,
    remember,
)
from ..labels import load_labels
from ..preprocess import ImageContext, ImageInput, normalize, prepare
from ..results import Classification, Detections, Poses

__all__ = ["ImageModel", "Outputs", "Photos", "as_list"]

Photos: TypeAlias = "ImageSource | Iterable[ImageSource]"
Outputs: TypeAlias = "npt.NDArray[Any] | Sequence[npt.NDArray[Any]]"
Result = TypeVar("Result", Detections, Classification, Poses)


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
        return load_labels(self._conventions.labels or self.labels)

    @abstractmethod
    def _decode(
        self,
        outputs: Sequence[npt.NDArray[Any]],
        contexts: Sequence[ImageContext],
        options: Mapping[str, Any],
    ) -> list[Result]:
        """Results of a batch; takes from `options` what the task knows."""


def as_list(outputs: Outputs) -> list[npt.NDArray[Any]]:
    """The outputs as a list, one array being a list of one."""
    return [outputs] if isinstance(outputs, np.ndarray) else list(outputs)


def _run(runner: Runner, tensor: npt.NDArray[np.uint8]) -> list[npt.NDArray[Any]]:
    """Outputs of a batch, one photo at a time where the program takes just one."""
    if len(tensor) == 1 or runner.takes_batches:
        return runner.run(tensor)
    parts = [runner.run(tensor[i : i + 1]) for i in range(len(tensor))]
    return [np.concatenate(outputs) for outputs in zip(*parts, strict=True)]

"""What every model that takes photos does."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, closing
from typing import Any, Generic, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from ...errors import ShapeError
from ...images.pipeline import OnError, Steps, check_on_error, in_threads, pipelined
from ...images.preprocess import ImageContext, ImageInput, normalize, prepare
from ...images.read import Color, DecodedImage, ImageSource, read_image
from ...images.sources import count, expand_sources, is_single
from ...labels import load_labels
from ...model import Model
from ...progress import Bar, progress_bar
from ...runtime.sync import Precision, Runner
from ...tasks import Classification, Detections, Poses

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
        precision: Precision = "fp32",
        color: Color = "bgr",
        draft: bool = False,
        on_error: OnError = "raise",
        progress: bool | None = None,
    ) -> Any:
        """Results of photos: fetch, decode, preprocess, run, postprocess.

        Args:
            source: A photo in any form of `furiosa_models.images.read.read_image`; a sequence,
                iterator, folder or glob of them; a video file, there too, is as many photos as it
                has frames.
            score_threshold: Least score of a detection, between 0 and 1; the model's by default.
            iou_threshold: Largest overlap of two detections of one class; the model's by default.
            top_k: Number of classes of a classification.
            batch_size: Photos run at once.
            stream: Give a generator instead of a list. It reads and runs a few batches ahead of
                what is taken from it, and keeps no more than these in memory.
            device: `"cpu"`, an NPU device string, or None for what is there.
            precision: `"int8"` for the quantized program on the CPU.
            color: Channel order of numpy arrays: `"bgr"`, OpenCV's, or `"rgb"`.
            draft: Decode JPEGs of at least twice the network's input at a half, a quarter or an
                eighth of their size. It takes less time, and changes pixels a little.
            on_error: What becomes of one of many photos that cannot be read: `"raise"` after the
                results of those before it; `"skip"` it with a line in the log; or a function that
                is called with the photo and the error.
            progress: Show a bar of the photos that are done; by default for a list of results.

        Returns:
            One result for one photo; a list (a generator with `stream=True`) for many.

        Raises:
            ImageError: A photo cannot be read.
            ArtifactError: The weights cannot be had.
            BackendUnavailable: The device that was asked for is not there.
            ValueError: A threshold, `top_k` or `batch_size` is out of range.
            ExtraRequired: The source is a video, and PyAV is not installed.
        """
        if batch_size < 1:
            msg = f"batch_size must be at least 1, got {batch_size}"
            raise ValueError(msg)
        check_on_error(on_error)
        options = {"score_threshold": score_threshold, "iou_threshold": iou_threshold}
        # Here and not in a worker, so that warnings and errors point to the caller.
        photos = count(source)
        shared = photos is None or photos > batch_size
        runner = self._runner(device, precision, shared=shared)
        steps = self._steps(runner, color, draft, {**options, "top_k": top_k})
        if is_single(source) and not stream:
            return steps.one(source)
        shown = not stream if progress is None else progress
        bar = progress_bar(type(self).__name__, photos, unit="photo") if shown else None
        results = self._results(source, steps, batch_size, on_error, bar)
        return results if stream else list(results)

    def _results(
        self,
        source: Photos,
        steps: Steps[Result],
        batch_size: int,
        on_error: OnError,
        bar: AbstractContextManager[Bar] | None,
    ) -> Iterator[Result]:
        with ExitStack() as stack:
            entered = stack.enter_context(bar) if bar else None
            results = pipelined(
                steps, source, batch_size=batch_size, on_error=on_error, bar=entered
            )
            yield from stack.enter_context(closing(results))

    def _steps(
        self, runner: Runner, color: Color, draft: bool, options: Mapping[str, Any]
    ) -> Steps[Result]:
        return Steps(
            color=color,
            draft=self._geometry().resized if draft else None,
            prepare=self._tensor,
            run=lambda tensor: _run(runner, tensor),
            decode=lambda outputs, contexts: self._decode(outputs, contexts, options),
        )

    def _preprocess(
        self, photos: Photos, color: Color, *, with_scaling: bool, draft: bool
    ) -> tuple[npt.NDArray[Any], list[ImageContext]]:
        sources = list(expand_sources(photos))
        if not sources:
            msg = "expected at least one photo, got none"
            raise ShapeError(msg)
        spec = self._geometry()
        tensor = _empty(len(sources), spec)
        resized = spec.resized if draft else None

        def place(source: ImageSource, out: npt.NDArray[np.uint8]) -> ImageContext:
            image = read_image(source, color=color, draft=resized, fleeting=True)
            return self._place(image, spec, out)

        contexts = in_threads(place, sources, tensor)
        if with_scaling:
            return normalize(tensor, self._input_spec(), self.platform), contexts
        return tensor, contexts

    def _tensor(
        self, images: Sequence[DecodedImage]
    ) -> tuple[npt.NDArray[np.uint8], list[ImageContext]]:
        spec = self._geometry()
        tensor = _empty(len(images), spec)
        pairs = zip(images, tensor, strict=True)
        return tensor, [self._place(image, spec, out) for image, out in pairs]

    def _place(
        self, image: DecodedImage, spec: ImageInput, out: npt.NDArray[np.uint8]
    ) -> ImageContext:
        """Fill the input of one photo."""
        options: Any = {"bgr": image.bgr, "size": image.drafted_from}
        return prepare(image.pixels, spec, platform=self.platform, out=out, **options)[1]

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


def _empty(count: int, spec: ImageInput) -> npt.NDArray[np.uint8]:
    return np.empty((count, 3, *spec.size), np.uint8)


def _run(runner: Runner, tensor: npt.NDArray[np.uint8]) -> list[npt.NDArray[Any]]:
    """Outputs of a batch, one photo at a time where the program takes just one."""
    if len(tensor) == 1 or runner.takes_batches:
        return runner.run(tensor)
    parts = [runner.run(tensor[i : i + 1]) for i in range(len(tensor))]
    return [np.concatenate(outputs) for outputs in zip(*parts, strict=True)]

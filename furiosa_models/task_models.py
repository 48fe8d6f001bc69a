"""Model classes of each task, with the task's options in their signatures."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

import numpy as np
import numpy.typing as npt

from .errors import ShapeError
from .heads.auto import (
    AnyClassifier,
    AnyDetector,
    AnyInstances,
    AnyMatte,
    AnyPose,
    AnySegmenter,
)
from .images.read import Background, Color, ImageSource, read_image
from .images.sources import is_single
from .model import Model, Outputs, Photos, Tensor, built_in
from .processors import takes, takes_one_context
from .spec import UNKNOWN_INPUT, ImageContext, ModelSpec
from .tasks.classification import Classification
from .tasks.detection import Detections
from .tasks.instances import Instances
from .tasks.matte import Matte
from .tasks.pose import Poses
from .tasks.segmentation import SemanticMap

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from .model import PredictOptions

__all__ = [
    "Classifier",
    "Detector",
    "InstanceSegmenter",
    "LocalizationModel",
    "MapModel",
    "MatteEstimator",
    "PoseEstimator",
    "Segmenter",
]

R = TypeVar("R")


class Classifier(Model[Classification]):
    """A model that classifies photos.

    `Classifier("net.onnx", labels=[...])` opens any ONNX classifier: the graph determines the input
    size and the number of classes. Preprocessing is that of torchvision's classifiers unless
    `input=` overrides it.
    """

    spec = ModelSpec(None, UNKNOWN_INPUT, AnyClassifier())

    @built_in
    @takes(with_quantize="with_scaling")
    def preprocess(
        self,
        image: Photos,
        with_scaling: bool = False,
        *,
        color: Color = "bgr",
        draft: bool = False,
        background: Background | None = None,
    ) -> tuple[Tensor, list[ImageContext] | None]:
        """Convert photos to the network's input; see `Model.preprocess`.

        Args:
            image: A photo, or a sequence, folder or glob of photos.
            with_scaling: Return scaled float32, which `origin` takes, instead of uint8.
            color: Channel order of numpy arrays.
            draft: Decode large JPEGs at a fraction of their size; see `predict`.
            background: Color to composite photos with an alpha channel onto; see `predict`.

        Returns:
            A contiguous (n, 3, h, w) tensor, uint8 or float32, and the contexts of the photos;
            None for a single photo, as in 0.10.
        """
        tensor, contexts = super().preprocess(
            image, with_scaling, color=color, draft=draft, background=background
        )
        return tensor, None if is_single(image) else contexts

    @built_in
    @takes_one_context
    def postprocess(  # type: ignore[override]  # each task has its own options
        self,
        model_outputs: Outputs,
        contexts: Sequence[ImageContext | Mapping[str, Any]] | None = None,
        *,
        top_k: int = 5,
    ) -> Any:
        """Convert the network's outputs to the classes of each photo.

        Args:
            model_outputs: Outputs of the runner.
            contexts: Contexts from `preprocess`.
            top_k: Number of classes to return per photo.

        Returns:
            A list of `Classification`; without contexts (a single photo), one `Classification`.

        Raises:
            ShapeError: Outputs or contexts of the wrong count, shape or dtype.
            ValueError: `top_k` is less than 1.
        """
        results = self._decode(model_outputs, None, {"top_k": top_k})
        if contexts is None and len(results) == 1:
            return results[0]
        if contexts is not None and len(contexts) != len(results):
            msg = f"expected {len(results)} contexts, one for each photo, got {len(contexts)}"
            raise ShapeError(msg)
        return results

    @overload  # type: ignore[override]  # each task has its own options
    def predict(  # type: ignore[overload-overlap]  # a name is one photo, and iterable
        self,
        source: ImageSource,
        *,
        stream: Literal[False] = False,
        top_k: int = 5,
        **options: Unpack[PredictOptions],
    ) -> Classification: ...
    @overload
    def predict(
        self,
        source: Iterable[ImageSource],
        *,
        stream: Literal[False] = False,
        top_k: int = 5,
        **options: Unpack[PredictOptions],
    ) -> list[Classification]: ...
    @overload
    def predict(
        self,
        source: Photos,
        *,
        stream: Literal[True],
        top_k: int = 5,
        **options: Unpack[PredictOptions],
    ) -> Iterator[Classification]: ...
    def predict(
        self, source: Photos, *, stream: bool = False, top_k: int = 5, **options: Any
    ) -> Any:
        """Classify photos.

        Args:
            source: One photo or many; see `Model.predict`.
            stream: Return a generator instead of a list.
            top_k: Number of classes of each photo.
            options: `batch_size`, `device`, `precision`, `color`, `draft`, `background`,
                `on_error`, `progress`; see `Model.predict`.
        """
        return self._predict(source, stream=stream, top_k=top_k, **options)

    if TYPE_CHECKING:
        __call__ = predict  # type: ignore[assignment]


class LocalizationModel(Model[R]):
    """A model that locates objects in a photo: base of `Detector` and `PoseEstimator`."""

    @built_in
    @takes_one_context
    def postprocess(  # type: ignore[override]  # each task has its own options
        self,
        model_outputs: Outputs,
        contexts: Sequence[ImageContext | Mapping[str, Any]],
        score_threshold: float | Mapping[str | None, float] | None = None,
        iou_threshold: float | None = None,
        **aliases: Any,
    ) -> list[R]:
        """Convert the network's outputs to the objects found in each photo.

        Args:
            model_outputs: Outputs of the runner.
            contexts: Contexts from `preprocess`.
            score_threshold: Minimum score, between 0 and 1; the model's own by default. Detectors
                also accept one per class: `{"person": 0.6, None: 0.3}`.
            iou_threshold: Maximum IoU of two objects of one class.
            aliases: Names of these options in 0.10: `confidence_threshold`, `conf_thres`,
                `iou_thres`.

        Raises:
            ShapeError: Outputs or contexts of the wrong count, shape or dtype.
            ValueError: A threshold is not between 0 and 1.
            TypeError: An argument is unknown, or given under two names.
        """
        thresholds = {"score_threshold": score_threshold, "iou_threshold": iou_threshold}
        return self._decode(
            model_outputs, contexts, self.vision_task.resolve_options({**thresholds, **aliases})
        )

    @overload  # type: ignore[override]  # each task has its own options
    def predict(  # type: ignore[overload-overlap]  # a name is one photo, and iterable
        self,
        source: ImageSource,
        *,
        stream: Literal[False] = False,
        score_threshold: float | Mapping[str | None, float] | None = None,
        iou_threshold: float | None = None,
        **options: Unpack[PredictOptions],
    ) -> R: ...
    @overload
    def predict(
        self,
        source: Iterable[ImageSource],
        *,
        stream: Literal[False] = False,
        score_threshold: float | Mapping[str | None, float] | None = None,
        iou_threshold: float | None = None,
        **options: Unpack[PredictOptions],
    ) -> list[R]: ...
    @overload
    def predict(
        self,
        source: Photos,
        *,
        stream: Literal[True],
        score_threshold: float | Mapping[str | None, float] | None = None,
        iou_threshold: float | None = None,
        **options: Unpack[PredictOptions],
    ) -> Iterator[R]: ...
    def predict(
        self,
        source: Photos,
        *,
        stream: bool = False,
        score_threshold: float | Mapping[str | None, float] | None = None,
        iou_threshold: float | None = None,
        **options: Any,
    ) -> Any:
        """Find objects in photos.

        Args:
            source: One photo or many; see `Model.predict`.
            stream: Return a generator instead of a list.
            score_threshold: Minimum score, between 0 and 1; by default the model's. For detectors
                also one by class: `{"person": 0.6, None: 0.3}`.
            iou_threshold: Maximum IoU of two objects of one class; by default the model's.
            options: `batch_size`, `device`, `precision`, `color`, `draft`, `background`,
                `on_error`, `progress`, `track`, `tiles`, `overlap`; see `Model.predict`.
        """
        return self._predict(
            source,
            stream=stream,
            score_threshold=score_threshold,
            iou_threshold=iou_threshold,
            **options,
        )

    if TYPE_CHECKING:
        __call__ = predict  # type: ignore[assignment]


class Detector(LocalizationModel[Detections]):
    """A model that detects objects.

    `Detector("best.onnx", labels=[...])` opens any ONNX detector with the outputs of YOLOv5, v8 or
    11, YOLOX, NanoDet, DETR, or with decoding and suppression in the graph. The graph determines
    which one, its input size, and its class names if the exporter wrote them. `input={...}` and
    `head={...}` define the rest.
    """

    spec = ModelSpec(None, UNKNOWN_INPUT, AnyDetector())


class PoseEstimator(LocalizationModel[Poses]):
    """A model that finds people and their keypoints.

    `PoseEstimator("pose.onnx")` opens an export of YOLOv8-pose or YOLO11-pose.
    """

    spec = ModelSpec(None, UNKNOWN_INPUT, AnyPose())

    @staticmethod
    def visualize(image: npt.NDArray[np.uint8], results: Poses) -> None:
        """Draw people on a photo in place, as in 0.10.

        Args:
            image: (h, w, 3) uint8 BGR.
            results: The people in that photo.
        """
        drawn = np.asarray(results.plot(read_image(image)))
        image[:] = drawn[:, :, ::-1]


class InstanceSegmenter(Model[Instances]):
    """A model that finds objects with their masks.

    `InstanceSegmenter("net.onnx", labels=[...])` opens an ONNX export of MaskFormer, Mask2Former or
    a network of Focoos: masks (n, queries, h, w) and scores (n, queries, classes).
    """

    spec = ModelSpec(None, UNKNOWN_INPUT, AnyInstances())

    @built_in
    @takes_one_context
    def postprocess(  # type: ignore[override]  # each task has its own options
        self,
        model_outputs: Outputs,
        contexts: Sequence[ImageContext | Mapping[str, Any]],
        score_threshold: float | None = None,
        **aliases: Any,
    ) -> list[Instances]:
        """Convert the network's outputs to the objects found in each photo.

        Args:
            model_outputs: Outputs of the runner.
            contexts: Contexts from `preprocess`.
            score_threshold: Score to exceed, between 0 and 1; the model's own by default.
            aliases: Names of this option in 0.10: `confidence_threshold`, `conf_thres`.

        Raises:
            ShapeError: Outputs or contexts of the wrong count, shape or dtype.
            ValueError: The threshold is not between 0 and 1.
            TypeError: An argument is unknown, or given under two names.
        """
        options = {"score_threshold": score_threshold, **aliases}
        return self._decode(model_outputs, contexts, self.vision_task.resolve_options(options))

    @overload  # type: ignore[override]  # each task has its own options
    def predict(  # type: ignore[overload-overlap]  # a name is one photo, and iterable
        self,
        source: ImageSource,
        *,
        stream: Literal[False] = False,
        score_threshold: float | None = None,
        **options: Unpack[PredictOptions],
    ) -> Instances: ...
    @overload
    def predict(
        self,
        source: Iterable[ImageSource],
        *,
        stream: Literal[False] = False,
        score_threshold: float | None = None,
        **options: Unpack[PredictOptions],
    ) -> list[Instances]: ...
    @overload
    def predict(
        self,
        source: Photos,
        *,
        stream: Literal[True],
        score_threshold: float | None = None,
        **options: Unpack[PredictOptions],
    ) -> Iterator[Instances]: ...
    def predict(
        self,
        source: Photos,
        *,
        stream: bool = False,
        score_threshold: float | None = None,
        **options: Any,
    ) -> Any:
        """Find objects in photos.

        Args:
            source: One photo or many; see `Model.predict`.
            stream: Return a generator instead of a list.
            score_threshold: Score to exceed, between 0 and 1; by default the model's.
            options: `batch_size`, `device`, `precision`, `color`, `draft`, `background`,
                `on_error`, `progress`; see `Model.predict`.
        """
        return self._predict(source, stream=stream, score_threshold=score_threshold, **options)

    if TYPE_CHECKING:
        __call__ = predict  # type: ignore[assignment]


class MapModel(Model[R]):
    """A model that gives a value for each pixel: base of `Segmenter` and `MatteEstimator`."""

    @built_in
    @takes_one_context
    def postprocess(  # type: ignore[override]  # these tasks have no options
        self,
        model_outputs: Outputs,
        contexts: Sequence[ImageContext | Mapping[str, Any]],
    ) -> list[R]:
        """Convert the network's outputs to a map of each photo's size.

        Args:
            model_outputs: Outputs of the runner.
            contexts: Contexts from `preprocess`.

        Raises:
            ShapeError: Outputs or contexts of the wrong count, shape or dtype.
        """
        return self._decode(model_outputs, contexts, {})

    @overload  # type: ignore[override]  # these tasks have no options
    def predict(  # type: ignore[overload-overlap]  # a name is one photo, and iterable
        self,
        source: ImageSource,
        *,
        stream: Literal[False] = False,
        **options: Unpack[PredictOptions],
    ) -> R: ...
    @overload
    def predict(
        self,
        source: Iterable[ImageSource],
        *,
        stream: Literal[False] = False,
        **options: Unpack[PredictOptions],
    ) -> list[R]: ...
    @overload
    def predict(
        self,
        source: Photos,
        *,
        stream: Literal[True],
        **options: Unpack[PredictOptions],
    ) -> Iterator[R]: ...
    def predict(self, source: Photos, *, stream: bool = False, **options: Any) -> Any:
        """Compute a map of each photo's size.

        Args:
            source: One photo or many; see `Model.predict`.
            stream: Return a generator instead of a list.
            options: `batch_size`, `device`, `precision`, `color`, `draft`, `background`,
                `on_error`, `progress`; see `Model.predict`.
        """
        return self._predict(source, stream=stream, **options)

    if TYPE_CHECKING:
        __call__ = predict  # type: ignore[assignment]


class Segmenter(MapModel[SemanticMap]):
    """A model that finds the class of each pixel.

    `Segmenter("net.onnx", labels=[...])` opens any ONNX network that gives scores of classes,
    (n, classes, h, w) or (n, h, w, classes), class ids, (n, h, w), or masks and scores of queries.
    The graph determines which, and its input size; preprocessing is that of torchvision's networks
    unless `input=` overrides it.
    """

    spec = ModelSpec(None, UNKNOWN_INPUT, AnySegmenter())


class MatteEstimator(MapModel[Matte]):
    """A model that separates the foreground from the background, with soft edges.

    `MatteEstimator("net.onnx", labels=["person"])` opens any ONNX network that gives one value for
    each pixel, such as U-2-Net; `input={...}` and `head={...}` define what its graph does not tell.
    """

    spec = ModelSpec(None, UNKNOWN_INPUT, AnyMatte())

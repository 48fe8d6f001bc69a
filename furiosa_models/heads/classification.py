"""Head of classifiers, which returns the best classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, NamedTuple, TypeAlias, get_args

import numpy as np
import numpy.typing as npt

from ..enums import Platform
from ..errors import ShapeError
from ..labels import class_names
from ..ops import native
from ..ops.checks import check_array, check_at_least, check_choice, check_count
from ..spec import ClassChannels, GraphFacts, Head, ImageContext, ImageInput, TensorFacts
from ..tasks.classification import CLASSIFICATION, Classification, ClassificationTask

__all__ = ["TOP_K", "Activation", "ClassificationHead", "TopK", "rank_classes"]

TOP_K = 5
"""Number of classes that are returned by default."""


@dataclass(frozen=True, slots=True)
class ClassificationHead(Head):
    """Head of classifiers, which returns the k best classes of a distribution.

    Attributes:
        activation: How outputs become probabilities: `softmax`; `none` if the graph has applied it;
            or `argmax` if the graph returns a class index.
        offset: Index of the first class in the outputs; 1 for checkpoints that start with a
            background class (MLPerf's ResNet50), which is never a result.
        argmax_offset: Value of `offset` for graphs that end in ArgMax.
    """

    task: ClassVar[ClassificationTask] = CLASSIFICATION

    activation: Activation = "softmax"
    offset: int = 0
    argmax_offset: int = 0

    def fit(self, graph: GraphFacts) -> Head:
        """Return the head for a graph; its activation depends on the last operations of the graph.

        Raises:
            ShapeError: The graph is not a classifier: it has boxes, maps, several outputs, or a
                single output value that is not a score.
        """
        output = graph.outputs[0]
        sizes = [size for size in output.shape[1:] if size != 1]
        if len(graph.outputs) != 1 or len(sizes) > 1:
            msg = (
                "expected a classifier, with one output that has a score per class, got "
                f"{graph.shapes}: is it a detector?"
            )
            raise ShapeError(msg)
        if "ArgMax" in output.operations:
            return replace(self, activation="argmax", offset=self.argmax_offset)
        if output.operations & {"Softmax", "Sigmoid"}:  # outputs are scores already
            return replace(self, activation="none")
        if output.shape[1:] and not sizes:  # softmax of a single number is always 1
            msg = (
                f"the graph has a single output value without a sigmoid, {graph.shapes}: a "
                "classifier has a value for each of two or more classes, or a sigmoid at its end"
            )
            raise ShapeError(msg)
        return self

    def input_for(self, graph: GraphFacts) -> ImageInput | None:
        """Return the input specification of torchvision's classifiers, or of TensorFlow's."""
        if graph.is_of_tensorflow:
            middle = (127.5, 127.5, 127.5)
            return ImageInput(
                size=(224, 224), resize="crop", resize_to=256, mean=middle, std=middle
            )
        return ImageInput(
            size=(224, 224),
            resize="crop",
            interpolation="pillow_bilinear",
            resize_to=256,
            crop_rounding="even",
            mean=(123.675, 116.28, 103.53),
            std=(58.395, 57.12, 57.375),
        )

    def with_labels(
        self, labels: tuple[str, ...] | None, graph: GraphFacts
    ) -> tuple[Head, tuple[str, ...]]:
        """Return the head and the table of labels; see `Head.with_labels`.

        If there is one more class than labels, the first class is a background.

        Raises:
            LabelsError: The number of labels does not match the number of classes.
        """
        output = graph.outputs[0]
        sizes = [size for size in output.shape[1:] if size != 1]
        count = output.classes if self.activation == "argmax" else (sizes or [1])[0]
        if count is None or (labels is not None and len(labels) == count - self.offset):
            return self, labels or ()
        offset = 1 if labels is not None and len(labels) == count - 1 else 0
        return replace(self, offset=offset), class_names(labels, count - offset)

    def class_channels(self, outputs: Sequence[TensorFacts]) -> list[ClassChannels | None]:
        """Return how the channels are arranged; see `Head.class_channels`."""
        return [ClassChannels(background=self.offset) for _ in outputs]

    def decode(
        self,
        outputs: Sequence[npt.NDArray[Any]],
        contexts: Sequence[ImageContext],  # noqa: ARG002 - classes have no position
        names: Sequence[str],
        platform: Platform,
        *,
        top_k: int = TOP_K,
    ) -> list[Classification]:
        """Return the classes of each photo of a batch.

        Args:
            outputs: One output: (n, c) float32, or (n,) integers of an `argmax` graph.
            contexts: Contexts from `preprocess`; not used.
            names: Table of labels.
            platform: RUST or PYTHON (numpy); scores agree to 1e-6.
            top_k: Number of classes to return.

        Raises:
            ShapeError: Outputs have the wrong count, shape or dtype, or a class is outside the
                table.
            ValueError: `top_k` is less than 1.
            TypeError: `top_k` is not an integer.
        """
        check_at_least("top_k", top_k, 1)
        check_count(outputs, 1)
        output = outputs[0]
        if output.ndim > 2:  # (n, c, 1, 1) of a network that ends in pooling
            output = output.reshape(len(output), -1)
        batch = rank_classes(output, top_k, activation=self.activation, platform=platform)
        return [self._named(found.class_ids, found.scores, names) for found in batch]

    def _named(
        self,
        indices: npt.NDArray[np.int64],
        scores: npt.NDArray[np.float32],
        names: Sequence[str],
    ) -> Classification:
        class_ids = indices - self.offset
        known = (class_ids >= 0) & (class_ids < len(names))
        if not known.any():
            msg = f"class index {indices.tolist()} is outside the table of {len(names)} labels"
            raise ShapeError(msg)
        class_ids = class_ids[known]
        return Classification(class_ids, scores[known], [names[i] for i in class_ids.tolist()])


Activation: TypeAlias = Literal["softmax", "none", "argmax"]


class TopK(NamedTuple):
    """The best classes of one image, best first.

    Attributes:
        class_ids: `(k,)` int64 class indices.
        scores: `(k,)` float32 scores; NaN if unknown.
    """

    class_ids: npt.NDArray[np.int64]
    scores: npt.NDArray[np.float32]


def rank_classes(
    outputs: npt.NDArray[np.generic],
    k: int = 5,
    *,
    activation: Activation = "softmax",
    platform: Platform = Platform.RUST,
) -> list[TopK]:
    """Return the `k` best classes of every image.

    Equal scores rank by class. A NaN ranks last, has the score NaN and does not affect other
    classes; infinite logits share the probability equally.

    Args:
        outputs: `(n, classes)` float32 logits (`softmax`) or scores (`none`); or `(n,)` or `(n, 1)`
            integers of a graph that ends in ArgMax (`argmax`).
        k: Number of classes to return, at least 1. If it exceeds the number of classes, all classes
            are returned.
        activation: Meaning of `outputs`. `argmax` gives one class with the score NaN, since it is
            unknown.
        platform: RUST or PYTHON (numpy); softmax is computed in float64 and rounded once.

    Raises:
        ShapeError: `outputs` has the wrong shape or dtype.
        ValueError: `k` is below 1, or the activation is unknown.
        TypeError: `k` is not an integer.
    """
    check_at_least("k", k, 1)
    check_choice("activation", activation, get_args(Activation))
    if activation == "argmax":
        return _from_argmax(outputs)
    check_array("outputs", outputs, np.float32, ("n", "classes"))
    if native.is_selected(platform):
        best = native.load().top_k(outputs, min(k, outputs.shape[1]), activation == "softmax")
        return [TopK(*pair) for pair in best]
    return [_best(row, k, softmax=activation == "softmax") for row in outputs.astype(np.float32)]


def _from_argmax(outputs: npt.NDArray[np.generic]) -> list[TopK]:
    ids = outputs if isinstance(outputs, np.ndarray) else np.empty(0)
    if not np.issubdtype(ids.dtype, np.integer) or ids.shape not in ((len(ids),), (len(ids), 1)):
        got = f"{ids.dtype} of shape {ids.shape}" if ids is outputs else type(outputs).__name__
        msg = f"outputs of an argmax must be integers of shape (n,) or (n, 1), got {got}"
        raise ShapeError(msg)
    rows = ids.astype(np.int64).reshape(-1, 1)
    return [TopK(row, np.full(1, np.nan, np.float32)) for row in rows]


def _best(row: npt.NDArray[np.float32], k: int, *, softmax: bool) -> TopK:
    ids = np.argsort(-row, kind="stable")[:k]  # numpy sorts NaN to the end
    return TopK(ids, (_softmax(row) if softmax else row)[ids])


def _softmax(row: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    numbers = row[~np.isnan(row)].astype(np.float64)
    if not len(numbers):
        return row
    top = numbers.max()
    total = _powers(numbers, top).sum()
    scores: npt.NDArray[np.float32] = (_powers(row.astype(np.float64), top) / total).astype(
        np.float32
    )
    return scores


def _powers(logits: npt.NDArray[np.float64], top: np.float64) -> npt.NDArray[np.float64]:
    with np.errstate(invalid="ignore"):
        return np.where(logits == top, 1.0, np.exp(logits - top))

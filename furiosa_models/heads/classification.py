"""Heads of classifiers: the best classes of an output."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, NamedTuple, TypeAlias, get_args

import numpy as np
import numpy.typing as npt

from ..enums import Format, Platform
from ..errors import ShapeError
from ..labels import class_names
from ..ops import native
from ..ops.checks import check_array, check_at_least, check_choice, check_count
from ..spec import GraphFacts, Head, ImageContext, ImageInput
from ..tasks.classification import CLASSIFICATION, Classification, ClassificationTask

__all__ = ["Activation", "ClassificationHead", "TopK", "rank_classes"]


@dataclass(frozen=True, slots=True)
class ClassificationHead(Head):
    """Top-k of a distribution over classes.

    Attributes:
        activation: What turns outputs into probabilities: `softmax`, or `none` where the graph
            has done it, or `argmax` where the graph gives a class index.
        offset: Index of the first class in the table of labels; checkpoints with a background
            class in front have 1 (MLPerf's ResNet50). What is in front is never a result.
        argmax_offset: The offset of graphs of this model that end in an argmax.
    """

    task: ClassVar[ClassificationTask] = CLASSIFICATION

    activation: Activation = "softmax"
    offset: int = 0
    argmax_offset: int = 0

    def fit(self, graph: GraphFacts) -> Head:
        """Return the head for a graph: its end says what the outputs are.

        Raises:
            ShapeError: The graph is no classifier: it has boxes, maps, or several outputs; or it
                gives one number, which is no score yet.
        """
        output = graph.outputs[0]
        sizes = [size for size in output.shape[1:] if size != 1]
        if len(graph.outputs) != 1 or len(sizes) > 1:
            msg = (
                "a classifier has one output, a score for each class; the graph has "
                f"{graph.shapes}: is it a detector?"
            )
            raise ShapeError(msg)
        if "ArgMax" in output.operations:
            return replace(self, activation="argmax", offset=self.argmax_offset)
        if output.operations & {"Softmax", "Sigmoid"}:  # its numbers are scores
            return replace(self, activation="none")
        if output.shape[1:] and not sizes:  # softmax makes 1 of any one number
            msg = (
                f"the graph gives one number, {graph.shapes}, and no sigmoid makes a score of it: "
                "a classifier has a number for each of two classes or more, or a sigmoid at its end"
            )
            raise ShapeError(msg)
        return self

    def input_for(self, graph: GraphFacts) -> ImageInput | None:
        """Return the input of torchvision's classifiers, or of TensorFlow's for a TFLite file."""
        if graph.format is Format.TFLite:
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

        One class more than labels is a background in front of them.
        """
        output = graph.outputs[0]
        sizes = [size for size in output.shape[1:] if size != 1]
        count = output.classes if self.activation == "argmax" else (sizes or [1])[0]
        if count is None or (labels is not None and len(labels) == count - self.offset):
            return self, labels or ()
        offset = 1 if labels is not None and len(labels) == count - 1 else 0
        return replace(self, offset=offset), class_names(labels, count - offset)

    def decode(
        self,
        outputs: Sequence[npt.NDArray[Any]],
        contexts: Sequence[ImageContext],  # noqa: ARG002 - a class has no place in the photo
        names: Sequence[str],
        platform: Platform,
        *,
        top_k: int = 5,
    ) -> list[Classification]:
        """Classes of each photo of a batch.

        Args:
            outputs: One output: (n, c) float32, or (n,) integers of an `argmax` graph.
            contexts: What `preprocess` said of each photo; not needed.
            names: Table of labels.
            platform: Python (numpy) or Rust; the results are the same.
            top_k: Number of classes to keep.

        Raises:
            ShapeError: Outputs of the wrong count, shape or dtype, or a class outside the table.
            ValueError: `top_k` is less than 1.
            TypeError: `top_k` is no integer.
        """
        check_at_least("top_k", top_k, 1)
        check_count(outputs, 1)
        output = outputs[0]
        if output.ndim > 2:  # (n, c, 1, 1), of a network that ends in pooling
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
        class_ids: `(k,)` int64.
        scores: `(k,)` float32.
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

    Equal scores rank by class. A class with a NaN ranks last with a NaN score and does not touch
    the others; infinite logits share the whole.

    Args:
        outputs: `(n, classes)` float32 logits (`softmax`) or scores (`none`); or, of a graph that
            ends in an argmax, `(n,)` or `(n, 1)` integers (`argmax`).
        k: at least 1; no more than all classes are returned.
        activation: what `outputs` are. `argmax` gives one class, whose score is not known: NaN.
        platform: RUST or PYTHON (numpy); softmax is taken in float64 and rounded once.

    Raises:
        ShapeError: outputs of another shape or dtype.
        ValueError: `k` below 1, or an unknown activation.
        TypeError: `k` is no integer.
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

"""Heads of networks with queries, each of which has scores of classes and a mask.

Such are MaskFormer, Mask2Former, and `fai_mf` and `bisenetformer` of Focoos: Cheng et al.,
"Masked-attention mask transformer for universal image segmentation" (2022). The same outputs are
read as objects, or as the class of each pixel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from ..enums import Platform
from ..errors import ShapeError
from ..labels import class_names
from ..ops.checks import check_choice, check_contexts, check_unit
from ..ops.masks import Axis, ClassMap, choose_classes, no_class, photo_axes
from ..ops.packed_masks import Bits, resize_masks, unpack
from ..ops.scores import min_score, sigmoid, softmax
from ..spec import ClassChannels, GraphFacts, Head, ImageContext, ImageInput, TensorFacts
from ..tasks.instances import INSTANCES, Instances, InstanceTask
from ..tasks.segmentation import SEMANTIC, SemanticMap, SemanticTask

__all__ = [
    "ClassActivation",
    "MaskActivation",
    "MaskQueriesHead",
    "SemanticQueriesHead",
    "has_queries",
]

_LEAST_AREA = 2
"""Masks with fewer pixels are dropped, as by Focoos."""

ClassActivation = Literal["none", "sigmoid", "softmax"]
MaskActivation = Literal["none", "sigmoid"]


class _Found(NamedTuple):
    """The queries of a photo.

    Attributes:
        scores: (q, classes) float32, between 0 and 1, without the class of no object.
        masks: (q, h, w) float32, as the network gives them.
        axes: Where the rows and columns of the photo lie on the masks.
    """

    scores: npt.NDArray[np.float32]
    masks: npt.NDArray[np.float32]
    axes: tuple[Axis, Axis]


class _Candidates(NamedTuple):
    """The queries of a photo with a good score, best first.

    Attributes:
        bits: Their masks at the photo's size; see `ops.packed_masks.Bits`.
        scores: (n,) float32.
        class_ids: (n,) int64.
    """

    bits: Bits
    scores: npt.NDArray[np.float32]
    class_ids: npt.NDArray[np.int64]


def has_queries(graph: GraphFacts) -> bool:
    """Return whether the outputs of a graph may be masks and scores of the same queries."""
    shapes = {len(output.shape): output.shape for output in graph.outputs}
    if len(graph.outputs) != 2 or shapes.keys() != {3, 4}:
        return False
    counts = {shape[1] for shape in shapes.values()} - {None}
    return len(counts) <= 1


@dataclass(frozen=True, slots=True)
class _QueriesHead(Head):
    size: tuple[int, int]
    activation: ClassActivation = "softmax"
    mask_activation: MaskActivation = "sigmoid"
    mask_threshold: float = 0.5
    mask_score: bool = False
    score_threshold: float = 0.5

    def __post_init__(self) -> None:
        check_choice("activation", self.activation, ("none", "sigmoid", "softmax"))
        check_choice("mask_activation", self.mask_activation, ("none", "sigmoid"))
        check_unit("mask_threshold", self.mask_threshold)
        check_unit("score_threshold", self.score_threshold)

    def fit(self, graph: GraphFacts) -> Head:
        """Return the head for a graph: this one, for the size of its input if that is fixed.

        Raises:
            ShapeError: The graph does not have one output of masks and one of scores.
        """
        if not has_queries(graph):
            msg = (
                "expected masks (n, queries, h, w) and scores (n, queries, classes), got "
                f"{graph.shapes}"
            )
            raise ShapeError(msg)
        try:
            return replace(self, size=graph.image_size)
        except ShapeError:  # it takes images of any size; that of the head counts
            return self

    def input_for(self, graph: GraphFacts) -> ImageInput | None:
        """Return the input specification of networks with weights from ImageNet."""
        del graph
        return ImageInput(
            size=self.size, mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375)
        )

    def with_labels(
        self, labels: tuple[str, ...] | None, graph: GraphFacts
    ) -> tuple[Head, tuple[str, ...]]:
        """Return the head and the table of labels; see `Head.with_labels`.

        Raises:
            LabelsError: The number of labels is not that of the classes.
        """
        count = next((o.shape[-1] for o in graph.outputs if len(o.shape) == 3), None)
        if count is None:
            return self, labels or ()
        return self, class_names(labels, count - (self.activation != "none"))

    def class_channels(self, outputs: Sequence[TensorFacts]) -> list[ClassChannels | None]:
        """Return how the channels are arranged; see `Head.class_channels`."""
        own = ClassChannels(after=int(self.activation != "none"))
        return [own if len(output.shape) == 3 else None for output in outputs]

    def _found(
        self,
        outputs: Sequence[npt.NDArray[Any]],
        contexts: Sequence[ImageContext],
        names: Sequence[str],
    ) -> list[_Found]:
        """Return the queries of each photo.

        Raises:
            ShapeError: Outputs or contexts have the wrong count, shape or dtype, or the number of
                classes is not that of the labels.
        """
        arrays = {array.ndim: np.asarray(array) for array in outputs}
        masks, logits = arrays.get(4), arrays.get(3)
        if len(outputs) != 2 or masks is None or logits is None or not masks[:1, :1].size:
            got = [np.shape(array) for array in outputs]
            msg = f"expected masks (n, queries, h, w) and scores (n, queries, classes), got {got}"
            raise ShapeError(msg)
        if masks.shape[:2] != logits.shape[:2]:
            msg = f"expected a mask for each query, got {masks.shape} masks, {logits.shape} scores"
            raise ShapeError(msg)
        check_contexts(contexts, len(masks))
        classes = logits.shape[2] - (self.activation != "none")
        if classes < 1 or (names and classes != len(names)):
            msg = f"expected scores of {len(names)} classes, got {classes}: {logits.shape}"
            raise ShapeError(msg)
        return [
            _Found(self._scores(row), map_, self._axes(context, map_.shape[1:]))
            for row, map_, context in zip(
                logits.astype(np.float32, copy=False),
                masks.astype(np.float32, copy=False),
                contexts,
                strict=True,
            )
        ]

    def _candidates(self, found: _Found, least: np.float32, platform: Platform) -> _Candidates:
        """Return the queries whose score reaches a threshold, with their best class."""
        class_ids, scores = found.scores.argmax(1), found.scores.max(1)
        # Means of probabilities are at most 1, so that they do not raise a score.
        likely = np.flatnonzero(scores >= least)
        masked = resize_masks(
            self._probabilities(found.masks[likely]),
            *found.axes,
            self.mask_threshold,
            platform=platform,
        )
        scores = scores[likely]
        if self.mask_score:
            scores = scores * np.minimum(masked.means, np.float32(1))
        kept = np.flatnonzero((scores >= least) & (masked.areas >= _LEAST_AREA))
        kept = kept[np.argsort(-scores[kept], kind="stable")]
        bits = np.ascontiguousarray(masked.bits[kept])
        return _Candidates(bits, scores[kept], class_ids[likely][kept].astype(np.int64))

    def _scores(self, logits: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        if self.activation == "none":
            return logits
        scores = softmax(logits) if self.activation == "softmax" else sigmoid(logits)
        return scores[:, :-1]

    def _probabilities(self, logits: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        found = logits if self.mask_activation == "none" else sigmoid(logits)
        return np.ascontiguousarray(found)

    def _axes(self, context: ImageContext, shape: tuple[int, ...]) -> tuple[Axis, Axis]:
        return photo_axes(context, self.size, (shape[0], shape[1]))


@dataclass(frozen=True, slots=True)
class MaskQueriesHead(_QueriesHead):
    """Head of instance segmentation: each query with a good score is an object.

    The class of an object is the best one of its query. Masks are resized bilinearly to the photo
    before they are compared with the threshold. Those of fewer than two pixels are dropped.

    Attributes:
        size: Height and width of the network's input, in pixels.
        activation: `softmax` or `sigmoid` of logits, the last of which is no object; or `none` if
            the outputs are scores of the classes only.
        mask_activation: `sigmoid` if the masks are logits, `none` if they are probabilities.
        mask_threshold: Least probability of a pixel of a mask.
        mask_score: Whether to multiply the score by the mean probability of the mask's pixels.
        score_threshold: Score that an object must exceed, between 0 and 1.
    """

    task: ClassVar[InstanceTask] = INSTANCES

    mask_score: bool = True

    def decode(
        self,
        outputs: Sequence[npt.NDArray[Any]],
        contexts: Sequence[ImageContext],
        names: Sequence[str],
        platform: Platform,
        *,
        score_threshold: float | None = None,
    ) -> list[Instances]:
        """Return the objects of each photo of a batch, best first.

        Args:
            outputs: Outputs of the network: masks with four dimensions, scores with three.
            contexts: Contexts from `preprocess`, one per photo.
            names: Table of labels.
            platform: RUST or PYTHON (numpy); both give the same masks.
            score_threshold: Replaces that of the head.

        Raises:
            ShapeError: Outputs or contexts have the wrong count, shape or dtype, or the number of
                classes is not that of the labels.
            ValueError: The threshold is not between 0 and 1.
        """
        threshold = self.score_threshold if score_threshold is None else score_threshold
        check_unit("score_threshold", threshold)
        least = min_score(threshold, strict=True)
        results = []
        for each in self._found(outputs, contexts, names):
            found, width = self._candidates(each, least, platform), len(each.axes[1].low)
            results.append(Instances(found.bits, width, found.scores, found.class_ids, names))
        return results


@dataclass(frozen=True, slots=True)
class SemanticQueriesHead(_QueriesHead):
    """Head of semantic segmentation: the best query of a pixel gives its class.

    A query's score at a pixel is that of its best class, multiplied by the probability of its mask.

    Attributes:
        size: Height and width of the network's input, in pixels.
        activation: See `MaskQueriesHead`.
        mask_activation: See `MaskQueriesHead`.
        mask_threshold: Least probability of a pixel of a mask, for `masks`.
        mask_score: Whether to multiply the score of a query by the mean probability of its mask's
            pixels, for `masks`.
        score_threshold: Score that a query must exceed, between 0 and 1, except for `sum`; pixels
            of others have no class.
        combine: `best` takes the best query of each pixel, whatever the probability of its mask, as
            Focoos does with `predict_all_pixels`. `masks` leaves pixels in no mask without a class;
            where masks overlap, the query with the best score counts. `sum` adds the queries'
            scores of each class and takes the best class, as Mask2Former does.
    """

    task: ClassVar[SemanticTask] = SEMANTIC

    combine: Literal["best", "masks", "sum"] = "best"

    def __post_init__(self) -> None:
        _QueriesHead.__post_init__(self)
        check_choice("combine", self.combine, ("best", "masks", "sum"))
        if self.mask_score and self.combine != "masks":
            msg = f"mask_score applies to combine='masks' only, got combine={self.combine!r}"
            raise ValueError(msg)

    def decode(
        self,
        outputs: Sequence[npt.NDArray[Any]],
        contexts: Sequence[ImageContext],
        names: Sequence[str],
        platform: Platform,
    ) -> list[SemanticMap]:
        """Return the class of each pixel of each photo of a batch.

        Args:
            outputs: Outputs of the network: masks with four dimensions, scores with three.
            contexts: Contexts from `preprocess`, one per photo.
            names: Table of labels.
            platform: RUST or PYTHON (numpy); both give the same classes.

        Raises:
            ShapeError: Outputs or contexts have the wrong count, shape or dtype, or the number of
                classes is not that of the labels.
        """
        found = self._found(outputs, contexts, names)
        makers = {"best": self._of_best, "masks": self._painted, "sum": self._summed}
        return [makers[self.combine](each, names, platform) for each in found]

    @property
    def _least(self) -> np.float32:
        return min_score(self.score_threshold, strict=True)

    def _summed(self, found: _Found, names: Sequence[str], platform: Platform) -> SemanticMap:
        queries, height, width = found.masks.shape
        flat = found.scores.T @ self._probabilities(found.masks).reshape(queries, -1)
        scores = np.ascontiguousarray(flat.reshape(-1, height, width))
        return SemanticMap(choose_classes(scores, *found.axes, platform=platform), names)

    def _of_best(self, found: _Found, names: Sequence[str], platform: Platform) -> SemanticMap:
        class_ids, scores = found.scores.argmax(1), found.scores.max(1)
        weighted = scores[:, None, None] * self._probabilities(found.masks)
        queries = choose_classes(weighted, *found.axes, platform=platform)
        count = len(scores)
        # Row by row, since numpy counts a copy with 64 bits per pixel.
        areas = sum(np.bincount(row, minlength=no_class(queries) + 1) for row in queries)
        kept = (np.asarray(areas)[:count] >= _LEAST_AREA) & (scores >= self._least)
        ids = np.full(no_class(queries) + 1, no_class(_empty(found)), _empty(found).dtype)
        ids[np.flatnonzero(kept)] = class_ids[kept]
        classes: Any = ids[queries]
        return SemanticMap(classes, names)

    def _painted(self, found: _Found, names: Sequence[str], platform: Platform) -> SemanticMap:
        candidates = self._candidates(found, self._least, platform)
        classes = _empty(found)
        for bits, class_id in zip(candidates.bits[::-1], candidates.class_ids[::-1], strict=True):
            classes[unpack(bits, classes.shape[1])] = class_id
        return SemanticMap(classes, names)


def _empty(found: _Found) -> ClassMap:
    """Return a map of the photo's size where no pixel has a class."""
    dtype = np.uint8 if found.scores.shape[1] <= np.iinfo(np.uint8).max else np.uint16
    shape = [len(axis.low) for axis in found.axes]
    empty: ClassMap = np.full(shape, np.iinfo(dtype).max, dtype)
    return empty

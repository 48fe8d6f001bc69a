"""Heads of Single Shot MultiBox Detectors (Liu et al. 2016, arXiv:1512.02325).

Detections are decoded directly from the raw NCHW maps. A scan finds the logits that may reach the
score threshold, and only these candidates are decoded (see `ops.scores`). The result equals
decoding everything, as in MLPerf's references and furiosa-models 0.10. `native/src/ssd.rs` is the
Rust counterpart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, NamedTuple, TypeAlias, TypeVar, get_args

import numpy as np
import numpy.typing as npt

from ..enums import Platform
from ..errors import ShapeError
from ..labels import class_names
from ..ops import native
from ..ops.anchors import Anchors, default_boxes, multiple_grid_anchors
from ..ops.checks import (
    check_boxes,
    check_choice,
    check_contexts,
    check_count,
    check_limit,
    check_maps,
    check_unit,
)
from ..ops.nms import UNION_EPSILON, DetectionArrays
from ..ops.scores import min_score, prefilter_logit, sigmoid
from ..spec import ClassChannels, GraphFacts, Head, ImageContext, TensorFacts
from ..tasks.detection import DETECTION, Detections, DetectionTask

__all__ = [
    "CENTER_SCALE",
    "SIZE_SCALE",
    "Activation",
    "ChannelOrder",
    "DeltaOrder",
    "SSDHead",
    "SSDLayout",
    "decode_ssd",
]

BoxKind: TypeAlias = Literal["multiple_grid", "default_boxes"]
OutputOrder: TypeAlias = Literal["interleaved", "grouped"]
Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class SSDHead(Head):
    """Head of Single Shot MultiBox Detectors (Liu et al. 2016, arXiv:1512.02325).

    The defaults are those of SSD MobileNet. Of boxes of one class that overlap by more than the IoU
    threshold, the best one is kept.

    Attributes:
        feature_maps: Side length of each square feature map, finest first.
        anchors: Default boxes: TensorFlow's `multiple_grid` or MLPerf's `default_boxes`.
        outputs: Class and box maps alternating (`interleaved`), or all class maps first
            (`grouped`).
        channels: Major order of the maps' channels, `anchor` or `class`; see `SSDLayout`.
        deltas: Order of the box deltas in a box map.
        activation: How class outputs become scores: `sigmoid`, `softmax`, or `none` if the graph
            has applied it.
        score_threshold: Minimum score of a detection, in 0..1.
        strict: Whether scores must exceed the threshold rather than reach it.
        iou_threshold: Maximum IoU of two detections of one class, in 0..1.
        max_per_class: Maximum number of candidates per class before NMS; None for no limit.
        max_detections: Maximum number of detections per photo; None for no limit.
    """

    task: ClassVar[DetectionTask] = DETECTION

    feature_maps: tuple[int, ...]
    anchors: BoxKind = "multiple_grid"
    outputs: OutputOrder = "interleaved"
    channels: ChannelOrder = "anchor"
    deltas: DeltaOrder = "yxhw"
    activation: Activation = "sigmoid"
    score_threshold: float = 0.3
    strict: bool = False
    iou_threshold: float = 0.6
    max_per_class: int | None = None
    max_detections: int | None = None

    def fit(self, graph: GraphFacts) -> Head:
        """Return the head with the feature map sizes and the activation of a graph."""
        maps = self.class_maps(graph.outputs)
        fields: dict[str, Any] = {}
        if graph.operations & {"Sigmoid", "Softmax"}:
            fields["activation"] = "none"
        sides = tuple(output.shape[-1] or 0 for output in maps)
        if len(maps) == len(self.feature_maps) and all(sides) and sides != self.feature_maps:
            fields["feature_maps"] = sides
        return replace(self, **fields) if fields else self

    def with_labels(
        self, labels: tuple[str, ...] | None, graph: GraphFacts
    ) -> tuple[Head, tuple[str, ...]]:
        """Return the head and the table of labels, background first; see `Head.with_labels`.

        Raises:
            ShapeError: The graph does not have a class map and a box map per level.
            LabelsError: The number of labels does not match the number of classes.
        """
        levels = len(self.feature_maps)
        if len(graph.outputs) != 2 * levels or any(len(o.shape) != 4 for o in graph.outputs):
            msg = f"expected a class map and a box map for each of {levels} levels, got "
            raise ShapeError(msg + graph.shapes)
        channels = self.class_maps(graph.outputs)[0].shape[1]
        boxes = self.box_maps(graph.outputs)[0].shape[1]
        if not channels or not boxes:
            return self, labels or ()
        count = channels * 4 // boxes
        if labels is not None and len(labels) == count - 1:
            labels = ("background", *labels)
        if labels is None:
            labels = ("background", *class_names(None, count - 1))
        return self, class_names(labels, count)

    def class_channels(self, outputs: Sequence[TensorFacts]) -> list[ClassChannels | None]:
        """Return how the channels are arranged; see `Head.class_channels`."""
        boxes = [(output.shape[1] or 0) // 4 for output in self.box_maps(outputs)]
        by_class = self.channels == "class"
        found = iter(ClassChannels(groups=count, is_class_major=by_class) for count in boxes)
        maps = [*map(id, self.class_maps(outputs))]
        return [next(found) if id(output) in maps else None for output in outputs]

    def class_maps(self, outputs: Sequence[Item]) -> Sequence[Item]:
        """Return the class maps among the outputs, finest first."""
        grouped = self.outputs == "grouped"
        return outputs[: len(self.feature_maps)] if grouped else outputs[0::2]

    def box_maps(self, outputs: Sequence[Item]) -> Sequence[Item]:
        """Return the box maps among the outputs, finest first."""
        grouped = self.outputs == "grouped"
        return outputs[len(self.feature_maps) :] if grouped else outputs[1::2]

    def decode(
        self,
        outputs: Sequence[npt.NDArray[Any]],
        contexts: Sequence[ImageContext],
        names: Sequence[str],
        platform: Platform,
        *,
        score_threshold: float | None = None,
        iou_threshold: float | None = None,
    ) -> list[Detections]:
        """Return the detections of each photo of a batch.

        Boxes may extend beyond the photo, as in 0.10.

        Args:
            outputs: Class and box maps, finest first: (n, a*c, h, w) and (n, a*4, h, w) float32.
            contexts: Contexts from `preprocess`.
            names: Table of labels.
            platform: RUST or PYTHON (numpy); results agree to 1e-6.
            score_threshold: Overrides the head's own.
            iou_threshold: Overrides the head's own.

        Raises:
            ShapeError: Outputs or contexts have the wrong count, shape or dtype.
            ValueError: A threshold is not between 0 and 1.
        """
        levels = len(self.feature_maps)
        check_count(outputs, 2 * levels)
        batch = decode_ssd(
            self.class_maps(outputs),
            self.box_maps(outputs),
            self.default_boxes(),
            activation=self.activation,
            layout=SSDLayout(self.channels, self.deltas),
            score_threshold=self.score_threshold if score_threshold is None else score_threshold,
            strict=self.strict,
            iou_threshold=self.iou_threshold if iou_threshold is None else iou_threshold,
            max_per_class=self.max_per_class,
            max_detections=self.max_detections,
            platform=platform,
        )
        check_contexts(contexts, len(batch))
        return [
            Detections(found.boxes * _size(context), found.scores, found.class_ids, names)
            for found, context in zip(batch, contexts, strict=True)
        ]

    def default_boxes(self) -> Anchors:
        """Return the default boxes, (n, 4) float32 cxcywh, as fractions of the image; read-only."""
        maps = tuple((side, side) for side in self.feature_maps)
        return (
            multiple_grid_anchors(maps) if self.anchors == "multiple_grid" else default_boxes(maps)
        )


def _size(context: ImageContext) -> Anchors:
    size = (context.width, context.height)
    return np.array([*size, *size], dtype=np.float32)


Activation: TypeAlias = Literal["sigmoid", "softmax", "none"]
Floats: TypeAlias = npt.NDArray[np.float32]
Indices: TypeAlias = npt.NDArray[np.int64]
ChannelOrder: TypeAlias = Literal["anchor", "class"]
DeltaOrder: TypeAlias = Literal["yxhw", "xywh"]

CENTER_SCALE, SIZE_SCALE = np.float32(0.1), np.float32(0.2)
"""Factors of the box deltas, which some authors call variances, and others weights of 10 and 5."""


@dataclass(frozen=True, slots=True)
class SSDLayout:
    """Order of the channels of SSD maps. The defaults are TensorFlow's.

    Attributes:
        channels: Major order of the channels: `anchor` (channel `anchor * c + class`, and default
            boxes ordered by map, cell, anchor) or `class` (channel `class * a + anchor`, and
            default boxes ordered by map, anchor, cell: MLPerf's SSDResNet34). Box maps have the
            same order, with deltas instead of classes.
        deltas: Order of the box deltas.

    Raises:
        ValueError: An order is unknown.
    """

    channels: ChannelOrder = "anchor"
    deltas: DeltaOrder = "yxhw"

    def __post_init__(self) -> None:
        check_choice("channels", self.channels, get_args(ChannelOrder))
        check_choice("deltas", self.deltas, get_args(DeltaOrder))


def decode_ssd(
    class_maps: Sequence[Floats],
    box_maps: Sequence[Floats],
    anchors: Floats,
    *,
    activation: Activation = "sigmoid",
    layout: SSDLayout = SSDLayout(),
    score_threshold: float = 0.3,
    strict: bool = False,
    iou_threshold: float = 0.6,
    max_per_class: int | None = None,
    max_detections: int | None = None,
    platform: Platform = Platform.RUST,
) -> list[DetectionArrays]:
    """Return the detections of every image of a batch; boxes are fractions of the image.

    Scores and exponentials of sizes are computed in float64 and rounded to float32 once. NMS is
    greedy within each class, by `iou > iou_threshold` with 1e-5 added to the union. Equal scores
    rank in the memory order of the maps. NaN scores and non-finite boxes are dropped; an infinite
    logit gives a score of 0 or 1 (sigmoid) or no detection (softmax, none). Class 0 is the
    background and is never detected.

    Args:
        class_maps: One `(n, a * c, h, w)` float32 map of logits per level, for `c` classes.
        box_maps: One `(n, a * 4, h, w)` float32 map per level.
        anchors: `(sum of h * w * a, 4)` float32, cxcywh, from `ops.anchors`.
        activation: How logits become scores; `none` if the graph has applied it.
        layout: Order of the maps' channels.
        score_threshold: Minimum score of a detection, in 0..1.
        strict: Whether scores must exceed the threshold (`>`) rather than reach it (`>=`).
        iou_threshold: Maximum IoU of two detections of one class, in 0..1.
        max_per_class: Maximum number of candidates per class before NMS; None for no limit.
        max_detections: Maximum number of detections per image; None for no limit.
        platform: RUST or PYTHON (numpy); results agree to 1e-6.

    Raises:
        ShapeError: Maps or anchors have the wrong count, shape or dtype.
        ValueError: A threshold is outside 0..1, a limit is negative, or the activation is unknown.
    """
    classes = check_ssd_maps(class_maps, box_maps, anchors)
    check_unit("score_threshold", score_threshold)
    check_unit("iou_threshold", iou_threshold)
    check_limit("max_per_class", max_per_class)
    check_limit("max_detections", max_detections)
    check_choice("activation", activation, get_args(Activation))
    min_passing_score = min_score(score_threshold, strict=strict)
    if native.is_selected(platform):
        batch = native.load().decode_ssd(
            class_maps,
            box_maps,
            anchors,
            activation=activation,
            class_major=layout.channels == "class",
            xy_first=layout.deltas == "xywh",
            least_score=min_passing_score,
            iou_threshold=iou_threshold,
            epsilon=UNION_EPSILON,
            limits=(None, max_per_class, max_detections),
        )
        return [DetectionArrays(*arrays) for arrays in batch]
    images = [list(zip(*maps, strict=True)) for maps in zip(class_maps, box_maps, strict=True)]
    candidates = [
        _candidates(levels, anchors, classes, activation, layout, min_passing_score)
        for levels in zip(*images, strict=True)
    ]
    limits = {"max_per_class": max_per_class, "max_detections": max_detections}
    return [found.take(found.suppress(iou_threshold, **limits)) for found in candidates]


class _Candidates(NamedTuple):
    """Candidates of one level, in memory order.

    Attributes:
        logits: `(n,)` class logits, or `(n, classes)` for softmax.
        deltas: `(n, 4)` box deltas.
        anchors: `(n, 4)` cxcywh.
        class_ids: `(n,)` class ids.
    """

    logits: Floats
    deltas: Floats
    anchors: Floats
    class_ids: Indices


def _candidates(
    levels: Sequence[tuple[Floats, Floats]],
    anchors: Floats,
    classes: int,
    activation: Activation,
    layout: SSDLayout,
    min_passing_score: np.float32,
) -> DetectionArrays:
    """Return all detections of one image before NMS, in memory order."""
    bound = min_passing_score if activation == "none" else prefilter_logit(min_passing_score)
    found = []
    first = 0
    with np.errstate(all="ignore"):  # extreme outputs overflow; they are dropped below
        for of_classes, of_boxes in levels:
            # In class-major order, the anchors of a map are contiguous, like its cells.
            per_cell = 1 if layout.channels == "class" else of_boxes.shape[0] // 4
            logits = of_classes.reshape(per_cell, classes, -1)
            deltas = of_boxes.reshape(per_cell, 4, -1)
            own = anchors[first : first + per_cell * deltas.shape[2]]
            found.append(_scan(logits, deltas, own, bound, softmax=activation == "softmax"))
            first += len(own)
        candidates = _Candidates(*(np.concatenate(column) for column in zip(*found, strict=True)))
        scores = _scores(candidates, activation)
        order = [0, 1, 2, 3] if layout.deltas == "xywh" else [1, 0, 3, 2]
        boxes = _place(candidates.deltas[:, order], candidates.anchors)
        valid = (scores >= min_passing_score) & np.isfinite(scores) & np.isfinite(boxes).all(axis=1)
    return DetectionArrays(boxes[valid], scores[valid], candidates.class_ids[valid])


def _scan(
    logits: Floats, deltas: Floats, anchors: Floats, bound: Floats | np.float32, *, softmax: bool
) -> _Candidates:
    """Return the candidates among logits `(anchors per cell, classes, cells)`."""
    per_cell, classes, cells = logits.shape
    margins = logits[:, 1:] - logits[:, :1] if softmax else logits[:, 1:]
    hit = np.flatnonzero(margins >= bound)
    row, cell = np.divmod(hit, cells)
    anchor, class_id = np.divmod(row, classes - 1)
    class_id += 1
    selected = logits[anchor, :, cell] if softmax else logits[anchor, class_id, cell]
    return _Candidates(
        selected, deltas[anchor, :, cell], anchors[cell * per_cell + anchor], class_id
    )


def _scores(candidates: _Candidates, activation: Activation) -> Floats:
    if activation == "none":
        return candidates.logits
    if activation == "sigmoid":
        return sigmoid(candidates.logits)
    exact = candidates.logits.astype(np.float64)
    powers = np.exp(exact - exact.max(axis=1, keepdims=True))
    exact = powers[np.arange(len(powers)), candidates.class_ids] / powers.sum(axis=1)
    scores: Floats = exact.astype(np.float32)
    return scores


def _place(deltas: Floats, anchors: Floats) -> Floats:
    """Return xyxy boxes from deltas (x, y, width, height) and cxcywh anchors."""
    center = anchors[:, :2] + deltas[:, :2] * CENTER_SCALE * anchors[:, 2:]
    grown = np.exp((deltas[:, 2:] * SIZE_SCALE).astype(np.float64)).astype(np.float32)
    half = grown * anchors[:, 2:] * np.float32(0.5)
    return np.concatenate((center - half, center + half), axis=1)


def check_ssd_maps(
    class_maps: Sequence[Floats], box_maps: Sequence[Floats], anchors: Floats
) -> int:
    """Return the number of classes of an SSD's maps, including the background.

    Raises:
        ShapeError: Maps or anchors have the wrong count, shape or dtype.
    """
    if not class_maps or len(class_maps) != len(box_maps):
        msg = (
            "there must be as many class maps as box maps, and at least one, "
            f"got {len(class_maps)} and {len(box_maps)}"
        )
        raise ShapeError(msg)
    check_boxes(anchors, "anchors")
    check_maps("class_maps", class_maps)
    check_maps("box_maps", box_maps)
    classes: int = class_maps[0].shape[1] * 4 // max(box_maps[0].shape[1], 1)
    images = len(class_maps[0])
    total = 0
    for i, (of_classes, of_boxes) in enumerate(zip(class_maps, box_maps, strict=True)):
        height, width = of_classes.shape[2:]
        cell = of_boxes.shape[1] // 4
        expected = (images, cell * classes, height, width), (images, cell * 4, height, width)
        if (of_classes.shape, of_boxes.shape) != expected or not cell * height * width * classes:
            msg = (
                f"class_maps[{i}] and box_maps[{i}] must have shapes (n, a * c, h, w) and "
                f"(n, a * 4, h, w), with n = {images} and c = {classes} as in the first, "
                f"got {of_classes.shape} and {of_boxes.shape}"
            )
            raise ShapeError(msg)
        total += cell * height * width
    if total != len(anchors):
        msg = f"the maps have {total} anchors, got {len(anchors)} in `anchors`"
        raise ShapeError(msg)
    return classes

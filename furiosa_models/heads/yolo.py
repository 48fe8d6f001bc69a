"""Head of YOLOv5, and the decoder of YOLO maps that it shares with YOLOv7's pose head.

The decoding is that of Ultralytics' YOLOv5 6.0 and furiosa-models 0.10: a box's center is `(xy * 2
- 0.5 + cell) * stride`, its size `(wh * 2) ** 2 * anchor`, and a score is objectness times class
score. A box is a candidate for every class whose score exceeds the threshold.

Boxes are decoded directly from the raw NCHW maps. An anchor has the channels x, y, width, height,
objectness, one score per class, and x, y and confidence of every keypoint. Only cells whose
objectness may pass the threshold are decoded (see `ops.scores`). `native/src/yolo.rs` is the Rust
counterpart.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from ..enums import Platform
from ..errors import ShapeError
from ..labels import class_names
from ..ops import native
from ..ops.anchors import Anchors, yolo_p5_anchors
from ..ops.boxes import to_photo
from ..ops.checks import (
    check_array,
    check_contexts,
    check_count,
    check_limit,
    check_maps,
    check_unit,
)
from ..ops.nms import UNION_EPSILON, DetectionArrays
from ..ops.scores import min_score, prefilter_logit, prefilter_score, sigmoid
from ..spec import ClassChannels, GraphFacts, Head, ImageContext, ImageInput, TensorFacts
from ..tasks.detection import DETECTION, Detections, DetectionTask
from .boxes import BoxesHead

__all__ = [
    "BOX_CHANNELS",
    "YOLOv5Head",
    "YoloMaps",
    "YoloRules",
    "check_levels",
    "decode_yolo",
    "decode_yolov5",
]


Floats: TypeAlias = npt.NDArray[np.float32]
Indices: TypeAlias = npt.NDArray[np.int64]
Found: TypeAlias = tuple[DetectionArrays, Floats]

BOX_CHANNELS = 5
"""Number of an anchor's channels before its classes."""

_OBJECTNESS = 4


@dataclass(frozen=True, slots=True, eq=False)
class YOLOv5Head(Head):
    """Head of YOLOv5 (Jocher 2020), versions 6 and 7.

    The defaults are those of the networks for 640 pixels. Scores must exceed the score threshold.
    Of boxes of one class that overlap by more than the IoU threshold, the best one is kept.

    Attributes:
        anchors: (levels, a, 2) float32 or nested numbers: width and height in cells.
        strides: Stride of each level, in pixels.
        sigmoid_inside: Whether the graph includes the sigmoid; otherwise the head applies it.
        score_threshold: Score threshold in 0..1; scores and objectness must exceed it.
        iou_threshold: Maximum IoU of two detections of one class, in 0..1.
        max_candidates: Maximum number of candidates per photo before NMS; None for no limit.
        max_detections: Maximum number of detections per photo; None for no limit.
    """

    task: ClassVar[DetectionTask] = DETECTION

    anchors: Anchors = field(default_factory=yolo_p5_anchors)
    strides: tuple[int, ...] = (8, 16, 32)
    sigmoid_inside: bool = True
    score_threshold: float = 0.25
    iou_threshold: float = 0.45
    max_candidates: int | None = 30_000
    max_detections: int | None = 300

    def __post_init__(self) -> None:
        object.__setattr__(self, "anchors", np.asarray(self.anchors, np.float32))

    def fit(self, graph: GraphFacts) -> Head:
        """Return the head for a graph with raw maps, or with decoded boxes (n, N, 5 + c)."""
        shape = graph.outputs[0].shape
        if not self.reads_maps(graph) and len(shape) == 3:
            size = graph.image_size
            return BoxesHead(
                size,
                objectness=True,
                unit="auto",
                multi_label=True,
                score_threshold=self.score_threshold,
                iou_threshold=self.iou_threshold,
                max_candidates=self.max_candidates,
                max_detections=self.max_detections,
            )
        return replace(self, sigmoid_inside="Sigmoid" in graph.operations)

    def reads_maps(self, graph: GraphFacts) -> bool:
        """Return whether outputs are maps, (n, a * (5 + c), h, w) or (n, a, h, w, 5 + c)."""
        shapes = [output.shape for output in graph.outputs]
        per_cell = self.anchors.shape[1]
        return len(shapes) == len(self.strides) and all(
            (len(s) == 5 and s[1] == per_cell) or (len(s) == 4 and (s[1] or 1) % per_cell == 0)
            for s in shapes
        )

    def input_for(self, graph: GraphFacts) -> ImageInput | None:
        """Return the authors' input specification: letterboxed, divided by 255."""
        return ImageInput(size=graph.image_size, resize="letterbox", std=(255.0, 255.0, 255.0))

    def with_labels(
        self, labels: tuple[str, ...] | None, graph: GraphFacts
    ) -> tuple[Head, tuple[str, ...]]:
        """Return the head and the table of labels; see `Head.with_labels`.

        Raises:
            ShapeError: The graph does not have one map per stride.
            LabelsError: The number of labels does not match the number of classes.
        """
        if not self.reads_maps(graph):
            msg = f"expected a map for each of the strides {self.strides}, got {graph.shapes}"
            raise ShapeError(msg)
        shape = graph.outputs[0].shape
        width = shape[4] if len(shape) == 5 else (shape[1] or 0) // self.anchors.shape[1]
        return self, class_names(labels, width - BOX_CHANNELS) if width else labels or ()

    def class_channels(self, outputs: Sequence[TensorFacts]) -> list[ClassChannels | None]:
        """Return how the channels are arranged; see `Head.class_channels`."""
        groups = self.anchors.shape[1]
        return [ClassChannels(groups=groups, before=BOX_CHANNELS) for _ in outputs]

    def decode(
        self,
        outputs: Sequence[npt.NDArray[Any]],
        contexts: Sequence[ImageContext],
        names: Sequence[str],
        platform: Platform,
        *,
        score_threshold: float | None = None,
        iou_threshold: float | None = None,
        with_sigmoid: bool | None = None,
    ) -> list[Detections]:
        """Return the detections of each photo of a batch.

        Boxes may extend beyond the photo, as in 0.10.

        Args:
            outputs: One (n, a*(5+c), h, w) float32 map per level, finest first.
            contexts: Contexts from `preprocess`.
            names: Table of labels.
            platform: RUST or PYTHON (numpy); results agree to 1e-6.
            score_threshold: Overrides the head's own.
            iou_threshold: Overrides the head's own.
            with_sigmoid: Whether to apply the sigmoid; overrides `sigmoid_inside`.

        Raises:
            ShapeError: Outputs or contexts have the wrong count, shape or dtype.
            ValueError: A threshold is not between 0 and 1.
        """
        check_count(outputs, len(self.strides))
        batch = decode_yolov5(
            [_as_map(output) for output in outputs],
            self.anchors,
            self.strides,
            with_sigmoid=not self.sigmoid_inside if with_sigmoid is None else with_sigmoid,
            score_threshold=self.score_threshold if score_threshold is None else score_threshold,
            iou_threshold=self.iou_threshold if iou_threshold is None else iou_threshold,
            max_candidates=self.max_candidates,
            max_detections=self.max_detections,
            platform=platform,
        )
        check_contexts(contexts, len(batch))
        return [
            Detections(to_photo(found.boxes, context), found.scores, found.class_ids, names)
            for found, context in zip(batch, contexts, strict=True)
        ]


def decode_yolov5(
    maps: Sequence[Floats],
    anchors: Floats,
    strides: Sequence[float],
    *,
    with_sigmoid: bool = False,
    score_threshold: float = 0.25,
    iou_threshold: float = 0.45,
    max_candidates: int | None = 30_000,
    max_detections: int | None = 300,
    platform: Platform = Platform.RUST,
) -> list[DetectionArrays]:
    """Return the detections of every image of a batch; boxes are in pixels of the network's input.

    A score is the float32 product of objectness and class score. Both objectness and score must
    exceed the threshold. NMS is greedy within each class, by `iou > iou_threshold` with 1e-5 added
    to the union. Equal scores rank in the memory order of the maps. Non-finite scores and boxes are
    dropped. Images of a batch are independent.

    Args:
        maps: One `(n, a * (5 + c), h, w)` float32 map per level, for `c` classes.
        anchors: `(levels, a, 2)` float32: width and height in cells.
        strides: Stride of each level, in pixels.
        with_sigmoid: Whether the maps are logits, to which the sigmoid is applied.
        score_threshold: Score threshold in 0..1; scores and objectness must exceed it.
        iou_threshold: Maximum IoU of two detections of one class, in 0..1.
        max_candidates: Maximum number of candidates per image before NMS; None for no limit.
        max_detections: Maximum number of detections per image; None for no limit.
        platform: RUST or PYTHON (numpy); results agree to 1e-6.

    Raises:
        ShapeError: Maps, anchors or strides have the wrong count, shape or dtype.
        ValueError: A threshold is outside 0..1, or a limit is negative.
    """
    _, channels = check_levels("maps", maps, strides)
    check_array("anchors", anchors, np.float32, (len(strides), "a", 2))
    per_anchor, rest = divmod(channels, max(anchors.shape[1], 1))
    if rest or per_anchor <= BOX_CHANNELS:
        msg = (
            f"maps must have a * (5 + c) channels for the {anchors.shape[1]} anchors of a cell "
            f"and c classes, at least one, got {channels}"
        )
        raise ShapeError(msg)
    rules = YoloRules(
        classes=per_anchor - BOX_CHANNELS,
        keypoints=0,
        with_sigmoid=with_sigmoid,
        score_threshold=score_threshold,
        iou_threshold=iou_threshold,
        max_candidates=max_candidates,
        max_detections=max_detections,
    )
    batch = decode_yolo(YoloMaps(maps, (), anchors, strides), rules, platform)
    return [found for found, _ in batch]


def _as_map(output: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Convert an output (n, a, h, w, 5 + c) to a map (n, a * (5 + c), h, w)."""
    if output.ndim != 5:
        return output
    n, anchors, height, width, numbers = output.shape
    transposed = output.transpose(0, 1, 4, 2, 3)
    return np.ascontiguousarray(transposed).reshape(n, anchors * numbers, height, width)


class YoloMaps(NamedTuple):
    """The maps of a batch, after validation.

    Attributes:
        first: One `(n, channels, h, w)` float32 map per level.
        second: Maps with the remaining channels, if the network splits them; else empty.
        anchors: `(levels, a, 2)` float32: width and height, in cells.
        strides: Stride of each level, in pixels.
    """

    first: Sequence[Floats]
    second: Sequence[Floats]
    anchors: Floats
    strides: Sequence[float]


class YoloRules(NamedTuple):
    """Options of the decoder.

    Attributes:
        classes: Number of classes.
        keypoints: Number of keypoints of an object.
        with_sigmoid: Whether the maps are logits, to which the sigmoid is applied.
        score_threshold: Score threshold in 0..1; scores must exceed it.
        iou_threshold: Maximum IoU of two detections of one class, in 0..1.
        max_candidates: Maximum number of candidates per image before NMS; None for no limit.
        max_detections: Maximum number of detections per image; None for no limit.
    """

    classes: int
    keypoints: int
    with_sigmoid: bool
    score_threshold: float
    iou_threshold: float
    max_candidates: int | None
    max_detections: int | None


def decode_yolo(maps: YoloMaps, rules: YoloRules, platform: Platform) -> list[Found]:
    """Return the detections of every image, and their keypoints `(n, keypoints, 3)`.

    Boxes and keypoints are in pixels of the network's input. See `decode_yolov5` for the rules.

    Args:
        maps: Maps of the batch.
        rules: Options of the decoder.
        platform: RUST or PYTHON (numpy); results agree to 1e-6.

    Raises:
        ValueError: A threshold is outside 0..1, or a limit is negative.
    """
    check_unit("score_threshold", rules.score_threshold)
    check_unit("iou_threshold", rules.iou_threshold)
    check_limit("max_candidates", rules.max_candidates)
    check_limit("max_detections", rules.max_detections)
    min_passing_score = min_score(rules.score_threshold, strict=True)
    if native.is_selected(platform):
        batch = native.load().decode_yolo(
            *maps,
            keypoints=rules.keypoints,
            with_sigmoid=rules.with_sigmoid,
            least_score=min_passing_score,
            iou_threshold=rules.iou_threshold,
            epsilon=UNION_EPSILON,
            limits=(rules.max_candidates, None, rules.max_detections),
        )
        return [(DetectionArrays(*arrays), points) for arrays, points in batch]
    with np.errstate(all="ignore"):  # extreme outputs overflow; they are dropped below
        return [_decode(image, rules, min_passing_score) for image in _images(maps)]


class _Planes(NamedTuple):
    """The channels of one image on one level.

    Attributes:
        first: `(channels, cells)`.
        second: `(remaining channels, cells)`.
        width: Width of the map.
        stride: Stride in pixels.
        sizes: `(a, 2)`: width and height of the anchors, in pixels.
    """

    first: Floats
    second: Floats
    width: int
    stride: np.float32
    sizes: Floats

    def at(self, start: int, stop: int, cells: Indices | slice) -> Floats:
        """Return the channels from `start` to `stop` at some cells, `(channels, n)`."""
        split = len(self.first)
        values: Floats = self.first[start:stop, cells]
        if stop <= split:
            return values
        more = self.second[max(start - split, 0) : stop - split, cells]
        return np.concatenate((values, more))


def _images(maps: YoloMaps) -> Iterator[list[_Planes]]:
    second = maps.second or [m[:, :0] for m in maps.first]
    levels = list(zip(maps.first, second, maps.strides, maps.anchors, strict=True))
    for image in range(len(maps.first[0])):
        yield [
            _Planes(
                one[image].reshape(one.shape[1], -1),
                two[image].reshape(two.shape[1], one.shape[2] * one.shape[3]),
                one.shape[3],
                np.float32(stride),
                anchors * np.float32(stride),
            )
            for one, two, stride, anchors in levels
        ]


class _Candidates(NamedTuple):
    """Cells whose objectness may pass the threshold, in memory order.

    Attributes:
        columns: `(channels, n)`: all channels of the anchor.
        objects: `(n,)`: index of the pair of level and anchor.
        cells: `(2, n)`: column and row.
        strides: `(n,)`: stride of the level, in pixels.
        sizes: `(2, n)`: width and height of the anchor, in pixels.
    """

    columns: Floats
    objects: Indices
    cells: Floats
    strides: Floats
    sizes: Floats


def _collect_candidates(levels: Sequence[_Planes], channels: int, bound: Floats) -> _Candidates:
    columns, cells = [np.zeros((channels, 0), np.float32)], [np.zeros((2, 0), np.intp)]
    owners = []
    for planes in levels:
        for anchor, size in enumerate(planes.sizes):
            start = anchor * channels
            (objectness,) = planes.at(start + _OBJECTNESS, start + _OBJECTNESS + 1, slice(None))
            hit = np.flatnonzero(objectness >= bound)
            columns.append(planes.at(start, start + channels, hit))
            cells.append(np.stack((hit % planes.width, hit // planes.width)))
            owners.append((planes.stride, *size))
    objects = np.repeat(np.arange(len(owners)), [part.shape[1] for part in columns[1:]])
    strides, *sizes = np.array(owners, np.float32).T[:, objects]
    grid = np.concatenate(cells, axis=1).astype(np.float32)
    return _Candidates(np.concatenate(columns, axis=1), objects, grid, strides, np.stack(sizes))


def _decode(levels: Sequence[_Planes], rules: YoloRules, min_passing_score: np.float32) -> Found:
    first_point = BOX_CHANNELS + rules.classes
    activate, bound = (
        (sigmoid, prefilter_logit) if rules.with_sigmoid else (np.array, prefilter_score)
    )
    candidates = _collect_candidates(
        levels, first_point + 3 * rules.keypoints, bound(min_passing_score).astype(np.float32)
    )
    objectness = activate(candidates.columns[_OBJECTNESS])
    logits = candidates.columns[BOX_CHANNELS:first_point]
    class_ids, column = np.nonzero(
        logits >= bound(min_passing_score / objectness.astype(np.float64))
    )
    scores = activate(logits[class_ids, column]) * objectness[column]
    boxes = _place(activate(candidates.columns[:_OBJECTNESS]), candidates)[column]
    is_passing = (scores >= min_passing_score) & (objectness[column] >= min_passing_score)
    valid = np.flatnonzero(is_passing & np.isfinite(scores) & np.isfinite(boxes).all(axis=1))
    order = valid[np.argsort(candidates.objects[column[valid]], kind="stable")]
    found = DetectionArrays(boxes, scores, class_ids).take(order)
    limits = {"max_candidates": rules.max_candidates, "max_detections": rules.max_detections}
    kept = found.suppress(rules.iou_threshold, **limits)
    points = _points(candidates, column[order[kept]], rules.keypoints)
    points[2] = activate(points[2])
    return found.take(kept), np.ascontiguousarray(points.T)


def _place(values: Floats, candidates: _Candidates) -> Floats:
    """Return xyxy boxes `(n, 4)` from x, y, width and height `(4, n)`."""
    two, half = np.float32(2), np.float32(0.5)
    center = (values[:2] * two - half + candidates.cells) * candidates.strides
    side = values[2:] * two
    half_size = side * side * candidates.sizes * half
    boxes: Floats = np.concatenate((center - half_size, center + half_size)).T
    return boxes


def _points(candidates: _Candidates, column: Indices, count: int) -> Floats:
    """Return x, y and raw confidence `(3, count, n)` of the keypoints in some columns."""
    numbers = candidates.columns[len(candidates.columns) - 3 * count :, column]
    points = numbers.reshape(count, 3, len(column)).transpose(1, 0, 2)
    cells, strides = candidates.cells[:, None, column], candidates.strides[column]
    positions = (points[:2] * np.float32(2) - np.float32(0.5) + cells) * strides
    return np.concatenate((positions, points[2:]))


def check_levels(name: str, maps: Sequence[Floats], strides: Sequence[float]) -> tuple[int, int]:
    """Return the number of images and of channels, which all levels share.

    Raises:
        ShapeError: There is not one float32 map `(n, channels, h, w)` per stride, or the maps
            belong to different input sizes.
    """
    if not strides or len(maps) != len(strides) or min(strides) <= 0:
        msg = f"{name} must be one map for each stride above 0, got {len(maps)} for {strides}"
        raise ShapeError(msg)
    check_maps(name, maps)
    images, channels, height, width = maps[0].shape
    size = height * strides[0], width * strides[0]
    for i, (value, stride) in enumerate(zip(maps, strides, strict=True)):
        expected = images, channels, size[0] / stride, size[1] / stride
        if value.shape != expected or 0 in value.shape[1:]:
            shape = ", ".join(f"{length:g}" for length in expected)
            msg = f"{name}[{i}] must have shape ({shape}) to match the first map, got {value.shape}"
            raise ShapeError(msg)
    return images, channels

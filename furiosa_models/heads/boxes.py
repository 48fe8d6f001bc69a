"""Head of networks whose graph decodes the boxes: exported YOLO, DETR, SSD with NMS in the graph.

The fields of the head describe the differences between exports: the positions of boxes, scores and
classes in the outputs, the format and unit of boxes, the computation of scores, and whether the
graph includes NMS.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from ..enums import Platform
from ..errors import LabelsError, ShapeError
from ..labels import BACKGROUNDS, class_names
from ..ops.boxes import box_convert, to_photo
from ..ops.checks import check_contexts, check_unit
from ..ops.nms import UNION_EPSILON, batched_nms
from ..ops.scores import sigmoid, softmax
from ..spec import GraphFacts, Head, ImageContext, ImageInput
from ..tasks.detection import DETECTION, Detections, DetectionTask

__all__ = ["FRACTION_LIMIT", "BoxFormat", "BoxesHead"]

Floats: TypeAlias = npt.NDArray[np.float32]
BoxFormat: TypeAlias = Literal["xyxy", "xywh", "cxcywh", "yxyx"]

FRACTION_LIMIT = 2.0
"""Largest coordinate of a box in fractions of the input; larger ones are pixels."""


@dataclass(frozen=True, slots=True)
class BoxesHead(Head):
    """Head of networks whose outputs are decoded boxes, scores and classes.

    Attributes:
        size: Height and width of the network's input, in pixels.
        boxes: Index of the output with the boxes: (n, N, 4), or with scores after the box.
        scores: Index of the output with the scores: (n, N, C), or (n, N) if there is `classes`;
            None if they follow the boxes.
        classes: Index of the output with the class ids (n, N), if the graph chooses classes.
        chosen: Whether each box is followed by its score and class id, (n, N, 6).
        transposed: Whether the boxes are (n, 4 + ..., N).
        objectness: Whether an objectness score precedes the class scores.
        box_format: Format of the boxes; `yxyx` is TensorFlow's.
        unit: Unit of the boxes: pixels of the input, or fractions of it; `auto` decides by the
            values, since exports to TFLite use fractions and exports to ONNX pixels.
        activation: Activation to apply to the scores.
        background: Position of the background class: `first`, `last`, or None.
        first_class: Class id, in the table of labels, of the network's class 0.
        multi_label: Whether a box is a detection for every class above the threshold, as in YOLOv5.
        suppress: Whether to apply NMS.
        score_threshold: Score threshold in 0..1; scores must exceed it.
        iou_threshold: Maximum IoU of two detections of one class, in 0..1.
        max_candidates: Maximum number of candidates per photo before NMS; None for no limit.
        max_detections: Maximum number of detections per photo; None for no limit.
    """

    task: ClassVar[DetectionTask] = DETECTION

    size: tuple[int, int]
    boxes: int = 0
    scores: int | None = None
    classes: int | None = None
    chosen: bool = False
    transposed: bool = False
    objectness: bool = False
    box_format: BoxFormat = "cxcywh"
    unit: Literal["pixels", "fraction", "auto"] = "pixels"
    activation: Literal["none", "sigmoid", "softmax"] = "none"
    background: Literal["first", "last"] | None = None
    first_class: int = 0
    multi_label: bool = False
    suppress: bool = True
    score_threshold: float = 0.25
    iou_threshold: float = 0.45
    max_candidates: int | None = 30_000
    max_detections: int | None = 300

    def fit(self, graph: GraphFacts) -> Head:
        """Return this head, after checking that the graph has the expected outputs.

        Raises:
            ShapeError: An output is missing, or it has too few values per box.
        """
        required = {"boxes": self.boxes, "scores": self.scores, "classes": self.classes}
        for name, index in required.items():
            if index is not None and not 0 <= index < len(graph.outputs):
                msg = f"the head expects {name} in output {index}, got the outputs {graph.shapes}"
                raise ShapeError(msg)
        shape = graph.outputs[self.boxes].shape
        min_values = 4 if self.scores is not None else 6 if self.chosen else 5
        width = shape[-2 if self.transposed else -1] if len(shape) in (2, 3) else 0
        if width is not None and width < min_values:
            msg = (
                f"expected at least {min_values} values per box in output {self.boxes}, "
                f"(n, boxes, values), got {graph.shapes}"
            )
            raise ShapeError(msg)
        return self

    def input_for(self, graph: GraphFacts) -> ImageInput | None:
        """Return the input specification: letterboxed for exported YOLO, stretched for others."""
        is_yolo = self.chosen or (self.suppress and self.background is None)
        if self.box_format == "yxyx" or (graph.is_of_tensorflow and not is_yolo):
            middle = (127.5, 127.5, 127.5)  # of TensorFlow's detectors
            return ImageInput(size=self.size, mean=middle, std=middle)
        resize: Any = "letterbox" if is_yolo else "stretch"
        return ImageInput(size=self.size, resize=resize, std=(255.0, 255.0, 255.0))

    def with_labels(
        self, labels: tuple[str, ...] | None, graph: GraphFacts
    ) -> tuple[Head, tuple[str, ...]]:
        """Return the head and the table of labels; see `Head.with_labels`.

        Raises:
            ShapeError: The graph does not have the expected outputs.
            LabelsError: The labels do not match the graph, or its number of classes is unknown.
        """
        self.fit(graph)
        # A graph that returns class ids does not state the number of classes.
        if self.classes is not None or self.chosen:
            if labels is None:
                return self, ()
            return replace(self, first_class=self.first_class or _first_class(labels)), labels
        count = self._count(graph)
        if labels and self.background == "first" and len(labels) == count and _first_class(labels):
            return self, labels[1:]
        if labels is not None and self.activation == "softmax" and count == len(labels) + 1:
            last = self.background or "last"
            return replace(self, background=last), labels
        # Only for logits: YOLO has no background class, so a missing name would shift the others.
        has_logits = self.scores is not None and self.activation == "sigmoid"
        if labels and has_logits and self.background is None and count == len(labels) + 1:
            return replace(self, background="first"), labels
        count -= self.background is not None
        return self, class_names(labels, count)

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

        Args:
            outputs: Outputs of the network, with the shapes that the head's fields describe.
            contexts: Contexts from `preprocess`, one per photo.
            names: Table of labels.
            platform: Implementation of NMS, RUST or PYTHON; the results are the same.
            score_threshold: Overrides the head's own.
            iou_threshold: Overrides the head's own.

        Raises:
            ShapeError: Outputs or contexts have the wrong count or shape.
            ValueError: A threshold is not between 0 and 1.
        """
        min_score = self.score_threshold if score_threshold is None else score_threshold
        overlap = self.iou_threshold if iou_threshold is None else iou_threshold
        check_unit("score_threshold", min_score)
        check_unit("iou_threshold", overlap)
        required = [i for i in (self.boxes, self.scores, self.classes) if i is not None]
        if max(required) >= len(outputs):
            msg = f"expected at least {max(required) + 1} outputs, got {len(outputs)}"
            raise ShapeError(msg)
        columns = [np.asarray(outputs[i], np.float32) for i in required]
        if columns[0].ndim == 2:  # no batch dimension, as in exports of torchvision
            columns = [column[None] for column in columns]
        check_contexts(contexts, len(columns[0]))
        scale = self._scale(columns[0])
        return [
            self._decode_image(
                [c[i] for c in columns], scale, contexts[i], names, platform, min_score, overlap
            )
            for i in range(len(contexts))
        ]

    def _decode_image(
        self,
        columns: Sequence[Floats],
        scale: Floats,
        context: ImageContext,
        names: Sequence[str],
        platform: Platform,
        min_score: float,
        overlap: float,
    ) -> Detections:
        rows = columns[0].T if self.transposed else columns[0]
        box, class_id, score = self._candidates(rows, columns[1:], np.float32(min_score))
        box = np.ascontiguousarray(_corners(box, self.box_format) * scale)
        order = self._select(box, score, class_id, overlap, platform)
        ids = class_id[order] + self.first_class
        return Detections(to_photo(box[order], context), score[order], ids, names)

    def _candidates(
        self, rows: Floats, others: Sequence[Floats], min_score: np.float32
    ) -> tuple[Floats, npt.NDArray[np.int64], Floats]:
        """Return boxes (n, 4), class ids (n,) and scores (n,) of candidates above the threshold."""
        if self.classes is not None and self.scores is not None:
            scores, chosen = others
            hit = np.flatnonzero(scores > min_score)
            return rows[hit, :4], chosen[hit].astype(np.int64), scores[hit]
        if self.chosen:
            hit = np.flatnonzero(rows[:, 4] > min_score)
            return rows[hit, :4], rows[hit, 5].astype(np.int64), rows[hit, 4]
        values = others[0] if self.scores is not None else rows[:, 4:]
        if self.objectness:
            passing = np.flatnonzero(values[:, 0] > min_score)
            rows, values = rows[passing], values[passing]
            values = values[:, 1:] * values[:, :1]
        if self.activation == "softmax":
            values = softmax(values)
        if self.background == "first":
            values = values[:, 1:]
        elif self.background == "last":
            values = values[:, :-1]
        if self.activation == "sigmoid":
            values = sigmoid(values)
        box_index: Any
        ids: Any
        if self.multi_label:
            box_index, ids = np.nonzero(values > min_score)
        else:  # most boxes have no score above the threshold, and need no class
            box_index = np.flatnonzero(values.max(axis=1, initial=-np.inf) > min_score)
            ids = values[box_index].argmax(axis=1) if len(box_index) else box_index
        return rows[box_index, :4], ids.astype(np.int64), values[box_index, ids]

    def _select(
        self,
        boxes: Floats,
        scores: Floats,
        ids: npt.NDArray[np.int64],
        overlap: float,
        platform: Platform,
    ) -> npt.NDArray[np.int64]:
        if self.suppress:
            return batched_nms(
                boxes,
                np.ascontiguousarray(scores),
                ids,
                overlap,
                epsilon=UNION_EPSILON,
                max_candidates=self.max_candidates,
                max_detections=self.max_detections,
                platform=platform,
            )
        valid = np.flatnonzero(np.isfinite(boxes).all(axis=1) & np.isfinite(scores))
        order = valid[np.argsort(-scores[valid], kind="stable")][: self.max_detections]
        found: npt.NDArray[np.int64] = order.astype(np.int64)
        return found

    def _scale(self, boxes: Floats) -> Floats:
        """Return the four factors that convert xyxy boxes to pixels of the input."""
        rows = boxes[:, :4] if self.transposed else boxes[..., :4]
        unit = self.unit
        if unit == "auto":
            sizes = np.abs(rows[np.isfinite(rows)])
            unit = "fraction" if sizes.max(initial=0.0) <= FRACTION_LIMIT else "pixels"
        height, width = self.size if unit == "fraction" else (1, 1)
        return np.array([width, height, width, height], np.float32)

    def _count(self, graph: GraphFacts) -> int:
        """Return the number of score columns."""
        output = graph.outputs[self.boxes if self.scores is None else self.scores]
        size = output.shape[1 if self.transposed and self.scores is None else -1]
        if size is None:
            msg = f"the graph does not show how many classes it has (outputs: {graph.shapes})"
            raise LabelsError(msg)
        return size if self.scores is not None else size - 4 - self.objectness


def _first_class(labels: Sequence[str]) -> int:
    return int(bool(labels) and labels[0].strip().lower() in BACKGROUNDS)


def _corners(boxes: Floats, box_format: BoxFormat) -> Floats:
    if box_format == "yxyx":
        return boxes[:, [1, 0, 3, 2]]
    return boxes if box_format == "xyxy" else box_convert(boxes, box_format, "xyxy")

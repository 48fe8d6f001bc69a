"""Heads of networks that decode their boxes themselves: exported YOLO, DETR, SSD with NMS inside.

What differs between exports is data: where boxes, scores and classes are, the format and the unit
of a box, what makes a score, and whether overlapping boxes are suppressed already.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from ..enums import Format, Platform
from ..errors import LabelsError, ShapeError
from ..labels import BACKGROUNDS, class_names
from ..ops.boxes import box_convert, to_photo
from ..ops.checks import check_contexts, check_unit
from ..ops.nms import UNION_EPSILON, batched_nms
from ..ops.scores import sigmoid, softmax
from ..spec import GraphFacts, Head, ImageContext, ImageInput
from ..tasks.detection import DETECTION, Detections, DetectionTask

__all__ = ["BoxFormat", "BoxesHead"]

Floats: TypeAlias = npt.NDArray[np.float32]
BoxFormat: TypeAlias = Literal["xyxy", "xywh", "cxcywh", "yxyx"]

_FRACTION_LIMIT = 2.0


@dataclass(frozen=True, slots=True)
class BoxesHead(Head):
    """Boxes, scores and classes as the graph gives them.

    Attributes:
        size: Height and width of the network's input.
        boxes: Which output holds the boxes: (n, N, 4), or with the scores behind them.
        scores: Which output holds the scores (n, N, C), or (n, N) beside `classes`; None where they
            stand behind the boxes.
        classes: Which output holds the classes (n, N), where the graph has chosen them.
        chosen: Whether each row of the boxes has its score and its class behind the box, (n, N, 6).
        transposed: Whether the output of the boxes is (n, 4 + ..., N).
        objectness: Whether a score of there being anything stands before those of the classes.
        box_format: Corners, corner and size, center and size, or TensorFlow's y before x.
        unit: Pixels of the input, or fractions of it; `auto` decides by the values, since exports
            to TFLite have one and exports to ONNX the other.
        activation: What makes scores of the outputs.
        background: Where the class of nothing is: `first`, `last`, or None.
        first_class: Class id of the network's class 0, in the table of labels.
        multi_label: Whether a box counts for every class above the threshold, as in YOLOv5.
        suppress: Whether overlapping boxes are still there.
        score_threshold: Score that a detection exceeds.
        iou_threshold: Largest overlap of two detections of one class.
        max_candidates: How many candidates, the best ones, go through suppression.
        max_detections: Most detections in a photo.
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
        """Return the head itself, if the graph has the outputs that it reads.

        Raises:
            ShapeError: It has not.
        """
        wanted = {"boxes": self.boxes, "scores": self.scores, "classes": self.classes}
        for name, index in wanted.items():
            if index is not None and not 0 <= index < len(graph.outputs):
                msg = f"{name} are output {index} by the head, and the outputs are {graph.shapes}"
                raise ShapeError(msg)
        shape = graph.outputs[self.boxes].shape
        least = 4 if self.scores is not None else 6 if self.chosen else 5
        width = shape[-2 if self.transposed else -1] if len(shape) in (2, 3) else 0
        if width is not None and width < least:
            msg = (
                f"expected {least} or more numbers a box in output {self.boxes}, "
                f"(n, boxes, numbers), got {graph.shapes}"
            )
            raise ShapeError(msg)
        return self

    def input_for(self, graph: GraphFacts) -> ImageInput | None:
        """Return the input of exported YOLO, or a stretched one for all others."""
        is_yolo = self.chosen or (self.suppress and self.background is None)
        if self.box_format == "yxyx" or (graph.format is Format.TFLite and not is_yolo):
            middle = (127.5, 127.5, 127.5)  # of TensorFlow's detectors
            return ImageInput(size=self.size, mean=middle, std=middle)
        resize: Any = "letterbox" if is_yolo else "stretch"
        return ImageInput(size=self.size, resize=resize, std=(255.0, 255.0, 255.0))

    def with_labels(
        self, labels: tuple[str, ...] | None, graph: GraphFacts
    ) -> tuple[Head, tuple[str, ...]]:
        """Return the head and the table of labels; see `Head.with_labels`."""
        self.fit(graph)
        if (
            self.classes is not None or self.chosen
        ):  # ids, of which the graph does not show how many there are
            if labels is None:
                return self, ()
            return replace(self, first_class=self.first_class or _first_class(labels)), labels
        count = self._count(graph)
        if labels and self.background == "first" and len(labels) == count and _first_class(labels):
            return self, labels[1:]
        if labels is not None and self.activation == "softmax" and count == len(labels) + 1:
            last = self.background or "last"
            return replace(self, background=last), labels
        # Of logits alone: a YOLO has no such class, and a name too few would shift the others.
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
            outputs: As the graph gives them.
            contexts: What `preprocess` said of each photo.
            names: Table of labels.
            platform: What suppression runs on; the results are the same.
            score_threshold: In place of the head's own.
            iou_threshold: In place of the head's own.

        Raises:
            ShapeError: Outputs or contexts of the wrong count or shape.
            ValueError: A threshold is not between 0 and 1.
        """
        least = self.score_threshold if score_threshold is None else score_threshold
        overlap = self.iou_threshold if iou_threshold is None else iou_threshold
        check_unit("score_threshold", least)
        check_unit("iou_threshold", overlap)
        wanted = [i for i in (self.boxes, self.scores, self.classes) if i is not None]
        if max(wanted) >= len(outputs):
            msg = f"expected at least {max(wanted) + 1} outputs, got {len(outputs)}"
            raise ShapeError(msg)
        columns = [np.asarray(outputs[i], np.float32) for i in wanted]
        if columns[0].ndim == 2:  # without a dimension for the batch, as torchvision exports
            columns = [column[None] for column in columns]
        check_contexts(contexts, len(columns[0]))
        scale = self._scale(columns[0])
        return [
            self._one([c[i] for c in columns], scale, contexts[i], names, platform, least, overlap)
            for i in range(len(contexts))
        ]

    def _one(
        self,
        columns: Sequence[Floats],
        scale: Floats,
        context: ImageContext,
        names: Sequence[str],
        platform: Platform,
        least: float,
        overlap: float,
    ) -> Detections:
        rows = columns[0].T if self.transposed else columns[0]
        box, class_id, score = self._candidates(rows, columns[1:], np.float32(least))
        box = np.ascontiguousarray(_corners(box, self.box_format) * scale)
        order = self._kept(box, score, class_id, overlap, platform)
        ids = class_id[order] + self.first_class
        return Detections(to_photo(box[order], context), score[order], ids, names)

    def _candidates(
        self, rows: Floats, others: Sequence[Floats], least: np.float32
    ) -> tuple[Floats, npt.NDArray[np.int64], Floats]:
        """Boxes, classes and scores above the threshold."""
        if self.classes is not None and self.scores is not None:
            scores, chosen = others
            hit = np.flatnonzero(scores > least)
            return rows[hit, :4], chosen[hit].astype(np.int64), scores[hit]
        if self.chosen:
            hit = np.flatnonzero(rows[:, 4] > least)
            return rows[hit, :4], rows[hit, 5].astype(np.int64), rows[hit, 4]
        values = others[0] if self.scores is not None else rows[:, 4:]
        if self.objectness:
            near = np.flatnonzero(values[:, 0] > least)
            rows, values = rows[near], values[near]
            values = values[:, 1:] * values[:, :1]
        if self.activation == "softmax":
            values = softmax(values)
        if self.background == "first":
            values = values[:, 1:]
        elif self.background == "last":
            values = values[:, :-1]
        if self.activation == "sigmoid":
            values = sigmoid(values)
        place: Any
        ids: Any
        if self.multi_label:
            place, ids = np.nonzero(values > least)
        else:  # most boxes have no score above the threshold, and need no class
            place = np.flatnonzero(values.max(axis=1, initial=-np.inf) > least)
            ids = values[place].argmax(axis=1) if len(place) else place
        return rows[place, :4], ids.astype(np.int64), values[place, ids]

    def _kept(
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
        sound = np.flatnonzero(np.isfinite(boxes).all(axis=1) & np.isfinite(scores))
        order = sound[np.argsort(-scores[sound], kind="stable")][: self.max_detections]
        found: npt.NDArray[np.int64] = order.astype(np.int64)
        return found

    def _scale(self, boxes: Floats) -> Floats:
        """What takes boxes to pixels of the input."""
        rows = boxes[:, :4] if self.transposed else boxes[..., :4]
        unit = self.unit
        if unit == "auto":
            sizes = np.abs(rows[np.isfinite(rows)])
            unit = "fraction" if sizes.max(initial=0.0) <= _FRACTION_LIMIT else "pixels"
        height, width = self.size if unit == "fraction" else (1, 1)
        return np.array([width, height, width, height], np.float32)

    def _count(self, graph: GraphFacts) -> int:
        """How many columns of scores there are."""
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

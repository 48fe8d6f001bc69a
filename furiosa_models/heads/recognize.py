"""Choice of the head for a graph without a specification.

The choice depends on the shapes and names of the outputs, and on the operations that computed them.
Properties that do not follow from these are fields of the head; users can set them with
`head={...}`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from ..errors import ShapeError
from ..spec import GraphFacts, Head, TensorFacts
from .anchor_free import GridHead
from .boxes import BoxesHead
from .pose import PoseColumnsHead
from .yolo import YOLOv5Head

__all__ = ["detector_head", "pose_head"]

_MANY = 1000  # graphs with NMS, and DETR with its queries, have fewer boxes
_POSE_COLUMNS = 56  # box, score, and 17 keypoints of 3 values
_BOX_NAMES = ("box", "loc")
_NANODET_BINS = (8, 11, 12, 16, 17)


def detector_head(graph: GraphFacts) -> Head:
    """Return the head for a detector's graph.

    Raises:
        ShapeError: The outputs have an unknown format.
    """
    size, outputs = graph.image_size, graph.outputs
    found = (
        _by_name(outputs, size)
        or _raw_yolov5(graph)
        or _grid(outputs, size)
        or _one_output(graph, size)
        or _boxes_and_scores(outputs, size)
    )
    if found is None:
        msg = (
            f"the graph's outputs fit no known detector ({graph.shapes}): pass head=, "
            f"such as BoxesHead(size={size}, ...)"
        )
        raise ShapeError(msg)
    return found


def pose_head(graph: GraphFacts) -> Head:
    """Return the head for a pose estimator's graph.

    Raises:
        ShapeError: The outputs have an unknown format.
    """
    shape = graph.outputs[0].shape
    if len(graph.outputs) == 1 and len(shape) == 3 and _POSE_COLUMNS in shape[1:]:
        return PoseColumnsHead(graph.image_size, transposed=shape[1] == _POSE_COLUMNS)
    msg = f"the graph's outputs fit no known pose estimator ({graph.shapes}): pass head="
    raise ShapeError(msg)


def _by_name(outputs: Sequence[TensorFacts], size: tuple[int, int]) -> Head | None:
    """Return the head for graphs with NMS or DETR, by output names and integer outputs."""
    boxes = _ending_in_four(outputs)
    if boxes is None:
        return None
    names = [output.name.lower() for output in outputs]
    integer = next((i for i, o in enumerate(outputs) if o.dtype.startswith(("int", "uint"))), None)
    flat = [i for i, o in enumerate(outputs) if i != boxes and len(o.shape) in (1, 2)]
    if len(outputs) == 3 and integer is not None and len(flat) == 2:
        scores = next(i for i in flat if i != integer)
        return BoxesHead(
            size,
            boxes=boxes,
            scores=scores,
            classes=integer,
            box_format="xyxy",
            suppress=False,
        )
    if len(outputs) == 4 and len(flat) == 3:
        return _tensorflow(outputs, names, boxes, size)
    logits = next((i for i, name in enumerate(names) if "logit" in name), None)
    if logits is not None and len(outputs[logits].shape) == 3:
        return _detr(boxes, logits, size)
    return None


def _tensorflow(
    outputs: Sequence[TensorFacts], names: Sequence[str], boxes: int, size: tuple[int, int]
) -> Head:
    """Return the head for TFLite_Detection_PostProcess and TensorFlow's detection models."""
    pairs = [i for i, o in enumerate(outputs) if i != boxes and len(o.shape) == 2]
    scores = next((i for i in pairs if "score" in names[i]), None)
    classes = next((i for i in pairs if "class" in names[i] or "label" in names[i]), None)
    if scores is None or classes is None:
        classes, scores = pairs[:2]  # the operation's order is boxes, classes, scores, count
    return BoxesHead(
        size,
        boxes=boxes,
        scores=scores,
        classes=classes,
        box_format="yxyx",
        unit="fraction",
        suppress=False,
    )


def _detr(boxes: int, logits: int, size: tuple[int, int]) -> BoxesHead:
    return BoxesHead(
        size,
        boxes=boxes,
        scores=logits,
        box_format="cxcywh",
        unit="fraction",
        activation="sigmoid",
        suppress=False,
        score_threshold=0.5,
    )


def _raw_yolov5(graph: GraphFacts) -> Head | None:
    head = YOLOv5Head()
    return head.fit(graph) if head.reads_maps(graph) else None


def _grid(outputs: Sequence[TensorFacts], size: tuple[int, int]) -> Head | None:
    """Return the head for NanoDet, and for YOLOX with raw outputs."""
    shapes = [output.shape for output in outputs]
    if any(len(shape) != 3 for shape in shapes):
        return None
    if len(outputs) == 1 and shapes[0][1] == _cells(size, (8, 16, 32)):
        if {"Conv", "Sigmoid"} == outputs[0].operations:
            return GridHead(size)
        return None
    for strides in ((8, 16, 32), (8, 16, 32, 64)):
        counts = sorted([_cells(size, (stride,)) for stride in strides] * 2)
        if len(outputs) == 2 * len(strides) and sorted(s[1] or 0 for s in shapes) == counts:
            bins = _bins([shape[2] for shape in shapes])
            return None if bins is None else GridHead(size, "nanodet", strides, bins)
        if len(outputs) == 1 and shapes[0][1] == _cells(size, strides) and len(strides) == 4:
            return GridHead(size, "nanodet", strides, 8)
    return None


def _bins(widths: Sequence[int | None]) -> int | None:
    return next((bins for bins in _NANODET_BINS if 4 * bins in widths), None)


def _cells(size: tuple[int, int], strides: Sequence[int]) -> int:
    return sum(-(-size[0] // stride) * -(-size[1] // stride) for stride in strides)


def _one_output(graph: GraphFacts, size: tuple[int, int]) -> Head | None:
    """Return the head for exports with boxes and scores in one output."""
    output = graph.outputs[0]
    if len(output.shape) != 3 or any(len(other.shape) == 3 for other in graph.outputs[1:]):
        return None
    _, first, second = output.shape
    if second == 6 and (first is None or first <= _MANY):
        return BoxesHead(size, chosen=True, box_format="xyxy", unit="auto", suppress=False)
    columns = first is not None and first > 4 and (second is None or first < second)
    if columns:
        return BoxesHead(size, transposed=True, unit="auto")
    if second is not None and second > 5 and (first is None or second < first):
        return BoxesHead(size, objectness=True, unit="auto", multi_label=True)
    return None


def _boxes_and_scores(outputs: Sequence[TensorFacts], size: tuple[int, int]) -> Head | None:
    """Return the head for two outputs: boxes, and a score per class."""
    boxes = _ending_in_four(outputs)
    if boxes is None or len(outputs) != 2 or len(outputs[1 - boxes].shape) != 3:
        return None
    count = outputs[boxes].shape[1]
    if count is not None and count <= _MANY:
        return _detr(boxes, 1 - boxes, size)
    kinds = outputs[1 - boxes].operations
    if "Sigmoid" in kinds:  # independent scores, without a background class
        return BoxesHead(size, boxes=boxes, scores=1 - boxes, box_format="xyxy", unit="auto")
    activation: Literal["none", "softmax"] = "none" if "Softmax" in kinds else "softmax"
    return BoxesHead(
        size,
        boxes=boxes,
        scores=1 - boxes,
        box_format="xyxy",
        unit="auto",
        activation=activation,
        background="first",
    )


def _ending_in_four(outputs: Sequence[TensorFacts]) -> int | None:
    found = [i for i, o in enumerate(outputs) if o.shape and o.shape[-1] == 4 and len(o.shape) > 1]
    if len(found) > 1:  # one of them has scores of four classes
        found = [i for i in found if any(word in outputs[i].name.lower() for word in _BOX_NAMES)]
    return found[0] if len(found) == 1 else None

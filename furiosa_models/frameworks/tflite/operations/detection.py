"""The custom operation at the end of SSD networks: boxes from anchors, and suppression."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from onnx import TensorProto

from ..flexbuffer import read_map
from ..operation import Operation

__all__ = ["detection_postprocess"]


def detection_postprocess(op: Operation) -> None:
    """Convert TFLite_Detection_PostProcess; the inputs are box offsets, scores, and anchors.

    Every anchor counts for its best class, and boxes suppress those of all classes. The outputs are
    boxes, classes, scores, and the number of boxes, after which there are zeros.
    """
    options = read_map(op.custom)
    if options.get("use_regular_nms") or options.get("max_classes_per_detection", 1) != 1:
        op.refuse("it suppresses each class separately, or gives boxes several classes")
    if op.shape(0, rank=3)[0] != 1:
        op.refuse(f"expected a batch size of 1, got {op.shape(0)[0]}")
    most = int(options["max_detections"])
    boxes = _boxes(op, options)
    background = op.shape(1, rank=3)[2] - int(options["num_classes"])
    scores = _slice(op, op.real(1), background, op.shape(1)[2])
    best = op.emit("ReduceMax", [scores], axes=[2], keepdims=0)
    classes = op.emit("ArgMax", [scores], axis=2, keepdims=0)
    selected = op.emit(
        "NonMaxSuppression",
        [
            boxes,
            op.emit("Unsqueeze", [best, op.indices([1])]),
            op.indices([most]),
            op.number(options["nms_iou_threshold"]),
            op.number(_below(options["nms_score_threshold"])),
        ],
    )
    index = op.emit("Gather", [selected, op.number(2, "int64")], axis=1)
    classes = op.emit("Cast", [classes], to=TensorProto.FLOAT)
    for number, values in enumerate((boxes, classes, best)):
        shape = [1, most, 4] if number == 0 else [1, most]
        chosen = op.emit("Gather", [values, index], axis=1)
        op.finish(_filled(op, chosen, shape), number=number)
        op.set_shape(shape, number)
    count = op.emit("Cast", [op.emit("Shape", [index])], to=TensorProto.FLOAT)
    op.finish(count, number=3)
    op.set_shape([1], 3)


def _boxes(op: Operation, options: dict[str, float]) -> str:
    """Return the corners (y1, x1, y2, x2) of the boxes, relative to the image."""
    offsets, anchors = op.real(0), op.real(2)
    scales = [op.array(np.array(pair, np.float32), "scales") for pair in (
        (options["y_scale"], options["x_scale"]), (options["h_scale"], options["w_scale"]),
    )]  # fmt: skip
    size = _slice(op, anchors, 2, 4, axis=1)
    shift = op.emit("Div", [_slice(op, offsets, 0, 2), scales[0]])
    center = op.emit("Add", [op.emit("Mul", [shift, size]), _slice(op, anchors, 0, 2, axis=1)])
    growth = op.emit("Exp", [op.emit("Div", [_slice(op, offsets, 2, 4), scales[1]])])
    half = op.emit("Mul", [op.emit("Mul", [growth, size]), op.number(0.5)])
    corners = [op.emit(kind, [center, half]) for kind in ("Sub", "Add")]
    return op.emit("Concat", corners, axis=2)


def _slice(op: Operation, x: str, start: int, stop: int, axis: int = 2) -> str:
    return op.emit("Slice", [x, *(op.indices([number]) for number in (start, stop, axis))])


def _below(threshold: float) -> float:
    """Return the float32 before a threshold, which ONNX requires to be exceeded."""
    return float(np.nextafter(np.float32(threshold), np.float32(-np.inf)))


def _filled(op: Operation, values: str, shape: Sequence[int]) -> str:
    """Extend the second dimension by zeros."""
    zeros = op.emit("Expand", [op.number(0.0), op.indices(shape)])
    longer = op.emit("Concat", [values, zeros], axis=1)
    return _slice(op, longer, 0, shape[1], axis=1)

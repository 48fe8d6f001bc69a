"""Reference implementations of boxes, anchors, suppression and the letterbox.

They follow the papers and the original programs. Nothing here imports the package, so that it
cannot share the package's errors. Boxes are float64.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Doubles = npt.NDArray[np.float64]

YOLO_P5_PIXELS = (
    ((10, 13), (16, 30), (33, 23)),
    ((30, 61), (62, 45), (59, 119)),
    ((116, 90), (156, 198), (373, 326)),
)
"""Width and height of the anchors in `yolov5s.yaml`, for strides 8, 16 and 32."""

YOLO_P6_PIXELS = (
    ((19, 27), (44, 40), (38, 94)),
    ((96, 68), (86, 152), (180, 137)),
    ((140, 301), (303, 264), (238, 542)),
    ((436, 615), (739, 380), (925, 792)),
)
"""The same of `yolov5s6.yaml` and `yolov7-w6-pose.yaml`, for strides 8, 16, 32 and 64."""


def iou(one: Doubles, others: Doubles, epsilon: float = 0.0) -> Doubles:
    """Return the intersection over union of an xyxy box with each of the others, `(n,)`.

    It is 0 where the union is empty; `epsilon` is added to each union.
    """
    sides = np.minimum(one[2:], others[:, 2:]) - np.maximum(one[:2], others[:, :2])
    shared = np.prod(np.maximum(sides, 0), axis=1)
    areas = np.prod(one[2:] - one[:2]) + np.prod(others[:, 2:] - others[:, :2], axis=1)
    union = areas - shared + epsilon
    overlap: Doubles = np.divide(shared, union, out=np.zeros(len(others)), where=union > 0)
    return overlap


def suppress(
    boxes: Array, scores: Array, class_ids: Array, limit: float, epsilon: float = 0.0
) -> list[int]:
    """Return the indices that greedy suppression within each class keeps, best first.

    Args:
        boxes: `(n, 4)` xyxy.
        scores: `(n,)`; of equal scores, the first is kept.
        class_ids: `(n,)`.
        limit: A box is dropped if its IoU with a kept one of its class is above it.
        epsilon: Added to each union, as FuriosaAI's programs do (1e-5).
    """
    boxes = boxes.astype(np.float64)
    kept: dict[int, list[int]] = {}
    for i in np.argsort(-scores, kind="stable").tolist():
        rivals = kept.setdefault(int(class_ids[i]), [])
        if (iou(boxes[i], boxes[rivals], epsilon) <= limit).all():
            rivals.append(i)
    return sorted(itertools.chain(*kept.values()), key=lambda i: (-scores[i], i))


def letterbox(
    image: Array, size: int, *, end: bool = False
) -> tuple[Array, float, tuple[float, float]]:
    """Fit an image into a gray square as YOLOv5 does, with OpenCV.

    Args:
        image: `(height, width, 3)` uint8.
        size: Height and width of the square.
        end: Whether to place the image at the upper left instead of the center.

    Returns:
        The square `(size, size, 3)` uint8, the scale, and the padding at the left and at the top.
    """
    height, width = image.shape[:2]
    scale = min(size / height, size / width)
    tall, wide = round(height * scale), round(width * scale)
    left, top = (0.0, 0.0) if end else ((size - wide) / 2, (size - tall) / 2)
    x, y = round(left - 0.1), round(top - 0.1)
    square: Array = np.full((size, size, 3), 114, np.uint8)
    square[y : y + tall, x : x + wide] = cv2.resize(image, (wide, tall))
    return square, scale, (left, top)


def ssd_mobilenet_boxes() -> Doubles:
    """Return SSD MobileNet's default boxes, `(1917, 4)` (cy, cx, h, w) in fractions of the image.

    They are those of TensorFlow's `multiple_grid_anchor_generator` for six maps.
    """
    scales = [0.2 + (0.95 - 0.2) * i / 5 for i in range(6)] + [1.0]
    boxes = []
    for level, grid in enumerate((19, 10, 5, 3, 2, 1)):
        shapes = [(scales[level], ratio) for ratio in (1.0, 2.0, 0.5, 3.0, 1 / 3)]
        shapes.append((math.sqrt(scales[level] * scales[level + 1]), 1.0))
        if level == 0:
            shapes = [(0.1, 1.0), (scales[0], 2.0), (scales[0], 0.5)]
        for row, column, (scale, ratio) in itertools.product(range(grid), range(grid), shapes):
            height, width = scale / math.sqrt(ratio), scale * math.sqrt(ratio)
            boxes.append(((row + 0.5) / grid, (column + 0.5) / grid, height, width))
    return np.array(boxes)


def ssd_resnet34_boxes() -> Doubles:
    """Return SSD ResNet34's default boxes, `(15130, 4)` (cx, cy, w, h) in fractions of the image.

    They are those of MLPerf's `dboxes_R34_coco` for 1200 pixels: by map, box of the cell, cell.
    """
    scales = [s * 4 / 1200 for s in (21, 45, 99, 153, 207, 261, 315)]
    boxes = []
    for level, grid in enumerate((50, 25, 13, 7, 3, 3)):
        scale, between = scales[level], math.sqrt(scales[level] * scales[level + 1])
        sizes = [(scale, scale), (between, between)]
        for ratio in (2, 3) if level in (1, 2, 3) else (2,):
            wide, narrow = scale * math.sqrt(ratio), scale / math.sqrt(ratio)
            sizes += [(wide, narrow), (narrow, wide)]
        for (width, height), row, column in itertools.product(sizes, range(grid), range(grid)):
            boxes.append(((column + 0.5) / grid, (row + 0.5) / grid, width, height))
    return np.array(boxes).clip(0, 1)

"""Synthetic network outputs that contain known objects."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Maps: TypeAlias = "list[npt.NDArray[np.float32]]"

MOBILENET_LEVELS = ((19, 3), (10, 6), (5, 6), (3, 6), (2, 6), (1, 6))
RESNET34_LEVELS = ((50, 4), (25, 6), (13, 6), (7, 6), (3, 4), (3, 4))
YOLO_STRIDES = (8, 16, 32)


def mobilenet(level: float, seed: int = 0) -> Maps:
    """Return outputs of SSDMobileNet with normally distributed class logits of mean `level`.

    Returns:
        Alternating class maps (1, a * 91, h, w) and box maps (1, a * 4, h, w), finest first.
    """
    random = np.random.default_rng(seed)
    maps = []
    for side, boxes in MOBILENET_LEVELS:
        maps.append(random.normal(level, 1, (1, boxes * 91, side, side)).astype(np.float32))
        maps.append(random.normal(0, 1, (1, boxes * 4, side, side)).astype(np.float32))
    return maps


def resnet34(objects: int, anchors: int, seed: int = 0) -> tuple[Maps, Maps]:
    """Return the class maps and the box maps of SSDResNet34.

    Args:
        objects: Number of objects.
        anchors: Number of anchors with a high score per object.
        seed: Seed of the random numbers.
    """
    random = np.random.default_rng(seed)
    classes = [
        random.normal(-3, 1, (1, 81 * b, s, s)).astype(np.float32) for s, b in RESNET34_LEVELS
    ]
    boxes = [random.normal(0, 0.5, (1, 4 * b, s, s)).astype(np.float32) for s, b in RESNET34_LEVELS]
    for values, (_, count) in zip(classes, RESNET34_LEVELS, strict=True):
        values[:, :count] += 14  # the background
    for _ in range(objects):
        level = random.integers(0, 3)
        side, count = RESNET34_LEVELS[level]
        view = classes[level].reshape(81, count, side, side)
        y, x = random.integers(1, side - 1, 2)
        label = random.integers(1, 81)
        for _ in range(anchors):
            place = np.clip(np.array((y, x)) + random.integers(-1, 2, 2), 0, side - 1)
            view[label, random.integers(0, count), place[0], place[1]] = random.uniform(8.5, 13)
    return classes, boxes


def yolov5(classes: int, objects: int, cells: int, seed: int = 0) -> Maps:
    """Return outputs of YOLOv5 for 640 x 640 pixels, after the sigmoid.

    Args:
        classes: Number of classes.
        objects: Number of objects.
        cells: Number of cells with a high score per object.
        seed: Seed of the random numbers.
    """
    random = np.random.default_rng(seed)
    maps = [_yolo_background(random, classes, 640 // stride) for stride in YOLO_STRIDES]
    for _ in range(objects):
        values = maps[random.integers(0, 3)][0]
        side = values.shape[-1]
        y, x = random.integers(1, side - 1, 2)
        label = random.integers(0, classes)
        for _ in range(cells):
            row, column = np.clip(np.array((y, x)) + random.integers(-1, 2, 2), 0, side - 1)
            values[2, :4, row, column] = 0.55 * (x - column), 0.55 * (y - row), 1, 1
            values[2, [4, 5 + label], row, column] = random.uniform(1, 4, 2)
    return [_sigmoid(m).reshape(1, -1, *m.shape[3:]) for m in maps]


def _yolo_background(
    random: np.random.Generator, classes: int, side: int
) -> npt.NDArray[np.float32]:
    values = random.normal(-9, 1, (1, 3, 5 + classes, side, side)).astype(np.float32)
    values[:, :, :4] = random.normal(0, 0.6, (1, 3, 4, side, side))
    return values


def _sigmoid(values: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    return np.asarray(1 / (1 + np.exp(-values)), np.float32)

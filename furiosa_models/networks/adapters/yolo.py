"""Adapters of YOLO checkpoints and exports."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

from .. import layers
from ._arrays import Array, Arrays, folded

__all__ = ["yolo_pickle", "yolov5_tfjs", "yolov5_tflite"]


def yolo_pickle(arrays: Arrays) -> dict[str, Array]:
    """Convert training checkpoints of YOLOv5 and YOLOv7, which store the module under `model`.

    A file of the module's state has its names already.
    """
    return {_YOLO_MODULE.sub("model.", name): array for name, array in arrays.items()}


def yolov5_tflite(arrays: Arrays) -> dict[str, Array]:
    """Convert the TFLite export of YOLOv5 v6, with kernels (O, kh, kw, I)."""
    return _yolov5_tensorflow(arrays, (0, 3, 1, 2))


def yolov5_tfjs(arrays: Arrays) -> dict[str, Array]:
    """Convert the TF.js export of YOLOv5 v6, with kernels (kh, kw, I, O)."""
    return _yolov5_tensorflow(arrays, (3, 2, 0, 1))


def _yolov5_tensorflow(arrays: Arrays, order: tuple[int, ...]) -> dict[str, Array]:
    """Convert TensorFlow exports of YOLOv5, which have folded normalization.

    They number the layers in the order in which PyTorch lists the layers of a module.
    """
    kernels, biases, blocks = {}, {}, {}
    for name, array in arrays.items():
        match = _YOLOV5_LAYER.search(name)
        if match and array.ndim == 4:
            number = int(match[2] or 0)
            kernels[number], blocks[number] = array.transpose(order), match[1]
        elif match and array.ndim == 1:
            biases[int(match[2] or 0)] = array
    adapted: dict[str, Array] = {}
    modules = itertools.groupby(sorted(kernels), blocks.__getitem__)
    for index, (_, numbers) in zip(_YOLOV5_MODULES, modules, strict=True):
        for layer, number in zip(_yolov5_layers(index), numbers, strict=False):
            if index == _YOLOV5_MODULES[-1]:
                adapted |= {f"{layer}.weight": kernels[number], f"{layer}.bias": biases[number]}
            else:
                adapted[f"{layer}.conv.weight"] = kernels[number]
                adapted |= folded(f"{layer}.bn", layers.TORCH, biases[number])
    return adapted


_YOLO_MODULE = re.compile(r"^model\.model\.")
_YOLOV5_LAYER = re.compile(
    r"^[^;]*?model(?:_\d+)?/(\w+)/(?:[^;]*/)?conv2d(?:_(\d+))?/(?:Conv2D|BiasAdd)(?:[/;]|$)"
)
# Modules with parameters: convolutions, bottleneck stages, pooling and, last, the heads.
_YOLOV5_MODULES = (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 13, 14, 17, 18, 20, 21, 23, 24)
_YOLOV5_STAGES = (2, 4, 6, 8, 13, 17, 20, 23)
_YOLOV5_POOLING = 9


def _yolov5_layers(index: int) -> Iterator[str]:
    """Yield the names of a module's layers in PyTorch's order; endless if their number varies."""
    name = f"model.{index}"
    if index == _YOLOV5_MODULES[-1]:
        yield from (f"{name}.m.{head}" for head in itertools.count())
    elif index == _YOLOV5_POOLING:
        yield from (f"{name}.cv1", f"{name}.cv2")
    elif index in _YOLOV5_STAGES:
        yield from (f"{name}.cv1", f"{name}.cv2", f"{name}.cv3")
        for bottleneck in itertools.count():
            yield from (f"{name}.m.{bottleneck}.cv1", f"{name}.m.{bottleneck}.cv2")
    else:
        yield name

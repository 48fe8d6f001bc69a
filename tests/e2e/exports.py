"""Typical exports of trained networks, and simple reference decoders of their outputs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from ..textbook import YOLO_P5_PIXELS, letterbox

Floats = npt.NDArray[np.float32]

STRIDES = (8, 16, 32)
SIZE = 640


def exported_yolov5(raw: Path, names: Sequence[str] | None = None) -> onnx.ModelProto:
    """Convert a network with raw maps to the authors' export, (1, 25200, 85), boxes in pixels."""
    model = onnx.load(raw)
    graph = model.graph
    parts = []
    for level, (output, stride) in enumerate(zip(list(graph.output), STRIDES, strict=True)):
        side, name = SIZE // stride, f"level{level}/"

        def constant(label: str, value: Any, prefix: str = name) -> str:
            graph.initializer.append(numpy_helper.from_array(np.asarray(value), prefix + label))
            return prefix + label

        def node(op: str, inputs: list[str], label: str, prefix: str = name, **options: Any) -> str:
            graph.node.append(helper.make_node(op, inputs, [prefix + label], **options))
            return prefix + label

        y, x = np.mgrid[:side, :side].astype(np.float32)
        grid = np.stack((x, y), -1)[None, None] - np.float32(0.5)
        split = node("Reshape", [output.name, constant("split", [1, 3, 85, side, side])], "a")
        scores = node("Sigmoid", [node("Transpose", [split], "b", perm=[0, 1, 3, 4, 2])], "c")
        axis, two = constant("axis", [4]), constant("two", np.float32(2))
        center, extent, rest = (
            node("Slice", [scores, constant(f"{i}f", [i]), constant(f"{i}t", [j]), axis], f"s{i}")
            for i, j in ((0, 2), (2, 4), (4, 85))
        )
        moved = node("Add", [node("Mul", [center, two], "d"), constant("grid", grid)], "e")
        places = node("Mul", [moved, constant("stride", np.float32(stride))], "f")
        doubled = node("Mul", [extent, two], "g")
        anchors = constant(
            "anchors", np.array(YOLO_P5_PIXELS[level], np.float32).reshape(1, 3, 1, 1, 2)
        )
        sizes = node("Mul", [node("Mul", [doubled, doubled], "h"), anchors], "i")
        joined = node("Concat", [places, sizes, rest], "j", axis=4)
        parts.append(node("Reshape", [joined, constant("flat", [1, -1, 85])], "k"))
    graph.node.append(helper.make_node("Concat", parts, ["output0"], axis=1))
    del graph.output[:]
    info = helper.make_tensor_value_info("output0", TensorProto.FLOAT, [1, 25200, 85])
    graph.output.append(info)
    if names is not None:
        entry = model.metadata_props.add()
        entry.key, entry.value = "names", repr(dict(enumerate(names)))
    return model


def letterboxed(photo: Path, *, end: bool = False) -> tuple[Floats, float, tuple[float, float]]:
    """Letterbox a photo (centered or at the upper left), RGB 0..1; return scale and padding too."""
    image = np.array(Image.open(photo).convert("RGB"))
    canvas, scale, padding = letterbox(image, SIZE, end=end)
    tensor = canvas.transpose(2, 0, 1)[None].astype(np.float32) / np.float32(255)
    return tensor, scale, padding


def run(model: str | bytes, tensor: npt.NDArray[Any]) -> list[npt.NDArray[Any]]:
    """Run a model with ONNX Runtime; return its outputs."""
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    outputs: list[npt.NDArray[Any]] = session.run(None, {session.get_inputs()[0].name: tensor})
    return outputs


def corners(boxes: Floats) -> Floats:
    """Convert boxes from center and size to corners."""
    half = boxes[:, 2:] / 2
    return np.concatenate((boxes[:, :2] - half, boxes[:, :2] + half), axis=1)

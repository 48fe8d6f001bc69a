"""A small network of uint8 pixels with the most common layers."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

SIZE = 24
MEAN, STD = (120.0, 110.0, 100.0), (60.0, 58.0, 57.0)


def network(*, scaled_inside: bool = True) -> onnx.ModelProto:
    """Make Cast, Sub, Div, Conv, Relu, depthwise Conv, Clip, Conv, Add, pooling, Gemm."""
    rng = np.random.default_rng(0)

    def weight(name: str, *shape: int) -> onnx.TensorProto:
        fan_in = int(np.prod(shape[1:])) or 1
        array = rng.normal(0, fan_in**-0.5, shape).astype(np.float32)
        return numpy_helper.from_array(array, name)

    weights = [
        numpy_helper.from_array(np.array(MEAN, np.float32).reshape(1, 3, 1, 1), "mean"),
        numpy_helper.from_array(np.array(STD, np.float32).reshape(1, 3, 1, 1), "std"),
        numpy_helper.from_array(np.float32(0), "zero"),
        numpy_helper.from_array(np.float32(6), "six"),
        weight("w1", 16, 3, 3, 3),
        weight("b1", 16),
        weight("w2", 16, 1, 3, 3),
        weight("b2", 16),
        weight("w3", 16, 16, 1, 1),
        weight("b3", 16),
        weight("w4", 16, 5),
        weight("b4", 5),
    ]
    node = helper.make_node
    scaling = [
        node("Cast", ["image"], ["float"], to=TensorProto.FLOAT),
        node("Sub", ["float", "mean"], ["centered"]),
        node("Div", ["centered", "std"], ["scaled"]),
    ]
    source = "scaled" if scaled_inside else "image"
    nodes = [
        node("Conv", [source, "w1", "b1"], ["c1"], "first", pads=[1] * 4, strides=[2, 2]),
        node("Relu", ["c1"], ["r1"], "relu"),
        node("Conv", ["r1", "w2", "b2"], ["c2"], "depthwise", pads=[1] * 4, group=16),
        node("Clip", ["c2", "zero", "six"], ["r2"], "clip"),
        node("Conv", ["r2", "w3", "b3"], ["c3"], "pointwise"),
        node("Add", ["c3", "r1"], ["sum"], "residual"),
        node("GlobalAveragePool", ["sum"], ["pooled"], "pool"),
        node("Flatten", ["pooled"], ["flat"], "flatten"),
        node("Gemm", ["flat", "w4", "b4"], ["logits"], "head"),
    ]
    kind = TensorProto.UINT8 if scaled_inside else TensorProto.FLOAT
    graph = helper.make_graph(
        [*(scaling if scaled_inside else []), *nodes],
        "small",
        [helper.make_tensor_value_info("image", kind, ["n", 3, SIZE, SIZE])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", 5])],
        weights,
    )
    opset = [helper.make_opsetid("", 17)]
    return helper.make_model(graph, opset_imports=opset, ir_version=8)


def pixels(count: int, seed: int = 0) -> npt.NDArray[np.uint8]:
    """Make blurred noise (count, 3, SIZE, SIZE)."""
    coarse = np.random.default_rng(seed).integers(0, 256, (count, 3, SIZE // 4, SIZE // 4))
    return coarse.astype(np.uint8).repeat(4, 2).repeat(4, 3)


def run(model: onnx.ModelProto | bytes, image: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Return the logits."""
    data = model if isinstance(model, bytes) else model.SerializeToString()
    (logits,) = onnxruntime.InferenceSession(data).run(None, {"image": image})
    return np.asarray(logits)

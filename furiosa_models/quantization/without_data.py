"""Quantization without calibration data: of weights alone, or with ranges found at run time."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

from ..errors import FuriosaModelsError, WeightsError
from ..networks import edit
from .float_model import float_model

__all__ = ["quantize_dynamic", "quantize_weights"]

_AXES = {"Conv": 0, "ConvTranspose": 1, "Gemm": 1, "MatMul": 1}
"""Axis of the output channels of the weights of each operation; of Gemm with transB it is 0."""

_MIN_SIZE = 1024
"""Size of the smallest weights in numbers that are worth a scale of their own."""


def quantize_weights(
    model: onnx.ModelProto | bytes, *, exclude: Collection[str] = ()
) -> onnx.ModelProto:
    """Store the weights in 8 bits, with a scale for each output channel; compute in float32.

    Args:
        model: float32 model.
        exclude: Names of nodes whose weights stay float.

    Returns:
        The model, whose weights come from `DequantizeLinear`.

    Raises:
        FuriosaModelsError: The model cannot be quantized; see `float_model`.
    """
    proto = float_model(model)
    _quantize_weights(proto.graph, exclude)
    return proto


def _quantize_weights(graph: onnx.GraphProto, exclude: Collection[str]) -> None:
    """Store the weights of a graph in 8 bits, in place."""
    weights = {tensor.name: tensor for tensor in graph.initializer}
    done: dict[str, onnx.NodeProto] = {}
    for node in graph.node:
        weight = weights.get(node.input[1]) if node.op_type in _AXES else None
        if weight is None or node.name in exclude or not _is_worth(weight):
            continue
        if weight.name not in done:
            done[weight.name] = _dequantized(graph, weight, _axis(node))
        node.input[1] = done[weight.name].output[0]
    graph.node.extend(done.values())
    used = {name for node in graph.node for name in edit.taken_names(node)}
    used |= {value.name for value in graph.output}
    for name in done:
        if name not in used:
            graph.initializer.remove(weights[name])
    edit.sort_nodes(graph)


def quantize_dynamic(
    model: onnx.ModelProto | bytes, *, exclude: Collection[str] = ()
) -> onnx.ModelProto:
    """Quantize weights, and activations with ranges that are found at run time.

    MatMul and Gemm become `MatMulInteger`. Convolutions only get 8-bit weights: ONNX Runtime's
    `ConvInteger` is slower than a float convolution.

    Args:
        model: float32 model.
        exclude: Names of nodes that stay float.

    Raises:
        FuriosaModelsError: The model cannot be quantized; see `float_model`.
    """
    from onnxruntime.quantization import QuantType
    from onnxruntime.quantization.onnx_quantizer import ONNXQuantizer
    from onnxruntime.quantization.quant_utils import QuantizationMode

    proto = float_model(model)
    # ONNX Runtime splits Gemm into MatMul and Add before it looks at names.
    excluded = [*exclude, *(f"{name}_MatMul" for name in exclude)]
    quantizer = ONNXQuantizer(
        proto,
        per_channel=False,
        reduce_range=True,  # as in `quantize`
        mode=QuantizationMode.IntegerOps,
        static=False,
        weight_qType=QuantType.QInt8,
        activation_qType=QuantType.QUInt8,
        tensors_range=None,
        nodes_to_quantize=[],
        nodes_to_exclude=excluded,
        op_types_to_quantize=["Gemm", "MatMul"],
        extra_options={"MatMulConstBOnly": True},
    )
    try:
        quantizer.quantize_model()
    except Exception as error:  # it raises many types of errors
        msg = f"ONNX Runtime cannot quantize the model: {error}"
        raise FuriosaModelsError(msg) from error
    quantized: onnx.ModelProto = quantizer.model.model
    _quantize_weights(quantized.graph, excluded)
    return quantized


def _axis(node: onnx.NodeProto) -> int:
    transposed = any(a.name == "transB" and a.i for a in node.attribute)
    return 0 if transposed else _AXES[node.op_type]


def _is_worth(weight: onnx.TensorProto) -> bool:
    size = int(np.prod(weight.dims))
    return bool(weight.data_type == onnx.TensorProto.FLOAT and size >= _MIN_SIZE)


def _dequantized(graph: onnx.GraphProto, weight: onnx.TensorProto, axis: int) -> onnx.NodeProto:
    """Add 8-bit weights to a graph; return the node that dequantizes them."""
    array = numpy_helper.to_array(weight)
    if not np.isfinite(array).all():
        msg = f"the weights {weight.name!r} cannot be quantized: not all of their values are finite"
        raise WeightsError(msg)
    axis = min(axis, array.ndim - 1)
    others = tuple(i for i in range(array.ndim) if i != axis)
    scale: npt.NDArray[np.float32] = np.abs(array).max(others) / np.float32(127)
    scale = np.where(scale == 0, np.float32(1), scale).astype(np.float32)
    shape = [-1 if i == axis else 1 for i in range(array.ndim)]
    numbers = np.clip(np.round(array / scale.reshape(shape)), -127, 127).astype(np.int8)
    parts: dict[str, npt.NDArray[Any]] = {
        "quantized": numbers,
        "scale": scale,
        "zero_point": np.zeros(scale.shape, np.int8),
    }
    names = [edit.unused_name(f"{weight.name}_{part}", graph) for part in parts]
    for part, name in zip(parts.values(), names, strict=True):
        graph.initializer.append(numpy_helper.from_array(part, name))
    result = edit.unused_name(f"{weight.name}_dequantized", graph)
    return helper.make_node("DequantizeLinear", names, [result], result, axis=axis)

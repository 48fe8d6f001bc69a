"""The form of a float model that quantization works on."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import numpy_helper, version_converter

from ..errors import ConversionError, FuriosaModelsError
from ..networks import edit

__all__ = ["float_model"]

_OPSET = 13
"""First opset whose `DequantizeLinear` has a scale for each channel."""
_IR_VERSION = 7
_HALVES = frozenset({onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16})
_QUANTIZED = frozenset(
    {"ConvInteger", "DequantizeLinear", "MatMulInteger", "QLinearConv", "QLinearMatMul"}
)


def float_model(model: onnx.ModelProto | bytes) -> onnx.ModelProto:
    """Return a copy of a float32 model in the form that quantization works on.

    It has opset 13 at least; its nodes have unique names and follow those whose results they take;
    its constants are initializers, which are no inputs; biases of `Gemm` have a single dimension
    and no factor.

    Raises:
        ConversionError: The model has an older opset and cannot be converted.
        FuriosaModelsError: The model is already quantized, or computes in float16.
        TypeError: The model is neither a `ModelProto` nor bytes.
        WeightsError: The bytes are not an ONNX model.
    """
    proto = edit.parse(model)
    edit.constants_to_initializers(proto.graph)
    edit.name_nodes(proto.graph)
    _check_float32(proto)
    _hide_initializers(proto)
    edit.sort_nodes(proto.graph)
    proto = _upgraded(proto)
    _normalize_biases(proto.graph)
    return proto


def _check_float32(model: onnx.ModelProto) -> None:
    """Raise FuriosaModelsError if a model has no float32 operations to quantize."""
    operations = {node.op_type for node in model.graph.node}
    if done := sorted(operations & _QUANTIZED):
        msg = (
            f"the network is quantized already (it has {', '.join(done)}): quantize the original "
            "float32 network"
        )
        raise FuriosaModelsError(msg)
    weighted = [node for node in model.graph.node if node.op_type in ("Conv", "Gemm", "MatMul")]
    used = {name for node in weighted for name in node.input}
    kinds = {tensor.data_type for tensor in model.graph.initializer if tensor.name in used}
    if kinds and kinds <= _HALVES:
        msg = (
            "the network computes in float16, but quantization needs float32: export it in float32 "
            "(exporters of YOLO: without half=True)"
        )
        raise FuriosaModelsError(msg)


def _hide_initializers(model: onnx.ModelProto) -> None:
    """Remove initializers from the inputs, where the first versions of ONNX repeat them."""
    constants = {tensor.name for tensor in model.graph.initializer}
    for value in [value for value in model.graph.input if value.name in constants]:
        model.graph.input.remove(value)
    model.ir_version = max(model.ir_version, _IR_VERSION)


def _upgraded(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a model with opset 13 at least."""
    version = next((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), _OPSET)
    if version >= _OPSET:
        return model
    try:
        upgraded = version_converter.convert_version(model, _OPSET)
    except Exception as error:  # onnx raises many types of errors
        msg = (
            f"the model has opset {version}, but quantization needs {_OPSET}, and onnx cannot "
            f"convert it: {error}; export it again with opset {_OPSET} or newer"
        )
        raise ConversionError(msg) from error
    edit.constants_to_initializers(upgraded.graph)
    edit.name_nodes(upgraded.graph)
    return upgraded


def _normalize_biases(graph: onnx.GraphProto) -> None:
    """Give the biases of `Gemm` the shape (outputs,) and the factor 1.

    ONNX Runtime's quantizer fails on other shapes, and applies `beta` to the bias but keeps it.
    """
    constants = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type != "Gemm" or len(node.input) < 3:
            continue
        weight, bias = (constants.get(name) for name in node.input[1:3])
        if weight is None or bias is None or len(weight.dims) != 2:
            continue
        if [*bias.dims[:-1]] not in ([], [1]):
            continue
        factors = {a.name: a for a in node.attribute}
        outputs = weight.dims[0 if "transB" in factors and factors["transB"].i else 1]
        beta = factors["beta"].f if "beta" in factors else 1.0
        if beta == 1 and [*bias.dims] == [outputs]:
            continue
        array = np.broadcast_to(numpy_helper.to_array(bias).reshape(-1), (outputs,))
        name = f"{bias.name}/{node.name}"
        graph.initializer.append(numpy_helper.from_array(array * np.float32(beta), name))
        node.input[2] = name
        if "beta" in factors:
            node.attribute.remove(factors["beta"])

"""Bias correction: biases that compensate for the rounding of weights.

Rounded weights have small systematic errors, which shift the mean of a convolution's output by the
error times the mean of its input. The corrected bias subtracts that shift. See Nagel et al.,
"Data-free quantization through weight equalization and bias correction" (2019).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

__all__ = ["correct_biases", "float_weights"]

_Array = npt.NDArray[np.float64]


def float_weights(graph: onnx.GraphProto) -> dict[str, tuple[str, _Array]]:
    """Return the input's name and the float64 weights of each convolution by node name."""
    constants = {tensor.name: tensor for tensor in graph.initializer}
    return {
        node.name: (node.input[0], _array(constants[node.input[1]]))
        for node in graph.node
        if node.op_type == "Conv" and node.input[1] in constants
    }


def correct_biases(
    graph: onnx.GraphProto,
    weights: Mapping[str, tuple[str, _Array]],
    channel_means: Mapping[str, Sequence[float]],
) -> None:
    """Correct the biases of all quantized convolutions whose input means are known.

    Args:
        graph: Quantized graph, which is modified.
        weights: Weights of the float graph, from `float_weights`.
        channel_means: Mean of each channel of the float graph's tensors, by tensor name.
    """
    constants = {tensor.name: tensor for tensor in graph.initializer}
    producers = {name: node for node in graph.node for name in node.output}
    for node in graph.node:
        if node.op_type != "Conv" or len(node.input) < 3 or node.name not in weights:
            continue
        source, exact = weights[node.name]
        sources = [producers.get(name) for name in node.input[1:]]
        means = channel_means.get(source)
        if means is None or any(s is None or s.op_type != "DequantizeLinear" for s in sources):
            continue
        if any(s.input[0] not in constants for s in sources if s is not None):
            continue  # the weights are float, and rounded in the graph
        kernel, bias = ([constants[name] for name in s.input] for s in sources if s is not None)
        error = _dequantized(kernel) - exact
        shift = _response(error.sum(tuple(range(2, error.ndim))), np.asarray(means))
        _shift(bias, shift)


def _array(tensor: onnx.TensorProto) -> _Array:
    return numpy_helper.to_array(tensor).astype(np.float64)


def _dequantized(parts: list[onnx.TensorProto]) -> _Array:
    """Dequantize weights with scales and zero points for each output channel."""
    numbers, scale, zero = (_array(part) for part in parts)
    shape = (-1, *[1] * (numbers.ndim - 1))
    weights: _Array = (numbers - zero.reshape(shape)) * scale.reshape(shape)
    return weights


def _response(error: _Array, means: _Array) -> _Array:
    """Return the mean effect of a weight error (outputs, inputs of a group) on each output."""
    groups = len(means) // error.shape[1]
    by_group = means.reshape(groups, -1)[np.arange(len(error)) * groups // len(error)]
    response: _Array = (error * by_group).sum(1)
    return response


def _shift(bias: list[onnx.TensorProto], shift: _Array) -> None:
    numbers, scale = numpy_helper.to_array(bias[0]), _array(bias[1])
    corrected = np.round(numbers - shift / scale).astype(numbers.dtype)
    bias[0].CopyFrom(numpy_helper.from_array(corrected, bias[0].name))

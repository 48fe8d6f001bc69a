"""What a quantized ONNX program says about its tensors and weights."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

from ...networks import edit

__all__ = ["QuantizedProgram", "Range", "Weights"]

_Vector = npt.NDArray[np.float64]


_NUMBER = re.compile(r"__\d+$")
_MOVES = edit.SHAPE_OPERATIONS - {"Cast", "Concat", "Slice", "Split"}
_MOVES |= {"DequantizeLinear", "QuantizeLinear"}


class Range(NamedTuple):
    """Range of a tensor of 8-bit integers, as numbers.

    Attributes:
        tensor: Name of the tensor.
        low: Number that the smallest integer stands for.
        high: Number that the greatest integer stands for.
    """

    tensor: str
    low: float
    high: float


class Weights(NamedTuple):
    """Quantized weights.

    Attributes:
        values: The numbers that the integers stand for, in the layout of ONNX.
        scales: One scale, or one for each output channel.
    """

    values: npt.NDArray[np.float32]
    scales: _Vector


class QuantizedProgram:
    """A program with `QuantizeLinear` and `DequantizeLinear` around its operations.

    Args:
        model: The program. It is not modified.

    Attributes:
        nodes: All nodes but those that quantize and dequantize.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        self._arrays = {tensor.name: tensor for tensor in model.graph.initializer}
        self._producers = {name: node for node in model.graph.node for name in node.output}
        self._nodes = [*model.graph.node]
        self._inputs = edit.get_pure_input_names(model)
        self._outputs = edit.get_output_names(model)
        self.nodes = [
            node
            for node in self._nodes
            if node.op_type not in ("DequantizeLinear", "QuantizeLinear")
        ]

    def ranges(self) -> Iterator[Range]:
        """Yield the range of each quantized tensor that is not constant.

        An output has its own name, although it is the result of `DequantizeLinear`.
        """
        outputs = {
            node.input[0]: node.output[0]
            for node in self._nodes
            if node.op_type == "DequantizeLinear" and node.output[0] in self._outputs
        }
        for node in self._nodes:
            if node.op_type == "QuantizeLinear" and node.input[0] not in self._arrays:
                yield self._range(outputs.get(node.output[0], node.input[0]), node)

    def source(self, tensor: str) -> str:
        """Return the first tensor that operations only move or reshape to `tensor`."""
        node = self._producers.get(tensor)
        while node is not None and _is_move(node):
            tensor = node.input[0]
            node = self._producers.get(tensor)
        return tensor

    def users(self, tensor: str) -> set[str]:
        """Return the names of the nodes that take a tensor, as it is, moved or reshaped."""
        found = set()
        pending = [tensor]
        while pending:
            taken = pending.pop()
            for node in [node for node in self._nodes if taken in node.input]:
                found.add(node.name)
                if _is_move(node):
                    pending.extend(node.output)
        return found

    def tensors(self) -> set[str]:
        """Return the names of the tensors that an operation of TensorFlow computes, too.

        tf2onnx gives the name of an operation to the first of the nodes that it becomes, and
        numbers the others: `x` computes a part of what `x__7` completes.
        """
        return {name for node in self._nodes for name in node.output} - self._parts()

    def _parts(self) -> set[str]:
        return {
            taken
            for node in self._nodes
            if _NUMBER.search(node.name) and not _is_move(node)
            for taken in map(self.source, node.input)
            if taken.removesuffix(":0") == _NUMBER.sub("", node.name)
        }

    def pixels(self, node: onnx.NodeProto) -> Range | None:
        """Return the range of an integer input of the program that a node takes dequantized."""
        source = self._dequantized(node.input[0])
        if source is None or source.input[0] not in self._inputs:
            return None
        return self._range(source.input[0], source)

    def weights(self, node: onnx.NodeProto) -> Weights | None:
        """Return the quantized weights of a node, its second input; None if they are float."""
        source = self._dequantized(node.input[1]) if len(node.input) > 1 else None
        if source is None or source.input[0] not in self._arrays:
            return None
        return Weights(self._numbers(source).astype(np.float32), self._array(source.input[1]))

    def bias(self, node: onnx.NodeProto) -> npt.NDArray[np.float32] | None:
        """Return the bias of a node, its third input; None if there is none."""
        if len(node.input) < 3 or not node.input[2]:
            return None
        source = self._dequantized(node.input[2])
        numbers = self._array(node.input[2]) if source is None else self._numbers(source)
        return numbers.astype(np.float32)

    def constants(self, node: onnx.NodeProto) -> list[Range]:
        """Return the ranges of the quantized constants that a node takes."""
        sources = [self._dequantized(name) for name in node.input]
        return [
            self._range(source.input[0], source)
            for source in sources
            if source is not None and source.input[0] in self._arrays
        ]

    def _dequantized(self, tensor: str) -> onnx.NodeProto | None:
        node = self._producers.get(tensor)
        return node if node is not None and node.op_type == "DequantizeLinear" else None

    def _range(self, tensor: str, node: onnx.NodeProto) -> Range:
        scale = float(self._array(node.input[1]).reshape(-1)[0])
        zero = self._zero_point(node)
        limits = np.iinfo(zero.dtype)
        point = int(zero.reshape(-1)[0])
        return Range(tensor, (limits.min - point) * scale, (limits.max - point) * scale)

    def _zero_point(self, node: onnx.NodeProto) -> npt.NDArray[np.integer]:
        if len(node.input) < 3 or not node.input[2]:
            return np.zeros(1, np.uint8)
        return np.asarray(numpy_helper.to_array(self._arrays[node.input[2]]))

    def _numbers(self, node: onnx.NodeProto) -> _Vector:
        integers, scale = self._array(node.input[0]), self._array(node.input[1])
        zero = np.zeros_like(scale)
        if len(node.input) > 2 and node.input[2]:
            zero = self._array(node.input[2])
        if scale.size > 1:
            axis = next((a.i for a in node.attribute if a.name == "axis"), 1) % integers.ndim
            shape = [-1 if place == axis else 1 for place in range(integers.ndim)]
            scale, zero = scale.reshape(shape), zero.reshape(shape)
        numbers: _Vector = (integers - zero) * scale
        return numbers

    def _array(self, name: str) -> _Vector:
        return numpy_helper.to_array(self._arrays[name]).astype(np.float64)


def _is_move(node: onnx.NodeProto) -> bool:
    """Return whether the output of a node has the values of its first input."""
    return node.op_type in _MOVES

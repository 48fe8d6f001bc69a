"""Edits of quantized graphs, where QuantizeLinear and DequantizeLinear round tensors in pairs."""

from __future__ import annotations

from collections import defaultdict
from typing import NamedTuple

import onnx

from .edit import Model, parse, remove_unused, taken_names, to_bytes

__all__ = ["without_inner_rounding"]

_COMPUTING = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})
_GATES = frozenset({"HardSigmoid", "Sigmoid"})
_ACTIVATIONS = _GATES | {
    *("Clip", "Elu", "Gelu", "HardSwish", "LeakyRelu", "Mish", "Relu", "Softplus", "Tanh")
}


class _Use(NamedTuple):
    """An input of a node.

    Attributes:
        node: The node.
        position: Number of the input.
    """

    node: onnx.NodeProto
    position: int


def without_inner_rounding(model: Model) -> bytes:
    """Return a quantized model that does not round between a convolution and its activation.

    A runtime with one kernel for both computes the activation of the sums that it has accumulated,
    and rounds once: this is faster, and closer to float32. The activation has one input, or is
    swish, x * sigmoid(x). A convolution whose rounded result is also read otherwise stays as it is.

    Args:
        model: A model; one without such places is returned unchanged.
    """
    proto = parse(model)
    reads = _Reads(proto.graph)
    count = 0
    for node in proto.graph.node:
        if node.op_type in _COMPUTING:
            count += reads.fuse(node.output[0])
    if not count:
        return model if isinstance(model, bytes) else to_bytes(model)
    remove_unused(proto.graph)
    return to_bytes(proto)


class _Reads:
    """What reads the tensors of a graph."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self._outputs = {value.name for value in graph.output}
        self._uses: dict[str, list[_Use]] = defaultdict(list)
        for node in graph.node:
            for position, name in enumerate(node.input):
                self._uses[name].append(_Use(node, position))
            self._outputs.update(set(taken_names(node)) - set(node.input))  # read by subgraphs

    def fuse(self, name: str) -> bool:
        """Let the activation of a tensor read it without rounding; return whether it has one."""
        uses = self._rounded(name)
        if len(uses) == 1 and uses[0].node.op_type in _ACTIVATIONS:
            _read(uses, name)
            return True
        gate = next((use.node for use in uses if use.node.op_type in _GATES), None)
        product = next((use.node for use in uses if use.node.op_type == "Mul"), None)
        if len(uses) != 2 or gate is None or product is None:
            return False
        gated = self._rounded(gate.output[0])
        if [use.node for use in gated or self._only(gate.output[0], "Mul")] != [product]:
            return False
        _read(uses, name)
        _read(gated, gate.output[0])
        return True

    def _rounded(self, name: str) -> list[_Use]:
        """Return what reads a tensor after it was rounded; nothing if something reads it before."""
        rounding = self._only(name, "QuantizeLinear")
        if len(rounding) != 1:
            return []
        found: list[_Use] = []
        for back in self._only(rounding[0].node.output[0], "DequantizeLinear"):
            if back.node.output[0] in self._outputs:
                return []
            found += self._uses[back.node.output[0]]
        return found

    def _only(self, name: str, kind: str) -> list[_Use]:
        """Return what reads a tensor, if these are nodes of one kind, and it is no output."""
        uses = self._uses[name]
        is_only = name not in self._outputs and all(use.node.op_type == kind for use in uses)
        return uses if is_only else []


def _read(uses: list[_Use], name: str) -> None:
    for node, position in uses:
        node.input[position] = name

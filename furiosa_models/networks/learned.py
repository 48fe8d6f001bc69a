"""Which tensors of an ONNX graph are learned, rather than constants such as anchors and strides."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import onnx

__all__ = ["kernel_origin", "learned_tensors"]

_WEIGHTS: Mapping[str, tuple[int, ...]] = MappingProxyType(
    {
        "BatchNormalization": (1, 2),
        "Conv": (1, 2),
        "ConvTranspose": (1, 2),
        "Gemm": (1, 2),
        "InstanceNormalization": (1, 2),
        "LayerNormalization": (1, 2),
        "MatMul": (0, 1),
        "PRelu": (1,),
    }
)
"""Places of the learned inputs of operations."""

_BIASED = frozenset({"Conv", "ConvTranspose", "Gemm", "LayerNormalization", "MatMul"})
_MOVES = frozenset({"Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze"})


def kernel_origin(name: str, producers: Mapping[str, onnx.NodeProto]) -> str:
    """Return the name of the tensor that a kernel is rearranged from.

    Args:
        name: Name of the kernel that a layer takes.
        producers: The node that computes each tensor.
    """
    while name in producers and producers[name].op_type in _MOVES:
        name = producers[name].input[0]
    return name


def learned_tensors(graph: onnx.GraphProto) -> frozenset[str]:
    """Return the names of the initializers that are weights of layers.

    These are the kernels and biases of convolutions and matrix products, the parameters of
    normalizations, slopes, and what is added to or multiplied with the result of a layer. Kernels
    may be rearranged first.
    """
    constants = {tensor.name for tensor in graph.initializer}
    producers = {name: node for node in graph.node for name in node.output}

    found: set[str] = set()
    for node in graph.node:
        places = _WEIGHTS.get(node.op_type, ())
        inputs = (node.input[place] for place in places if place < len(node.input))
        found.update(kernel_origin(name, producers) for name in inputs)
        if node.op_type in ("Add", "Mul") and len(node.input) == 2:
            sources = [producers.get(name) for name in node.input]
            found.update(
                other
                for source, other in zip(sources, reversed(node.input), strict=True)
                if source is not None and source.op_type in _BIASED
            )
    return frozenset(found & constants)

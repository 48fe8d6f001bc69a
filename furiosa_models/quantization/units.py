"""Units of a network: operations that are quantized, or left float, together.

A unit starts with an operation that computes new values, such as a convolution. Activations,
pooling and moves of its result belong to it: to leave only one of them float would add conversions
without adding precision.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import onnx

__all__ = ["Unit", "units_of"]

_FOLLOWING = frozenset(
    {"AveragePool", "Clip", "GlobalAveragePool", "LeakyRelu", "MaxPool", "Relu", "Reshape"}
    | {"Resize", "Sigmoid", "Split", "Transpose"}
)


@dataclass(frozen=True, slots=True)
class Unit:
    """Operations that are quantized together.

    Attributes:
        name: Name of the first node.
        kind: Type of the first node.
        nodes: Names of all its nodes.
    """

    name: str
    kind: str
    nodes: tuple[str, ...]


def units_of(graph: onnx.GraphProto, nodes: Collection[str]) -> list[Unit]:
    """Return the units of a graph in its order.

    Args:
        graph: A graph whose nodes are named.
        nodes: Names of the nodes to quantize; the others belong to no unit.
    """
    chosen = {*nodes}
    producers = {name: node for node in graph.node for name in node.output}
    first: dict[str, str] = {}
    members: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.node:
        if node.name not in chosen:
            continue
        before = [producers.get(name) for name in node.input]
        source = before[0] if before else None
        joins = source is not None and source.name in first and _follows(node, before)
        start = first[source.name] if joins and source is not None else node.name
        first[node.name] = start
        members.setdefault(start, []).append(node)
    return [
        Unit(name, found[0].op_type, tuple(node.name for node in found))
        for name, found in members.items()
    ]


def _follows(node: onnx.NodeProto, before: list[onnx.NodeProto | None]) -> bool:
    """Return whether a node belongs to the unit of the node before it."""
    if node.op_type in _FOLLOWING:
        return True
    if node.op_type != "Mul" or len(before) != 2:
        return False
    # x * sigmoid(x), the activation swish
    gates = [n for n in before if n is not None and n.op_type == "Sigmoid"]
    return any(gate.input[0] in node.input for gate in gates)

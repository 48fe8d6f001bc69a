"""Folding of batch normalization, and of other scaling of channels, into the weights before it."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .edit import FLOAT, EditableGraph, flag, is_nhwc, is_stateless, node_of
from .frozen import FrozenGraph
from .rewriting import merge_dilation, replace_erfc

__all__ = ["WEIGHTED", "folded"]

WEIGHTED = frozenset({"Conv2D", "DepthwiseConv2dNative", "MatMul"})
"""Operations whose second input are weights."""

_NORMALIZATIONS = frozenset({"FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3"})
_UNMERGED = frozenset(
    {"Enter", "Exit", "LoopCond", "Merge", "NextIteration", "Switch"}
    | {"Placeholder", "PlaceholderWithDefault"}
)
"""Operations without state whose result differs for the same inputs."""

_Vector = npt.NDArray[np.float64]


class _Scaling(NamedTuple):
    """A node that computes `scale * x + offset` for each channel."""

    node: Any
    scale: _Vector
    offset: _Vector


def folded(graph: FrozenGraph) -> FrozenGraph:
    """Return an equal graph in which constant scaling of channels is part of the weights.

    After `Conv2D`, `DepthwiseConv2dNative` and `MatMul`, constant additions, multiplications and
    normalizations become one `BiasAdd`, which has the name of the last of them. As tf2onnx does it,
    equal operations are merged, and divisions by constants become multiplications.
    """
    editable = EditableGraph(graph)
    _merge_duplicates(editable)
    editable.prune()
    for node in [*editable.nodes.values()]:
        if node.op == "Conv2D":
            merge_dilation(editable, node)
        elif node.op == "Erfc":
            replace_erfc(editable, node)
    for node in [*editable.nodes.values()]:
        if node.op in WEIGHTED and _is_supported(editable, node):
            _fold(editable, node)
    for node in [*editable.nodes.values()]:
        if node.op == "RealDiv" and node.attr["T"].type == FLOAT:
            _multiply(editable, node)
    return editable.finished()


def _merge_duplicates(graph: EditableGraph) -> None:
    """Make each result, and each use of it, one node, as tf2onnx does: it has one counterpart."""
    inputs = {node_of(tensor) for tensor in graph.inputs.values()}
    kept = inputs | {node_of(tensor) for tensor in graph.outputs.values()}
    same: dict[str, str] = {}
    first: dict[tuple[str, tuple[str, ...], bytes], str] = {}
    for node in graph.sorted_nodes():
        taken = [same.get(node_of(tensor), node_of(tensor)) for tensor in node.input]
        places = [tensor.removeprefix(node_of(tensor)) for tensor in node.input]
        node.input[:] = [f"{name}{place}" for name, place in zip(taken, places, strict=True)]
        if node.op == "Identity" or (
            node.op == "PlaceholderWithDefault" and node.name not in inputs
        ):
            if not places[0]:
                same[node.name] = taken[0]
        elif node.name not in kept and node.op not in _UNMERGED and is_stateless(node.op):
            content = type(node)(attr=node.attr).SerializeToString(deterministic=True)
            name = first.setdefault((node.op, tuple(node.input), content), node.name)
            if name != node.name:
                same[node.name] = name


def _multiply(graph: EditableGraph, node: Any) -> None:
    """Replace a division by a constant with a multiplication, which integers support."""
    if graph.is_constant(node.input[1]) and not graph.is_constant(node.input[0]):
        factor = 1 / graph.value(node.input[1]).astype(np.float64)
        node.op = "Mul"
        node.input[1] = graph.add_constant(f"{node.name}/factor", factor.astype(np.float32))


def _is_supported(graph: EditableGraph, node: Any) -> bool:
    return (
        node.attr["T"].type == FLOAT
        and is_nhwc(node)
        and not flag(node, "transpose_b")
        and graph.is_constant(node.input[1])
    )


def _fold(graph: EditableGraph, node: Any) -> None:
    weights = graph.value(node.input[1])
    channels = weights.shape[-1]
    if node.op == "DepthwiseConv2dNative":
        channels *= weights.shape[-2]
    chain = _chain(graph, node, channels)
    if not chain or [step.node.op for step in chain] == ["BiasAdd"]:
        return
    scale, offset = np.ones(channels), np.zeros(channels)
    for step in chain:
        scale, offset = step.scale * scale, step.scale * offset + step.offset
    shape = weights.shape[-2:] if node.op == "DepthwiseConv2dNative" else (channels,)
    scaled = (weights * scale.reshape(shape)).astype(np.float32)
    last = chain[-1].node.name
    for step in chain:
        del graph.nodes[step.node.name]
    node.input[1] = graph.add_constant(f"{node.name}/weights", scaled)
    bias = graph.add_constant(f"{last}/bias", offset.astype(np.float32))
    graph.add("BiasAdd", last, [node.name, bias], T=FLOAT)


def _chain(graph: EditableGraph, node: Any, channels: int) -> list[_Scaling]:
    """Return the nodes after a node that only scale its channels."""
    chain: list[_Scaling] = []
    while True:
        user = graph.only_user(node)
        step = None if user is None else _scaling(graph, *user, channels)
        if step is None:
            return chain
        chain.append(step)
        node = step.node


def _scaling(graph: EditableGraph, node: Any, place: int, channels: int) -> _Scaling | None:
    """Return what a node does with its input at `place`; None if it does not scale channels."""
    others = [name for index, name in enumerate(node.input) if index != place]
    if not is_nhwc(node) or not all(map(graph.is_constant, others)):
        return None
    if node.op in _NORMALIZATIONS:
        return _normalization(graph, node, others) if place == 0 else None
    if node.op not in ("BiasAdd", "Add", "AddV2", "Sub", "Mul", "RealDiv") or len(others) != 1:
        return None
    if place == 1 and node.op in ("Sub", "RealDiv"):
        return None
    value = graph.value(others[0]).astype(np.float64)
    if value.size != 1 and (value.size != channels or value.shape[-1] != channels):
        return None
    vector = np.broadcast_to(value.reshape(-1), channels)
    one, zero = np.ones(channels), np.zeros(channels)
    if node.op == "Mul":
        return _Scaling(node, vector, zero)
    if node.op == "RealDiv":
        return _Scaling(node, one / vector, zero)
    return _Scaling(node, one, -vector if node.op == "Sub" else vector)


def _normalization(graph: EditableGraph, node: Any, others: list[str]) -> _Scaling | None:
    if flag(node, "is_training"):
        return None
    gamma, beta, mean, variance = (graph.value(name).astype(np.float64) for name in others[:4])
    scale = gamma / np.sqrt(variance + node.attr["epsilon"].f)
    return _Scaling(node, scale, beta - mean * scale)

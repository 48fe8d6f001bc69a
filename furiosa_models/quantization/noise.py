"""Noise that the quantization of single operations adds to the outputs of a network.

One session measures any subset of the operations: every rounding in its graph is in a branch that a
boolean input selects. So the noise of each of a hundred operations takes a hundred inferences, but
only one session.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper

from ..errors import FuriosaModelsError
from ..networks import edit
from .quantizer import Prepared, insert_qdq
from .session import open_session

__all__ = ["NoiseMeter", "decibels"]

Array = npt.NDArray[Any]
_SELECTIONS = frozenset({"ArgMax", "ArgMin", "NonMaxSuppression", "NonZero", "TopK"})
"""Operations that choose values. After them, noise has no effect or a large one, so it is measured
before them."""


def decibels(noise: float) -> float:
    """Return the signal-to-noise ratio in decibels for a noise power relative to the signal."""
    return math.inf if noise <= 0 else -10 * math.log10(noise)


class NoiseMeter:
    """Measures the noise at the outputs of a network if some of its nodes are quantized.

    Args:
        prepared: The float network.
        inputs: Sample inputs by name, as the network took them before its preparation.

    Raises:
        FuriosaModelsError: The network cannot be run on the inputs, or has no float output.
    """

    def __init__(self, prepared: Prepared, inputs: Sequence[Mapping[str, Array]]) -> None:
        switched = _Switched(prepared)
        self._flags, self._outputs = switched.flags, switched.outputs
        self._session = open_session(switched.model, optimize=False)
        self._inputs = [_centered(feed, prepared) for feed in inputs]
        self._exact = [self._run(feed, frozenset()) for feed in self._inputs]

    def noise(self, quantized: Collection[str]) -> float:
        """Return the noise power relative to the signal, averaged over outputs and inputs.

        Args:
            quantized: Names of the nodes that are quantized.
        """
        chosen = frozenset(quantized)
        powers = [
            _relative_power(noisy - exact, exact)
            for feed, before in zip(self._inputs, self._exact, strict=True)
            for noisy, exact in zip(self._run(feed, chosen), before, strict=True)
        ]
        return float(np.mean(powers))

    def _run(self, feed: Mapping[str, Array], quantized: frozenset[str]) -> list[Array]:
        flags = {name: np.array(not nodes.isdisjoint(quantized)) for name, nodes in self._flags}
        try:
            values = self._session.run(self._outputs, {**feed, **flags})
        except Exception as error:  # ONNX Runtime's exceptions share no public base
            msg = f"the network cannot be run to measure the noise of quantization: {error}"
            raise FuriosaModelsError(msg) from error
        return [value.astype(np.float64) for value in values]


def _relative_power(error: Array, exact: Array) -> float:
    signal, noise = float(np.mean(exact**2)), float(np.mean(error**2))
    return noise / signal if signal > 0 else noise


def _centered(feed: Mapping[str, Array], prepared: Prepared) -> dict[str, Array]:
    """Return the inputs of the prepared network, which takes pixels minus their zero point."""
    return {
        name: array.astype(np.float32) + np.float32(prepared.ranges[name][0])
        if name in prepared.inputs and array.dtype == np.uint8
        else array
        for name, array in feed.items()
    }


class _Switched:
    """A float graph in which boolean inputs select the rounding of each tensor.

    Attributes:
        model: The graph.
        flags: Name of each boolean input, and the nodes next to its tensor: the tensor is rounded
            if one of them is quantized.
        outputs: Names of the tensors that noise is measured on.
    """

    def __init__(self, prepared: Prepared) -> None:
        self.model = edit.parse(prepared.model)
        self.flags: list[tuple[str, set[str]]] = []
        graph = self.model.graph
        qdq = insert_qdq(edit.parse(prepared.model), prepared.nodes, prepared.ranges).graph
        switches: dict[str, onnx.NodeProto] = {}
        for name, rounding in _roundings(graph, qdq):
            if name not in switches:
                flag = f"{name}/is_rounded"
                switches[name] = _switch(flag, name, rounding)
                nodes = {node.name for node in graph.node if name in (*node.input, *node.output)}
                self.flags.append((flag, nodes))
        self.outputs = [
            switches[name].output[0] if name in switches else name
            for name in _smooth_outputs(self.model)
        ]
        for node in graph.node:
            node.input[:] = [
                switches[name].output[0] if name in switches else name for name in node.input
            ]
        graph.node.extend(switches.values())
        constants = {tensor.name: tensor for tensor in graph.initializer}
        graph.initializer.extend(t for t in qdq.initializer if t.name not in constants)
        flags = [helper.make_tensor_value_info(f, TensorProto.BOOL, []) for f, _ in self.flags]
        graph.input.extend(flags)
        del graph.value_info[:], graph.output[:]
        graph.output.extend(
            helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in self.outputs
        )
        edit.sort_nodes(graph)


def _roundings(
    graph: onnx.GraphProto, qdq: onnx.GraphProto
) -> Iterator[tuple[str, list[onnx.NodeProto]]]:
    """Yield each tensor of a float graph that is rounded in its quantized form, and by what nodes.

    These are two nodes for an activation, and one that dequantizes for a weight or a bias.
    """
    producers = {name: node for node in qdq.node for name in node.output}
    originals = {node.name: node for node in graph.node}
    known = {name for node in graph.node for name in node.output}
    known |= {value.name for value in graph.input}
    for node in qdq.node:
        if node.op_type == "DequantizeLinear":
            first = producers.get(node.input[0])
            if first is not None:
                # The quantizer renames the input of the first node if it is an output of the graph.
                names = [name for name in (first.input[0], node.output[0]) if name in known]
                yield names[0], [first, node]
        elif node.name in originals:
            for name, original in zip(node.input, originals[node.name].input, strict=False):
                source = producers.get(name)
                if (
                    source is not None
                    and source.op_type == "DequantizeLinear"
                    and source.input[0] not in producers
                ):
                    yield original, [source]


def _switch(flag: str, name: str, rounding: Sequence[onnx.NodeProto]) -> onnx.NodeProto:
    """Return a node that rounds a tensor if the flag is true."""
    nodes = [onnx.NodeProto.FromString(node.SerializeToString()) for node in rounding]
    rounded, exact, result = f"{name}/rounded", f"{name}/exact", f"{name}/switched"
    if len(nodes) > 1:
        nodes[0].input[0] = name
    nodes[-1].output[0] = rounded
    identity = helper.make_node("Identity", [name], [exact])
    branches = {
        key: helper.make_graph(
            body, key, [], [helper.make_tensor_value_info(output, TensorProto.FLOAT, None)]
        )
        for key, body, output in (
            ("then_branch", nodes, rounded),
            ("else_branch", [identity], exact),
        )
    }
    return helper.make_node("If", [flag], [result], result, **branches)


def _smooth_outputs(model: onnx.ModelProto) -> list[str]:
    """Return the float tensors nearest to the outputs that no selection comes before.

    Raises:
        FuriosaModelsError: There are none.
    """
    inferred = edit.inferred(model)
    infos = (*inferred.value_info, *inferred.output)
    floats = {v.name for v in infos if v.type.tensor_type.elem_type == TensorProto.FLOAT}
    graph = model.graph
    producers = {name: node for node in graph.node for name in node.output}
    selected: set[str] = set()
    for node in graph.node:
        if node.op_type in _SELECTIONS or not selected.isdisjoint(node.input):
            selected.update(node.output)
    found: list[str] = []
    pending, seen = [value.name for value in graph.output], set()
    while pending:
        name = pending.pop(0)
        if name in seen or name not in producers:
            continue
        seen.add(name)
        if name in floats and name not in selected:
            found.append(name)
        else:
            pending.extend(producers[name].input)
    if not found:
        msg = "the network has no float outputs to measure the noise of quantization on"
        raise FuriosaModelsError(msg)
    return found

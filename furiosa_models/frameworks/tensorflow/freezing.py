"""Freezing of signatures: their variables become constants, and their functions nodes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...errors import ConversionError
from .framework import first_line, quiet, tensorflow
from .frozen import FrozenGraph, served

__all__ = ["freeze"]

_CALLS = ("PartitionedCall", "StatefulPartitionedCall")
_INLINED = "_to_inline"
_MARKS = ("_XlaMustCompile", "_noinline")


def freeze(function: Any, outputs: Mapping[str, str]) -> FrozenGraph:
    """Return the graph of a signature, with its variables as constants.

    Args:
        function: A concrete function with inputs by name, and a mapping of outputs by name.
        outputs: Wanted outputs; those that the function does not have are tensors of its graph.

    Raises:
        ConversionError: The graph cannot be frozen.
    """
    frozen = _frozen(function)
    # TensorFlow flattens mappings by sorted keys.
    keys = sorted(function.structured_input_signature[1])
    inputs = {key: tensor.name for key, tensor in zip(keys, frozen.inputs, strict=True)}
    names = sorted(function.structured_outputs)
    known = {name: tensor.name for name, tensor in zip(names, frozen.outputs, strict=True)}
    wanted = {name: known.get(name, tensor) for name, tensor in outputs.items()}
    return _inlined(FrozenGraph(frozen.graph.as_graph_def(), inputs, wanted))


def _frozen(function: Any) -> Any:
    tensorflow("freezing a graph")
    from tensorflow.python.framework.convert_to_constants import (
        convert_variables_to_constants_v2,
    )

    with quiet():
        try:
            return convert_variables_to_constants_v2(
                function, lower_control_flow=False, aggressive_inlining=True
            )
        except Exception as error:  # TensorFlow raises errors of many types
            msg = f"the graph cannot be frozen: {first_line(error)}"
            raise ConversionError(msg) from error


def _inlined(graph: FrozenGraph) -> FrozenGraph:
    """Return a graph without the calls of functions that were meant for another compiler.

    Keras makes such functions of grouped convolutions, which TensorFlow does not inline.
    """
    if not any(node.op in _CALLS for node in graph.graph_def.node):
        return graph
    copy = type(graph.graph_def)()
    copy.CopyFrom(graph.graph_def)
    bodies = [function.node_def for function in copy.library.function]
    for node in (node for nodes in (copy.node, *bodies) for node in nodes):
        _unmark(node)
        if node.op in _CALLS:  # TensorFlow keeps the functions of a process by name
            node.attr["f"].func.name += _INLINED
    for function in copy.library.function:
        _unmark(function)
        function.signature.name += _INLINED
    frozen = _frozen(served(FrozenGraph(copy, graph.inputs, graph.outputs)))
    inputs = dict(zip(graph.inputs, (tensor.name for tensor in frozen.inputs), strict=True))
    outputs = dict(zip(graph.outputs, (tensor.name for tensor in frozen.outputs), strict=True))
    return FrozenGraph(frozen.graph.as_graph_def(), inputs, outputs)


def _unmark(holder: Any) -> None:
    for mark in _MARKS:
        holder.attr.pop(mark, None)

"""Frozen graphs: GraphDefs without variables and functions, with named inputs and outputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import ConversionError, ShapeError
from ..base import Array
from .framework import quiet, tensorflow

__all__ = [
    "FrozenGraph",
    "as_graph",
    "as_tensor",
    "call",
    "check_no_variables",
    "freeze",
    "parse_graph",
    "run",
    "save_as_saved_model",
    "served",
]

_CALLS = ("PartitionedCall", "StatefulPartitionedCall")
_INLINED = "_to_inline"
_MARKS = ("_XlaMustCompile", "_noinline")
_VARIABLES = frozenset({"VarHandleOp", "Variable", "VariableV2", "AutoReloadVariable"})


@dataclass(frozen=True, slots=True)
class FrozenGraph:
    """A graph whose weights are constants.

    Attributes:
        graph_def: The `tf.compat.v1.GraphDef`. It is not modified.
        inputs: Tensors (`node:0`) of the inputs by their names, in order.
        outputs: Tensors of the outputs by their names, in order.
    """

    graph_def: Any
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]


def parse_graph(data: bytes, what: str) -> Any:
    """Return a GraphDef.

    Raises:
        ConversionError: TensorFlow cannot parse the bytes.
        ExtraRequired: TensorFlow is not installed.
    """
    tf = tensorflow(f"using {what}")
    graph_def = tf.compat.v1.GraphDef()
    try:
        graph_def.ParseFromString(data)
    except Exception as error:  # the error's class depends on the version of protobuf
        msg = f"TensorFlow cannot parse {what}: {error}"
        raise ConversionError(msg) from error
    return graph_def


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
            msg = f"the graph cannot be frozen: {_first_line(error)}"
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


def run(graph: FrozenGraph, feed: Mapping[str, Array]) -> list[Array]:
    """Return the outputs of a frozen graph.

    Args:
        graph: The graph.
        feed: Inputs by name.

    Raises:
        ShapeError: TensorFlow rejects the inputs.
        ConversionError: The graph has no such tensors, or variables.
    """
    function = served(graph)
    tensors = [
        as_tensor(feed[name], function.inputs[place], name)
        for place, name in enumerate(graph.inputs)
    ]
    return call(function, tensors)


def call(function: Any, tensors: Sequence[Any] = (), **named: Any) -> list[Array]:
    """Call a function of TensorFlow, and return its outputs in their order as arrays.

    Raises:
        ShapeError: TensorFlow rejects the inputs.
    """
    tf = tensorflow("running a model")
    try:
        outputs = function(*tensors, **named)
    except (TypeError, ValueError, tf.errors.InvalidArgumentError) as error:
        msg = f"TensorFlow rejects the inputs: {_first_line(error)}"
        raise ShapeError(msg) from error
    return [np.asarray(output) for output in tf.nest.flatten(outputs)]


def served(graph: FrozenGraph) -> Any:
    """Return a function of a frozen graph that takes its inputs, and returns its outputs, in order.

    Raises:
        ConversionError: The graph has no such tensors, or variables.
    """
    tf = tensorflow("using a graph")
    check_no_variables(graph.graph_def)
    with quiet():
        try:
            wrapped = tf.compat.v1.wrap_function(
                lambda: tf.compat.v1.import_graph_def(graph.graph_def, name=""), []
            )
            element = wrapped.graph.as_graph_element
            return wrapped.prune(
                [element(tensor) for tensor in graph.inputs.values()],
                [element(tensor) for tensor in graph.outputs.values()],
            )
        except (KeyError, ValueError, tf.errors.OpError) as error:
            msg = f"TensorFlow cannot import the graph: {_first_line(error)}"
            raise ConversionError(msg) from error


def as_graph(graph: FrozenGraph) -> Any:
    """Return the `tf.Graph` of a frozen graph.

    Raises:
        ConversionError: TensorFlow cannot import it.
    """
    tf = tensorflow("using a graph")
    imported = tf.Graph()
    with quiet(), imported.as_default():
        try:
            tf.compat.v1.import_graph_def(graph.graph_def, name="")
        except (ValueError, tf.errors.OpError) as error:
            msg = f"TensorFlow cannot import the graph: {_first_line(error)}"
            raise ConversionError(msg) from error
    return imported


def save_as_saved_model(graph: FrozenGraph, folder: Path, signature: str) -> None:
    """Write a frozen graph as a SavedModel, with one signature of the graph's inputs and outputs.

    It has the form of TensorFlow 2, unless an input has a name that no argument of a function may
    have: TensorFlow 2 would change it.

    Args:
        graph: The graph.
        folder: An empty folder.
        signature: Name of the signature.

    Raises:
        ConversionError: TensorFlow cannot save it.
    """
    save = _save_2 if all(name.isidentifier() for name in graph.inputs) else _save_1
    with quiet():
        try:
            save(graph, folder, signature)
        except Exception as error:  # TensorFlow raises errors of many types
            msg = f"TensorFlow cannot save the graph: {_first_line(error)}"
            raise ConversionError(msg) from error


def _save_1(graph: FrozenGraph, folder: Path, signature: str) -> None:
    v1 = tensorflow("saving a SavedModel").compat.v1
    imported = as_graph(graph)
    element = imported.as_graph_element
    folder.rmdir()  # the builder accepts no existing folder
    builder = v1.saved_model.Builder(str(folder))
    with imported.as_default(), v1.Session(graph=imported) as session:
        definition = v1.saved_model.predict_signature_def(
            {name: element(tensor) for name, tensor in graph.inputs.items()},
            {name: element(tensor) for name, tensor in graph.outputs.items()},
        )
        builder.add_meta_graph_and_variables(
            session, [v1.saved_model.tag_constants.SERVING], {signature: definition}
        )
    builder.save()


def _save_2(graph: FrozenGraph, folder: Path, signature: str) -> None:
    tf = tensorflow("saving a SavedModel")
    pruned = served(graph)
    specs = [
        tf.TensorSpec(tensor.shape, tensor.dtype, name=name)
        for name, tensor in zip(graph.inputs, pruned.inputs, strict=False)
    ]

    def serve(*tensors: Any) -> dict[str, Any]:
        return dict(zip(graph.outputs, pruned(*tensors), strict=True))

    module = tf.Module()
    module.graph = pruned
    function = tf.function(serve, input_signature=specs, autograph=False)
    # Gradients of the original's operations would need its functions.
    options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
    tf.saved_model.save(module, str(folder), signatures={signature: function}, options=options)


def check_no_variables(graph_def: Any) -> None:
    """Raise ConversionError if a graph has variables."""
    if found := sorted(node.name for node in graph_def.node if node.op in _VARIABLES):
        msg = (
            f"the graph has {len(found)} variables, such as {found[0]!r}, whose values it does not "
            "contain: freeze it, or pass the folder of its checkpoint"
        )
        raise ConversionError(msg)


def as_tensor(array: Array, expected: Any, name: str) -> Any:
    """Return a tensor of an input.

    TensorFlow ends the process at some shapes that it does not expect.

    Args:
        array: The input.
        expected: A tensor, or a `TensorSpec`.
        name: Name of the input.

    Raises:
        ShapeError: The array has another type or shape.
    """
    tf = tensorflow("running a model")
    try:
        tensor = tf.convert_to_tensor(array, expected.dtype)
    except (TypeError, ValueError) as error:
        raise _unexpected(array, expected, name) from error
    if not expected.shape.is_compatible_with(tensor.shape):
        raise _unexpected(array, expected, name)
    return tensor


def _unexpected(array: Array, expected: Any, name: str) -> ShapeError:
    msg = (
        f"input {name!r} must be {expected.dtype.name} {expected.shape}, got {array.dtype} "
        f"{array.shape}"
    )
    return ShapeError(msg)


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__

"""Frozen graphs: GraphDefs without variables and functions, with named inputs and outputs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...errors import ConversionError, ShapeError
from ..base import Array
from .framework import first_line, quiet, tensorflow
from .wire import check_no_variables

__all__ = [
    "FrozenGraph",
    "as_graph",
    "as_tensor",
    "call",
    "parse_graph",
    "run",
    "served",
]


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


def run(function: Any, inputs: Iterable[str], feed: Mapping[str, Array]) -> list[Array]:
    """Return the outputs of a function of `served`.

    Args:
        function: The function.
        inputs: Names of its inputs, in order.
        feed: Inputs by name.

    Raises:
        ShapeError: The inputs do not fit.
    """
    tensors = [
        as_tensor(feed[name], expected, name)
        for name, expected in zip(inputs, function.inputs, strict=False)
    ]
    return call(function, tensors)


def call(function: Any, tensors: Sequence[Any] = (), **named: Any) -> list[Array]:
    """Call a function of TensorFlow, and return its outputs in their order as arrays.

    Raises:
        ShapeError: TensorFlow rejects the inputs.
    """
    tf = tensorflow("running a model")
    try:
        try:
            outputs = function(*tensors, **named)
        except tf.errors.UnimplementedError:  # without oneDNN, it fuses what it has no kernel for
            with _unfused(tf):
                outputs = function(*tensors, **named)
    except (TypeError, ValueError, tf.errors.InvalidArgumentError) as error:
        msg = f"TensorFlow rejects the inputs: {first_line(error)}"
        raise ShapeError(msg) from error
    return [np.asarray(output) for output in tf.nest.flatten(outputs)]


@contextmanager
def _unfused(tf: Any) -> Iterator[None]:
    """Let TensorFlow fuse no operations."""
    before = tf.config.optimizer.get_experimental_options().get("remapping", True)
    tf.config.optimizer.set_experimental_options({"remapping": False})
    try:
        yield
    finally:
        tf.config.optimizer.set_experimental_options({"remapping": before})


def served(graph: FrozenGraph) -> Any:
    """Return a function of a frozen graph that takes its inputs, and returns its outputs, in order.

    Raises:
        ConversionError: The graph has no such tensors, or variables.
    """
    tf = tensorflow("using a graph")
    check_no_variables({node.name: node.op for node in graph.graph_def.node})
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
        except (KeyError, TypeError, ValueError, tf.errors.OpError) as error:
            msg = f"TensorFlow cannot import the graph: {first_line(error)}"
            raise ConversionError(msg) from error


def as_graph(graph: FrozenGraph) -> Any:
    """Return the `tf.Graph` of a frozen graph.

    Raises:
        ConversionError: TensorFlow cannot import it, or it lacks an input or output.
    """
    tf = tensorflow("using a graph")
    imported = tf.Graph()
    with quiet(), imported.as_default():
        try:
            tf.compat.v1.import_graph_def(graph.graph_def, name="")
            for tensor in (*graph.inputs.values(), *graph.outputs.values()):
                imported.as_graph_element(tensor)
        except (KeyError, TypeError, ValueError, tf.errors.OpError) as error:
            msg = f"TensorFlow cannot import the graph: {first_line(error)}"
            raise ConversionError(msg) from error
    return imported


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

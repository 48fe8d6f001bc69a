"""Edits of finished ONNX models, ours or anyone's, and questions to them."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx import helper, numpy_helper, shape_inference

from ..errors import ShapeError, WeightsError

__all__ = ["TensorInfo", "head_operations", "set_batch_size", "signature", "with_uint8_input"]

# Operations that move or relabel numbers without computing new ones.
_MOVES = frozenset(
    {"Cast", "Concat", "Flatten", "Identity", "Reshape", "Slice", "Split", "Squeeze"}
    | {"Transpose", "Unsqueeze"}
)


class TensorInfo(NamedTuple):
    """An input or output of a model.

    Attributes:
        name: Its name.
        shape: Its shape; a symbolic dimension is its name, an unknown one None.
        dtype: Its element type as numpy names it, such as `float32`.
    """

    name: str
    shape: tuple[int | str | None, ...]
    dtype: str


def signature(model: bytes) -> tuple[list[TensorInfo], list[TensorInfo]]:
    """Inputs and outputs of a model; initialisers do not count as inputs."""
    graph = parse(model).graph
    return [_info(value) for value in _inputs(graph)], [_info(value) for value in graph.output]


def head_operations(model: bytes) -> dict[str, frozenset[str]]:
    """By output, the operations that computed it, seen through whatever only moves numbers.

    An output behind `Concat(Sigmoid, Conv) -> Reshape -> Transpose` gives `{"Sigmoid", "Conv"}`,
    so `"Sigmoid" in ...`, `"Softmax" in ...` or `"ArgMax" in ...` says what is applied already.
    """
    graph = parse(model).graph
    producers = {name: node for node in graph.node for name in node.output}
    integers = {t.name for t in graph.initializer if t.data_type == onnx.TensorProto.INT64}
    return {output.name: _origins(output.name, producers, integers) for output in graph.output}


def with_uint8_input(model: bytes, mean: Sequence[float], std: Sequence[float]) -> bytes:
    """The model with `(x - mean) / std` inside, and a uint8 input of the same name.

    Args:
        model: A model with one float32 input (N, C, H, W).
        mean: What is subtracted, per channel or one for all, in units of 0..255.
        std: What the difference is divided by, likewise.

    Raises:
        ShapeError: The model has another kind of input, or `mean` or `std` does not fit it.
    """
    proto = parse(model)
    graph = proto.graph
    image = _only_image(graph)
    channels = image.type.tensor_type.shape.dim[1].dim_value
    scaled = _unused(f"{image.name}/scaled", graph)
    _rename_uses(graph, image.name, scaled)
    cast = helper.make_node(
        "Cast", [image.name], [f"{scaled}/float"], f"{scaled}/float", to=onnx.TensorProto.FLOAT
    )
    nodes = [cast]
    for op, values, neutral in (("Sub", mean, 0.0), ("Div", std, 1.0)):
        operand = _per_channel(values, channels)
        if np.any(operand != neutral):
            name = f"{scaled}/{op.lower()}"
            graph.initializer.append(numpy_helper.from_array(operand, f"{name}/operand"))
            inputs = [nodes[-1].output[0], f"{name}/operand"]
            nodes.append(helper.make_node(op, inputs, [name], name))
    nodes[-1].output[0] = scaled
    image.type.tensor_type.elem_type = onnx.TensorProto.UINT8
    rest = list(graph.node)
    del graph.node[:]
    graph.node.extend([*nodes, *rest])
    return serialised(proto)


def set_batch_size(model: bytes, batch_size: int | None) -> bytes:
    """The model with another batch size, the first dimension of its inputs and outputs.

    Args:
        model: A model whose operations treat the images of a batch one by one.
        batch_size: The new size, or None for a symbolic one named `batch`.

    Raises:
        ShapeError: The size is not positive, or something in the model fixes another one.
    """
    if batch_size is not None and batch_size < 1:
        msg = f"a batch has at least one image, got batch_size={batch_size}"
        raise ShapeError(msg)
    proto = parse(model)
    graph = proto.graph
    inputs = _inputs(graph)
    _free_reshapes(graph, {_dims(value)[0].dim_value for value in inputs if _dims(value)})
    for value in (*inputs, *graph.output):
        if _dims(value):
            _set_dim(_dims(value)[0], batch_size)
    del graph.value_info[:]
    _check_batch(proto, batch_size)
    return serialised(proto)


def _check_batch(proto: onnx.ModelProto, batch_size: int | None) -> None:
    """Infers the shapes of the outputs anew and compares their first dimension."""
    probe = onnx.ModelProto()
    probe.CopyFrom(proto)
    for value in probe.graph.output:
        value.type.tensor_type.ClearField("shape")
    expected = "batch" if batch_size is None else batch_size
    for value in shape_inference.infer_shapes(probe, data_prop=True).graph.output:
        got = _info(value).shape[:1]
        if got and isinstance(got[0], int) and got[0] != expected:
            msg = (
                f"the model cannot have batch size {expected}: output {value.name!r} has {got[0]} "
                f"rows whatever goes in; export it with a dynamic batch dimension"
            )
            raise ShapeError(msg)


def _free_reshapes(graph: onnx.GraphProto, batches: set[int]) -> None:
    """Makes reshapes to a fixed batch size take over the batch size of what comes in."""
    constants = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            constants[node.output[0]] = node.attribute[0].t
    for node in graph.node:
        if node.op_type != "Reshape" or node.input[1] not in constants:
            continue
        target = numpy_helper.to_array(constants[node.input[1]]).copy()
        if target.size > 1 and target[0] > 0 and int(target[0]) in batches:
            target[0] = 0
            node.input[1] = _unused(f"{node.output[0]}/shape", graph)
            graph.initializer.append(numpy_helper.from_array(target, node.input[1]))


def _origins(name: str, producers: dict[str, onnx.NodeProto], integers: set[str]) -> frozenset[str]:
    """Types of the operations from which the value comes, past those that only move it.

    Adding one of the constants `integers` only renumbers an index.
    """
    found, seen, pending = set(), set(), [name]
    while pending:
        node = producers.get(pending.pop())
        if node is None or id(node) in seen:
            continue
        seen.add(id(node))
        if node.op_type in _MOVES or (node.op_type == "Add" and node.input[1] in integers):
            pending.extend(node.input if node.op_type == "Concat" else node.input[:1])
        else:
            found.add(node.op_type)
    return frozenset(found)


def _only_image(graph: onnx.GraphProto) -> onnx.ValueInfoProto:
    inputs = _inputs(graph)
    infos = [_info(value) for value in inputs]
    if len(infos) != 1 or infos[0].dtype != "float32" or len(infos[0].shape) != 4:
        got = ", ".join(f"{name} {dtype} {list(shape)}" for name, shape, dtype in infos)
        msg = f"expected a model with one float32 input (N, C, H, W), got {got or 'none'}"
        raise ShapeError(msg)
    return inputs[0]


def _per_channel(values: Sequence[float], channels: int) -> npt.NDArray[np.float32]:
    """`values` in a shape that broadcasts over (N, C, H, W); a scalar if they are all equal."""
    array = np.asarray(values, np.float32).reshape(-1)
    if len(array) not in (1, channels):
        msg = f"expected one value or one for each of {channels} channels, got {list(values)}"
        raise ShapeError(msg)
    return array[:1].reshape(()) if np.all(array == array[0]) else array.reshape(1, -1, 1, 1)


def _rename_uses(graph: onnx.GraphProto, old: str, new: str) -> None:
    for node in graph.node:
        node.input[:] = [new if name == old else name for name in node.input]


def _unused(wish: str, graph: onnx.GraphProto) -> str:
    """`wish`, or `wish` with a number, such that no name in the graph begins with it."""
    taken = {tensor.name for tensor in graph.initializer} | {value.name for value in graph.input}
    for node in graph.node:
        taken |= {node.name, *node.input, *node.output}
    candidates = itertools.chain([wish], (f"{wish}_{number}" for number in itertools.count(1)))
    return next(name for name in candidates if not any(used.startswith(name) for used in taken))


def _inputs(graph: onnx.GraphProto) -> list[onnx.ValueInfoProto]:
    initialised = {tensor.name for tensor in graph.initializer}
    return [value for value in graph.input if value.name not in initialised]


def _info(value: onnx.ValueInfoProto) -> TensorInfo:
    shape = tuple(dim.dim_value or dim.dim_param or None for dim in _dims(value))
    dtype = helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
    return TensorInfo(value.name, shape, dtype.name)


def _dims(value: onnx.ValueInfoProto) -> Sequence[onnx.TensorShapeProto.Dimension]:
    dims: Sequence[onnx.TensorShapeProto.Dimension] = value.type.tensor_type.shape.dim
    return dims


def _set_dim(dim: onnx.TensorShapeProto.Dimension, size: int | None) -> None:
    dim.Clear()
    if size is None:
        dim.dim_param = "batch"
    else:
        dim.dim_value = size


def parse(model: bytes) -> onnx.ModelProto:
    """The graph of some bytes; raises WeightsError where they are none."""
    try:
        proto = onnx.load_from_string(model)
    except DecodeError as error:
        msg = f"not an ONNX model: {error}"
        raise WeightsError(msg) from error
    if not proto.graph.output:
        msg = f"not an ONNX model: {len(model)} bytes without a graph that has outputs"
        raise WeightsError(msg)
    return proto


def serialised(proto: onnx.ModelProto) -> bytes:
    """The graph's bytes, the same for the same graph."""
    data: bytes = proto.SerializeToString(deterministic=True)
    return data

"""Queries and edits of ONNX models, from this package or from users.

Models are bytes or a `ModelProto`, which is never modified, except by `constants_to_initializers`
and `remove_unused`.
Edits return deterministic bytes: the same bytes for the same model in every process.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Iterator, Sequence
from functools import wraps
from typing import Any, Literal, NamedTuple, TypeAlias, TypeVar, cast

import numpy as np
import numpy.typing as npt
import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx import TensorProto, helper, numpy_helper, shape_inference

from ..errors import ConversionError, FuriosaModelsError, ShapeError, WeightsError
from ..spec import GraphFacts, TensorFacts

__all__ = [
    "SHAPE_OPERATIONS",
    "Model",
    "TensorInfo",
    "byte_size",
    "constants_to_initializers",
    "describe",
    "external_files",
    "external_location",
    "extract",
    "get_output_names",
    "get_pure_input_names",
    "head_operations",
    "image_layout",
    "in_opset",
    "inferred",
    "is_quantized",
    "metadata",
    "name_nodes",
    "named",
    "parse",
    "remove_unused",
    "rename",
    "serialized_size",
    "set_batch_size",
    "set_image_size",
    "signature",
    "sort_nodes",
    "take_channels_first",
    "taken_names",
    "tensors",
    "to_bytes",
    "unused_name",
    "with_opset",
    "with_uint8_input",
]

logger = logging.getLogger(__name__)

Model: TypeAlias = "bytes | onnx.ModelProto"
_Function = TypeVar("_Function", bound=Callable[..., Any])

SHAPE_OPERATIONS = frozenset(
    {"Cast", "Concat", "Flatten", "Identity", "Reshape", "Slice", "Split", "Squeeze"}
    | {"Transpose", "Unsqueeze"}
)
"""Operations that move or reshape values without computing new ones."""

MAX_BYTES = (1 << 31) - 1
"""Maximum size of a protobuf message, and thus of a model in one file, in bytes."""

_LARGE = 1 << 10
_QUANTIZED = frozenset({"ConvInteger", "MatMulInteger", "QLinearConv", "QuantizeLinear"})
_DEFAULT_DOMAIN = ("", "ai.onnx")
_CHANGED = frozenset({"RoiAlign"})  # a default value changed between the opsets 13 and 17
_OLDEST_IR_VERSION = 7
_MISTAKEN_FILES = {
    b"version https://git-lfs": "a Git LFS pointer: fetch the file with `git lfs pull`",
    b"<": "an HTML page: the server returned a page instead of the file",
}
"""Descriptions of files that are often mistaken for a model, by their first bytes."""

_TARGET_SIZES = "orig_target_sizes"  # (width, height); exported RT-DETR and D-FINE have it


def _reporting_invalid_graphs(function: _Function) -> _Function:
    """Make a function of a model raise WeightsError if the graph is not valid ONNX.

    The function does not validate the graph (for example, that nodes have outputs). If it fails,
    the checker of `onnx` determines whether the graph caused the error.
    """

    @wraps(function)
    def checked(model: Model, *args: Any, **options: Any) -> Any:
        try:
            return function(model, *args, **options)
        except FuriosaModelsError:
            raise
        except Exception as error:
            if not isinstance(model, (bytes, onnx.ModelProto)):
                raise
            checker_error = _checker_error(_view(model))
            if not checker_error and isinstance(error, TypeError):  # caused by another argument
                raise
            msg = f"the ONNX graph is malformed: {checker_error or error}"
            raise WeightsError(msg) from error

    return cast(_Function, checked)


def _checker_error(model: onnx.ModelProto) -> str:
    """Return the error message of the `onnx` checker, if any."""
    try:
        onnx.checker.check_model(model)
    except Exception as error:
        return str(error).strip().partition("\n")[0]
    return ""


class TensorInfo(NamedTuple):
    """An input or output of a model.

    Attributes:
        name: Name of the tensor.
        shape: Shape; a symbolic dimension is represented by its name, an unknown one by None.
        dtype: Name of the element type in numpy, such as `float32`.
    """

    name: str
    shape: tuple[int | str | None, ...]
    dtype: str


def parse(model: Model) -> onnx.ModelProto:
    """Return a modifiable copy of a model.

    Raises:
        TypeError: The model is neither bytes nor a `ModelProto`.
        WeightsError: The bytes are not an ONNX model.
    """
    if not isinstance(model, onnx.ModelProto):
        return _read(model)
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    return copy


def to_bytes(model: onnx.ModelProto) -> bytes:
    """Serialize a model deterministically: the same bytes in every process.

    Raises:
        WeightsError: The model exceeds the maximum size of a protobuf message.
    """
    if serialized_size(model) > MAX_BYTES:
        msg = (
            f"the model has {serialized_size(model)} bytes of weights, but an ONNX file holds at "
            f"most {MAX_BYTES}: save it with furiosa_models.networks.external_data.save, which "
            "writes the weights to a second file"
        )
        raise WeightsError(msg)
    data: bytes = model.SerializeToString(deterministic=True)
    return data


def serialized_size(model: onnx.ModelProto) -> int:
    """Return the size of the weights in bytes; the rest of a model is negligible."""
    return sum(len(tensor.raw_data) for tensor in tensors(model))


def byte_size(model: onnx.ModelProto) -> int:
    """Return the size of a model in bytes, with what is beside its weights if it fits one file."""
    size = serialized_size(model)
    return size if size > MAX_BYTES else int(model.ByteSize())


def tensors(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """Return all tensors of a model, including branches, `Constant` nodes and functions."""
    bodies = (node for function in model.functions for node in function.node)
    return itertools.chain(_tensors(model.graph), *map(_tensors_of_node, bodies))


def external_location(tensor: onnx.TensorProto) -> dict[str, str]:
    """Return the fields `location`, `offset` and `length` of a tensor's external data."""
    return {"location": "", **{entry.key: entry.value for entry in tensor.external_data}}


@_reporting_invalid_graphs
def external_files(model: Model) -> list[str]:
    """Return the names of the files with external weights of a model, relative to its folder.

    Weights of branches, of `Constant` nodes and of functions are included.

    Raises:
        TypeError: The model is neither bytes nor a `ModelProto`.
        WeightsError: The bytes are not an ONNX model, or the graph is malformed.
    """
    found = tensors(_view(model))
    return sorted(
        {external_location(t)["location"] for t in found if t.data_location == t.EXTERNAL}
    )


@_reporting_invalid_graphs
def signature(model: Model) -> tuple[list[TensorInfo], list[TensorInfo]]:
    """Return the inputs and outputs of a model; initializers do not count as inputs.

    Raises:
        TypeError: The model is neither bytes nor a `ModelProto`.
        WeightsError: The bytes are not an ONNX model, or the graph is malformed.
    """
    graph = _view(model).graph
    return [_info(value) for value in _inputs(graph)], [_info(value) for value in graph.output]


@_reporting_invalid_graphs
def metadata(model: Model) -> dict[str, str]:
    """Return the metadata of a model, values by name.

    Raises:
        TypeError: The model is neither bytes nor a `ModelProto`.
        WeightsError: The bytes are not an ONNX model, or the graph is malformed.
    """
    return {prop.key: prop.value for prop in _view(model).metadata_props}


@_reporting_invalid_graphs
def get_pure_input_names(model: Model) -> list[str]:
    """Return the names of the inputs of a model, without initializers.

    Raises:
        TypeError: The model is neither bytes nor a `ModelProto`.
        WeightsError: The bytes are not an ONNX model, or the graph is malformed.
    """
    return [value.name for value in _inputs(_view(model).graph)]


@_reporting_invalid_graphs
def get_output_names(model: Model) -> list[str]:
    """Return the names of the outputs of a model.

    Raises:
        TypeError: The model is neither bytes nor a `ModelProto`.
        WeightsError: The bytes are not an ONNX model, or the graph is malformed.
    """
    return [value.name for value in _view(model).graph.output]


@_reporting_invalid_graphs
def head_operations(model: Model) -> dict[str, frozenset[str]]:
    """Return the types of the operations that compute each output, ignoring data movement.

    For example, an output of `Concat(Sigmoid, Conv) -> Reshape -> Transpose` gives `{"Sigmoid",
    "Conv"}`. Test for `"Sigmoid"`, `"Softmax"` or `"ArgMax"` to determine which of them the graph
    already applies.

    Raises:
        TypeError: The model is neither bytes nor a `ModelProto`.
        WeightsError: The bytes are not an ONNX model, or the graph is malformed.
    """
    graph = _view(model).graph
    producers = {name: node for node in graph.node for name in node.output}
    integers = {t.name for t in graph.initializer if t.data_type == TensorProto.INT64}
    return {output.name: _origins(output.name, producers, integers) for output in graph.output}


def is_quantized(model: Model) -> bool:
    """Return whether a model computes in int8.

    Raises:
        WeightsError: The bytes are not an ONNX model.
    """
    return any(node.op_type in _QUANTIZED for node in _view(model).graph.node)


@_reporting_invalid_graphs
def describe(model: Model) -> GraphFacts:
    """Return the inputs, the outputs with the operations that compute them, and the metadata.

    Shapes of outputs are inferred if the file does not contain them.

    Raises:
        TypeError: The model is neither bytes nor a `ModelProto`.
        WeightsError: The bytes are not an ONNX model, or the graph is malformed.
    """
    proto = _view(model)
    graph = proto.graph
    shapes = _inferred_shapes(proto)
    producers = {name: node for node in graph.node for name in node.output}
    integers = {t.name for t in graph.initializer if t.data_type == TensorProto.INT64}
    outputs = []
    for value in graph.output:
        info = _info(value)
        shape = shapes.get(info.name, info.shape)
        nodes = _origin_nodes(info.name, producers, integers)
        chosen = next((node for node in nodes if node.op_type == "ArgMax"), None)
        classes = _argmax_classes(chosen, shapes) if chosen is not None else None
        kinds = frozenset(node.op_type for node in nodes)
        outputs.append(TensorFacts(info.name, _sizes(shape), info.dtype, kinds, classes))
    inputs = tuple(
        TensorFacts(info.name, _sizes(info.shape), info.dtype)
        for info in map(_info, _inputs(graph))
    )
    metadata = {entry.key: entry.value for entry in proto.metadata_props}
    return GraphFacts(inputs, tuple(outputs), metadata)


def image_layout(shape: Sequence[int | None]) -> Literal["nchw", "nhwc"] | None:
    """Return the order of the dimensions of an image shape, or None if it is not an image."""
    if len(shape) != 4:
        return None
    if shape[1] in (1, 3):
        return "nchw"
    return "nhwc" if shape[3] in (1, 3) else None


def take_channels_first(graph: onnx.GraphProto) -> None:
    """Make a graph whose input is (N, H, W, C) take (N, C, H, W), by a transposition."""
    inputs = _inputs(graph)
    if len(inputs) != 1 or image_layout(_sizes(_info(inputs[0]).shape)) != "nhwc":
        return
    (value,) = inputs
    moved = unused_name(f"{value.name}/channels_last", graph)
    _rename_uses(graph, value.name, moved)
    step = helper.make_node("Transpose", [value.name], [moved], moved, perm=(0, 2, 3, 1))
    graph.node.insert(0, step)
    dims = list(value.type.tensor_type.shape.dim)
    copies = [onnx.TensorShapeProto.Dimension.FromString(d.SerializeToString()) for d in dims]
    for place, source in enumerate((0, 3, 1, 2)):
        dims[place].CopyFrom(copies[source])


@_reporting_invalid_graphs
def with_uint8_input(model: Model, mean: Sequence[float], std: Sequence[float]) -> bytes:
    """Add the normalization `(x - mean) / std` and a uint8 input (N, C, H, W) to a model.

    An input (N, H, W, C) is transposed in the graph, and a float16 input is cast. No normalization
    is added to a model that takes uint8. A second input `orig_target_sizes` (width and height of
    the photo) becomes a constant with the size of the input, so that boxes are in its pixels.

    Args:
        model: Model with one image as input.
        mean: Value to subtract, one for all channels or one each, in units of 0..255.
        std: Value to divide by, one for all channels or one each.

    Raises:
        ShapeError: The model has another kind of input, or the length of `mean` or `std` does not
            match its channels.
        WeightsError: The bytes are not an ONNX model, or the graph is malformed.
    """
    proto = parse(model)
    graph = proto.graph
    changed = _fix_target_sizes(graph)
    image = _only_image(graph)
    info = _info(image)
    layout = image_layout(_sizes(info.shape))
    if info.dtype == "uint8" and layout != "nhwc":
        return model if isinstance(model, bytes) and not changed else to_bytes(proto)
    channels = image.type.tensor_type.shape.dim[3 if layout == "nhwc" else 1].dim_value
    scaled = unused_name(f"{image.name}/scaled", graph)
    _rename_uses(graph, image.name, scaled)
    cast = helper.make_node(
        "Cast", [image.name], [f"{scaled}/float"], f"{scaled}/float", to=TensorProto.FLOAT
    )
    nodes = [cast]
    for op, values, neutral in (("Sub", mean, 0.0), ("Div", std, 1.0)):
        operand = _per_channel(values, channels)
        if info.dtype != "uint8" and np.any(operand != neutral):
            name = f"{scaled}/{op.lower()}"
            graph.initializer.append(numpy_helper.from_array(operand, f"{name}/operand"))
            inputs = [nodes[-1].output[0], f"{name}/operand"]
            nodes.append(helper.make_node(op, inputs, [name], name))
    if info.dtype == "uint8":
        nodes = []
    if info.dtype == "float16":
        nodes.append(_step("Cast", nodes, f"{scaled}/half", to=TensorProto.FLOAT16))
    if layout == "nhwc":
        source = nodes[-1].output[0] if nodes else image.name
        name = f"{scaled}/nhwc"
        nodes.append(helper.make_node("Transpose", [source], [name], name, perm=(0, 2, 3, 1)))
        dims = _dims(image)
        height, width, depth = (onnx.TensorShapeProto.Dimension() for _ in range(3))
        height.CopyFrom(dims[1])
        width.CopyFrom(dims[2])
        depth.CopyFrom(dims[3])
        for dim, size in zip(dims[1:], (depth, height, width), strict=True):
            dim.CopyFrom(size)
    nodes[-1].output[0] = scaled
    image.type.tensor_type.elem_type = TensorProto.UINT8
    rest = list(graph.node)
    del graph.node[:]
    graph.node.extend([*nodes, *rest])
    return to_bytes(proto)


def constants_to_initializers(graph: onnx.GraphProto) -> None:
    """Replace the `Constant` nodes of a graph with equivalent initializers, in place."""
    kept = []
    for node in graph.node:
        value = next((a.t for a in node.attribute if a.name == "value"), None)
        if node.op_type != "Constant" or node.domain not in _DEFAULT_DOMAIN or value is None:
            kept.append(node)
            continue
        tensor = graph.initializer.add()
        tensor.CopyFrom(value)
        tensor.name = node.output[0]
    if len(kept) < len(graph.node):
        nodes = [onnx.NodeProto.FromString(node.SerializeToString()) for node in kept]
        del graph.node[:]
        graph.node.extend(nodes)


def inferred(model: onnx.ModelProto) -> onnx.GraphProto:
    """Return the graph of a model with inferred shapes and types, without the data of weights."""
    graph: onnx.GraphProto = shape_inference.infer_shapes(_skeleton(model)).graph
    return graph


def extract(
    model: onnx.ModelProto, inputs: Sequence[str], outputs: Sequence[str]
) -> onnx.ModelProto:
    """Return the part of a model between some tensors.

    Args:
        model: The model.
        inputs: Names of the tensors that become the inputs, in their order.
        outputs: Names of the tensors that become the outputs.

    Raises:
        ShapeError: The graph has no such tensor, or the outputs depend on another input.
    """
    graph = model.graph
    known = {name for node in graph.node for name in node.output}
    known |= {value.name for value in graph.input}
    if missing := [name for name in (*inputs, *outputs) if name not in known]:
        msg = f"the graph has no tensor {', '.join(map(repr, missing))}"
        raise ShapeError(msg)
    graph_of_all = inferred(model)
    known_values = (*graph_of_all.value_info, *graph_of_all.output, *graph_of_all.input)
    values = {value.name: value for value in known_values}
    producers = {name: node for node in graph.node for name in node.output}
    needed: set[str] = set()
    pending, used = [*outputs], set()
    while pending:
        name = pending.pop()
        if name in used or name in inputs:
            continue
        used.add(name)
        node = producers.get(name)
        if node is not None:
            needed.update(node.output)
            pending.extend(taken_names(node))
    free = [value.name for value in _inputs(graph) if value.name in used]
    if free:
        msg = f"the outputs {', '.join(outputs)} need the input {free[0]!r}, too"
        raise ShapeError(msg)
    part = parse(model)
    nodes = [node for node in graph.node if not needed.isdisjoint(node.output)]
    for field, kept in (
        (part.graph.node, nodes),
        (part.graph.input, [values[name] for name in inputs]),
        (part.graph.output, [values.get(name, _unknown_value(name)) for name in outputs]),
        (part.graph.initializer, [t for t in graph.initializer if t.name in used]),
    ):
        copies = [type(each).FromString(each.SerializeToString()) for each in kept]
        del field[:]
        field.extend(copies)
    return part


def _unknown_value(name: str) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, None)


def named(model: Model) -> onnx.ModelProto:
    """Return a copy of a model in which every node has a name."""
    proto = parse(model)
    name_nodes(proto.graph)
    return proto


def name_nodes(graph: onnx.GraphProto) -> None:
    """Give each node a name of its own, in place, so that it can be selected and excluded.

    The first node of a name keeps it.
    """
    taken = {node.name for node in graph.node}
    seen = {""}
    for number, node in enumerate(graph.node):
        if node.name in seen:
            numbered = (f"{node.name or node.op_type}_{i}" for i in itertools.count(number))
            node.name = next(name for name in numbered if name not in taken)
            taken.add(node.name)
        seen.add(node.name)


def rename(graph: onnx.GraphProto, old: Sequence[str], new: Sequence[str]) -> None:
    """Rename tensors of a graph, in place.

    Raises:
        ShapeError: There are not as many new names as old ones, or a new name is taken.
    """
    names = dict(zip(old, new, strict=False))
    used = {name for node in graph.node for name in (*node.input, *node.output)} - {*old}
    if len(old) != len(new) or len({*new}) != len(new) or not used.isdisjoint(new):
        msg = f"expected {len(old)} new names for {', '.join(old)}, got {', '.join(new)}"
        raise ShapeError(msg)
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
    for value in (*graph.input, *graph.output, *graph.value_info, *graph.initializer):
        value.name = names.get(value.name, value.name)


def sort_nodes(graph: onnx.GraphProto) -> None:
    """Sort the nodes of a graph, in place, so that each follows those whose results it takes.

    Nodes keep their order where that is possible.
    """
    producers = {name: i for i, node in enumerate(graph.node) for name in node.output}
    nodes = [onnx.NodeProto.FromString(node.SerializeToString()) for node in graph.node]
    order: list[int] = []
    state = [0] * len(nodes)  # 0: not visited; 1: its sources are visited; 2: in order
    for start in range(len(nodes)):
        pending = [start]
        while pending:
            index = pending[-1]
            if state[index] == 0:
                state[index] = 1
                taken = taken_names(nodes[index])
                sources = {producers[name] for name in taken if name in producers}
                pending.extend(i for i in sorted(sources, reverse=True) if state[i] == 0)
                continue
            pending.pop()
            if state[index] == 1:
                state[index] = 2
                order.append(index)
    del graph.node[:]
    graph.node.extend(nodes[index] for index in order)


def taken_names(node: onnx.NodeProto) -> Iterator[str]:
    """Yield the names that a node takes, including those that the nodes of its branches take."""
    yield from node.input
    for attribute in node.attribute:
        for body in (*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])):
            for inner in body.node:
                yield from taken_names(inner)


def remove_unused(graph: onnx.GraphProto) -> None:
    """Remove nodes and initializers that nothing reads, in place."""
    used = {value.name for value in graph.output}
    kept = []
    for node in reversed(graph.node):
        if used.intersection(node.output):
            kept.append(node)
            used.update(taken_names(node))
    initializers = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(reversed(kept))
    graph.initializer.extend(initializers)


@_reporting_invalid_graphs
def set_batch_size(model: Model, batch_size: int | None) -> bytes:
    """Change the batch size, the first dimension of the inputs and outputs.

    Args:
        model: Model that processes the images of a batch independently.
        batch_size: New batch size, or None for a symbolic one named `batch`.

    Raises:
        ShapeError: The batch size is not positive, or an operation of the model requires another
            one.
        WeightsError: The bytes are not an ONNX model, or the graph is malformed.
    """
    if batch_size is not None and batch_size < 1:
        msg = f"expected a batch_size of at least one, got {batch_size}"
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
    return to_bytes(proto)


@_reporting_invalid_graphs
def set_image_size(model: Model, size: tuple[int, int]) -> bytes:
    """Change the height and width of the image that a model takes.

    Whether the operations of the model work for that size is only known when it runs: a fully
    connected layer after a map does not.

    Args:
        model: Model with one image as input.
        size: New height and width.

    Raises:
        ShapeError: The model has another kind of input, or shapes that contradict the new size.
        WeightsError: The bytes are not an ONNX model, or the graph is malformed.
    """
    proto = parse(model)
    graph = proto.graph
    image = _only_image(graph)
    dims = _dims(image)
    first = 1 if image_layout(_sizes(_info(image).shape)) == "nhwc" else 2
    for dim, pixels in zip(dims[first : first + 2], size, strict=True):
        _set_dim(dim, pixels)
    del graph.value_info[:]
    for value in graph.output:
        for dim in list(_dims(value))[1:]:
            dim.Clear()
    try:
        shapes = shape_inference.infer_shapes(proto, check_type=True, strict_mode=True)
    except shape_inference.InferenceError as error:
        msg = f"the network does not take images of {size[0]} x {size[1]}: {error}"
        raise ShapeError(msg) from error
    for value, known in zip(graph.output, shapes.graph.output, strict=True):
        value.CopyFrom(known)
    return to_bytes(proto)


@_reporting_invalid_graphs
def with_opset(model: Model, version: int) -> bytes:
    """Convert a model to an older opset if all its operations have the same meaning there.

    A model that needs its newer opset, or already has an older one, is returned unchanged.

    Args:
        model: Model to convert.
        version: Version of the opset.

    Raises:
        WeightsError: The bytes are not an ONNX model, or the graph is malformed.
    """
    unchanged = model if isinstance(model, bytes) else to_bytes(model)
    proto = parse(model)
    current = next((o for o in proto.opset_import if o.domain in _DEFAULT_DOMAIN), None)
    if current is None or current.version <= version:
        return unchanged
    newer = sorted({node.op_type for node in proto.graph.node if not _is_old(node, version)})
    if newer:
        logger.info("%s needs a newer opset than %d", ", ".join(newer), version)
        return unchanged
    current.version = version
    proto.ir_version = min(proto.ir_version, _OLDEST_IR_VERSION)
    try:
        onnx.checker.check_model(proto, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        logger.info("not valid in opset %d: %s", version, error)
        return unchanged
    return to_bytes(proto)


@_reporting_invalid_graphs
def in_opset(model: Model, version: int) -> bytes:
    """Convert a model to an opset, older or newer.

    Args:
        model: Model to convert.
        version: Version of the opset.

    Raises:
        ConversionError: An operation cannot be expressed in that opset.
        WeightsError: The bytes are not an ONNX model, or the graph is malformed.
    """
    if type(version) is not int or version < 1:
        msg = f"the version of an opset must be a positive integer, got {version!r}"
        raise ConversionError(msg)
    proto = parse(with_opset(model, version))
    current = next((o.version for o in proto.opset_import if o.domain in _DEFAULT_DOMAIN), 0)
    if current < version:
        try:
            proto = onnx.version_converter.convert_version(proto, version)
            onnx.checker.check_model(proto)
        except (RuntimeError, onnx.checker.ValidationError) as error:
            msg = f"the graph cannot be converted from opset {current} to {version}: {error}"
            raise ConversionError(msg) from error
    elif current > version:
        msg = (
            f"the graph has operations of opset {current} that opset {version} lacks: choose "
            "another onnx_opset"
        )
        raise ConversionError(msg)
    return to_bytes(proto)


def _check_batch(proto: onnx.ModelProto, batch_size: int | None) -> None:
    """Infer the shapes of the outputs again, and check their first dimension."""
    probe = _skeleton(proto)
    for value in probe.graph.output:
        value.type.tensor_type.ClearField("shape")
    expected = "batch" if batch_size is None else batch_size
    for value in shape_inference.infer_shapes(probe, data_prop=True).graph.output:
        got = _info(value).shape[:1]
        if got and isinstance(got[0], int) and got[0] != expected:
            msg = (
                f"the model cannot have batch size {expected}: output {value.name!r} has {got[0]} "
                f"rows; export it with a dynamic batch dimension"
            )
            raise ShapeError(msg)


def _free_reshapes(graph: onnx.GraphProto, batches: set[int]) -> None:
    """Change reshapes to a fixed batch size, so that they keep the batch size of their input."""
    constants = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant":
            for attribute in node.attribute:
                if attribute.name == "value":
                    constants[node.output[0]] = attribute.t
    for node in graph.node:
        if node.op_type != "Reshape" or node.input[1] not in constants:
            continue
        target = numpy_helper.to_array(constants[node.input[1]]).copy()
        if target.dtype != np.int64 or target.ndim != 1:  # not a shape
            continue
        if target.size > 1 and target[0] > 0 and int(target[0]) in batches:
            target[0] = 0
            node.input[1] = unused_name(f"{node.output[0]}/shape", graph)
            graph.initializer.append(numpy_helper.from_array(target, node.input[1]))


def _origins(name: str, producers: dict[str, onnx.NodeProto], integers: set[str]) -> frozenset[str]:
    """Return the types of the operations of `_origin_nodes`."""
    return frozenset(node.op_type for node in _origin_nodes(name, producers, integers))


def _origin_nodes(
    name: str, producers: dict[str, onnx.NodeProto], integers: set[str]
) -> list[onnx.NodeProto]:
    """Return the nodes that compute a value, ignoring operations that only move it.

    Adding one of the constants `integers` only offsets an index, so it is ignored, too.
    """
    found: list[onnx.NodeProto] = []
    seen, pending = set(), [name]
    while pending:
        node = producers.get(pending.pop())
        if node is None or id(node) in seen:
            continue
        seen.add(id(node))
        if node.op_type in SHAPE_OPERATIONS or (
            node.op_type == "Add" and node.input[1] in integers
        ):
            pending.extend(node.input if node.op_type == "Concat" else node.input[:1])
        else:
            found.append(node)
    return found


def _inferred_shapes(proto: onnx.ModelProto) -> dict[str, tuple[int | str | None, ...]]:
    """Return the shapes of the values of a graph by name, as far as they can be inferred."""
    try:
        inferred = shape_inference.infer_shapes(_skeleton(proto), data_prop=True).graph
    except Exception as error:  # onnx raises many types of errors
        logger.info("shapes cannot be inferred: %s", error)
        inferred = proto.graph
    found = {value.name: _info(value).shape for value in (*inferred.value_info, *inferred.output)}
    return {name: shape for name, shape in found.items() if shape}


def _argmax_classes(
    node: onnx.NodeProto, shapes: dict[str, tuple[int | str | None, ...]]
) -> int | None:
    """Return the number of elements that an ArgMax chooses from."""
    shape = shapes.get(node.input[0])
    axis = next((a.i for a in node.attribute if a.name == "axis"), 0)
    size = shape[axis] if shape and -len(shape) <= axis < len(shape) else None
    return size if isinstance(size, int) else None


def _sizes(shape: Sequence[int | str | None]) -> tuple[int | None, ...]:
    return tuple(size if isinstance(size, int) else None for size in shape)


def _step(op: str, nodes: Sequence[onnx.NodeProto], name: str, **attributes: Any) -> onnx.NodeProto:
    """Return a node whose input is the output of the last of `nodes`."""
    return helper.make_node(op, [nodes[-1].output[0]], [name], name, **attributes)


def _fix_target_sizes(graph: onnx.GraphProto) -> bool:
    """Replace the input for the photo's size with a constant; return whether there was one.

    The constant is the (width, height) of the network's input.
    """
    inputs = _inputs(graph)
    sizes = next((value for value in inputs if value.name == _TARGET_SIZES), None)
    image = next((value for value in inputs if len(_dims(value)) == 4), None)
    if sizes is None or image is None:
        return False
    shape = _info(image).shape
    height, width = shape[2:] if image_layout(_sizes(shape)) == "nchw" else shape[1:3]
    if not (isinstance(height, int) and isinstance(width, int)):
        msg = f"{_TARGET_SIZES} needs a model with a fixed input size, got {list(shape)}"
        raise ShapeError(msg)
    dtype = helper.tensor_dtype_to_np_dtype(sizes.type.tensor_type.elem_type)
    constant = numpy_helper.from_array(np.array([[width, height]], dtype), _TARGET_SIZES)
    graph.initializer.append(constant)
    graph.input.remove(sizes)
    return True


def _only_image(graph: onnx.GraphProto) -> onnx.ValueInfoProto:
    inputs = _inputs(graph)
    infos = [_info(value) for value in inputs]
    kinds = ("float32", "float16", "uint8")
    if len(infos) != 1 or infos[0].dtype not in kinds or len(infos[0].shape) != 4:
        got = ", ".join(f"{name} {dtype} {list(shape)}" for name, shape, dtype in infos)
        msg = (
            "expected a model with one input (N, C, H, W) or (N, H, W, C) of float32, float16 or "
            f"uint8, got {got or 'none'}"
        )
        raise ShapeError(msg)
    return inputs[0]


def _per_channel(values: Sequence[float], channels: int) -> npt.NDArray[np.float32]:
    """Reshape values to broadcast over (N, C, H, W); return a scalar if all are equal."""
    array = np.asarray(values, np.float32).reshape(-1)
    if len(array) not in (1, channels):
        msg = f"expected one value, or one for each of {channels} channels, got {list(values)}"
        raise ShapeError(msg)
    return array[:1].reshape(()) if np.all(array == array[0]) else array.reshape(1, -1, 1, 1)


def _rename_uses(graph: onnx.GraphProto, old: str, new: str) -> None:
    for node in graph.node:
        node.input[:] = [new if name == old else name for name in node.input]


def unused_name(base: str, graph: onnx.GraphProto) -> str:
    """Return `base`, with a number if needed, so that no name in the graph starts with it."""
    used_names = {tensor.name for tensor in graph.initializer} | {
        value.name for value in graph.input
    }
    for node in graph.node:
        used_names |= {node.name, *node.input, *node.output}
    candidates = itertools.chain([base], (f"{base}_{number}" for number in itertools.count(1)))
    return next(
        name for name in candidates if not any(used.startswith(name) for used in used_names)
    )


def _read(data: object) -> onnx.ModelProto:
    """Parse the bytes of a model."""
    if not isinstance(data, bytes):
        msg = f"expected a model as bytes or ModelProto, got {type(data).__name__}"
        raise TypeError(msg)
    head = data[:64].lstrip()
    if what := next(
        (what for start, what in _MISTAKEN_FILES.items() if head.startswith(start)), None
    ):
        msg = f"not an ONNX model: {what}"
        raise WeightsError(msg)
    try:
        proto = onnx.load_from_string(data)
    except DecodeError as error:
        msg = f"not an ONNX model: {error}"
        raise WeightsError(msg) from error
    if not proto.graph.output:
        msg = f"not an ONNX model: {len(data)} bytes without a graph that has outputs"
        raise WeightsError(msg)
    return proto


def _view(model: Model) -> onnx.ModelProto:
    """Return the model itself, or parse its bytes, for a query that modifies nothing."""
    return model if isinstance(model, onnx.ModelProto) else _read(model)


def _skeleton(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy without the data of large tensors, which shape inference does not need."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    for tensor in copy.graph.initializer:
        if len(tensor.raw_data) > _LARGE:
            tensor.ClearField("raw_data")
    return copy


def _tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    """Yield all tensors of a graph and of its branches."""
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    for node in graph.node:
        yield from _tensors_of_node(node)


def _tensors_of_node(node: onnx.NodeProto) -> Iterator[onnx.TensorProto]:
    for attribute in node.attribute:
        yield from attribute.tensors
        if attribute.HasField("t"):
            yield attribute.t
        for graph in attribute.graphs:
            yield from _tensors(graph)
        if attribute.HasField("g"):
            yield from _tensors(attribute.g)


def _inputs(graph: onnx.GraphProto) -> list[onnx.ValueInfoProto]:
    initialized = {tensor.name for tensor in graph.initializer}
    return [value for value in graph.input if value.name not in initialized]


def _info(value: onnx.ValueInfoProto) -> TensorInfo:
    shape = tuple(dim.dim_value or dim.dim_param or None for dim in _dims(value))
    kind = value.type.tensor_type.elem_type
    try:
        dtype = helper.tensor_dtype_to_np_dtype(kind).name
    except KeyError:  # not a tensor, or a type that this version of onnx lacks
        dtype = f"undefined ({kind})" if kind else "undefined"
    return TensorInfo(value.name, shape, dtype)


def _dims(value: onnx.ValueInfoProto) -> Sequence[onnx.TensorShapeProto.Dimension]:
    dims: Sequence[onnx.TensorShapeProto.Dimension] = value.type.tensor_type.shape.dim
    return dims


def _set_dim(dim: onnx.TensorShapeProto.Dimension, size: int | None) -> None:
    dim.Clear()
    if size is None:
        dim.dim_param = "batch"
    else:
        dim.dim_value = size


def _is_old(node: onnx.NodeProto, version: int) -> bool:
    """Return whether an operation with these attributes exists in an opset version."""
    if node.domain not in _DEFAULT_DOMAIN:
        return True
    try:
        schema = onnx.defs.get_schema(node.op_type, version)
    except onnx.defs.SchemaError:
        return False
    known = {attribute.name for attribute in node.attribute} <= schema.attributes.keys()
    return known and node.op_type not in _CHANGED

"""Quantizer, which converts a float program and its tensors' ranges to an 8-bit program."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from enum import IntEnum
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

from ..errors import FuriosaModelsError, ShapeError
from ..networks import edit
from .activations import exceeds_activations
from .bias_correction import correct_biases, float_weights
from .float_model import float_model
from .float_nodes import protect_float_nodes
from .scale_folding import fold_scaling

__all__ = ["ModelEditor", "Prepared", "TensorType", "insert_qdq", "prepare", "quantize"]

OPERATIONS = (
    "Add",
    "AveragePool",
    "Clip",
    "Concat",
    "Conv",
    "Gemm",
    "GlobalAveragePool",
    "LeakyRelu",
    "MatMul",
    "MaxPool",
    "Mul",
    "Relu",
    "Reshape",
    "Resize",
    "Sigmoid",
    "Split",
    "Transpose",
)
"""Operations that are quantized; all others stay float."""

_SOURCES = frozenset({"Constant", "Shape", "Size"})
_Ranges = dict[str, tuple[float, float]]
_INPUT = "furiosa_models.input_type."
_OUTPUT = "furiosa_models.output_type."


class TensorType(IntEnum):
    """Element type of an input or output of a quantized program."""

    UINT8 = 1
    INT8 = 2
    FLOAT32 = 3


class ModelEditor:
    """Editor that sets the types of the inputs and outputs of a quantized program.

    It marks the types in the metadata of the float model; `quantize` applies them.

    Args:
        model: Float model, which is modified in place.

    Raises:
        TypeError: The model is not a `ModelProto`.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        candidate: object = model
        if not isinstance(candidate, onnx.ModelProto):
            msg = f"expected a model as ModelProto, got {type(candidate).__name__}"
            raise TypeError(msg)
        self._model = model

    def convert_input_type(self, tensor_name: str, tensor_type: TensorType) -> None:
        """Make the quantized program take an input as 8-bit integers.

        The integers represent the range of the input: 0 is its lower end, 255 its upper end.

        Args:
            tensor_name: Name of the input.
            tensor_type: `UINT8`, or `FLOAT32` to undo the conversion.

        Raises:
            ShapeError: The model has no such input.
            ValueError: The type is not supported for inputs.
        """
        names = edit.get_pure_input_names(self._model)
        if tensor_name not in names:
            msg = f"the model has no input {tensor_name!r}; it has {', '.join(names)}"
            raise ShapeError(msg)
        if tensor_type not in (TensorType.UINT8, TensorType.FLOAT32):
            msg = f"expected UINT8 or FLOAT32 as the type of an input, got {tensor_type!r}"
            raise ValueError(msg)
        self._mark(_INPUT + tensor_name, tensor_type, None)

    def convert_output_type(
        self,
        tensor_name: str,
        tensor_type: TensorType,
        tensor_range: Sequence[float] | None = None,
    ) -> None:
        """Make the quantized program return an output as 8-bit integers.

        The integers represent the range of the output: the smallest integer is its lower end, the
        greatest integer its upper end.

        Args:
            tensor_name: Name of the output.
            tensor_type: `INT8` or `UINT8`, or `FLOAT32` to undo the conversion.
            tensor_range: Range (minimum, maximum); by default the range that `quantize` receives.

        Raises:
            ShapeError: The model has no such output, or the range is invalid.
            ValueError: The type is not supported for outputs.
        """
        names = edit.get_output_names(self._model)
        if tensor_name not in names:
            msg = f"the model has no output {tensor_name!r}; it has {', '.join(names)}"
            raise ShapeError(msg)
        if tensor_type not in (*TensorType,):
            msg = f"expected INT8, UINT8 or FLOAT32 as the type of an output, got {tensor_type!r}"
            raise ValueError(msg)
        pair = None if tensor_range is None else _range(tensor_name, tensor_range)
        self._mark(_OUTPUT + tensor_name, tensor_type, pair)

    def _mark(self, key: str, kind: TensorType, pair: tuple[float, float] | None) -> None:
        kept = [prop for prop in self._model.metadata_props if prop.key != key]
        del self._model.metadata_props[:]
        self._model.metadata_props.extend(kept)
        if kind != TensorType.FLOAT32:
            value = json.dumps([TensorType(kind).name, pair])
            self._model.metadata_props.add(key=key, value=value)


def quantize(
    model: onnx.ModelProto | bytes,
    tensor_name_to_range: Mapping[str, Sequence[float]],
    *,
    channel_means: Mapping[str, Sequence[float]] | None = None,
    exclude: Collection[str] = (),
    float_heads: bool = True,
    reduce_range: bool = True,
    quantizer_options: Mapping[str, Any] | None = None,
) -> bytes:
    """Quantize a program: weights per channel, activations per tensor, in 8 bits (QDQ format).

    The normalization of uint8 pixels at the start of the model moves into the first convolution, so
    that the program takes the output of `preprocess` directly.

    Args:
        model: float32 program.
        tensor_name_to_range: Range (minimum, maximum) of each tensor, from `Calibrator`.
        channel_means: Channel means of each tensor, from `Calibrator`. If present, biases
            compensate for the rounding of weights.
        exclude: Names of nodes that stay float.
        float_heads: Whether the last operations, which compute the outputs, stay float.
        reduce_range: Whether weights use 7 of the 8 bits. Without VNNI, x86 CPUs add two products
            in 16 bits, which overflow with 8-bit weights; with 7 bits, results are the same on all
            CPUs, at the same speed. False is for NPUs.
        quantizer_options: `extra_options` of ONNX Runtime's `QDQQuantizer`.

    Returns:
        The int8 program.

    Raises:
        ShapeError: The range of a tensor is missing or invalid, or an input or output cannot be
            8-bit.
        TypeError: The model is neither a `ModelProto` nor bytes.
        WeightsError: The bytes are not an ONNX model.
    """
    prepared = prepare(model, tensor_name_to_range, exclude=exclude, float_heads=float_heads)
    proto, ranges = prepared.model, prepared.ranges
    weights = float_weights(proto.graph)
    quantized = insert_qdq(
        proto, prepared.nodes, ranges, reduce_range=reduce_range, options=quantizer_options
    )
    protect_float_nodes(quantized.graph)
    if channel_means is not None:
        correct_biases(quantized.graph, weights, channel_means)
    for name in prepared.inputs:
        _make_input_uint8(quantized.graph, name)
    for name, (kind, pair) in prepared.outputs.items():
        _make_output_integer(quantized.graph, name, kind, pair or _known_range(name, ranges))
    return edit.to_bytes(quantized)


class Prepared(NamedTuple):
    """A float model before quantization.

    Attributes:
        model: The model in the form of `float_model`, without the normalization of uint8 pixels.
        ranges: Range of each tensor.
        nodes: Names of the nodes to quantize.
        inputs: Names of the inputs that become uint8.
        outputs: Types and ranges of the outputs that become integers, by name.
    """

    model: onnx.ModelProto
    ranges: dict[str, tuple[float, float]]
    nodes: list[str]
    inputs: list[str]
    outputs: dict[str, tuple[TensorType, tuple[float, float] | None]]


def prepare(
    model: onnx.ModelProto | bytes,
    tensor_name_to_range: Mapping[str, Sequence[float]],
    *,
    exclude: Collection[str] = (),
    float_heads: bool = True,
) -> Prepared:
    """Return a copy of a float model that is ready for quantization; see `quantize`.

    Raises:
        ShapeError: The range of a tensor is missing or invalid.
        TypeError: The model is neither a `ModelProto` nor bytes.
        WeightsError: The bytes are not an ONNX model.
    """
    proto = float_model(model)
    inputs = [*_pop_marks(proto, _INPUT)]
    outputs = _pop_marks(proto, _OUTPUT)
    ranges = {name: _range(name, pair) for name, pair in tensor_name_to_range.items()}
    pixels = fold_scaling(proto, exclude)
    if pixels is not None:
        inputs.append(pixels.name)
        ranges[pixels.name] = (-float(pixels.zero_point), 255.0 - pixels.zero_point)
    constants = _constants(proto.graph)
    heads = _heads(proto.graph) if float_heads else set()
    nodes = _nodes(proto.graph, {*exclude, *heads}, constants)
    nodes = nodes or _nodes(proto.graph, exclude, constants)  # if the heads are the whole network
    _check_no_passage(proto.graph)
    _check_complete(proto.graph, nodes, ranges.keys() | constants)
    return Prepared(proto, ranges, nodes, inputs, outputs)


def _pop_marks(
    model: onnx.ModelProto, prefix: str
) -> dict[str, tuple[TensorType, tuple[float, float] | None]]:
    """Remove the marks of `ModelEditor`, and return their types and ranges."""
    marks = [prop for prop in model.metadata_props if prop.key.startswith(prefix)]
    found = {}
    for mark in marks:
        name, pair = json.loads(mark.value)
        found[mark.key.removeprefix(prefix)] = TensorType[name], pair and (pair[0], pair[1])
        model.metadata_props.remove(mark)
    return found


def insert_qdq(
    proto: onnx.ModelProto,
    nodes: list[str],
    ranges: _Ranges,
    *,
    reduce_range: bool = True,
    options: Mapping[str, Any] | None = None,
) -> onnx.ModelProto:
    """Quantize some nodes of a model, which is modified, with ONNX Runtime's static quantizer.

    Raises:
        FuriosaModelsError: The quantizer fails.
    """
    from onnxruntime.quantization import CalibrationMethod, QuantType
    from onnxruntime.quantization.calibrate import TensorsData
    from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

    pairs = {name: (np.float32(low), np.float32(high)) for name, (low, high) in ranges.items()}
    quantizer = QDQQuantizer(
        proto,
        per_channel=True,
        reduce_range=reduce_range,
        weight_qType=QuantType.QInt8,
        activation_qType=QuantType.QUInt8,
        tensors_range=TensorsData(CalibrationMethod.MinMax, pairs),
        nodes_to_quantize=nodes,
        nodes_to_exclude=[],
        op_types_to_quantize=list(OPERATIONS),
        extra_options={
            "QDQKeepRemovableActivations": exceeds_activations(proto.graph, ranges),
            **(options or {}),
        },
    )
    with _without_warnings():
        try:
            quantizer.quantize_model()
        except Exception as error:  # it raises many types of errors
            msg = f"ONNX Runtime cannot quantize the model: {error}"
            raise FuriosaModelsError(msg) from error
    quantizer.model.topological_sort()  # it appends nodes, but ONNX requires topological order
    model: onnx.ModelProto = quantizer.model.model
    edit.sort_nodes(model.graph)  # it ignores what branches take
    return model


@contextmanager
def _without_warnings() -> Iterator[None]:
    """Suppress the warnings of ONNX Runtime's quantizer in this thread: they do not apply here.

    The quantizer logs through the root logger, whose level belongs to the user.
    """
    import onnxruntime.quantization

    folder = str(Path(onnxruntime.quantization.__file__).parent)
    thread = threading.get_ident()

    def keep_record(record: logging.LogRecord) -> bool:
        is_warning = record.pathname.startswith(folder) and record.levelno < logging.ERROR
        return not is_warning or record.thread != thread

    root = logging.getLogger()
    handler = logging.NullHandler()  # `logging` would add a handler to a root logger without one
    root.addHandler(handler)
    root.addFilter(keep_record)
    try:
        yield
    finally:
        root.removeFilter(keep_record)
        root.removeHandler(handler)


def _range(name: str, pair: Sequence[float]) -> tuple[float, float]:
    values = [float(value) for value in pair]
    if len(values) != 2 or not np.all(np.isfinite(values)) or values[0] > values[1]:
        msg = f"the range of {name!r} must be (minimum, maximum), got {list(pair)}"
        raise ShapeError(msg)
    return values[0], values[1]


def _constants(graph: onnx.GraphProto) -> set[str]:
    """Return the tensors that do not depend on pixels: constants, shapes, and their results."""
    constants = {tensor.name for tensor in graph.initializer} | {""}
    for node in graph.node:
        if node.op_type in _SOURCES or (node.input and constants.issuperset(node.input)):
            constants.update(node.output)
    return constants


def _nodes(graph: onnx.GraphProto, excluded: Collection[str], constants: Set[str]) -> list[str]:
    """Return the names of the nodes to quantize."""
    nodes = [node for node in graph.node if node.op_type in OPERATIONS]
    # What branches take stays as it is: ONNX Runtime's quantizer removes activations before it.
    captured = {name for node in graph.node for name in {*edit.taken_names(node)} - {*node.input}}
    nodes = [n for n in nodes if not constants >= {*n.output} and captured.isdisjoint(n.output)]
    return [node.name for node in nodes if node.name not in excluded]


def _heads(graph: onnx.GraphProto) -> set[str]:
    """Return the names of the nodes that compute the outputs, and of those that only move them."""
    producers = {name: node for node in graph.node for name in node.output}
    found: set[str] = set()
    pending = [output.name for output in graph.output]
    while pending:
        node = producers.get(pending.pop())
        if node is not None:
            found.add(node.name)
            pending.extend(node.input if node.op_type in edit.SHAPE_OPERATIONS else ())
    return found


def _check_no_passage(graph: onnx.GraphProto) -> None:
    """Raise ShapeError if an input is an output, too: ONNX Runtime's quantizer would rename it."""
    inputs = {value.name for value in graph.input}
    if names := [value.name for value in graph.output if value.name in inputs]:
        msg = f"{names[0]!r} is an input and an output: remove it from the outputs"
        raise ShapeError(msg)


def _check_complete(graph: onnx.GraphProto, nodes: Collection[str], known: Set[str]) -> None:
    chosen = [node for node in graph.node if node.name in {*nodes}]
    required = {name for node in chosen for name in (*node.input, *node.output)}
    if missing := sorted(required - known):
        msg = (
            f"the ranges of {len(missing)} tensors, such as {missing[0]!r}, are missing: "
            "use a Calibrator of this model"
        )
        raise ShapeError(msg)


def _make_input_uint8(graph: onnx.GraphProto, name: str) -> None:
    """Make an input uint8 by removing the node that quantizes it."""
    first: Any = next((node for node in graph.node if name in node.input), None)
    if first is None or first.op_type != "QuantizeLinear":
        msg = f"the input {name!r} cannot be 8-bit: no quantized operation takes it"
        raise ShapeError(msg)
    for node in graph.node:
        node.input[:] = [name if other == first.output[0] else other for other in node.input]
    graph.node.remove(first)
    (value,) = [value for value in graph.input if value.name == name]
    value.type.tensor_type.elem_type = TensorProto.UINT8


def _known_range(name: str, ranges: Mapping[str, tuple[float, float]]) -> tuple[float, float]:
    if name not in ranges:
        msg = f"the output {name!r} has no range, which an 8-bit output needs"
        raise ShapeError(msg)
    return ranges[name]


def _make_output_integer(
    graph: onnx.GraphProto, name: str, kind: TensorType, pair: tuple[float, float]
) -> None:
    """Quantize an output to 8-bit integers that represent its range."""
    minimum, maximum = min(pair[0], 0.0), max(pair[1], 0.0)
    dtype: Any = np.int8 if kind is TensorType.INT8 else np.uint8
    limits = np.iinfo(dtype)
    scale = np.float32((maximum - minimum) / (limits.max - limits.min) or 1.0)
    zero_point = np.clip(round(limits.min - minimum / float(scale)), limits.min, limits.max)
    parts = {part: f"{name}/{part}" for part in ("float", "scale", "zero_point")}
    for node in graph.node:
        node.input[:] = [parts["float"] if other == name else other for other in node.input]
        node.output[:] = [parts["float"] if other == name else other for other in node.output]
    graph.initializer.append(numpy_helper.from_array(np.asarray(scale), parts["scale"]))
    zero = np.asarray(zero_point, dtype)
    graph.initializer.append(numpy_helper.from_array(zero, parts["zero_point"]))
    graph.node.append(onnx.helper.make_node("QuantizeLinear", [*parts.values()], [name], name))
    (value,) = [value for value in graph.output if value.name == name]
    value.type.tensor_type.elem_type = TensorProto.INT8 if dtype is np.int8 else TensorProto.UINT8

"""Conversion of a TensorFlow Lite graph to ONNX.

Quantized tensors stay integers: each operation dequantizes its inputs and quantizes its output, and
ONNX Runtime runs the two together with it in 8 bits. Its convolutions round as those of LiteRT, so
that a network of them gives equal integers; sums may differ by one at ties, which later layers
amplify, as they do between LiteRT's own kernels. Inputs and outputs keep the file's names, types
and layout.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import onnx
from onnx import helper

from ...errors import ConversionError, WeightsError
from ...networks.readers._raw import Budget
from ..base import Array
from .builder import Builder, element_type
from .file import MALFORMED, Graph, Operator, Tensor
from .operation import Operation
from .operations import CONVERTERS, CUSTOM_CONVERTERS, converter
from .values import Value, Values

__all__ = ["to_onnx"]

_ROOM = 4
"""Files whose decoded weights, four times their size, the constants of a model may take."""

_SHAPE_OPERATIONS = frozenset((
    "ADD", "SUB", "MUL", "FLOOR_DIV", "MAXIMUM", "MINIMUM", "CAST", "CONCATENATION", "PACK",
    "UNPACK", "SPLIT", "STRIDED_SLICE", "SLICE", "GATHER", "REDUCE_PROD", "RESHAPE", "SQUEEZE",
    "EXPAND_DIMS",
))  # fmt: skip
_MOST_FOLDED = 1 << 10
_INTEGERS = ("int8", "uint8", "int16")
"""Types whose scales count: a bias of int32 has the scale of the operation."""


def to_onnx(graph: Graph, outputs: Sequence[int]) -> onnx.ModelProto:
    """Return a graph as ONNX.

    Args:
        graph: The graph.
        outputs: Indices of the tensors that become outputs.

    Raises:
        ConversionError: Operations cannot be converted; the message names them.
        WeightsError: The graph is malformed.
    """
    operators = _needed(graph, outputs)
    _check_known(operators)
    return _Conversion(graph, operators, outputs).model()


def _needed(graph: Graph, outputs: Iterable[int]) -> list[Operator]:
    """Return the operations that the outputs depend on, in their order."""
    needed = {*outputs}
    kept = []
    for operator in reversed(graph.operators):
        if needed.intersection(operator.outputs):
            kept.append(operator)
            needed.update(operator.inputs)
    return kept[::-1]


def _check_known(operators: Iterable[Operator]) -> None:
    unknown: dict[str, list[str]] = {}
    for operator in operators:
        if converter(operator) is None:
            unknown.setdefault(operator.kind, []).append(operator.name)
    if unknown:
        places = "; ".join(f"{kind} ({_some(names)})" for kind, names in unknown.items())
        msg = (
            f"these operations cannot be converted: {places}. Set output_names to tensors before "
            f"them, or export the network with the known operations: "
            f"{', '.join((*CONVERTERS, *CUSTOM_CONVERTERS))}"
        )
        raise ConversionError(msg)


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:3])
    return f"{shown} and {len(names) - 3} more" if len(names) > 3 else shown


class _Conversion:
    """The conversion of the operations that the outputs need."""

    def __init__(self, graph: Graph, operators: Sequence[Operator], outputs: Sequence[int]) -> None:
        self._graph, self._operators, self._outputs = graph, operators, outputs
        self._budget = Budget([graph.data] * _ROOM)
        used = {i for operator in operators for i in (*operator.inputs, *operator.outputs)}
        indices = {*used, *graph.inputs, *outputs} - {-1}
        self._values = {index: _value(graph.tensors[index]) for index in indices}

    def model(self) -> onnx.ModelProto:
        """Return the finished model."""
        builder, forms = self._new_graph(self._graph.tensors)
        inputs = []
        for index in self._graph.inputs:
            value = self._values[index]
            forms.define(value, value.tensor.name, None)
            inputs.append(_info(value.tensor))
        for operator in self._operators:
            try:
                self._convert(operator, builder, forms)
            except MALFORMED as error:
                msg = f"{operator.kind} {operator.name!r} is malformed: {error!r}"
                raise WeightsError(msg) from error
        for index in self._outputs:
            _export(self._values[index], builder, forms)
        infos = [_info(self._values[index].tensor) for index in self._outputs]
        return builder.model(inputs, infos, "tflite")

    def _convert(self, operator: Operator, builder: Builder, forms: Values) -> None:
        convert = converter(operator)
        assert convert is not None  # _check_known
        if self._is_shape(operator):
            self._fold(operator, convert)
        else:
            convert(Operation(operator, self._values, forms, builder))

    def _fold(self, operator: Operator, convert: Callable[[Operation], None]) -> None:
        """Compute an operation now, in a graph of its own."""
        copies = {
            index: Value(value.tensor, value.constant, value.quantization)
            for index in {*operator.inputs, *operator.outputs}
            for value in [self._values[index]]
        }
        builder, forms = self._new_graph(value.tensor for value in copies.values())
        operation = Operation(operator, copies, forms, builder)
        convert(operation)
        for output in operation.outputs:
            _export(output, builder, forms)
        model = builder.model([], [_info(output.tensor) for output in operation.outputs], "shape")
        result = Operation(operator, self._values, forms, builder)
        for number, array in enumerate(_evaluate(model)):
            result.define_constant(array, number)

    def _is_shape(self, operator: Operator) -> bool:
        """Return whether an operation computes a constant from a few other constants."""
        if operator.kind not in _SHAPE_OPERATIONS or -1 in operator.inputs:
            return False
        values = [self._values[index] for index in operator.inputs]
        known = [v.constant for v in values if v.constant is not None and v.quantization is None]
        return len(known) == len(values) and sum(array.size for array in known) <= _MOST_FOLDED

    def _new_graph(self, tensors: Iterable[Tensor]) -> tuple[Builder, Values]:
        builder = Builder((tensor.name for tensor in tensors), self._budget)
        return builder, Values(builder)


def _evaluate(model: onnx.ModelProto) -> list[Array]:
    """Return the outputs of a model without inputs."""
    from onnx.reference import ReferenceEvaluator

    return [np.asarray(array) for array in ReferenceEvaluator(model).run(None, {})]


def _value(tensor: Tensor) -> Value:
    try:
        constant = tensor.array if tensor.is_constant else None
    except MALFORMED as error:
        msg = f"the constant {tensor.name} is malformed: {error!r}"
        raise WeightsError(msg) from error
    return Value(tensor, constant, tensor.quantization if tensor.dtype in _INTEGERS else None)


def _export(value: Value, builder: Builder, forms: Values) -> None:
    """Give the elements of an output the name of its tensor."""
    name = value.tensor.name
    is_float = value.tensor.dtype == "float32"  # of a dequantized constant, too
    made = forms.real(value, folded=True) if is_float else forms.stored(value)
    if made != name:
        builder.rename(builder.add("Identity", [made], f"{name}/output"), name, own=True)


def _info(tensor: Tensor) -> onnx.ValueInfoProto:
    kind = element_type(tensor.dtype, tensor.name)
    return helper.make_tensor_value_info(tensor.name, kind, tensor.shape)

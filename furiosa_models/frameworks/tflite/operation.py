"""What the converter of one operation sees: its inputs in any form, its options, its outputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NoReturn

import numpy as np

from ...errors import ConversionError, WeightsError
from ..base import Array
from .builder import Builder
from .file import Operator, Tensor
from .schema import ACTIVATIONS, Options
from .values import CHANNELS_FIRST, Order, Value, Values

__all__ = ["Operation"]

_RANGES = {"RELU": (0.0, np.inf), "RELU_N1_TO_1": (-1.0, 1.0), "RELU6": (0.0, 6.0)}


class Operation:
    """An operation, whose nodes a converter adds to the ONNX graph.

    Args:
        operator: The operation of the file.
        values: All values of the graph, by their index.
        forms: How values get their forms.
        builder: Where nodes are added.
    """

    def __init__(
        self, operator: Operator, values: Mapping[int, Value], forms: Values, builder: Builder
    ) -> None:
        self._operator = operator
        self._forms = forms
        self._builder = builder
        self.inputs: list[Value | None] = [values[i] if i >= 0 else None for i in operator.inputs]
        self.outputs = [values[i] for i in operator.outputs if i >= 0]
        self._made: set[str] = set()
        computed = [v for v in self.inputs if v is not None and v.constant is None]
        self._is_quantized = any(v.quantization is not None for v in (*computed, *self.outputs))

    @property
    def kind(self) -> str:
        """Name of the operation, such as `CONV_2D`."""
        return self._operator.kind

    @property
    def name(self) -> str:
        """Name of the first output."""
        return self._operator.name

    @property
    def options(self) -> Options:
        """Options by name."""
        return self._operator.options

    @property
    def custom(self) -> bytes:
        """Options of a custom operation as they are stored."""
        return self._operator.custom

    # Inputs ----------------------------------------------------------------------------------

    def has(self, index: int) -> bool:
        """Return whether there is an input of that number."""
        return index < len(self.inputs) and self.inputs[index] is not None

    def value(self, index: int) -> Value:
        """Return an input.

        Raises:
            WeightsError: The operation does not have it.
        """
        found = self.inputs[index] if self.has(index) else None
        if found is None:
            msg = f"{self.kind} {self.name!r} has {len(self.inputs)} inputs, but not number {index}"
            raise WeightsError(msg)
        return found

    def tensor(self, index: int = 0) -> Tensor:
        """Return the tensor of an input."""
        return self.value(index).tensor

    def shape(self, index: int = 0, rank: int | None = None) -> tuple[int, ...]:
        """Return the shape of an input.

        Raises:
            WeightsError: It does not have `rank` dimensions.
        """
        tensor = self.tensor(index)
        if rank is not None and len(tensor.shape) != rank:
            msg = (
                f"{self.kind} {self.name!r}: expected {rank} dimensions of {tensor.name}, "
                f"got {list(tensor.shape)}"
            )
            raise WeightsError(msg)
        return tensor.shape

    def real(self, index: int = 0, order: Order = None) -> str:
        """Return the name of the numbers of an input."""
        return self._forms.real(self.value(index), order, folded=not self._is_quantized)

    def stored(self, index: int = 0, order: Order = None) -> str:
        """Return the name of the elements of an input as they are stored."""
        return self._forms.stored(self.value(index), order)

    def constant(self, index: int) -> Array:
        """Return the elements of an input that must be known.

        Raises:
            ConversionError: The graph computes them.
        """
        value = self.value(index)
        if value.constant is None:
            self.refuse(f"{value.tensor.name} is computed: expected a constant")
        return value.constant

    def integers(self, index: int) -> list[int]:
        """Return the elements of an input that must be known, as a list of integers."""
        return [int(number) for number in self.constant(index).reshape(-1).tolist()]

    def is_quantized(self, index: int = 0) -> bool:
        """Return whether an input has integers that stand for other numbers."""
        return self.value(index).quantization is not None

    def axis(self, axis: int, index: int = 0) -> int:
        """Return a dimension of an input, counted from the first one.

        Raises:
            WeightsError: It has no such dimension.
        """
        rank = self.value(index).rank
        if not -rank <= axis < rank:
            msg = f"{self.kind} {self.name!r}: dimension {axis} of {rank}"
            raise WeightsError(msg)
        return axis % rank

    # Layout and form -------------------------------------------------------------------------

    def order(self, *indices: int) -> Order:
        """Return the order of dimensions in which an operation of each element is cheapest.

        Args:
            indices: Inputs to consider; all if there are none.
        """
        values = [self.inputs[i] for i in indices] if indices else self.inputs
        found = [value for value in values if value is not None]
        fits = all(
            value.rank == 4 or (value.constant is not None and value.rank < 4) for value in found
        )
        return CHANNELS_FIRST if fits and any(v.is_channels_first for v in found) else None

    def moved(self, axis: int, order: Order, index: int = 0) -> int:
        """Return where a dimension of an input is in an order."""
        axis = self.axis(axis, index)
        return axis if order is None else order.index(axis)

    def keeps_quantization(self, *indices: int) -> bool:
        """Return whether the integers of the inputs mean the same in all outputs."""
        found = [self.value(i).quantization for i in indices or range(len(self.inputs))]
        found += [output.quantization for output in self.outputs]
        return all(quantization == found[0] for quantization in found)

    # Nodes -----------------------------------------------------------------------------------

    def emit(self, kind: str, inputs: Sequence[str], **attributes: Any) -> str:
        """Add an ONNX node, and return the name of its output."""
        return self.emit_many(kind, inputs, 1, **attributes)[0]

    def emit_many(
        self, kind: str, inputs: Sequence[str], count: int, **attributes: Any
    ) -> list[str]:
        """Add an ONNX node with several outputs, and return their names."""
        name = f"{self.name}/{kind.lower()}"
        made = self._builder.add_many(kind, inputs, name, count, **attributes)
        self._made.update(made)
        return made

    def number(self, value: float, dtype: str = "float32") -> str:
        """Return the name of a constant scalar."""
        return self.array(np.array(value, dtype), "number")

    def indices(self, values: Sequence[int]) -> str:
        """Return the name of a constant vector of int64."""
        return self.array(np.array(values, np.int64), "indices")

    def array(self, array: Array, what: str) -> str:
        """Return the name of a constant."""
        return self._builder.constant(array, f"{self.name}/{what}")

    def dequantized(self, index: int, scale: Array) -> str:
        """Return the numbers of a vector of int32 with other scales than the file has."""
        vector = self.value(index)
        inputs = [self.stored(index), self.array(scale, "bias_scale")]
        attributes = {"axis": 0} if scale.ndim else {}
        return self._builder.add(
            "DequantizeLinear", inputs, f"{vector.tensor.name}/real", **attributes
        )

    # Outputs ---------------------------------------------------------------------------------

    def finish(self, name: str, order: Order = None, number: int = 0) -> None:
        """Make numbers an output, after the activation among the options, and quantized."""
        output = self._output(number)
        activation = self._activation()
        if output.quantization is None:
            self.define(self._activate(name, activation), order, number)
            return
        if output.quantization.scale.size != 1:
            self.refuse(f"{output.tensor.name} is computed with several scales")
        if activation not in _RANGES:
            name = self._activate(name, activation)
        name = self.emit("QuantizeLinear", [name, *self._forms.parameters(output)])
        self.define(self._clip_integers(name, activation, output), order, number)

    def define(self, name: str, order: Order = None, number: int = 0) -> None:
        """Make elements, as they are stored, an output."""
        output = self._output(number)
        if name not in self._made:  # it is a form of an input
            name = self.emit("Identity", [name])
        given = self._forms.name(output, order)
        self._forms.define(output, self._builder.rename(name, given, own=order is None), order)

    def define_constant(self, array: Array, number: int = 0) -> None:
        """Make known elements an output."""
        output = self._output(number)
        if output.forms or output.constant is not None:
            msg = f"{output.tensor.name} is computed by two operations"
            raise WeightsError(msg)
        output.constant = array

    def keep_constant(self) -> None:
        """Make the constant in the first input the output, with what its integers stand for."""
        value = self.value(0)
        self.define_constant(self.constant(0))
        self._output(0).quantization = value.quantization

    def set_shape(self, shape: Sequence[int], number: int = 0) -> None:
        """Correct the shape of an output, which files do not have for custom operations."""
        output = self._output(number)
        output.tensor = replace(output.tensor, shape=tuple(shape))

    def refuse(self, reason: str) -> NoReturn:
        """Raise a `ConversionError` that names the operation."""
        msg = f"{self.kind} {self.name!r} cannot be converted: {reason}"
        raise ConversionError(msg)

    def _output(self, number: int) -> Value:
        if number >= len(self.outputs):
            msg = f"{self.kind} {self.name!r} has {len(self.outputs)} outputs"
            raise WeightsError(msg)
        return self.outputs[number]

    def _activation(self) -> str:
        code = self.options.get("activation", 0)
        if not 0 <= code < len(ACTIVATIONS):
            self.refuse(f"the activation {code} is unknown")
        return ACTIVATIONS[code]

    def _clip_integers(self, name: str, activation: str, output: Value) -> str:
        """Limit the integers of an output to the range of an activation, if they hold more."""
        quantization, dtype = output.quantization, output.tensor.dtype
        if quantization is None or activation not in _RANGES:
            return name
        scale, zero_point = float(quantization.scale[0]), int(quantization.zero_point[0])
        info = np.iinfo(dtype)
        low, high = (
            min(max(round(limit / scale) + zero_point, info.min), info.max)
            if np.isfinite(limit)
            else info.max
            for limit in _RANGES[activation]
        )
        if (low, high) == (info.min, info.max):
            return name
        return self.emit("Clip", [name, self.number(low, dtype), self.number(high, dtype)])

    def _activate(self, name: str, activation: str) -> str:
        if activation == "NONE":
            return name
        if activation in ("RELU", "TANH"):
            return self.emit(activation.capitalize(), [name])
        if activation not in _RANGES:
            self.refuse(f"the activation {activation} is unknown")
        low, high = _RANGES[activation]
        return self.emit("Clip", [name, self.number(low), self.number(high)])

"""Tensors of a file in the ONNX graph: in which forms each of them exists.

TensorFlow Lite stores images with the channels last, and quantized numbers as integers. Operations
of ONNX want images with the channels first, and numbers. A value exists in each form that an
operation has made or asked for, so that one transposition serves all who ask, and operations that
follow each other in one layout need none.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np

from ...errors import ConversionError, WeightsError
from ..base import Array
from .builder import Builder
from .file import Quantization, Tensor

__all__ = ["CHANNELS_FIRST", "CHANNELS_OUTERMOST", "Order", "Value", "Values"]

Order: TypeAlias = "tuple[int, ...] | None"
"""Order of the dimensions: a permutation of those in the file, or None for their own order."""

CHANNELS_FIRST: Order = (0, 3, 1, 2)
"""Images (N, H, W, C) as (N, C, H, W), and kernels (O, H, W, I) as (O, I, H, W)."""
CHANNELS_OUTERMOST: Order = (3, 0, 1, 2)
"""Kernels (O, H, W, I) as (I, O, H, W)."""

_SUFFIXES = {
    None: "",
    CHANNELS_FIRST: "/channels_first",
    CHANNELS_OUTERMOST: "/channels_outermost",
}
_QUANTIZED = ("int8", "uint8")


@dataclass(frozen=True)
class _Form:
    order: Order
    dequantized: bool
    folded: bool = False


@dataclass
class Value:
    """A tensor, and the names of its forms in the ONNX graph.

    Attributes:
        tensor: The tensor.
        constant: Its stored elements, if they are known.
        quantization: What the stored integers stand for.
        forms: Names of its forms.
    """

    tensor: Tensor
    constant: Array | None
    quantization: Quantization | None
    forms: dict[_Form, str] = field(default_factory=dict)

    @property
    def rank(self) -> int:
        """Number of dimensions."""
        return len(self.tensor.shape)

    @property
    def is_channels_first(self) -> bool:
        """Whether an operation computed it with the channels first."""
        return self.constant is None and {form.order for form in self.forms} == {CHANNELS_FIRST}


class Values:
    """The values of a graph.

    Args:
        builder: Where their forms are added.
    """

    def __init__(self, builder: Builder) -> None:
        self._builder = builder

    def stored(self, value: Value, order: Order = None) -> str:
        """Return the name of the elements as they are stored: quantized ones as integers."""
        form = _Form(order, dequantized=False)
        if form not in value.forms:
            if value.constant is None:
                value.forms[form] = self._transposed(value, order)
            else:
                array = _arranged(value.constant, order)
                own = order is None and array.dtype.name == value.tensor.dtype
                name = self.name(value, order)
                value.forms[form] = self._builder.constant(array, name, own=own)
        return value.forms[form]

    def real(self, value: Value, order: Order = None, *, folded: bool = False) -> str:
        """Return the name of the numbers that the elements stand for.

        Args:
            value: The value.
            order: Order of its dimensions.
            folded: Whether a constant is stored as numbers, instead of integers and a node.
        """
        if value.quantization is None:
            return self.stored(value, order)
        folded = folded and value.constant is not None
        form = _Form(order, dequantized=True, folded=folded)
        if form not in value.forms:
            name = f"{self.name(value, order)}/real"
            if folded:
                array = _arranged(_dequantized(value), order)
                value.forms[form] = self._builder.constant(array, name)
            else:
                value.forms[form] = self._dequantize(value, name, order)
        return value.forms[form]

    def define(self, value: Value, name: str, order: Order) -> None:
        """Make `name` the stored elements of a value.

        Raises:
            WeightsError: Another operation has computed it.
        """
        if value.forms or value.constant is not None:
            msg = f"{value.tensor.name} is computed by two operations, or twice by one"
            raise WeightsError(msg)
        value.forms[_Form(order, dequantized=False)] = name

    def name(self, value: Value, order: Order) -> str:
        """Return the name of the stored elements in an order of dimensions."""
        return value.tensor.name + _SUFFIXES[order]

    def _dequantize(self, value: Value, name: str, order: Order) -> str:
        axis = _axis(value)
        attributes = {}
        if axis is not None:
            moved = axis if order is None else order.index(axis + len(order) - value.rank)
            attributes["axis"] = moved
        inputs = [self.stored(value, order), *self.parameters(value)]
        return self._builder.add("DequantizeLinear", inputs, name, **attributes)

    def parameters(self, value: Value) -> list[str]:
        """Return the names of the scale and zero point of a quantized value.

        Raises:
            ConversionError: It is not quantized in 8 bits.
        """
        quantization, name = value.quantization, value.tensor.name
        dtype = value.tensor.dtype if value.constant is None else value.constant.dtype.name
        if quantization is None or dtype not in _QUANTIZED:
            msg = (
                f"{name} is quantized as {dtype}: expected {', '.join(_QUANTIZED)}; "
                "export the network with int8 activations"
            )
            raise ConversionError(msg)
        scale, zero_point = quantization.scale, quantization.zero_point
        info = np.iinfo(dtype)
        if (zero_point < info.min).any() or (zero_point > info.max).any():
            msg = f"{name} has a zero point that {dtype} cannot hold"
            raise WeightsError(msg)
        if len(scale) == 1:
            scale, zero_point = scale.reshape(()), zero_point.reshape(())
        return [
            self._builder.constant(scale, f"{name}/scale"),
            self._builder.constant(zero_point.astype(dtype), f"{name}/zero_point"),
        ]

    def _transposed(self, value: Value, order: Order) -> str:
        """Return the name of a value that exists in another order only."""
        existing = next((form.order for form in value.forms if not form.dequantized), None)
        if not value.forms:
            msg = f"{value.tensor.name} is used before an operation computes it"
            raise WeightsError(msg)
        source = self.stored(value, existing)
        if existing is not None and order is not None:
            source, existing = self.stored(value), None
        perm = order if existing is None else tuple(np.argsort(existing).tolist())
        name, shape = self.name(value, order), value.tensor.shape
        if perm is None or len(perm) != len(shape):
            msg = f"{value.tensor.name}: expected {len(perm or ())} dimensions, got {list(shape)}"
            raise WeightsError(msg)
        before = shape if existing is None else tuple(shape[axis] for axis in existing)
        moved = [axis for axis in perm if before[axis] != 1]
        if moved == sorted(moved):  # only dimensions of size 1 move
            target = np.array([before[axis] for axis in perm], np.int64)
            inputs = [source, self._builder.constant(target, f"{name}/shape")]
            made = self._builder.add("Reshape", inputs, f"{name}/moved")
        else:
            made = self._builder.add("Transpose", [source], f"{name}/moved", perm=perm)
        return self._builder.rename(made, name, own=order is None)


def _axis(value: Value) -> int | None:
    """Return the dimension along which the scales of a value differ, or None if there is one.

    Raises:
        WeightsError: The value does not have that dimension, or not that many scales.
    """
    quantization, shape = value.quantization, value.tensor.shape
    if quantization is None or len(quantization.scale) == 1:
        return None
    axis, count = quantization.axis, len(quantization.scale)
    if not 0 <= axis < len(shape) or count != shape[axis]:
        msg = f"{value.tensor.name}: {count} scales do not fit axis {axis} of {list(shape)}"
        raise WeightsError(msg)
    return axis


def _dequantized(value: Value) -> Array:
    """Return the numbers of a quantized constant, as `DequantizeLinear` computes them."""
    quantization, array, axis = value.quantization, value.constant, _axis(value)
    assert quantization is not None
    assert array is not None
    along = [1] * array.ndim
    if axis is not None:
        along[axis] = -1
    scale, zero_point = quantization.scale.reshape(along), quantization.zero_point.reshape(along)
    with np.errstate(over="ignore", invalid="ignore"):
        return np.asarray((array - zero_point).astype(np.float32) * scale)


def _arranged(array: Array, order: Order) -> Array:
    """Return a constant with its dimensions in an order; a smaller rank is extended by ones."""
    if array.dtype == np.float16:
        array = array.astype(np.float32)
    if order is None:
        return array
    extended: Array = array.reshape((1,) * (len(order) - array.ndim) + array.shape)
    return np.transpose(extended, order)

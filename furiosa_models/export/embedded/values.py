"""Tensors of a graph under construction, with the operators and methods of arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, Union

import numpy as np
import numpy.typing as npt
from onnx import helper

if TYPE_CHECKING:
    from .builder import Builder

__all__ = ["LIMITLESS", "Operand", "Value"]

Operand: TypeAlias = Union["Value", npt.NDArray[Any], float, bool, Sequence[int]]

LIMITLESS = 2**31 - 1
"""A limit that no number of elements reaches; it fits the 32 bits that some runtimes count with."""


class Value:
    """A tensor of a graph under construction. Operators and methods add nodes to its builder.

    Numbers and arrays become constants of the tensor's element type.

    Attributes:
        name: Its name in the graph.
        dtype: Its element type.
    """

    __hash__ = None  # type: ignore[assignment]  # `==` makes a node

    def __init__(self, builder: Builder, name: str, dtype: npt.DTypeLike) -> None:
        self._builder = builder
        self.name = name
        self.dtype = np.dtype(dtype)

    def __add__(self, other: Operand) -> Value:
        return self._op("Add", other)

    def __sub__(self, other: Operand) -> Value:
        return self._op("Sub", other)

    def __rsub__(self, other: Operand) -> Value:
        return self._like(other) - self

    def __mul__(self, other: Operand) -> Value:
        return self._op("Mul", other)

    def __truediv__(self, other: Operand) -> Value:
        return self._op("Div", other)

    def __rtruediv__(self, other: Operand) -> Value:
        return self._like(other) / self

    def __floordiv__(self, other: Operand) -> Value:
        """Divide integers that are not negative."""
        return self._op("Div", other)

    def __neg__(self) -> Value:
        return self._op("Neg")

    def __lt__(self, other: Operand) -> Value:
        return self._op("Less", other, dtype=bool)

    def __le__(self, other: Operand) -> Value:
        return self._op("LessOrEqual", other, dtype=bool)

    def __gt__(self, other: Operand) -> Value:
        return self._op("Greater", other, dtype=bool)

    def __ge__(self, other: Operand) -> Value:
        return self._op("GreaterOrEqual", other, dtype=bool)

    def __eq__(self, other: object) -> Value:  # type: ignore[override]  # as arrays do
        return self._op("Equal", other, dtype=bool)

    def __and__(self, other: Operand) -> Value:
        return self._op("And", other)

    def __or__(self, other: Operand) -> Value:
        return self._op("Or", other)

    def __invert__(self) -> Value:
        return self._op("Not")

    def exp(self) -> Value:
        """Return the exponentials."""
        return self._op("Exp")

    def log(self) -> Value:
        """Return the natural logarithms."""
        return self._op("Log")

    def abs(self) -> Value:
        """Return the absolute values."""
        return self._op("Abs")

    def inverse(self) -> Value:
        """Return 1 divided by the numbers."""
        # ONNX Runtime turns a product with 1 / x into a division by x, which rounds once less.
        return -1.0 / -self

    def floor(self) -> Value:
        """Return the next lower whole numbers."""
        return self._op("Floor")

    def rint(self) -> Value:
        """Return the nearest whole numbers; halves round to even."""
        return self._op("Round")

    def at_least(self, other: Operand) -> Value:
        """Return the larger one of two numbers."""
        return self._op("Max", other)

    def at_most(self, other: Operand) -> Value:
        """Return the smaller one of two numbers."""
        return self._op("Min", other)

    def where(self, yes: Value, no: Operand) -> Value:
        """Return `yes` where this is true, and `no` elsewhere."""
        return self._builder.op("Where", self, yes, yes._like(no), dtype=yes.dtype)

    def cast(self, dtype: npt.DTypeLike) -> Value:
        """Convert the element type; fractions are cut off."""
        if self.dtype == dtype:
            return self
        kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        return self._builder.op("Cast", self, dtype=dtype, to=kind)

    def is_finite(self) -> Value:
        """Return whether each number is neither infinite nor NaN."""
        return self.abs() < np.inf

    def size(self, axis: int) -> Value:
        """Return the length of an axis, an int64 scalar."""
        return self._builder.op("Shape", self, dtype=np.int64).at(axis)

    def reshape(self, *sizes: int | Value) -> Value:
        """Return the elements in another shape; 0 keeps a length, and -1 is what remains."""
        return self._builder.op("Reshape", self, self._builder.shape(*sizes), dtype=self.dtype)

    def expand(self, *sizes: int | Value) -> Value:
        """Repeat along the axes of length 1."""
        return self._builder.op("Expand", self, self._builder.shape(*sizes), dtype=self.dtype)

    def squeeze(self, axis: int) -> Value:
        """Return the elements without an axis of length 1."""
        return self._builder.op("Squeeze", self, self._builder.shape(axis), dtype=self.dtype)

    def transpose(self, *axes: int) -> Value:
        """Return the tensor with its axes in another order."""
        return self._op("Transpose", perm=axes)

    def take(self, places: Operand, axis: int = 0) -> Value:
        """Return the elements at some places of an axis."""
        return self._builder.op("Gather", self, places, dtype=self.dtype, axis=axis)

    def at(self, place: int) -> Value:
        """Return the element at a place of the first axis."""
        return self.take(self._builder.constant(place, np.int64))

    def part(self, start: int | Value, stop: int | Value, axis: int = 0) -> Value:
        """Return the elements from `start` to before `stop` of an axis."""
        bounds = (self._builder.shape(start), self._builder.shape(stop), self._builder.shape(axis))
        return self._builder.op("Slice", self, *bounds, dtype=self.dtype)

    def pick(self, places: Value) -> Value:
        """Return the elements at full indices, `(n, axes)`."""
        return self._builder.op("GatherND", self, places, dtype=self.dtype)

    def put(self, places: Value, values: Value) -> Value:
        """Return a copy with other values at some places of a vector."""
        return self._op("ScatterElements", places, values, axis=0)

    def nonzero(self) -> Value:
        """Return the indices of the true elements, `(axes, n)`, in memory order."""
        return self._builder.op("NonZero", self, dtype=np.int64)

    def found(self) -> Value:
        """Return the places of the true elements of a vector, `(n,)`."""
        return self.nonzero().reshape(-1)

    def count(self) -> Value:
        """Return the number of true elements of a vector, an int64 scalar."""
        return self.cast(np.int64).sum(0).reshape()

    def sum(self, axis: int) -> Value:
        """Return the sums along an axis, which stays with length 1."""
        return self._builder.op("ReduceSum", self, self._builder.shape(axis), dtype=self.dtype)

    def max(self, axis: int) -> Value:
        """Return the maxima along an axis, which stays with length 1."""
        return self._builder.reduce("ReduceMax", self, axis)

    def min(self, axis: int) -> Value:
        """Return the minima along an axis, which stays with length 1."""
        return self._builder.reduce("ReduceMin", self, axis)

    def every(self, axis: int) -> Value:
        """Return whether all elements along an axis are true; the axis is removed, (n, k) only."""
        return self.cast(np.int32).min(axis).cast(bool).reshape(-1)

    def argmax(self, axis: int) -> Value:
        """Return the first places of the maxima along an axis, which is removed."""
        return self._builder.op("ArgMax", self, dtype=np.int64, axis=axis, keepdims=0)

    def cumsum(self, axis: int, *, exclusive: bool = False) -> Value:
        """Return the sums of the elements up to each one, added one after the other."""
        place = self._builder.constant(axis, np.int64)
        return self._op("CumSum", place, exclusive=int(exclusive))

    def order(self, limit: Value | None = None, *, descending: bool = True) -> Value:
        """Return the places of the best elements of a vector; equal ones keep their order."""
        count = self.size(0) if limit is None else self.size(0).at_most(limit)
        (_, places) = self._builder.ops(
            "TopK", self, count.reshape(1), dtypes=(self.dtype, np.int64), largest=int(descending)
        )
        return places

    def _op(
        self, kind: str, *others: Any, dtype: npt.DTypeLike | None = None, **attributes: Any
    ) -> Value:
        operands = [self._like(other) for other in others]
        return self._builder.op(kind, self, *operands, dtype=dtype or self.dtype, **attributes)

    def _like(self, other: Any) -> Value:
        """Return an operand as it is, or as a constant of this element type."""
        return other if isinstance(other, Value) else self._builder.constant(other, self.dtype)

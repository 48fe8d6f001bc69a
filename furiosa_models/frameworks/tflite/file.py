"""TensorFlow Lite files: the tensors and operations of their first graph, from bytes."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from ...errors import ConversionError, WeightsError
from ...networks.readers._flatbuffer import Table
from ...networks.readers._raw import MAX_RANK, Budget, checked_shape
from ..base import Array
from .schema import BUILTINS, CUSTOM, DTYPES, Options, read_options
from .sparse import Sparsity, read_sparsity

__all__ = ["MALFORMED", "Graph", "Operator", "Quantization", "Tensor", "is_tflite", "read_graph"]

MALFORMED = (
    ArithmeticError,
    AttributeError,
    LookupError,
    MemoryError,
    RuntimeError,
    TypeError,
    ValueError,
    Warning,
    struct.error,
)
"""Errors that Python, numpy and the evaluator of ONNX raise for malformed data."""

_ROOM = 16
"""Files whose decoded weights, four times their size, the sparse constants of one file may take."""


@dataclass(frozen=True)
class Quantization:
    """The numbers that integers stand for: `(stored - zero_point) * scale`.

    Attributes:
        scale: One scale (float32), or one for each index along `axis`.
        zero_point: As many zero points (int64).
        axis: Dimension along which the scales differ.
    """

    scale: Array
    zero_point: Array
    axis: int

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Quantization)
            and np.array_equal(self.scale, other.scale)
            and np.array_equal(self.zero_point, other.zero_point)
            and (len(self.scale) == 1 or self.axis == other.axis)
        )

    __hash__ = None  # type: ignore[assignment]


@dataclass(frozen=True)
class Tensor:
    """A tensor of a graph.

    Attributes:
        name: Its name, unique in the graph.
        shape: Its shape; an unknown dimension is 1.
        dtype: Name of the type of its elements; see `schema.DTYPES`.
        quantization: What its integers stand for, if it is quantized.
        raw: Stored bytes of a constant; empty if the graph computes the tensor.
        sparsity: How the bytes of a sparse constant are stored.
        room: Budget for the elements of sparse constants.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    quantization: Quantization | None = None
    raw: memoryview = field(default_factory=lambda: memoryview(b""))
    sparsity: Sparsity | None = None
    room: Budget = field(default_factory=lambda: Budget([]))

    @property
    def is_constant(self) -> bool:
        """Whether the file contains the elements."""
        return len(self.raw) > 0

    @cached_property
    def array(self) -> Array:
        """The stored elements of a constant; `bfloat16` are float32.

        Raises:
            ConversionError: numpy has no such type of elements.
            WeightsError: The number of bytes does not match the shape.
        """
        stored = "uint16" if self.dtype == "bfloat16" else self.dtype
        if stored not in _STORED:
            msg = f"{self.name} is a constant of {self.dtype}: expected one of {', '.join(_STORED)}"
            raise ConversionError(msg)
        dtype = np.dtype(stored).newbyteorder("<")
        expected = math.prod(self.shape) * dtype.itemsize
        if self.sparsity is not None:
            self.room.take(expected, self.name)
            array = self.sparsity.expand(np.frombuffer(self.raw, dtype), self.shape)
        elif len(self.raw) != expected:
            msg = (
                f"{self.name}: expected {expected} bytes for {self.dtype} {list(self.shape)}, "
                f"got {len(self.raw)}"
            )
            raise WeightsError(msg)
        else:
            array = np.frombuffer(self.raw, dtype).reshape(self.shape)
        if self.dtype == "bfloat16":
            widened: Array = array.astype(np.uint32) << np.uint32(16)
            return widened.view(np.float32)
        return array.astype(array.dtype.newbyteorder("="), copy=False)


_STORED = (
    "float32", "float16", "float64", "int8", "uint8", "int16", "uint16", "int32", "uint32",
    "int64", "uint64", "bool",
)  # fmt: skip


@dataclass(frozen=True)
class Operator:
    """An operation.

    Attributes:
        name: Name of its first output.
        kind: Name of the operation, such as `CONV_2D`, or the name of a custom one.
        inputs: Indices of its inputs; -1 stands for an input that is omitted.
        outputs: Indices of its outputs.
        options: Options that the converter needs.
        custom: Options of a custom operation, as they are stored.
        is_custom: Whether it is a custom one.
    """

    name: str
    kind: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Options
    custom: bytes
    is_custom: bool


@dataclass(frozen=True)
class Graph:
    """The first graph of a file, with operations in the order in which they run."""

    data: bytes
    tensors: tuple[Tensor, ...]
    operators: tuple[Operator, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


def is_tflite(data: bytes) -> bool:
    """Return whether bytes have the identifier of a TensorFlow Lite file."""
    return data[4:8] == b"TFL3"


def read_graph(data: bytes) -> Graph:
    """Return the first graph of a TensorFlow Lite file; constants are views of the bytes.

    Raises:
        WeightsError: The bytes are not a TensorFlow Lite file.
    """
    if not is_tflite(data):
        msg = f"not a TensorFlow Lite model: expected b'TFL3' at byte 4, got {data[4:8]!r}"
        raise WeightsError(msg)
    try:
        return _Reader(data).graph()
    except MALFORMED as error:
        msg = f"the TensorFlow Lite file is malformed: {type(error).__name__}: {error}"
        raise WeightsError(msg) from error


class _Reader:
    """Reader of one file, with a budget for everything that its offsets refer to."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._budget = Budget([data])
        self._room = Budget([data] * _ROOM)
        self._model = Table(data, struct.unpack_from("<I", data)[0], Budget([data]))
        self._buffers = list(self._model.tables(4))

    def graph(self) -> Graph:
        """Return the first graph."""
        subgraph = next(self._model.tables(2), None)
        if subgraph is None:
            msg = "the TensorFlow Lite file has no graph"
            raise WeightsError(msg)
        names = _Names()
        tensors = tuple(self._tensor(table, names) for table in subgraph.tables(0))
        codes = [self._code(table) for table in self._model.tables(1)]
        operators = tuple(self._operators(subgraph, codes, tensors))
        inputs, outputs = (self._indices(subgraph, index, len(tensors)) for index in (1, 2))
        if -1 in (*inputs, *outputs):
            msg = "an input or output of the graph is omitted"
            raise WeightsError(msg)
        return Graph(self._data, tensors, operators, inputs, outputs)

    def _tensor(self, table: Table, names: _Names) -> Tensor:
        name = names.unique(self._text(table, 3))
        dims = self._numbers(table, 0, "i")[: MAX_RANK + 1].tolist()
        code = table.scalar(1, "b")
        quantization, sparsity = table.table(4), table.table(6)
        return Tensor(
            name,
            checked_shape(dims, name),
            DTYPES[code] if 0 <= code < len(DTYPES) else f"type {code}",
            None if quantization is None else self._quantization(quantization, name),
            self._contents(self._buffers[table.scalar(2, "I")]),
            None if sparsity is None else read_sparsity(sparsity, self._numbers),
            self._room,
        )

    def _quantization(self, table: Table, name: str) -> Quantization | None:
        scale = self._numbers(table, 2, "f").astype(np.float32)
        zero_point = self._numbers(table, 3, "q").astype(np.int64)
        if not len(scale):
            return None
        if len(zero_point) not in (0, 1, len(scale)):
            msg = f"{name}: {len(zero_point)} zero points for {len(scale)} scales"
            raise WeightsError(msg)
        if len(zero_point) < len(scale):
            zero_point = np.full(len(scale), zero_point[0] if len(zero_point) else 0)
        return Quantization(scale, zero_point, table.scalar(6, "i"))

    def _operators(
        self, subgraph: Table, codes: list[tuple[str, bool]], tensors: tuple[Tensor, ...]
    ) -> Iterator[Operator]:
        for number, table in enumerate(subgraph.tables(3)):
            kind, is_custom = codes[table.scalar(0, "I")]
            inputs, outputs = (self._indices(table, index, len(tensors)) for index in (1, 2))
            named = [tensors[index].name for index in outputs if index >= 0]
            yield Operator(
                named[0] if named else f"{kind}_{number}",
                kind,
                inputs,
                outputs,
                {} if is_custom else read_options(kind, table.table(4), self._numbers),
                bytes(self._numbers(table, 5, "B")) if is_custom else b"",
                is_custom,
            )

    def _code(self, table: Table) -> tuple[str, bool]:
        """Return the name of an operation, and whether it is a custom one."""
        code = max(table.scalar(0, "b"), table.scalar(3, "i"))  # old files have the first only
        if code == CUSTOM:
            return self._text(table, 1), True
        return BUILTINS[code] if 0 <= code < len(BUILTINS) else f"operation {code}", False

    def _indices(self, table: Table, index: int, count: int) -> tuple[int, ...]:
        found = tuple(self._numbers(table, index, "i").tolist())
        if any(not -1 <= number < count for number in found):
            msg = f"the graph has {count} tensors, but refers to the numbers {list(found)[:16]}"
            raise WeightsError(msg)
        return found

    def _contents(self, buffer: Table) -> memoryview:
        """Return the bytes of a buffer, which large models store outside the table."""
        offset, size = buffer.scalar(1, "Q"), buffer.scalar(2, "Q")
        if offset > 1:
            return memoryview(self._data)[offset : offset + size]
        return buffer.vector(0, "B")

    def _text(self, table: Table, index: int) -> str:
        return bytes(self._numbers(table, index, "B")).decode()

    def _numbers(self, table: Table, index: int, code: str) -> Array:
        raw = table.vector(index, code)
        self._budget.take(len(raw), "its numbers")
        return np.frombuffer(raw, np.dtype(code).newbyteorder("<"))


class _Names:
    """Names of tensors, of which a file may have several that are equal or empty."""

    def __init__(self) -> None:
        self._used: set[str] = set()
        self._count = 0

    def unique(self, name: str) -> str:
        """Return a name, with a number if it is taken."""
        base = chosen = name or "tensor"
        while chosen in self._used:
            self._count += 1
            chosen = f"{base}_{self._count}"
        self._used.add(chosen)
        return chosen

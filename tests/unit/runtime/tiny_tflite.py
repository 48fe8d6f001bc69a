"""Tiny TensorFlow Lite models, written without TensorFlow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import flatbuffers  # type: ignore[import-untyped]
import numpy as np

from ..networks.writers import table, vector

ADD, RESHAPE, NEG = 0, 22, 59
FLOAT32, INT32, UINT8, STRING = 0, 2, 3, 5
SHAPE = (1, 3, 2, 2)


@dataclass(frozen=True)
class Tensor:
    """A tensor of a graph; -1 in `signature` means any size."""

    name: str
    shape: Sequence[int] = SHAPE
    dtype: int = FLOAT32
    signature: Sequence[int] | None = None
    scale: float | None = None
    constant: Sequence[int] | None = None


@dataclass(frozen=True)
class Operator:
    """An operation on tensors, which are identified by index."""

    code: int
    inputs: Sequence[int]
    outputs: Sequence[int]


def make_model(batch: int | str = 1) -> bytes:
    """Make a model of `double = 2 * x`, `negative = -x`, like `tiny.make_model` in ONNX."""
    shape = (1 if isinstance(batch, str) else batch, *SHAPE[1:])
    signature = (-1, *SHAPE[1:]) if isinstance(batch, str) else None
    tensors = [Tensor(name, shape, signature=signature) for name in ("x", "double", "negative")]
    return write(tensors, [Operator(ADD, [0, 0], [1]), Operator(NEG, [0], [2])], [0], [1, 2])


def quantized() -> bytes:
    """Make a model of `y = x + x` in uint8; its scales keep the numbers equal."""
    tensors = [Tensor("x", dtype=UINT8, scale=1.0), Tensor("y", dtype=UINT8, scale=2.0)]
    return write(tensors, [Operator(ADD, [0, 0], [1])], [0], [1])


def fixed_reshape() -> bytes:
    """Make a model that reshapes to a fixed row of twelve numbers for any batch size."""
    tensors = [
        Tensor("x"),
        Tensor("shape", (2,), INT32, constant=(1, 12)),
        Tensor("y", (1, 12)),
    ]
    return write(tensors, [Operator(RESHAPE, [0, 1], [2])], [0], [2])


def of_strings() -> bytes:
    """Make a model with a type that runners do not support."""
    return write([Tensor("x", (1,), STRING)], [], [0], [0])


def write(
    tensors: Sequence[Tensor],
    operators: Sequence[Operator],
    inputs: Sequence[int],
    outputs: Sequence[int],
) -> bytes:
    """Make a TensorFlow Lite file of one graph."""
    b = flatbuffers.Builder(0)
    codes = sorted({operator.code for operator in operators})
    constants = [tensor.constant for tensor in tensors]
    subgraph = table(b, 5, {
        0: ("offset", vector(b, [_tensor(b, tensor, i + 1) for i, tensor in enumerate(tensors)])),
        1: ("offset", _numbers(b, inputs)),
        2: ("offset", _numbers(b, outputs)),
        3: ("offset", vector(b, [_operator(b, codes, operator) for operator in operators])),
    })  # fmt: skip
    buffers = [table(b, 1, {}), *(_buffer(b, constant) for constant in constants)]
    kinds = [
        table(b, 4, {0: ("int8", code), 2: ("int32", 1), 3: ("int32", code)}) for code in codes
    ]
    model = table(b, 5, {
        0: ("uint32", 3),
        1: ("offset", vector(b, kinds)),
        2: ("offset", vector(b, [subgraph])),
        4: ("offset", vector(b, buffers)),
    })  # fmt: skip
    b.Finish(model, b"TFL3")
    return bytes(b.Output())


def _tensor(b: Any, tensor: Tensor, buffer: int) -> int:
    fields = {
        0: ("offset", _numbers(b, tensor.shape)),
        1: ("int8", tensor.dtype),
        2: ("uint32", buffer),
        3: ("offset", b.CreateString(tensor.name)),
    }
    if tensor.scale is not None:
        fields[4] = ("offset", table(b, 7, {
            2: ("offset", b.CreateNumpyVector(np.array([tensor.scale], np.float32))),
            3: ("offset", b.CreateNumpyVector(np.array([0], np.int64))),
        }))  # fmt: skip
    if tensor.signature is not None:
        fields[7] = ("offset", _numbers(b, tensor.signature))
    return table(b, 8, fields)


def _operator(b: Any, codes: Sequence[int], operator: Operator) -> int:
    return table(b, 5, {
        0: ("uint32", codes.index(operator.code)),
        1: ("offset", _numbers(b, operator.inputs)),
        2: ("offset", _numbers(b, operator.outputs)),
    })  # fmt: skip


def _buffer(b: Any, constant: Sequence[int] | None) -> int:
    if constant is None:
        return table(b, 1, {})
    contents = np.frombuffer(np.asarray(constant, np.int32).tobytes(), np.uint8)
    return table(b, 1, {0: ("offset", b.CreateNumpyVector(contents))})


def _numbers(b: Any, values: Sequence[int]) -> int:
    return int(b.CreateNumpyVector(np.asarray(values, np.int32)))

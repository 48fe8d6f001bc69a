"""Reader of TensorFlow Lite models, which returns the dequantized constant tensors."""

from __future__ import annotations

import struct
from collections.abc import Mapping

import numpy as np

from ...errors import WeightsError
from ._flatbuffer import Table
from ._raw import MAX_RANK, Array, Budget, checked_shape, decode, single

__all__ = ["read"]

# TensorType in tensorflow/lite/schema/schema.fbs; strings, complex and packed types are not weights
_DTYPES = {
    0: "float32",
    1: "float16",
    2: "int32",
    3: "uint8",
    4: "int64",
    6: "bool",
    7: "int16",
    9: "int8",
    10: "float64",
    15: "uint32",
    16: "uint16",
    18: "bfloat16",
}


def read(files: Mapping[str, bytes]) -> dict[str, Array]:
    """Return the constant tensors of all subgraphs by name; see `read_weights`."""
    data = single(files)
    if data[4:8] != b"TFL3":
        msg = f"not a TensorFlow Lite model: expected b'TFL3' at byte 4, got {data[4:8]!r}"
        raise WeightsError(msg)
    budget = Budget([data])
    model = Table(data, struct.unpack_from("<I", data)[0], Budget([data]))
    buffers = list(model.tables(4))
    arrays: dict[str, Array] = {}
    for subgraph in model.tables(2):
        for tensor in subgraph.tables(0):
            name = bytes(tensor.vector(3, "B")).decode()
            budget.take(len(name), "a tensor's name")
            raw = _contents(buffers[tensor.scalar(2, "I")], data)
            dtype = _DTYPES.get(tensor.scalar(1, "b"))
            if len(raw) and dtype is not None and name not in arrays:
                arrays[name] = _array(tensor, name, dtype, raw, budget)
    return arrays


def _contents(buffer: Table, data: bytes) -> memoryview:
    """Return the bytes of a buffer, which large models store outside the table."""
    offset, size = buffer.scalar(1, "Q"), buffer.scalar(2, "Q")
    return memoryview(data)[offset : offset + size] if offset > 1 else buffer.vector(0, "B")


def _array(tensor: Table, name: str, dtype: str, raw: memoryview, budget: Budget) -> Array:
    """Decode a tensor; quantized ones are `(stored - zero_point) * scale` as float32."""
    dims = np.frombuffer(tensor.vector(0, "i"), "<i4")
    shape = checked_shape(dims[: MAX_RANK + 1].tolist(), name)
    stored = decode(raw, dtype, shape, budget, name)
    quantization = tensor.table(4)
    scale = np.zeros(0) if quantization is None else _numbers(quantization, 2, "f")
    if quantization is None or not len(scale) or stored.dtype.kind not in "iu":
        return stored
    zero_point = _numbers(quantization, 3, "q") if quantization.vector(3, "q") else np.zeros(1)
    if len(zero_point) not in (1, len(scale)):
        msg = f"{name}: {len(zero_point)} zero points for {len(scale)} scales"
        raise WeightsError(msg)
    axis = quantization.scalar(6, "i")
    return _dequantized(stored, scale, zero_point, axis, name)


def _numbers(table: Table, index: int, code: str) -> Array:
    """Return a vector of numbers as float64, which represents scales and zero points exactly."""
    return np.frombuffer(table.vector(index, code), f"<{code}").astype(np.float64)


def _dequantized(stored: Array, scale: Array, zero_point: Array, axis: int, name: str) -> Array:
    if len(scale) > 1:
        if not 0 <= axis < stored.ndim or len(scale) != stored.shape[axis]:
            msg = f"{name}: {len(scale)} scales do not fit axis {axis} of {list(stored.shape)}"
            raise WeightsError(msg)
        along = [1] * stored.ndim
        along[axis] = -1
        scale = scale.reshape(along)
        zero_point = zero_point.reshape(along) if len(zero_point) > 1 else zero_point
    with np.errstate(over="ignore", invalid="ignore"):
        return np.asarray((stored - zero_point) * scale, np.float32)

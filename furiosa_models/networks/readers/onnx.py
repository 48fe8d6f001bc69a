"""Reader of ONNX models, which returns their initializers.

It parses the few required fields directly from the protobuf wire format, and skips all others: it
needs no generated message classes, and does not copy the tensors.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ...errors import WeightsError
from ._protobuf import fields, integer, text, varints, view
from ._raw import Array, Budget, checked_shape, decode, single

__all__ = ["read"]

# onnx.proto: numbers of fields, and of data types that weights have
_GRAPH, _INITIALIZER = 7, 5
_DIMS, _TYPE, _FLOATS, _NAME, _RAW, _PLACE = 1, 2, 4, 8, 9, 14
_EXTERNAL = 1
_DTYPES = {
    1: "float32",
    2: "uint8",
    3: "int8",
    6: "int32",
    7: "int64",
    9: "bool",
    10: "float16",
    11: "float64",
    16: "bfloat16",
}


def read(files: Mapping[str, bytes]) -> dict[str, Array]:
    """Return the initializers of a model by name; see `read_weights`.

    Initializers without raw bytes or a list of floats, which are no weights, are left out.
    """
    data = single(files)
    budget = Budget([data])
    arrays: dict[str, Array] = {}
    for number, value in fields(memoryview(data)):
        if number == _GRAPH:
            for part, tensor in fields(view(value)):
                if part == _INITIALIZER:
                    arrays |= _array(view(tensor), budget)
    if not arrays:
        msg = "no initializers in the graph: expected an ONNX model with weights"
        raise WeightsError(msg)
    return arrays


def _array(tensor: memoryview, budget: Budget) -> dict[str, Array]:
    """Return the array of a TensorProto by its name; empty for one that is no weight."""
    name, dtype = "", None
    dims: list[int] = []
    raw = memoryview(b"")
    floats: list[memoryview] = []
    for number, value in fields(tensor):
        if number == _NAME:
            name = text(value)
        elif number == _TYPE:
            dtype = _DTYPES.get(integer(value))
        elif number == _DIMS:
            dims += [integer(value)] if isinstance(value, int) else varints(value)
        elif number == _RAW:
            raw = view(value)
        elif number == _FLOATS:
            floats.append(view(value))
        elif number == _PLACE and value == _EXTERNAL:
            msg = f"{name or 'an initializer'} is in another file: merge the files into one model"
            raise WeightsError(msg)
    budget.take(len(name), "a tensor's name")
    shape = checked_shape(dims, name)
    if dtype is not None and len(raw):
        return {name: decode(raw, dtype, shape, budget, name)}
    if dtype == "float32" and floats:
        listed = np.concatenate([np.frombuffer(each, "<f4") for each in floats])
        return {name: decode(listed.tobytes(), dtype, shape, budget, name)}
    return {}

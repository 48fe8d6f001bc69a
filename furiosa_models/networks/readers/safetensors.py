"""Reader of safetensors files: length of the JSON header, header, data of all tensors."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping

from ...errors import WeightsError
from ._raw import Array, Budget, checked_shape, decode, single

__all__ = ["DTYPES", "read"]

__all__ = ["read"]

DTYPES = {
    "BF16": "bfloat16",
    "BOOL": "bool",
    "F16": "float16",
    "F32": "float32",
    "F64": "float64",
    "I16": "int16",
    "I32": "int32",
    "I64": "int64",
    "I8": "int8",
    "U8": "uint8",
}
"""Type of the numbers by its code."""

_LENGTH = struct.Struct("<Q")


def read(files: Mapping[str, bytes]) -> dict[str, Array]:
    """Return the tensors of a file by name; see `read_weights`."""
    data = single(files)
    (length,) = _LENGTH.unpack_from(data)
    start = _LENGTH.size + length
    if start > len(data):
        msg = f"expected a header of {length} bytes, but the file has {len(data)}"
        raise WeightsError(msg)
    header = json.loads(data[_LENGTH.size : start])
    body, budget = memoryview(data)[start:], Budget([data])
    arrays = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        budget.take(len(name), "a tensor's name")
        begin, end = entry["data_offsets"]
        if not 0 <= begin <= end <= len(body):
            msg = f"{name}: {begin}..{end} is outside the {len(body)} bytes of data"
            raise WeightsError(msg)
        if entry["dtype"] not in DTYPES:
            msg = f"{name}: unknown type {entry['dtype']!r}, expected one of {', '.join(DTYPES)}"
            raise WeightsError(msg)
        shape = checked_shape(entry["shape"], name)
        arrays[name] = decode(body[begin:end], DTYPES[entry["dtype"]], shape, budget, name)
    if not arrays:
        msg = "no tensors in the file: expected a safetensors file"
        raise WeightsError(msg)
    return arrays

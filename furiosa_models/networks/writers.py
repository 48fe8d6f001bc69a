"""Files of arrays that other programs read: safetensors, and checkpoints of PyTorch.

Neither needs another package. A checkpoint of PyTorch is a ZIP archive with a pickle, which here
contains nothing but names, shapes and references to the data.
"""

from __future__ import annotations

import io
import json
import struct
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..errors import WeightsError
from .readers import pytorch, safetensors
from .weights import Array

__all__ = ["to_pytorch", "to_safetensors"]

_SAFETENSORS = {dtype: code for code, dtype in safetensors.DTYPES.items()}
_STORAGES = {dtype: storage for storage, dtype in pytorch.STORAGES.items()}
_ALIGNMENT = 8
_ROOT = "archive"


def to_safetensors(arrays: Mapping[str, Array]) -> bytes:
    """Return arrays by name as a safetensors file.

    Raises:
        WeightsError: An array has a type that the format does not have.
    """
    header: dict[str, Any] = {}
    chunks: list[bytes] = []
    place = 0
    for name, array in arrays.items():
        data = np.ascontiguousarray(array).tobytes()
        header[name] = {
            "dtype": _code(_SAFETENSORS, name, array),
            "shape": list(array.shape),
            "data_offsets": [place, place + len(data)],
        }
        place += len(data)
        chunks.append(data)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    return b"".join([struct.pack("<Q", len(text)), text, *chunks])


def to_pytorch(arrays: Mapping[str, Array]) -> bytes:
    """Return arrays by name as `torch.save({"model": state})` writes them.

    `torch.load(path, weights_only=True)` reads the file.

    Raises:
        WeightsError: An array has a type that PyTorch does not have.
    """
    pickled = [b"\x80\x02}", _text("model"), b"}("]  # protocol 2, {"model": {
    for key, (name, array) in enumerate(arrays.items()):
        storage = _code(_STORAGES, name, array)
        pickled += [_text(name), _tensor(str(key), storage, array)]
    pickled.append(b"us.")  # }} and the end
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(f"{_ROOT}/data.pkl", b"".join(pickled))
        archive.writestr(f"{_ROOT}/byteorder", "little")
        for key, array in enumerate(arrays.values()):
            little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
            archive.writestr(f"{_ROOT}/data/{key}", little.tobytes())
        archive.writestr(f"{_ROOT}/version", "3\n")
    return buffer.getvalue()


def _code(codes: Mapping[str, str], name: str, array: Array) -> str:
    if array.dtype.name not in codes:
        msg = f"{name}: {array.dtype} cannot be written, only {', '.join(codes)}"
        raise WeightsError(msg)
    return codes[array.dtype.name]


def _tensor(key: str, storage: str, array: Array) -> bytes:
    """Return the pickle of a tensor: `_rebuild_tensor_v2(storage, 0, size, stride, False, {})`."""
    strides = [1]
    for size in reversed(array.shape[1:]):
        strides.insert(0, strides[0] * size)
    return b"".join(
        [
            b"ctorch._utils\n_rebuild_tensor_v2\n((",
            _text("storage"),
            f"ctorch\n{storage}\n".encode(),
            _text(key),
            _text("cpu"),
            _number(array.size),
            b"tQ",
            _number(0),
            _numbers(array.shape),
            _numbers(strides if array.ndim else ()),
            b"\x89ccollections\nOrderedDict\n)RtR",
        ]
    )


def _text(value: str) -> bytes:
    data = value.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def _number(value: int) -> bytes:
    """Return the pickle of a number that is at least 0."""
    if value < 1 << 31:
        return b"J" + struct.pack("<i", value)
    data = value.to_bytes(9, "little")
    return b"\x8a" + bytes([len(data)]) + data


def _numbers(values: Any) -> bytes:
    return b"(" + b"".join(map(_number, values)) + b"t"

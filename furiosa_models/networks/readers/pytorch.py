"""PyTorch checkpoints: the zip form of PyTorch 1.6 and later, and the stream form before it.

Tensors are named by their path through the pickled object, a module's as its `state_dict` names
them: `{"model": module}` gives `model.conv.weight`. Whatever is not a tensor is passed over.
"""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Callable, Iterator, Mapping
from typing import cast

import numpy as np

from furiosa_models.errors import WeightsError
from furiosa_models.networks.readers._pickle import Call, Name, Persistent, load
from furiosa_models.networks.readers._raw import (
    Array,
    Budget,
    Buffer,
    checked_shape,
    decode,
    single,
)

__all__ = ["read"]

_DTYPES = {
    "BFloat16Storage": "bfloat16",
    "BoolStorage": "bool",
    "ByteStorage": "uint8",
    "CharStorage": "int8",
    "DoubleStorage": "float64",
    "FloatStorage": "float32",
    "HalfStorage": "float16",
    "IntStorage": "int32",
    "LongStorage": "int64",
    "ShortStorage": "int16",
}
_MAGIC = 0x1950A86A20F9469CFC6C
_TENSORS = ("torch._utils._rebuild_tensor", "torch._utils._rebuild_tensor_v2")
_PARAMETERS = ("torch._utils._rebuild_parameter", "torch._utils._rebuild_parameter_with_state")
_MODULE_PARTS = ("_parameters", "_buffers", "_modules")

_Storages = Callable[[str], Buffer]


def read(files: Mapping[str, bytes]) -> dict[str, Array]:
    """Tensors of a checkpoint by name; see `read_weights`."""
    data = single(files)
    budget = Budget([data])
    root, storages = (_open_zip if data[:2] == b"PK" else _open_stream)(data)
    cache: dict[tuple[str, str], Array] = {}
    return {
        name: _tensor(call, name, storages, cache, budget) for name, call in _walk(root, (), set())
    }


def _open_zip(data: bytes) -> tuple[object, _Storages]:
    archive = zipfile.ZipFile(io.BytesIO(data))
    pickles = [name for name in archive.namelist() if name.split("/")[-1] == "data.pkl"]
    if len(pickles) != 1:
        msg = f"not a PyTorch checkpoint: expected one data.pkl in the archive, got {len(pickles)}"
        raise WeightsError(msg)
    folder = pickles[0].removesuffix("data.pkl")
    order = f"{folder}byteorder"
    if order in archive.namelist() and _member(archive, order) != b"little":
        msg = "the checkpoint is big-endian, which this reader does not support"
        raise WeightsError(msg)
    root = load(io.BytesIO(_member(archive, pickles[0])))
    return root, lambda key: _member(archive, f"{folder}data/{key}")


def _member(archive: zipfile.ZipFile, name: str) -> bytes:
    """Contents of a member; PyTorch stores them uncompressed, so they cannot expand."""
    if archive.getinfo(name).compress_type != zipfile.ZIP_STORED:
        msg = f"{name} is compressed: expected an archive as PyTorch writes it, uncompressed"
        raise WeightsError(msg)
    return archive.read(name)


def _open_stream(data: bytes) -> tuple[object, _Storages]:
    stream = io.BytesIO(data)
    if load(stream) != _MAGIC:
        msg = "not a PyTorch checkpoint: neither a zip archive nor the older stream"
        raise WeightsError(msg)
    load(stream)  # protocol version
    load(stream)  # sizes of C types
    root = load(stream)
    keys = load(stream)
    sizes = _storage_sizes(root)
    contents: dict[str, Buffer] = {}
    for key in keys if isinstance(keys, list) else []:
        (count,) = struct.unpack("<q", stream.read(8))
        nbytes = count * sizes.get(key, 0)
        if not 0 <= nbytes <= len(data) - stream.tell():
            msg = f"storage {key} claims {nbytes} bytes, more than the file still has"
            raise WeightsError(msg)
        contents[key] = memoryview(data)[stream.tell() : stream.tell() + nbytes]
        stream.seek(nbytes, io.SEEK_CUR)
    return root, contents.__getitem__


def _storage_sizes(root: object) -> dict[str, int]:
    """Bytes per element of every storage, which the stream form keeps only with the tensors."""
    sizes = {}
    for name, call in _walk(root, (), set()):
        dtype, key = _storage(call.args[0], name)
        sizes[key] = 2 if dtype == "bfloat16" else np.dtype(dtype).itemsize
    return sizes


def _walk(node: object, path: tuple[str, ...], seen: set[int]) -> Iterator[tuple[str, Call]]:
    """Every tensor below `node` with its name; containers that occur twice are entered once."""
    if isinstance(node, Call) and node.name in _PARAMETERS:
        node = node.args[0]
    if isinstance(node, Call) and node.name in _TENSORS:
        yield ".".join(path), node
    elif id(node) not in seen:
        seen.add(id(node))
        for key, child in _children(node):
            yield from _walk(child, (*path, key) if key else path, seen)


def _children(node: object) -> Iterator[tuple[str, object]]:
    if isinstance(node, list | tuple):
        yield from ((str(index), child) for index, child in enumerate(node))
    elif isinstance(node, dict):
        yield from ((str(key), child) for key, child in node.items())
    elif isinstance(node, Call):
        yield from _children(node.items)
        if isinstance(node.state, dict):
            yield from (("", node.state[part]) for part in _MODULE_PARTS if part in node.state)


def _storage(reference: object, name: str) -> tuple[str, str]:
    """Type and key of the storage that a tensor refers to."""
    parts = reference.id if isinstance(reference, Persistent) else None
    if isinstance(parts, tuple) and len(parts) >= 5 and isinstance(parts[1], Name):
        dtype = _DTYPES.get(parts[1].name.rpartition(".")[2])
        if dtype and isinstance(parts[2], str) and parts[5:] in ((), (None,)):
            return dtype, parts[2]
    msg = f"{name}: a storage of an unknown kind: {parts!r:.200}"
    raise WeightsError(msg)


def _tensor(
    call: Call,
    name: str,
    storages: _Storages,
    cache: dict[tuple[str, str], Array],
    budget: Budget,
) -> Array:
    """The array that a `_rebuild_tensor` call describes: a strided view of a storage."""
    reference, offset, dims, steps = call.args[:4]
    dtype, key = _storage(reference, name)
    if (key, dtype) not in cache:
        raw = storages(key)
        itemsize = 2 if dtype == "bfloat16" else np.dtype(dtype).itemsize
        cache[key, dtype] = decode(raw, dtype, (len(raw) // itemsize,), budget, name)
    flat = cache[key, dtype]
    shape = checked_shape(cast("tuple[object, ...]", dims), name)
    strides = checked_shape(cast("tuple[object, ...]", steps), name)
    (start,) = checked_shape([offset], name)
    reach = sum((dim - 1) * step for dim, step in zip(shape, strides, strict=True))
    if 0 in shape:
        return np.zeros(shape, flat.dtype)
    if start + reach >= flat.size:
        msg = f"{name}: a tensor {list(shape)} reaches past its storage of {flat.size} elements"
        raise WeightsError(msg)
    view = np.lib.stride_tricks.as_strided(
        flat[start:], shape, [step * flat.itemsize for step in strides], writeable=False
    )
    budget.take(view.nbytes, name)
    return np.ascontiguousarray(view).reshape(shape)

"""Reader of PyTorch checkpoints: zip archives, streams from before version 1.6, and plain pickles.

The name of a tensor is its path through the pickled object. Tensors of modules have the names of
the `state_dict`: for example, `{"model": module}` gives `model.conv.weight`. Objects other than
tensors are skipped.
"""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Callable, Iterator, Mapping
from typing import TypeGuard, cast

import numpy as np

from ...errors import WeightsError
from ._pickle import Call, Name, Persistent, load
from ._raw import Array, Budget, Buffer, checked_shape, decode, single

__all__ = ["STORAGES", "read", "read_names"]

STORAGES = {
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
"""Type of the numbers of each storage of PyTorch."""

_MAGIC = 0x1950A86A20F9469CFC6C
_TENSORS = ("torch._utils._rebuild_tensor", "torch._utils._rebuild_tensor_v2")
_PARAMETERS = ("torch._utils._rebuild_parameter", "torch._utils._rebuild_parameter_with_state")
_MODULE_PARTS = ("_parameters", "_buffers", "_modules")

_Storages = Callable[[str], Buffer]


def read(files: Mapping[str, bytes]) -> dict[str, Array]:
    """Return the tensors of a checkpoint by name; see `read_weights`."""
    data = single(files)
    root, storages = _open(data)
    tensors = _Tensors(storages, Budget([data]))
    arrays = {name: tensors.array(call, name) for name, call in _walk(root, (), set())}
    if not arrays:
        msg = "no tensors in the file: expected a PyTorch checkpoint"
        raise WeightsError(msg)
    return arrays


def read_names(files: Mapping[str, bytes]) -> tuple[str, ...]:
    """Return the class names that YOLO checkpoints store, or an empty tuple.

    Raises:
        WeightsError: The file is not a PyTorch checkpoint.
    """
    root, _ = _open(single(files))
    holders = [root.get(key) for key in ("model", "ema")] if isinstance(root, dict) else []
    for holder in (root, *holders):
        state = holder.state if isinstance(holder, Call) else holder
        names = state.get("names") if isinstance(state, dict) else None
        if isinstance(names, dict) and all(isinstance(key, int) for key in names):
            names = [names[key] for key in sorted(names)]
        if isinstance(names, list) and names and all(isinstance(name, str) for name in names):
            return tuple(names)
    return ()


def _open(data: bytes) -> tuple[object, _Storages]:
    """Return the pickled object of a checkpoint, and a function that reads its storages."""
    return _open_zip(data) if data[:2] == b"PK" else _open_stream(data)


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
    root, _ = load(io.BytesIO(_member(archive, pickles[0])))
    return root, lambda key: _member(archive, f"{folder}data/{key}")


def _member(archive: zipfile.ZipFile, name: str) -> bytes:
    """Return the contents of an archive member, which must be uncompressed."""
    if archive.getinfo(name).compress_type != zipfile.ZIP_STORED:
        msg = f"{name} is compressed: expected an uncompressed archive, as PyTorch writes it"
        raise WeightsError(msg)
    return archive.read(name)


def _open_stream(data: bytes) -> tuple[object, _Storages]:
    stream = io.BytesIO(data)
    contents: dict[str, Buffer] = {}
    root, references = load(stream)
    if root == _MAGIC:
        load(stream)  # protocol version
        load(stream)  # sizes of C types
        root, references = load(stream)
        keys, _ = load(stream)
        sizes = dict(_key_and_size(reference) for reference in references)
        for key in keys if isinstance(keys, list) else []:
            if isinstance(key, str):
                contents[key] = _block(data, stream, sizes.get(key, 0))
    return root, contents.__getitem__


def _key_and_size(reference: Persistent) -> tuple[str, int]:
    dtype, key = _storage(reference, "storage")
    return key, _item_size(dtype)


def _block(data: bytes, stream: io.BytesIO, item_size: int) -> memoryview:
    """Return the next storage of a stream, which follows its number of elements."""
    (count,) = struct.unpack("<q", stream.read(8))
    start, nbytes = stream.tell(), count * item_size
    if not 0 <= nbytes <= len(data) - start:
        msg = f"expected a storage of {nbytes} bytes, but only {len(data) - start} are left"
        raise WeightsError(msg)
    stream.seek(nbytes, io.SEEK_CUR)
    return memoryview(data)[start : start + nbytes]


def _walk(node: object, path: tuple[str, ...], seen: set[int]) -> Iterator[tuple[str, Call]]:
    """Yield all tensors below `node` with their names; each container is visited once."""
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
    """Return the type and key of the storage that a tensor refers to."""
    parts = reference.id if isinstance(reference, Persistent) else None
    if isinstance(parts, tuple) and len(parts) >= 5 and isinstance(parts[1], Name):
        dtype = STORAGES.get(parts[1].name.rpartition(".")[2])
        if dtype and isinstance(parts[2], str) and parts[5:] in ((), (None,)):
            return dtype, parts[2]
    msg = f"{name}: expected a storage of {', '.join(STORAGES)}, got something else"
    raise WeightsError(msg)


def _item_size(dtype: str) -> int:
    return 2 if dtype == "bfloat16" else np.dtype(dtype).itemsize


class _Tensors:
    """Arrays of tensors, which are strided views of possibly shared storages."""

    def __init__(self, storages: _Storages, budget: Budget) -> None:
        self._storages = storages
        self._budget = budget
        self._decoded: dict[object, Array] = {}

    def array(self, call: Call, name: str) -> Array:
        """Return the array that a `_rebuild_tensor` call describes."""
        self._budget.take(len(name), "a tensor's name")
        reference, offset, dims, steps = call.args[:4]
        flat = self._flat(reference, name)
        shape = checked_shape(cast("tuple[object, ...]", dims), name)
        strides = checked_shape(cast("tuple[object, ...]", steps), name)
        (start,) = checked_shape([offset], name)
        if 0 in shape:
            return np.zeros(shape, flat.dtype)
        last = sum((dim - 1) * step for dim, step in zip(shape, strides, strict=True))
        if start + last >= flat.size:
            msg = f"{name}: the shape {list(shape)} exceeds the storage of {flat.size} elements"
            raise WeightsError(msg)
        byte_strides = [step * flat.itemsize for step in strides]
        view = np.lib.stride_tricks.as_strided(flat[start:], shape, byte_strides, writeable=False)
        self._budget.take(view.nbytes, name)
        return np.ascontiguousarray(view).reshape(shape)

    def _flat(self, reference: object, name: str) -> Array:
        """Return all elements of a storage."""
        inline = reference.args[0] if _is_inline(reference) else None
        key = _storage(reference, name) if inline is None else id(inline)
        if key not in self._decoded:
            storages = self._storages
            if inline is not None:
                reference, storages = _open(cast("bytes", inline))
            dtype, member = _storage(reference, name)
            raw = storages(member)
            shape = (len(raw) // _item_size(dtype),)
            self._decoded[key] = decode(raw, dtype, shape, self._budget, name)
        return self._decoded[key]


def _is_inline(reference: object) -> TypeGuard[Call]:
    """Return whether a storage is a nested checkpoint inside the pickle."""
    return isinstance(reference, Call) and reference.name == "torch.storage._load_from_bytes"

"""Reader of TensorFlow.js models: the weights manifest of a `model.json` and its shards."""

from __future__ import annotations

import json
import math
import posixpath
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from ...errors import WeightsError
from ._raw import Array, Budget, Buffer, checked_shape, decode

__all__ = ["read"]

_DTYPES = ("float32", "float16", "int32", "uint8", "uint16", "bool")


def read(files: Mapping[str, bytes]) -> dict[str, Array]:
    """Return the weights of a layers or graph model by name; see `read_weights`."""
    budget = Budget(files.values())
    arrays = {}
    folder, groups = _manifest(files)
    shards = dict(files)
    for group in groups:
        data = memoryview(b"".join(_shard(shards, folder, path) for path in group["paths"]))
        for entry in group["weights"]:
            array, data = _take(entry, data, budget)
            if array is not None:
                arrays[str(entry["name"])] = array
        if len(data):
            msg = f"{len(data)} bytes of {', '.join(group['paths'])} belong to no weight"
            raise WeightsError(msg)
    return arrays


def _manifest(files: Mapping[str, bytes]) -> tuple[str, list[dict[str, Any]]]:
    """Return the folder of the JSON file and the groups of its manifest."""
    names = [name for name in files if name.endswith(".json")]
    if len(names) != 1:
        msg = f"expected exactly one .json file, got {len(names)} among {', '.join(files)}"
        raise WeightsError(msg)
    groups = json.loads(files[names[0]])["weightsManifest"]
    if not isinstance(groups, list) or not groups:
        msg = f"{names[0]} has no weightsManifest: expected a TensorFlow.js model"
        raise WeightsError(msg)
    return posixpath.dirname(names[0]), groups


def _shard(shards: dict[str, bytes], folder: str, path: str) -> bytes:
    """Remove a shard from `shards`, so that it cannot be used twice, and return it."""
    name = posixpath.join(folder, path)
    if name not in shards:
        msg = f"the manifest lists {name}, which is missing or listed twice"
        raise WeightsError(msg)
    return shards.pop(name)


def _take(
    entry: Mapping[str, Any], data: memoryview, budget: Budget
) -> tuple[Array | None, memoryview]:
    """Return one weight from the front of `data`, and the remaining data."""
    name, dtype = str(entry["name"]), entry["dtype"]
    shape = checked_shape(entry["shape"], name)
    if dtype == "string":
        return None, data[_strings_size(data, math.prod(shape)) :]
    quantization = entry.get("quantization")
    stored = quantization["dtype"] if quantization else dtype
    if stored not in _DTYPES:
        msg = f"{name}: expected dtype {', '.join(_DTYPES)} or string, got {stored!r}"
        raise WeightsError(msg)
    nbytes = math.prod(shape) * np.dtype(stored).itemsize
    array = decode(data[:nbytes], stored, shape, budget, name)
    if quantization and stored != "float16":
        scale, low = float(quantization["scale"]), float(quantization["min"])
        with np.errstate(over="ignore", invalid="ignore"):
            array = (array * np.float64(scale) + low).astype(np.float32)
    return array, data[nbytes:]


def _strings_size(data: Buffer, count: int) -> int:
    """Return the size of `count` strings: each a 32-bit length and its contents."""
    position = 0
    for _ in _lengths(count, len(data)):
        size = int.from_bytes(data[position : position + 4], "little")
        position += 4 + size
    return position


def _lengths(count: int, available: int) -> Iterator[int]:
    if 4 * count > available:
        msg = f"{count} strings cannot fit into {available} bytes"
        raise WeightsError(msg)
    yield from range(count)

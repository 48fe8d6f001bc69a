"""ONNX files, whose weights may lie in other files beside them.

A protobuf message has at most 2 GiB, and so has a model in one file. Reading a model that is whole
takes no parsing, and no `onnx`, which takes long to import.
"""

from __future__ import annotations

import os
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import IO, TYPE_CHECKING

from ..errors import WeightsError

if TYPE_CHECKING:
    import onnx

__all__ = ["external_weight_files", "is_too_large", "load", "read_with_weights", "save"]

_LOCATION = b"location"  # the key that says in which file the weights of a tensor are
_LARGE = 1 << 10


def read_with_weights(path: str | os.PathLike[str]) -> bytes:
    """Return the bytes of a file; of a model whose weights lie beside it, with them inside.

    Raises:
        WeightsError: The file cannot be read, or its weights are missing, too short, outside its
            folder, or more than a protobuf message holds.
    """
    if not external_weight_files(path):
        return _read(path)
    from . import edit

    return edit.to_bytes(load(path))


def load(path: str | os.PathLike[str]) -> onnx.ModelProto:
    """Return the model of a file, with the weights that lie in files beside it.

    Raises:
        WeightsError: The file cannot be read or is no ONNX model, or its weights are missing, too
            short, or outside its folder.
    """
    from . import edit

    proto = edit.parse(_read(path))
    for tensor in edit.tensors(proto):
        if tensor.data_location == tensor.EXTERNAL:
            _inline(tensor, Path(path))
    return proto


def save(model: onnx.ModelProto, path: str | os.PathLike[str]) -> list[Path]:
    """Write a model; one that is too large for a file has its weights beside it.

    Args:
        model: The model.
        path: The file. The weights of a large model are in `{path}.data`.

    Returns:
        The files that were written.
    """
    from . import edit

    target = Path(path)
    if edit.serialized_size(model) <= edit.MAX_BYTES:
        target.write_bytes(edit.to_bytes(model))
        return [target]
    proto = edit.parse(model)
    data = target.with_name(f"{target.name}.data")
    with data.open("wb") as stream:
        for tensor in edit.tensors(proto):
            if len(tensor.raw_data) > _LARGE:
                _externalize(tensor, stream, data.name)
    target.write_bytes(edit.to_bytes(proto))
    return [target, data]


def external_weight_files(path: str | os.PathLike[str]) -> list[str]:
    """Return the names of the files, relative to the model's, that hold weights of it.

    There are none of a file that is no ONNX model, or cannot be read.
    """
    try:
        with Path(path).open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as data:
            if data.find(_LOCATION) < 0:
                return []
            from . import edit

            return edit.external_files(bytes(data))
    except (OSError, ValueError, WeightsError):  # who reads it says what is wrong with it
        return []


def is_too_large(path: str | os.PathLike[str]) -> bool:
    """Whether a model and the weights beside it are more than a protobuf message holds."""
    files = [Path(path).parent / name for name in external_weight_files(path)]
    if not files:
        return False
    from . import edit

    return sum(file.stat().st_size for file in files if file.is_file()) > edit.MAX_BYTES


def _read(path: str | os.PathLike[str]) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        msg = f"{path} cannot be read: {error.strerror or error}"
        raise WeightsError(msg) from error


def _inline(tensor: onnx.TensorProto, model: Path) -> None:
    """Read the numbers of a tensor that are in a file beside the model's."""
    from .edit import external_location

    place, folder = external_location(tensor), model.parent.resolve()
    path = (folder / place["location"]).resolve()
    if not path.is_relative_to(folder) or path == folder:
        msg = f"{model}: the weights of {tensor.name!r} are outside its folder: {place['location']}"
        raise WeightsError(msg)
    if path.exists() and not path.is_file():
        msg = f"{model}: the weights of {tensor.name!r} are in {path.name}, which is no file"
        raise WeightsError(msg)
    try:
        offset, length = int(place.get("offset", 0)), int(place.get("length", -1))
        with path.open("rb") as stream:
            stream.seek(offset)
            data = stream.read(length)
    except (OSError, ValueError, OverflowError, MemoryError) as error:
        msg = f"{model}: the weights of {tensor.name!r} in {path.name} cannot be read: {error}"
        raise WeightsError(msg) from error
    if len(data) < length:
        msg = (
            f"{model}: the weights of {tensor.name!r} in {path.name} are cut off: "
            f"expected {length} bytes, got {len(data)}"
        )
        raise WeightsError(msg)
    tensor.raw_data = data
    tensor.ClearField("data_location")
    tensor.ClearField("external_data")


def _externalize(tensor: onnx.TensorProto, stream: IO[bytes], name: str) -> None:
    """Write the numbers of a tensor into a file beside the model's."""
    place = {"location": name, "offset": stream.tell(), "length": len(tensor.raw_data)}
    stream.write(tensor.raw_data)
    tensor.ClearField("raw_data")
    tensor.data_location = tensor.EXTERNAL
    for key, value in place.items():
        tensor.external_data.add(key=key, value=str(value))

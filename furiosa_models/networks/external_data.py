"""ONNX models with external data: weights in other files of the same folder.

A protobuf message, and thus a model in one file, is limited to 2 GiB. A model without external data
is read without parsing it and without importing `onnx`, because both are slow.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import IO, TYPE_CHECKING

from ..errors import WeightsError

if TYPE_CHECKING:
    import onnx

__all__ = [
    "external_weight_files",
    "externalized",
    "is_too_large",
    "load",
    "loadable",
    "read_with_weights",
    "save",
]

_LOCATION = b"location"  # key of the name of a tensor's external file
_LARGE = 1 << 10


def read_with_weights(path: str | os.PathLike[str]) -> bytes:
    """Return the bytes of a model with its external weights inlined.

    Raises:
        WeightsError: The file cannot be read; or its weights are missing, too short, outside its
            folder, or exceed the maximum size of a protobuf message.
    """
    if not external_weight_files(path):
        return _read(path)
    from . import edit

    return edit.to_bytes(load(path))


def load(path: str | os.PathLike[str]) -> onnx.ModelProto:
    """Return the model of a file with its external weights inlined.

    Raises:
        WeightsError: The file cannot be read or is not an ONNX model; or its weights are missing,
            too short, or outside its folder.
    """
    from . import edit

    proto = edit.parse(_read(path))
    for tensor in edit.tensors(proto):
        if tensor.data_location == tensor.EXTERNAL:
            _inline(tensor, Path(path))
    return proto


def save(
    model: onnx.ModelProto, path: str | os.PathLike[str], *, always: bool = False
) -> list[Path]:
    """Write a model; if it is too large for one file, write its weights to a second one.

    Args:
        model: Model to write.
        path: Path of the model. The weights of a large model are written to `{path}.data`.
        always: Whether to write the weights of a small model to a second file, too.

    Returns:
        The paths of the files.
    """
    from . import edit

    target = Path(path)
    if not always and edit.serialized_size(model) <= edit.MAX_BYTES:
        target.write_bytes(edit.to_bytes(model))
        return [target]
    data = target.with_name(f"{target.name}.data")
    target.write_bytes(edit.to_bytes(externalized(model, data)))
    return [target, data]


def externalized(model: onnx.ModelProto, data: Path, *, name: str | None = None) -> onnx.ModelProto:
    """Write the large weights of a model to a file, and return the model that refers to it.

    Args:
        model: The model, which is not modified.
        data: The file.
        name: Name of the file in the model, if it will be renamed.
    """
    from . import edit

    proto = edit.parse(model)
    with data.open("wb") as stream:
        for tensor in edit.tensors(proto):
            if len(tensor.raw_data) > _LARGE:
                _externalize(tensor, stream, name or data.name)
    return proto


@contextmanager
def loadable(model: onnx.ModelProto) -> Iterator[bytes | str]:
    """Yield a model as bytes, or the path of a temporary file if it is too large for them."""
    from . import edit

    if edit.serialized_size(model) <= edit.MAX_BYTES:
        yield edit.to_bytes(model)
        return
    with tempfile.TemporaryDirectory(prefix="furiosa-models-") as folder:
        path = Path(folder) / "model.onnx"
        save(model, path)
        yield str(path)


def external_weight_files(path: str | os.PathLike[str]) -> list[str]:
    """Return the names of the files with external weights of a model, relative to its folder.

    The result is empty if the file is not an ONNX model or cannot be read.
    """
    try:
        with Path(path).open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as data:
            if data.find(_LOCATION) < 0:
                return []
            from . import edit

            return edit.external_files(bytes(data))
    except (OSError, ValueError, WeightsError):  # reading the model will report the error
        return []


def is_too_large(path: str | os.PathLike[str]) -> bool:
    """Return whether a model and its external weights exceed the limit of a protobuf message."""
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
    """Replace the external data of a tensor with inline data; `model` is the path of the model."""
    from .edit import external_location

    fields, folder = external_location(tensor), model.parent.resolve()
    path = (folder / fields["location"]).resolve()
    if not path.is_relative_to(folder) or path == folder:
        msg = (
            f"{model}: the weights of {tensor.name!r} are outside its folder: {fields['location']}"
        )
        raise WeightsError(msg)
    if path.exists() and not path.is_file():
        msg = f"{model}: the weights of {tensor.name!r} are in {path.name}, which is not a file"
        raise WeightsError(msg)
    try:
        offset, length = int(fields.get("offset", 0)), int(fields.get("length", -1))
        with path.open("rb") as stream:
            stream.seek(offset)
            data = stream.read(length)
    except (OSError, ValueError, OverflowError, MemoryError) as error:
        msg = f"{model}: the weights of {tensor.name!r} in {path.name} cannot be read: {error}"
        raise WeightsError(msg) from error
    if len(data) < length:
        msg = (
            f"{model}: the weights of {tensor.name!r} in {path.name} are truncated: "
            f"expected {length} bytes, got {len(data)}"
        )
        raise WeightsError(msg)
    tensor.raw_data = data
    tensor.ClearField("data_location")
    tensor.ClearField("external_data")


def _externalize(tensor: onnx.TensorProto, stream: IO[bytes], name: str) -> None:
    """Write the data of a tensor to an external file."""
    fields = {"location": name, "offset": stream.tell(), "length": len(tensor.raw_data)}
    stream.write(tensor.raw_data)
    tensor.ClearField("raw_data")
    tensor.data_location = tensor.EXTERNAL
    for key, value in fields.items():
        tensor.external_data.add(key=key, value=str(value))

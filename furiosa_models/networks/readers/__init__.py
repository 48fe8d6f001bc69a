"""Readers of weight files: bytes in, named arrays out, nothing executed.

Every reader is a small parser of its own. None imports the framework that wrote the file, none
calls or imports anything that a file names, and none allocates more than a few times the size of
the file, whatever its headers claim. Malformed bytes are always a `WeightsError`.
"""

from __future__ import annotations

import importlib
import struct
import zipfile
import zlib
from collections.abc import Callable, Mapping

from ...errors import WeightsError
from ..adapters import adapt
from ._raw import Array

__all__ = ["FORMATS", "read_names", "read_weights"]

_READERS = {
    "graphdef": "furiosa_models.networks.readers.graphdef",
    "pytorch": "furiosa_models.networks.readers.pytorch",
    "safetensors": "furiosa_models.networks.readers.safetensors",
    "tfjs": "furiosa_models.networks.readers.tfjs",
    "tflite": "furiosa_models.networks.readers.tflite",
}

FORMATS = tuple(_READERS)

# What numpy and the standard library raise when they are handed malformed data.
_MALFORMED = (
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    RuntimeError,
    TypeError,
    ValueError,
    Warning,  # odd escapes in a pickle, where the program has made warnings errors
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)


def read_weights(
    format: str, files: Mapping[str, bytes], layout: str = "native"
) -> dict[str, Array]:
    """Named arrays of a weights file, as a network asks for them.

    Floating-point and quantized tensors come out as float32, integers and booleans as they are;
    tensors of strings are left out. Arrays may be read-only views of `files`.

    Args:
        format: `"pytorch"` (zip and legacy checkpoints), `"graphdef"` (frozen TensorFlow graph),
            `"tfjs"` (layers or graph model), `"safetensors"` or `"tflite"`.
        files: Contents by name. One file, or for `"tfjs"` the JSON file and its shards under the
            names that the JSON file gives them.
        layout: Whose names and layouts the file has, a key of `adapters.LAYOUTS`: `"native"` are
            those that the networks ask for.

    Raises:
        WeightsError: The format or the layout is unknown, the bytes are not a sound file of it,
            or the arrays do not have that layout.
    """
    if format not in _READERS:
        msg = f"no reader for weights format {format!r}: expected one of {', '.join(FORMATS)}"
        raise WeightsError(msg)
    read: Callable[[Mapping[str, bytes]], dict[str, Array]]
    read = importlib.import_module(_READERS[format]).read
    try:
        arrays = read(files)
    except _MALFORMED as error:
        msg = f"{', '.join(files)} is not a sound {format} file: {type(error).__name__}: {error}"
        raise WeightsError(msg) from error
    return adapt(layout, arrays)


def read_names(format: str, files: Mapping[str, bytes]) -> tuple[str, ...]:
    """Return the names of the classes that a checkpoint holds; empty where it has none.

    Args:
        format: As for `read_weights`; only PyTorch's checkpoints hold names.
        files: As for `read_weights`.
    """
    if format != "pytorch":
        return ()
    from .pytorch import read_names as read

    try:
        return read(files)
    except (*_MALFORMED, WeightsError):
        return ()

"""Readers of weight files, which return named arrays and never execute code of a file.

Every reader is a small parser. It does not import the framework that wrote the file, does not
import or call anything that the file names, and never allocates more than a few times the size of
the file, even if its headers claim a larger size. Malformed bytes always raise a `WeightsError`.
"""

from __future__ import annotations

import importlib
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from ...errors import WeightsError
from ..adapters import adapt
from ._raw import Array

__all__ = ["FORMATS", "read_names", "read_weights", "reporting_malformed"]

_READERS = {
    "graphdef": "furiosa_models.networks.readers.graphdef",
    "onnx": "furiosa_models.networks.readers.onnx",
    "pytorch": "furiosa_models.networks.readers.pytorch",
    "safetensors": "furiosa_models.networks.readers.safetensors",
    "tfjs": "furiosa_models.networks.readers.tfjs",
    "tflite": "furiosa_models.networks.readers.tflite",
}

FORMATS = tuple(_READERS)

# Errors that numpy and the standard library raise for malformed data.
_MALFORMED = (
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    RuntimeError,
    TypeError,
    ValueError,
    Warning,  # invalid escapes in a pickle, if the program turns warnings into errors
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)


def read_weights(
    format: str, files: Mapping[str, bytes], layout: str = "native"
) -> dict[str, Array]:
    """Read the named arrays of a weights file under the parameter names of the network.

    Floating-point and quantized tensors become float32, integers and booleans keep their type;
    tensors of strings are skipped. Arrays may be read-only views of `files`.

    Args:
        format: `"pytorch"` (zip and legacy checkpoints), `"graphdef"` (frozen TensorFlow graph),
            `"onnx"`, `"tfjs"` (layers or graph model), `"safetensors"` or `"tflite"`.
        files: Contents by name: one file or, for `"tfjs"`, the JSON file and its shards under the
            names that the JSON file uses.
        layout: Origin of the names and layouts of the file, a key of `adapters.LAYOUTS`; `"native"`
            means those of the networks.

    Raises:
        WeightsError: The format or the layout is unknown, the bytes are not a valid file of the
            format, or the arrays do not have the layout.
    """
    if format not in _READERS:
        msg = f"unknown weights format {format!r}: expected one of {', '.join(FORMATS)}"
        raise WeightsError(msg)
    read: Callable[[Mapping[str, bytes]], dict[str, Array]]
    read = importlib.import_module(_READERS[format]).read
    with reporting_malformed(f"{', '.join(files)} is not a valid {format} file"):
        arrays = read(files)
    return adapt(layout, arrays)


@contextmanager
def reporting_malformed(what: str) -> Iterator[None]:
    """Turn the errors that malformed bytes cause in a reader into a WeightsError.

    Args:
        what: Beginning of the message, such as `x.pb is not a valid graph`.
    """
    try:
        yield
    except _MALFORMED as error:
        msg = f"{what}: {type(error).__name__}: {error}"
        raise WeightsError(msg) from error


def read_names(format: str, files: Mapping[str, bytes]) -> tuple[str, ...]:
    """Return the class names in a checkpoint, or an empty tuple.

    Args:
        format: Format, as for `read_weights`; only PyTorch checkpoints can have names.
        files: Contents by name, as for `read_weights`.
    """
    if format != "pytorch":
        return ()
    from .pytorch import read_names as read

    try:
        return read(files)
    except (*_MALFORMED, WeightsError):
        return ()

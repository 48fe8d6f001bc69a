"""ONNX files, whose weights may lie in other files beside them.

Reading a model that is whole takes no parsing, and no `onnx`, which takes long to import.
"""

from __future__ import annotations

import os
from mmap import ACCESS_READ, mmap
from pathlib import Path

from ..errors import WeightsError

__all__ = ["MAX_BYTES", "is_too_large", "read_file", "weights_beside", "whole"]

MAX_BYTES = (1 << 31) - 1
"""Most bytes of a protobuf message, and so of a model in one file."""

_LOCATION = b"location"  # the key that says in which file the weights of a tensor are


def whole(path: str | os.PathLike[str]) -> bytes:
    """Return the bytes of a file; of a model whose weights lie beside it, with them inside.

    Raises:
        WeightsError: The file cannot be read, or its weights are missing, too short, outside its
            folder, or more than a protobuf message holds.
    """
    if not weights_beside(path):
        return read_file(path)
    from . import edit

    return edit.to_bytes(edit.load(path))


def weights_beside(path: str | os.PathLike[str]) -> list[str]:
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
    folder = Path(path).parent
    files = [folder / name for name in weights_beside(path)]
    return sum(file.stat().st_size for file in files if file.is_file()) > MAX_BYTES


def read_file(path: str | os.PathLike[str]) -> bytes:
    """Return the bytes of a file.

    Raises:
        WeightsError: It cannot be read.
    """
    try:
        return Path(path).read_bytes()
    except OSError as error:
        msg = f"{path} cannot be read: {error.strerror or error}"
        raise WeightsError(msg) from error

"""Every form in which a model may come."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal, Protocol, SupportsBytes, TypeAlias, runtime_checkable

from .errors import FuriosaRuntimeError

__all__ = ["ModelSource", "Precision", "ZooModel", "is_tflite", "program_of", "with_batch_size"]

Precision: TypeAlias = Literal["fp32", "int8"]

_TFLITE = b"TFL3"
_TFLITE_AT = slice(4, 8)


@runtime_checkable
class ZooModel(Protocol):
    """What a runner needs of a model of the zoo."""

    def cpu_program(self, *, precision: Precision = "fp32") -> Path:
        """File of ONNX that takes what `preprocess` gives."""

    def npu_program(self, num_pe: Literal[1, 2] = 2) -> bytes:
        """Program of the NPU."""


class _ModelProto(Protocol):
    def SerializeToString(self) -> bytes: ...


ModelSource: TypeAlias = (
    "str | os.PathLike[str] | bytes | bytearray | memoryview | SupportsBytes | _ModelProto"
    " | ZooModel"
)


def with_batch_size(program: bytes | str, batch_size: int) -> bytes:
    """An ONNX program, by its bytes or path, with another first dimension of its inputs.

    Raises:
        FuriosaRuntimeError: It cannot be read.
        ShapeError: It cannot have that batch size.
    """
    from .. import networks

    data = program if isinstance(program, bytes) else _read(program)
    return networks.set_batch_size(data, batch_size)


def is_tflite(program: bytes | str) -> bool:
    """Whether it is a TensorFlow Lite model, or names a file of that kind."""
    if isinstance(program, bytes):
        return program[_TFLITE_AT] == _TFLITE
    if program.lower().endswith(".tflite"):
        return True
    try:
        with Path(program).open("rb") as stream:
            return stream.read(_TFLITE_AT.stop)[_TFLITE_AT] == _TFLITE
    except OSError:  # whoever loads it says what is wrong with it
        return False


def program_of(model: ModelSource, precision: Precision | None) -> bytes | str:
    """The model as the CPU's backends take it: bytes or a path.

    Raises:
        FuriosaRuntimeError: There is no such precision of it.
        TypeError: It is nothing that a model comes as.
    """
    if precision not in (None, "fp32", "int8"):
        msg = f"precision must be 'fp32' or 'int8', got {precision!r}"
        raise FuriosaRuntimeError(msg)
    if isinstance(model, ZooModel):
        options: Any = {} if precision is None else {"precision": precision}
        return str(model.cpu_program(**options))
    if precision is not None:
        msg = (
            f"precision={precision!r} goes with a model of the zoo; a program has its own: "
            "furiosa_models.quantization.quantize makes an int8 one"
        )
        raise FuriosaRuntimeError(msg)
    if isinstance(model, (str, os.PathLike)):
        return os.fspath(model)
    return _bytes(model)


def _bytes(model: Any) -> bytes:
    if hasattr(model, "SerializeToString"):
        data: bytes = model.SerializeToString()
        return data
    if isinstance(model, (bytes, bytearray, memoryview)) or hasattr(model, "__bytes__"):
        return bytes(model)
    msg = f"a model is bytes, a path, a ModelProto or a model of the zoo, got {model!r}"
    raise TypeError(msg)


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        msg = f"model {path!r} cannot be read: {error.strerror or error}"
        raise FuriosaRuntimeError(msg) from error

"""Every form in which a model may come."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal, Protocol, SupportsBytes, TypeAlias, runtime_checkable

from .errors import FuriosaRuntimeError

__all__ = ["ModelSource", "Precision", "ZooModel", "onnx_source"]

Precision: TypeAlias = Literal["fp32", "int8"]


@runtime_checkable
class ZooModel(Protocol):
    """What a runner needs of a model of the zoo."""

    def cpu_program(self, *, precision: Precision = "fp32") -> Path:
        """File of ONNX that takes what `preprocess` gives."""

    def enf(self, num_pe: Literal[1, 2] = 2) -> bytes:
        """Program of the NPU."""


class _ModelProto(Protocol):
    def SerializeToString(self) -> bytes: ...


ModelSource: TypeAlias = (
    "str | os.PathLike[str] | bytes | bytearray | memoryview | SupportsBytes | _ModelProto"
    " | ZooModel"
)


def onnx_source(
    model: ModelSource, batch_size: int | None, precision: Precision | None
) -> bytes | str:
    """The model as ONNX Runtime takes it: bytes or a path.

    Raises:
        FuriosaRuntimeError: It cannot be read, or there is no such precision of it.
        ShapeError: It cannot have that batch size.
    """
    source = _bytes_or_path(model, precision)
    if batch_size is None:
        return source
    from .. import networks

    data = source if isinstance(source, bytes) else _read(source)
    return networks.set_batch_size(data, batch_size)


def _bytes_or_path(model: ModelSource, precision: Precision | None) -> bytes | str:
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

"""Arguments of runners and queues: models in all supported forms, and options."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import (
    TYPE_CHECKING,
    Any,
    Literal,
    Protocol,
    SupportsBytes,
    TypeAlias,
    runtime_checkable,
)

from ..artifacts.store import Built, hash_file
from ..enums import Format, Precision
from ..errors import WeightsError
from ..networks.external_data import external_weight_files, is_too_large, read_with_weights
from .errors import FuriosaRuntimeError

if TYPE_CHECKING:
    import numpy.typing as npt
    from typing_extensions import Self

__all__ = [
    "ModelSource",
    "Precision",
    "RunnerOptions",
    "ScaledSource",
    "Use",
    "ZooModel",
    "is_tflite",
    "is_torchscript",
    "program_digest",
    "program_of",
    "with_batch_size",
]

_TFLITE = b"TFL3"
_TFLITE_AT = slice(4, 8)
_ARCHIVE = b"PK\x03\x04"


@runtime_checkable
class ZooModel(Protocol):
    """The part of a zoo model that a runner needs."""

    def cpu_program(self, *, precision: Precision = "fp32") -> bytes | Path | Built:
        """Return an ONNX program whose input is the output of `preprocess`, or its file."""

    def npu_program(self, num_pe: Literal[1, 2] = 2) -> bytes:
        """Return the NPU program."""


class _ModelProto(Protocol):
    def SerializeToString(self) -> bytes: ...


ModelSource: TypeAlias = (
    "str | os.PathLike[str] | bytes | bytearray | memoryview | SupportsBytes | _ModelProto"
    " | ZooModel | Built"
)


Use: TypeAlias = Literal["one", "stream"]
"""How a program runs: one inference at a time, or several at the same time."""


@dataclass(frozen=True, slots=True)
class RunnerOptions:
    """Options of a runner or a queue; None leaves the choice to the backend.

    Attributes:
        worker_num: Number of threads on the CPU, or workers on the NPU.
        batch_size: First dimension of the inputs.
        compiler_config: Options of the NPU compiler.
        precision: `"fp32"` or `"int8"` program of a zoo model.
        input_queue_size: Maximum number of waiting submissions.
        output_queue_size: Maximum number of waiting results.
        shared: Whether several threads run a runner at the same time.

    Raises:
        TypeError: A number is not an integer.
        ValueError: A number is less than 1.
    """

    worker_num: int | None = None
    batch_size: int | None = None
    compiler_config: Mapping[str, Any] | None = None
    precision: Precision | None = None
    input_queue_size: int | None = None
    output_queue_size: int | None = None
    shared: bool = False

    @property
    def are_open(self) -> bool:
        """Whether nobody requested what `tune` does not measure or chooses itself."""
        return self.worker_num is None and self.batch_size is None and self.compiler_config is None

    @property
    def use(self) -> Use:
        """How a runner with these options runs."""
        return "stream" if self.shared else "one"

    def __post_init__(self) -> None:
        for name in ("worker_num", "batch_size", "input_queue_size", "output_queue_size"):
            _check_positive(name, getattr(self, name))


class ScaledSource(bytes):
    """A float32 program whose sessions also accept uint8 pixels: `source` of 0.8.

    Attributes:
        scale: Converts uint8 pixels to the float32 input of the program.
    """

    scale: Callable[[npt.NDArray[Any]], npt.NDArray[Any]]

    @classmethod
    def of(cls, program: bytes, scale: Callable[[npt.NDArray[Any]], npt.NDArray[Any]]) -> Self:
        """Return the program with the function that scales its input."""
        made = cls(program)
        made.scale = scale
        return made

    def __reduce__(self) -> tuple[Any, ...]:
        return bytes, (bytes(self),)


def program_of(model: ModelSource, precision: Precision | None = None) -> bytes | str | Built:
    """Return a model as bytes or a path; for a zoo model, the builder of its ONNX program.

    Args:
        model: The model.
        precision: Program of a zoo model: `"fp32"` (the default) or `"int8"`.

    Raises:
        FuriosaRuntimeError: The model has no program of that precision.
        TypeError: The model has an unknown type.
    """
    if precision not in (None, "fp32", "int8"):
        msg = f"precision must be 'fp32' or 'int8', got {precision!r}"
        raise FuriosaRuntimeError(msg)
    if isinstance(model, ZooModel):
        options: Any = {} if precision is None else {"precision": precision}
        program = model.cpu_program(**options)
        return str(program) if isinstance(program, Path) else program
    if precision is not None:
        msg = (
            f"precision={precision!r} needs a model of the zoo, got a program: "
            "furiosa_models.quantization.quantize makes an int8 program"
        )
        raise FuriosaRuntimeError(msg)
    if isinstance(model, Built):
        return model
    if isinstance(model, (str, os.PathLike)):
        return _of_file(os.fspath(model))
    return _bytes(model)


def program_digest(program: bytes | str | Built) -> str:
    """Return the SHA-256 of a program, in hex; of a path, that of its file.

    Raises:
        OSError: The file cannot be read.
    """
    if isinstance(program, bytes):
        return hashlib.sha256(program).hexdigest()
    return hash_file(Path(program), "sha256") if isinstance(program, str) else program.digest


def is_tflite(program: bytes | str | Built) -> bool:
    """Return whether a program is a TensorFlow Lite model, or the path of one."""
    if isinstance(program, bytes):
        return program[_TFLITE_AT] == _TFLITE
    if not isinstance(program, str):
        return program.format is Format.TFLite
    if program.lower().endswith(".tflite"):
        return True
    try:
        with Path(program).open("rb") as stream:
            return stream.read(_TFLITE_AT.stop)[_TFLITE_AT] == _TFLITE
    except OSError:  # the backend that loads it reports the error
        return False


def is_torchscript(program: bytes | str | Built) -> bool:
    """Return whether a program is an archive, as TorchScript is, or the path of one."""
    if isinstance(program, bytes):
        return program.startswith(_ARCHIVE)
    if not isinstance(program, str):
        return program.format is Format.TORCHSCRIPT
    try:
        with Path(program).open("rb") as stream:
            return stream.read(len(_ARCHIVE)) == _ARCHIVE
    except OSError:  # the backend that loads it reports the error
        return False


def with_batch_size(program: bytes | str | Built, batch_size: int) -> bytes:
    """Return an ONNX program with another batch size, the first dimension of its inputs.

    Raises:
        FuriosaRuntimeError: The program cannot be read.
        ShapeError: The program does not support that batch size.
    """
    from .. import networks

    if isinstance(program, str):
        program = _whole(program)
    data = program if isinstance(program, bytes) else program.take()
    return networks.set_batch_size(data, batch_size)


def _bytes(model: Any) -> bytes:
    if hasattr(model, "SerializeToString"):
        data: bytes = model.SerializeToString()
        return data
    if isinstance(model, (bytes, bytearray, memoryview)) or hasattr(model, "__bytes__"):
        return bytes(model)
    msg = f"expected a model as bytes, path, ModelProto or model of the zoo, got {model!r}"
    raise TypeError(msg)


def _of_file(path: str) -> bytes | str:
    """Return the path; for ONNX with external weights, its bytes with the weights inside.

    If these are too large for that, the backend reads the weights itself.
    """
    return _whole(path) if external_weight_files(path) and not is_too_large(path) else path


def _whole(path: str) -> bytes:
    try:
        return read_with_weights(path)
    except WeightsError as error:
        raise FuriosaRuntimeError(str(error)) from error


def _check_positive(name: str, value: object) -> None:
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int):
        msg = f"{name} must be an integer, got {value!r}"
        raise TypeError(msg)
    if value < 1:
        msg = f"{name} must be at least 1, got {value}"
        raise ValueError(msg)

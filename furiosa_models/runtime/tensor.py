"""Tensors, and descriptions of the inputs and outputs of a program."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from .errors import InvalidDtype, InvalidInput, TensorNameNotFound

__all__ = [
    "Axis",
    "DataType",
    "Model",
    "Tensor",
    "TensorArray",
    "TensorDesc",
    "as_tensors",
    "numpy_dtype",
    "rand",
    "zeros",
]

Tensor: TypeAlias = "npt.NDArray[Any] | np.generic"
TensorArray: TypeAlias = "list[Tensor]"


class Axis(Enum):
    """Meaning of a dimension. Its value and `repr` are the letters in `TensorDesc.format`."""

    WIDTH = "W"
    HEIGHT = "H"
    CHANNEL = "C"
    BATCH = "N"
    WIDTH_OUTER = "Wo"
    HEIGHT_OUTER = "Ho"
    CHANNEL_OUTER = "Co"
    BATCH_OUTER = "No"
    GROUP = "G"
    GROUP_OUTER = "Go"
    UNKNOWN = "?"

    def __repr__(self) -> str:
        return self.value


class _ElementName(str):
    """Value of a `DataType`. Comparing it with an array is not elementwise."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, str) and str(self) == str(other)

    __hash__ = str.__hash__


class DataType(Enum):
    """Element type of a tensor, such as `DataType.UINT8` or `DataType(np.uint8)`.

    `DataType(value)` accepts a numpy dtype, anything that numpy converts to one, an array, or a
    `TensorDesc`. It raises `ValueError` if no element type corresponds to the value.
    """

    FLOAT32 = _ElementName("float32")
    UINT8 = _ElementName("uint8")
    INT8 = _ElementName("int8")
    INT32 = _ElementName("int32")
    INT64 = _ElementName("int64")
    BFLOAT16 = _ElementName("bfloat16")
    BOOL = _ElementName("bool")
    INT4 = _ElementName("int4")
    INT4_DECODED = _ElementName("int4_decoded")
    FLOAT8E4M3 = _ElementName("float8e4m3")
    FLOAT8E5M2 = _ElementName("float8e5m2")
    DOUBLE_INT4 = _ElementName("double_int4")
    INT16 = _ElementName("int16")
    FLOAT16 = _ElementName("float16")
    FLOAT64 = _ElementName("float64")
    UINT16 = _ElementName("uint16")
    UINT32 = _ElementName("uint32")
    UINT64 = _ElementName("uint64")

    def __eq__(self, other: object) -> bool:
        """Return whether the other value is this type or its numpy dtype."""
        if isinstance(other, np.dtype):
            return _DTYPES.get(self.value) == other
        return self is other

    __hash__ = Enum.__hash__

    @classmethod
    def _missing_(cls, value: object) -> DataType:
        dtype = numpy_dtype(value)
        for member in cls:
            if _DTYPES.get(member.value) == dtype:
                return member
        msg = f"no element type corresponds to {dtype}"
        raise ValueError(msg)

    @property
    def numpy(self) -> np.dtype[Any]:
        """The numpy dtype.

        Raises:
            ValueError: numpy has none (such as for `BFLOAT16`).
        """
        if self.value not in _DTYPES:
            msg = f"numpy has no dtype for {self.name}"
            raise ValueError(msg)
        return _DTYPES[self.value]

    @property
    def numpy_dtype(self) -> type[np.generic]:
        """The numpy scalar type, such as `numpy.uint8`.

        Raises:
            ValueError: numpy has none (such as for `BFLOAT16`).
        """
        scalar: type[np.generic] = self.numpy.type
        return scalar

    @property
    def itemsize(self) -> int:
        """Size of an element in bytes; 0 if numpy has no such type."""
        return self.numpy.itemsize if self.value in _DTYPES else 0

    def __repr__(self) -> str:
        return self.name

    __str__ = __repr__


_WITHOUT_DTYPE = {"bfloat16", "int4", "int4_decoded", "float8e4m3", "float8e5m2", "double_int4"}
_DTYPES: dict[str, np.dtype[Any]] = {
    member.value: np.dtype(str(member.value))
    for member in DataType
    if member.value not in _WITHOUT_DTYPE
}


def numpy_dtype(value: object) -> np.dtype[Any]:
    """Return the dtype of an array, a `TensorDesc`, a `DataType`, or of a dtype's name."""
    if isinstance(value, DataType):
        return value.numpy
    if isinstance(value, (np.ndarray, np.generic)):
        return value.dtype
    described: Any = getattr(value, "numpy_dtype", value)
    dtype: np.dtype[Any] = np.dtype(described)
    return dtype


@dataclass(frozen=True, slots=True, repr=False)
class TensorDesc:
    """Name, shape and element type of an input or output.

    Attributes:
        name: Name in the graph, if any.
        shape: Dimensions; 1 for a dimension of any size.
        dtype: Element type.
        open_dims: Indices of the dimensions of any size.
    """

    name: str | None
    shape: tuple[int, ...]
    dtype: DataType
    open_dims: tuple[int, ...] = ()

    @classmethod
    def of(cls, name: str | None, sizes: Sequence[int | None], dtype: DataType) -> TensorDesc:
        """Return the description of a tensor; None stands for a dimension of any size."""
        shape = tuple(1 if size is None else size for size in sizes)
        return cls(name, shape, dtype, tuple(i for i, size in enumerate(sizes) if size is None))

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return len(self.shape)

    def dim(self, idx: int) -> int:
        """Return the size of a dimension."""
        return self.shape[idx]

    def axis(self, idx: int) -> Axis:
        """Return the meaning of a dimension: N, C, H or W in 4-D tensors, unknown in others."""
        self.dim(idx)
        if self.ndim != 4:
            return Axis.UNKNOWN
        return (Axis.BATCH, Axis.CHANNEL, Axis.HEIGHT, Axis.WIDTH)[idx]

    def stride(self, idx: int) -> int:
        """Return the distance between neighbors along a dimension, in items."""
        self.dim(idx)
        return math.prod(self.shape[idx % self.ndim + 1 :])

    @property
    def length(self) -> int:
        """Number of items."""
        return math.prod(self.shape)

    @property
    def size(self) -> int:
        """Number of bytes."""
        return self.length * self.dtype.itemsize

    @property
    def format(self) -> str:
        """Letters of the axes, such as `NCHW`."""
        return "".join(self.axis(i).value for i in range(self.ndim))

    @property
    def numpy_dtype(self) -> np.dtype[Any]:
        """Element type as a numpy dtype."""
        return self.dtype.numpy

    def __repr__(self) -> str:
        name = f'name="{self.name}", ' if self.name else ""
        return (
            f"TensorDesc({name}shape={self.shape}, dtype={self.dtype!r}, format={self.format}, "
            f"size={self.size}, len={self.length})"
        )

    def check(self, value: object) -> npt.NDArray[Any]:
        """Return the value as an array, without copying, if it fits this description.

        Raises:
            InvalidDtype: It is not an array, or has another dtype.
            InvalidInput: It has another shape.
        """
        tensor = _as_array(value, self.name)
        if tensor.dtype != self.numpy_dtype:
            hint = _HINTS.get((self.numpy_dtype.name, tensor.dtype.name), "")
            msg = f"input {self.name!r} expects {self.numpy_dtype}, got {tensor.dtype}{hint}"
            raise InvalidDtype(msg)
        if not self._takes(tensor.shape):
            expected = tuple("any" if i in self.open_dims else n for i, n in enumerate(self.shape))
            msg = f"input {self.name!r} expects shape {expected}, got {tensor.shape}"
            raise InvalidInput(msg)
        return tensor

    def _takes(self, shape: Sequence[int]) -> bool:
        return len(shape) == self.ndim and all(
            i in self.open_dims or size == self.shape[i] for i, size in enumerate(shape)
        )


_HINTS = {
    ("float32", "uint8"): "; preprocess(..., with_scaling=True) makes the input of model.origin",
    ("uint8", "float32"): "; preprocess(...) without scaling makes that of model.model_source()",
}


def zeros(value: TensorDesc) -> npt.NDArray[Any]:
    """Return a zero-filled tensor that fits a description."""
    return np.zeros(value.shape, value.numpy_dtype)


def rand(value: TensorDesc) -> npt.NDArray[Any]:
    """Return a random tensor that fits a description: the full range of integers, or [0, 1)."""
    generator, dtype = np.random.default_rng(), value.numpy_dtype
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        return generator.integers(limits.min, limits.max, value.shape, dtype, endpoint=True)
    return np.asarray(generator.random(value.shape) * (2 if dtype.kind == "b" else 1)).astype(dtype)


def _as_array(value: object, name: str | None) -> npt.NDArray[Any]:
    if isinstance(value, np.ndarray):
        return value
    if isinstance(value, np.generic) or hasattr(value, "__array_interface__"):
        return np.asarray(value)
    msg = f"input {name!r} must be a numpy array, got {type(value).__name__}"
    raise InvalidDtype(msg)


class Model:
    """Descriptions of the inputs and outputs of a program.

    Args:
        inputs: Descriptions of the inputs.
        outputs: Descriptions of the outputs.
    """

    def __init__(self, inputs: Sequence[TensorDesc], outputs: Sequence[TensorDesc]) -> None:
        self._inputs = list(inputs)
        self._outputs = list(outputs)

    @property
    def input_num(self) -> int:
        """Number of inputs."""
        return len(self._inputs)

    @property
    def output_num(self) -> int:
        """Number of outputs."""
        return len(self._outputs)

    def input(self, idx: int) -> TensorDesc:
        """Return the description of an input.

        Raises:
            IndexError: There is no such input.
        """
        return _nth(self._inputs, idx, "input")

    def inputs(self) -> list[TensorDesc]:
        """Return the descriptions of the inputs."""
        return list(self._inputs)

    def output(self, idx: int) -> TensorDesc:
        """Return the description of an output.

        Raises:
            IndexError: There is no such output.
        """
        return _nth(self._outputs, idx, "output")

    def outputs(self) -> list[TensorDesc]:
        """Return the descriptions of the outputs."""
        return list(self._outputs)

    def summary(self) -> str:
        """Return the inputs and outputs as text."""
        inputs, outputs = dict(enumerate(self._inputs)), dict(enumerate(self._outputs))
        return f"Inputs:\n{inputs}\nOutputs:\n{outputs}"

    def print_summary(self) -> None:
        """Print the summary to standard output."""
        sys.stdout.write(self.summary() + "\n")

    def allocate(self) -> list[npt.NDArray[Any]]:
        """Return new input tensors filled with zeros."""
        return [zeros(desc) for desc in self._inputs]

    def check(self, tensors: Sequence[object]) -> list[npt.NDArray[Any]]:
        """Return the tensors as arrays, if they fit the inputs.

        Raises:
            InvalidDtype: A tensor has the wrong dtype, or is not an array.
            InvalidInput: A tensor has the wrong shape, or the number of tensors is wrong.
        """
        if len(tensors) != len(self._inputs):
            names = ", ".join(str(desc.name) for desc in self._inputs)
            msg = f"expected {len(self._inputs)} inputs ({names}), got {len(tensors)}"
            raise InvalidInput(msg)
        return [desc.check(tensor) for desc, tensor in zip(self._inputs, tensors, strict=True)]

    def check_named(self, output_names: object, inputs: object) -> list[npt.NDArray[Any]]:
        """Return the tensors as arrays, if inputs by name and the output names fit the model.

        Raises:
            TypeError: A tensor has the wrong dtype, the names are not a list, or the inputs not a
                mapping.
            InvalidInput: A tensor has the wrong shape, or an input is missing.
            TensorNameNotFound: The model has no such input or output.
        """
        if isinstance(output_names, str) or not isinstance(output_names, Sequence):
            msg = f"output_names must be a list of names, got {output_names!r}"
            raise TypeError(msg)
        if not isinstance(inputs, Mapping):
            msg = f"inputs must map names to tensors, got {type(inputs).__name__}"
            raise TypeError(msg)
        _check_names("output", output_names, self._outputs)
        _check_names("input", list(inputs), self._inputs)
        return self.check([inputs[str(d.name)] for d in self._inputs if d.name in inputs])


def as_tensors(inputs: object) -> list[object]:
    """Return a list of tensors from one tensor or an iterable."""
    if isinstance(inputs, (np.ndarray, np.generic)) or hasattr(inputs, "__array_interface__"):
        return [inputs]
    try:
        return list(inputs)  # type: ignore[call-overload, no-any-return]
    except TypeError:
        msg = f"inputs must be a tensor or a list of tensors, got {type(inputs).__name__}"
        raise InvalidDtype(msg) from None


def _nth(descs: Sequence[TensorDesc], idx: int, kind: str) -> TensorDesc:
    if not 0 <= idx < len(descs):
        msg = f"the model has {len(descs)} {kind}s, got the index {idx}"
        raise IndexError(msg)
    return descs[idx]


def _check_names(kind: str, names: Sequence[str], known: Sequence[TensorDesc]) -> None:
    available = [desc.name for desc in known]
    for name in names:
        if name not in available:
            listing = ", ".join(str(known) for known in available)
            msg = f"the model has no {kind} {name!r}; it has {listing}"
            raise TensorNameNotFound(msg)

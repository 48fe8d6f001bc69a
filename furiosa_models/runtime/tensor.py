"""Tensors and their descriptions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from .dtypes import Axis, DataType, numpy_dtype
from .errors import InvalidInput

__all__ = [
    "Axis",
    "DataType",
    "Tensor",
    "TensorArray",
    "TensorDesc",
    "numpy_dtype",
    "rand",
    "zeros",
]

Tensor: TypeAlias = "npt.NDArray[Any] | np.generic"
TensorArray: TypeAlias = "list[Tensor]"


@dataclass(frozen=True, slots=True, repr=False)
class TensorDesc:
    """Name, shape and element type of an input or output.

    Attributes:
        name: Name in the graph, if it has one.
        shape: Dimensions; 1 where any size goes.
        dtype: Element type.
        open_dims: Indices of the dimensions where any size goes.
    """

    name: str | None
    shape: tuple[int, ...]
    dtype: DataType
    open_dims: tuple[int, ...] = ()

    @classmethod
    def of(cls, name: str | None, sizes: Sequence[int | None], dtype: DataType) -> TensorDesc:
        """The description of a tensor with these sizes; None is any size."""
        shape = tuple(1 if size is None else size for size in sizes)
        return cls(name, shape, dtype, tuple(i for i, size in enumerate(sizes) if size is None))

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return len(self.shape)

    def dim(self, idx: int) -> int:
        """Size of a dimension."""
        return self.shape[idx]

    def axis(self, idx: int) -> Axis:
        """What a dimension counts: those of 4-D tensors are N, C, H, W, others are unknown."""
        self.dim(idx)
        if self.ndim != 4:
            return Axis.UNKNOWN
        return (Axis.BATCH, Axis.CHANNEL, Axis.HEIGHT, Axis.WIDTH)[idx]

    def stride(self, idx: int) -> int:
        """Distance, in items, of neighbours along a dimension."""
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
        """The letters of the axes, such as `NCHW`."""
        return "".join(self.axis(i).value for i in range(self.ndim))

    @property
    def numpy_dtype(self) -> np.dtype[Any]:
        """Element type as numpy has it."""
        return self.dtype.numpy

    def __repr__(self) -> str:
        name = f'name="{self.name}", ' if self.name else ""
        return (
            f"TensorDesc({name}shape={self.shape}, dtype={self.dtype!r}, format={self.format}, "
            f"size={self.size}, len={self.length})"
        )

    def check(self, value: object) -> npt.NDArray[Any]:
        """The value as an array, not copied, if it fits this description.

        Raises:
            TypeError: It is no array, or one of another dtype.
            InvalidInput: It has another shape.
        """
        tensor = _as_array(value, self.name)
        if tensor.dtype != self.numpy_dtype:
            hint = _HINTS.get((self.numpy_dtype.name, tensor.dtype.name), "")
            msg = f"input {self.name!r} expects {self.numpy_dtype}, got {tensor.dtype}{hint}"
            raise TypeError(msg)
        if not self._takes(tensor.shape):
            wanted = tuple("any" if i in self.open_dims else n for i, n in enumerate(self.shape))
            msg = f"input {self.name!r} expects shape {wanted}, got {tensor.shape}"
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
    """A tensor of zeros that fits a description."""
    return np.zeros(value.shape, value.numpy_dtype)


def rand(value: TensorDesc) -> npt.NDArray[Any]:
    """A tensor of random numbers that fits a description: all of an integer's range, or [0, 1)."""
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
    raise TypeError(msg)

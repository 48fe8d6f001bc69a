"""Types of elements, and what dimensions count."""

from __future__ import annotations

from enum import Enum
from typing import Any, ClassVar

import numpy as np

__all__ = ["Axis", "DataType", "numpy_dtype"]


class Axis(Enum):
    """What a dimension counts; its value and its `repr` are the letters in `TensorDesc.format`."""

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


class DataType:
    """Type of a tensor's elements: `DataType.UINT8`, or `DataType(np.uint8)`.

    Args:
        value: A numpy dtype or what numpy takes for one, an array, or a description.

    Raises:
        ValueError: No element type corresponds to it.
    """

    FLOAT32: ClassVar[DataType]
    UINT8: ClassVar[DataType]
    INT8: ClassVar[DataType]
    INT32: ClassVar[DataType]
    INT64: ClassVar[DataType]
    BFLOAT16: ClassVar[DataType]
    BOOL: ClassVar[DataType]
    INT4: ClassVar[DataType]
    INT4_DECODED: ClassVar[DataType]
    FLOAT8E4M3: ClassVar[DataType]
    FLOAT8E5M2: ClassVar[DataType]
    DOUBLE_INT4: ClassVar[DataType]
    INT16: ClassVar[DataType]
    FLOAT16: ClassVar[DataType]
    FLOAT64: ClassVar[DataType]
    UINT16: ClassVar[DataType]
    UINT32: ClassVar[DataType]
    UINT64: ClassVar[DataType]

    _known: ClassVar[dict[str, DataType]] = {}
    _name: str
    _numpy: np.dtype[Any] | None

    def __new__(cls, value: object) -> DataType:
        """The type that corresponds to a value; see above."""
        if isinstance(value, DataType):
            return value
        dtype = numpy_dtype(value)
        for member in cls._known.values():
            if member._numpy == dtype:
                return member
        msg = f"no element type corresponds to {dtype}"
        raise ValueError(msg)

    @property
    def name(self) -> str:
        """The type's name, such as `FLOAT32`."""
        return self._name

    @property
    def numpy(self) -> np.dtype[Any]:
        """The numpy dtype.

        Raises:
            ValueError: numpy has none (`BFLOAT16`, for one).
        """
        if self._numpy is None:
            msg = f"numpy has no dtype for {self._name}"
            raise ValueError(msg)
        return self._numpy

    @property
    def numpy_dtype(self) -> type[np.generic]:
        """The numpy scalar type, such as `numpy.uint8`; raises as `numpy` does."""
        scalar: type[np.generic] = self.numpy.type
        return scalar

    @property
    def itemsize(self) -> int:
        """Bytes of one element; 0 where numpy has no such type."""
        return self._numpy.itemsize if self._numpy else 0

    def __repr__(self) -> str:
        return self._name

    def __reduce__(self) -> tuple[Any, ...]:
        return getattr, (DataType, self._name)

    @classmethod
    def _define(cls, name: str) -> None:
        member = object.__new__(cls)
        member._name = name
        scalar = getattr(np, {"BOOL": "bool_"}.get(name, name.lower()), None)
        member._numpy = None if scalar is None else np.dtype(scalar)
        cls._known[name] = member
        setattr(cls, name, member)


for _name in DataType.__annotations__:
    if _name.isupper():
        DataType._define(_name)


def numpy_dtype(value: object) -> np.dtype[Any]:
    """The numpy dtype of an array, a `TensorDesc`, a `DataType`, or of what names a dtype."""
    if isinstance(value, DataType):
        return value.numpy
    if isinstance(value, (np.ndarray, np.generic)):
        return value.dtype
    described: Any = getattr(value, "numpy_dtype", value)
    dtype: np.dtype[Any] = np.dtype(described)
    return dtype

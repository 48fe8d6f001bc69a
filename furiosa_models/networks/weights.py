"""Sources of a network's parameters: a checkpoint, or seeded random numbers."""

from __future__ import annotations

import difflib
import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from ..errors import WeightsError
from ..spec import NetworkSpec

__all__ = [
    "Array",
    "Checkpoint",
    "FloatArray",
    "Kind",
    "NamedWeights",
    "Parameter",
    "RandomWeights",
    "Weights",
]

Array = npt.NDArray[Any]
FloatArray = npt.NDArray[np.float32]


class Kind(str, Enum):
    """Purpose of a parameter, which determines its scale in random weights."""

    KERNEL = "kernel"
    BIAS = "bias"
    GAMMA = "gamma"
    BETA = "beta"
    MEAN = "mean"
    VARIANCE = "variance"


@dataclass(frozen=True)
class Parameter:
    """A parameter that a network requires.

    Attributes:
        name: Name in the public checkpoint.
        shape: Shape in the layout of the public checkpoint.
        kind: Purpose of the parameter.
        fan_in: Number of inputs that a kernel sums for one output; 1 for the other kinds.
        gain: In random weights, factor by which a kernel amplifies the mean square of its input.
    """

    name: str
    shape: tuple[int, ...]
    kind: Kind = Kind.KERNEL
    fan_in: int = 1
    gain: float = 2.0


class Checkpoint(NamedTuple):
    """A public checkpoint of a network.

    Attributes:
        network: The network, with the arguments of its builder.
        arrays: Its arrays under the parameter names of the network.
    """

    network: NetworkSpec
    arrays: Mapping[str, Array]


class Weights(Protocol):
    """Protocol of sources of a network's parameters."""

    def get(self, parameter: Parameter) -> FloatArray:
        """Return the values of a parameter as float32 of exactly its shape.

        Raises:
            WeightsError: The parameter is missing, or has another shape or type.
        """


class NamedWeights:
    """Weights from named arrays.

    Args:
        arrays: Arrays under the parameter names of the network.
    """

    def __init__(self, arrays: Mapping[str, Array]) -> None:
        self._arrays = arrays

    def get(self, parameter: Parameter) -> FloatArray:
        """Return the array with the parameter's name.

        Raises:
            WeightsError: The parameter is missing, or has another shape or type.
        """
        array = self._arrays.get(parameter.name)
        if array is None:
            raise WeightsError(self._missing(parameter))
        if array.shape != parameter.shape or array.dtype != np.float32:
            msg = (
                f"weights {parameter.name!r}: expected float32 {list(parameter.shape)}, "
                f"got {array.dtype} {list(array.shape)}; are these weights of another network?"
            )
            raise WeightsError(msg)
        return array

    def _missing(self, parameter: Parameter) -> str:
        close = difflib.get_close_matches(parameter.name, self._arrays, n=3)
        hint = f"close names: {', '.join(close)}" if close else "there are no close names"
        return (
            f"weights {parameter.name!r} {list(parameter.shape)} are missing among "
            f"{len(self._arrays)} arrays; {hint}"
        )


class RandomWeights:
    """Random weights, which are the same on every machine; each tensor is seeded by its name.

    Kernels are uniform with the variance `gain / fan_in`, and normalization is near the identity,
    so that signals neither vanish nor explode in a deep network.

    Args:
        seed: Seed of the weights.
    """

    def __init__(self, seed: int = 0) -> None:
        self._seed = seed

    def get(self, parameter: Parameter) -> FloatArray:
        """Return random float32 values of the parameter's shape, in a range that suits its kind."""
        low, high = _interval(parameter)
        unit = _uniform(f"{self._seed}:{parameter.name}", math.prod(parameter.shape))
        values: FloatArray = np.float32(low) + unit * np.float32(high - low)
        return values.reshape(parameter.shape)


def _interval(parameter: Parameter) -> tuple[float, float]:
    """Return the range of the uniform distribution of random values."""
    if parameter.kind is Kind.KERNEL:
        bound = math.sqrt(3.0 * parameter.gain / parameter.fan_in)
        return -bound, bound
    if parameter.kind in (Kind.GAMMA, Kind.VARIANCE):
        return 0.75, 1.25
    return -0.1, 0.1


def _uniform(seed: str, count: int) -> FloatArray:
    """Return `count` numbers in [0, 1), from splitmix64 seeded by the sha256 of `seed`.

    The computation uses integers and one exact conversion, so the numbers are the same with every
    version of numpy.
    """
    start = int.from_bytes(hashlib.sha256(seed.encode()).digest()[:8], "little")
    z = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    z += np.uint64(start)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    unit: FloatArray = (z >> np.uint64(40)).astype(np.float32)
    unit *= np.float32(2.0**-24)
    return unit

"""Values of ONNX graphs in PyTorch: tensors, sizes and settings.

Sizes are Python integers, so that `torch.export` keeps an open batch dimension: `Shape` gives a
list, and the operations that compute new sizes from it work on lists.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
import torch

from ...errors import ConversionError

__all__ = [
    "Operations",
    "Tensor",
    "as_tensor",
    "indices_of",
    "is_sizes",
    "number_of",
    "pairs",
    "registering",
    "sizes_of",
]

Tensor: TypeAlias = Any
Operations: TypeAlias = "dict[str, Callable[..., Any]]"
_Function: TypeAlias = "Callable[..., Any]"


def registering(operations: Operations) -> Callable[[str], Callable[[_Function], _Function]]:
    """Return a decorator that adds a function to operations under the name of an ONNX type."""

    def operation(name: str) -> Callable[[_Function], _Function]:
        def add(function: _Function) -> _Function:
            operations[name] = function
            return function

        return add

    return operation


def as_tensor(value: Any, like: Tensor = None) -> Tensor:
    """Return a value as a tensor, on the device of another one."""
    if isinstance(value, torch.Tensor):
        return value
    device = None if like is None else like.device
    return torch.as_tensor(value, device=device)


def sizes_of(value: Any) -> list[Any]:
    """Return sizes, or axes, as a list of integers."""
    if isinstance(value, torch.Tensor):
        value = value.tolist()
    if isinstance(value, np.ndarray):
        value = value.reshape(-1).tolist()
    return list(value) if isinstance(value, (list, tuple)) else [value]


def is_sizes(*values: Any) -> bool:
    """Return whether values are sizes, and none is a tensor."""
    return any(isinstance(v, list) for v in values) and not any(
        isinstance(v, torch.Tensor) for v in values
    )


def pairs(pads: Sequence[int]) -> list[int]:
    """Return ONNX's padding, begins and then ends, in PyTorch's order: pairs from the last axis."""
    count = len(pads) // 2
    return [size for axis in reversed(range(count)) for size in (pads[axis], pads[count + axis])]


def indices_of(order: Sequence[int], like: Tensor) -> Tensor:
    """Return indices as a tensor on the device of another one."""
    return torch.tensor(order, dtype=torch.int64, device=like.device)


def number_of(value: Any) -> float:
    """Return the single value of a scale, a zero point, a bound, or padding.

    Raises:
        ConversionError: There are different values, one for each channel.
    """
    array = value.detach().cpu().numpy() if isinstance(value, torch.Tensor) else np.asarray(value)
    if np.unique(array).size != 1:
        msg = "values for each channel, such as scales of activations, have no PyTorch form here"
        raise ConversionError(msg)
    return float(array.reshape(-1)[0])

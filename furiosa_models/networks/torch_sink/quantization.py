"""Quantization: a pair of `QuantizeLinear` and `DequantizeLinear` rounds a tensor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from .values import Operations, Tensor, as_tensor, number_of, registering

__all__ = ["OPERATIONS", "Pending"]

OPERATIONS: Operations = {}
operation = registering(OPERATIONS)


@dataclass(frozen=True)
class Pending:
    """A tensor between `QuantizeLinear` and `DequantizeLinear`.

    Attributes:
        x: The float tensor.
        scale: Its scale.
        zero_point: Its zero point.
        low: Least integer.
        high: Greatest integer.
        dtype: Type of the integers.
    """

    x: Tensor
    scale: float
    zero_point: int
    low: int
    high: int
    dtype: Any

    def rounded(self) -> Tensor:
        """Return the float tensor after rounding.

        This is `torch.fake_quantize_per_tensor_affine`, which `torch.export` cannot export with an
        open batch size.
        """
        return (self._numbers() - self.zero_point) * self.scale

    def integers(self) -> Tensor:
        """Return the integers."""
        return self._numbers().to(self.dtype)

    def _numbers(self) -> Tensor:
        numbers = torch.round(self.x / self.scale) + self.zero_point
        return torch.clamp(numbers, self.low, self.high)


@operation("QuantizeLinear")
def _quantize(x: Tensor, scale: Any, zero_point: Any = None, **options: Any) -> Pending:
    del options
    zero = np.uint8(0) if zero_point is None else zero_point
    kind = np.asarray(zero).dtype if not isinstance(zero, torch.Tensor) else zero.dtype
    limits = torch.iinfo(kind) if isinstance(kind, torch.dtype) else np.iinfo(kind)
    dtype = kind if isinstance(kind, torch.dtype) else torch.from_numpy(np.zeros(1, kind)).dtype
    return Pending(
        x, number_of(scale), int(number_of(zero)), int(limits.min), int(limits.max), dtype
    )


@operation("DequantizeLinear")
def _dequantize(
    x: Any, scale: Any, zero_point: Any = None, axis: int = 1, **options: Any
) -> Tensor:
    del options
    if isinstance(x, Pending):
        return x.rounded()
    x = as_tensor(x)
    factors = as_tensor(scale, x)
    zero = 0 if zero_point is None else as_tensor(zero_point, x).to(torch.int32)
    if factors.ndim and factors.numel() > 1:
        shape = [1] * x.ndim
        shape[axis] = -1
        factors = factors.reshape(shape)
        zero = zero if isinstance(zero, int) else zero.reshape(shape)
    return (x.to(torch.int32) - zero).to(torch.float32) * factors

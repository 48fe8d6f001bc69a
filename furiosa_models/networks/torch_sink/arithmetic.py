"""Operations on single elements, and on sizes."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # its customary name

from .values import Operations, Tensor, as_tensor, is_sizes, number_of, registering, sizes_of

__all__ = ["OPERATIONS"]

OPERATIONS: Operations = {}
operation = registering(OPERATIONS)


def _elementwise(name: str, function: Callable[[Any, Any], Any]) -> None:
    def apply(a: Any, b: Any) -> Any:
        if is_sizes(a, b):
            left, right = sizes_of(a), sizes_of(b)
            count = max(len(left), len(right))
            pairs = zip(left * (count // len(left)), right * (count // len(right)), strict=True)
            return [function(x, y) for x, y in pairs]
        if isinstance(a, torch.Tensor):
            return function(a, as_tensor(b, a))
        if isinstance(b, torch.Tensor):
            return function(as_tensor(a, b), b)
        return np.asarray(function(a, b))

    OPERATIONS[name] = apply


def _divide(a: Any, b: Any) -> Any:
    if isinstance(a, torch.Tensor):
        mode = None if a.is_floating_point() else "trunc"
        return torch.div(a, b, rounding_mode=mode)
    is_integer = isinstance(a, int) or (isinstance(a, np.ndarray) and a.dtype.kind in "iu")
    return a // b if is_integer or isinstance(a, torch.SymInt) else a / b


def _modulo(a: Any, b: Any, fmod: int = 0) -> Any:
    """Return the remainder: with the sign of `b`, or with `fmod` that of `a`."""
    if is_sizes(a, b):
        left, right = sizes_of(a), sizes_of(b)
        return [x % y for x, y in zip(left, right * (len(left) // len(right)), strict=True)]
    if not isinstance(a, torch.Tensor):
        return np.fmod(a, b) if fmod else np.mod(a, b)
    divisor = as_tensor(b, a)
    return torch.fmod(a, divisor) if fmod else torch.remainder(a, divisor)


OPERATIONS["Mod"] = _modulo

for _name, _function in {
    "Add": operator.add,
    "Sub": operator.sub,
    "Mul": operator.mul,
    "Div": _divide,
    "Pow": operator.pow,
    "Equal": operator.eq,
    "Greater": operator.gt,
    "GreaterOrEqual": operator.ge,
    "Less": operator.lt,
    "LessOrEqual": operator.le,
    "And": operator.and_,
    "Or": operator.or_,
}.items():
    _elementwise(_name, _function)


for _name, _unary in {
    "Abs": torch.abs,
    "Ceil": torch.ceil,
    "Cos": torch.cos,
    "Erf": torch.erf,
    "Exp": torch.exp,
    "Floor": torch.floor,
    "Log": torch.log,
    "Mish": F.mish,
    "Neg": torch.neg,
    "Not": torch.logical_not,
    "Reciprocal": torch.reciprocal,
    "Relu": torch.relu,
    "Round": torch.round,
    "Sigmoid": torch.sigmoid,
    "Sign": torch.sign,
    "Sin": torch.sin,
    "Softplus": F.softplus,
    "Softsign": F.softsign,
    "Sqrt": torch.sqrt,
    "Tanh": torch.tanh,
    "HardSwish": F.hardswish,
}.items():
    OPERATIONS[_name] = _unary


@operation("Max")
def _max(*values: Any) -> Any:
    return _reduced_pairs(torch.maximum, values)


@operation("Min")
def _min(*values: Any) -> Any:
    return _reduced_pairs(torch.minimum, values)


def _reduced_pairs(function: Callable[[Any, Any], Any], values: Sequence[Any]) -> Any:
    like = next((value for value in values if isinstance(value, torch.Tensor)), None)
    result, *rest = (as_tensor(value, like) for value in values)
    for value in rest:
        result = function(result, value)
    return result


@operation("Clip")
def _clip(x: Tensor, low: Any = None, high: Any = None, **bounds: float) -> Tensor:
    low = bounds.get("min", low)
    high = bounds.get("max", high)
    return torch.clamp(x, *(None if bound is None else number_of(bound) for bound in (low, high)))


@operation("LeakyRelu")
def _leaky_relu(x: Tensor, alpha: float = 0.01) -> Tensor:
    return F.leaky_relu(x, alpha)


@operation("Elu")
def _elu(x: Tensor, alpha: float = 1.0) -> Tensor:
    return F.elu(x, alpha)


@operation("Gelu")
def _gelu(x: Tensor, approximate: str = "none") -> Tensor:
    return F.gelu(x, approximate=approximate)


@operation("HardSigmoid")
def _hard_sigmoid(x: Tensor, alpha: float = 0.2, beta: float = 0.5) -> Tensor:
    return torch.clamp(alpha * x + beta, 0, 1)


@operation("PRelu")
def _prelu(x: Tensor, slope: Tensor) -> Tensor:
    return torch.where(x < 0, x * as_tensor(slope, x), x)


@operation("Softmax")
def _softmax(x: Tensor, axis: int = -1) -> Tensor:
    return torch.softmax(x, axis)


@operation("LogSoftmax")
def _log_softmax(x: Tensor, axis: int = -1) -> Tensor:
    return torch.log_softmax(x, axis)


@operation("Where")
def _where(condition: Any, a: Any, b: Any) -> Any:
    if is_sizes(condition, a, b):
        columns = (sizes_of(value) for value in (condition, a, b))
        return [x if c else y for c, x, y in zip(*columns, strict=True)]
    like = next(value for value in (a, b, condition) if isinstance(value, torch.Tensor))
    return torch.where(*(as_tensor(value, like) for value in (condition, a, b)))

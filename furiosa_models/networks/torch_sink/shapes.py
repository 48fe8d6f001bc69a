"""Operations that change the shape or the type of a tensor."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import torch

from ...errors import ConversionError
from .values import Operations, Tensor, as_tensor, indices_of, is_sizes, registering, sizes_of

__all__ = ["OPERATIONS"]

OPERATIONS: Operations = {}
operation = registering(OPERATIONS)
_FAR = 2**31 - 1
_DTYPES: dict[int, Any] = {
    onnx.TensorProto.FLOAT: torch.float32,
    onnx.TensorProto.DOUBLE: torch.float64,
    onnx.TensorProto.FLOAT16: torch.float16,
    onnx.TensorProto.BFLOAT16: torch.bfloat16,
    onnx.TensorProto.INT64: torch.int64,
    onnx.TensorProto.INT32: torch.int32,
    onnx.TensorProto.INT16: torch.int16,
    onnx.TensorProto.INT8: torch.int8,
    onnx.TensorProto.UINT8: torch.uint8,
    onnx.TensorProto.BOOL: torch.bool,
}


@operation("Shape")
def _shape(x: Tensor, start: int = 0, end: int | None = None) -> list[Any]:
    return list(x.shape)[start:end]


@operation("Size")
def _size(x: Tensor) -> list[Any]:
    return [x.numel()]


@operation("Reshape")
def _reshape(x: Any, shape: Any, allowzero: int = 0) -> Any:
    if isinstance(x, (list, np.ndarray)):
        return x
    sizes = sizes_of(shape)
    if not allowzero:
        sizes = [
            x.shape[axis] if isinstance(size, int) and size == 0 else size
            for axis, size in enumerate(sizes)
        ]
    return x.reshape(sizes)


@operation("Flatten")
def _flatten(x: Tensor, axis: int = 1) -> Tensor:
    axis = axis + x.ndim if axis < 0 else axis
    return x.reshape(math.prod(x.shape[:axis]), -1) if axis != 1 else x.flatten(1)


@operation("Transpose")
def _transpose(x: Tensor, perm: Sequence[int] | None = None) -> Tensor:
    return x.permute(*(perm or reversed(range(x.ndim))))


@operation("Squeeze")
def _squeeze(x: Any, axes: Any = None, **options: Any) -> Any:
    if isinstance(x, list):
        return x
    chosen = options.get("axes", axes)
    return x.squeeze() if chosen is None else x.squeeze(tuple(sizes_of(chosen)))


@operation("Unsqueeze")
def _unsqueeze(x: Any, axes: Any = None, **options: Any) -> Any:
    if isinstance(x, list):
        return x
    chosen = sizes_of(options.get("axes", axes))
    if isinstance(x, np.ndarray):
        return np.expand_dims(x, tuple(chosen))
    rank = x.ndim + len(chosen)
    for axis in sorted(axis % rank for axis in chosen):
        x = x.unsqueeze(axis)
    return x


@operation("Expand")
def _expand(x: Tensor, shape: Any) -> Tensor:
    sizes = sizes_of(shape)
    if isinstance(x, np.ndarray):
        return np.broadcast_to(x, np.broadcast_shapes(x.shape, tuple(sizes))).copy()
    like = torch.broadcast_shapes(tuple(x.shape), tuple(sizes))
    return x.expand(like)


@operation("Tile")
def _tile(x: Tensor, repeats: Any) -> Tensor:
    if isinstance(x, np.ndarray):
        return np.tile(x, sizes_of(repeats))
    return x.repeat(sizes_of(repeats))


@operation("Concat")
def _concat(*values: Any, axis: int) -> Any:
    if is_sizes(*values):
        return [size for value in values for size in sizes_of(value)]
    like = next(value for value in values if isinstance(value, torch.Tensor))
    return torch.cat([as_tensor(value, like) for value in values], axis)


@operation("Split")
def _split(x: Tensor, sizes: Any = None, axis: int = 0, count: int = 1, **options: Any) -> Any:
    given = options.get("split", sizes)
    if given is not None:
        return tuple(torch.split(x, sizes_of(given), axis))
    return tuple(torch.split(x, -(-x.shape[axis] // count), axis))


@operation("Slice")
def _slice(
    x: Any, starts: Any = None, ends: Any = None, axes: Any = None, steps: Any = None, **old: Any
) -> Any:
    begins, stops = (
        [_bounded(bound) for bound in sizes_of(bounds)]
        for bounds in (old.get("starts", starts), old.get("ends", ends))
    )
    given = old.get("axes", axes)
    chosen = list(range(len(begins))) if given is None else sizes_of(given)
    strides = [1] * len(begins) if steps is None else sizes_of(steps)
    for axis, begin, stop, step in zip(chosen, begins, stops, strides, strict=True):
        if isinstance(x, list):
            x = x[begin:stop:step]
        elif step > 0:
            window = [slice(None)] * x.ndim
            window[axis] = slice(begin, stop, step)
            x = x[tuple(window)]
        else:
            x = x.index_select(axis, indices_of(_backward(x.shape[axis], begin, stop, step), x))
    return x


def _bounded(bound: Any) -> Any:
    """Return a bound of a slice without the values of 64 bits that stand for "to the end"."""
    return min(max(bound, -_FAR), _FAR) if isinstance(bound, int) else bound


def _backward(size: int, begin: int, stop: int, step: int) -> list[int]:
    """Return the indices of a slice with a negative step, whose bounds ONNX clamps."""
    first = min(max(begin + size if begin < 0 else begin, 0), size - 1)
    last = min(max(stop + size if stop < 0 else stop, -1), size - 1)
    return list(range(first, last, step))


@operation("Gather")
def _gather(x: Any, indices: Any, axis: int = 0) -> Any:
    if isinstance(x, list):
        return [x[index] for index in sizes_of(indices)]
    if isinstance(indices, np.ndarray) and indices.ndim == 0:
        return as_tensor(x).select(axis, int(indices))
    index = as_tensor(indices, x if isinstance(x, torch.Tensor) else None)
    x = as_tensor(x, index)
    axis = axis % x.ndim
    index = torch.where(index < 0, index + x.shape[axis], index)
    found = x.index_select(axis, index.reshape(-1))
    return found.reshape(*x.shape[:axis], *index.shape, *x.shape[axis + 1 :])


@operation("GatherElements")
def _gather_elements(x: Tensor, indices: Tensor, axis: int = 0) -> Tensor:
    index = as_tensor(indices, x)
    return torch.gather(x, axis, torch.where(index < 0, index + x.shape[axis], index))


@operation("GatherND")
def _gather_nd(x: Any, indices: Any, batch_dims: int = 0) -> Any:
    index = as_tensor(indices, x if isinstance(x, torch.Tensor) else None)
    x = as_tensor(x, index)
    outer, depth = index.shape[batch_dims:-1], index.shape[-1]
    sizes = torch.tensor(x.shape[batch_dims : batch_dims + depth], device=index.device)
    index = torch.where(index < 0, index + sizes, index)
    batch = x.shape[:batch_dims]
    places = []
    for axis, size in enumerate(batch):
        shape = [1] * index.ndim
        shape[axis] = size
        own = torch.arange(size, device=index.device).reshape(shape[:-1])
        places.append(own.expand(*batch, *outer))
    chosen = (*places, *index.unbind(-1))
    return x[chosen]


@operation("ConstantOfShape")
def _constant_of_shape(shape: Any, value: Any = None) -> Tensor:
    number = np.zeros(1, np.float32) if value is None else value
    sizes = sizes_of(shape)
    return torch.full(sizes, number.item(), dtype=torch.from_numpy(number).dtype)


@operation("Range")
def _range(start: Any, limit: Any, delta: Any) -> Tensor:
    return torch.arange(*(sizes_of(value)[0] for value in (start, limit, delta)))


@operation("Cast")
def _cast(x: Any, to: int, saturate: int = 1) -> Any:
    del saturate
    if isinstance(x, list):
        return x
    if to not in _DTYPES:
        msg = f"Cast to the ONNX type {to} has no PyTorch form here"
        raise ConversionError(msg)
    return as_tensor(x).to(_DTYPES[to])


@operation("Identity")
def _identity(x: Any) -> Any:
    return x


@operation("Dropout")
def _dropout(x: Any, ratio: Any = None, training_mode: Any = None, **options: Any) -> Any:
    del ratio, training_mode, options
    return x

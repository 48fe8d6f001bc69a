"""Operations with a sliding window that has no weights, and reductions of axes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F  # its customary name

from ...errors import ConversionError
from .layers import padded, window_pads
from .values import Operations, Tensor, pairs, registering, sizes_of

__all__ = ["OPERATIONS"]

OPERATIONS: Operations = {}
operation = registering(OPERATIONS)


@operation("MaxPool")
def _max_pool(x: Tensor, kernel_shape: Sequence[int], **options: Any) -> Tensor:
    rank = len(kernel_shape)
    strides = options.get("strides") or [1] * rank
    dilations = options.get("dilations") or [1] * rank
    pads, ceil = _pool_pads(x, kernel_shape, options)
    x, padding = padded(x, pads, -math.inf)
    function = (F.max_pool1d, F.max_pool2d, F.max_pool3d)[rank - 1]
    return function(x, kernel_shape, strides, padding, dilations, ceil)


@operation("AveragePool")
def _average_pool(x: Tensor, kernel_shape: Sequence[int], **options: Any) -> Tensor:
    rank = len(kernel_shape)
    given = window_pads(x, kernel_shape, options)
    pads, ceil = _pool_pads(x, kernel_shape, options)
    counts = bool(options.get("count_include_pad", 0))
    function = (F.avg_pool1d, F.avg_pool2d, F.avg_pool3d)[rank - 1]
    strides = options.get("strides") or [1] * rank
    if pads[:rank] == pads[rank:]:
        return function(x, kernel_shape, strides, pads[:rank], ceil, counts)
    ones = torch.ones_like(x[:1, :1])
    if counts:  # without what rounding up adds
        ones = F.pad(ones, pairs(given), value=1.0)
        pads_left = [pad - had for pad, had in zip(pads, given, strict=True)]
        ones = F.pad(ones, pairs(pads_left))
    else:
        ones = F.pad(ones, pairs(pads))
    means = function(F.pad(x, pairs(pads)), kernel_shape, strides)
    return means / function(ones, kernel_shape, strides)


def _pool_pads(x: Tensor, kernel: Sequence[int], options: dict[str, Any]) -> tuple[list[int], bool]:
    """Return the padding of a pool, and whether PyTorch has to round its size up.

    PyTorch would take asymmetric padding, which is done before the pool, for a part of the input,
    in which windows may begin. So the end is padded to the size of the result.
    """
    rank = len(kernel)
    pads, ceil = window_pads(x, kernel, options), bool(options.get("ceil_mode", 0))
    if not ceil or pads[:rank] == pads[rank:]:
        return pads, ceil
    strides = options.get("strides") or [1] * rank
    dilations = options.get("dilations") or [1] * rank
    for axis, size in enumerate(x.shape[2:]):
        window = (kernel[axis] - 1) * dilations[axis] + 1
        begin, end = pads[axis], pads[rank + axis]
        last = -(-(int(size) + begin + end - window) // strides[axis]) * strides[axis]
        if last >= int(size) + begin:
            last -= strides[axis]
        pads[rank + axis] = last + window - int(size) - begin
    return pads, False


@operation("GlobalAveragePool")
def _global_average_pool(x: Tensor) -> Tensor:
    return x.mean(tuple(range(2, x.ndim)), keepdim=True)


@operation("GlobalMaxPool")
def _global_max_pool(x: Tensor) -> Tensor:
    return x.amax(tuple(range(2, x.ndim)), keepdim=True)


def _reduction(name: str, function: Callable[..., Any]) -> None:
    def reduce(x: Tensor, axes: Any = None, **options: Any) -> Tensor:
        chosen = sizes_of(options.get("axes", axes) if axes is None else axes)
        if chosen in ([None], []):
            if options.get("noop_with_empty_axes"):
                return x
            chosen = list(range(x.ndim))
        return function(x, dim=tuple(chosen), keepdim=bool(options.get("keepdims", 1)))

    OPERATIONS[name] = reduce


_reduction("ReduceMean", torch.mean)
_reduction("ReduceSum", torch.sum)
_reduction("ReduceMax", torch.amax)
_reduction("ReduceMin", torch.amin)
_reduction("ReduceL2", lambda x, dim, keepdim: torch.linalg.vector_norm(x, 2, dim, keepdim))


@operation("ArgMax")
def _arg_max(x: Tensor, axis: int = 0, keepdims: int = 1, select_last_index: int = 0) -> Tensor:
    if select_last_index:
        msg = "ArgMax with select_last_index has no PyTorch form here"
        raise ConversionError(msg)
    return torch.argmax(x, axis, bool(keepdims))


@operation("TopK")
def _top_k(
    x: Tensor, k: Any, axis: int = -1, largest: int = 1, sorted: int = 1
) -> tuple[Tensor, Tensor]:
    found = torch.topk(x, sizes_of(k)[0], axis, bool(largest), bool(sorted))
    return found.values, found.indices

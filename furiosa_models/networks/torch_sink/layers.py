"""Convolutions, products of matrices, and normalization."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F  # its customary name

from ...errors import ConversionError
from .values import Operations, Tensor, as_tensor, pairs, registering

__all__ = ["OPERATIONS", "padded", "window_pads"]

OPERATIONS: Operations = {}
operation = registering(OPERATIONS)


def padded(x: Tensor, pads: Sequence[int], value: float = 0.0) -> tuple[Tensor, list[int]]:
    """Return an input and the symmetric padding that is left to do after an asymmetric one."""
    count = len(pads) // 2
    if [*pads[:count]] == [*pads[count:]]:
        return x, list(pads[:count])
    return F.pad(x, pairs(pads), value=value), [0] * count


def window_pads(x: Tensor, kernel: Sequence[int], options: dict[str, Any]) -> list[int]:
    """Return the padding of a sliding window: begins, then ends."""
    rank = len(kernel)
    auto = options.get("auto_pad", "NOTSET")
    if auto in ("NOTSET", "VALID"):
        return list(options.get("pads") or [0] * (2 * rank))
    strides = options.get("strides") or [1] * rank
    dilations = options.get("dilations") or [1] * rank
    totals = []
    for size, window, stride, dilation in zip(x.shape[2:], kernel, strides, dilations, strict=True):
        steps = -(-int(size) // stride)
        totals.append(max(0, (steps - 1) * stride + (window - 1) * dilation + 1 - int(size)))
    small = [total // 2 for total in totals]
    large = [total - half for total, half in zip(totals, small, strict=True)]
    return small + large if auto == "SAME_UPPER" else large + small


@operation("Conv")
def _conv(x: Tensor, weight: Tensor, bias: Tensor = None, **options: Any) -> Tensor:
    rank = weight.ndim - 2
    x, padding = padded(x, window_pads(x, weight.shape[2:], options))
    function = (F.conv1d, F.conv2d, F.conv3d)[rank - 1]
    return function(
        x,
        weight,
        bias,
        options.get("strides") or [1] * rank,
        padding,
        options.get("dilations") or [1] * rank,
        options.get("group", 1),
    )


@operation("ConvTranspose")
def _conv_transpose(x: Tensor, weight: Tensor, bias: Tensor = None, **options: Any) -> Tensor:
    rank = weight.ndim - 2
    pads = list(options.get("pads") or [0] * (2 * rank))
    if options.get("auto_pad", "NOTSET") not in ("NOTSET", "VALID") or "output_shape" in options:
        msg = "ConvTranspose with auto_pad or output_shape has no PyTorch form here"
        raise ConversionError(msg)
    begins, ends = pads[:rank], pads[rank:]
    is_symmetric = begins == ends
    function = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)[rank - 1]
    result = function(
        x,
        weight,
        bias,
        options.get("strides") or [1] * rank,
        begins if is_symmetric else [0] * rank,
        options.get("output_padding") or [0] * rank,
        options.get("group", 1),
        options.get("dilations") or [1] * rank,
    )
    return result if is_symmetric else F.pad(result, pairs([-pad for pad in pads]))


@operation("Gemm")
def _gemm(a: Tensor, b: Tensor, c: Tensor = None, **options: Any) -> Tensor:
    left = a.T if options.get("transA") else a
    right = b.T if options.get("transB") else b
    result = left @ right
    if options.get("alpha", 1.0) != 1.0:
        result = result * options["alpha"]
    if c is None:
        return result
    return result + as_tensor(c, a) * options.get("beta", 1.0)


@operation("MatMul")
def _matmul(a: Tensor, b: Tensor) -> Tensor:
    return torch.matmul(a, as_tensor(b, a))


@operation("Einsum")
def _einsum(*values: Tensor, equation: str) -> Tensor:
    return torch.einsum(equation, *values)


@operation("BatchNormalization")
def _batch_norm(
    x: Tensor,
    scale: Tensor,
    bias: Tensor,
    mean: Tensor,
    var: Tensor,
    *,
    training: bool = False,
    **options: Any,
) -> Tensor:
    replaced = 1 - options.get("momentum", 0.9)  # ONNX' momentum is the part that is kept
    epsilon = options.get("epsilon", 1e-5)
    if not training:  # statistics that are computed from parameters need no gradient
        mean, var = mean.detach(), var.detach()
    return F.batch_norm(x, mean, var, scale, bias, training, replaced, epsilon)


@operation("InstanceNormalization")
def _instance_norm(x: Tensor, scale: Tensor, bias: Tensor, epsilon: float = 1e-5) -> Tensor:
    return F.instance_norm(x, None, None, scale, bias, True, 0.0, epsilon)


@operation("LayerNormalization")
def _layer_norm(
    x: Tensor,
    scale: Tensor,
    bias: Tensor = None,
    axis: int = -1,
    epsilon: float = 1e-5,
    stash_type: int = 1,
) -> Tensor:
    del stash_type  # of mean and deviation, which are not outputs here
    return F.layer_norm(x, x.shape[axis:], scale, bias, epsilon)

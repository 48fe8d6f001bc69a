"""Convolutions, pooling, and fully connected layers."""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence

import numpy as np

from ....errors import WeightsError
from ...base import Array
from ..operation import Operation
from ..values import CHANNELS_FIRST, CHANNELS_OUTERMOST

__all__ = [
    "average_pool",
    "convolution",
    "depthwise_convolution",
    "fully_connected",
    "l2_pool",
    "max_pool",
    "transposed_convolution",
    "transposed_convolution_with_bias",
]

_SAME = 0


def convolution(op: Operation) -> None:
    """Convert CONV_2D; the kernel is (O, H, W, I / groups)."""
    kernel = op.shape(1, rank=4)
    channels = op.shape(0, rank=4)[3]
    if not kernel[3] or channels % kernel[3]:
        msg = f"{op.kind} {op.name!r}: {channels} channels for a kernel {list(kernel)}"
        raise WeightsError(msg)
    _convolve(op, op.real(1, CHANNELS_FIRST), kernel[1:3], channels // kernel[3])


def depthwise_convolution(op: Operation) -> None:
    """Convert DEPTHWISE_CONV_2D; the kernel is (1, H, W, channels * multiplier)."""
    kernel = op.shape(1, rank=4)
    channels = op.shape(0, rank=4)[3]
    _convolve(op, op.real(1, CHANNELS_OUTERMOST), kernel[1:3], channels)


def _convolve(op: Operation, kernel: str, size: Sequence[int], groups: int) -> None:
    strides = (op.options["stride_h"], op.options["stride_w"])
    dilations = (op.options["dilation_h"], op.options["dilation_w"])
    inputs = [op.real(0, CHANNELS_FIRST), kernel]
    if op.has(2):
        inputs.append(_bias(op, 2, 0))
    made = op.emit(
        "Conv",
        inputs,
        kernel_shape=size,
        strides=strides,
        dilations=dilations,
        group=groups,
        pads=_pads(op, size, strides, dilations),
    )
    op.finish(made, CHANNELS_FIRST)


def transposed_convolution(op: Operation) -> None:
    """Convert TRANSPOSE_CONV; the inputs are output shape, kernel (O, H, W, I), image, bias."""
    _convolve_transposed(op, 2, 3, (op.options["stride_h"], op.options["stride_w"]))


def transposed_convolution_with_bias(op: Operation) -> None:
    """Convert MediaPipe's Convolution2DTransposeBias; the inputs are image, kernel, bias."""
    _padding, stride_w, stride_h = struct.unpack("<3i", op.custom[:12])
    _convolve_transposed(op, 0, 2, (stride_h, stride_w))


def _convolve_transposed(op: Operation, image: int, bias: int, strides: Sequence[int]) -> None:
    """Add a transposed convolution; its padding follows from the shape of the output."""
    size, extents = op.shape(1, rank=4)[1:3], op.shape(image, rank=4)[1:3]
    outputs = op.outputs[0].tensor.shape[1:3]
    totals = [
        (extent - 1) * stride + window - out
        for extent, stride, window, out in zip(extents, strides, size, outputs, strict=True)
    ]
    inputs = [op.real(image, CHANNELS_FIRST), op.real(1, CHANNELS_OUTERMOST)]
    if op.has(bias):
        inputs.append(_bias(op, bias, image))
    made = op.emit(
        "ConvTranspose",
        inputs,
        kernel_shape=size,
        strides=strides,
        pads=_split([max(total, 0) for total in totals]),
        output_padding=[max(-total, 0) for total in totals],
    )
    op.finish(made, CHANNELS_FIRST)


def fully_connected(op: Operation) -> None:
    """Convert FULLY_CONNECTED; the weights are (O, I)."""
    if op.options["weights_format"]:
        op.refuse("its weights are shuffled")
    rows, columns = op.shape(1, rank=2)
    shape = op.shape(0)
    image = op.real(0)
    if shape[1:] != (columns,):
        image = op.emit("Reshape", [image, op.indices([-1, columns])])
    inputs = [image, op.real(1)]
    if op.has(2):
        inputs.append(_bias(op, 2, 0))
    made = op.emit("Gemm", inputs, transB=1)
    if op.options["keep_num_dims"]:
        made = op.emit("Reshape", [made, op.indices([*shape[:-1], rows])])
    op.finish(made)


def average_pool(op: Operation) -> None:
    """Convert AVERAGE_POOL_2D, which does not count the padding."""
    op.finish(_pool(op, "AveragePool", op.real(0, CHANNELS_FIRST)), CHANNELS_FIRST)


def max_pool(op: Operation) -> None:
    """Convert MAX_POOL_2D; the maximum of integers is that of their numbers."""
    if op.keeps_quantization(0) and not op.options["activation"]:
        op.define(_pool(op, "MaxPool", op.stored(0, CHANNELS_FIRST)), CHANNELS_FIRST)
    else:
        op.finish(_pool(op, "MaxPool", op.real(0, CHANNELS_FIRST)), CHANNELS_FIRST)


def l2_pool(op: Operation) -> None:
    """Convert L2_POOL_2D, the root of the mean of the squares."""
    image = op.real(0, CHANNELS_FIRST)
    squares = op.emit("Mul", [image, image])
    op.finish(op.emit("Sqrt", [_pool(op, "AveragePool", squares)]), CHANNELS_FIRST)


def _pool(op: Operation, kind: str, image: str) -> str:
    size = (op.options["filter_h"], op.options["filter_w"])
    strides = (op.options["stride_h"], op.options["stride_w"])
    pads = _pads(op, size, strides, (1, 1))
    return op.emit(kind, [image], kernel_shape=size, strides=strides, pads=pads)


def _pads(
    op: Operation, size: Sequence[int], strides: Sequence[int], dilations: Sequence[int]
) -> list[int]:
    """Return the padding (begins, then ends); an odd pixel of it is at the end."""
    if op.options["padding"] != _SAME:
        return [0, 0, 0, 0]
    totals = []
    for extent, window, stride, dilation in zip(
        op.shape(0, rank=4)[1:3], size, strides, dilations, strict=True
    ):
        reach = (window - 1) * dilation + 1
        totals.append(max(0, (math.ceil(extent / stride) - 1) * stride + reach - extent))
    return _split(totals)


def _split(totals: Sequence[int]) -> list[int]:
    begins = [total // 2 for total in totals]
    return begins + [total - begin for total, begin in zip(totals, begins, strict=True)]


def _bias(op: Operation, index: int, image: int) -> str:
    """Return the bias; as int32, its unit is the product of the scales of image and kernel."""
    bias = op.value(index)
    given, kernel = op.value(image).quantization, op.value(1).quantization
    if bias.constant is None or bias.constant.dtype != np.int32 or not given or not kernel:
        return op.real(index)
    with np.errstate(all="ignore"):
        scale: Array = given.scale[0] * kernel.scale
    return op.dequantized(index, scale.reshape(()) if len(scale) == 1 else scale)

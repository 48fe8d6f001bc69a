"""Folding of a program's normalization of uint8 pixels into its first convolution.

With `Cast -> Sub mean -> Div std -> Conv`, the pixels themselves become the 8-bit input of the
convolution. Its weights are divided by `std`, and its bias compensates for `mean`. The padding had
the mean color; it becomes the nearest gray, because all channels share one zero point.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, numpy_helper

__all__ = ["PixelInput", "fold_scaling"]

_STEPS = ("Sub", "Div")


class PixelInput(NamedTuple):
    """A pixel input of a folded program.

    Attributes:
        name: Name of the input.
        zero_point: Pixel value, in 0..255, that represents 0.
    """

    name: str
    zero_point: int


def fold_scaling(model: onnx.ModelProto, exclude: Collection[str] = ()) -> PixelInput | None:
    """Fold the normalization of a uint8 input into the first convolution.

    Afterwards the input is float32 and expects `pixel - zero_point`.

    Args:
        model: Program with one uint8 image as first input, which is modified.
        exclude: Names of nodes that must stay unchanged.

    Returns:
        The input, or None if there is no normalization that can be folded.
    """
    graph = model.graph
    weights = {tensor.name: tensor for tensor in graph.initializer}
    image = graph.input[0]
    chain = _chain(graph, image.name)
    if image.type.tensor_type.elem_type != TensorProto.UINT8 or len(chain) < 2:
        return None
    *steps, conv = chain
    if any(name not in weights for step in steps[1:] for name in step.input[1:]):
        return None
    if (
        conv.op_type != "Conv"
        or conv.name in exclude
        or any(name not in weights for name in conv.input[1:])
    ):
        return None
    mean, std = _scaling(steps, weights, weights[conv.input[1]].dims[1])
    zero_point = int(np.clip(round(float(mean.mean())), 0, 255))
    _rescale(graph, conv, weights, mean - zero_point, std)
    conv.input[0] = image.name
    for step in steps:
        graph.node.remove(step)
    image.type.tensor_type.elem_type = TensorProto.FLOAT
    return PixelInput(image.name, zero_point)


def _chain(graph: onnx.GraphProto, name: str) -> list[onnx.NodeProto]:
    """Return the cast, the normalization and the next node; an empty list if the chain branches."""
    chain: list[onnx.NodeProto] = []
    while True:
        users = [node for node in graph.node if name in node.input]
        if len(users) != 1 or users[0].input[0] != name:
            return []
        chain.append(users[0])
        if users[0].op_type not in ("Cast", *_STEPS):
            return chain
        name = users[0].output[0]


def _scaling(
    steps: list[onnx.NodeProto], weights: dict[str, onnx.TensorProto], channels: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return `mean` and `std` of `(x - mean) / std`, (channels,) each."""
    mean, std = np.zeros(channels), np.ones(channels)
    for step in steps:
        if step.op_type in _STEPS:
            value = numpy_helper.to_array(weights[step.input[1]]).astype(np.float64).reshape(-1)
            if step.op_type == "Sub":
                mean = mean + std * value
            else:
                std = std * value
    return mean, std


def _rescale(
    graph: onnx.GraphProto,
    conv: onnx.NodeProto,
    weights: dict[str, onnx.TensorProto],
    offset: npt.NDArray[np.float64],
    std: npt.NDArray[np.float64],
) -> None:
    """Modify the convolution to include the normalization `(x - offset) / std` of its input."""
    kernel = numpy_helper.to_array(weights[conv.input[1]]).astype(np.float64)
    kernel = kernel / std.reshape(1, -1, 1, 1)
    bias = np.zeros(len(kernel))
    if len(conv.input) > 2:
        bias = numpy_helper.to_array(weights[conv.input[2]]).astype(np.float64)
    bias = bias - np.einsum("ocij,c->o", kernel, offset)
    names = [f"{conv.output[0]}/pixels/{part}" for part in ("kernel", "bias")]
    for name, array in zip(names, (kernel, bias), strict=True):
        graph.initializer.append(numpy_helper.from_array(array.astype(np.float32), name))
    conv.input[:] = [conv.input[0], *names]

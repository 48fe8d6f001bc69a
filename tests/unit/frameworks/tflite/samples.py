"""Small networks of several operations."""

from __future__ import annotations

from typing import Any

import numpy as np

from .network import Network, random_array


def small() -> bytes:
    """Return a convolution, its activation, and the mean of its pixels."""
    network = Network()
    x = network.input((1, 5, 6, 3), name="image")
    weights = network.constant(random_array((4, 3, 3, 3), seed=1), name="weights")
    bias = network.constant(random_array((4,), seed=2), name="bias")
    y = network.add(
        "CONV_2D", [x, weights, bias], network.tensor((1,), name="features"),
        options="Conv2DOptions", strideH=2, strideW=2,
    )  # fmt: skip
    z = network.add("HARD_SWISH", [y], network.tensor((1,), name="active"))
    axes = network.constant([1, 2], name="axes")
    mean = network.tensor((1,), name="mean")
    return network.write(network.add("MEAN", [z, axes], mean, options="ReducerOptions"))


def quantized() -> bytes:
    """Return an int8 network that convolves, pads, slices, joins, and reshapes an image."""
    network = Network()
    steps: dict[str, Any] = {"scale": 0.05, "zero_point": 3}
    x = network.input((1, 5, 6, 3), "int8", **steps)
    weights = network.constant(random_array((4, 3, 3, 3), "int8"), scale=[0.01, 0.02, 0.03, 0.04])
    bias = network.constant(random_array((4,), "int32"))
    y = network.add(
        "CONV_2D", [x, weights, bias], network.tensor((1,), "int8", **steps),
        options="Conv2DOptions", strideH=1, strideW=1, fusedActivationFunction=3,
    )  # fmt: skip
    pads = network.constant(np.array([[0, 0], [1, 0], [0, 1], [0, 0]], np.int32))
    y = network.add("PAD", [y, pads], network.tensor((1,), "int8", **steps))
    bounds = [network.constant(numbers) for numbers in ([0, 0, 1, 0], [0, 0, -1, 0], [1, 2, 2, 1])]
    z = network.add(
        "STRIDED_SLICE", [y, *bounds], network.tensor((1,), "int8", **steps),
        options="StridedSliceOptions", beginMask=3, endMask=11,
    )  # fmt: skip
    w = network.add(
        "CONCATENATION", [z, z], network.tensor((1,), "int8", **steps),
        options="ConcatenationOptions", axis=3,
    )  # fmt: skip
    shape = network.constant([1, -1])
    return network.write(network.add("RESHAPE", [w, shape], network.tensor((1,), "int8", **steps)))

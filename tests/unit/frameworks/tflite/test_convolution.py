from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from .network import Network, compare, random_array

SAME, VALID = 0, 1
Test = Callable[..., None]


def windows(most: int = 40) -> Callable[[Test], Test]:
    """Give a test the sizes of a sliding window."""
    small = st.integers(1, 3)

    def decorate(test: Test) -> Test:
        return settings(max_examples=most)(
            given(
                height=st.integers(5, 9),
                width=st.integers(5, 9),
                kernel=st.tuples(small, small),
                stride=st.tuples(small, small),
                dilation=st.tuples(st.integers(1, 2), st.integers(1, 2)),
                padding=st.sampled_from([SAME, VALID]),
                activation=st.sampled_from([0, 1, 3]),
            )(test)
        )

    return decorate


@windows()
def test_convolution_equals_litert(
    height: int, width: int, kernel: Any, stride: Any, dilation: Any, padding: int, activation: int
) -> None:
    network = Network()
    x = network.input((2, height, width, 3))
    weights = network.constant(random_array((4, *kernel, 3), seed=1))
    y = network.add(
        "CONV_2D", [x, weights, network.constant(random_array((4,), seed=2))],
        options="Conv2DOptions", padding=padding, strideH=stride[0], strideW=stride[1],
        dilationHFactor=dilation[0], dilationWFactor=dilation[1],
        fusedActivationFunction=activation,
    )  # fmt: skip
    compare(network.write(y))


@windows()
def test_depthwise_convolution_equals_litert(
    height: int, width: int, kernel: Any, stride: Any, dilation: Any, padding: int, activation: int
) -> None:
    network = Network()
    x = network.input((1, height, width, 3))
    multiplier = 1 + height % 2
    weights = network.constant(random_array((1, *kernel, 3 * multiplier), seed=1))
    bias = network.constant(random_array((3 * multiplier,), seed=2))
    y = network.add(
        "DEPTHWISE_CONV_2D", [x, weights, bias], options="DepthwiseConv2DOptions",
        padding=padding, strideH=stride[0], strideW=stride[1], depthMultiplier=multiplier,
        dilationHFactor=dilation[0], dilationWFactor=dilation[1],
        fusedActivationFunction=activation,
    )  # fmt: skip
    compare(network.write(y))


@pytest.mark.parametrize("kind", ["AVERAGE_POOL_2D", "MAX_POOL_2D", "L2_POOL_2D"])
@windows(25)
def test_pooling_equals_litert(
    kind: str, height: int, width: int, kernel: Any, stride: Any, dilation: Any, padding: int,
    activation: int,
) -> None:  # fmt: skip
    del dilation
    network = Network()
    x = network.input((1, height, width, 3))
    y = network.add(
        kind, [x], options="Pool2DOptions", padding=padding, strideH=stride[0], strideW=stride[1],
        filterHeight=kernel[0], filterWidth=kernel[1], fusedActivationFunction=activation,
    )  # fmt: skip
    compare(network.write(y))


@windows()
def test_transposed_convolution_equals_litert(
    height: int, width: int, kernel: Any, stride: Any, dilation: Any, padding: int, activation: int
) -> None:
    del dilation
    sizes = [
        extent * step if padding == SAME else (extent - 1) * step + max(window, step)
        for extent, window, step in zip((height, width), kernel, stride, strict=True)
    ]
    network = Network()
    x = network.input((1, height, width, 3))
    weights = network.constant(random_array((4, *kernel, 3), seed=1))
    y = network.add(
        "TRANSPOSE_CONV",
        [network.constant([1, *sizes, 4]), weights, x, network.constant(random_array((4,)))],
        options="TransposeConvOptions", padding=padding, strideH=stride[0], strideW=stride[1],
        fusedActivationFunction=activation % 2,
    )  # fmt: skip
    compare(network.write(y))


def test_mediapipe_convolution_equals_litert() -> None:
    network = Network()
    x, kernel = network.input((1, 5, 6, 3)), network.constant(random_array((4, 2, 2, 3), seed=1))
    inputs = [x, kernel, network.constant(random_array((4,), seed=2))]
    y = network.tensor((1, 10, 12, 4))  # LiteRT runs it, but does not find its shape
    network.add("Convolution2DTransposeBias", inputs, y, custom=struct.pack("<3i", 1, 2, 2))
    compare(network.write(y, shaped=False))


def test_grouped_convolution_equals_litert() -> None:
    network = Network()
    x = network.input((1, 4, 4, 4))
    weights = network.constant(random_array((6, 1, 1, 2), seed=1))
    bias = network.constant(random_array((6,), seed=2))
    y = network.add("CONV_2D", [x, weights, bias], options="Conv2DOptions", strideH=1, strideW=1)
    compare(network.write(y))


@pytest.mark.parametrize(
    ("shape", "keep"),
    [((3, 8), False), ((1, 2, 2, 8), False), ((1, 2, 2, 4), False), ((1, 2, 2, 8), True)],
)
def test_fully_connected_layer_equals_litert(shape: tuple[int, ...], keep: bool) -> None:
    network = Network()
    x = network.input(shape)
    weights = network.constant(random_array((5, 8), seed=1))
    y = network.add(
        "FULLY_CONNECTED", [x, weights, network.constant(random_array((5,), seed=2))],
        options="FullyConnectedOptions", keepNumDims=keep, fusedActivationFunction=1,
    )  # fmt: skip
    compare(network.write(y))


@pytest.mark.parametrize("padding", [SAME, VALID])
def test_old_dilated_convolution_equals_litert(padding: int) -> None:
    network = Network()
    x = network.input((1, 7, 8, 3))
    pads = network.constant(np.array([[2, 3], [2, 2]], np.int32))
    blocks = network.constant([2, 2])
    y = network.add("SPACE_TO_BATCH_ND", [x, blocks, pads])
    weights = network.constant(random_array((1, 3, 3, 3), seed=1))
    y = network.add(
        "DEPTHWISE_CONV_2D", [y, weights, network.constant(random_array((3,)))],
        options="DepthwiseConv2DOptions", padding=padding, strideH=1, strideW=1,
        depthMultiplier=1,
    )  # fmt: skip
    crops = network.constant(np.array([[0, 1], [1, 0]], np.int32))
    compare(network.write(network.add("BATCH_TO_SPACE_ND", [y, blocks, crops])))


def test_convolutions_in_a_row_need_two_transpositions() -> None:
    network = Network()
    x = network.input((1, 6, 6, 3))
    for seed in range(4):
        weights = network.constant(random_array((3, 3, 3, 3), seed=seed))
        bias = network.constant(random_array((3,), seed=seed))
        y = network.add(
            "CONV_2D", [x, weights, bias], options="Conv2DOptions", strideH=1, strideW=1
        )
        x = network.add("ADD", [x, y], options="AddOptions") if seed else y
    converted = compare(network.write(x), relative=1e-5)
    assert [node.op_type for node in converted.graph.node].count("Transpose") == 2

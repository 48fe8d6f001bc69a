from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from furiosa_models.errors import ConversionError
from furiosa_models.frameworks.tflite import TfliteModel

from .network import Network, compare, random_array

IMAGE = (1, 4, 5, 3)
ZERO = {"int8": -20, "uint8": 120}
dtypes = pytest.mark.parametrize("dtype", ["int8", "uint8"])


def quantized(network: Network, shape: Any, dtype: str, scale: float = 0.05, shift: int = 0) -> int:
    """Add a quantized input."""
    return network.input(shape, dtype, scale=scale, zero_point=ZERO[dtype] + shift)


def result(network: Network, dtype: str, scale: float = 0.1, shift: int = 0) -> int:
    """Add a quantized tensor for the output of an operation."""
    return network.tensor((1,), dtype, scale=scale, zero_point=ZERO[dtype] + shift)


def kernel(network: Network, shape: tuple[int, ...], dtype: str, axis: int | None) -> list[int]:
    """Add quantized weights, for each channel along an axis or for all, and their bias."""
    count = shape[0] if axis is None else shape[axis]
    scales = [0.01] if axis is None else [0.005 * (i + 1) for i in range(count)]
    zero = 131 if dtype == "uint8" else 0
    weights = network.constant(
        random_array(shape, dtype, 3), scale=scales, zero_point=zero, axis=axis or 0
    )
    bias = network.constant(
        random_array((count,), "int32", 4) * np.int32(40), scale=[0.05 * s for s in scales]
    )
    return [weights, bias]


@pytest.mark.parametrize(("dtype", "axis"), [("uint8", None), ("int8", None), ("int8", 0)])
@pytest.mark.parametrize("activation", [0, 1, 3])
@settings(max_examples=20)
@given(
    size=st.tuples(*[st.integers(1, 3)] * 2),
    stride=st.integers(1, 2),
    padding=st.integers(0, 1),
)
def test_convolution_differs_by_a_step_at_most(
    dtype: str, axis: int | None, activation: int, size: Any, stride: int, padding: int
) -> None:
    network = Network()
    x = quantized(network, (1, 5, 6, 3), dtype)
    y = network.add(
        "CONV_2D", [x, *kernel(network, (4, *size, 3), dtype, axis)], result(network, dtype),
        options="Conv2DOptions", strideH=stride, strideW=stride, padding=padding,
        fusedActivationFunction=activation,
    )  # fmt: skip
    compare(network.write(y))


@pytest.mark.parametrize(("dtype", "axis"), [("uint8", None), ("int8", 3)])
@pytest.mark.parametrize("activation", [0, 3])
def test_depthwise_convolution_differs_by_a_step_at_most(
    dtype: str, axis: int | None, activation: int
) -> None:
    network = Network()
    x = quantized(network, (1, 7, 6, 4), dtype)
    weights, _ = kernel(network, (1, 3, 3, 4), dtype, axis)
    bias = network.constant(random_array((4,), "int32", 4) * np.int32(40))
    y = network.add(
        "DEPTHWISE_CONV_2D", [x, weights, bias], result(network, dtype, 0.03),
        options="DepthwiseConv2DOptions", strideH=2, strideW=2, depthMultiplier=1,
        fusedActivationFunction=activation,
    )  # fmt: skip
    compare(network.write(y))


@dtypes
def test_fully_connected_layer_differs_by_a_step_at_most(dtype: str) -> None:
    network = Network()
    x = quantized(network, (3, 16), dtype)
    y = network.add(
        "FULLY_CONNECTED", [x, *kernel(network, (5, 16), dtype, None)], result(network, dtype),
        options="FullyConnectedOptions",
    )  # fmt: skip
    compare(network.write(y))


def test_transposed_convolution_differs_by_a_step_at_most() -> None:
    network = Network()
    x = quantized(network, (1, 3, 4, 3), "int8")
    weights, bias = kernel(network, (4, 2, 2, 3), "int8", 0)
    y = network.add(
        "TRANSPOSE_CONV", [network.constant([1, 6, 8, 4]), weights, x, bias],
        result(network, "int8"), options="TransposeConvOptions", strideH=2, strideW=2,
    )  # fmt: skip
    compare(network.write(y))


@dtypes
@pytest.mark.parametrize(
    ("kind", "options"), [("ADD", "AddOptions"), ("SUB", "SubOptions"), ("MUL", "MulOptions")]
)
@pytest.mark.parametrize("activation", [0, 1, 3])
def test_arithmetic_differs_by_a_step_at_most(
    dtype: str, kind: str, options: str, activation: int
) -> None:
    network = Network()
    x, y = quantized(network, IMAGE, dtype), quantized(network, IMAGE, dtype, 0.02, 3)
    z = network.add(
        kind, [x, y], result(network, dtype), options=options, fusedActivationFunction=activation
    )
    compare(network.write(z))


@dtypes
@pytest.mark.parametrize("kind", ["LOGISTIC", "SOFTMAX"])
def test_probabilities_differ_by_a_step_at_most(dtype: str, kind: str) -> None:
    network = Network()
    x = quantized(network, (2, 10), dtype)
    y = network.tensor((1,), dtype, scale=1 / 256, zero_point=-128 if dtype == "int8" else 0)
    options: dict[str, Any] = (
        {"options": "SoftmaxOptions", "beta": 1.0} if kind == "SOFTMAX" else {}
    )
    network.add(kind, [x], y, **options)
    compare(network.write(y))


def test_tanh_differs_by_a_step_at_most() -> None:
    network = Network()
    y = network.tensor((1,), "int8", scale=1 / 128)
    compare(network.write(network.add("TANH", [quantized(network, (2, 10), "int8")], y)))


@dtypes
@pytest.mark.parametrize("kind", ["RELU", "RELU6", "LEAKY_RELU", "HARD_SWISH"])
def test_activation_differs_by_a_step_at_most(dtype: str, kind: str) -> None:
    network = Network()
    options: dict[str, Any] = (
        {"options": "LeakyReluOptions", "alpha": 0.25} if kind == "LEAKY_RELU" else {}
    )
    y = network.add(
        kind, [quantized(network, IMAGE, dtype)], result(network, dtype, 0.06), **options
    )
    compare(network.write(y))


@dtypes
@pytest.mark.parametrize("kind", ["AVERAGE_POOL_2D", "MAX_POOL_2D"])
@pytest.mark.parametrize("padding", [0, 1])
def test_pooling_differs_by_a_step_at_most(dtype: str, kind: str, padding: int) -> None:
    network = Network()
    x = quantized(network, IMAGE, dtype)
    y = network.add(
        kind, [x], result(network, dtype, 0.05), options="Pool2DOptions", padding=padding,
        filterHeight=2, filterWidth=2, strideH=2, strideW=2,
    )  # fmt: skip
    compare(network.write(y), steps=int(kind == "AVERAGE_POOL_2D"))


@dtypes
@pytest.mark.parametrize("scale", [0.05, 0.1])
def test_mean_differs_by_a_step_at_most(dtype: str, scale: float) -> None:
    network = Network()
    inputs = [quantized(network, IMAGE, dtype), network.constant([1, 2])]
    y = network.add(
        "MEAN", inputs, result(network, dtype, scale), options="ReducerOptions", keepDims=True
    )
    compare(network.write(y))


def test_concatenation_of_other_scales_differs_by_a_step_at_most() -> None:
    network = Network()
    parts = [quantized(network, IMAGE, "uint8"), quantized(network, IMAGE, "uint8", 0.08, 5)]
    y = network.add(
        "CONCATENATION", parts, result(network, "uint8"), options="ConcatenationOptions", axis=3
    )
    compare(network.write(y))


@dtypes
@pytest.mark.parametrize("kind", ["PAD", "RESHAPE", "TRANSPOSE", "STACK", "CONCATENATION"])
def test_moved_integers_are_equal(dtype: str, kind: str) -> None:
    network = Network()
    x = quantized(network, IMAGE, dtype)
    y = result(network, dtype, 0.05)
    if kind == "PAD":
        pads = network.constant(np.array([[0, 0], [1, 1], [2, 0], [0, 0]], np.int32))
        network.add("PAD", [x, pads], y)
    elif kind == "RESHAPE":
        network.add("RESHAPE", [x, network.constant([1, 60])], y)
    elif kind == "TRANSPOSE":
        network.add("TRANSPOSE", [x, network.constant([0, 3, 1, 2])], y)
    elif kind == "STACK":
        network.add("PACK", [x, x], y, options="PackOptions", valuesCount=2)
    else:
        network.add("CONCATENATION", [x, x], y, options="ConcatenationOptions", axis=1)
    converted = compare(network.write(y), steps=0)
    kinds = {node.op_type for node in converted.graph.node}
    assert not kinds & {"QuantizeLinear", "DequantizeLinear"}


@dtypes
@pytest.mark.parametrize("kind", ["RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR"])
def test_resized_image_differs_by_a_step_at_most(dtype: str, kind: str) -> None:
    network = Network()
    options = "ResizeBilinearOptions" if "LINEAR" in kind else "ResizeNearestNeighborOptions"
    inputs = [quantized(network, IMAGE, dtype), network.constant([7, 9])]
    y = network.add(kind, inputs, result(network, dtype, 0.05), options=options)
    compare(network.write(y))


def test_requantization_and_numbers_differ_by_a_step_at_most() -> None:
    network = Network()
    x = network.input((50,))
    y = network.add("QUANTIZE", [x], result(network, "int8", 0.03))
    z = network.add("QUANTIZE", [y], result(network, "uint8", 0.05))
    w = network.add("DEQUANTIZE", [z])
    compare(network.write(y, z))
    compare(network.write(w))


def test_quantized_network_runs_in_integers() -> None:
    network = Network()
    x = quantized(network, (1, 6, 6, 3), "uint8")
    for _ in range(3):
        inputs = [x, *kernel(network, (3, 3, 3, 3), "uint8", None)]
        x = network.add(
            "CONV_2D", inputs, network.tensor((1,), "uint8", scale=0.05, zero_point=120),
            options="Conv2DOptions", strideH=1, strideW=1, fusedActivationFunction=1,
        )  # fmt: skip
    converted = compare(network.write(x))
    kinds = [node.op_type for node in converted.graph.node]
    assert kinds.count("QuantizeLinear") == kinds.count("Conv") == 3
    assert kinds.count("Transpose") == 2
    floats = [t for t in converted.graph.initializer if t.data_type == 1 and t.dims]
    assert not floats  # scales are scalars, and weights and biases integers


def test_activation_of_a_part_of_the_range_clips_integers() -> None:
    network = Network()
    x = quantized(network, (1, 6, 6, 3), "uint8")
    y = network.add(
        "CONV_2D", [x, *kernel(network, (3, 3, 3, 3), "uint8", None)], result(network, "uint8"),
        options="Conv2DOptions", strideH=1, strideW=1, fusedActivationFunction=3,
    )  # fmt: skip
    kinds = [node.op_type for node in compare(network.write(y)).graph.node]
    assert kinds[kinds.index("Conv") :][:3] == ["Conv", "QuantizeLinear", "Clip"]


@pytest.mark.parametrize("axis", [None, 0])
def test_int8_weights_of_float_activations_become_the_floats_they_stand_for(
    axis: int | None,
) -> None:
    """LiteRT rounds the activations, too, so that it differs by their rounding error."""
    network = Network()
    x = network.input((2, 16))
    weights, _ = kernel(network, (5, 16), "int8", axis)
    y = network.add("FULLY_CONNECTED", [x, weights, -1], options="FullyConnectedOptions")
    converted = compare(network.write(y), relative=0.02)
    assert [node.op_type for node in converted.graph.node] == ["Gemm"]
    (folded,) = converted.graph.initializer
    scale = np.array([0.01] if axis is None else [0.005 * (i + 1) for i in range(5)], np.float32)
    integers = random_array((5, 16), "int8", 3).astype(np.float32)
    np.testing.assert_array_equal(onnx.numpy_helper.to_array(folded), integers * scale[:, None])


def test_dequantized_weights_of_float_activations_become_floats() -> None:
    network = Network()
    x = network.input((1, 4, 4, 3))
    integers = network.constant(random_array((5, 3, 3, 3), "int8"), scale=[0.1, 0.2, 0.3, 0.4, 0.5])
    weights = network.add("DEQUANTIZE", [integers], network.tensor((5, 3, 3, 3)))
    bias = network.constant(random_array((5,)))
    y = network.add("CONV_2D", [x, weights, bias], options="Conv2DOptions", strideH=1, strideW=1)
    converted = compare(network.write(y), relative=0.02)
    assert "DequantizeLinear" not in {node.op_type for node in converted.graph.node}


def test_int16_activations_are_refused_by_name() -> None:
    network = Network()
    x = network.input((1, 4), "int16", scale=0.01)
    y = network.add("LOGISTIC", [x], network.tensor((1, 4), "int16", scale=1 / 32768, name="out"))
    with pytest.raises(ConversionError, match="t0 is quantized as int16: expected int8, uint8"):
        TfliteModel(network.write(y, shaped=False)).to_onnx()

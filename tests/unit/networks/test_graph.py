from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest

from furiosa_models.networks.graph import (
    INT64,
    Activation,
    Graph,
    Implicit,
    Kernel,
    Layer,
    Norm,
    Padding,
    Value,
)
from furiosa_models.networks.onnx_sink import runnable, trainable
from furiosa_models.networks.weights import NamedWeights, Parameter, RandomWeights

Array = npt.NDArray[np.float32]


def _run(layer: Callable[[Graph, Value], Value], x: Array, **weights: Array) -> Array:
    """Run `layer` on `x` (N, ...) with ONNX Runtime; check the shape that the graph declares."""
    graph = Graph("test")
    value = layer(graph, graph.input("x", x.shape[1:]))
    graph.output(value, "y")
    model = runnable(graph, NamedWeights(weights))
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    (y,) = session.run(None, {"x": x})
    assert y.shape == (len(x), *value.shape)
    return np.asarray(y)


def _layer(kernel: Array, bias: Array | None = None) -> Layer:
    """Return a layer with the parameters `kernel` and `bias`."""
    weight = Kernel(Parameter("kernel", kernel.shape))
    return Layer(weight, None if bias is None else Parameter("bias", bias.shape))


def _random(*shape: int) -> Array:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def _convolved(x: Array, kernel: Array, stride: int, pads: tuple[int, int]) -> Array:
    """Compute a simple convolution of (N, C, H, W) with equal padding in both directions."""
    x = np.pad(x, [(0, 0), (0, 0), pads, pads])
    size = kernel.shape[2]
    windows = np.lib.stride_tricks.sliding_window_view(x, (size, size), axis=(2, 3))
    y: Array = np.einsum("nchwij,ocij->nohw", windows[:, :, ::stride, ::stride], kernel)
    return y


@pytest.mark.parametrize(
    ("extent", "size", "stride", "padding", "pads"),
    [
        (8, 3, 2, "same", (0, 1)),
        (7, 3, 2, "same", (1, 1)),
        (8, 3, 1, "same", (1, 1)),
        (8, 5, 2, "same", (1, 2)),
        (5, 1, 2, "same", (0, 0)),
        (8, 3, 2, "valid", (0, 0)),
        (8, 3, 2, 1, (1, 1)),
        (8, 3, 2, "half", (1, 1)),
        (8, 1, 2, "half", (0, 0)),
        (8, 6, 2, 2, (2, 2)),
    ],
)
def test_conv_pads_like_tensorflow_and_pytorch(
    extent: int, size: int, stride: int, padding: Padding, pads: tuple[int, int]
) -> None:
    x, kernel, bias = _random(2, 3, extent, extent), _random(4, 3, size, size), _random(4)
    layer = _layer(kernel, bias)
    y = _run(
        lambda g, v: g.conv(v, layer, "c", stride=stride, padding=padding),
        x,
        kernel=kernel,
        bias=bias,
    )
    expected = _convolved(x, kernel, stride, pads) + bias[:, None, None]
    np.testing.assert_allclose(y, expected, atol=1e-4)


def test_depthwise_conv_processes_channels_separately() -> None:
    x, kernel = _random(1, 2, 6, 6), _random(2, 1, 3, 3)
    y = _run(lambda g, v: g.conv(v, _layer(kernel), "c", groups=2), x, kernel=kernel)
    expected = [_convolved(x[:, i : i + 1], kernel[i : i + 1], 1, (1, 1)) for i in range(2)]
    np.testing.assert_allclose(y, np.concatenate(expected, axis=1), atol=1e-5)


@pytest.mark.parametrize(
    ("activation", "function"),
    [
        ("relu", lambda x: np.maximum(x, 0)),
        ("relu6", lambda x: np.clip(x, 0, 6)),
        ("sigmoid", lambda x: 1 / (1 + np.exp(-x))),
        ("swish", lambda x: x / (1 + np.exp(-x))),
    ],
)
def test_activations(activation: Activation, function: Callable[[Array], Array]) -> None:
    x = 4 * _random(2, 3, 4, 4)
    y = _run(lambda g, v: g.activate(v, activation, "a"), x)
    np.testing.assert_allclose(y, function(x), atol=1e-5)


def test_max_pool_ignores_padding() -> None:
    x = -1 - np.abs(_random(1, 2, 4, 4))
    y = _run(lambda g, v: g.max_pool(v, 3, "p", stride=2), x)
    padded = np.pad(x, [(0, 0), (0, 0), (0, 1), (0, 1)], constant_values=-np.inf)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))
    np.testing.assert_array_equal(y, windows[:, :, ::2, ::2].max((-1, -2)))


def test_other_layers() -> None:
    x, kernel, bias = _random(2, 3, 2, 2), _random(5, 12), _random(5)
    flat, mean = x.reshape(2, 12), x.mean((2, 3), keepdims=True)
    swapped, linear = x.transpose(0, 2, 3, 1), _layer(kernel, bias)
    cases: list[tuple[Callable[[Graph, Value], Value], Any]] = [
        (lambda g, v: g.add(v, v, "y0"), 2 * x),
        (lambda g, v: g.multiply(v, g.global_average_pool(v, "m"), "y0"), x * mean),
        (lambda g, v: g.reshape(v, (12,), "y0"), flat),
        (lambda g, v: g.gemm(g.reshape(v, (12,), "r"), linear, "y0"), flat @ kernel.T + bias),
        (lambda g, v: g.transpose(v, (1, 2, 0), "y0"), swapped),
        (lambda g, v: g.concat([v, v], "y0", axis=2), np.concatenate([x, x], 3)),
        (lambda g, v: g.resize_nearest(v, 2, "y0"), x.repeat(2, 2).repeat(2, 3)),
        (lambda g, v: g.softmax(v, "y0"), np.exp(x) / np.exp(x).sum(-1, keepdims=True)),
    ]  # fmt: skip
    for layer, expected in cases:
        y = _run(layer, x, kernel=kernel, bias=bias)
        np.testing.assert_allclose(y, expected, atol=1e-5)


def test_argmax_adds_the_first_index() -> None:
    graph = Graph("test")
    best = graph.argmax(graph.input("x", (3,)), "best", first=5)
    graph.output(best, "y", INT64)
    model = runnable(graph, NamedWeights({}))
    onnx.checker.check_model(model, full_check=True)
    x = np.array([[1, 3, 2], [4, 0, 0]], np.float32)
    (y,) = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": x})
    np.testing.assert_array_equal(y, np.array([6, 5], np.int64), strict=True)


def test_outputs_can_feed_other_layers() -> None:
    graph = Graph("test", batch_size=2)
    x = graph.input("x", (3,))
    first = graph.activate(x, "relu", "first")
    second = graph.add(first, first, "second")
    graph.output(first, "a")
    graph.output(second, "b")
    model = runnable(graph, NamedWeights({}))
    onnx.checker.check_model(model, full_check=True)
    ones = np.ones((2, 3), np.float32)
    a, b = onnxruntime.InferenceSession(model.SerializeToString()).run(["a", "b"], {"x": ones})
    np.testing.assert_array_equal(b, 2 * a)


def test_both_models_of_a_layer_compute_the_same() -> None:
    weight = Parameter("w", (2, 2, 3, 5), gain=1.0)
    blocks = Kernel(weight, (3, 1, 0, 2), split=(1, 4, 3, 5), joined=(5, 4, 1, 3))
    norm = Norm.of("bn", (".g", ".b", ".m", ".v"), 5, epsilon=1e-3, momentum=0.9)
    implicit = Implicit(Parameter("shift", (1, 4, 1, 1)), Parameter("scale", (1, 5, 1, 1)))
    layers = [Layer(blocks, norm=norm), Layer(blocks, Parameter("b", (5,)), implicit=implicit)]
    x = _random(2, 4, 6, 6)
    for layer in layers:
        graph = Graph("test")
        graph.output(graph.conv(graph.input("x", (4, 6, 6)), layer, "c", padding="valid"), "y")
        assert [*graph.parameters] == [each.name for each in layer.parameters()]
        results = []
        for sink in (runnable, trainable):
            model = sink(graph, RandomWeights())
            onnx.checker.check_model(model, full_check=True)
            results += onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": x})
        assert results[0].shape == (2, 5, 6, 4)
        np.testing.assert_allclose(results[0], results[1], rtol=1e-4, atol=1e-5)


def test_a_trainable_model_has_the_parameters_of_the_checkpoint() -> None:
    kernel = Kernel(Parameter("scope/w", (3, 3, 2, 4)), (3, 2, 0, 1))
    norm = Norm.of("bn", (".g", ".b", ".m", ".v"), 4, epsilon=1e-3, momentum=0.9)
    graph = Graph("test")
    graph.output(graph.conv(graph.input("x", (2, 6, 6)), Layer(kernel, norm=norm), "c"), "y")
    model = trainable(graph, RandomWeights())
    arrays = {tensor.name: list(tensor.dims) for tensor in model.graph.initializer}
    assert arrays == {name: list(p.shape) for name, p in graph.parameters.items()}
    (node,) = [node for node in model.graph.node if node.op_type == "BatchNormalization"]
    assert [*node.input[1:]] == ["bn.g", "bn.b", "bn.m", "bn.v"]
    assert {a.name: round(a.f, 6) for a in node.attribute} == {"epsilon": 1e-3, "momentum": 0.9}

"""Features of classifiers: the old last layer behind them gives the old scores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest
from onnx import helper, numpy_helper

from furiosa_models import networks
from furiosa_models.errors import ConversionError
from furiosa_models.networks.features import FEATURES, LOGITS, to_features, with_classifier

Array = npt.NDArray[Any]

CLASSIFIERS: dict[str, tuple[str, dict[str, Any]]] = {
    "efficientnet_b0": ("efficientnet", {"variant": "b0", "image_size": 64}),
    "efficientnet_lite0": ("efficientnet", {"variant": "lite0", "image_size": 64}),
    "efficientnet_v2": ("efficientnet_v2", {"image_size": 64}),
    "mobilenet_v2": ("mobilenet_v2", {"image_size": 64}),
    "resnet_50": ("resnet", {"variant": "50", "image_size": 64}),
    "resnet_18_argmax": ("resnet", {"variant": "18", "image_size": 64, "argmax": True}),
}
KERNELS = {
    "efficientnet": "_fc",
    "efficientnet_v2": "classifier.1",
    "mobilenet_v2": "classifier.1",
    "resnet": "fc",
}


def run(model: onnx.ModelProto, count: int = 3) -> Array:
    (value,) = model.graph.input
    sizes = [dim.dim_value for dim in value.type.tensor_type.shape.dim[1:]]
    photos = np.random.default_rng(0).normal(size=(count, *sizes)).astype(np.float32)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    (output,) = session.run(None, {value.name: photos})
    declared = session.get_outputs()[0].shape
    assert len(declared) == output.ndim
    assert all(
        isinstance(d, str) or d == size for d, size in zip(declared, output.shape, strict=True)
    )
    array: Array = output
    return array


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_the_old_layer_on_the_features_gives_the_old_scores(name: str) -> None:
    kind, params = CLASSIFIERS[name]
    source = networks.RandomWeights()
    model = networks.build(kind, source, **params)
    parameters = networks.describe(kind, **params).parameters
    kernel, bias = (
        source.get(parameters[f"{KERNELS[kind]}.{part}"]) for part in ("weight", "bias")
    )
    features = to_features(model)
    onnx.checker.check_model(features, full_check=True)
    values = run(features)
    assert [value.name for value in features.graph.output] == [FEATURES]
    assert values.shape == (3, kernel.shape[1])
    made = with_classifier(features, kernel, bias)
    onnx.checker.check_model(made, full_check=True)
    assert [value.name for value in made.graph.output] == [LOGITS]
    logits, expected = run(made), run(model)
    np.testing.assert_allclose(logits, values @ kernel.T + bias, rtol=1e-4, atol=1e-4)
    if params.get("argmax"):
        np.testing.assert_array_equal(logits.argmax(1) + 1, expected)
    else:
        np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-4)


def ending(nodes: Sequence[onnx.NodeProto], last: str, **arrays: Array) -> onnx.ModelProto:
    """Return a network of two convolutions and an end."""
    random = np.random.default_rng(1)
    kernel = random.normal(size=(8, 3, 3, 3)).astype(np.float32)
    stem = [
        helper.make_node("Conv", ["image", "stem"], ["c"], strides=[2, 2]),
        helper.make_node("Relu", ["c"], ["r"]),
    ]
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        [*stem, *nodes],
        "g",
        [info("image", 1, ["batch", 3, 16, 16])],
        [info(last, onnx.TensorProto.UNDEFINED, None)],
        [numpy_helper.from_array(a, n) for n, a in {"stem": kernel, **arrays}.items()],
    )
    opsets = [helper.make_opsetid("", 17)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    found = onnx.shape_inference.infer_shapes(model).graph.output[0]
    del model.graph.output[:]
    model.graph.output.append(found)
    return model


HEAD = np.random.default_rng(2).normal(size=(5, 8)).astype(np.float32)
BIAS = np.random.default_rng(3).normal(size=5).astype(np.float32)


def pooled() -> list[onnx.NodeProto]:
    return [
        helper.make_node("GlobalAveragePool", ["r"], ["p"]),
        helper.make_node("Flatten", ["p"], ["f"]),
    ]


ENDS: dict[str, tuple[list[onnx.NodeProto], str, dict[str, Array]]] = {
    "gemm": (
        [*pooled(), helper.make_node("Gemm", ["f", "k", "b"], ["y"])],
        "y",
        {"k": HEAD.T.copy(), "b": BIAS},
    ),
    "matmul + bias + softmax": (
        [
            *pooled(),
            helper.make_node("MatMul", ["f", "k"], ["m"]),
            helper.make_node("Add", ["m", "b"], ["a"]),
            helper.make_node("Softmax", ["a"], ["y"], axis=1),
        ],
        "y",
        {"k": HEAD.T.copy(), "b": BIAS},
    ),
    "convolution, pooling, softmax": (
        [
            helper.make_node("Conv", ["r", "k", "b"], ["s"]),
            helper.make_node("GlobalAveragePool", ["s"], ["q"]),
            helper.make_node("Flatten", ["q"], ["l"]),
            helper.make_node("Softmax", ["l"], ["y"], axis=1),
        ],
        "y",
        {"k": HEAD[:, :, None, None].copy(), "b": BIAS},
    ),
    "pooling, convolution, argmax": (
        [
            helper.make_node("GlobalAveragePool", ["r"], ["p"]),
            helper.make_node("Conv", ["p", "k", "b"], ["s"]),
            helper.make_node("Flatten", ["s"], ["l"]),
            helper.make_node("ArgMax", ["l"], ["y"], axis=1, keepdims=0),
        ],
        "y",
        {"k": HEAD[:, :, None, None].copy(), "b": BIAS},
    ),
}


@pytest.mark.parametrize("name", ENDS)
def test_features_of_networks_with_other_ends(name: str) -> None:
    nodes, last, arrays = ENDS[name]
    model = ending(nodes, last, **arrays)
    logits, expected = run(with_classifier(to_features(model), HEAD, BIAS)), run(model)
    if name.endswith("argmax"):
        np.testing.assert_array_equal(logits.argmax(1), expected)
        return
    if name.endswith("softmax"):
        powers = np.exp(logits - logits.max(1, keepdims=True))
        logits = powers / powers.sum(1, keepdims=True)
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-5)


def test_a_fixed_batch_size_stays() -> None:
    model = networks.build("mobilenet_v2", networks.RandomWeights(), image_size=64, batch_size=2)
    made = with_classifier(to_features(model), np.ones((3, 1280), np.float32), BIAS[:3])
    assert run(made, 2).shape == (2, 3)
    assert made.graph.output[0].type.tensor_type.shape.dim[0].dim_value == 2


def test_the_names_of_the_new_layer_are_free() -> None:
    nodes, last, arrays = ENDS["gemm"]
    model = ending(nodes, last, **arrays)
    for tensor in model.graph.initializer:
        if tensor.name == "stem":
            tensor.name = "classifier.weight"
    model.graph.node[0].input[1] = "classifier.weight"
    made = with_classifier(to_features(model), HEAD, BIAS)
    names = [tensor.name for tensor in made.graph.initializer]
    assert len(names) == len({*names})
    np.testing.assert_allclose(run(made), run(model), rtol=1e-4, atol=1e-5)


def test_a_layer_that_is_no_classifier_is_named() -> None:
    nodes = [
        helper.make_node("Relu", ["r"], ["s"], "one"),
        helper.make_node("Add", ["r", "s"], ["y"], "both"),
    ]
    with pytest.raises(ConversionError, match=r"got Add \('both'\): use a classifier"):
        to_features(ending(nodes, "y"))


def test_a_network_without_layers_has_no_features() -> None:
    info = helper.make_tensor_value_info
    nodes = [helper.make_node("Relu", ["x"], ["y"])]
    graph = helper.make_graph(nodes, "g", [info("x", 1, [1, 3])], [info("y", 1, [1, 3])])
    with pytest.raises(ConversionError, match="got an input: use a classifier"):
        to_features(helper.make_model(graph))


def test_a_product_of_two_computed_tensors_is_no_last_layer() -> None:
    nodes = [helper.make_node("MatMul", ["r", "r"], ["y"], "product")]
    with pytest.raises(ConversionError, match=r"got MatMul \('product'\)"):
        to_features(ending(nodes, "y"))

"""Which tensors of a graph are learned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from furiosa_models import networks
from furiosa_models.networks.learned import learned_tensors
from furiosa_models.networks.onnx_sink import trainable
from furiosa_models.networks.weights import Kind


def graph(nodes: Sequence[onnx.NodeProto], constants: Mapping[str, Any]) -> onnx.GraphProto:
    info = helper.make_tensor_value_info
    return helper.make_graph(
        list(nodes),
        "g",
        [info("x", 1, ["n", 3, 8, 8])],
        [info("y", 1, None)],
        [numpy_helper.from_array(np.asarray(a), n) for n, a in constants.items()],
    )


K = np.ones((4, 3, 1, 1), np.float32)
V = np.ones(4, np.float32)


def test_weights_and_biases_of_layers_are_learned() -> None:
    nodes = [
        helper.make_node("Conv", ["x", "k", "b"], ["c"]),
        helper.make_node("BatchNormalization", ["c", "g", "h", "m", "v"], ["n"]),
        helper.make_node("PRelu", ["n", "slope"], ["y"]),
    ]
    constants = {"k": K, "b": V, "g": V, "h": V, "m": V, "v": V, "slope": V}
    assert learned_tensors(graph(nodes, constants)) == {"k", "b", "g", "h", "slope"}


def test_normalization_of_the_photo_is_not_learned() -> None:
    nodes = [
        helper.make_node("Sub", ["x", "mean"], ["s"]),
        helper.make_node("Div", ["s", "std"], ["d"]),
        helper.make_node("Mul", ["d", "factor"], ["f"]),
        helper.make_node("Add", ["f", "shift"], ["a"]),
        helper.make_node("Conv", ["a", "k"], ["y"]),
    ]
    channel = np.ones((1, 3, 1, 1), np.float32)
    constants = {"mean": channel, "std": channel, "factor": channel, "shift": channel, "k": K}
    assert learned_tensors(graph(nodes, constants)) == {"k"}


@pytest.mark.parametrize("order", [["p", "bias"], ["bias", "p"]])
def test_a_bias_that_is_added_after_a_product_is_learned(order: list[str]) -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "kernel"], ["p"]),
        helper.make_node("Add", order, ["y"]),
    ]
    constants = {"kernel": np.ones((8, 5), np.float32), "bias": np.ones(5, np.float32)}
    assert learned_tensors(graph(nodes, constants)) == {"kernel", "bias"}


def test_anchors_grids_and_strides_behind_activations_are_not_learned() -> None:
    nodes = [
        helper.make_node("Conv", ["x", "k"], ["c"]),
        helper.make_node("Sigmoid", ["c"], ["s"]),
        helper.make_node("Add", ["s", "grid"], ["g"]),
        helper.make_node("Mul", ["g", "stride"], ["t"]),
        helper.make_node("Mul", ["t", "anchors"], ["y"]),
    ]
    constants = {
        "k": K,
        "grid": np.ones((1, 4, 8, 8), np.float32),
        "stride": np.float32(8),
        "anchors": np.ones((1, 4, 1, 1), np.float32),
    }
    assert learned_tensors(graph(nodes, constants)) == {"k"}


def test_kernels_that_are_rearranged_first_are_learned() -> None:
    nodes = [
        helper.make_node("Transpose", ["hwio"], ["t"], perm=[3, 2, 0, 1]),
        helper.make_node("Reshape", ["t", "shape"], ["k"]),
        helper.make_node("Conv", ["x", "k"], ["y"]),
    ]
    constants = {"hwio": np.ones((1, 1, 3, 4), np.float32), "shape": np.array([4, 3, 1, 1])}
    assert learned_tensors(graph(nodes, constants)) == {"hwio"}


def test_results_of_layers_are_not_constants() -> None:
    nodes = [
        helper.make_node("Conv", ["x", "k"], ["c"]),
        helper.make_node("Conv", ["x", "k"], ["d"]),
        helper.make_node("Add", ["c", "d"], ["y"]),
    ]
    assert learned_tensors(graph(nodes, {"k": K})) == {"k"}


NETWORKS: dict[str, dict[str, Any]] = {
    "mobilenet_v2": {"image_size": 64},
    "efficientnet": {"image_size": 64},
    "resnet": {"variant": "18", "image_size": 64},
    "mobilenet_ssd": {"depth_multiplier": 0.25},
    "yolov5": {"variant": "n", "image_size": 64, "sigmoid": True},
}


@pytest.mark.parametrize("kind", NETWORKS)
def test_what_is_found_in_a_graph_is_what_its_builder_says(kind: str) -> None:
    described = networks.describe(kind, **NETWORKS[kind])
    model = trainable(described, networks.RandomWeights())
    statistics = (Kind.MEAN, Kind.VARIANCE)
    expected = {p.name for p in described.parameters.values() if p.kind not in statistics}
    assert learned_tensors(model.graph) == expected

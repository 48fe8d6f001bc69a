"""Optimizers with a rate for each part, and averages of weights."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import helper, numpy_helper

from furiosa_models import networks
from furiosa_models.networks.weights import Checkpoint, RandomWeights
from furiosa_models.spec import NetworkSpec
from furiosa_models.training.args import TrainerArgs
from furiosa_models.training.optimization import (
    Average,
    head_parameters,
    make_optimizer,
    part_of,
)
from furiosa_models.training.trainable import Trainable, trainable_of

pytestmark = pytest.mark.torch

NETWORKS: dict[str, dict[str, Any]] = {
    "mobilenet_v2": {"image_size": 64},
    "efficientnet": {"variant": "lite0", "image_size": 64},
    "resnet": {"variant": "18", "image_size": 64},
    "mobilenet_ssd": {"depth_multiplier": 0.25},
    "yolov5": {"variant": "n", "image_size": 64},
}


def trainable(kind: str) -> Trainable:
    source = RandomWeights()
    parameters = networks.describe(kind, **NETWORKS[kind]).parameters
    arrays = {name: source.get(parameter) for name, parameter in parameters.items()}
    return trainable_of(b"", Checkpoint(NetworkSpec(kind, NETWORKS[kind]), arrays))


def args(**values: Any) -> TrainerArgs:
    return TrainerArgs("r", **values)


HEADS = {
    "mobilenet_v2": {"classifier.1.weight", "classifier.1.bias"},
    "efficientnet": {"_fc.weight", "_fc.bias"},
    "resnet": {"fc.weight", "fc.bias"},
    "yolov5": {f"model.24.m.{i}.{part}" for i in range(3) for part in ("weight", "bias")},
}


@pytest.mark.parametrize("kind", HEADS)
def test_the_head_is_the_layers_that_compute_the_outputs(kind: str) -> None:
    assert head_parameters(trainable(kind)) == HEADS[kind]


def test_heads_of_ssd_are_found_behind_transposed_kernels() -> None:
    found = head_parameters(trainable("mobilenet_ssd"))
    assert len(found) == 24
    assert all(name.startswith("BoxPredictor_") for name in found)


@pytest.mark.parametrize("kind", ["mobilenet_ssd", "yolov5"])
def test_detectors_have_three_parts(kind: str) -> None:
    network = trainable(kind)
    heads, module = head_parameters(network), network.module()
    parts = {name: part_of(name, network, heads) for name in module.learned}
    assert {*parts.values()} == {"backbone", "decoder", "head"}
    if kind == "yolov5":
        numbers = {int(n.split(".")[1]): part for n, part in parts.items() if part != "head"}
        assert {n for n, part in numbers.items() if part == "backbone"} == {*range(10)}
        assert {n for n, part in numbers.items() if part == "decoder"} <= {*range(10, 24)}


@pytest.mark.parametrize(
    ("kind", "params"),
    [
        ("dfine", {}),
        ("rtdetr", {}),
        ("rtdetr", {"variant": None, "family": "fai_detr", "backbone": "nano"}),
        ("maskformer", {"backbone": "nano"}),
    ],
)
def test_networks_with_queries_have_three_parts(kind: str, params: dict[str, Any]) -> None:
    params = {"image_size": 64, "num_queries": 9, **params}
    parameters = networks.describe(kind, **params).parameters
    arrays = {name: RandomWeights().get(parameter) for name, parameter in parameters.items()}
    network = trainable_of(b"", Checkpoint(NetworkSpec(kind, params), arrays))
    heads = head_parameters(network)
    parts = {name: part_of(name, network, heads) for name in parameters}
    assert {*parts.values()} == {"backbone", "decoder"} | ({"head"} if heads else set())
    backbone = [name for name, part in parts.items() if part == "backbone"]
    assert backbone == [name for name in parameters if "backbone." in name]


def test_embeddings_and_normalization_have_decays_of_their_own() -> None:
    params = {"image_size": 64, "num_queries": 9, "backbone": "nano", "decoder_layers": 1}
    parameters = networks.describe("maskformer", **params).parameters
    arrays = {name: RandomWeights().get(parameter) for name, parameter in parameters.items()}
    network = trainable_of(b"", Checkpoint(NetworkSpec("maskformer", params), arrays))
    module = network.module()
    given = args(weight_decay=0.1, weight_decay_norm=0.2, weight_decay_embed=0.3)
    norms = {name for names in module.norms.values() for name in names}
    groups = make_optimizer(module, network, given).param_groups
    found = {id(p): group["weight_decay"] for group in groups for p in group["params"]}
    for name in module.learned:
        expected = 0.1
        if "query_" in name:
            expected = 0.3
        elif "norm" in name or name in norms:
            expected = 0.2
        assert found[id(module.tensor(name))] == expected, name


@pytest.mark.parametrize("kind", NETWORKS)
def test_every_learned_parameter_has_the_rate_and_decay_of_its_part_and_kind(kind: str) -> None:
    network = trainable(kind)
    module = network.module()
    given = args(
        learning_rate=2.0,
        backbone_multiplier=0.5,
        decoder_multiplier=0.25,
        head_multiplier=4.0,
        weight_decay=0.3,
        weight_decay_norm=0.7,
    )
    optimizer = make_optimizer(module, network, given)
    factors = {"backbone": 1.0, "decoder": 0.5, "head": 8.0}
    norms = {name for names in module.norms.values() for name in names}
    heads = head_parameters(network)
    found = {id(p): group for group in optimizer.param_groups for p in group["params"]}
    assert sum(len(group["params"]) for group in optimizer.param_groups) == len(module.learned)
    for name in module.learned:
        group = found[id(module.tensor(name))]
        assert group["initial_lr"] == group["lr"] == factors[part_of(name, network, heads)]
        assert group["weight_decay"] == (0.7 if name in norms else 0.3)


@pytest.mark.parametrize("part", ["backbone", "decoder", "head"])
def test_a_part_with_the_factor_0_is_frozen(part: str) -> None:
    network = trainable("yolov5")
    module = network.module()
    optimizer = make_optimizer(module, network, args(**{f"{part}_multiplier": 0}))
    heads = head_parameters(network)
    trained = {id(p) for group in optimizer.param_groups for p in group["params"]}
    for name in module.learned:
        is_frozen = part_of(name, network, heads) == part
        assert module.tensor(name).requires_grad is not is_frozen
        assert (id(module.tensor(name)) in trained) is not is_frozen


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"backbone_multiplier": 0, "decoder_multiplier": 0, "head_multiplier": 0},
            "every part of the network is frozen",
        ),
        ({"weight_decay_embed": 0.1}, "weight_decay_embed is for embeddings"),
        ({"optimizer_extra": {"momentun": 0.9}}, "optimizer_extra does not fit ADAMW: .*momentun"),
        ({"optimizer_extra": {"lr": 1}}, "optimizer_extra does not fit ADAMW"),
        ({"optimizer_extra": {"params": []}}, "optimizer_extra does not fit ADAMW"),
        ({"optimizer": "SGD", "optimizer_extra": {"momentum": -1}}, "momentum"),
        ({"optimizer_extra": {"weight_decay": 0.1}}, "weight_decay is an argument of its own"),
    ],
)
def test_arguments_that_do_not_fit_are_errors(values: dict[str, Any], message: str) -> None:
    network = trainable("mobilenet_v2")
    with pytest.raises(ValueError, match=message):
        make_optimizer(network.module(), network, args(**values))


@pytest.mark.parametrize(
    ("name", "kind", "extra"),
    [
        ("ADAMW", torch.optim.AdamW, {"betas": (0.8, 0.99)}),
        ("SGD", torch.optim.SGD, {"nesterov": True}),
        ("RMSPROP", torch.optim.RMSprop, {"alpha": 0.9}),
    ],
)
def test_optimizers_take_further_arguments(name: Any, kind: Any, extra: dict[str, Any]) -> None:
    network = trainable("mobilenet_v2")
    given = args(optimizer=name, optimizer_extra=extra)
    optimizer = make_optimizer(network.module(), network, given)
    assert type(optimizer) is kind
    for key, value in extra.items():
        assert all(group[key] == value for group in optimizer.param_groups)
    if name == "SGD":
        assert all(group["momentum"] == 0.9 for group in optimizer.param_groups)


def test_a_graph_whose_output_is_a_concatenation_has_no_head() -> None:
    info = helper.make_tensor_value_info
    kernel = np.ones((2, 3, 1, 1), np.float32)
    nodes = [
        helper.make_node("Conv", ["x", "k"], ["a"]),
        helper.make_node("Concat", ["a", "a"], ["y"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [info("x", 1, [1, 3, 4, 4])],
        [info("y", 1, [1, 4, 4, 4])],
        [numpy_helper.from_array(kernel, "k")],
    )
    opsets = [helper.make_opsetid("", 17)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    network = trainable_of(model.SerializeToString(), None)
    assert isinstance(network.model, onnx.ModelProto)
    assert head_parameters(network) == frozenset()


@pytest.mark.parametrize(("decay", "warmup"), [(0.9, 0), (0.9, 4), (0.0, 3)])
def test_an_average_is_the_closed_form(decay: float, warmup: int) -> None:
    module = trainable("mobilenet_v2").module()
    name = "classifier.1.bias"
    average = Average(module, decay, warmup)
    expected = module.arrays()[name].astype(np.float64)
    with torch.no_grad():
        for count in range(1, 7):
            module.tensor(name).add_(float(count))
            average.update(module)
            d = decay * (1 - math.exp(-count / warmup) if warmup else 1.0)
            expected = d * expected + (1 - d) * module.arrays()[name]
    np.testing.assert_allclose(average.values[name].numpy(), expected, rtol=1e-5, atol=1e-6)


def test_an_average_continues_from_its_state() -> None:
    module = trainable("mobilenet_v2").module()
    straight = Average(module, 0.9, 5)
    first = Average(module, 0.9, 5)
    with torch.no_grad():
        for part in (0, 1):
            if part:
                state = first.state_dict()
                first = Average(module, 0.9, 5)
                first.load_state_dict(state)
            for _ in range(3):
                for parameter in module.parameters():
                    parameter.mul_(1.1)
                straight.update(module)
                first.update(module)
    for name, tensor in straight.values.items():
        assert torch.equal(tensor, first.values[name])


def test_counts_of_batches_are_copied_into_the_average() -> None:
    network = trainable("mobilenet_v2")
    module = Trainable(
        network.model,
        network.network,
        {"features.0.1.num_batches_tracked": np.array(5)},
        network.learned,
        network.live_norms,
    ).module()
    average = Average(module, 0.999, 0)
    module.train()(torch.rand(2, 3, 64, 64))
    average.update(module)
    assert int(average.values["features.0.1.num_batches_tracked"]) == 6

"""Networks in the form that trains: against the form that runs, and against torchvision's modules.

torchvision is independent of this package: other code computes its outputs, gradients and running
statistics from the same weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import pytest
import torch
import torchvision

from furiosa_models import networks
from furiosa_models.networks.torch_sink import GraphModule
from furiosa_models.networks.weights import Checkpoint, Kind, RandomWeights
from furiosa_models.spec import NetworkSpec
from furiosa_models.training.trainable import Trainable, trainable_of

from .graphs import Array, call, onnx_runtime

pytestmark = pytest.mark.torch

NETWORKS: dict[str, tuple[str, dict[str, Any]]] = {
    "mobilenet_ssd": ("mobilenet_ssd", {"depth_multiplier": 0.25, "num_classes": 5}),
    "mobilenet_v2_ssd": ("mobilenet_v2_ssd", {"num_classes": 5}),
    "efficientnet_lite0": ("efficientnet", {"variant": "lite0", "image_size": 64}),
    "efficientnet_b0": ("efficientnet", {"variant": "b0", "image_size": 64}),
    "efficientnet_v2": ("efficientnet_v2", {"image_size": 64}),
    "fai_cls": ("fai_cls", {"size": "nano", "image_size": 64}),
    "mobilenet_v2": ("mobilenet_v2", {"image_size": 64}),
    "movenet": ("movenet", {"image_size": 64}),
    "nanodet": ("nanodet", {"image_size": 64, "num_classes": 3}),
    "posenet": ("posenet", {"image_size": 65}),
    "resnet_18": ("resnet", {"variant": "18", "image_size": 64}),
    "resnet_50_v1": ("resnet", {"variant": "50_v1", "image_size": 64}),
    "deeplab_v3": ("deeplab_v3", {"image_size": 65, "num_classes": 4}),
    "dfine_n": ("dfine", {"image_size": 64, "num_queries": 12, "num_classes": 5}),
    "rtdetr_r18": ("rtdetr", {"image_size": 64, "num_queries": 20, "num_classes": 5}),
    "selfie_segmentation": ("selfie_segmentation", {"image_size": 64}),
    "fai_mf": (
        "maskformer",
        {"backbone": "nano", "encoder_layers": 1, "decoder_layers": 2, "image_size": 64}
        | {"num_queries": 12, "num_classes": 5},
    ),
    "bisenetformer": (
        "maskformer",
        {"family": "bisenetformer", "backbone": 18, "decoder_layers": 2, "image_size": 64}
        | {"num_queries": 12, "num_classes": 5},
    ),
    "ssd_resnet34": ("ssd_resnet34", {"image_size": 400, "num_classes": 4}),
    "yolov5n": ("yolov5", {"variant": "n", "image_size": [64, 96], "num_classes": 3}),
    "u2net_p": ("u2net", {"variant": "p", "image_size": 64}),
    "yolox_nano": ("yolox", {"variant": "nano", "image_size": 64, "num_classes": 3}),
    "yolov7_pose": ("yolov7_pose", {"image_size": 64}),
}
TWINS: dict[str, tuple[str, dict[str, Any], Any]] = {
    "resnet18": ("resnet", {"variant": "18", "image_size": 64}, torchvision.models.resnet18),
    "mobilenet_v2": ("mobilenet_v2", {"image_size": 64}, torchvision.models.mobilenet_v2),
}


def random_arrays(name: str, params: Mapping[str, Any]) -> dict[str, Array]:
    source = RandomWeights()
    parameters = networks.describe(name, **params).parameters
    return {key: source.get(parameter) for key, parameter in parameters.items()}


def trainable(name: str) -> Trainable:
    kind, params = NETWORKS[name]
    return trainable_of(b"", Checkpoint(NetworkSpec(kind, params), random_arrays(kind, params)))


def image(program: onnx.ModelProto, count: int = 2) -> dict[str, Array]:
    (value,) = networks.edit.signature(program)[0]
    random = np.random.default_rng(0)
    shape = [size for size in value.shape[1:] if isinstance(size, int)]
    return {value.name: random.normal(size=(count, *shape)).astype(np.float32)}


def outputs_of(module: Any, feed: Mapping[str, Array]) -> list[Any]:
    results = module(*map(torch.from_numpy, feed.values()))
    return list(results) if isinstance(results, tuple) else [results]


def step(module: Any, feed: Mapping[str, Array]) -> None:
    """Train for one step that changes every learned parameter a little."""
    parameters = [p for p in module.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(parameters, lr=1e-4)
    torch.stack(
        [each.square().mean() for each in outputs_of(module.train(), feed)]
    ).sum().backward()
    optimizer.step()
    optimizer.zero_grad()


def assert_same_results(module: Any, program: onnx.ModelProto, feed: Mapping[str, Array]) -> None:
    found, expected = call(module.eval(), feed), onnx_runtime(program, feed)
    for one, other in zip(found, expected, strict=True):
        assert one.shape == other.shape
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)


def test_every_network_of_the_zoo_is_tested() -> None:
    assert {kind for kind, _ in NETWORKS.values()} == {*networks.NETWORKS}


@pytest.mark.parametrize("name", NETWORKS)
def test_both_forms_of_a_network_agree_before_and_after_a_step(name: str) -> None:
    network = trainable(name)
    module = network.module()
    program = onnx.load_from_string(network.program())
    feed = image(program)
    assert module.live_norms == frozenset(module.norms)
    assert_same_results(module, program, feed)
    before = module.arrays()
    step(module, feed)
    after = module.arrays()
    assert all((before[key] != after[key]).any() for key in _measured(network))
    unchanged = [key for key in module.learned if (before[key] == after[key]).all()]
    assert len(unchanged) <= 0.05 * len(module.learned)
    checkpoint = network.with_arrays(after).checkpoint
    assert checkpoint is not None
    kind, params = checkpoint.network.name, checkpoint.network.params
    rebuilt, _ = networks.build_checkpoint(kind, checkpoint.arrays, **params)
    assert_same_results(module, rebuilt, feed)


def _measured(network: Trainable) -> list[str]:
    assert network.network is not None
    graph = networks.describe(network.network.name, **network.network.params)
    statistics = (Kind.MEAN, Kind.VARIANCE)
    return [p.name for p in graph.parameters.values() if p.kind in statistics]


@pytest.mark.parametrize("name", ["mobilenet_v2", "mobilenet_v2_ssd", "yolov5n"])
def test_memory_layouts_do_not_change_the_arrays(name: str) -> None:
    network = trainable(name)
    module = network.module().to(memory_format=torch.channels_last)
    for key, array in module.arrays().items():
        np.testing.assert_array_equal(array, network.arrays()[key])
        assert array.flags.c_contiguous


def twin(name: str) -> tuple[Any, Trainable]:
    """Return torchvision's module, and its state as a network of the zoo."""
    torch.manual_seed(0)
    kind, params, make = TWINS[name]
    module = make(weights=None)
    for each in module.modules():
        if isinstance(each, torch.nn.BatchNorm2d):  # as if it had been trained
            each.running_mean.uniform_(-0.2, 0.2)
            each.running_var.uniform_(0.5, 1.5)
            each.weight.data.uniform_(0.5, 1.5)
            each.bias.data.uniform_(-0.2, 0.2)
        if isinstance(each, torch.nn.Dropout):
            each.p = 0.0
    arrays = {key: value.detach().numpy().copy() for key, value in module.state_dict().items()}
    return module, trainable_of(b"", Checkpoint(NetworkSpec(kind, params), arrays))


@pytest.mark.parametrize("name", TWINS)
def test_torchvisions_state_is_saved_as_it_was_loaded(name: str) -> None:
    module, network = twin(name)
    state = module.state_dict()
    unknown = {"fc.unknown": np.arange(3, dtype=np.float32), "step": np.array(7)}
    assert network.network is not None
    arrays = {**{key: value.numpy() for key, value in state.items()}, **unknown}
    loaded = trainable_of(b"", Checkpoint(network.network, arrays))
    checkpoint = loaded.with_arrays(loaded.module().arrays()).checkpoint
    assert checkpoint is not None
    assert checkpoint.arrays.keys() == arrays.keys()
    assert any(key.endswith("num_batches_tracked") for key in arrays)
    for key, array in arrays.items():
        np.testing.assert_array_equal(checkpoint.arrays[key], array)
        assert checkpoint.arrays[key].dtype == array.dtype
        assert checkpoint.arrays[key].shape == array.shape
    torchvisions = {key: torch.from_numpy(checkpoint.arrays[key].copy()) for key in state}
    module.load_state_dict(torchvisions, strict=True)


@pytest.mark.parametrize("name", TWINS)
def test_outputs_gradients_and_statistics_are_torchvisions(name: str) -> None:
    theirs, network = twin(name)
    ours = network.module()
    x = torch.rand(8, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    weight = torch.rand(8, 1000, generator=torch.Generator().manual_seed(2))
    results = {}
    for key, module in (("theirs", theirs), ("ours", ours)):
        module.double().train()
        results[key] = module(x.double())
        (results[key] * weight.double()).sum().backward()
    torch.testing.assert_close(results["ours"], results["theirs"], rtol=1e-4, atol=1e-5)
    gradients = {key: p.grad for key, p in theirs.named_parameters()}
    assert gradients.keys() == {*ours.learned}
    for key, expected in gradients.items():
        found = ours.tensor(key).grad
        assert float((found - expected).norm()) <= 1e-4 * float(expected.norm()) + 1e-12, key
    buffers = dict(theirs.named_buffers())
    assert any(key.endswith("running_var") for key in buffers)
    for key, expected in buffers.items():
        torch.testing.assert_close(ours.tensor(key), expected, rtol=1e-5, atol=1e-7, msg=key)
    assert all(int(v) == 1 for k, v in buffers.items() if k.endswith("num_batches_tracked"))


@pytest.mark.parametrize("name", TWINS)
def test_evaluation_mode_changes_no_statistics(name: str) -> None:
    theirs, network = twin(name)
    ours = network.module().eval()
    x = torch.rand(2, 3, 64, 64)
    before = ours.arrays()
    torch.testing.assert_close(ours(x), theirs.eval()(x), rtol=1e-4, atol=1e-5)
    for key, array in ours.arrays().items():
        np.testing.assert_array_equal(array, before[key])


def test_frozen_norms_use_and_keep_the_running_statistics() -> None:
    theirs, network = twin("resnet18")
    ours = network.module().train()
    ours.live_norms = frozenset()
    x = torch.rand(2, 3, 64, 64)
    before = ours.arrays()
    torch.testing.assert_close(ours(x), theirs.eval()(x), rtol=1e-4, atol=1e-5)
    ours(x).sum().backward()
    assert ours.tensor("bn1.weight").grad is not None
    for key, array in ours.arrays().items():
        np.testing.assert_array_equal(array, before[key])


def test_statistics_of_folded_checkpoints_stay_frozen() -> None:
    kind, params = NETWORKS["mobilenet_v2"]
    arrays = random_arrays(kind, params)
    folded = {"features.0.1", "features.1.conv.0.1"}
    for layer in folded:
        arrays[f"{layer}.running_mean"][:] = 0
        arrays[f"{layer}.running_var"][:] = 0.75
    network = trainable_of(b"", Checkpoint(NetworkSpec(kind, params), arrays))
    module = network.module()
    norms = {module.norms[name][2].removesuffix(".running_mean") for name in module.live_norms}
    names = {means.removesuffix(".running_mean") for _, _, means, _ in module.norms.values()}
    assert names - norms == folded
    step(module, image(onnx.load_from_string(network.program())))
    after = module.arrays()
    for layer in folded:
        assert (after[f"{layer}.running_mean"] == 0).all()
        assert (after[f"{layer}.running_var"] == 0.75).all()
        assert (after[f"{layer}.weight"] != arrays[f"{layer}.weight"]).any()


def test_extra_arrays_are_buffers_that_nothing_trains() -> None:
    _, network = twin("resnet18")
    model = network.model
    module = GraphModule(model, {"a.b": np.ones(2, np.float32), "fc.bias": np.zeros(9)})
    assert not module.tensor("a.b").requires_grad
    assert "a.b" in module.state_dict()
    assert module.tensor("fc.bias").shape == (1000,)  # the graph's own array counts

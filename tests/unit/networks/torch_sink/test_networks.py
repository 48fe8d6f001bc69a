"""Whole networks against ONNX Runtime, and what a module is for PyTorch."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import helper

from furiosa_models import networks
from furiosa_models.errors import ConversionError
from furiosa_models.networks.torch_sink import GraphModule
from furiosa_models.networks.torch_sink.operations import OPERATIONS
from furiosa_models.quantization import CalibrationMethod, Calibrator, quantize

from .graphs import Array, call, exported, graph, onnx_runtime

pytestmark = pytest.mark.torch

NETWORKS: dict[str, tuple[str, dict[str, Any]]] = {
    "mobilenet_ssd": ("mobilenet_ssd", {}),
    "mobilenet_v2_ssd": ("mobilenet_v2_ssd", {}),
    "deeplab_v3": ("deeplab_v3", {"image_size": 129}),
    "efficientnet_b0": ("efficientnet", {"variant": "b0"}),
    "efficientnet_lite0": ("efficientnet", {"variant": "lite0"}),
    "efficientnet_v2": ("efficientnet_v2", {"image_size": 192}),
    "fai_cls": ("fai_cls", {"size": "nano"}),
    "mobilenet_v2": ("mobilenet_v2", {}),
    "movenet": ("movenet", {"image_size": [96, 128]}),
    "nanodet": ("nanodet", {"image_size": [96, 128]}),
    "posenet": ("posenet", {"image_size": [97, 129]}),
    "resnet_18": ("resnet", {"variant": "18"}),
    "resnet_50_v1": ("resnet", {"variant": "50_v1"}),
    "resnet_50_argmax": ("resnet", {"variant": "50", "argmax": True}),
    "dfine_n": ("dfine", {"image_size": [96, 128], "num_queries": 50}),
    "rtdetr_r18": ("rtdetr", {"variant": "r18", "image_size": [128, 96], "num_queries": 50}),
    "fai_detr_m": (
        "rtdetr",
        {"variant": None, "family": "fai_detr", "backbone": "nano", "image_size": 96}
        | {"feature_dim": 128, "encoder_layers": 1, "decoder_layers": 2, "num_queries": 20},
    ),
    "fai_mf": (
        "maskformer",
        {"backbone": 18, "encoder_layers": 1, "decoder_layers": 4, "image_size": [96, 128]}
        | {"num_queries": 20},
    ),
    "bisenetformer": (
        "maskformer",
        {"family": "bisenetformer", "backbone": "nano", "decoder_layers": 3, "image_size": 96}
        | {"num_queries": 20},
    ),
    "selfie_segmentation": ("selfie_segmentation", {"image_size": [96, 64]}),
    "ssd_resnet34": ("ssd_resnet34", {"image_size": 600}),
    "u2net_p": ("u2net", {"variant": "p", "image_size": [96, 64]}),
    "yolov5n": ("yolov5", {"variant": "n", "image_size": [96, 160]}),
    "yolov5n_sigmoid": ("yolov5", {"variant": "n", "image_size": 64, "sigmoid": True}),
    "yolox_nano": ("yolox", {"variant": "nano", "image_size": [64, 96]}),
    "yolov7_pose": ("yolov7_pose", {"image_size": [128, 192]}),
}


def network(name: str) -> onnx.ModelProto:
    kind, params = NETWORKS[name]
    return networks.build(kind, networks.RandomWeights(), **params)


def images(model: onnx.ModelProto, count: int = 2) -> dict[str, Array]:
    (value,) = networks.edit.signature(model)[0]
    shape = [size for size in value.shape[1:] if isinstance(size, int)]
    random = np.random.default_rng(0)
    return {value.name: random.normal(size=(count, *shape)).astype(np.float32)}


def test_every_network_of_the_zoo_is_tested() -> None:
    assert {kind for kind, _ in NETWORKS.values()} == {*networks.NETWORKS}


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_computes_what_onnx_runtime_computes(name: str) -> None:
    model = network(name)
    feed = images(model)
    found, expected = call(GraphModule(model).eval(), feed), onnx_runtime(model, feed)
    for one, other in zip(found, expected, strict=True):
        assert one.shape == other.shape
        assert float(np.abs(one - other).max()) <= 1e-4


@pytest.mark.parametrize("name", ["mobilenet_v2_ssd", "yolov5n"])
def test_an_exported_network_takes_any_batch_size(name: str) -> None:
    model = network(name)
    program = exported(GraphModule(model).eval(), images(model))
    more = images(model, 3)
    for one, other in zip(call(program, more), onnx_runtime(model, more), strict=True):
        assert float(np.abs(one - other).max()) <= 1e-4


@pytest.mark.parametrize("name", ["mobilenet_v2", "yolov5n"])
def test_an_int8_program_differs_no_more_than_optimization_changes_it(name: str) -> None:
    """A difference of 1e-6 before a rounding may become one of a whole step.

    Networks with random weights amplify such steps from layer to layer.
    """
    model = network(name)
    feed = images(model)
    calibrator = Calibrator(model, CalibrationMethod.MIN_MAX_ASYM)
    calibrator.collect_data([[*feed.values()]])
    program = onnx.load_from_string(quantize(networks.to_bytes(model), calibrator.compute_range()))
    module = GraphModule(program).eval()
    assert any(b.dtype == torch.int8 for b in module.buffers())
    session = onnxruntime.InferenceSession(program.SerializeToString())
    optimized = session.run(None, feed)
    expected = onnx_runtime(program, feed)
    for one, other, fast in zip(call(module, feed), expected, optimized, strict=True):
        changed = float(np.abs(fast - other).mean())  # nothing on some CPUs
        assert float(np.abs(one - other).mean()) <= max(1.2 * changed, 1e-6)


def test_an_int8_layer_is_equal() -> None:
    model = network("mobilenet_v2")
    feed = images(model)
    relu = next(node.output[0] for node in model.graph.node if node.op_type == "Clip")
    first = networks.edit.extract(model, list(feed), [relu])
    calibrator = Calibrator(first, CalibrationMethod.MIN_MAX_ASYM)
    calibrator.collect_data([[*feed.values()]])
    program = onnx.load_from_string(quantize(networks.to_bytes(first), calibrator.compute_range()))
    (found,), (expected,) = call(GraphModule(program).eval(), feed), onnx_runtime(program, feed)
    step = np.median(np.diff(np.unique(expected)))  # the last one, at 6, is cut off
    different = np.abs(found - expected) > step / 2
    assert different.mean() < 1e-4
    assert float(np.abs(found - expected).max()) <= step * 1.01


def test_the_state_has_the_names_and_values_of_the_initializers() -> None:
    model = network("mobilenet_v2")
    module = GraphModule(model)
    weights = {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer}
    state = module.state_dict()
    extra = {name for name in weights if name not in state}
    assert {*state} <= {*weights}
    assert extra == {name for name in weights if "constant/" in name or "/shape" in name}
    for name, tensor in state.items():
        np.testing.assert_array_equal(tensor.numpy(), weights[name])
    assert all(parameter.requires_grad for parameter in module.parameters())


def test_a_state_is_loaded_and_used() -> None:
    model = network("resnet_18")
    module = GraphModule(model).eval()
    feed = images(model)
    before = call(module, feed)
    module.load_state_dict({name: t * 0.5 for name, t in module.state_dict().items()})
    assert float(np.abs(call(module, feed)[0] - before[0]).max()) > 1e-3


def test_names_that_modules_have_already_are_no_obstacle() -> None:
    names = ("forward", "training.weight", "a", "a.b", "a.b.c", "..x", "", "_modules.y")
    constants = {name: np.full(3, n, np.float32) for n, name in enumerate(names) if name}
    inputs = {"x": np.zeros((2, 3), np.float32)}
    steps, last = [], "x"
    for number, name in enumerate(constants):
        steps.append(helper.make_node("Add", [last, name], [f"t{number}"]))
        last = f"t{number}"
    model = graph(steps, inputs, constants)
    module = GraphModule(model)
    assert len(list(module.parameters())) == len(constants)
    np.testing.assert_array_equal(call(module, inputs)[0], onnx_runtime(model, inputs)[0])


def test_unknown_operations_are_named_together() -> None:
    inputs = {"x": np.zeros((2, 3), np.float32)}
    nodes = [
        helper.make_node("Det", ["x"], ["d"], name="first"),
        helper.make_node("Hardmax", ["x"], ["h"], name="second"),
        helper.make_node("Relu", ["x"], ["y"], domain="com.example"),
    ]
    with pytest.raises(
        ConversionError, match=r"Det \('first'\), Hardmax \('second'\), Relu \('y'\)"
    ):
        GraphModule(graph(nodes, inputs))
    assert {"Det", "Hardmax"}.isdisjoint(OPERATIONS)


@pytest.mark.parametrize(
    ("node", "message"),
    [
        (helper.make_node("ArgMax", ["x"], ["y"], select_last_index=1), "select_last_index"),
        (helper.make_node("Cast", ["x"], ["y"], to=onnx.TensorProto.STRING), "ONNX type 8"),
        (
            helper.make_node("ConvTranspose", ["x", "w"], ["y"], auto_pad="SAME_UPPER"),
            "auto_pad or output_shape",
        ),
        (helper.make_node("QuantizeLinear", ["x", "s"], ["y"], axis=0), "for each channel"),
    ],
)
def test_options_without_a_form_are_errors(node: onnx.NodeProto, message: str) -> None:
    inputs = {"x": np.zeros((2, 2, 4, 4), np.float32)}
    constants = {
        "w": np.zeros((2, 2, 3, 3), np.float32),
        "s": np.array([0.5, 0.25], np.float32),
    }
    with pytest.raises(ConversionError, match=message):
        call(GraphModule(graph(node, inputs, constants)), inputs)

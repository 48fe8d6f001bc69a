from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from furiosa_models.errors import ConversionError, FuriosaModelsError, ShapeError, WeightsError
from furiosa_models.quantization.calibrator import Calibrator
from furiosa_models.quantization.float_model import float_model
from furiosa_models.quantization.methods import CalibrationMethod
from furiosa_models.quantization.quantizer import quantize
from furiosa_models.quantization.without_data import quantize_dynamic, quantize_weights

INPUT = np.random.default_rng(1).normal(0.5, 1, (4, 3, 10, 10)).astype(np.float32)


def weight(name: str, *shape: int) -> onnx.TensorProto:
    rng = np.random.default_rng(sum(map(ord, name)))
    return numpy_helper.from_array(rng.normal(0, 0.3, shape).astype(np.float32), name)


def value(name: str, shape: list[Any] | None = None) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def network(opset: int = 13, **gemm: Any) -> onnx.ModelProto:
    """Make Conv, Relu, Conv, Relu, GlobalAveragePool, Flatten, Gemm, Relu, Gemm."""
    nodes = [
        helper.make_node("Conv", ["x", "w1", "b1"], ["c1"], "first", pads=[1] * 4),
        helper.make_node("Relu", ["c1"], ["r1"], "relu1"),
        helper.make_node("Conv", ["r1", "w2", "b2"], ["c2"], "second", pads=[1] * 4),
        helper.make_node("Relu", ["c2"], ["r2"], "relu2"),
        helper.make_node("GlobalAveragePool", ["r2"], ["pooled"], "pool"),
        helper.make_node("Flatten", ["pooled"], ["flat"], "flatten"),
        helper.make_node("Gemm", ["flat", "w3", "b3"], ["g"], "hidden", **gemm),
        helper.make_node("Relu", ["g"], ["r3"], "relu3"),
        helper.make_node("Gemm", ["r3", "w4", "b4"], ["y"], "head"),
    ]
    weights = [
        *(weight("w1", 16, 3, 3, 3), weight("b1", 16), weight("w2", 16, 16, 3, 3)),
        *(weight("b2", 16), weight("w3", 16, 70), weight("b3", 70)),
        *(weight("w4", 70, 5), weight("b4", 5)),
    ]
    graph = helper.make_graph(
        nodes, "net", [value("x", ["n", 3, 10, 10])], [value("y", ["n", 5])], weights
    )
    opsets = [helper.make_opsetid("", opset)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def run(model: onnx.ModelProto | bytes) -> npt.NDArray[np.float32]:
    data = model if isinstance(model, bytes) else model.SerializeToString()
    (found,) = onnxruntime.InferenceSession(data).run(None, {"x": INPUT})
    return np.asarray(found)


def calibrated(model: onnx.ModelProto) -> bytes:
    calibrator = Calibrator(model, CalibrationMethod.MIN_MAX_ASYM)
    calibrator.collect_data([[INPUT]])
    return quantize(model, calibrator.compute_range())


def quantized_forms(model: onnx.ModelProto) -> list[onnx.ModelProto | bytes]:
    return [calibrated(model), quantize_weights(model), quantize_dynamic(model)]


def check_forms(model: onnx.ModelProto) -> None:
    """Compare all quantized forms of a model with the model in ONNX Runtime."""
    exact = run(model)
    for form in quantized_forms(model):
        error = run(form) - exact
        assert 0 < np.mean(error**2) < 2e-3 * np.mean(exact**2)


@pytest.mark.parametrize("opset", [7, 9, 11, 12, 21])
def test_opsets_without_scales_by_channel_are_converted(opset: int) -> None:
    model = network(opset)
    if opset > 13:
        model.ir_version = 10
    check_forms(model)


def test_opset_that_cannot_be_converted_is_named() -> None:
    model = network(9)
    node = helper.make_node("Unheard", ["y"], ["z"], "unheard")
    model.graph.node.append(node)
    model.graph.output[0].name = "z"
    with pytest.raises(ConversionError, match="opset 9, but quantization needs 13"):
        float_model(model)


def test_initializers_that_are_inputs_stay_optional() -> None:
    model = network(9)
    model.ir_version = 3  # the first version, which requires it
    for tensor in model.graph.initializer:
        model.graph.input.append(value(tensor.name, list(tensor.dims)))
    check_forms(model)


def test_names_of_nodes_become_unique() -> None:
    model = network()
    for node, name in zip(model.graph.node, ["", "same", "same", "Conv_0"], strict=False):
        node.name = name
    names = [node.name for node in float_model(model).graph.node]
    assert len({*names}) == len(names)
    assert names[1] == "same"
    assert names[3] == "Conv_0"


def test_nodes_are_sorted() -> None:
    model = network()
    nodes = [onnx.NodeProto.FromString(n.SerializeToString()) for n in model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(reversed(nodes))
    check_forms(model)


@pytest.mark.parametrize("shape", [(), (1,), (1, 1), (1, 70)])
@pytest.mark.parametrize("factors", [{}, {"beta": 3.0}, {"alpha": 0.5, "beta": 0.25}])
def test_biases_of_gemm_have_any_shape_and_factor(
    shape: tuple[int, ...], factors: dict[str, Any]
) -> None:
    model = network(**factors)
    for tensor in model.graph.initializer:
        if tensor.name == "b3":
            tensor.CopyFrom(weight("b3", *shape))
    exact = run(model)
    error = run(calibrated(model)) - exact
    assert 0 < np.mean(error**2) < 2e-3 * np.mean(exact**2)


def with_branches(model: onnx.ModelProto) -> onnx.ModelProto:
    """Insert an If whose branches take an activation and a weight of the graph around them."""
    bodies = {
        name: helper.make_graph(
            [helper.make_node("Conv", ["r2", kernel], [name], f"conv_{name}", pads=[1] * 4)],
            name,
            [],
            [value(name)],
        )
        for name, kernel in (("then_branch", "w2"), ("else_branch", "w5"))
    }
    nodes = [onnx.NodeProto.FromString(n.SerializeToString()) for n in model.graph.node]
    nodes[4].input[0] = "chosen"
    nodes[4:4] = [
        helper.make_node("ReduceMean", ["x"], ["mean"], "mean", keepdims=0),
        helper.make_node("Greater", ["mean", "zero"], ["positive"], "greater"),
        helper.make_node("If", ["positive"], ["chosen"], "if", **bodies),
    ]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    zero = numpy_helper.from_array(np.float32(0), "zero")
    model.graph.initializer.extend([weight("w5", 16, 16, 3, 3), zero])
    return model


def test_branches_take_the_same_values_from_the_graph_around_them() -> None:
    model = with_branches(network())
    check_forms(model)
    for form in quantized_forms(model):
        onnx.checker.check_model(form)


def test_float16_and_quantized_models_are_no_float_models() -> None:
    half = network()
    for tensor in half.graph.initializer:
        array = numpy_helper.to_array(tensor).astype(np.float16)
        tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
    done = onnx.load_from_string(calibrated(network()))
    for quantizer in (quantize_weights, quantize_dynamic, float_model):
        with pytest.raises(FuriosaModelsError, match="computes in float16"):
            quantizer(half)
        with pytest.raises(FuriosaModelsError, match="quantized already"):
            quantizer(done)


def test_weights_that_are_not_finite_are_reported() -> None:
    model = network()
    array = numpy_helper.to_array(model.graph.initializer[2]).copy()
    array[0, 0, 0, 0] = np.nan
    model.graph.initializer[2].CopyFrom(numpy_helper.from_array(array, "w2"))
    with pytest.raises(WeightsError, match="'w2' cannot be quantized"):
        quantize_weights(model)


def test_output_that_is_an_input_is_an_error() -> None:
    model = network()
    model.graph.output.append(value("x", ["n", 3, 10, 10]))
    with pytest.raises(ShapeError, match="'x' is an input and an output"):
        calibrated(model)


def test_failure_of_the_quantizer_is_reported() -> None:
    model = network()
    for tensor in model.graph.initializer:
        if tensor.name == "b3":
            tensor.CopyFrom(weight("b3", 4, 70))  # a bias for each sample
    with pytest.raises(FuriosaModelsError, match="ONNX Runtime cannot quantize the model"):
        calibrated(model)


@pytest.mark.parametrize("activation", ["Relu", "Clip"])
@pytest.mark.parametrize("method", ["MIN_MAX_SYM", "PERCENTILE_SYM", "MIN_MAX_ASYM"])
def test_activations_are_kept_if_their_range_is_symmetric(activation: str, method: str) -> None:
    model = network()
    if activation == "Clip":
        bounds = [numpy_helper.from_array(np.array([v], np.float32), f"bound{v}") for v in (0, 6)]
        model.graph.initializer.extend(bounds)
        for node in model.graph.node:
            if node.op_type == "Relu":
                node.op_type = "Clip"
                node.input.extend(tensor.name for tensor in bounds)
    calibrator = Calibrator(model, CalibrationMethod[method])
    calibrator.collect_data([[INPUT]])
    int8 = quantize(model, calibrator.compute_range())
    error = run(int8) - run(model)
    assert np.mean(error**2) < 2e-3 * np.mean(run(model) ** 2)
    names = {node.name for node in onnx.load_from_string(int8).graph.node}
    assert ("relu1" in names) == method.endswith("_SYM")

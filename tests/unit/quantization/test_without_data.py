from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from furiosa_models.frameworks import wrap
from furiosa_models.quantization.without_data import quantize_dynamic, quantize_weights
from furiosa_models.vision import EfficientNetLite0


def dense(transposed: bool) -> onnx.ModelProto:
    """Make Gemm, Relu and MatMul; Gemm takes its weights as they are, or transposed."""
    rng = np.random.default_rng(0)
    first = rng.normal(size=(48, 32) if transposed else (32, 48)).astype(np.float32)
    arrays = {
        "w": first,
        "b": rng.normal(size=48).astype(np.float32),
        "v": rng.normal(size=(48, 40)).astype(np.float32),
    }
    graph = helper.make_graph(
        [
            helper.make_node("Gemm", ["x", "w", "b"], ["h"], "gemm", transB=int(transposed)),
            helper.make_node("Relu", ["h"], ["r"], "relu"),
            helper.make_node("MatMul", ["r", "v"], ["y"], "matmul"),
        ],
        "dense",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 32])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 40])],
        [numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


X = np.random.default_rng(1).normal(size=(8, 32)).astype(np.float32)


@pytest.mark.parametrize("transposed", [False, True])
def test_weights_have_a_scale_for_each_output_channel(transposed: bool) -> None:
    model = dense(transposed)
    quantized = quantize_weights(model)
    tensors = {tensor.name: tensor for tensor in quantized.graph.initializer}
    assert tensors["w_quantized"].data_type == TensorProto.INT8
    assert [*tensors["w_scale"].dims] == [48]
    assert "w" not in tensors
    exact, rounded = (wrap(each).run(X)[0] for each in (model, quantized))
    assert np.abs(rounded - exact).max() < 0.02 * np.abs(exact).max()


def test_excluded_and_small_weights_stay_float() -> None:
    tensors = [t.name for t in quantize_weights(dense(False), exclude=["gemm"]).graph.initializer]
    assert "w" in tensors
    assert "v_quantized" in tensors
    assert "b" in tensors


def test_dynamic_program_multiplies_integers() -> None:
    model = dense(False)
    quantized = quantize_dynamic(model, exclude=["matmul"])
    kinds = [node.op_type for node in quantized.graph.node]
    assert kinds.count("MatMulInteger") == 1
    assert "MatMul" in kinds
    exact, rounded = (wrap(each).run(X)[0] for each in (model, quantized))
    assert np.abs(rounded - exact).max() < 0.05 * np.abs(exact).max()


def test_network_of_convolutions_shrinks_to_a_quarter() -> None:
    origin = EfficientNetLite0("random").origin
    x = np.random.default_rng(0).normal(size=(1, 3, 224, 224)).astype(np.float32)
    for quantize in (quantize_weights, quantize_dynamic):
        quantized = quantize(origin)
        assert quantized.ByteSize() < 0.3 * len(origin)
        exact, rounded = (wrap(each).run(x)[0] for each in (origin, quantized))
        assert np.abs(rounded - exact).max() < 0.05 * np.abs(exact).max()


@pytest.mark.parametrize("part", ["quantized", "scale", "zero_point", "dequantized"])
def test_names_that_the_network_has_already_are_no_obstacle(part: str) -> None:
    model = dense(True)
    (exact,) = wrap(model).run(X)
    for node in model.graph.node:
        for names in (node.input, node.output):
            names[:] = [f"w_{part}" if name == "h" else name for name in names]
    quantized = quantize_weights(model)
    onnx.checker.check_model(quantized, full_check=True)
    (rounded,) = wrap(quantized).run(X)
    assert np.abs(rounded - exact).max() < 0.02 * np.abs(exact).max()


@pytest.mark.parametrize("transposed", [False, True])
def test_excluded_layers_stay_float_in_dynamic_programs(transposed: bool) -> None:
    model = dense(transposed)
    program = quantize_dynamic(model, exclude=["gemm", "matmul"])
    assert not any("Integer" in node.op_type for node in program.graph.node)
    np.testing.assert_allclose(wrap(program).run(X)[0], wrap(model).run(X)[0], rtol=1e-5)
    half = quantize_dynamic(model, exclude=["gemm"])
    assert [n.name for n in half.graph.node if n.op_type == "MatMulInteger"] == ["matmul_quant"]

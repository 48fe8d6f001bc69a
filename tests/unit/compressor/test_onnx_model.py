"""Methods of ONNXModel, on graphs made by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from furiosa_models.compressor import quantization
from furiosa_models.compressor.config import PostTrainingQuantConfig
from furiosa_models.compressor.data import DataLoader
from furiosa_models.compressor.model import Model
from furiosa_models.compressor.model.onnx_model import ONNXModel
from furiosa_models.errors import ConfigurationError, FuriosaModelsError
from furiosa_models.frameworks import wrap
from tests.unit.quantization.poisoned import photos
from tests.unit.quantization.small import network


@pytest.fixture
def model() -> ONNXModel:
    r"""Make a -> relu -> b -> (left, right) -> add, with a shared weight and one that is unused."""
    node = helper.make_node
    nodes = [
        node("MatMul", ["x", "w"], ["a"], "a"),
        node("Relu", ["a"], ["r"], "relu"),
        node("MatMul", ["r", "w"], ["b"], "b"),
        node("Sigmoid", ["b"], ["s"], "left"),
        node("Tanh", ["b"], ["t"], "right"),
        node("Add", ["s", "t"], ["y"], "add"),
    ]
    arrays = {"w": np.eye(3, dtype=np.float32), "unused": np.zeros(2, np.float32)}
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3])],
        [numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    made = Model(proto)
    assert isinstance(made, ONNXModel)
    return made


def named(model: ONNXModel, name: str) -> onnx.NodeProto:
    node = model.get_node(name)
    assert node is not None
    return node


def test_the_graph_is_read(model: ONNXModel) -> None:
    assert (model.input(), model.output()) == (["x"], ["y"])
    assert model.framework() == "onnxruntime"
    assert [node.name for node in model.nodes()] == ["a", "relu", "b", "left", "right", "add"]
    assert model.graph().name == "g"
    assert model.ir_version() == 8
    assert model.opset_import()[0].version == 17
    assert [tensor.name for tensor in model.initializer()] == ["w", "unused"]
    assert [node.name for node in model.input_name_to_nodes["b"]] == ["left", "right"]
    assert model.output_name_to_node["y"].name == "add"
    assert model.get_initializer("nonesuch") is None
    assert model.get_initializer_share_num("w") == 2
    assert model.get_initializer_share_num("nonesuch") == 0
    assert model.get_node("nonesuch") is None
    assert not model.is_large_model
    assert model.hf_config is None
    assert model.model_path is None


def test_neighbors(model: ONNXModel) -> None:
    b = named(model, "b")
    assert [node.name for node in model.get_children(b)] == ["left", "right"]
    assert [node.name for node in model.get_parents(b)] == ["relu"]
    assert [node.name for node in model.get_siblings(named(model, "left"))] == ["right"]
    assert model.get_parent(b, 0) == named(model, "relu")
    assert model.get_parent(b, 1) is None
    assert model.get_parent(b, 7) is None
    assert model.get_nodes_chain(["add"], [b]) == ["add", "left", "right"]
    assert model.get_nodes_chain([b], ["a"], ["before"]) == ["before", "b", "relu"]
    with pytest.raises(ConfigurationError, match="nodes or their names"):
        model.get_nodes_chain([3], [])  # type: ignore[list-item]
    weight = model.get_initializer("w")
    assert weight is not None
    users = model.find_nodes_by_initializer(model.graph(), weight)
    assert [node.name for node in users] == ["a", "b"]
    extra = helper.make_node("Relu", ["y"], ["z"], "extra")
    assert model.find_node_by_name("extra", [extra], model.graph()) == extra


def test_paths_are_matched(model: ONNXModel) -> None:
    add = named(model, "add")
    found = model.match_parent_path(add, ["Tanh", "MatMul", "Relu"], [1, 0, 0])
    assert found is not None
    assert [node.name for node in found] == ["right", "b", "relu"]
    indices: list[int | None] = []
    assert model.match_parent_path(add, ["Tanh"], [None], return_indice=indices) is not None
    assert indices == [1]
    assert model.match_parent_path(add, ["Relu"], [0]) is None
    assert model.match_first_parent(add, "Relu") == (None, None)
    assert model.match_parent(add, "Sigmoid", 0, exclude=[named(model, "left")]) is None


def test_nodes_and_initializers_are_edited(model: ONNXModel) -> None:
    model.add_nodes([helper.make_node("Relu", ["y"], ["z"], "extra")])
    model.add_node(helper.make_node("Relu", ["z"], ["zz"], "more"))
    model.add_initializers([numpy_helper.from_array(np.ones(1, np.float32), "w")])
    assert model.get_initializer_share_num("w") == 2  # the first one stays
    model.set_initializer("w", 2 * np.eye(3))
    weight = model.get_initializer("w")
    assert weight is not None
    np.testing.assert_array_equal(numpy_helper.to_array(weight), 2 * np.eye(3, dtype=np.float32))
    for name, array in (("nonesuch", np.eye(3)), ("w", np.eye(4))):
        with pytest.raises(ConfigurationError, match="expected an initializer"):
            model.set_initializer(name, array)
    model.remove_nodes([named(model, "more"), helper.make_node("Relu", ["q"], ["p"])])
    model.remove_unused_nodes()
    assert [node.name for node in model.nodes()] == ["a", "relu", "b", "left", "right", "add"]
    assert [tensor.name for tensor in model.initializer()] == ["w"]


def test_tensors_are_renamed(model: ONNXModel) -> None:
    model.replace_input_of_all_nodes("b", "B", white_optype=["Tanh"])
    assert (named(model, "left").input[0], named(model, "right").input[0]) == ("b", "B")
    model.replace_input_of_all_nodes("b", "B", black_optype=["Tanh"])
    model.replace_output_of_all_nodes("b", "B")
    assert named(model, "left").input[0] == named(model, "b").output[0] == "B"
    ONNXModel.replace_node_output(named(model, "add"), "y", "Y")
    assert named(model, "add").output[0] == "Y"


def test_outputs_are_added_removed_and_ordered(model: ONNXModel) -> None:
    model.add_tensors_to_outputs(["r", "y"])
    assert model.output() == ["y", "r"]
    model.re_org_output(["r", "y"])
    assert model.output() == ["r", "y"]
    with pytest.raises(ConfigurationError, match="expected the outputs r, y"):
        model.re_org_output(["y"])
    model.remove_tensors_from_outputs(["r"])
    assert model.output() == ["y"]
    assert wrap(model.model).run(np.ones((2, 3), np.float32))[0].shape == (2, 3)


def test_nodes_are_sorted(model: ONNXModel) -> None:
    expected = wrap(model.model).run(np.ones((2, 3), np.float32))[0]
    nodes = [onnx.NodeProto.FromString(node.SerializeToString()) for node in model.nodes()]
    del model.model.graph.node[:]
    model.model.graph.node.extend(reversed(nodes))
    model.topological_sort()
    order = [node.name for node in model.nodes()]
    assert order.index("a") < order.index("relu") < order.index("b") < order.index("left")
    assert order[-1] == "add"
    again = wrap(model.model).run(np.ones((2, 3), np.float32))[0]
    np.testing.assert_array_equal(again, expected)


def test_scales_of_quantized_tensors() -> None:
    net = network(scaled_inside=False)
    data = DataLoader("onnxruntime", [(image, 0) for image in photos(8)])
    q_model = quantization.fit(net, PostTrainingQuantConfig(), calib_dataloader=data)
    scale, zero_point = q_model.get_scale_zero("w3_quantized")
    assert [*scale.dims] == [16]
    assert zero_point.data_type == TensorProto.INT8
    scale, zero_point = q_model.get_scale_zero("r1_QuantizeLinear_Output")
    assert zero_point.data_type == TensorProto.UINT8
    assert q_model.get_scale_zero("logits") == (None, None)


def test_weights_go_to_a_second_file(tmp_path: Path) -> None:
    big = network(scaled_inside=False)
    tensor = next(t for t in big.graph.initializer if t.name == "w4")
    tensor.CopyFrom(numpy_helper.from_array(np.ones((16, 500), np.float32), "w4"))
    bias = next(t for t in big.graph.initializer if t.name == "b4")
    bias.CopyFrom(numpy_helper.from_array(np.ones(500, np.float32), "b4"))
    del big.graph.output[:]
    big.graph.output.append(helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", 500]))
    model = Model(big)
    path = tmp_path / "net.onnx"
    model.save_model_to_file(path, use_external_data_format=True)
    assert (tmp_path / "net.onnx.data").is_file()
    with pytest.raises(FuriosaModelsError, match="already exists"):
        model.save_model_to_file(path)
    with pytest.raises(ConfigurationError, match="was not read from a file"):
        model.write_external_data_to_new_location()
    read = Model(str(path))
    assert read.model_path == str(path)
    read.write_external_data_to_new_location("weights.bin")
    assert (tmp_path / "weights.bin").stat().st_size >= 16 * 500 * 4
    with pytest.raises(ConfigurationError, match="overwrite=True"):
        read.write_external_data_to_new_location("weights.bin")
    read.write_external_data_to_new_location("weights.bin", overwrite=True)
    (tmp_path / "net.onnx.data").unlink()
    np.testing.assert_array_equal(wrap(path).run(photos(1))[0], wrap(big).run(photos(1))[0])

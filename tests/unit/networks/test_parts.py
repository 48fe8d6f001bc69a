"""Parts of graphs, order and names of nodes and tensors, and models on disk or in memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from furiosa_models.errors import ShapeError
from furiosa_models.frameworks import wrap
from furiosa_models.networks import edit, external_data
from tests.unit.quantization.poisoned import photos
from tests.unit.quantization.small import network

NET = network(scaled_inside=False)


def outputs(model: onnx.ModelProto, *inputs: Any) -> list[Any]:
    return wrap(model).run(list(inputs))


def test_part_between_two_tensors_computes_the_same() -> None:
    middle = edit.extract(NET, ["image"], ["r1"])
    rest = edit.extract(NET, ["r1"], ["logits"])
    image = photos(2)
    (inner,) = outputs(middle, image)
    np.testing.assert_array_equal(outputs(rest, inner)[0], outputs(NET, image)[0])
    assert [tensor.name for tensor in middle.graph.initializer] == ["w1", "b1"]
    assert edit.signature(rest)[0][0].shape == ("n", 16, 12, 12)
    assert len(NET.graph.node) == 9


def test_part_keeps_what_branches_take() -> None:
    graph = helper.make_graph(
        [
            helper.make_node("Relu", ["x"], ["r"], "relu"),
            helper.make_node("Less", ["x", "zero"], ["less"], "less"),
            helper.make_node("ReduceMax", ["x"], ["top"], "top", keepdims=0),
            helper.make_node("Less", ["top", "one"], ["flag"], "flag"),
            helper.make_node(
                "If",
                ["flag"],
                ["y"],
                "choose",
                then_branch=_branch("Neg", "r"),
                else_branch=_branch("Identity", "r"),
            ),
        ],
        "branches",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [3])],
        [
            numpy_helper.from_array(np.zeros(3, np.float32), "zero"),
            numpy_helper.from_array(np.float32(1), "one"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    part = edit.extract(model, ["x"], ["y"])
    assert [node.name for node in part.graph.node] == ["relu", "top", "flag", "choose"]
    x = np.array([-1, 0, 0.5], np.float32)
    np.testing.assert_array_equal(outputs(part, x)[0], [0, 0, -0.5])
    reverse = [onnx.NodeProto.FromString(n.SerializeToString()) for n in part.graph.node]
    del part.graph.node[:]
    part.graph.node.extend(reversed(reverse))
    edit.sort_nodes(part.graph)
    assert [node.name for node in part.graph.node][-1] == "choose"
    np.testing.assert_array_equal(outputs(part, x)[0], [0, 0, -0.5])


def _branch(op: str, source: str) -> onnx.GraphProto:
    out = helper.make_tensor_value_info(f"{op}/out", TensorProto.FLOAT, None)
    return helper.make_graph([helper.make_node(op, [source], [f"{op}/out"])], op, [], [out])


def test_wrong_parts_are_errors() -> None:
    with pytest.raises(ShapeError, match="no tensor 'a', 'b'"):
        edit.extract(NET, ["a"], ["b"])
    with pytest.raises(ShapeError, match="need the input 'image', too"):
        edit.extract(NET, ["sum"], ["r1"])


def test_tensors_are_renamed_everywhere() -> None:
    model = edit.parse(NET)
    edit.rename(model.graph, ["image", "r1", "logits"], ["x", "inner", "y"])
    assert edit.get_pure_input_names(model) == ["x"]
    np.testing.assert_array_equal(outputs(model, photos(1))[0], outputs(NET, photos(1))[0])
    for new in (["c1"], ["x", "x"], []):
        with pytest.raises(ShapeError, match="new names for"):
            edit.rename(edit.parse(NET).graph, ["image", "logits"][: max(1, len(new))], new)


def test_nodes_get_names_and_keep_their_own() -> None:
    model = edit.parse(NET)
    model.graph.node[1].name = ""
    assert [node.name for node in edit.named(model).graph.node][:3] == [
        "first",
        "Relu_1",
        "depthwise",
    ]
    assert model.graph.node[1].name == ""


def test_inferred_graph_has_shapes_but_no_weights() -> None:
    graph = edit.inferred(NET)
    shapes = {value.name: len(value.type.tensor_type.shape.dim) for value in graph.value_info}
    assert shapes["r2"] == 4
    assert all(len(tensor.raw_data) <= 1024 for tensor in graph.initializer)


def test_large_model_is_loaded_from_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    with external_data.loadable(NET) as source:
        assert source == edit.to_bytes(NET)
    monkeypatch.setattr(edit, "MAX_BYTES", 3000)
    with external_data.loadable(NET) as source:
        assert isinstance(source, str)
        assert Path(source).is_file()
        np.testing.assert_array_equal(wrap(source).run(photos(1))[0].shape, (1, 5))
    assert not Path(source).exists()
    assert edit.byte_size(NET) == edit.serialized_size(NET)


def test_weights_move_to_a_second_file_when_asked(tmp_path: Path) -> None:
    files = external_data.save(NET, tmp_path / "net.onnx", always=True)
    assert [file.name for file in files] == ["net.onnx", "net.onnx.data"]
    other = external_data.externalized(NET, tmp_path / "w.tmp", name="weights.bin")
    assert edit.external_files(other) == ["weights.bin"]
    assert edit.external_files(NET) == []

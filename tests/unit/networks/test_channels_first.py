from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from furiosa_models.networks import edit


@pytest.mark.parametrize("shape", [["n", 4, 5, 3], [2, 4, 5, 3], ["n", 3, 4, 5], ["n", 12]])
def test_a_graph_takes_channels_first(shape: list[int | str]) -> None:
    """Only an image with the channels last is transposed."""
    last = len(shape) == 4 and shape[-1] == 3
    graph = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    edit.take_channels_first(model.graph)
    onnx.checker.check_model(model, full_check=True)
    assert len(model.graph.node) == (2 if last else 1)
    sizes = [2 if isinstance(size, str) else size for size in shape]
    x = np.random.default_rng(0).normal(size=sizes).astype(np.float32)
    fed = x.transpose(0, 3, 1, 2) if last else x
    (y,) = onnxruntime.InferenceSession(model.SerializeToString()).run(
        None, {"x": np.ascontiguousarray(fed)}
    )
    np.testing.assert_array_equal(y, np.maximum(x, 0))

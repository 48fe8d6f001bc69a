from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from furiosa_models import networks
from furiosa_models.errors import WeightsError
from furiosa_models.runtime.sync import create_runner


def graph(operation: str, opset: int = 17, **attributes: Any) -> bytes:
    """Make a graph of one operation on twelve numbers."""
    node = helper.make_node(operation, ["x"], ["y"], **attributes)
    infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [2, 6]) for name in "xy"]
    body = helper.make_graph([node], "g", infos[:1], infos[1:])
    model = helper.make_model(body, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    return networks.to_bytes(model)


def opset_of(model: bytes) -> int:
    (opset,) = onnx.load_from_string(model).opset_import
    return int(opset.version)


def test_equivalent_operations_are_converted() -> None:
    older = networks.with_opset(graph("Relu"), 13)
    assert opset_of(older) == 13
    assert onnx.load_from_string(older).ir_version == 7
    x = np.arange(-6, 6, dtype=np.float32).reshape(2, 6)
    with create_runner(older, device="cpu") as runner:
        np.testing.assert_array_equal(runner.run(x)[0], np.maximum(x, 0))


@pytest.mark.parametrize(
    "model",
    [
        graph("Relu", 13),
        graph("HardSwish"),  # since opset 14
        graph("Shape", 17, start=1),  # the attribute exists since opset 15
        graph("Relu", 17, alpha=1),  # an unknown attribute
    ],
)
def test_inconvertible_models_are_unchanged(model: bytes) -> None:
    assert networks.with_opset(model, 13) is model


def test_invalid_graph_is_unchanged() -> None:
    proto = onnx.load_from_string(graph("Relu"))
    proto.graph.node[0].input[0] = "nowhere"
    model = networks.to_bytes(proto)
    assert networks.with_opset(model, 13) is model


def test_invalid_model_is_an_error() -> None:
    with pytest.raises(WeightsError, match="not an ONNX model"):
        networks.with_opset(b"no model", 13)

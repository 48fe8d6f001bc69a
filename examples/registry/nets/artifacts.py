"""Factories of the models in the registry guide."""

import onnx
from onnx import TensorProto, helper

from furiosa_models.registry import Model, loader


async def Wrapped() -> Model:
    return Model(name="wrapped", source=await loader.read("models/identity.onnx"))


def Scaled(factor: float = 1.0) -> Model:
    graph = helper.make_graph(
        [helper.make_node("Mul", ["x", "factor"], ["y"])],
        "scaled",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n"])],
        [helper.make_tensor("factor", TensorProto.FLOAT, [], [factor])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return Model(name="scaled", source=model.SerializeToString())

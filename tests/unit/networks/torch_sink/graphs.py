"""Small ONNX graphs, what ONNX Runtime computes with them, and what a `GraphModule` computes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import torch
from onnx import helper, numpy_helper

from furiosa_models.networks.torch_sink import GraphModule

Array = npt.NDArray[Any]
OPSET = 20


def graph(
    nodes: onnx.NodeProto | Sequence[onnx.NodeProto],
    inputs: Mapping[str, Array],
    constants: Mapping[str, Array] | None = None,
    *,
    outputs: Sequence[str] = (),
    opset: int = OPSET,
) -> onnx.ModelProto:
    """Return a graph whose batch size is open; its outputs are by default those of its last node.

    The first dimension of an input of more than one dimension is the batch.
    """
    nodes = [nodes] if isinstance(nodes, onnx.NodeProto) else list(nodes)
    names = list(outputs or nodes[-1].output)
    made = helper.make_graph(
        nodes,
        "graph",
        [
            helper.make_tensor_value_info(
                name,
                helper.np_dtype_to_tensor_dtype(array.dtype),
                ["batch", *array.shape[1:]] if array.ndim > 1 else array.shape,
            )
            for name, array in inputs.items()
        ],
        [onnx.ValueInfoProto(name=name) for name in names],
        [numpy_helper.from_array(array, name) for name, array in (constants or {}).items()],
    )
    imports = [helper.make_opsetid("", opset)]
    model: onnx.ModelProto = helper.make_model(made, opset_imports=imports, ir_version=10)
    return model


def onnx_runtime(model: onnx.ModelProto, inputs: Mapping[str, Array]) -> list[Array]:
    """Return the outputs of ONNX Runtime without optimization."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    outputs: list[Array] = session.run(None, dict(inputs))
    return outputs


def module(model: onnx.ModelProto) -> Any:
    return GraphModule(model).eval()


def call(module: Any, inputs: Mapping[str, Array]) -> list[Array]:
    """Return the outputs of a module for arrays."""
    with torch.no_grad():
        results = module(*(torch.from_numpy(array.copy()) for array in inputs.values()))
    results = results if isinstance(results, tuple) else (results,)
    return [result.numpy() for result in results]


def exported(module: Any, inputs: Mapping[str, Array]) -> Any:
    """Return the module of an exported program with an open batch size."""
    tensors = [torch.from_numpy(array.copy()) for array in inputs.values()]
    batch = torch.export.Dim("batch")
    shapes = torch.export.ShapesCollection()
    for tensor in tensors:
        if tensor.ndim > 1:
            shapes[tensor] = {0: batch}
    with torch.no_grad():
        return torch.export.export(module, tuple(tensors), dynamic_shapes=shapes).module()


def assert_equal(found: Sequence[Array], expected: Sequence[Array], tolerance: float) -> None:
    assert [array.shape for array in found] == [array.shape for array in expected]
    assert [array.dtype for array in found] == [array.dtype for array in expected]
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance)


def doubled(inputs: Mapping[str, Array]) -> dict[str, Array]:
    """Return inputs with twice the batch size."""
    return {n: np.concatenate([a, a[::-1]]) if a.ndim > 1 else a for n, a in inputs.items()}

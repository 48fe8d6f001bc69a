"""Functions of bytes as tables, in int8 programs that ONNX Runtime has optimized.

ONNX Runtime computes swish, `x * sigmoid(x)`, of a quantized tensor in two passes, and other
functions in as many as the graph has operations. A function of one byte has 256 values. So
`replace` substitutes the operation `Lookup` for each chain of elementwise operations between two
tensors of uint8; the native module implements it. The tables contain what ONNX Runtime itself
computes: results do not change.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from ..networks.edit import remove_unused, taken_names, unused_name

__all__ = ["replace"]

_DOMAIN = "furiosa_models"
_NAME = "Lookup"
_INPUT = "bytes"
_VALUES = 256
_STANDARD = frozenset(
    {"Add", "Clip", "DequantizeLinear", "Div", "Elu", "Erf", "Gelu", "HardSigmoid", "HardSwish"}
    | {"LeakyRelu", "Mish", "Mul", "QuantizeLinear", "Relu", "Sigmoid", "Softplus", "Sub", "Tanh"}
)
_CONTRIBUTED = frozenset(
    {"DequantizeLinear", "QLinearAdd", "QLinearLeakyRelu", "QLinearMul", "QLinearSigmoid"}
    | {"QuantizeLinear", "QuickGelu"}
)
_ELEMENTWISE = {"": _STANDARD, "com.microsoft": _CONTRIBUTED}
"""Operations that compute each value from those at the same place, by domain."""

_TAKEN = {
    "DequantizeLinear": {0: 2},
    "QLinearAdd": {0: 2, 3: 5},
    "QLinearLeakyRelu": {0: 2},
    "QLinearMul": {0: 2, 3: 5},
    "QLinearSigmoid": {0: 2},
}
"""Positions of the quantized inputs of operations, and of their zero points."""

_GIVEN = {"QuantizeLinear": 2, "QLinearAdd": 7, "QLinearLeakyRelu": 4, "QLinearMul": 7} | {
    "QLinearSigmoid": 4
}
"""Positions of the zero points of quantized results."""

_Table = npt.NDArray[np.uint8]


class _Function(NamedTuple):
    """A tensor that is a function of another one, value by value.

    Attributes:
        argument: Name of that tensor, which has the type uint8.
        nodes: Places of the nodes that compute it, ascending.
    """

    argument: str
    nodes: tuple[int, ...]


def replace(path: Path) -> bool:
    """Replace functions of bytes in the file of an optimized program by tables.

    Args:
        path: An ONNX file; its external weights are neither read nor changed.

    Returns:
        Whether there were any, so that a session of the file needs the native module's operation.
    """
    content = path.read_bytes()
    if b"QLinear" not in content and b"QuantizeLinear" not in content:
        return False
    model = onnx.load_model_from_string(content)
    functions = _functions(model.graph)
    if not functions:
        return False
    _substitute(model.graph, functions, _tables(model, functions))
    model.opset_import.append(helper.make_opsetid(_DOMAIN, 1))
    path.write_bytes(model.SerializeToString())
    return True


def _functions(graph: onnx.GraphProto) -> dict[str, _Function]:
    """Return the functions of bytes that give bytes, and whose results other nodes read."""
    # A constant with more dimensions could add some to the result.
    scalars = {t.name: t.data_type for t in graph.initializer if [*t.dims] in ([], [1])}
    found: dict[str, _Function] = {}
    of_bytes = set()
    for place, node in enumerate(graph.node):
        if node.op_type not in _ELEMENTWISE.get(node.domain, ()):
            continue
        starts = {
            node.input[position]
            for position, zero in _TAKEN.get(node.op_type, {}).items()
            if scalars.get(_input(node, zero)) == TensorProto.UINT8
        }
        names = {name for name in node.input if name and name not in scalars}
        if not names or not names <= {*found, *starts}:
            continue
        parts = [found.get(name, _Function(name, ())) for name in names]
        if len({part.argument for part in parts}) == 1:
            nodes = {place}.union(*(part.nodes for part in parts))
            found[node.output[0]] = _Function(parts[0].argument, tuple(sorted(nodes)))
            if scalars.get(_input(node, _GIVEN.get(node.op_type))) == TensorProto.UINT8:
                of_bytes.add(node.output[0])
    read = {value.name for value in graph.output}
    for node in reversed(graph.node):
        name = node.output[0]
        if name in of_bytes & read:
            read.add(found[name].argument)
        elif not read.isdisjoint(node.output):
            read.update(taken_names(node))
    return {name: found[name] for name in found if name in of_bytes & read}


def _input(node: onnx.NodeProto, position: int | None) -> str:
    """Return the name of an input of a node; an empty one if it has none there."""
    return "" if position is None or position >= len(node.input) else str(node.input[position])


def _tables(model: onnx.ModelProto, functions: dict[str, _Function]) -> dict[str, _Table]:
    """Let ONNX Runtime compute each function of all bytes."""
    import onnxruntime

    arguments = {place: f.argument for f in functions.values() for place in f.nodes}
    graph = onnx.GraphProto(name="tables")
    graph.input.append(helper.make_tensor_value_info(_INPUT, TensorProto.UINT8, [_VALUES]))
    for place, argument in sorted(arguments.items()):
        node = graph.node.add()
        node.CopyFrom(model.graph.node[place])
        node.input[:] = [_INPUT if name == argument else name for name in node.input]
    read = {name for node in graph.node for name in node.input}
    graph.initializer.extend(t for t in model.graph.initializer if t.name in read)
    for name in functions:
        graph.output.append(helper.make_tensor_value_info(name, TensorProto.UINT8, None))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    # The program is optimized already; other kernels might round otherwise.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    tables = helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)
    session = onnxruntime.InferenceSession(
        tables.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    values = session.run(list(functions), {_INPUT: np.arange(_VALUES, dtype=np.uint8)})
    return {name: table.reshape(_VALUES) for name, table in zip(functions, values, strict=True)}


def _substitute(
    graph: onnx.GraphProto, functions: dict[str, _Function], tables: dict[str, _Table]
) -> None:
    """Compute tensors by tables; remove the nodes and initializers that nothing reads any more."""
    added = {}
    for name, table in tables.items():
        table_name = unused_name(f"{name}_table", graph)
        graph.initializer.append(numpy_helper.from_array(table, table_name))
        inputs = [functions[name].argument, table_name]
        added[name] = helper.make_node(_NAME, inputs, [name], domain=_DOMAIN)
    nodes = [added.get(node.output[0], node) for node in [*graph.node]]
    del graph.node[:]
    graph.node.extend(nodes)
    remove_unused(graph)

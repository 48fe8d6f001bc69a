"""Edits of GraphDefs: nodes are found, added, redirected, and removed when nothing needs them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Set
from typing import Any

import numpy as np

from ..base import Array
from .framework import quiet, tensorflow
from .frozen import FrozenGraph

__all__ = ["FLOAT", "EditableGraph", "flag", "is_nhwc", "is_stateless", "node_of"]

FLOAT = 1  # DataType.DT_FLOAT of tensorflow/core/framework/types.proto
INT32 = 3

_FOLDABLE = frozenset(
    {"Add", "AddV2", "Cast", "ConcatV2", "Const", "ExpandDims", "Identity", "Mul", "Neg", "Pack"}
    | {"Pow", "RealDiv", "Reciprocal", "Reshape", "Rsqrt", "Sqrt", "Square", "Squeeze", "Sub"}
    | {"FakeQuantWithMinMaxVars", "FakeQuantWithMinMaxVarsPerChannel", "Maximum", "Transpose"}
)
"""Operations whose result is constant if their inputs are."""


def node_of(tensor: str) -> str:
    """Return the name of the node that computes a tensor."""
    return tensor.partition(":")[0]


def is_nhwc(node: Any) -> bool:
    """Return whether channels are the last axis of what a node computes."""
    return "data_format" not in node.attr or node.attr["data_format"].s == b"NHWC"


def flag(node: Any, name: str) -> bool:
    """Return a boolean attribute of a node; False if the node has none of that name."""
    return name in node.attr and bool(node.attr[name].b)


def is_stateless(op: str) -> bool:
    """Return whether an operation always computes the same of the same inputs."""
    tensorflow("editing a graph")
    from tensorflow.python.framework import op_def_registry

    definition = op_def_registry.get(op)
    return definition is not None and not definition.is_stateful


class EditableGraph:
    """A copy of a frozen graph that can be edited.

    Control inputs are dropped: a graph without variables computes the same without them.

    Args:
        graph: The graph.

    Attributes:
        nodes: `NodeDef`s by name.
        inputs: Tensors of the inputs by name.
        outputs: Tensors of the outputs by name.
    """

    def __init__(self, graph: FrozenGraph) -> None:
        self._tf = tensorflow("editing a graph")
        copy = self._tf.compat.v1.GraphDef()
        copy.CopyFrom(graph.graph_def)
        self._header = copy
        self.nodes: dict[str, Any] = {node.name: node for node in copy.node}
        self.inputs = dict(graph.inputs)
        self.outputs = dict(graph.outputs)
        for node in copy.node:
            kept = [name.removesuffix(":0") for name in node.input if not name.startswith("^")]
            del node.input[:]
            node.input.extend(kept)
        self._values: dict[str, Array] = {}
        self._constants: dict[str, bool] = {}

    def users(self, tensor: str) -> list[tuple[Any, int]]:
        """Return the nodes that take a tensor, and the places among their inputs."""
        name = tensor.removesuffix(":0")
        return [
            (node, place)
            for node in self.nodes.values()
            for place, taken in enumerate(node.input)
            if taken == name
        ]

    def sorted_nodes(self) -> list[Any]:
        """Return the nodes in an order in which each comes after its inputs."""
        done: dict[str, Any] = {}
        entered: set[str] = set()
        for start in self.nodes:
            pending = [start]
            while pending:
                name = pending[-1]
                node = self.nodes[name]
                missing = [
                    taken
                    for taken in map(node_of, node.input)
                    if taken not in done and taken not in entered
                ]
                entered.add(name)
                if missing:
                    pending.append(missing[0])
                else:
                    done.setdefault(name, node)
                    pending.pop()
        return [*done.values()]

    def only_user(self, node: Any) -> tuple[Any, int] | None:
        """Return the only user of the first output of a node; None if others need it."""
        users = self.users(node.name)
        if len(users) != 1 or node.name in map(node_of, self.outputs.values()):
            return None
        return users[0]

    def origin(self, tensor: str) -> str:
        """Return the tensor that `Identity` nodes pass on as `tensor`."""
        node = self.nodes.get(node_of(tensor))
        while node is not None and node.op == "Identity" and node.input[0] in self.nodes:
            tensor = node.input[0]
            node = self.nodes[tensor]
        return tensor.removesuffix(":0")

    def taken_by(self, users: Iterable[str], known: Set[str]) -> str | None:
        """Return the only tensor that some nodes take, apart from constants and known tensors.

        Args:
            users: Names of nodes; other names are ignored.
            known: Names of tensors, without `Identity` nodes, as `node` or `node:1`.
        """
        taken = {
            self.origin(tensor)
            for name in users
            if name in self.nodes
            for tensor in self.nodes[name].input
            if not self.is_constant(tensor)
        }
        unknown = taken - known
        return unknown.pop() if len(unknown) == 1 else None

    def is_constant(self, tensor: str) -> bool:
        """Return whether a tensor depends on constants only."""
        pending = [node_of(tensor)]
        while pending:
            name = pending[-1]
            inputs = [node_of(taken) for taken in self.nodes[name].input]
            unknown = [taken for taken in inputs if taken not in self._constants]
            if name in self._constants or self.nodes[name].op not in _FOLDABLE:
                self._constants.setdefault(name, False)
                pending.pop()
            elif unknown:
                pending.append(unknown[0])
            else:
                self._constants[name] = all(self._constants[taken] for taken in inputs)
                pending.pop()
        return self._constants[node_of(tensor)]

    def value(self, tensor: str) -> Array:
        """Return the value of a constant tensor."""
        name = tensor if ":" in tensor else f"{tensor}:0"
        node = self.nodes[node_of(name)]
        if node.op == "Const":
            return np.asarray(self._tf.make_ndarray(node.attr["value"].tensor))
        if name not in self._values:
            v1 = self._tf.compat.v1
            graph = self._tf.Graph()
            with quiet(), graph.as_default():
                part = self._part_before(node_of(name))
                (element,) = v1.import_graph_def(part, return_elements=[name], name="")
                with v1.Session(graph=graph) as session:
                    self._values[name] = session.run(element)
        return self._values[name]

    def _part_before(self, name: str) -> Any:
        part = self._tf.compat.v1.GraphDef()
        part.versions.CopyFrom(self._header.versions)
        part.node.extend(self.nodes[each] for each in self._ancestors([name]))
        return part

    def _ancestors(self, names: Iterable[str]) -> set[str]:
        found: set[str] = set()
        pending = [*names]
        while pending:
            name = pending.pop()
            if name not in found:
                found.add(name)
                pending.extend(node_of(taken) for taken in self.nodes[name].input)
        return found

    def unused_name(self, base: str) -> str:
        """Return `base`, with a number if a node has that name."""
        return next(name for name in _numbered(base) if name not in self.nodes)

    def add(self, op: str, name: str, inputs: Iterable[str], **attributes: Any) -> str:
        """Add a node, and return its name.

        Args:
            op: Type of the operation.
            name: Name, which no node may have.
            inputs: Names of the tensors that it takes.
            attributes: Data types (`T=FLOAT`), integers, or booleans.
        """
        node = self._tf.compat.v1.NodeDef(name=name, op=op, input=inputs)
        for key, value in attributes.items():
            if isinstance(value, bool):
                node.attr[key].b = value
            elif key[0].isupper():
                node.attr[key].type = value
            else:
                node.attr[key].i = value
        self.nodes[name] = node
        return name

    def add_constant(self, name: str, array: Array) -> str:
        """Add a constant, and return its name."""
        name = self.unused_name(name)
        node = self._tf.compat.v1.NodeDef(name=name, op="Const")
        node.attr["dtype"].type = self._tf.as_dtype(array.dtype).as_datatype_enum
        node.attr["value"].tensor.CopyFrom(self._tf.make_tensor_proto(array))
        self.nodes[name] = node
        return name

    def add_reshape(self, name: str, tensor: str, shape: Iterable[int]) -> str:
        """Add a node that reshapes a tensor, and return its name."""
        target = self.add_constant(f"{name}/shape", np.asarray([*shape], np.int32))
        return self.add("Reshape", name, [tensor, target], T=FLOAT, Tshape=INT32)

    def redirect(self, old: str, new: str, keep: Iterable[str] = ()) -> None:
        """Make the users of a tensor take another one, except for the nodes `keep`."""
        kept = {*keep}
        for node, place in self.users(old):
            if node.name not in kept:
                node.input[place] = new

    def rename(self, old: str, new: str) -> None:
        """Rename a node, but not where it is used."""
        node = self.nodes.pop(old)
        node.name = new
        self.nodes[new] = node

    def prune(self) -> None:
        """Remove the nodes that no output needs, apart from inputs."""
        needed = self._ancestors(map(node_of, self.outputs.values()))
        needed |= {*map(node_of, self.inputs.values())}
        self.nodes = {name: node for name, node in self.nodes.items() if name in needed}

    def finished(self) -> FrozenGraph:
        """Return the graph, without the nodes that no output needs."""
        self.prune()
        graph_def = self._tf.compat.v1.GraphDef()
        graph_def.CopyFrom(self._header)
        del graph_def.node[:]
        graph_def.node.extend(self.nodes.values())
        return FrozenGraph(graph_def, self.inputs, self.outputs)


def _numbered(base: str) -> Iterator[str]:
    yield base
    number = 1
    while True:
        yield f"{base}_{number}"
        number += 1

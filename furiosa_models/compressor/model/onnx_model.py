"""ONNX models, with Neural Compressor's methods to read and edit the graph.

The methods read the graph as it is, so that there is nothing to update after an edit.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

from ...errors import ConfigurationError
from ...frameworks.onnx import OnnxModel
from ...networks import edit, external_data
from ...output import new_file
from .base_model import BaseModel

__all__ = ["ONNXModel"]

Node = onnx.NodeProto


class ONNXModel(BaseModel):
    """An ONNX model. It is modified in place by the methods that edit it."""

    source: OnnxModel

    @property
    def model(self) -> onnx.ModelProto:
        """The `ModelProto`; may be set."""
        return self.source.raw

    @model.setter
    def model(self, model: onnx.ModelProto) -> None:
        self.source = OnnxModel(model, form=self.source.form)

    @property
    def model_path(self) -> str | None:
        """Path of the file that the model was read from; may be set."""
        return None if self.source.path is None else str(self.source.path)

    @model_path.setter
    def model_path(self, path: str | os.PathLike[str] | None) -> None:
        self.source.path = None if path is None else Path(path)

    @property
    def is_large_model(self) -> bool:
        """Whether the model exceeds the size of a protobuf message."""
        return edit.serialized_size(self.model) > edit.MAX_BYTES

    @property
    def hf_config(self) -> None:
        """Always None: a configuration of transformers beside the file is not read."""
        return

    def framework(self) -> str:
        """Return `onnxruntime`."""
        return "onnxruntime"

    def _default_path(self) -> Path:
        return Path(self.workspace_path) / "save.onnx"

    # --- Reading --------------------------------------------------------------------------------

    def graph(self) -> onnx.GraphProto:
        """Return the graph."""
        return self.model.graph

    def nodes(self) -> Sequence[Node]:
        """Return the nodes."""
        nodes: Sequence[Node] = self.model.graph.node
        return nodes

    def initializer(self) -> Sequence[onnx.TensorProto]:
        """Return the initializers."""
        initializers: Sequence[onnx.TensorProto] = self.model.graph.initializer
        return initializers

    def ir_version(self) -> int:
        """Return the version of the format."""
        return int(self.model.ir_version)

    def opset_import(self) -> Sequence[onnx.OperatorSetIdProto]:
        """Return the opsets."""
        opsets: Sequence[onnx.OperatorSetIdProto] = self.model.opset_import
        return opsets

    def input(self) -> list[str]:
        """Return the names of the inputs, with the initializers that are inputs, too."""
        return [value.name for value in self.model.graph.input]

    def output(self) -> list[str]:
        """Return the names of the outputs."""
        return [value.name for value in self.model.graph.output]

    def update(self) -> None:
        """Do nothing: everything is read from the graph as it is."""

    @property
    def input_name_to_nodes(self) -> dict[str, list[Node]]:
        """Nodes that take each tensor, including nodes of branches."""
        found: dict[str, list[Node]] = {}
        for node in _all_nodes(self.nodes()):
            for name in filter(None, node.input):
                found.setdefault(name, []).append(node)
        return found

    @property
    def output_name_to_node(self) -> dict[str, Node]:
        """Node that computes each tensor, including nodes of branches."""
        return {n: node for node in _all_nodes(self.nodes()) for n in node.output if n}

    def get_initializer(self, name: str) -> onnx.TensorProto | None:
        """Return an initializer, or None."""
        return next((tensor for tensor in self.initializer() if tensor.name == name), None)

    def get_initializer_share_num(self, name: str) -> int:
        """Return the number of nodes that take an initializer."""
        if self.get_initializer(name) is None:
            return 0
        return sum(name in node.input for node in self.nodes())

    def get_node(self, name: str) -> Node | None:
        """Return a node, or None."""
        return next((node for node in self.nodes() if node.name == name), None)

    def find_node_by_name(
        self, node_name: str, new_nodes_list: Iterable[Node], graph: onnx.GraphProto
    ) -> Node | None:
        """Return a node of a graph or of a list of new nodes, or None."""
        candidates = (*graph.node, *new_nodes_list)
        return next((node for node in candidates if node.name == node_name), None)

    def find_nodes_by_initializer(
        self, graph: onnx.GraphProto, initializer: onnx.TensorProto
    ) -> list[Node]:
        """Return the nodes of a graph that take an initializer, once for each time."""
        return [node for node in graph.node for name in node.input if name == initializer.name]

    def get_children(
        self, node: Node, input_name_to_nodes: Mapping[str, list[Node]] | None = None
    ) -> list[Node]:
        """Return the nodes that take a result of a node."""
        takers = input_name_to_nodes or self.input_name_to_nodes
        return [child for name in node.output for child in takers.get(name, ())]

    def get_parents(
        self, node: Node, output_name_to_node: Mapping[str, Node] | None = None
    ) -> list[Node]:
        """Return the nodes whose results a node takes."""
        producers = output_name_to_node or self.output_name_to_node
        return [producers[name] for name in node.input if name in producers]

    def get_parent(
        self, node: Node, idx: int, output_name_to_node: Mapping[str, Node] | None = None
    ) -> Node | None:
        """Return the node that computes an input of a node, or None."""
        producers = output_name_to_node or self.output_name_to_node
        return producers.get(node.input[idx]) if idx < len(node.input) else None

    def get_siblings(self, node: Node) -> list[Node]:
        """Return the other children of the parents of a node."""
        children = [c for parent in self.get_parents(node) for c in self.get_children(parent)]
        return [child for child in children if child.name != node.name]

    def get_nodes_chain(
        self,
        start: Sequence[str | Node],
        stop: Sequence[str | Node],
        result_chain: list[str] | None = None,
    ) -> list[str]:
        """Return the names of the nodes from some nodes back to others, which are not included.

        Args:
            start: Nodes, or their names.
            stop: Nodes, or their names.
            result_chain: List to extend; a new one by default.
        """
        chain = [] if result_chain is None else result_chain
        pending, ends = _names(start), {*_names(stop)}
        while pending:
            name = pending.pop(0)
            node = self.get_node(name)
            if name in ends or name in chain or node is None:
                continue
            chain.append(name)
            pending.extend(parent.name for parent in self.get_parents(node))
        return chain

    def match_first_parent(
        self,
        node: Node,
        parent_op_type: str,
        output_name_to_node: Mapping[str, Node] | None = None,
        exclude: Sequence[Node] = (),
    ) -> tuple[Node | None, int | None]:
        """Return the first parent of a type and the number of the input, or None twice."""
        for index in range(len(node.input)):
            parent = self.get_parent(node, index, output_name_to_node)
            if parent is not None and parent.op_type == parent_op_type and parent not in exclude:
                return parent, index
        return None, None

    def match_parent(
        self,
        node: Node,
        parent_op_type: str,
        input_index: int | None = None,
        output_name_to_node: Mapping[str, Node] | None = None,
        exclude: Sequence[Node] = (),
        return_indice: list[int | None] | None = None,
    ) -> Node | None:
        """Return a parent of a type, or None.

        Args:
            node: The node.
            parent_op_type: Type of the parent.
            input_index: Number of the input; by default any, which is appended to `return_indice`.
            output_name_to_node: See the attribute.
            exclude: Nodes that do not match.
            return_indice: List of numbers of inputs.
        """
        if input_index is None:
            first, index = self.match_first_parent(
                node, parent_op_type, output_name_to_node, exclude
            )
            if return_indice is not None:
                return_indice.append(index)
            return first
        parent = self.get_parent(node, input_index, output_name_to_node)
        matches = parent is not None and parent.op_type == parent_op_type and parent not in exclude
        return parent if matches else None

    def match_parent_path(
        self,
        node: Node,
        parent_op_types: Sequence[str],
        parent_input_index: Sequence[int | None],
        output_name_to_node: Mapping[str, Node] | None = None,
        return_indice: list[int | None] | None = None,
    ) -> list[Node] | None:
        """Return the ancestors of a node along a path, or None if it does not match.

        Args:
            node: The node.
            parent_op_types: Types of the ancestors, the nearest one first.
            parent_input_index: Number of the input at each step, or None for any.
            output_name_to_node: See the attribute.
            return_indice: List to append the numbers of the inputs to that were None.
        """
        path: list[Node] = []
        for op_type, index in zip(parent_op_types, parent_input_index, strict=True):
            parent = self.match_parent(
                path[-1] if path else node, op_type, index, output_name_to_node, (), return_indice
            )
            if parent is None:
                return None
            path.append(parent)
        return path

    def get_scale_zero(
        self, tensor: str
    ) -> tuple[onnx.TensorProto | None, onnx.TensorProto | None]:
        """Return the scale and the zero point of an 8-bit tensor; None twice for a float one."""
        producer = self.output_name_to_node.get(tensor)
        if producer is not None and producer.op_type == "QuantizeLinear":
            return self.get_initializer(producer.input[1]), self.get_initializer(producer.input[2])
        for node in self.input_name_to_nodes.get(tensor, ()):
            if node.op_type == "DequantizeLinear" and node.input[0] == tensor:
                names = (*node.input[1:], "")
                return self.get_initializer(names[0]), self.get_initializer(names[1])
        return None, None

    # --- Editing --------------------------------------------------------------------------------

    def add_node(self, node: Node) -> None:
        """Add a node."""
        self.model.graph.node.append(node)

    def add_nodes(self, nodes_to_add: Iterable[Node]) -> None:
        """Add nodes."""
        self.model.graph.node.extend(nodes_to_add)

    def remove_node(self, node: Node) -> None:
        """Remove a node, if the graph has it."""
        if node in self.model.graph.node:
            self.model.graph.node.remove(node)

    def remove_nodes(self, nodes_to_remove: Iterable[Node]) -> None:
        """Remove nodes, as far as the graph has them."""
        for node in nodes_to_remove:
            self.remove_node(node)

    def add_initializer(self, tensor: onnx.TensorProto) -> None:
        """Add an initializer, unless there is one with its name."""
        if self.get_initializer(tensor.name) is None:
            self.model.graph.initializer.append(tensor)

    def add_initializers(self, tensors: Iterable[onnx.TensorProto]) -> None:
        """Add initializers, unless there are some with their names."""
        for tensor in tensors:
            self.add_initializer(tensor)

    def remove_initializer(self, tensor: onnx.TensorProto) -> None:
        """Remove an initializer, if the graph has it."""
        if tensor in self.model.graph.initializer:
            self.model.graph.initializer.remove(tensor)

    def remove_initializers(self, init_to_remove: Iterable[onnx.TensorProto]) -> None:
        """Remove initializers, as far as the graph has them."""
        for tensor in init_to_remove:
            self.remove_initializer(tensor)

    def set_initializer(self, tensor: str, array: npt.NDArray[Any], raw: bool = False) -> None:
        """Replace the values of an initializer, which keeps its type and shape.

        Args:
            tensor: Its name.
            array: The values.
            raw: Accepted for compatibility; values are stored as raw bytes.

        Raises:
            ConfigurationError: There is no such initializer, or the shape differs.
        """
        del raw
        old = self.get_initializer(tensor)
        if old is None or tuple(old.dims) != np.shape(array):
            got = "no such initializer" if old is None else f"the shape {list(old.dims)}"
            msg = f"{tensor!r}: expected an initializer of the shape {np.shape(array)}, got {got}"
            raise ConfigurationError(msg)
        dtype = onnx.helper.tensor_dtype_to_np_dtype(old.data_type)
        old.CopyFrom(numpy_helper.from_array(np.asarray(array, dtype), tensor))

    @staticmethod
    def replace_node_input(node: Node, old_input_name: str, new_input_name: str) -> None:
        """Replace an input of a node."""
        node.input[:] = [new_input_name if n == old_input_name else n for n in node.input]

    @staticmethod
    def replace_node_output(node: Node, old_output_name: str, new_output_name: str) -> None:
        """Replace an output of a node."""
        node.output[:] = [new_output_name if n == old_output_name else n for n in node.output]

    def replace_input_of_all_nodes(
        self,
        old_input_name: str,
        new_input_name: str,
        white_optype: Sequence[str] = (),
        black_optype: Sequence[str] = (),
    ) -> None:
        """Replace an input of all nodes.

        Args:
            old_input_name: The old name.
            new_input_name: The new name.
            white_optype: Only types of nodes to change, if there are any.
            black_optype: Types of nodes not to change.
        """
        for node in self._of_types(white_optype, black_optype):
            self.replace_node_input(node, old_input_name, new_input_name)

    def replace_output_of_all_nodes(
        self,
        old_output_name: str,
        new_output_name: str,
        white_optype: Sequence[str] = (),
        black_optype: Sequence[str] = (),
    ) -> None:
        """Replace an output of all nodes; see `replace_input_of_all_nodes`."""
        for node in self._of_types(white_optype, black_optype):
            self.replace_node_output(node, old_output_name, new_output_name)

    def _of_types(self, chosen: Sequence[str], excluded: Sequence[str]) -> Iterator[Node]:
        for node in self.nodes():
            if node.op_type in chosen if chosen else node.op_type not in excluded:
                yield node

    def add_tensors_to_outputs(self, tensor_names: Iterable[str]) -> None:
        """Make tensors outputs of the graph, unless they are already."""
        for name in tensor_names:
            if name not in self.output():
                self.model.graph.output.append(onnx.ValueInfoProto(name=name))

    def remove_tensors_from_outputs(self, tensor_names: Iterable[str]) -> None:
        """Make tensors no outputs of the graph."""
        removed = {*tensor_names}
        kept = [value for value in self.model.graph.output if value.name not in removed]
        copies = [onnx.ValueInfoProto.FromString(value.SerializeToString()) for value in kept]
        del self.model.graph.output[:]
        self.model.graph.output.extend(copies)

    def re_org_output(self, origin_output: Sequence[str]) -> None:
        """Bring the outputs into an order.

        Raises:
            ConfigurationError: The names are not those of the outputs.
        """
        values = {value.name: value for value in self.model.graph.output}
        if {*origin_output} != values.keys():
            msg = f"expected the outputs {', '.join(values)}, got {', '.join(origin_output)}"
            raise ConfigurationError(msg)
        ordered = [
            onnx.ValueInfoProto.FromString(values[name].SerializeToString())
            for name in origin_output
        ]
        del self.model.graph.output[:]
        self.model.graph.output.extend(ordered)

    def remove_unused_nodes(self) -> None:
        """Remove the nodes that no output depends on, and initializers that no node takes."""
        producers, needed = self.output_name_to_node, set()
        pending = [*self.output()]
        while pending:
            name = pending.pop()
            if name not in needed:
                needed.add(name)
                if name in producers:
                    pending.extend(n for each in _all_nodes([producers[name]]) for n in each.input)
        unused = [node for node in self.nodes() if needed.isdisjoint(node.output)]
        self.remove_nodes(unused)
        self.remove_unused_init()

    def remove_unused_init(self) -> None:
        """Remove the initializers that no node takes and that are no outputs."""
        used = self.input_name_to_nodes.keys() | {*self.output()}
        unused = [tensor for tensor in self.initializer() if tensor.name not in used]
        names = {tensor.name for tensor in unused}
        self.remove_initializers(unused)
        for value in [value for value in self.model.graph.input if value.name in names]:
            self.model.graph.input.remove(value)

    def topological_sort(self, enable_subgraph: bool = False) -> None:
        """Sort the nodes so that each follows those whose results it takes.

        Args:
            enable_subgraph: Accepted for compatibility; what branches take always counts.
        """
        del enable_subgraph
        edit.sort_nodes(self.model.graph)

    # --- Writing --------------------------------------------------------------------------------

    def save_model_to_file(
        self, output_path: str | os.PathLike[str], use_external_data_format: bool = False
    ) -> None:
        """Write the model.

        Args:
            output_path: The file.
            use_external_data_format: Whether the weights go to `{output_path}.data`.

        Raises:
            FuriosaModelsError: The file exists, or cannot be written.
        """
        with new_file(output_path) as partial:
            external_data.save(self.model, partial, always=use_external_data_format)

    def write_external_data_to_new_location(
        self, external_data_location: str = "external.data", overwrite: bool = False
    ) -> None:
        """Write the weights to another file beside the model's, which then refers to it.

        Args:
            external_data_location: Name of the file.
            overwrite: Whether to replace the file if it exists.

        Raises:
            ConfigurationError: The model was not read from a file, or the new file exists.
        """
        if self.source.path is None:
            msg = "the model was not read from a file: save_model_to_file writes external data"
            raise ConfigurationError(msg)
        target = self.source.path.with_name(external_data_location)
        if target.exists() and not overwrite:
            msg = f"{target} exists: overwrite=True replaces it"
            raise ConfigurationError(msg)
        with new_file(target.with_name(f"{target.name}.new")) as partial:
            proto = external_data.externalized(self.model, partial, name=target.name)
        target.with_name(f"{target.name}.new").replace(target)
        self.source.path.write_bytes(edit.to_bytes(proto))


def _all_nodes(nodes: Iterable[Node]) -> Iterator[Node]:
    """Yield nodes and the nodes of their branches."""
    for node in nodes:
        yield node
        for attribute in node.attribute:
            bodies = (*attribute.graphs, *([attribute.g] if attribute.HasField("g") else []))
            for body in bodies:
                yield from _all_nodes(body.node)


def _names(nodes: Sequence[str | Node]) -> list[str]:
    names = [node if isinstance(node, str) else getattr(node, "name", None) for node in nodes]
    if not all(isinstance(name, str) for name in names):
        msg = f"expected nodes or their names, got {nodes!r}"
        raise ConfigurationError(msg)
    return [str(name) for name in names]

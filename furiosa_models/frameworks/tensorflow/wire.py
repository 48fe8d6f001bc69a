"""What the files of TensorFlow say about a model, read without TensorFlow."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Set
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from ...errors import ConversionError, WeightsError
from ...networks.readers import reporting_malformed
from ...networks.readers.graphdef import Node, nodes
from ...networks.readers.metagraph import MetaGraph, inlined, read_meta_graph, read_saved_model

__all__ = [
    "Facts",
    "check_no_variables",
    "graph_facts",
    "meta_facts",
    "read_file",
    "saved_model_facts",
]

_DEFAULT_SIGNATURE = "serving_default"
_INITIALIZER = "__saved_model_init_op"
_VARIABLES = frozenset({"AutoReloadVariable", "VarHandleOp", "Variable", "VariableV2"})
_VALUELESS = _VARIABLES | {"Assert", "Const", "NoOp", "Placeholder"}
_TRAINING = re.compile(r"(^|/)(save|report_uninitialized_variables|init|gradients)(_\d+)?(/|$)")
_STATE = re.compile("^(Assign|Merge|Resource|Restore|Save|Variable)|Initialized")


@dataclass(frozen=True, slots=True)
class Facts:
    """Inputs, outputs and operations of a graph.

    Attributes:
        inputs: Tensors of the inputs by their names.
        outputs: Tensors of the outputs by their names; candidates only, if a graph does not say it.
        operations: Type of each operation by its name.
        form: Version of TensorFlow that has written a SavedModel; else empty.
        takes: Names of the nodes that each node takes, if it is a graph.
    """

    inputs: Mapping[str, str]
    outputs: Mapping[str, str]
    operations: Mapping[str, str]
    form: str = ""
    takes: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def needed(self, tensors: Iterable[str]) -> set[str]:
        """Return the names of the nodes that compute some tensors."""
        found: set[str] = set()
        pending = [tensor.partition(":")[0] for tensor in tensors]
        while pending:
            name = pending.pop()
            if name not in found:
                found.add(name)
                pending.extend(self.takes.get(name, ()))
        return found


def read_file(path: Path) -> bytes:
    """Return the bytes of a file.

    Raises:
        WeightsError: It cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        msg = f"{path} cannot be read: {error.strerror or error}"
        raise WeightsError(msg) from error


@contextmanager
def _reading(failure: str) -> Iterator[None]:
    try:
        with reporting_malformed(failure):
            yield
    except WeightsError as error:
        msg = str(error)
        raise WeightsError(msg if msg.startswith(failure) else f"{failure}: {msg}") from error


def graph_facts(graph: bytes | memoryview, what: str) -> Facts:
    """Return the facts of a GraphDef.

    Inputs are the placeholders. Outputs are the nodes that compute something that no other node
    uses.

    Args:
        graph: The GraphDef in the wire format.
        what: Name of the graph in messages.

    Raises:
        WeightsError: The bytes are not a GraphDef.
    """
    with _reading(f"{what} is not a GraphDef of TensorFlow"):
        found = list(nodes(graph))
    operations = {node.name: node.op for node in found}
    if not operations or not all(operations.values()):
        msg = f"{what} is not a GraphDef of TensorFlow: it has no operations"
        raise WeightsError(msg)
    inputs = [node.name for node in found if node.op == "Placeholder"]
    takes = {node.name: frozenset(map(_node, node.inputs)) for node in found}
    outputs = _unused(found, frozenset().union(*takes.values()))
    return Facts(_first_tensors(inputs), _first_tensors(outputs), operations, takes=takes)


def meta_facts(data: bytes, what: str) -> Facts:
    """Return the facts of a `.meta` file.

    Raises:
        WeightsError: The bytes are not a MetaGraphDef.
    """
    with _reading(f"{what} is not a MetaGraphDef of TensorFlow"):
        meta = read_meta_graph(data)
    return graph_facts(meta.graph, what)


def saved_model_facts(data: bytes, what: str, signature: str | None) -> tuple[str, Facts]:
    """Return the name and the facts of a signature of a SavedModel.

    Args:
        data: Contents of `saved_model.pb`.
        what: Name of the SavedModel in messages.
        signature: Name of the signature; by default `serving_default`, or the only one.

    Raises:
        WeightsError: The bytes are not a SavedModel, or it has no such signature.
    """
    with _reading(f"{what} is not a SavedModel of TensorFlow"):
        metas = read_saved_model(data)
    meta = next((meta for meta in metas if "serve" in meta.tags), metas[0])
    name = _signature_name(meta, what, signature)
    chosen = meta.signatures[name]
    with _reading(f"{what} is not a SavedModel of TensorFlow"):
        # The inputs of a function are no nodes, but become placeholders.
        operations = dict.fromkeys(chosen.inputs, "Placeholder") if meta.has_objects else {}
        operations |= {node.name: node.op for node in inlined(meta, chosen)}
    form = "TF2 SavedModel" if meta.has_objects else "TF1 SavedModel"
    return name, Facts(_in_order(chosen.inputs), _in_order(chosen.outputs), operations, form)


def check_no_variables(operations: Mapping[str, str]) -> None:
    """Raise ConversionError if operations, types by name, are variables."""
    if found := sorted(name for name, op in operations.items() if op in _VARIABLES):
        msg = (
            f"the graph has {len(found)} variables, such as {found[0]!r}, whose values it does not "
            "contain: freeze it, or pass the folder of its checkpoint"
        )
        raise ConversionError(msg)


def _signature_name(meta: MetaGraph, what: str, signature: str | None) -> str:
    names = sorted(meta.signatures.keys() - {_INITIALIZER})
    if signature is None:
        signature = names[0] if len(names) == 1 else _DEFAULT_SIGNATURE
    if signature not in names:
        msg = f"{what} has no signature {signature!r}: it has {', '.join(names) or 'none'}"
        raise WeightsError(msg)
    return signature


def _in_order(tensors: Mapping[str, str]) -> dict[str, str]:
    """Return tensors in the natural order of their names: `output_2` before `output_10`."""

    def natural(name: str) -> list[tuple[int, str]]:
        return [(int(part), "") if part.isdecimal() else (-1, part) for part in _parts(name)]

    return {name: tensors[name] for name in sorted(tensors, key=natural)}


def _parts(name: str) -> list[str]:
    return re.findall(r"\d+|\D+", name)


def _unused(found: Iterable[Node], used: Set[str]) -> list[str]:
    """Return the names of the nodes that compute something that no other node uses."""
    return [
        node.name
        for node in found
        if node.name not in used
        and node.op not in _VALUELESS
        and not _STATE.search(node.op)
        and not _TRAINING.search(node.name)
    ]


def _node(tensor: str) -> str:
    """Return the node of a tensor, or of a control input."""
    return tensor.lstrip("^").partition(":")[0]


def _first_tensors(names: Iterable[str]) -> dict[str, str]:
    return {name: f"{name}:0" for name in names}

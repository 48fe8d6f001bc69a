"""Reader of what TensorFlow writes beside its variables: SavedModels and `.meta` files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from ...errors import WeightsError
from ._protobuf import fields, text, view
from ._raw import Buffer
from .graphdef import Node, node, nodes

__all__ = ["MetaGraph", "Signature", "functions", "inlined", "read_meta_graph", "read_saved_model"]

_CALLS = ("PartitionedCall", "StatefulPartitionedCall")
_MAX_NODES = 200_000
"""Maximum number of nodes after inlining: a small file may describe an exponential number."""

Functions = dict[str, tuple[Node, ...]]


class _Caller(NamedTuple):
    """A function, the prefix of its nodes, and those of its nodes that are left."""

    function: str
    prefix: str
    rest: Iterator[Node]


@dataclass(frozen=True, slots=True)
class Signature:
    """A signature of a SavedModel.

    Attributes:
        inputs: Tensors (`node:0`) of the inputs by their names.
        outputs: Tensors of the outputs by their names.
    """

    inputs: Mapping[str, str]
    outputs: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class MetaGraph:
    """A MetaGraphDef.

    Attributes:
        graph: The GraphDef in the wire format.
        tags: Tags, such as `serve`.
        signatures: Signatures by name.
        has_objects: Whether TensorFlow 2 has written it, with the objects of the model.
    """

    graph: memoryview
    tags: tuple[str, ...] = ()
    signatures: Mapping[str, Signature] = field(default_factory=dict)
    has_objects: bool = False


def read_saved_model(data: Buffer) -> list[MetaGraph]:
    """Return the graphs of a `saved_model.pb`."""
    graphs = [read_meta_graph(view(value)) for n, value in fields(memoryview(data)) if n == 2]
    if not graphs:
        msg = "no graph: expected a SavedModel of TensorFlow"
        raise WeightsError(msg)
    return graphs


def read_meta_graph(data: Buffer) -> MetaGraph:
    """Return a MetaGraphDef, which is also the contents of a `.meta` file."""
    graph = memoryview(b"")
    tags: list[str] = []
    signatures = {}
    has_objects = False
    for number, value in fields(memoryview(data)):
        if number == 1:
            tags += [text(tag) for field_number, tag in fields(view(value)) if field_number == 4]
        elif number == 2:
            graph = view(value)
        elif number == 5:
            entry = dict(fields(view(value)))
            signatures[text(entry[1])] = _signature(view(entry[2]))
        elif number == 7:
            has_objects = True
    return MetaGraph(graph, tuple(tags), signatures, has_objects)


def _signature(message: memoryview) -> Signature:
    tensors: dict[int, dict[str, str]] = {1: {}, 2: {}}
    for number, value in fields(message):
        if number in tensors:
            entry = dict(fields(view(value)))
            name = dict(fields(view(entry[2]))).get(1)
            tensors[number][text(entry[1])] = "" if name is None else text(name)
    return Signature(tensors[1], tensors[2])


def functions(graph: Buffer) -> Functions:
    """Return the nodes of the functions in a GraphDef's library, by the function's name."""
    found = {}
    for number, library in fields(memoryview(graph)):
        if number == 2:
            for kind, value in fields(view(library)):
                if kind == 1:
                    name, body = _function(view(value))
                    found[name] = body
    return found


def _function(message: memoryview) -> tuple[str, tuple[Node, ...]]:
    name = ""
    body = []
    for number, value in fields(message):
        if number == 1:
            name = text(dict(fields(view(value)))[1])
        elif number == 3:
            body.append(node(view(value)))
    return name, tuple(body)


def inlined(meta: MetaGraph, signature: Signature) -> Iterator[Node]:
    """Yield the nodes that compute a signature, as TensorFlow names them when it inlines functions.

    A SavedModel of TensorFlow 2 has one function for each signature, whose nodes are those of
    the signature. Nodes of a function that they call are named `call/node`.
    """
    library = functions(meta.graph)
    outer = {each.name: each for each in nodes(meta.graph)}
    sources = {tensor.partition(":")[0] for tensor in signature.outputs.values()}
    calls = [outer[name] for name in sources if name in outer and outer[name].op in _CALLS]
    body: Iterable[Node] = outer.values()
    if len(calls) == len(sources) == 1:
        body = library.get(_called(calls[0]), ())
    yield from _inlined(body, library)


def _inlined(body: Iterable[Node], library: Functions) -> Iterator[Node]:
    callers = [_Caller("", "", iter(body))]
    count = 0
    while callers:
        each = next(callers[-1].rest, None)
        if each is None:
            callers.pop()
            continue
        count += 1
        if count > _MAX_NODES:
            msg = f"the functions of the graph call each other: more than {_MAX_NODES} nodes"
            raise WeightsError(msg)
        name = callers[-1].prefix + each.name
        called = _called(each) if each.op in _CALLS else ""
        if called not in library:
            yield each._replace(name=name)
        elif called in {caller.function for caller in callers}:
            msg = f"the function {called} calls itself"
            raise WeightsError(msg)
        else:
            callers.append(_Caller(called, f"{name}/", iter(library[called])))


def _called(call: Node) -> str:
    """Return the name of the function that a node calls."""
    attribute = dict(fields(call.attributes["f"])).get(10)
    name = None if attribute is None else dict(fields(view(attribute))).get(1)
    return "" if name is None else text(name)

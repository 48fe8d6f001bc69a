"""Write files of TensorFlow without it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tests.unit.networks.writers import field

Tensors = Mapping[str, str]


def entry(key: str, value: bytes) -> bytes:
    """Write an entry of a map."""
    return field(1, key.encode()) + field(2, value)


def node(name: str, op: str, *inputs: str, calls: str = "") -> bytes:
    """Write a NodeDef, without the number of its field."""
    taken = b"".join(field(3, each.encode()) for each in inputs)
    attribute = field(5, entry("f", field(10, field(1, calls.encode())))) if calls else b""
    return field(1, name.encode()) + field(2, op.encode()) + taken + attribute


def graph(nodes: Sequence[bytes], functions: Mapping[str, Sequence[bytes]] | None = None) -> bytes:
    """Write a GraphDef."""
    library = b"".join(
        field(1, field(1, field(1, name.encode())) + b"".join(field(3, each) for each in body))
        for name, body in (functions or {}).items()
    )
    return b"".join(field(1, each) for each in nodes) + (field(2, library) if library else b"")


def signature(inputs: Tensors, outputs: Tensors) -> bytes:
    """Write a SignatureDef."""
    return b"".join(
        field(number, entry(name, field(1, tensor.encode())))
        for number, tensors in ((1, inputs), (2, outputs))
        for name, tensor in tensors.items()
    )


def meta_graph(
    graph_def: bytes,
    signatures: Mapping[str, bytes] | None = None,
    *,
    tags: Sequence[str] = ("serve",),
    has_objects: bool = False,
) -> bytes:
    """Write a MetaGraphDef."""
    data = field(1, b"".join(field(4, tag.encode()) for tag in tags)) + field(2, graph_def)
    for name, definition in (signatures or {}).items():
        data += field(5, entry(name, definition))
    return data + (field(7, b"") if has_objects else b"")


def saved_model(*meta_graphs: bytes) -> bytes:
    """Write a SavedModel."""
    return field(1, 1) + b"".join(field(2, each) for each in meta_graphs)


NODES = (
    node("image", "Placeholder"),
    node("weights", "Const"),
    node("conv", "Conv2D", "image", "weights"),
    node("probabilities", "Softmax", "conv:0", "^image"),
)
GRAPH = graph(NODES)
TF1 = saved_model(
    meta_graph(
        GRAPH, {"serving_default": signature({"x-1": "image:0"}, {"probs": "probabilities:0"})}
    )
)

BODY = (
    node("dense", "MatMul", "image", "variable"),
    node("inner", "PartitionedCall", "dense:product:0", calls="activate"),
    node("Identity", "Identity", "inner:output:0"),
)
TF2 = saved_model(
    meta_graph(
        graph(
            (
                node("serving_default_image", "Placeholder"),
                node("StatefulPartitionedCall", "StatefulPartitionedCall", calls="serve"),
                node("saver", "StatefulPartitionedCall", calls="save"),
            ),
            {
                "serve": BODY,
                "activate": (node("relu", "Relu", "x"), node("add", "AddV2", "relu:activations:0")),
                "save": (node("SaveV2", "SaveV2"),),
            },
        ),
        {
            "serving_default": signature(
                {"image": "serving_default_image:0"},
                {f"output_{n}": f"StatefulPartitionedCall:{n}" for n in (10, 9, 0)},
            ),
            "__saved_model_init_op": signature({}, {"__saved_model_init_op": "NoOp"}),
        },
        has_objects=True,
    )
)

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from furiosa_models import networks
from furiosa_models.errors import FuriosaModelsError, ShapeError, WeightsError
from furiosa_models.networks import edit
from furiosa_models.networks.edit import TensorInfo
from furiosa_models.networks.graph import Graph, Kernel, Layer
from furiosa_models.networks.onnx_sink import runnable
from furiosa_models.networks.weights import Parameter


def network(channels: int = 3) -> bytes:
    """Make a convolution and a classifier with sigmoid, with meaningless names."""
    random = np.random.default_rng(0)
    graph = Graph("test")
    x = graph.input("image", (channels, 4, 4))
    kernel = random.normal(size=(2, channels, 3, 3)).astype(np.float32)
    y = graph.conv(x, Layer(Kernel(Parameter("w", kernel.shape))), "image/scaled")
    graph.output(y, "maps")
    graph.output(graph.reshape(graph.activate(y, "sigmoid", "s"), (32,), "r"), "scores")
    return networks.to_bytes(runnable(graph, networks.NamedWeights({"w": kernel})))


def run(model: bytes, image: np.ndarray) -> list[np.ndarray]:
    onnx.checker.check_model(onnx.load_from_string(model), full_check=True)
    session = onnxruntime.InferenceSession(model)
    return list(session.run(None, {session.get_inputs()[0].name: image}))


def _reshaping(target: list[int], batch: int | str = 1, *, constant: bool = False) -> bytes:
    """Make a model that reshapes (batch, 3, 2, 2) to `target`."""
    value = numpy_helper.from_array(np.array(target, np.int64), "target")
    node = helper.make_node("Reshape", ["x", "target"], ["y"])
    nodes = (
        [helper.make_node("Constant", [], ["target"], value=value), node] if constant else [node]
    )
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, 3, 2, 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [batch, *target[1:]])],
        [] if constant else [value],
    )
    opset = helper.make_opsetid("", 17)
    return networks.to_bytes(helper.make_model(graph, opset_imports=[opset], ir_version=8))


def test_signature_names_symbolic_dimensions() -> None:
    inputs, outputs = networks.signature(network())
    assert inputs == [TensorInfo("image", ("batch", 3, 4, 4), "float32")]
    assert [(output.name, output.shape) for output in outputs] == [
        ("maps", ("batch", 2, 4, 4)),
        ("scores", ("batch", 32)),
    ]


def test_head_operations_ignore_reshapes() -> None:
    expected = {"maps": frozenset({"Conv"}), "scores": frozenset({"Sigmoid"})}
    assert networks.head_operations(network()) == expected


@pytest.mark.parametrize(
    ("mean", "std"),
    [
        ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375)),
        ((127.5,) * 3, (127.5,) * 3),
        ((0,) * 3, (255,) * 3),
        ((104, 117, 124), (1,) * 3),
        ((0,), (1,)),
    ],
)
def test_uint8_input_scales_like_numpy(mean: tuple[float, ...], std: tuple[float, ...]) -> None:
    image = np.random.default_rng(0).integers(0, 256, (2, 3, 4, 4), np.uint8)
    m, s = (np.asarray(v, np.float32).reshape(-1, 1, 1) for v in (mean, std))
    expected = run(network(), (image - m) / s)
    model = networks.with_uint8_input(network(), mean, std)
    assert networks.signature(model)[0][0] == TensorInfo("image", ("batch", 3, 4, 4), "uint8")
    for actual, wanted in zip(run(model, image), expected, strict=True):
        np.testing.assert_array_equal(actual, wanted)


def test_uint8_input_needs_a_float_image() -> None:
    model = networks.with_uint8_input(network(), (0,), (255,))
    assert networks.with_uint8_input(model, (0,), (255,)) == model
    with pytest.raises(ShapeError, match="each of 3 channels"):
        networks.with_uint8_input(network(), (0, 0), (255,))


@pytest.mark.parametrize("constant", [False, True])
def test_set_batch_size_adapts_reshapes(constant: bool) -> None:
    model = _reshaping([1, 12], constant=constant)
    for batch_size in (1, 4, None):
        edited = networks.set_batch_size(model, batch_size)
        x = np.zeros((batch_size or 3, 3, 2, 2), np.float32)
        assert run(edited, x)[0].shape == (len(x), 12)
        shapes = [info.shape[0] for side in networks.signature(edited) for info in side]
        assert shapes == [batch_size or "batch"] * 2


def test_fixed_batch_size_is_an_error() -> None:
    with pytest.raises(ShapeError, match="output 'y' has 2 rows"):
        networks.set_batch_size(_reshaping([2, -1], batch="n"), 4)
    with pytest.raises(ShapeError, match="at least one"):
        networks.set_batch_size(network(), 0)


@pytest.mark.parametrize("data", [b"", b"not onnx", b"\x08\x08"])
def test_invalid_model_is_an_error(data: bytes) -> None:
    with pytest.raises(WeightsError, match="not an ONNX model"):
        networks.signature(data)


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\n", "git lfs pull"),
        (b"\n<!DOCTYPE html><html>404</html>", "an HTML page"),
    ],
)
def test_error_names_the_kind_of_the_wrong_file(data: bytes, what: str) -> None:
    with pytest.raises(WeightsError, match=f"not an ONNX model: .*{what}"):
        networks.signature(data)


def test_proto_is_edited_like_bytes_and_not_modified() -> None:
    model = network()
    proto = onnx.load_from_string(model)
    assert networks.signature(proto) == networks.signature(model)
    assert networks.set_batch_size(proto, 2) == networks.set_batch_size(model, 2)
    assert networks.with_uint8_input(proto, (1,), (2,)) == networks.with_uint8_input(
        model, (1,), (2,)
    )
    assert networks.with_opset(proto, 13) == networks.with_opset(model, 13)
    assert networks.to_bytes(proto) == model


@pytest.mark.parametrize("model", ["net.onnx", bytearray(b"x"), None])
def test_model_of_another_type_is_a_type_error(model: Any) -> None:
    with pytest.raises(TypeError, match="expected a model as bytes or ModelProto"):
        edit.parse(model)


EDITED: dict[str, Callable[[bytes], bytes]] = {
    "uint8 input": lambda model: networks.with_uint8_input(model, (1, 2, 3), (4, 5, 6)),
    "batch of 2": lambda model: networks.set_batch_size(model, 2),
    "any batch": lambda _: networks.set_batch_size(_reshaping([1, 12]), None),
    "opset 13": lambda model: networks.with_opset(model, 13),
    "head operations": lambda model: repr(
        sorted((k, sorted(v)) for k, v in networks.head_operations(model).items())
    ).encode(),
}
DIGESTS: dict[int, dict[str, str]] = {
    1: {
        "uint8 input": "dac308c126114b10",
        "batch of 2": "fe421dff1bcfe115",
        "any batch": "3fa095dad70e4f7c",
        "opset 13": "a279e81df9abd36e",
        "head operations": "e5f2308f03cb6ee2",
    }
}
"""First digits of the sha256 of each edited model, by the recipe number of edits."""


@pytest.mark.parametrize("name", EDITED)
def test_edits_give_the_same_bytes_for_a_recipe_number(name: str) -> None:
    digest = hashlib.sha256(EDITED[name](network())).hexdigest()[:16]
    assert digest == DIGESTS[networks.EDITS][name], (
        "raise the recipe number furiosa_models.networks.EDITS"
    )


def test_inputs_that_are_not_tensors_have_a_signature() -> None:
    proto = onnx.load_from_string(network())
    proto.graph.input[0].type.sequence_type.elem_type.tensor_type.elem_type = TensorProto.FLOAT
    assert networks.signature(proto)[0] == [TensorInfo("image", (), "undefined")]
    with pytest.raises(ShapeError, match="got image undefined"):
        networks.with_uint8_input(proto, (0,), (1,))


def test_model_without_an_operator_set_is_unchanged() -> None:
    proto = onnx.load_from_string(network())
    del proto.opset_import[:]
    assert networks.with_opset(proto, 13) == networks.to_bytes(proto)


def _malformed(random: np.random.Generator) -> bytes:
    """Make a network with missing or changed parts."""
    proto = onnx.load_from_string(
        [network(), _reshaping([1, 3, 4]), _reshaping([1, 12], constant=True)][random.integers(3)]
    )
    graph = proto.graph
    nodes = list(graph.node)
    node = nodes[random.integers(len(nodes))]
    value = [*graph.input, *graph.output][random.integers(len(graph.input) + len(graph.output))]

    def swap_type() -> None:
        kinds = ["If", "Reshape", "Slice", "Constant", "Cast", "Split", "no such operation"]
        node.op_type = kinds[random.integers(len(kinds))]

    losses: list[Callable[[], object]] = [
        lambda: node.ClearField("input"),
        lambda: node.ClearField("output"),
        lambda: node.ClearField("attribute"),
        lambda: node.input.append("nothing gives this"),
        swap_type,
        lambda: value.ClearField("type"),
        lambda: graph.ClearField("initializer"),
        lambda: [tensor.dims.append(7) for tensor in graph.initializer],
    ]
    for number in random.integers(len(losses), size=random.integers(1, 4)):
        losses[number]()
    data = bytearray(proto.SerializeToString())
    if random.random() < 0.3:
        data[random.integers(len(data))] = random.integers(256)
    return bytes(data)


@pytest.mark.parametrize("seed", range(4))
def test_malformed_graphs_raise_our_errors(seed: int) -> None:
    random = np.random.default_rng(seed)
    edits: list[Callable[[bytes], object]] = [
        edit.describe,
        edit.signature,
        edit.metadata,
        edit.external_files,
        edit.head_operations,
        lambda model: networks.with_uint8_input(model, (0.0,) * 3, (1.0,) * 3),
        lambda model: networks.set_batch_size(model, 2),
        lambda model: networks.with_opset(model, 13),
    ]
    refused = 0
    for _ in range(100):
        model = _malformed(random)
        for made in edits:
            try:
                made(model)
            except FuriosaModelsError:
                refused += 1
    assert refused > 50


def test_wrong_argument_is_a_type_error() -> None:
    with pytest.raises(TypeError):
        networks.set_batch_size(network(), "two")  # type: ignore[arg-type]

from __future__ import annotations

import threading
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from furiosa_models import _native, get_model, networks
from furiosa_models.ops import native
from furiosa_models.runtime import lookups
from furiosa_models.runtime.backends import Setup
from furiosa_models.runtime.backends import onnxruntime as backend
from furiosa_models.runtime.backends.onnxruntime import OnnxRuntimeBackend

Nodes = list[onnx.NodeProto]

SCALE, ZERO = 0.05, 120


def to_floats(name: str, of: str, scale: str = "s", zero: str = "z") -> onnx.NodeProto:
    return helper.make_node("DequantizeLinear", [of, scale, zero], [name])


def to_bytes(name: str, of: str, scale: str = "s", zero: str = "z") -> onnx.NodeProto:
    return helper.make_node("QuantizeLinear", [of, scale, zero], [name])


def rounded(node: onnx.NodeProto) -> Nodes:
    """Round the output of a node, which is named `y`, and convert it back."""
    return [node, to_bytes("y8", "y"), to_floats("y_rounded", "y8")]


def swish() -> Nodes:
    gate = helper.make_node("Sigmoid", ["x"], ["gate"])
    product = helper.make_node("Mul", ["x", "gate_rounded"], ["y"])
    halfway = [
        to_bytes("gate8", "gate", "fine", "low"),
        to_floats("gate_rounded", "gate8", "fine", "low"),
    ]
    return [gate, *halfway, *rounded(product)]


def hard_swish_in_parts() -> Nodes:
    nodes = [
        helper.make_node("Add", ["x", "three"], ["a"]),
        helper.make_node("Clip", ["a", "zero", "six"], ["b"]),
        helper.make_node("Mul", ["x", "b"], ["c"]),
    ]
    return [*nodes, *rounded(helper.make_node("Div", ["c", "six"], ["y"]))]


def one(operation: str, **attributes: Any) -> Nodes:
    return rounded(helper.make_node(operation, ["x"], ["y"], **attributes))


FUNCTIONS = {
    "swish": swish(),
    "hard swish in parts": hard_swish_in_parts(),
    "twice": [
        *one("LeakyRelu", alpha=0.1),
        helper.make_node("Tanh", ["y_rounded"], ["z1"]),
        to_bytes("z8", "z1"),
        to_floats("z_rounded", "z8"),
    ],
    "elu": one("Elu"),
    "gelu": one("Gelu"),
    "hard sigmoid": one("HardSigmoid"),
    "hard swish": one("HardSwish"),
    "leaky relu": one("LeakyRelu", alpha=0.1),
    "mish": one("Mish"),
    "sigmoid": one("Sigmoid"),
    "softplus": one("Softplus"),
    "tanh": one("Tanh"),
}


def model(nodes: Nodes, output: str | None = None, zeros: type[np.generic] = np.uint8) -> bytes:
    """Return a program of a maximum, whose results are bytes, and functions of these."""
    constants = {"s": np.float32(SCALE), "z": zeros(ZERO), "fine": np.float32(1 / 255)}
    constants |= {"low": zeros(0), "three": np.float32(3), "six": np.float32(6)}
    constants |= {"zero": np.float32(0)}
    pool = helper.make_node("MaxPool", ["image"], ["pooled"], kernel_shape=[1, 1])
    before = [pool, to_bytes("pooled8", "pooled"), to_floats("x", "pooled8")]
    shape = ["n", "c", "h", "w"]
    graph = helper.make_graph(
        [*before, *nodes],
        "functions",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(output or nodes[-1].output[0], TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.array(value), name) for name, value in constants.items()],
    )
    opset = [helper.make_opsetid("", 20)]
    program = helper.make_model(graph, opset_imports=opset, ir_version=9)
    return networks.to_bytes(program)


def compile_(program: bytes, folder: Path) -> tuple[onnxruntime.InferenceSession, Counter[str]]:
    """Return a session of the compiled program, and the number of its operations by kind."""
    folder.mkdir(exist_ok=True)
    session = backend._Loader(OnnxRuntimeBackend(), 2).compile(program, folder)
    optimized = onnx.load(folder / "model.onnx", load_external_data=False)
    return session, Counter(node.op_type for node in optimized.graph.node)


def plain(program: bytes) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    return onnxruntime.InferenceSession(program, options, providers=["CPUExecutionProvider"])


def image(*shape: int) -> npt.NDArray[np.float32]:
    """Return values beyond both ends of the range of bytes."""
    return np.random.default_rng(0).uniform(-9, 9, shape).astype(np.float32)


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("shape", [(1, 3, 5, 7), (2, 4, 33, 1), (1, 1, 1, 1), (1, 16, 64, 33)])
def test_results_are_those_of_the_operations(
    name: str, shape: tuple[int, ...], tmp_path: Path
) -> None:
    program = model(FUNCTIONS[name])
    session, operations = compile_(program, tmp_path)
    assert operations["Lookup"] == 1
    assert not operations.keys() - {"Lookup", "MaxPool", "QuantizeLinear", "DequantizeLinear"}
    assert operations["QuantizeLinear"] == operations["DequantizeLinear"] == 1
    pixels = {"image": image(*shape)}
    (got,), (expected,) = session.run(None, pixels), plain(program).run(None, pixels)
    np.testing.assert_array_equal(got, expected)


def test_every_byte_is_looked_up(tmp_path: Path) -> None:
    program = model(FUNCTIONS["swish"])
    session, _ = compile_(program, tmp_path)
    steps = ((np.arange(256) - ZERO) * SCALE).astype(np.float32).reshape(1, 1, 1, 256)
    (got,) = session.run(None, {"image": steps})
    gate = np.round(255 / (1 + np.exp(-steps))) / 255
    expected = np.clip(np.round(steps * gate / SCALE) + ZERO, 0, 255)
    # halves may be rounded either way
    np.testing.assert_allclose(got, (expected - ZERO) * SCALE, atol=SCALE * 1.001)
    assert len(np.unique(got)) > 100


@given(st.lists(st.integers(0, 5), min_size=4, max_size=4), st.sampled_from(sorted(FUNCTIONS)))
@settings(max_examples=30)
def test_shapes_are_kept(
    tmp_path_factory: pytest.TempPathFactory, shape: list[int], name: str
) -> None:
    program = model(FUNCTIONS[name])
    session, _ = compile_(program, tmp_path_factory.mktemp("compiled"))
    if 0 in shape[1:]:
        shape = [shape[0], 1, 1, 1]
    (got,) = session.run(None, {"image": image(*shape)})
    assert list(got.shape) == shape


def test_a_result_that_is_also_read_elsewhere_is_kept(tmp_path: Path) -> None:
    largest = helper.make_node("GlobalMaxPool", ["y_rounded"], ["largest"])
    total = helper.make_node("Add", ["z_rounded", "largest"], ["total"])
    program = model([*FUNCTIONS["twice"], largest, total])
    session, operations = compile_(program, tmp_path)
    assert operations["Lookup"] == 2
    pixels = {"image": image(2, 3, 8, 8)}
    np.testing.assert_array_equal(session.run(None, pixels)[0], plain(program).run(None, pixels)[0])


def test_what_is_no_function_of_one_tensor_stays(tmp_path: Path) -> None:
    other = helper.make_node("GlobalMaxPool", ["x"], ["other"])
    product = rounded(helper.make_node("Mul", ["x", "other_rounded"], ["y"]))
    nodes = [other, to_bytes("other8", "other"), to_floats("other_rounded", "other8"), *product]
    program = model(nodes)
    session, operations = compile_(program, tmp_path)
    assert "Lookup" not in operations
    pixels = {"image": image(1, 3, 8, 8)}
    np.testing.assert_array_equal(session.run(None, pixels)[0], plain(program).run(None, pixels)[0])


def test_signed_bytes_stay_as_they_are(tmp_path: Path) -> None:
    program = model(FUNCTIONS["swish"], zeros=np.int8)
    session, operations = compile_(program, tmp_path)
    assert "Lookup" not in operations
    pixels = {"image": image(1, 3, 8, 8)}
    np.testing.assert_array_equal(session.run(None, pixels)[0], plain(program).run(None, pixels)[0])


def test_float_programs_are_not_read(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"Conv")
    assert not lookups.replace(path)
    assert path.read_bytes() == b"Conv"


def test_without_the_operation_programs_are_compiled_as_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend._can_look_up.cache_clear()
    with monkeypatch.context() as context:
        context.setattr(native.load(), "__file__", str(tmp_path / "missing.so"))
        session, operations = compile_(model(FUNCTIONS["swish"]), tmp_path / "compiled")
    backend._can_look_up.cache_clear()
    assert "Lookup" not in operations
    assert session.run(None, {"image": image(1, 3, 8, 8)})


def test_threads_share_a_session(tmp_path: Path) -> None:
    program = model(FUNCTIONS["swish"])
    session, _ = compile_(program, tmp_path)
    pixels = {"image": image(1, 16, 200, 200)}
    (expected,) = plain(program).run(None, pixels)
    wrong: list[int] = []

    def run() -> None:
        for _ in range(10):
            wrong.append(int((session.run(None, pixels)[0] != expected).sum()))

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == [0] * 40


@pytest.mark.parametrize(
    ("values", "message"),
    [(255, "the table must have 256 values"), (257, "the table must have 256 values")],
)
def test_a_wrong_table_is_an_error(values: int, message: str) -> None:
    graph = helper.make_graph(
        [helper.make_node("Lookup", ["x", "table"], ["y"], domain="furiosa_models")],
        "one",
        [helper.make_tensor_value_info("x", TensorProto.UINT8, ["n"])],
        [helper.make_tensor_value_info("y", TensorProto.UINT8, ["n"])],
        [numpy_helper.from_array(np.zeros(values, np.uint8), "table")],
    )
    opset = [helper.make_opsetid("", 20), helper.make_opsetid("furiosa_models", 1)]
    program = helper.make_model(graph, opset_imports=opset, ir_version=9)
    options = onnxruntime.SessionOptions()
    options.register_custom_ops_library(_native.__file__)
    session = onnxruntime.InferenceSession(
        networks.to_bytes(program), options, providers=["CPUExecutionProvider"]
    )
    with pytest.raises(Exception, match=message):
        session.run(None, {"x": np.zeros(5, np.uint8)})


@pytest.mark.network
@pytest.mark.usefixtures("use_warm_cache")
@pytest.mark.parametrize(
    ("name", "weights"), [("EfficientNetB0", "tfjs"), ("NanoDetG", "tfjs"), ("YOLOv5s", "coco")]
)
def test_networks_give_the_same_with_and_without(
    name: str, weights: str, photos: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    network = get_model(name, weights=weights)
    program = network.model_source(precision="int8")
    tensors, _ = network.preprocess(photos[:1])
    with monkeypatch.context() as context:
        context.setenv("FURIOSA_MODELS_COMPILED", "0")
        without = OnnxRuntimeBackend().load(program, Setup()).run(tensors)
    for _ in ("compiled", "opened"):
        found = OnnxRuntimeBackend().load(program, Setup()).run(tensors)
        for got, expected in zip(found, without, strict=True):
            np.testing.assert_array_equal(got, expected)

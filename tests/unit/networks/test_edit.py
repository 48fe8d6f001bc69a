from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from furiosa_models import networks
from furiosa_models.errors import ShapeError, WeightsError
from furiosa_models.networks import edit, files
from furiosa_models.networks.edit import TensorInfo
from furiosa_models.networks.graph import Graph
from furiosa_models.runtime import FuriosaRuntimeError
from furiosa_models.runtime.sync import create_runner


def _network(channels: int = 3) -> bytes:
    """A convolution and a classifier with sigmoid, whose names are as unhelpful as can be."""
    random = np.random.default_rng(0)
    graph = Graph("test")
    x = graph.input("image", (channels, 4, 4))
    kernel = random.normal(size=(2, channels, 3, 3)).astype(np.float32)
    y = graph.conv(x, kernel, None, "image/scaled")
    graph.output(y, "maps")
    graph.output(graph.reshape(graph.activate(y, "sigmoid", "s"), (32,), "r"), "scores")
    return networks.to_bytes(graph.model())


def _run(model: bytes, image: np.ndarray) -> list[np.ndarray]:
    onnx.checker.check_model(onnx.load_from_string(model), full_check=True)
    session = onnxruntime.InferenceSession(model)
    return list(session.run(None, {session.get_inputs()[0].name: image}))


def _reshaping(target: list[int], batch: int | str = 1, *, constant: bool = False) -> bytes:
    """A model that reshapes (batch, 3, 2, 2) to `target`."""
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
    inputs, outputs = networks.signature(_network())
    assert inputs == [TensorInfo("image", ("batch", 3, 4, 4), "float32")]
    assert [(output.name, output.shape) for output in outputs] == [
        ("maps", ("batch", 2, 4, 4)),
        ("scores", ("batch", 32)),
    ]


def test_head_operations_see_through_reshapes() -> None:
    expected = {"maps": frozenset({"Conv"}), "scores": frozenset({"Sigmoid"})}
    assert networks.head_operations(_network()) == expected


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
def test_uint8_input_scales_as_numpy_does(mean: tuple[float, ...], std: tuple[float, ...]) -> None:
    image = np.random.default_rng(0).integers(0, 256, (2, 3, 4, 4), np.uint8)
    m, s = (np.asarray(v, np.float32).reshape(-1, 1, 1) for v in (mean, std))
    expected = _run(_network(), (image - m) / s)
    model = networks.with_uint8_input(_network(), mean, std)
    assert networks.signature(model)[0][0] == TensorInfo("image", ("batch", 3, 4, 4), "uint8")
    for actual, wanted in zip(_run(model, image), expected, strict=True):
        np.testing.assert_array_equal(actual, wanted)


def test_uint8_input_needs_a_float_image() -> None:
    model = networks.with_uint8_input(_network(), (0,), (255,))
    assert networks.with_uint8_input(model, (0,), (255,)) == model
    with pytest.raises(ShapeError, match="each of 3 channels"):
        networks.with_uint8_input(_network(), (0, 0), (255,))


@pytest.mark.parametrize("constant", [False, True])
def test_batch_size_frees_reshapes(constant: bool) -> None:
    model = _reshaping([1, 12], constant=constant)
    for batch_size in (1, 4, None):
        edited = networks.set_batch_size(model, batch_size)
        x = np.zeros((batch_size or 3, 3, 2, 2), np.float32)
        assert _run(edited, x)[0].shape == (len(x), 12)
        shapes = [info.shape[0] for side in networks.signature(edited) for info in side]
        assert shapes == [batch_size or "batch"] * 2


def test_batch_size_that_the_model_fixes_is_an_error() -> None:
    with pytest.raises(ShapeError, match="output 'y' has 2 rows"):
        networks.set_batch_size(_reshaping([2, -1], batch="n"), 4)
    with pytest.raises(ShapeError, match="at least one"):
        networks.set_batch_size(_network(), 0)


@pytest.mark.parametrize("data", [b"", b"not onnx", b"\x08\x08"])
def test_what_is_no_model_is_an_error(data: bytes) -> None:
    with pytest.raises(WeightsError, match="not an ONNX model"):
        networks.signature(data)


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\n", "git lfs pull"),
        (b"\n<!DOCTYPE html><html>404</html>", "a page of the web"),
    ],
)
def test_what_is_often_there_in_place_of_a_model(data: bytes, what: str) -> None:
    with pytest.raises(WeightsError, match=f"not an ONNX model: .*{what}"):
        networks.signature(data)


def test_a_proto_is_edited_as_its_bytes_are_and_stays_as_it_is() -> None:
    model = _network()
    proto = onnx.load_from_string(model)
    assert networks.signature(proto) == networks.signature(model)
    assert networks.set_batch_size(proto, 2) == networks.set_batch_size(model, 2)
    assert networks.with_uint8_input(proto, (1,), (2,)) == networks.with_uint8_input(
        model, (1,), (2,)
    )
    assert networks.with_opset(proto, 13) == networks.with_opset(model, 13)
    assert networks.to_bytes(proto) == model


@pytest.mark.parametrize("model", ["net.onnx", bytearray(b"x"), None])
def test_what_is_neither_bytes_nor_a_proto_is_a_type_error(model: Any) -> None:
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
"""Start of the sha256 of what each edit gives, by the recipe number of edits."""


@pytest.mark.parametrize("name", EDITED)
def test_an_edit_gives_the_same_bytes_under_the_same_number(name: str) -> None:
    digest = hashlib.sha256(EDITED[name](_network())).hexdigest()[:16]
    assert digest == DIGESTS[networks.EDITS][name], (
        "raise the recipe number furiosa_models.networks.EDITS"
    )


def _with_external_data(folder: Path, location: str = "net.onnx.data") -> Path:
    """The network with the numbers of its kernel in a file of their own, behind another's."""
    proto = onnx.load_from_string(_network())
    (kernel,) = [t for t in proto.graph.initializer if t.name == "image/scaled/kernel"]
    numbers = kernel.raw_data
    kernel.ClearField("raw_data")
    kernel.data_location = TensorProto.EXTERNAL
    place = {"location": location, "offset": "8", "length": str(len(numbers))}
    for key, value in place.items():
        kernel.external_data.add(key=key, value=value)
    (folder / "net.onnx").write_bytes(proto.SerializeToString())
    (folder / "net.onnx.data").write_bytes(b"\0" * 8 + numbers)
    return folder / "net.onnx"


def test_weights_beside_the_file_are_loaded(tmp_path: Path) -> None:
    path = _with_external_data(tmp_path)
    assert edit.external_files(path.read_bytes()) == ["net.onnx.data"]
    proto = files.load(path)
    assert edit.external_files(proto) == []
    assert networks.to_bytes(proto) == _network()
    assert networks.to_bytes(files.load(str(path))) == _network()
    assert files.whole(path) == _network()
    (tmp_path / "one.onnx").write_bytes(_network())
    assert files.whole(tmp_path / "one.onnx") == _network()


@pytest.mark.parametrize(
    "location", ["../secret", "/etc/passwd", "", "link", "../{folder}/../secret"]
)
def test_weights_outside_the_folder_are_not_read(tmp_path: Path, location: str) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (tmp_path / "secret").write_bytes(b"\0" * 4096)
    (folder / "link").symlink_to(tmp_path / "secret")
    path = _with_external_data(folder, location.format(folder=folder.name))
    with pytest.raises(WeightsError, match="outside its folder"):
        files.load(path)
    with pytest.raises(WeightsError, match="outside its folder"):
        files.whole(path)
    with pytest.raises(FuriosaRuntimeError, match="outside its folder"):
        create_runner(path, device="cpu")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such files")
def test_weights_in_a_pipe_are_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    path = _with_external_data(tmp_path, "pipe")
    with pytest.raises(WeightsError, match="is no file"):
        files.load(path)


def test_runners_take_models_whose_weights_lie_beside_them(tmp_path: Path) -> None:
    path = _with_external_data(tmp_path)
    image = np.random.default_rng(0).random((2, 3, 4, 4), np.float32)
    expected = _run(_network(), image)
    for batch_size in (None, 2):
        with create_runner(path, device="cpu", batch_size=batch_size) as runner:
            outputs = runner.run(image)
        for output, right in zip(outputs, expected, strict=True):
            np.testing.assert_allclose(np.asarray(output), right, rtol=1e-6)


def test_weights_that_are_missing_or_cut_off_are_named(tmp_path: Path) -> None:
    path = _with_external_data(tmp_path)
    data = tmp_path / "net.onnx.data"
    data.write_bytes(data.read_bytes()[:-1])
    with pytest.raises(WeightsError, match=r"'image/scaled/kernel' in net\.onnx\.data are cut off"):
        files.load(path)
    data.unlink()
    with pytest.raises(WeightsError, match=r"net\.onnx\.data cannot be read"):
        files.load(path)
    with pytest.raises(WeightsError, match=r"none\.onnx cannot be read: No such file"):
        files.load(tmp_path / "none.onnx")


def test_external_files_are_found_in_branches_constants_and_functions(tmp_path: Path) -> None:
    def outside(name: str) -> onnx.TensorProto:
        tensor = TensorProto(name=name, data_type=1, dims=[1], data_location=TensorProto.EXTERNAL)
        tensor.external_data.add(key="location", value=name)
        return tensor

    branch = helper.make_graph([], "branch", [], [], [outside("branch")])
    constant = helper.make_node("Constant", [], ["c"], value=outside("constant"))
    body = [helper.make_node("Constant", [], ["y"], value=outside("function"))]
    opsets = [helper.make_opsetid("", 17)]
    proto = onnx.load_from_string(_network())
    proto.graph.node.extend([constant, helper.make_node("If", ["c"], ["d"], then_branch=branch)])
    proto.functions.append(helper.make_function("f", "F", [], ["y"], body, opsets))
    assert edit.external_files(proto) == ["branch", "constant", "function"]
    for name in ("branch", "constant", "function"):
        (tmp_path / name).write_bytes(b"\0" * 4)
    (tmp_path / "net.onnx").write_bytes(proto.SerializeToString())
    assert edit.external_files(files.load(tmp_path / "net.onnx")) == []


def test_a_model_too_large_for_a_file_is_saved_with_its_weights_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = Graph("large")
    kernel = np.random.default_rng(0).normal(size=(64, 3, 3, 3)).astype(np.float32)
    graph.output(graph.conv(graph.input("image", (3, 4, 4)), kernel, None, "conv"), "maps")
    proto = graph.model()
    assert files.save(proto, tmp_path / "small.onnx") == [tmp_path / "small.onnx"]
    monkeypatch.setattr(edit, "MAX_BYTES", 2000)
    with pytest.raises(WeightsError, match=r"6912 bytes of weights, .* holds 2000"):
        networks.to_bytes(proto)
    path = tmp_path / "large.onnx"
    assert files.save(proto, path) == [path, tmp_path / "large.onnx.data"]
    assert path.stat().st_size < 2000
    assert files.load(path) == proto
    image = np.random.default_rng(1).normal(size=(1, 3, 4, 4)).astype(np.float32)
    outputs = [
        onnxruntime.InferenceSession(str(tmp_path / name)).run(None, {"image": image})[0]
        for name in ("small.onnx", "large.onnx")
    ]
    np.testing.assert_array_equal(*outputs)


def test_what_is_no_tensor_has_a_signature() -> None:
    proto = onnx.load_from_string(_network())
    proto.graph.input[0].type.sequence_type.elem_type.tensor_type.elem_type = TensorProto.FLOAT
    assert networks.signature(proto)[0] == [TensorInfo("image", (), "undefined")]
    with pytest.raises(ShapeError, match="got image undefined"):
        networks.with_uint8_input(proto, (0,), (1,))


def test_a_model_without_an_operator_set_stays_as_it_is() -> None:
    proto = onnx.load_from_string(_network())
    del proto.opset_import[:]
    assert networks.with_opset(proto, 13) == networks.to_bytes(proto)

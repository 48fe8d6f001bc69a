from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from furiosa_models import networks
from furiosa_models.errors import WeightsError
from furiosa_models.networks import edit, external_data
from furiosa_models.networks.graph import Graph, Kernel, Layer
from furiosa_models.networks.onnx_sink import runnable
from furiosa_models.networks.weights import Parameter
from furiosa_models.runtime import FuriosaRuntimeError
from furiosa_models.runtime.sync import create_runner

from .test_edit import network, run


def _with_external_data(folder: Path, location: str = "net.onnx.data") -> Path:
    """Save the network with the values of its kernel in a separate file, after other data."""
    proto = onnx.load_from_string(network())
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


def test_external_data_is_loaded(tmp_path: Path) -> None:
    path = _with_external_data(tmp_path)
    assert edit.external_files(path.read_bytes()) == ["net.onnx.data"]
    proto = external_data.load(path)
    assert edit.external_files(proto) == []
    assert networks.to_bytes(proto) == network()
    assert networks.to_bytes(external_data.load(str(path))) == network()
    assert external_data.read_with_weights(path) == network()
    (tmp_path / "one.onnx").write_bytes(network())
    assert external_data.read_with_weights(tmp_path / "one.onnx") == network()


@pytest.mark.parametrize(
    "location", ["../secret", "/etc/passwd", "", "link", "../{folder}/../secret"]
)
def test_external_data_outside_the_folder_is_rejected(tmp_path: Path, location: str) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (tmp_path / "secret").write_bytes(b"\0" * 4096)
    (folder / "link").symlink_to(tmp_path / "secret")
    path = _with_external_data(folder, location.format(folder=folder.name))
    with pytest.raises(WeightsError, match="outside its folder"):
        external_data.load(path)
    with pytest.raises(WeightsError, match="outside its folder"):
        external_data.read_with_weights(path)
    with pytest.raises(FuriosaRuntimeError, match="outside its folder"):
        create_runner(path, device="cpu")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such files")
def test_external_data_in_a_pipe_is_rejected(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    path = _with_external_data(tmp_path, "pipe")
    with pytest.raises(WeightsError, match="is not a file"):
        external_data.load(path)


def test_runners_accept_models_with_external_data(tmp_path: Path) -> None:
    path = _with_external_data(tmp_path)
    image = np.random.default_rng(0).random((2, 3, 4, 4), np.float32)
    expected = run(network(), image)
    for batch_size in (None, 2):
        with create_runner(path, device="cpu", batch_size=batch_size) as runner:
            outputs = runner.run(image)
        for output, right in zip(outputs, expected, strict=True):
            np.testing.assert_allclose(np.asarray(output), right, rtol=1e-6)


def test_error_names_missing_or_truncated_external_data(tmp_path: Path) -> None:
    path = _with_external_data(tmp_path)
    data = tmp_path / "net.onnx.data"
    data.write_bytes(data.read_bytes()[:-1])
    with pytest.raises(
        WeightsError, match=r"'image/scaled/kernel' in net\.onnx\.data are truncated"
    ):
        external_data.load(path)
    data.unlink()
    with pytest.raises(WeightsError, match=r"net\.onnx\.data cannot be read"):
        external_data.load(path)
    with pytest.raises(WeightsError, match=r"none\.onnx cannot be read: No such file"):
        external_data.load(tmp_path / "none.onnx")


def test_external_files_are_found_everywhere_in_the_graph(tmp_path: Path) -> None:
    def outside(name: str) -> onnx.TensorProto:
        tensor = TensorProto(name=name, data_type=1, dims=[1], data_location=TensorProto.EXTERNAL)
        tensor.external_data.add(key="location", value=name)
        return tensor

    branch = helper.make_graph([], "branch", [], [], [outside("branch")])
    constant = helper.make_node("Constant", [], ["c"], value=outside("constant"))
    body = [helper.make_node("Constant", [], ["y"], value=outside("function"))]
    opsets = [helper.make_opsetid("", 17)]
    proto = onnx.load_from_string(network())
    proto.graph.node.extend([constant, helper.make_node("If", ["c"], ["d"], then_branch=branch)])
    proto.functions.append(helper.make_function("f", "F", [], ["y"], body, opsets))
    assert edit.external_files(proto) == ["branch", "constant", "function"]
    for name in ("branch", "constant", "function"):
        (tmp_path / name).write_bytes(b"\0" * 4)
    (tmp_path / "net.onnx").write_bytes(proto.SerializeToString())
    assert edit.external_files(external_data.load(tmp_path / "net.onnx")) == []


def test_large_model_is_saved_with_external_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = Graph("large")
    kernel = np.random.default_rng(0).normal(size=(64, 3, 3, 3)).astype(np.float32)
    layer = Layer(Kernel(Parameter("w", kernel.shape)))
    graph.output(graph.conv(graph.input("image", (3, 4, 4)), layer, "conv"), "maps")
    proto = runnable(graph, networks.NamedWeights({"w": kernel}))
    assert external_data.save(proto, tmp_path / "small.onnx") == [tmp_path / "small.onnx"]
    monkeypatch.setattr(edit, "MAX_BYTES", 2000)
    with pytest.raises(WeightsError, match=r"6912 bytes of weights, .* at most 2000"):
        networks.to_bytes(proto)
    path = tmp_path / "large.onnx"
    assert external_data.save(proto, path) == [path, tmp_path / "large.onnx.data"]
    assert path.stat().st_size < 2000
    assert external_data.load(path) == proto
    image = np.random.default_rng(1).normal(size=(1, 3, 4, 4)).astype(np.float32)
    outputs = [
        onnxruntime.InferenceSession(str(tmp_path / name)).run(None, {"image": image})[0]
        for name in ("small.onnx", "large.onnx")
    ]
    np.testing.assert_array_equal(*outputs)

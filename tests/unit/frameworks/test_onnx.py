from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from furiosa_models.errors import FuriosaModelsError, ShapeError, WeightsError
from furiosa_models.frameworks import recognize, wrap
from furiosa_models.networks import external_data
from tests.unit.quantization.poisoned import photos
from tests.unit.quantization.small import network

NET = network(scaled_inside=False)


def write(path: Path) -> Path:
    onnx.save(NET, str(path))
    return path


@pytest.mark.parametrize("form", ["file", "bytes", "ModelProto"])
def test_every_form_is_recognized(form: str, tmp_path: Path) -> None:
    source = {
        "file": lambda: str(write(tmp_path / "net.onnx")),
        "bytes": NET.SerializeToString,
        "ModelProto": lambda: NET,
    }[form]()
    model = wrap(source)
    assert (model.framework, model.form) == ("onnx", form)
    assert (model.input_names, model.output_names) == (["image"], ["logits"])
    assert model.graph_info["depthwise"] == "Conv"
    assert model.to_onnx() == NET
    assert model.run(photos(2))[0].shape == (2, 5)
    assert wrap(model) is model


def test_outputs_may_be_other_tensors() -> None:
    model = wrap(NET)
    whole = model.run(photos(2))[0]
    model.output_names = ["sum", "logits"]
    middle, logits = model.run({"image": photos(2)})
    assert middle.shape == (2, 16, 12, 12)
    np.testing.assert_array_equal(logits, whole)
    tail = wrap(model.to_onnx(), input_names=["sum"], output_names=["logits"])
    assert "first" not in tail.graph_info
    np.testing.assert_array_equal(tail.run(middle)[0], whole)


def test_unknown_tensors_and_missing_inputs_are_errors() -> None:
    model = wrap(NET)
    with pytest.raises(ShapeError, match="no tensor 'nonesuch'"):
        model.output_names = ["nonesuch"]
    with pytest.raises(ShapeError, match="need the input 'image', too"):
        wrap(NET, input_names=["r2"])
    with pytest.raises(ShapeError, match=r"expected 1 inputs \(image\), got 2"):
        model.run([photos(1), photos(1)])
    with pytest.raises(ShapeError, match="expected the inputs image, got picture"):
        model.run({"picture": photos(1)})


def test_save_writes_the_file_as_named_and_replaces_nothing(tmp_path: Path) -> None:
    path = wrap(NET).save(tmp_path / "saved_result")
    assert path == tmp_path / "saved_result"
    assert onnx.load(str(path)) == NET
    with pytest.raises(FuriosaModelsError, match="already exists"):
        wrap(NET).save(path)


def test_external_weights_are_read(tmp_path: Path) -> None:
    big = onnx.ModelProto()
    big.CopyFrom(NET)
    rng = np.random.default_rng(0)
    for tensor in big.graph.initializer:
        if tensor.name == "w3":
            array = rng.normal(size=(16, 16, 3, 3)).astype(np.float32)
            tensor.CopyFrom(onnx.numpy_helper.from_array(array, "w3"))
    big.graph.node[4].attribute.append(onnx.helper.make_attribute("pads", [1] * 4))
    assert len(external_data.save(big, tmp_path / "net.onnx", always=True)) == 2
    assert (tmp_path / "net.onnx.data").stat().st_size == 16 * 16 * 9 * 4 + 16 * 3 * 9 * 4
    model = wrap(tmp_path / "net.onnx")
    np.testing.assert_array_equal(model.run(photos(1))[0], wrap(big).run(photos(1))[0])


def test_what_is_no_model_is_not_recognized(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    assert recognize(tmp_path / "notes.txt") is None
    assert recognize(object()) is None
    with pytest.raises(WeightsError, match="the format of .*notes.txt is unknown: expected ONNX"):
        wrap(tmp_path / "notes.txt")
    with pytest.raises(WeightsError, match="does not exist"):
        wrap(tmp_path / "nonesuch.onnx")
    with pytest.raises(WeightsError, match="dict is not a model of a known framework"):
        wrap({})
    (tmp_path / "bad.onnx").write_bytes(b"\x08\x01 not a graph")
    with pytest.raises(WeightsError, match="not an ONNX model"):
        wrap(tmp_path / "bad.onnx")


def test_options_of_another_framework_are_an_error() -> None:
    with pytest.raises(ValueError, match="takes not all of the options example_inputs"):
        wrap(NET, example_inputs=photos(1))


def test_quantized_program_is_the_model_itself() -> None:
    assert wrap(NET).quantized(NET).to_onnx() == NET


def test_model_in_memory_without_its_external_weights_is_an_error(tmp_path: Path) -> None:
    model = onnx.ModelProto.FromString(NET.SerializeToString())
    onnx.save(model, str(tmp_path / "net.onnx"), save_as_external_data=True, size_threshold=0)
    with pytest.raises(WeightsError, match="pass the path of its file"):
        wrap(model)  # onnx.save has removed its weights
    assert wrap(tmp_path / "net.onnx").output_names == wrap(NET).output_names


def test_the_home_folder_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    onnx.save(network(), str(tmp_path / "net.onnx"))
    assert wrap("~/net.onnx").framework == "onnx"
    with pytest.raises(WeightsError, match="~/other.onnx does not exist"):
        wrap("~/other.onnx")

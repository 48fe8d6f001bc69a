from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import openvino
import pytest

from furiosa_models.errors import ConversionError, FuriosaModelsError, ShapeError, WeightsError
from furiosa_models.frameworks import recognize, wrap
from tests.unit.quantization.poisoned import photos
from tests.unit.quantization.small import network

NET = network(scaled_inside=False)


@pytest.fixture
def model(tmp_path: Path) -> openvino.Model:
    onnx.save(NET, str(tmp_path / "net.onnx"))
    return openvino.Core().read_model(str(tmp_path / "net.onnx"))


def test_model_in_memory_is_saved_and_read_again(model: openvino.Model, tmp_path: Path) -> None:
    wrapped = wrap(model)
    expected = wrap(NET).run(photos(2))[0]
    assert (wrapped.framework, wrapped.form) == ("openvino", "Model")
    assert (wrapped.input_names, wrapped.output_names) == (["image"], ["logits"])
    assert "Convolution" in wrapped.graph_info.values()
    np.testing.assert_allclose(wrapped.run(photos(2))[0], expected, atol=1e-5)
    path = wrapped.save(tmp_path / "saved" / "net")
    assert path == tmp_path / "saved" / "net.xml"
    again = wrap(path)
    assert again.form == "IR"
    np.testing.assert_allclose(again.run({"image": photos(2)})[0], expected, atol=1e-5)
    with pytest.raises(FuriosaModelsError, match="already exists"):
        wrapped.save(path)


def test_names_may_be_set(model: openvino.Model) -> None:
    wrapped = wrap(model, input_names=["photo"])
    assert wrapped.input_names == ["photo"]
    wrapped.output_names = ["scores"]
    assert wrapped.output_names == ["scores"]
    with pytest.raises(ShapeError, match="expected 1 names"):
        wrapped.output_names = ["a", "b"]


def test_conversion_is_an_error_with_advice(model: openvino.Model) -> None:
    with pytest.raises(ConversionError, match="device='openvino'"):
        wrap(model).to_onnx()
    with pytest.raises(ConversionError, match="cannot be written back"):
        wrap(model).quantized(NET)


def test_other_xml_files_are_not_recognized(tmp_path: Path) -> None:
    (tmp_path / "page.xml").write_text("<html></html>")
    assert recognize(tmp_path / "page.xml") is None
    (tmp_path / "broken.xml").write_text('<?xml version="1.0"?>\n<net name="x" version="11">')
    with pytest.raises(WeightsError, match="cannot be read by OpenVINO"):
        recognize(tmp_path / "broken.xml")

from __future__ import annotations

import contextlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx.reference import ReferenceEvaluator

from furiosa_models.errors import (
    ConversionError,
    ExtraRequired,
    FuriosaModelsError,
    ShapeError,
    WeightsError,
)
from furiosa_models.frameworks import wrap
from furiosa_models.frameworks.tflite import TfliteModel, recognize

from . import samples
from .network import Network, compare, random_array, sessions

DATA = samples.small()


def test_bytes_and_files_are_recognized(tmp_path: Path) -> None:
    (tmp_path / "named.tflite").write_bytes(DATA)
    (tmp_path / "unnamed").write_bytes(DATA)
    (tmp_path / "other.bin").write_bytes(b"data")
    for source, form in ((DATA, "bytes"), (tmp_path / "named.tflite", "file")):
        model = wrap(source)
        assert (model.framework, model.form, model.raw) == ("tflite", form, DATA)
    assert wrap(str(tmp_path / "unnamed")).framework == "tflite"
    assert recognize(tmp_path / "other.bin") is None
    assert recognize(b"other bytes") is recognize(DATA.decode("latin1")) is None


def test_other_contents_of_a_tflite_file_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "model.tflite").write_bytes(b"<html>")
    with pytest.raises(WeightsError, match="not a TensorFlow Lite model"):
        wrap(tmp_path / "model.tflite")


def test_onnx_bytes_stay_onnx() -> None:
    converted = TfliteModel(DATA).to_onnx()
    assert wrap(converted.SerializeToString()).framework == "onnx"


def test_names_and_operations_are_those_of_the_file() -> None:
    model = wrap(DATA)
    assert model.input_names == ["image"]
    assert model.output_names == ["mean"]
    assert model.graph_info == {"features": "CONV_2D", "active": "HARD_SWISH", "mean": "MEAN"}
    converted = model.to_onnx()
    assert {t.name for t in converted.graph.initializer} >= {"weights/channels_first", "bias"}
    (shape,) = [i.type.tensor_type.shape for i in converted.graph.input]
    assert [dim.dim_value for dim in shape.dim] == [1, 5, 6, 3]


def test_other_outputs_can_be_chosen() -> None:
    model = TfliteModel(DATA)
    model.output_names = ["active", "features"]
    converted = model.to_onnx()
    assert [output.name for output in converted.graph.output] == ["active", "features"]
    assert "mean" not in {node.name for node in converted.graph.node}
    x = random_array((1, 5, 6, 3))
    given = model.run([x])
    reference = ReferenceEvaluator(converted).run(None, {"image": x})
    for found, wanted in zip(reference, given, strict=True):
        np.testing.assert_allclose(found, wanted, atol=1e-5)


@pytest.mark.parametrize("names", [["weights"], ["absent"], [], ["mean", "mean"]])
def test_outputs_that_the_graph_does_not_compute_are_errors(names: list[str]) -> None:
    model = TfliteModel(DATA)
    with pytest.raises(ShapeError, match="expected different names of tensors"):
        model.output_names = names
    assert model.output_names == ["mean"]


def test_inputs_are_fixed() -> None:
    model = TfliteModel(DATA)
    model.input_names = ["image"]
    with pytest.raises(ShapeError, match="expected image, got features"):
        model.input_names = ["features"]


def test_wrong_inputs_are_errors() -> None:
    model = TfliteModel(DATA)
    with pytest.raises(ShapeError, match="expected 1 inputs"):
        model.run([random_array((1, 5, 6, 3))] * 2)
    with pytest.raises(ShapeError, match="input image: "):
        model.run(random_array((1, 5, 5, 3)))
    with pytest.raises(ShapeError, match="input image: "):
        model.run(np.zeros((1, 5, 6, 3), np.float64))


def test_saved_file_has_the_same_bytes(tmp_path: Path) -> None:
    model = TfliteModel(DATA)
    assert model.save(tmp_path / "folder" / "model") == tmp_path / "folder" / "model.tflite"
    assert (tmp_path / "folder" / "model.tflite").read_bytes() == DATA
    assert model.save(tmp_path / "model.lite") == tmp_path / "model.lite"
    with pytest.raises(FuriosaModelsError, match="already exists"):
        model.save(tmp_path / "model.lite")


def test_conversion_imports_neither_litert_nor_flatbuffers(tmp_path: Path) -> None:
    (tmp_path / "model.tflite").write_bytes(DATA)
    program = (
        "import sys; from furiosa_models.frameworks import wrap; wrap(sys.argv[1]).to_onnx(); "
        "print(*{'ai_edge_litert', 'flatbuffers', 'tensorflow'} & {*sys.modules})"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "model.tflite")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_absence_of_litert_is_an_error_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    with pytest.raises(ExtraRequired, match="ai-edge-litert"):
        TfliteModel(DATA).run(random_array((1, 5, 6, 3)))


def test_quantized_program_is_not_written_back() -> None:
    model = TfliteModel(DATA)
    with pytest.raises(ConversionError, match="cannot be written back to bytes of tflite"):
        model.quantized(model.to_onnx())


def test_all_unknown_operations_are_named() -> None:
    network = Network()
    x = network.input((3, 3))
    y = network.add("MATRIX_DIAG", [x], network.tensor((3, 3), name="first"))
    z = network.add("Mystery", [y], network.tensor((3, 3), name="second"), custom=b"1")
    with pytest.raises(
        ConversionError, match=r"MATRIX_DIAG \(first\); Mystery \(second\).*CONV_2D.*Convolution2D"
    ):
        TfliteModel(network.write(z, shaped=False)).to_onnx()


def test_computed_parameter_is_named() -> None:
    network = Network()
    pads = network.input((2, 2), "int32", name="pads")
    y = network.add("PAD", [network.input((3, 3)), pads], network.tensor((3, 3), name="padded"))
    with pytest.raises(ConversionError, match="PAD 'padded' cannot be converted: pads is computed"):
        TfliteModel(network.write(y, shaped=False)).to_onnx()


def test_equal_and_empty_names_become_unique() -> None:
    network = Network()
    x = network.input((2, 3), name="")
    y = network.add("NEG", [x], network.tensor((2, 3), name="same"))
    z = network.add("ABS", [y], network.tensor((2, 3), name="same"))
    w = network.add("ADD", [y, z], network.tensor((2, 3), name=""), options="AddOptions")
    data = network.write(w)
    assert len({*TfliteModel(data).graph_info}) == 3
    compare(data)


def test_names_that_look_like_forms_of_others_do_not_collide() -> None:
    network = Network()
    x = network.input((1, 4, 4, 2), name="x")
    y = network.add(
        "MAX_POOL_2D", [x], network.tensor((1,), name="x/channels_first"), options="Pool2DOptions",
        filterHeight=2, filterWidth=2, strideH=1, strideW=1,
    )  # fmt: skip
    z = network.add("RELU", [y], network.tensor((1,), name="x/channels_first/channels_first"))
    compare(network.write(y, z))


def test_outputs_that_are_inputs_or_constants_are_kept() -> None:
    network = Network()
    x = network.input((2, 3))
    constant = network.constant(random_array((2, 3)))
    twin = network.constant(random_array((2, 3)))
    same = network.add("RESHAPE", [x, network.constant([2, 3])])
    compare(network.write(constant, twin, same))
    compare(network.write(x, same))


def test_dequantized_constant_can_be_an_output() -> None:
    network = Network()
    half = random_array((4,)).astype(np.float16)
    y = network.add("DEQUANTIZE", [network.constant(half)], network.tensor((4,)))
    converted = TfliteModel(network.write(y, shaped=False)).to_onnx()
    for session in sessions(converted):  # XNNPACK cannot run it
        np.testing.assert_array_equal(session.run(None, {})[0], half.astype(np.float32))


def test_unused_operation_does_not_matter() -> None:
    network = Network()
    x = network.input((2, 3))
    network.add("MATRIX_DIAG", [x], network.tensor((2, 3)))
    y = network.add("NEG", [x], network.tensor((2, 3)))
    converted = TfliteModel(network.write(y, shaped=False)).to_onnx()
    assert [node.op_type for node in converted.graph.node] == ["Neg"]


def converts_or_refuses(data: bytes) -> None:
    with contextlib.suppress(WeightsError, ConversionError):
        TfliteModel(data).to_onnx()


@settings(max_examples=300)
@given(
    changes=st.lists(
        st.tuples(st.integers(0, len(DATA) - 1), st.integers(0, 255)), min_size=1, max_size=6
    )
)
def test_damaged_file_is_read_or_refused(changes: list[tuple[int, int]]) -> None:
    damaged = bytearray(DATA)
    for position, value in changes:
        damaged[position] = value
    damaged[4:8] = b"TFL3"
    converts_or_refuses(bytes(damaged))


@given(length=st.integers(0, len(DATA) - 1))
def test_truncated_file_is_refused(length: int) -> None:
    with pytest.raises((WeightsError, ConversionError)):
        TfliteModel(DATA[:length]).to_onnx()


@given(data=st.binary(max_size=300))
def test_random_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(WeightsError):
        TfliteModel(b"\x08\0\0\0TFL3" + data).to_onnx()


def test_operation_before_its_input_is_an_error() -> None:
    network = Network()
    x = network.input((2, 3))
    late = network.tensor((2, 3), name="late")
    y = network.add("NEG", [late], network.tensor((2, 3)))
    network.add("NEG", [x], late)
    with pytest.raises(WeightsError, match="late is used before an operation computes it"):
        TfliteModel(network.write(y, shaped=False)).to_onnx()


def test_tensor_computed_twice_is_an_error() -> None:
    network = Network()
    x = network.input((2, 3))
    y = network.add("NEG", [x], network.tensor((2, 3), name="twice"))
    network.add("ABS", [x], y)
    with pytest.raises(WeightsError, match="twice is computed by two operations"):
        TfliteModel(network.write(y, shaped=False)).to_onnx()

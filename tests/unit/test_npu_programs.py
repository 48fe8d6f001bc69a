"""NPU programs: published, compiled locally, or quantized ONNX for the vendor runtime."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import yaml

from furiosa_models import InferModel
from furiosa_models.artifacts import File
from furiosa_models.errors import (
    ArtifactNotFound,
    ArtifactUnavailable,
    BackendUnavailable,
    CompilationError,
    ConversionError,
)
from furiosa_models.quantization import CalibrationMethod, Calibrator, calibrated
from furiosa_models.runtime.sync import create_runner
from furiosa_models.vision import EfficientNetB0, EfficientNetLite0, SSDMobileNet
from tests.planted import plant

from .runtime.fake_compiler import IR_VERSION, VERSION, FakeCompiler
from .runtime.fake_vendor import forget, install_with_device

ROOT = Path(__file__).parents[2]
ENF = b"a published program of the NPU"


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeCompiler:
    return FakeCompiler(monkeypatch, tmp_path)


@pytest.fixture
def _npu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Install a fake vendor runtime with a device."""
    forget()
    install_with_device(monkeypatch, tmp_path)
    yield
    forget()


@pytest.fixture(scope="module")
def calibration() -> calibrated.Calibration:
    """Ranges for a network with random weights, whose results are meaningless."""
    program = EfficientNetLite0(weights="random").model_source(precision="fp32")
    image = np.random.default_rng(0).integers(0, 256, (1, 3, 224, 224), np.uint8)
    calibrator = Calibrator(program, CalibrationMethod.MIN_MAX_ASYM)
    calibrator.collect_data([[image]])
    ranges = {name: list(pair) for name, pair in calibrator.compute_range().items()}
    return calibrated.Calibration(ranges)


@pytest.fixture
def _calibrated(
    monkeypatch: pytest.MonkeyPatch, calibration: calibrated.Calibration, tmp_path: Path
) -> None:
    (tmp_path / "stand-in.yaml").touch()
    monkeypatch.setattr(calibrated, "calibration_file", lambda *_: tmp_path / "stand-in.yaml")
    monkeypatch.setattr(calibrated, "read_calibration", lambda *_: calibration)


@pytest.fixture
def model() -> EfficientNetLite0:
    return EfficientNetLite0(weights="random")


def enf_file(version: str = IR_VERSION, size: str = "2pe") -> File:
    return SSDMobileNet.catalog()["published"].enf[version][size]


@pytest.mark.parametrize("revision", ["8b00177dc", "8b00177"])
def test_published_program_of_the_installed_compiler(fake: FakeCompiler, revision: str) -> None:
    fake.say(VERSION.replace("8b00177dc", revision))
    plant(enf_file(), ENF)
    assert SSDMobileNet().fetch_enf() == SSDMobileNet().model_source() == ENF
    assert SSDMobileNet().npu_program() == ENF
    assert fake.calls == []


def test_older_compiler_has_its_own_published_program(fake: FakeCompiler) -> None:
    fake.say("Furiosa SDK Compiler v0.10.0 (f8f05c8ea 2023-07-31T19:30:30Z)")
    plant(enf_file("0.10.0_f8f05c8ea", "1pe"), b"old")
    plant(enf_file(size="1pe"), b"new")
    assert SSDMobileNet().fetch_enf(1) == b"old"
    assert SSDMobileNet().fetch_enf(1, IR_VERSION) == b"new"


@pytest.mark.usefixtures("_calibrated")
def test_unpublished_program_is_compiled_once_and_cached(
    fake: FakeCompiler, model: EfficientNetLite0
) -> None:
    program = model.fetch_enf()
    assert program.startswith(b"ENF warboy-2pe of")
    assert model.model_source() == model.npu_program() == program
    assert EfficientNetLite0(weights="random").fetch_enf(ir_version=IR_VERSION) == program
    assert model.fetch_enf(1).startswith(b"ENF warboy of")
    assert fake.calls == ["warboy-2pe", "warboy"]
    fake.say(VERSION.replace("0.10.1", "0.11.0"))
    model.fetch_enf()
    assert len(fake.calls) == 3


@pytest.mark.usefixtures("_calibrated")
def test_resolve_all_compiles_both_sizes(fake: FakeCompiler, model: EfficientNetLite0) -> None:
    model.resolve_all()
    assert fake.calls == ["warboy", "warboy-2pe"]


@pytest.mark.usefixtures("_calibrated")
def test_compiler_input_is_a_quantized_opset_13_graph(
    fake: FakeCompiler, model: EfficientNetLite0
) -> None:
    model.fetch_enf()
    given = onnx.load_from_string(fake.model)
    onnx.checker.check_model(given, full_check=True)
    assert [opset.version for opset in given.opset_import if not opset.domain] == [13]
    (image,) = given.graph.input
    assert image.type.tensor_type.elem_type == onnx.TensorProto.UINT8
    assert [dim.dim_value for dim in image.type.tensor_type.shape.dim] == [1, 3, 224, 224]
    assert "QuantizeLinear" in {node.op_type for node in given.graph.node}
    pixels = np.random.default_rng(0).integers(0, 256, (1, 3, 224, 224), np.uint8)
    with (
        create_runner(fake.model, device="cpu") as compiled,
        create_runner(model._programs._int8(reduce_range=False), device="cpu") as here,
    ):
        np.testing.assert_array_equal(compiled.run(pixels)[0], here.run(pixels)[0])


@pytest.mark.usefixtures("_calibrated")
def test_failed_compilation_is_not_cached(fake: FakeCompiler, model: EfficientNetLite0) -> None:
    modes = ("fail", "empty", "fail")
    uses = (model.fetch_enf, model.model_source, model.npu_program)
    for mode, use in zip(modes, uses, strict=True):
        fake.behave(mode)
        with pytest.raises(CompilationError, match="furiosa-compiler 0.10.1_8b00177dc"):
            use()
    fake.behave("well")
    assert model.fetch_enf().startswith(b"ENF")
    assert len(fake.calls) == 4


@pytest.mark.usefixtures("_calibrated")
def test_many_processes_compile_once(
    fake: FakeCompiler,
    model: EfficientNetLite0,
    calibration: calibrated.Calibration,
    tmp_path: Path,
) -> None:
    model.cpu_program(precision="int8")
    fake.behave("slow")
    ranges = fake.folder / "ranges.yaml"
    ranges.write_text(yaml.dump(calibration.ranges))
    code = (
        "import pathlib, sys, yaml;"
        "from furiosa_models.quantization import calibrated;"
        "from furiosa_models.vision import EfficientNetLite0;"
        "found = calibrated.Calibration(yaml.safe_load(open(sys.argv[1])));"
        "calibrated.calibration_file = lambda *_: pathlib.Path(sys.argv[2]);"
        "calibrated.read_calibration = lambda *_: found;"
        "print(EfficientNetLite0(weights='random').fetch_enf().decode())"
    )
    command = [sys.executable, "-c", code, str(ranges), str(tmp_path / "stand-in.yaml")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    processes = [
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
        for _ in range(3)
    ]
    said = {process.communicate()[0].strip() for process in processes}
    assert [process.returncode for process in processes] == [0] * 3
    assert said == {model.fetch_enf().decode()}
    assert fake.calls == ["warboy-2pe"]


@pytest.mark.usefixtures("fake")
def test_uncalibrated_weights_are_an_error(model: EfficientNetLite0) -> None:
    for use in (model.fetch_enf, model.model_source, model.npu_program):
        with pytest.raises(ArtifactNotFound, match="was not calibrated for int8"):
            use()


@pytest.mark.usefixtures("_calibrated")
def test_unreachable_published_program_is_compiled(
    fake: FakeCompiler, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("FURIOSA_MODELS_OFFLINE", "1")
    origin = EfficientNetB0.catalog()["published"].files[0]
    plant(origin, EfficientNetLite0(weights="random").origin)
    assert EfficientNetB0().fetch_enf().startswith(b"ENF warboy-2pe")
    assert "Compiling it instead" in caplog.text
    assert fake.calls == ["warboy-2pe"]
    with pytest.raises(ArtifactUnavailable, match="every source was tried"):
        EfficientNetB0().fetch_enf(ir_version="0.10.0_f8f05c8ea")


def test_other_weights_have_no_published_program() -> None:
    plant(enf_file(), ENF)
    with pytest.raises(ArtifactNotFound, match="none of the weights 'random'.*furiosa-compiler"):
        SSDMobileNet(weights="random").fetch_enf()


@pytest.mark.parametrize("device", ["cpu", "openvino"])
def test_requested_cpu_gets_the_cpu_program(
    fake: FakeCompiler, model: EfficientNetLite0, monkeypatch: pytest.MonkeyPatch, device: str
) -> None:
    monkeypatch.setenv("FURIOSA_MODELS_DEVICE", device)
    assert model.model_source() == model.cpu_program().read_bytes()
    monkeypatch.delenv("FURIOSA_MODELS_DEVICE")
    assert model.model_source(precision="fp32") == model.cpu_program().read_bytes()
    assert fake.calls == []


@pytest.mark.usefixtures("_npu", "_calibrated")
def test_vendor_runtime_without_compiler_gets_quantized_onnx(
    model: EfficientNetLite0, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    given = model.model_source()
    assert model.npu_program() == given
    assert "quantized ONNX" in caplog.text
    assert "which compiles it itself" in caplog.text
    nodes = onnx.load_from_string(given).graph.node
    assert "QuantizeLinear" in {node.op_type for node in nodes}


@pytest.mark.usefixtures("_npu")
def test_vendor_runtime_without_compiler_gets_no_float_program(
    model: EfficientNetLite0,
) -> None:
    for use in (model.model_source, lambda: create_runner(model)):
        with pytest.raises(ArtifactNotFound, match="was not calibrated for int8"):
            use()


@pytest.mark.usefixtures("_npu")
def test_vendor_runtime_without_compiler_gets_the_newest_program() -> None:
    plant(enf_file(), ENF)
    assert SSDMobileNet().model_source() == ENF


def test_published_ranges_are_the_fallback(
    calibration: calibrated.Calibration,
) -> None:
    published: Any = EfficientNetB0.catalog()["published"]
    plant(published.files[0], EfficientNetLite0(weights="random").origin)
    plant(published.tensor_ranges, yaml.dump(calibration.ranges).encode())
    program = EfficientNetB0(weights="published").model_source(precision="int8")
    operations = {node.op_type for node in onnx.load_from_string(program).graph.node}
    assert "QuantizeLinear" in operations


@pytest.mark.usefixtures("_calibrated")
def test_exported_enf_runs_on_the_npu_as_it_is(
    fake: FakeCompiler, model: EfficientNetLite0, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    exported = model.export("enf", out_dir=tmp_path / "exported")
    assert fake.calls == ["warboy-2pe"]
    path = tmp_path / "exported" / "model.enf"
    assert path.read_bytes() == model.fetch_enf()
    with pytest.raises(BackendUnavailable):
        exported.steps()
    forget()
    calls = install_with_device(monkeypatch, tmp_path)
    try:
        for opened in (exported, InferModel(path), InferModel(tmp_path / "exported")):
            assert opened.labels == model.labels
            pixels = np.full((1, 3, 224, 224), 7, np.uint8)
            (output,) = opened.steps().run(pixels)
            np.testing.assert_array_equal(output, -pixels)  # the fake negates what it gets
            assert calls[-1][0] == path.read_bytes()
            with pytest.raises(ConversionError, match="runs as it is"):
                opened.save(tmp_path / "copy")
    finally:
        forget()

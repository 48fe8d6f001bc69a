from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from furiosa_models import networks
from furiosa_models.cli import cli
from furiosa_models.errors import ConfigurationError, FuriosaModelsError, WeightsError
from furiosa_models.frameworks import wrap
from tests.unit.frameworks.tflite.samples import small


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "net.tflite"
    path.write_bytes(small())
    return path


def convert(*arguments: object) -> str:
    done = CliRunner().invoke(cli, ["convert", *map(str, arguments)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def test_file_is_converted_and_described(file: Path, tmp_path: Path) -> None:
    said = convert(file, "-o", tmp_path / "new" / "net.onnx")
    assert "input image: float32 [1, 5, 6, 3]" in said
    assert "furiosa-models predict" in said
    assert wrap(tmp_path / "new" / "net.onnx").input_names == ["image"]


def test_json_has_the_tensors(file: Path, tmp_path: Path) -> None:
    output = tmp_path / "features.onnx"
    said = json.loads(convert(file, "-o", output, "--output-name", "features", "--json"))
    assert (said["framework"], said["form"]) == ("tflite", "file")
    assert [tensor["name"] for tensor in said["outputs"]] == ["features"]
    assert wrap(output).output_names == ["features"]


def test_existing_file_is_kept(file: Path, tmp_path: Path) -> None:
    output = tmp_path / "net.onnx"
    output.write_text("mine")
    with pytest.raises(FuriosaModelsError, match="already exists"):
        convert(file, "-o", output)
    assert output.read_text() == "mine"


def test_unknown_files_and_options_are_errors(file: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(WeightsError, match="format of .*notes.txt is unknown"):
        convert(tmp_path / "notes.txt", "-o", tmp_path / "x.onnx")
    with pytest.raises(ConfigurationError, match="options network"):
        convert(file, "-o", tmp_path / "x.onnx", "--network", networks.NETWORKS[0])
    done = CliRunner().invoke(
        cli, ["convert", str(file), "-o", str(tmp_path / "x.onnx"), "--shape", "a,b"]
    )
    assert done.exit_code == 2
    assert "--shape: expected numbers" in done.output
    assert not (tmp_path / "x.onnx").exists()

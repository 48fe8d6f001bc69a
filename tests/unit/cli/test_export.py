"""`furiosa-models export`, `info`, `doctor --offline`, `list --license` and `explain`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from furiosa_models import errors
from furiosa_models.cli import cli
from furiosa_models.errors import ArtifactNotFound
from furiosa_models.vision import EfficientNetLite0, YOLOv5n


def run(*arguments: object) -> Any:
    return CliRunner().invoke(cli, [str(each) for each in arguments], catch_exceptions=False)


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("own") / "own.onnx"
    path.write_bytes(EfficientNetLite0("random").origin)
    return path


@pytest.mark.parametrize("size", ["192", "192,256", "192x256"])
def test_export_writes_a_file_that_every_command_takes(
    size: str, graph: Path, photos: list[Path], tmp_path: Path
) -> None:
    done = run("export", graph, "-o", tmp_path, "--im-size", size, "--json")
    found = json.loads(done.stdout)
    assert found["file"] == str(tmp_path / "model.onnx")
    assert found["input"] == [192, 192 if size == "192" else 256]
    assert found["bytes"] == (tmp_path / "model.onnx").stat().st_size
    for name in (tmp_path, tmp_path / "model.onnx"):
        shown = json.loads(run("predict", name, photos[0], "--json").stdout)
        assert len(shown["photos"][0]["results"]) == 5
    text = run("export", graph, "-o", tmp_path, "--im-size", size, "--keep").output
    assert "for onnx_cpu" in text


@pytest.mark.parametrize("size", ["", "big", "1,2,3", "640x"])
def test_export_rejects_sizes(size: str, graph: Path, tmp_path: Path) -> None:
    done = run("export", graph, "-o", tmp_path, "--im-size", size)
    assert done.exit_code == 2
    assert "480x640" in done.output


def test_info_tells_what_things_are(graph: Path, tmp_path: Path) -> None:
    found = json.loads(run("info", graph, "--json").stdout)
    assert (found["format"], found["model"], found["head"]) == (
        "ONNX",
        "Classifier",
        "ClassificationHead",
    )
    image = {"name": "image", "dtype": "float32", "shape": [None, 3, 224, 224]}
    assert found["inputs"] == [image]
    assert "image float32 (n, 3, 224, 224)" in run("info", graph).output
    folder = YOLOv5n("random").save(tmp_path / "saved")
    saved = json.loads(run("info", folder, "--json").stdout)
    assert (saved["model"], saved["name"], saved["task"]) == ("YOLOv5n", "YOLOv5Nano", "detection")
    assert saved["labels"][:2] == ["person", "bicycle"]
    weights = json.loads(run("info", folder / "model.safetensors", "--json").stdout)
    assert weights["framework"] == "weights (safetensors)"
    assert "model.0.conv.weight" in [array["name"] for array in weights["arrays"]]
    text = run("info", folder).output
    assert "YOLOv5Head" in text
    assert "80: person, bicycle, car, motorcycle, airplane, ... 75 more" in text
    (tmp_path / "notes.txt").write_text("no model")
    other = run("info", tmp_path / "notes.txt").output
    assert "not recognized" in other
    with pytest.raises(ArtifactNotFound, match="nothing"):
        run("info", tmp_path / "nothing")


def test_embedded_files_run_in_the_command(
    graph: Path, photos: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("export", graph, "-o", tmp_path, "--embed")
    path = tmp_path / "model_embedded.onnx"
    for name in (path, tmp_path):
        shown = json.loads(run("predict", name, photos[0], "--json").stdout)
        assert len(shown["photos"][0]["results"]) == 5
        assert json.loads(run("info", name, "--json").stdout)["model"] == "InferModel"
    monkeypatch.setenv("RUNTIME_TYPE", "onnx_openvino")
    done = json.loads(run("export", graph, "-o", tmp_path / "x", "--json").stdout)
    assert done["runtime"] == "onnx_openvino"


def test_exported_folders_run_on_their_runtime(
    graph: Path, photos: list[Path], tmp_path: Path
) -> None:
    run("export", graph, "-o", tmp_path, "--runtime", "onnx_openvino")
    measured = json.loads(run("bench", tmp_path, photos[0], "--json").stdout)
    assert measured["backend"].startswith("openvino")
    measured = json.loads(run("bench", tmp_path, photos[0], "--device", "cpu", "--json").stdout)
    assert not measured["backend"].startswith("openvino")
    saved = tmp_path / "int8"
    run("quantize", tmp_path, "--images", photos[0].parent, "--output", saved)
    shown = json.loads(run("predict", saved, photos[0], "--json").stdout)
    assert len(shown["photos"][0]["results"]) == 5


def test_info_of_a_foreign_or_broken_folder(tmp_path: Path) -> None:
    (tmp_path / "model_info.json").write_text('{"name": "x"}')
    found = json.loads(run("info", tmp_path, "--json").stdout)
    assert found["name"] == "x"
    assert "is missing" in found["problem"]


def test_offline_check_of_a_file_runs_it(graph: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FURIOSA_MODELS_OFFLINE", "0")  # restored afterwards
    done = run("doctor", "--offline", graph, "--json")
    assert done.exit_code == 0
    assert [fact["is_fine"] for fact in json.loads(done.stdout)] == [True]


def test_offline_check_names_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FURIOSA_MODELS_OFFLINE", "0")
    done = run("doctor", "--offline", "SSDMobileNetV2", "--json")
    assert done.exit_code == 1
    facts = json.loads(done.stdout)
    assert facts[0]["finding"] == "frozen_inference_graph.pb is not in the cache"
    assert "furiosa-models fetch SSDMobileNetV2" in facts[0]["advice"]
    assert facts[-1]["is_fine"] is False


def test_models_are_listed_by_license() -> None:
    def names(*arguments: str) -> set[str]:
        rows = json.loads(run("list", "--json", *arguments).stdout)
        return {row["model"] for row in rows}

    free = names("--license", "permissive")
    assert "SSDMobileNetV2" in free
    assert not {name for name in free if name.startswith("YOLOv")}
    assert names("--license", "bsd-3-clause") == {"EfficientNetV2s", "MobileNetV2"}
    assert names("detect", "--license", "permissive") < free
    done = run("list", "--license", "GPL")
    assert done.exit_code == 2
    assert "AGPL-3.0-only" in done.output


def test_every_error_is_explained() -> None:
    rows = run("explain").output.splitlines()
    assert len(rows) > 30
    for name, kind in vars(errors).items():
        if isinstance(kind, type) and issubclass(kind, errors.FuriosaModelsError):
            text = run("explain", kind.__name__.lower()).output
            assert text.startswith(kind.__name__)
            is_base = kind in (errors.FuriosaModelsError, errors.ArtifactError)
            assert is_base or text.strip().count("\n\n") >= 1, f"{name}: what to check is missing"
    done = run("explain", "WeightError")
    assert done.exit_code == 2
    assert "did you mean WeightsError" in done.output

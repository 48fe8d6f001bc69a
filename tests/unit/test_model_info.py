"""`ModelInfo`: reads and writes `model_info.json` in the form of Focoos."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from furiosa_models.enums import ModelExtension, ModelFamily, ModelStatus, RuntimeType, Task
from furiosa_models.errors import WeightsError
from furiosa_models.focoos import LatencyMetrics
from furiosa_models.model_info import ModelInfo, TrainingInfo
from furiosa_models.training.args import TrainerArgs

SHELVES: dict[str, Any] = {
    "name": "shelves",
    "model_family": "fai_detr",
    "classes": ["box", "pallet"],
    "im_size": 640,
    "task": "detection",
    "config": {"num_classes": 2, "backbone_config": {"model_type": "stdc", "layers": [4, 5, 3]}},
    "ref": None,
    "focoos_model": "fai-detr-m-coco",
    "status": "TRAINING_COMPLETED",
    "description": None,
    "train_args": None,
    "weights_uri": "model_final.pth",
    "val_dataset": "shelves",
    "val_metrics": {"bbox/AP": 44.7},
    "focoos_version": "0.25.0",
    "latency": [
        {
            "fps": 180,
            "engine": "onnx.TensorrtExecutionProvider",
            "min": 5.1,
            "max": 6.0,
            "mean": 5.5,
            "std": 0.1,
            "im_size": 640,
            "device": "Tesla T4",
        }
    ],
    "training_info": None,
    "updated_at": None,
}


def test_a_file_of_focoos_is_read_and_written_back(tmp_path: Path) -> None:
    path = tmp_path / "model_info.json"
    path.write_text(json.dumps(SHELVES), encoding="utf-8")
    info = ModelInfo.from_json(path)
    assert info.model_family is ModelFamily.DETR
    assert info.task is Task.DETECTION
    assert info.status is ModelStatus.TRAINING_COMPLETED
    assert info.latency == [LatencyMetrics(**SHELVES["latency"][0])]
    info.dump_json(tmp_path / "again.json")
    text = (tmp_path / "again.json").read_text(encoding="utf-8")
    assert json.loads(text) == SHELVES
    assert text.startswith('{\n    "name": "shelves"')


def test_attributes_keys_and_indices_agree() -> None:
    info = ModelInfo.from_json(SHELVES)
    assert info["name"] == info.name == info[0] == "shelves"
    assert list(info) == list(SHELVES)
    assert None not in info.to_tuple()
    assert asdict(info)["classes"] == ["box", "pallet"]
    assert dict(info)["task"] is Task.DETECTION
    info["name"] = "other"
    assert info.name == "other"
    with pytest.raises(KeyError):
        info["nonsense"]
    with pytest.raises(KeyError):
        info["nonsense"] = 1


@pytest.mark.parametrize(
    ("given", "stored", "size"),
    [
        (640, 640, (640, 640)),
        ("640", 640, (640, 640)),
        ([480, 640], (480, 640), (480, 640)),
        ((480, 640), (480, 640), (480, 640)),
    ],
)
def test_sizes_are_numbers_or_pairs(given: Any, stored: Any, size: tuple[int, int]) -> None:
    info = ModelInfo.from_json({**SHELVES, "im_size": given})
    assert info.im_size == stored
    assert info.size == size


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"task": "walking"}, "task must be one of"),
        ({"im_size": 0}, "im_size must be"),
        ({"im_size": [1, 2, 3]}, "im_size must be"),
        ({"im_size": True}, "im_size must be"),
        ({"classes": "box"}, "classes must be a list"),
        ({"classes": 3}, "not iterable"),
        ({"config": []}, "config must be a dictionary"),
        ({"status": "SLEEPING"}, "status must be one of"),
        ({"latency": [{"fps": 1}]}, "missing"),
        ({"latency": 3}, "latency must be a list"),
        ({"train_args": {"run_name": "x", "batch_size": 0}}, "batch_size"),
        ({"train_args": []}, "train_args must be a dictionary"),
    ],
)
def test_wrong_values_are_errors_that_name_the_field(change: dict[str, Any], words: str) -> None:
    with pytest.raises(WeightsError, match=words):
        ModelInfo.from_json({**SHELVES, **change})


@pytest.mark.parametrize("name", ["name", "model_family", "classes", "im_size", "task", "config"])
def test_missing_fields_are_named(name: str) -> None:
    without = {key: value for key, value in SHELVES.items() if key != name}
    with pytest.raises(WeightsError, match=f"{name} is missing"):
        ModelInfo.from_json(without)


def test_unreadable_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "model_info.json"
    with pytest.raises(WeightsError, match="model_info.json: No such file"):
        ModelInfo.from_json(path)
    for text in ("", "[]", "{", "[" * 100_000):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(WeightsError, match=str(path)):
            ModelInfo.from_json(path)


def test_unknown_fields_are_ignored() -> None:
    info = ModelInfo.from_json(
        {
            **SHELVES,
            "new": 1,
            "train_args": {"run_name": "shelves", "vis_period": 3},
            "training_info": {"main_status": "running", "color": "red"},
        }
    )
    assert info.train_args == TrainerArgs("shelves")
    assert info.training_info == TrainingInfo(main_status="running")
    assert ModelInfo.from_json(info.to_dict()) == info


def test_families_of_the_zoo_are_strings() -> None:
    assert ModelInfo.from_json({**SHELVES, "model_family": "YOLO"}).model_family == "YOLO"


def test_pprint_logs_seven_lines(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "furiosa_models"):
        ModelInfo.from_json(SHELVES).pprint()
    assert len(caplog.records) == 7
    assert "shelves" in caplog.text


def test_runtime_types_are_known_by_value_and_by_name() -> None:
    assert RuntimeType("ONNX_CUDA32") is RuntimeType("onnx_cuda32") is RuntimeType.ONNX_CUDA32
    assert str(RuntimeType.ONNX_CPU) == repr(RuntimeType.ONNX_CPU) == "onnx_cpu"
    assert str(Task.DETECTION) == "Task.DETECTION"
    extensions = {each: ModelExtension.from_runtime_type(each).value for each in RuntimeType}
    assert extensions[RuntimeType.TORCHSCRIPT_32] == "pt"
    assert extensions[RuntimeType.ONNX_TRT16] == "onnx"
    assert extensions[RuntimeType.ENF] == "enf"

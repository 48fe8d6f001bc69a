from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from furiosa_models import get_model
from furiosa_models.cli import cli
from furiosa_models.errors import ModelNotFound
from furiosa_models.task_models import Classifier, Detector
from furiosa_models.vision import EfficientNetLite0, SSDMobileNet


def test_quantized_file_is_saved_as_a_model_folder(photos: list[Path], tmp_path: Path) -> None:
    graph = tmp_path / "own.onnx"
    graph.write_bytes(EfficientNetLite0("random").origin)
    (tmp_path / "photos").mkdir()
    for photo in photos[:2]:
        (tmp_path / "photos" / photo.name).symlink_to(photo)
    run = CliRunner()
    arguments = ["quantize", str(graph), "--images", str(tmp_path / "photos"), "--json"]
    done = run.invoke(cli, [*arguments, "-o", str(tmp_path / "int8")], catch_exceptions=False)
    assert done.exit_code == 0
    report = json.loads(done.stdout)
    assert (report["model"], report["photos"]) == ("Classifier", 2)
    assert report["size_after"] < report["size_before"]
    predicted = ["predict", str(tmp_path / "int8"), str(photos[0]), "--json"]
    found = json.loads(run.invoke(cli, predicted, catch_exceptions=False).stdout)
    assert len(found["photos"][0]["results"]) == 5
    again = run.invoke(cli, [*arguments, "-o", str(tmp_path / "int8")])
    assert "already exists" in str(again.exception)


def test_greatest_loss_needs_labels(photos: list[Path], tmp_path: Path) -> None:
    arguments = [
        "quantize",
        "SSDMobileNet",
        "--images",
        str(photos[0].parent),
        "--max-loss",
        "0.01",
    ]
    done = CliRunner().invoke(cli, [*arguments, "-o", str(tmp_path / "int8")])
    assert done.exit_code == 2
    assert "--max-loss needs --truth" in done.output


def test_layers_stay_float_until_the_loss_is_small(photos: list[Path], tmp_path: Path) -> None:
    graph = tmp_path / "own.onnx"
    graph.write_bytes(EfficientNetLite0("random").origin)
    (tmp_path / "photos").mkdir()
    for photo in photos:
        (tmp_path / "photos" / photo.name).symlink_to(photo)
    model = get_model(str(graph))
    rows = [f"{p.name},{model.predict(p).class_ids[0]}" for p in photos]
    truth = tmp_path / "truth.csv"
    truth.write_text("file,class_index\n" + "\n".join(rows) + "\n")
    done = CliRunner().invoke(
        cli,
        [
            *("quantize", str(graph), "--images", str(tmp_path / "photos"), "--truth", str(truth)),
            *("--max-loss", "0.0", "--max-trials", "3", "-o", str(tmp_path / "int8"), "--json"),
        ],
        catch_exceptions=False,
    )
    report = json.loads(done.stdout)
    assert report["accuracy_before"]["top-1"] == 1.0
    assert report["fitted"]["met"] == (report["accuracy_after"]["top-1"] == 1.0)
    assert 1 <= len(report["fitted"]["trials"]) <= 3
    assert "program" not in report["fitted"]


def test_truth_may_be_a_data_set_with_photos_of_its_own(photos: list[Path], tmp_path: Path) -> None:
    graph = tmp_path / "own.onnx"
    graph.write_bytes(EfficientNetLite0("random").origin)
    found = get_model(str(graph)).predict(photos[0])
    names = tmp_path / "names.txt"
    names.write_text("\n".join(f"class {i}" for i in range(1000)))
    folder = tmp_path / "things" / "val" / f"class {found.class_ids[0]}"
    folder.mkdir(parents=True)
    (folder / photos[0].name).symlink_to(photos[0])
    options = ["--labels", str(names), "--truth", str(tmp_path / "things"), "--json"]
    done = CliRunner().invoke(
        cli,
        [
            *("quantize", str(graph), "--images", str(photos[0].parent)),
            *(*options, "-o", str(tmp_path / "int8")),
        ],
        catch_exceptions=False,
    )
    report = json.loads(done.stdout)
    assert report["photos"] == len(photos)
    assert report["accuracy_before"] == {"top-1": 1.0, "top-5": 1.0}


def test_task_of_a_file_follows_from_its_outputs(tmp_path: Path) -> None:
    classifier, detector = tmp_path / "a.onnx", tmp_path / "saved"
    classifier.write_bytes(EfficientNetLite0("random").origin)
    SSDMobileNet("random").save(detector)
    assert isinstance(get_model(str(classifier)), Classifier)
    assert isinstance(get_model(str(detector)), Detector)
    with pytest.raises(ModelNotFound, match=r"there is no file .*none\.onnx"):
        get_model(str(tmp_path / "none.onnx"))

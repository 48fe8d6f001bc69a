"""A fake of FuriosaAI's bucket.

It is a local server with files in the bucket's layout: the published networks with
random weights, under their real names. Only hashes, sizes and the endpoint differ from zoo.json.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from furiosa_models.artifacts import descriptor
from furiosa_models.spec import NetworkSpec
from furiosa_models.weights import build_random

RANGES = b"x: [0.0, 1.0]\n"

PUBLISHED = {
    "EfficientNetB0": NetworkSpec("efficientnet", {"variant": "b0"}),
    "EfficientNetV2s": NetworkSpec("efficientnet_v2", {}),
    "ResNet50": NetworkSpec("resnet", {"variant": "50", "argmax": True}),
    "SSDMobileNet": NetworkSpec("mobilenet_ssd", {}),
    "SSDResNet34": NetworkSpec("ssd_resnet34", {}),
    "YOLOv5m": NetworkSpec("yolov5", {"variant": "m", "num_classes": 10, "sigmoid": True}),
    "YOLOv5l": NetworkSpec("yolov5", {"variant": "l", "num_classes": 10, "sigmoid": True}),
    "YOLOv7w6Pose": NetworkSpec("yolov7_pose", {}),
}


def put(bucket: Path, data: bytes, old_layout: bool = False) -> dict[str, Any]:
    """Store a file in the bucket's layout; return its entry of the table."""
    md5 = hashlib.md5(data, usedforsecurity=False).hexdigest()
    path = bucket / ("files/md5" if old_layout else "") / md5[:2] / md5[2:]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return {"md5": md5, "size": len(data)}


@pytest.fixture
def use_bucket(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, serve: Callable[[Path], str]
) -> Callable[..., Path]:
    """Return a function that adds a bucket with a model to the catalog and returns its folder."""

    def use(model: str, *, old_layout: bool = False) -> Path:
        network = PUBLISHED[model]
        bucket = tmp_path / "bucket"
        bucket.mkdir()
        document = json.loads(descriptor.ZOO.read_text())
        document["bucket"]["endpoint"] = serve(bucket)
        (entry,) = [each for each in document["models"] if each["class"] == model]
        (published,) = [each for each in entry["weights"] if each["name"] == "published"]
        for file in (*published["files"], published["tensor_ranges"]):
            data = build_random(network) if file["name"].endswith(".onnx") else RANGES
            file.update(put(bucket, data, old_layout))
        found = descriptor.parse_zoo(document, "of the stand-in")
        monkeypatch.setattr(descriptor, "zoo", lambda: found)
        return bucket

    return use

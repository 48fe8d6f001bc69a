"""A stand-in for FuriosaAI's bucket.

The stand-in is a local server with files in the bucket's layout: the published networks with
random weights, under their real names. The descriptor is made by its own generator, from a table
in which only hashes, sizes and the endpoint differ.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from furiosa_models import artifacts, weights
from furiosa_models.weights import NetworkSpec, build_random

ROOT = Path(__file__).parents[2]

PUBLISHED = {
    "EfficientNetB0": ("efficientnet_b0", NetworkSpec("efficientnet", {"variant": "b0"})),
    "EfficientNetV2s": ("efficientnet_v2_s", NetworkSpec("efficientnet_v2", {})),
    "ResNet50": (
        "mlcommons_resnet50_v1.5",
        NetworkSpec("resnet", {"variant": "50", "argmax": True}),
    ),
    "SSDMobileNet": ("mlcommons_ssd_mobilenet_v1", NetworkSpec("mobilenet_ssd", {})),
    "SSDResNet34": ("mlcommons_ssd_resnet34", NetworkSpec("ssd_resnet34", {})),
    "YOLOv5m": (
        "yolov5m",
        NetworkSpec("yolov5", {"variant": "m", "num_classes": 10, "sigmoid": True}),
    ),
    "YOLOv5l": (
        "yolov5l",
        NetworkSpec("yolov5", {"variant": "l", "num_classes": 10, "sigmoid": True}),
    ),
    "YOLOv7w6Pose": ("yolov7_w6_pose", NetworkSpec("yolov7_pose", {})),
}


def load_generator() -> Any:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "artifacts" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def put(bucket: Path, data: bytes, old_layout: bool = False) -> dict[str, Any]:
    """Store a file as the bucket does; gives what the table says of it."""
    md5 = hashlib.md5(data, usedforsecurity=False).hexdigest()
    path = bucket / ("files/md5" if old_layout else "") / md5[:2] / md5[2:]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return {"md5": md5, "size": len(data)}


@pytest.fixture
def use_bucket(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, serve: Callable[[Path], str]
) -> Callable[..., Path]:
    """Make the catalogue point to a bucket that has a model; gives the bucket's folder."""

    def use(model: str, *, old_layout: bool = False) -> Path:
        name, network = PUBLISHED[model]
        bucket = tmp_path / "bucket"
        bucket.mkdir()
        table = json.loads((ROOT / "artifacts" / "published.json").read_text())
        table["endpoint"] = serve(bucket) + "/"
        for file in table["origin"][name]:
            data = build_random(network) if file.endswith(".onnx") else b"x: [0.0, 1.0]\n"
            table["origin"][name][file] = put(bucket, data, old_layout)
        generator = load_generator()
        sets = yaml.safe_load((ROOT / "artifacts" / "sets.yaml").read_text())["artifacts"]
        entries = [generator.expand(entry, table) for entry in sets if entry["name"] == model]
        (tmp_path / "artifacts.yaml").write_text(yaml.safe_dump({"artifacts": entries}))
        found = {a.weights: a for a in artifacts.load_descriptor(tmp_path / "artifacts.yaml")}
        monkeypatch.setattr(weights, "brief_zoo", lambda: {model: found})
        monkeypatch.setattr(artifacts, "zoo", lambda: {model: found})
        monkeypatch.setattr("furiosa_models.model.brief_zoo", lambda: {model: found})
        return bucket

    return use

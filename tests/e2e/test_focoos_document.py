"""Every snippet of Focoos' page *Main Concepts* runs after its import is changed.

Models whose weights are only on Focoos' servers are replaced with one of ours, and their names give
the error that says so. Snippets that train or reach a hub have tests of their own.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from furiosa_models import (
    FocoosDetections,
    FocoosHUB,
    FocoosHub,
    FocoosModel,
    InferModel,
    ModelFamily,
    ModelInfo,
    ModelManager,
    ModelRegistry,
    RuntimeType,
    Task,
    TrainerArgs,
)
from furiosa_models.errors import ModelNotFound, WeightsError
from furiosa_models.vision import MobileNetV2

from ..unit.hub.server import KEY
from ..unit.hub.server import serve as serve_hub

pytestmark = [pytest.mark.network, pytest.mark.usefixtures("use_warm_cache")]

OURS = "SSDMobileNetV2"


@pytest.fixture
def image(photos: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The photo `example.jpg` in the working directory."""
    monkeypatch.chdir(tmp_path)
    with Image.open(photos[2]) as photo:
        photo.convert("RGB").save("example.jpg", quality=95)
    return tmp_path / "example.jpg"


def assert_same(found: FocoosDetections, expected: FocoosDetections) -> None:
    assert [d.label for d in found] == [d.label for d in expected]
    assert [d.bbox for d in found] == [d.bbox for d in expected]
    np.testing.assert_allclose(
        [d.conf or 0 for d in found], [d.conf or 0 for d in expected], atol=1e-5
    )


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[FocoosHUB]:
    """A local hub with the model `model_reference`: a MobileNetV2 with three classes."""
    model = MobileNetV2("random").resized(64)
    with serve_hub() as server:
        names = [f"class {i}" for i in range(1000)]
        server.models["model_reference"] = {
            **server.models["m1"],
            "ref": "model_reference",
            "name": "shelves",
            "model_family": "MobileNetV2",
            "task": "classification",
            "classes": names,
            "im_size": 224,
            "config": {"class": "MobileNetV2", "num_classes": 1000},
        }
        state = model.save(tmp_path / "for_the_hub") / "model_final.pth"
        server.files["model_reference.pth"] = state.read_bytes()
        yield FocoosHUB(KEY, server.url)


def test_loading_from_the_hub(hub: FocoosHUB, image: Path) -> None:
    assert FocoosHub is FocoosHUB
    model = ModelManager.get("hub://model_reference", hub=hub)
    assert model.labels[1] == "class 1"

    model = ModelManager.get(
        "hub://model_reference",
        hub=hub,
        cache=True,
        im_size=96,
    )
    assert model.input.size == (96, 96)
    assert len(model.infer(image, threshold=None)) == 1000


@pytest.mark.torch
def test_training(hub: FocoosHUB, tmp_path: Path) -> None:
    from .training.scenes import args, classifier, squares

    train_dataset = val_dataset = squares(tmp_path / "photos")
    model = classifier()
    train_args = args(tmp_path / "my_custom_model", 2, sync_to_hub=True, num_gpus=0)

    model.train(train_args, train_dataset, val_dataset, hub=hub)

    trained = ModelManager.get(tmp_path / "my_custom_model")
    assert trained.labels == tuple(train_dataset.classes)
    assert "my_custom_model" in [each.name for each in hub.list_remote_models()]


def test_loading_from_the_model_registry() -> None:
    for name in ("fai-detr-l-coco", "fai-mf-l-ade"):
        with pytest.raises(ModelNotFound, match="only on the servers of Focoos"):
            ModelManager.get(name)
    model = ModelManager.get(OURS)
    assert isinstance(model, FocoosModel)

    available_models = ModelRegistry.list_models()
    assert {OURS, "fai-detr-l-coco", "bisenetformer-s-ade"} <= {*available_models}

    model_info = ModelRegistry.get_model_info("fai-detr-l-coco")
    assert f"Classes: {len(model_info.classes)}, Task: {model_info.task}" == (
        "Classes: 80, Task: Task.DETECTION"
    )
    assert ModelRegistry.exists("fai-detr-l-coco")


def test_loading_from_a_local_directory(image: Path, tmp_path: Path) -> None:
    ModelManager.get(OURS).save(tmp_path / "custom" / "models" / "dir" / "my_model")
    model = ModelManager.get(str(tmp_path / "custom/models/dir/my_model"))
    assert len(model.infer(image)) > 0
    model = ModelManager.get(
        str(tmp_path / "custom/models/dir/my_model"),
        threshold=0.99,
        iou_threshold=0.3,
    )
    head: Any = model.head
    assert (head.score_threshold, head.iou_threshold) == (0.99, 0.3)


def test_loading_from_a_model_info_object(image: Path, tmp_path: Path) -> None:
    ModelManager.get(OURS).save(tmp_path / "to")
    (tmp_path / "path").mkdir()
    shutil.move(tmp_path / "to", tmp_path / "path")

    model_info = ModelInfo.from_json("path/to/model_info.json")
    model = ModelManager.get("any_name", model_info=model_info)
    assert len(model.infer(image)) > 0

    model_info = ModelInfo(
        name="custom_detector",
        model_family=ModelFamily.DETR,
        classes=["person", "car", "bicycle"],
        im_size=640,
        task=Task.DETECTION,
        config={
            "num_classes": 3,
            "backbone_config": {"depth": 50, "model_type": "resnet"},
            "threshold": 0.5,
        },
        weights_uri="path/to/weights.pth",
        description="Custom object detector",
    )
    with pytest.raises((ModelNotFound, WeightsError), match=r"path/to/weights.pth|not built here"):
        ModelManager.get("custom_detector", model_info=model_info)


def test_inference(image: Path) -> None:
    model = ModelManager.get(OURS)
    im_path = "example.jpg"

    detections = model.infer(im_path, threshold=0.5, annotate=True)

    for detection in detections.detections:
        assert f"Class: {detection.label}, Confidence: {detection.conf}"
        assert detection.bbox is not None
        assert len(detection.bbox) == 4
    assert len(detections) > 0
    with Image.open(image) as photo:
        assert Image.fromarray(detections.image).size == photo.size


def test_every_form_of_a_photo_gives_the_same(image: Path, serve: Any) -> None:
    model = ModelManager.get(OURS)
    expected = model.infer(str(image))
    assert len(expected) > 0
    with Image.open(image) as photo:
        picture = photo.copy()
    rgb = np.asarray(picture)
    forms = [image, picture, rgb, rgb.transpose(2, 0, 1), image.read_bytes()]
    forms.append(f"{serve(image.parent)}/{image.name}")
    for form in forms:
        assert_same(model.infer(form), expected)
    for found in model.infer(forms):
        assert_same(found, expected)
    assert_same(model.infer(rgb[:, :, ::-1], color="bgr"), expected)


@pytest.mark.torch
def test_tensors_give_the_same(image: Path) -> None:
    import torch

    model = ModelManager.get(OURS)
    with Image.open(image) as photo:
        tensor = torch.from_numpy(np.array(photo).transpose(2, 0, 1).copy())
    assert_same(model.infer(tensor), model.infer(image))


@pytest.mark.parametrize(
    "runtime_type",
    [
        RuntimeType.ONNX_CPU,
        RuntimeType.ONNX_OPENVINO,
        pytest.param(RuntimeType.TORCHSCRIPT_32, marks=pytest.mark.torch),
    ],
)
def test_model_export_and_the_infer_model(runtime_type: RuntimeType, image: Path) -> None:
    model = ModelManager.get(OURS)
    expected = model.infer(image)
    infer_model = model.export(
        runtime_type=runtime_type,
        out_dir="./exported_models",
        overwrite=True,
    )
    assert isinstance(infer_model, InferModel)

    fast_detections = infer_model(image)
    assert [round(float(s), 4) for s in fast_detections.scores] == [
        round(float(s), 4) for s in model(image).scores
    ]
    assert len(fast_detections.detections) > 0
    assert fast_detections.latency is not None

    detections = infer_model.infer("example.jpg", threshold=0.5, annotate=True)
    assert_same(detections, expected)
    for detection in detections.detections:
        assert f"Bounding box: {detection.bbox}"
    with InferModel("./exported_models", runtime_type) as opened:
        assert_same(opened.infer("example.jpg"), expected)


def test_export_to_tensorrt_runs_where_it_is_installed(image: Path) -> None:
    from furiosa_models.errors import BackendUnavailable

    infer_model = ModelManager.get(OURS).export(
        runtime_type=RuntimeType.ONNX_TRT16, out_dir="./exported_models", overwrite=True
    )
    with pytest.raises(BackendUnavailable, match="tensorrt"):
        infer_model(image)


def test_training_arguments() -> None:
    train_args = TrainerArgs(
        run_name="my_custom_model",
        max_iters=5000,
        batch_size=16,
        learning_rate=1e-4,
        num_gpus=2,
        sync_to_hub=True,
    )
    assert train_args.sync_to_hub

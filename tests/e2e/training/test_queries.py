"""Networks with queries, masks and maps learn a few photos by heart, and remain models."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch

from furiosa_models import InstanceSegmenter, ModelManager, Segmenter
from furiosa_models.enums import ModelFamily, Task
from furiosa_models.heads import MaskQueriesHead, SemanticQueriesHead
from furiosa_models.model_info import ModelInfo
from furiosa_models.spec import ImageInput, ModelSpec, NetworkSpec
from furiosa_models.training.losses import DETRLoss
from furiosa_models.training.trainer import Trained
from furiosa_models.vision import RTDETR, DeepLabV3MobileNetV2, DFineN, SelfieSegmentation, U2NetP

from .scenes import NAMES, SIDE, args, boxes, losses, outlined, resized

pytestmark = pytest.mark.torch

DETECTOR = {
    "variant": None,
    "backbone": "nano",
    "hidden_dim": 32,
    "encoder_width": 64,
    "decoder_width": 64,
    "decoder_layers": 2,
    "num_queries": 12,
}
MASKS = {
    "backbone": "nano",
    "feature_dim": 32,
    "hidden_dim": 32,
    "decoder_width": 64,
    "decoder_layers": 2,
    "num_queries": 8,
    "num_classes": 4,
    "image_size": SIDE,
}
INPUT = ImageInput((SIDE, SIDE), mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375))


def masked(kind: Any, head: Any, family: str) -> Any:
    network = NetworkSpec("maskformer", {**MASKS, "family": family})
    return kind("random", spec=ModelSpec(network, INPUT, head((SIDE, SIDE)), tuple("abcd")))


def check_program(model: Any, trained: Trained) -> None:
    """Check that the program computes what the trained module does, for what the head reads."""
    module = trained.trainable.module().eval()
    height, width = model.input.size
    photos = torch.rand(2, 3, height, width, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        found = module(photos)
    session = onnxruntime.InferenceSession(model.origin)
    expected = session.run(None, {session.get_inputs()[0].name: photos.numpy()})
    for one, other in zip(_several(found), expected, strict=True):
        np.testing.assert_allclose(one.numpy(), other, rtol=1e-4, atol=1e-4)


def _several(outputs: Any) -> Sequence[Any]:
    return outputs if isinstance(outputs, tuple) else (outputs,)


def fall(folder: Path) -> float:
    """Return the last loss of a run as a part of the first."""
    found = losses(folder)
    return found[-1]["total_loss"] / found[0]["total_loss"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "params", "iterations", "most", "least"),
    [(RTDETR, DETECTOR, 60, 0.35, 0.5), (DFineN, {"num_queries": 12}, 30, 0.6, 0.2)],
)
def test_detectors_with_queries_learn_photos_by_heart(
    kind: Any, params: dict[str, Any], iterations: int, most: float, least: float, tmp_path: Path
) -> None:
    photos, model = boxes(tmp_path / "data"), resized(kind, SIDE, **params)
    run = tmp_path / "run"
    options = {"eval_period": iterations, "clip_gradients": 0.1}
    trained = model.train(args(run, iterations, **options), photos, photos)
    assert fall(run) < most
    assert trained.best["mAP50"] > least
    assert model.labels == NAMES
    check_program(model, trained)
    paths = [photo.path for photo in photos]
    found = model.predict(paths, score_threshold=0.1)
    assert [each.to_dict() for each in kind(run).predict(paths, score_threshold=0.1)] == [
        each.to_dict() for each in found
    ]


def test_fai_detr_is_trained_from_its_description(tmp_path: Path) -> None:
    config = {
        "backbone_config": {"model_type": "stdc", "size": "nano"},
        "num_queries": 10,
        "pixel_decoder_feat_dim": 32,
        "pixel_decoder_out_dim": 32,
        "transformer_predictor_hidden_dim": 32,
        "transformer_predictor_dec_layers": 2,
        "transformer_predictor_dim_feedforward": 64,
    }
    info = ModelInfo("own", ModelFamily.DETR, list("abc"), SIDE, Task.DETECTION, config)
    info.dump_json(tmp_path / "model_info.json")
    photos, model = boxes(tmp_path / "data"), ModelManager.get(tmp_path, weights="random")
    run = tmp_path / "run"
    trained = model.train(args(run, 5, clip_gradients=0.1, log_period=1), photos, photos)
    assert fall(run) < 0.9
    check_program(model, trained)
    again = ModelManager.get(run)
    assert again.labels == NAMES
    checkpoint = again.torch_module().state_dict()
    scores = [name for name in checkpoint if "score_classifier" in name and "weight" in name]
    assert len(scores) == 3
    assert all(len(checkpoint[name]) == len(NAMES) for name in scores)


def test_a_loss_of_ones_own_gets_the_outputs_that_the_head_reads(tmp_path: Path) -> None:
    photos, model = boxes(tmp_path / "data"), resized(RTDETR, SIDE, **DETECTOR)
    counts = []

    def loss(outputs: Any, targets: Any, size: Any) -> Any:
        counts.append(len(outputs))
        return DETRLoss(model.head)(outputs, targets, size)

    trained = model.train(args(tmp_path / "run", 2), photos, photos, loss=loss)
    assert counts == [2, 2]
    check_program(model, trained)
    checkpoint = trained.trainable.checkpoint
    assert checkpoint is not None
    # Layers that were not trained have the new classes, too.
    assert checkpoint.arrays["decoder.dec_score_head.0.weight"].shape == (2, 32)


@pytest.mark.parametrize(
    ("kind", "head", "family", "task", "figure"),
    [
        (InstanceSegmenter, MaskQueriesHead, "fai_mf", Task.INSTANCE_SEGMENTATION, "mAP50"),
        (Segmenter, SemanticQueriesHead, "bisenetformer", Task.SEMSEG, "mIoU"),
    ],
)
def test_networks_of_masks_learn_photos_by_heart(
    kind: Any, head: Any, family: str, task: Task, figure: str, tmp_path: Path
) -> None:
    photos, model = outlined(boxes(tmp_path / "data"), task), masked(kind, head, family)
    run = tmp_path / "run"
    options = {"eval_period": 20, "freeze_bn": True, "clip_gradients": 0.1}
    trained = model.train(args(run, 20, learning_rate=3e-3, **options), photos, photos)
    assert fall(run) < 0.5
    assert trained.best[figure] > 0.6
    assert model.labels == NAMES
    check_program(model, trained)
    result = model.predict(photos[0].path)
    again = kind(run).predict(photos[0].path)
    assert result.to_dict() == again.to_dict()


@pytest.mark.parametrize(
    ("kind", "side", "iterations", "classes", "figure", "least"),
    [
        (DeepLabV3MobileNetV2, 65, 28, NAMES, "mIoU", 0.35),
        (SelfieSegmentation, SIDE, 40, ("person", "blue"), "IoU", 0.6),
    ],
)
def test_networks_of_maps_learn_photos_by_heart(
    kind: Any,
    side: int,
    iterations: int,
    classes: Sequence[str],
    figure: str,
    least: float,
    tmp_path: Path,
) -> None:
    model = resized(kind, side)
    photos = outlined(boxes(tmp_path / "data"), model.vision_task.task, classes)
    run = tmp_path / "run"
    options = {"eval_period": iterations, "freeze_bn": True, "clip_gradients": 0.1}
    trained = model.train(args(run, iterations, learning_rate=4e-3, **options), photos, photos)
    assert fall(run) < 0.5
    assert trained.best[figure] > least
    assert model.labels == ("background", *NAMES) if classes == NAMES else ("person",)
    check_program(model, trained)


def test_u2net_learns_the_maps_of_all_levels(tmp_path: Path) -> None:
    model = resized(U2NetP, SIDE)
    photos = outlined(boxes(tmp_path / "data", 2), Task.MATTE)
    run = tmp_path / "run"
    trained = model.train(args(run, 3, freeze_bn=True, clip_gradients=0.1), photos, photos)
    assert len(trained.trainable.auxiliary) == 6
    assert losses(run)[0]["total_loss"] > 7 * 0.5  # of seven maps, each about log 2
    assert fall(run) < 0.9
    assert model.labels == ("foreground",)
    check_program(model, trained)

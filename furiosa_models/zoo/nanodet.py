"""NanoDet (RangiLyu 2020, github.com/RangiLyu/nanodet)."""

from __future__ import annotations

from ..catalog import register
from ..heads import GridHead
from ..spec import ImageInput, ModelSpec, NetworkSpec
from ..task_models import Detector
from .presets import IMAGENET_MEAN, IMAGENET_STD

__all__ = ["NanoDetG"]


@register
class NanoDetG(Detector):
    spec = ModelSpec(
        NetworkSpec("nanodet"),
        ImageInput(size=(416, 416), color="bgr", mean=IMAGENET_MEAN, std=IMAGENET_STD),
        GridHead(
            (416, 416),
            kind="nanodet",
            bins=11,
            score_threshold=0.35,
            iou_threshold=0.6,
            multi_label=True,
        ),
        labels="coco80",
    )

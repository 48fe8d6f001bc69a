"""Single Shot MultiBox Detectors (Liu et al. 2016, arXiv:1512.02325)."""

from __future__ import annotations

from ..catalog import register
from ..heads import SSDHead
from ..spec import ImageInput, ModelSpec, NetworkSpec
from ..task_models import Detector
from .presets import IMAGENET_MEAN, IMAGENET_STD, SSD_300, SSD_300_MAPS

__all__ = ["SSDMobileNet", "SSDMobileNetV2", "SSDResNet34"]


@register
class SSDMobileNet(Detector):
    spec = ModelSpec(NetworkSpec("mobilenet_ssd"), SSD_300, SSDHead(SSD_300_MAPS), labels="coco91")


@register
class SSDMobileNetV2(Detector):
    spec = ModelSpec(
        NetworkSpec("mobilenet_v2_ssd"), SSD_300, SSDHead(SSD_300_MAPS), labels="coco91"
    )


@register
class SSDResNet34(Detector):
    spec = ModelSpec(
        NetworkSpec("ssd_resnet34"),
        ImageInput(size=(1200, 1200), mean=IMAGENET_MEAN, std=IMAGENET_STD),
        SSDHead(
            feature_maps=(50, 25, 13, 7, 3, 3),
            anchors="default_boxes",
            outputs="grouped",
            channels="class",
            deltas="xywh",
            activation="softmax",
            score_threshold=0.05,
            strict=True,
            iou_threshold=0.5,
            max_per_class=200,
            max_detections=200,
        ),
        labels="coco81",
    )

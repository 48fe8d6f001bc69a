"""SSD MobileNet v2."""

from __future__ import annotations

from ..heads import SSDHead
from ..types import described
from ..vision.tasks import ObjectDetectionModel
from ..weights import NetworkSpec
from .presets import SSD_300

__all__ = ["SSDMobileNetV2"]


class SSDMobileNetV2(ObjectDetectionModel):
    """SSD MobileNet v2: 90 classes of COCO, 300x300; better than v1, a little slower."""

    name = "SSDMobileNetV2"
    family = "MobileNetV2"
    version = "2018_03_29"
    metadata = described(
        "SSD MobileNet v2 on COCO, 300x300", url="https://arxiv.org/abs/1801.04381"
    )

    network = NetworkSpec("mobilenet_v2_ssd", {})
    input = SSD_300
    labels = "coco91"
    head = SSDHead(feature_maps=(19, 10, 5, 3, 2, 1))

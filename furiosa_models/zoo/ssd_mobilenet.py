"""SSD MobileNet v1."""

from __future__ import annotations

from ..heads import SSDHead
from ..types import described
from ..vision.tasks import ObjectDetectionModel
from ..weights import NetworkSpec
from .presets import SSD_300

__all__ = ["SSDMobileNet"]


class SSDMobileNet(ObjectDetectionModel):
    """SSD MobileNet v1: 90 classes of COCO, 300x300, the detector of MLPerf inference v1.1."""

    name = "MLCommonsSSDMobileNet"
    family = "MobileNetV1"
    version = "v1.1"
    metadata = described(
        "SSD MobileNet v1 on COCO, 300x300", url="https://arxiv.org/abs/1704.04861"
    )

    network = NetworkSpec("mobilenet_ssd", {})
    input = SSD_300
    labels = "coco91"
    head = SSDHead(feature_maps=(19, 10, 5, 3, 2, 1))

"""SSD ResNet34."""

from __future__ import annotations

from ..heads import SSDHead
from ..images.preprocess import ImageInput
from ..types import described
from ..vision.tasks import ObjectDetectionModel
from ..weights import NetworkSpec

__all__ = ["SSDResNet34"]


class SSDResNet34(ObjectDetectionModel):
    """SSD ResNet34: 80 classes of COCO, 1200x1200, the large detector of MLPerf inference v1.1."""

    name = "SSDResNet34"
    family = "ResNet"
    version = "v1.1"
    metadata = described(
        "SSD ResNet34 model for MLCommons v1.1",
        url="https://github.com/mlcommons/inference/tree/master/vision/classification_and_detection",
    )

    network = NetworkSpec("ssd_resnet34", {})
    input = ImageInput(
        size=(1200, 1200),
        resize="stretch",
        interpolation="opencv_linear",
        mean=(123.675, 116.28, 103.53),
        std=(58.395, 57.12, 57.375),
    )
    labels = "coco81"
    head = SSDHead(
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
    )

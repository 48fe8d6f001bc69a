"""MobileNetV2."""

from __future__ import annotations

from ..heads import ClassificationHead
from ..types import described
from ..vision.tasks import ImageClassificationModel
from ..weights import NetworkSpec
from .presets import imagenet

__all__ = ["MobileNetV2"]


class MobileNetV2(ImageClassificationModel):
    """MobileNetV2: 1000 classes of ImageNet, 224x224; small and fast."""

    name = "MobileNetV2"
    family = "MobileNetV2"
    version = "1.0"
    metadata = described("MobileNetV2 ImageNet-1K", url="https://arxiv.org/abs/1801.04381")

    network = NetworkSpec("mobilenet_v2", {})
    input = imagenet(224, 256, "pillow_bilinear")
    labels = "imagenet1k"
    head = ClassificationHead()

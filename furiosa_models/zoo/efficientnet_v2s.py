"""EfficientNetV2-S."""

from __future__ import annotations

from ..heads import ClassificationHead
from ..types import described
from ..vision.tasks import ImageClassificationModel
from ..weights import NetworkSpec
from .presets import imagenet

__all__ = ["EfficientNetV2s"]


class EfficientNetV2s(ImageClassificationModel):
    """EfficientNetV2-S: 1000 classes of ImageNet, 384x384; the most accurate classifier here."""

    name = "EfficientNetV2s"
    family = "EfficientNetV2"
    version = "s"
    metadata = described("EfficientNetV2s ImageNet-1K", url="https://arxiv.org/abs/2104.00298")

    network = NetworkSpec("efficientnet_v2", {})
    input = imagenet(384, 384, "pillow_bilinear")
    labels = "imagenet1k"
    head = ClassificationHead()

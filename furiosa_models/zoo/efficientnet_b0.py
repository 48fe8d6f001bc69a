"""EfficientNet-B0."""

from __future__ import annotations

from ..heads import ClassificationHead
from ..types import described
from ..vision.tasks import ImageClassificationModel
from ..weights import NetworkSpec
from .presets import imagenet

__all__ = ["EfficientNetB0"]


class EfficientNetB0(ImageClassificationModel):
    """EfficientNet-B0: 1000 classes of ImageNet, 224x224."""

    name = "EfficientNetB0"
    family = "EfficientNet"
    version = "1.0.2"
    metadata = described("EfficientNetB0 ImageNet-1K", url="https://arxiv.org/abs/1905.11946")

    network = NetworkSpec("efficientnet", {"variant": "b0"})
    input = imagenet(224, 256, "pillow_bicubic")
    labels = "imagenet1k"
    head = ClassificationHead()

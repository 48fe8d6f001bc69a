"""MobileNet (Sandler et al. 2018, arXiv:1801.04381)."""

from __future__ import annotations

from ..catalog import register
from ..heads import ClassificationHead
from ..spec import ModelSpec, NetworkSpec
from ..task_models import Classifier
from .presets import imagenet

__all__ = ["MobileNetV2"]


@register
class MobileNetV2(Classifier):
    spec = ModelSpec(
        NetworkSpec("mobilenet_v2"),
        imagenet(224, 256, "pillow_bilinear"),
        ClassificationHead(),
        labels="imagenet1k",
    )

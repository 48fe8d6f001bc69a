"""ResNet (He et al. 2015, arXiv:1512.03385)."""

from __future__ import annotations

from ..catalog import register
from ..heads import ClassificationHead
from ..spec import ImageInput, ModelSpec, NetworkSpec
from ..task_models import Classifier

__all__ = ["ResNet50"]


@register
class ResNet50(Classifier):
    spec = ModelSpec(
        NetworkSpec("resnet", {"variant": "50"}),
        ImageInput(
            size=(224, 224),
            resize="crop",
            interpolation="opencv_area",
            resize_to=256,
            mean=(123.68, 116.78, 103.94),
        ),
        ClassificationHead(argmax_offset=1),
        labels="imagenet1k",
    )

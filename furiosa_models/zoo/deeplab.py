"""DeepLabV3 (Chen et al. 2017, arXiv:1706.05587)."""

from __future__ import annotations

from ..catalog import register
from ..heads import SemanticHead
from ..spec import ImageInput, ModelSpec, NetworkSpec
from ..task_models import Segmenter

__all__ = ["DeepLabV3MobileNetV2"]

_MIDDLE = (127.5, 127.5, 127.5)


@register
class DeepLabV3MobileNetV2(Segmenter):
    spec = ModelSpec(
        NetworkSpec("deeplab_v3"),
        ImageInput(size=(257, 257), mean=_MIDDLE, std=_MIDDLE),
        SemanticHead(size=(257, 257)),
        labels="voc21",
    )

"""EfficientNet, EfficientNet-Lite and EfficientNetV2 (arXiv:1905.11946, 2104.00298)."""

from __future__ import annotations

from ..catalog import register
from ..heads import ClassificationHead
from ..spec import ModelSpec, NetworkSpec
from ..task_models import Classifier
from .presets import imagenet

__all__ = [
    "EfficientNetB0",
    "EfficientNetLite0",
    "EfficientNetLite1",
    "EfficientNetLite2",
    "EfficientNetV2s",
]

_LITE_MEAN, _LITE_STD = (127.0, 127.0, 127.0), (128.0, 128.0, 128.0)


@register
class EfficientNetB0(Classifier):
    spec = ModelSpec(
        NetworkSpec("efficientnet", {"variant": "b0"}),
        imagenet(224, 256, "pillow_bicubic"),
        ClassificationHead(),
        labels="imagenet1k",
    )


@register
class EfficientNetLite0(Classifier):
    spec = ModelSpec(
        NetworkSpec("efficientnet", {"variant": "lite0"}),
        imagenet(224, 256, "pillow_bicubic", mean=_LITE_MEAN, std=_LITE_STD),
        ClassificationHead(),
        labels="imagenet1k",
    )


@register
class EfficientNetLite1(Classifier):
    spec = ModelSpec(
        NetworkSpec("efficientnet", {"variant": "lite1"}),
        imagenet(240, 274, "pillow_bicubic", mean=_LITE_MEAN, std=_LITE_STD),
        ClassificationHead(),
        labels="imagenet1k",
    )


@register
class EfficientNetLite2(Classifier):
    spec = ModelSpec(
        NetworkSpec("efficientnet", {"variant": "lite2"}),
        imagenet(260, 297, "pillow_bicubic", mean=_LITE_MEAN, std=_LITE_STD),
        ClassificationHead(),
        labels="imagenet1k",
    )


@register
class EfficientNetV2s(Classifier):
    spec = ModelSpec(
        NetworkSpec("efficientnet_v2"),
        imagenet(384, 384, "pillow_bilinear"),
        ClassificationHead(),
        labels="imagenet1k",
    )

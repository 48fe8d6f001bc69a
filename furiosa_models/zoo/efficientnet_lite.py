"""EfficientNet-Lite0, 1 and 2."""

from __future__ import annotations

from ..heads import ClassificationHead
from ..images.preprocess import ImageInput
from ..types import described
from ..vision.tasks import ImageClassificationModel
from ..weights import NetworkSpec
from .presets import imagenet

__all__ = ["EfficientNetLite0", "EfficientNetLite1", "EfficientNetLite2"]

_PUBLICATION = {
    "title": "Higher accuracy on vision models with EfficientNet-Lite",
    "publisher": "TensorFlow Blog",
}


def _input(size: int, resize_to: int) -> ImageInput:
    scale = (128.0, 128.0, 128.0)
    return imagenet(size, resize_to, "pillow_bicubic", mean=(127.0, 127.0, 127.0), std=scale)


class EfficientNetLite0(ImageClassificationModel):
    """EfficientNet-Lite0: 1000 classes of ImageNet, 224x224; no swish and no squeeze-excite."""

    name = "EfficientNetLite0"
    family = "EfficientNet-Lite"
    version = "lite0"
    metadata = described("EfficientNet-Lite0 ImageNet-1K", **_PUBLICATION)

    network = NetworkSpec("efficientnet", {"variant": "lite0"})
    input = _input(224, 256)
    labels = "imagenet1k"
    head = ClassificationHead()


class EfficientNetLite1(ImageClassificationModel):
    """EfficientNet-Lite1: 1000 classes of ImageNet, 240x240."""

    name = "EfficientNetLite1"
    family = "EfficientNet-Lite"
    version = "lite1"
    metadata = described("EfficientNet-Lite1 ImageNet-1K", **_PUBLICATION)

    network = NetworkSpec("efficientnet", {"variant": "lite1"})
    input = _input(240, 274)
    labels = "imagenet1k"
    head = ClassificationHead()


class EfficientNetLite2(ImageClassificationModel):
    """EfficientNet-Lite2: 1000 classes of ImageNet, 260x260."""

    name = "EfficientNetLite2"
    family = "EfficientNet-Lite"
    version = "lite2"
    metadata = described("EfficientNet-Lite2 ImageNet-1K", **_PUBLICATION)

    network = NetworkSpec("efficientnet", {"variant": "lite2"})
    input = _input(260, 297)
    labels = "imagenet1k"
    head = ClassificationHead()

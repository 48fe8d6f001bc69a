"""ResNet50."""

from __future__ import annotations

from ..heads import ClassificationHead
from ..images.preprocess import ImageInput
from ..types import described
from ..vision.tasks import ImageClassificationModel
from ..weights import NetworkSpec

__all__ = ["ResNet50"]


class ResNet50(ImageClassificationModel):
    """ResNet50 v1.5: 1000 classes of ImageNet, 224x224, the classifier of MLPerf inference v1.1."""

    name = "ResNet50"
    family = "ResNet"
    version = "v1.5"
    metadata = described("ResNet50 v1.5 ImageNet-1K", url="https://arxiv.org/abs/1512.03385")

    network = NetworkSpec("resnet", {"variant": "50"})
    input = ImageInput(
        size=(224, 224),
        resize="crop",
        interpolation="opencv_area",
        resize_to=256,
        crop_rounding="floor",
        mean=(123.68, 116.78, 103.94),
        std=(1.0, 1.0, 1.0),
    )
    labels = "imagenet1k"
    head = ClassificationHead(argmax_offset=1)

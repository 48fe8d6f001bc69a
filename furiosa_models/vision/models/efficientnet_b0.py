"""EfficientNet-B0."""

from __future__ import annotations

from ...types import Metadata, Publication
from ...weights import NetworkSpec
from ..heads import ClassificationHead
from ..preprocess import ImageInput
from ..tasks import ImageClassificationModel

__all__ = ["EfficientNetB0"]


class EfficientNetB0(ImageClassificationModel):
    """EfficientNet-B0: 1000 classes of ImageNet, 224x224."""

    name = "EfficientNetB0"
    family = "EfficientNet"
    version = "1.0.2"
    metadata = Metadata(
        description="EfficientNetB0 ImageNet-1K",
        publication=Publication(url="https://arxiv.org/abs/1905.11946"),
    )

    network = NetworkSpec("efficientnet", {"variant": "b0"})
    input = ImageInput(
        size=(224, 224),
        resize="crop",
        interpolation="pillow_bicubic",
        crop_rounding="even",
        resize_to=256,
        mean=(123.675, 116.28, 103.53),
        std=(58.395, 57.12, 57.375),
    )
    labels = "imagenet1k"
    head = ClassificationHead()

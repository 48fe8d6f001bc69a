"""EfficientNetV2-S."""

from __future__ import annotations

from ...types import Metadata, Publication
from ...weights import NetworkSpec
from ..heads import ClassificationHead
from ..preprocess import ImageInput
from ..tasks import ImageClassificationModel

__all__ = ["EfficientNetV2s"]


class EfficientNetV2s(ImageClassificationModel):
    """EfficientNetV2-S: 1000 classes of ImageNet, 384x384; the most accurate classifier here."""

    name = "EfficientNetV2s"
    family = "EfficientNetV2"
    version = "s"
    metadata = Metadata(
        description="EfficientNetV2s ImageNet-1K",
        publication=Publication(url="https://arxiv.org/abs/2104.00298"),
    )

    network = NetworkSpec("efficientnet_v2", {})
    input = ImageInput(
        size=(384, 384),
        resize="crop",
        interpolation="pillow_bilinear",
        resize_to=384,
        crop_rounding="even",
        mean=(123.675, 116.28, 103.53),
        std=(58.395, 57.12, 57.375),
    )
    labels = "imagenet1k"
    head = ClassificationHead()

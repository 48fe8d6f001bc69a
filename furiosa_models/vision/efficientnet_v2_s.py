"""EfficientNetV2s, under the import path of furiosa-models 0.8 to 0.10."""

from __future__ import annotations

from ..enums import Platform
from ..processors import postprocessor_class, preprocessor_class
from ..zoo.efficientnet import EfficientNetV2s
from .common.datasets.imagenet1k import ImageNet1k_CLASSES as CLASSES

__all__ = [
    "CLASSES",
    "EfficientNetV2s",
    "EfficientNetV2sPostProcessor",
    "EfficientNetV2sPreProcessor",
    "postprocess",
    "preprocess",
]

EfficientNetV2sPreProcessor = preprocessor_class(EfficientNetV2s)
EfficientNetV2sPostProcessor = postprocessor_class(EfficientNetV2s, Platform.PYTHON)

preprocess = EfficientNetV2sPreProcessor()
postprocess = EfficientNetV2sPostProcessor()

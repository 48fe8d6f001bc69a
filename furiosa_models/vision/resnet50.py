"""ResNet50, under the import path of furiosa-models 0.8 to 0.10."""

from __future__ import annotations

from ..enums import Platform
from ..processors import postprocessor_class, preprocessor_class
from ..zoo.resnet import ResNet50
from .common.datasets.imagenet1k import ImageNet1k_CLASSES as CLASSES

__all__ = [
    "CLASSES",
    "ResNet50",
    "ResNet50PostProcessor",
    "ResNet50PreProcessor",
    "postprocess",
    "preprocess",
]

ResNet50PreProcessor = preprocessor_class(ResNet50)
ResNet50PostProcessor = postprocessor_class(ResNet50, Platform.PYTHON)

preprocess = ResNet50PreProcessor()
postprocess = ResNet50PostProcessor()

"""EfficientNetB0, under the import path of furiosa-models 0.8 to 0.10."""

from __future__ import annotations

from ..enums import Platform
from ..processors import postprocessor_class, preprocessor_class
from ..zoo.efficientnet import EfficientNetB0
from .common.datasets.imagenet1k import ImageNet1k_CLASSES as CLASSES

__all__ = [
    "CLASSES",
    "EfficientNetB0",
    "EfficientNetB0PostProcessor",
    "EfficientNetB0PreProcessor",
    "postprocess",
    "preprocess",
]

EfficientNetB0PreProcessor = preprocessor_class(EfficientNetB0)
EfficientNetB0PostProcessor = postprocessor_class(EfficientNetB0, Platform.PYTHON)

preprocess = EfficientNetB0PreProcessor()
postprocess = EfficientNetB0PostProcessor()

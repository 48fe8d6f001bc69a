"""SSDResNet34, under the import path of furiosa-models 0.8 to 0.10."""

from __future__ import annotations

from ..enums import Platform
from ..processors import postprocessor_class, preprocessor_class
from ..zoo.ssd import SSDResNet34
from .common.datasets.coco import MobileNetSSD_Large_CLASSES as CLASSES

__all__ = [
    "CLASSES",
    "NUM_OUTPUTS",
    "SSDResNet34",
    "SSDResNet34NativePostProcessor",
    "SSDResNet34PreProcessor",
    "SSDResNet34PythonPostProcessor",
    "postprocess",
    "preprocess",
]

NUM_OUTPUTS = 12
"""Number of outputs of the network: a class map and a box map for each of six levels."""

SSDResNet34PreProcessor = preprocessor_class(SSDResNet34)
SSDResNet34PythonPostProcessor = postprocessor_class(SSDResNet34, Platform.PYTHON)
SSDResNet34NativePostProcessor = postprocessor_class(SSDResNet34, Platform.RUST)

preprocess = SSDResNet34PreProcessor()
postprocess = SSDResNet34NativePostProcessor()

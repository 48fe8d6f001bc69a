"""SSDMobileNet, under the import path of furiosa-models 0.8 to 0.10."""

from __future__ import annotations

from ..enums import Platform
from ..processors import postprocessor_class, preprocessor_class
from ..zoo.ssd import SSDMobileNet
from .common.datasets.coco import MobileNetSSD_CLASSES as CLASSES

__all__ = [
    "CLASSES",
    "NUM_OUTPUTS",
    "SSDMobileNet",
    "SSDMobileNetNativePostProcessor",
    "SSDMobileNetPreProcessor",
    "SSDMobileNetPythonPostProcessor",
    "postprocess",
    "preprocess",
]

NUM_OUTPUTS = 12
"""Number of outputs of the network: a class map and a box map for each of six levels."""

SSDMobileNetPreProcessor = preprocessor_class(SSDMobileNet)
SSDMobileNetPythonPostProcessor = postprocessor_class(SSDMobileNet, Platform.PYTHON)
SSDMobileNetNativePostProcessor = postprocessor_class(SSDMobileNet, Platform.RUST)

preprocess = SSDMobileNetPreProcessor()
postprocess = SSDMobileNetNativePostProcessor()

"""YOLOv5, under the import path of furiosa-models 0.8 to 0.10."""

from __future__ import annotations

from .core import YOLOv5NativePostProcessor, YOLOv5PreProcessor
from .large import YOLOv5l
from .medium import YOLOv5m

__all__ = ["YOLOv5l", "YOLOv5m", "postprocess", "preprocess"]

preprocess = YOLOv5PreProcessor()
postprocess = YOLOv5NativePostProcessor()

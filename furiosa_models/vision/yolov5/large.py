"""YOLOv5l, under the import path of furiosa-models 0.8 to 0.10."""

from __future__ import annotations

from ...labels import load_labels
from ...zoo.yolov5 import YOLOv5l

__all__ = ["CLASSES", "YOLOv5l"]

CLASSES = list(load_labels("bdd100k"))

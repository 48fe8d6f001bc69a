"""Labels of COCO, under the import path of furiosa-models 0.8 to 0.10."""

from __future__ import annotations

from ....labels import load_labels

__all__ = ["MobileNetSSD_CLASSES", "MobileNetSSD_Large_CLASSES"]

MobileNetSSD_CLASSES = list(load_labels("coco91"))
"""Labels of `SSDMobileNet`: `background`, then the classes of COCO by category id."""

MobileNetSSD_Large_CLASSES = list(load_labels("coco81"))
"""Labels of `SSDResNet34`: `background`, then the 80 annotated classes of COCO."""

"""Labels of COCO, under the import path of furiosa-models 0.8 to 0.10."""

from __future__ import annotations

from ....labels import load_labels

__all__ = ["MobileNetSSD_CLASSES", "MobileNetSSD_Large_CLASSES"]

MobileNetSSD_CLASSES = list(load_labels("coco91"))
"""The classes of COCO by category id, behind `background`: those of `SSDMobileNet`."""

MobileNetSSD_Large_CLASSES = list(load_labels("coco81"))
"""The 80 classes of COCO's annotations behind `background`: those of `SSDResNet34`."""

"""YOLOv5 in four sizes."""

from __future__ import annotations

from ..types import described
from ..vision.tasks import YOLOv5Model
from ..weights import NetworkSpec
from .presets import yolo

__all__ = ["YOLOv5l", "YOLOv5m", "YOLOv5n", "YOLOv5s"]

_PUBLICATION = {"url": "https://github.com/ultralytics/yolov5"}


def _network(variant: str, num_classes: int) -> NetworkSpec:
    params = {"variant": variant, "num_classes": num_classes, "sigmoid": True}
    return NetworkSpec("yolov5", params, layout="yolo_pickle")


class YOLOv5n(YOLOv5Model):
    """YOLOv5 nano: 80 classes of COCO, 640x640; bring its weights, no package has them."""

    name = "YOLOv5Nano"
    family = "YOLO"
    version = "v5"
    metadata = described("YOLOv5 nano model", **_PUBLICATION)

    network = _network("n", 80)
    input = yolo(640, 640)
    labels = "coco80"


class YOLOv5s(YOLOv5Model):
    """YOLOv5 small: 80 classes of COCO, 640x640."""

    name = "YOLOv5Small"
    family = "YOLO"
    version = "v5"
    metadata = described("YOLOv5 small model", **_PUBLICATION)

    network = _network("s", 80)
    input = yolo(640, 640)
    labels = "coco80"


class YOLOv5m(YOLOv5Model):
    """YOLOv5 medium: 10 classes of BDD100K, 640x640."""

    name = "YOLOv5Medium"
    family = "YOLO"
    version = "v5"
    metadata = described("YOLOv5 medium model", **_PUBLICATION)

    network = _network("m", 10)
    input = yolo(640, 640)
    labels = "bdd100k"


class YOLOv5l(YOLOv5Model):
    """YOLOv5 large: 10 classes of BDD100K (80 of COCO with `weights="coco"`), 640x640."""

    name = "YOLOv5Large"
    family = "YOLO"
    version = "v5"
    metadata = described("YOLOv5 large model", **_PUBLICATION)

    network = _network("l", 10)
    input = yolo(640, 640)
    labels = "bdd100k"

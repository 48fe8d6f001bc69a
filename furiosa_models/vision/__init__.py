"""Vision models: `from furiosa_models.vision import SSDMobileNet`.

Names are imported when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..zoo.efficientnet_b0 import EfficientNetB0
    from ..zoo.efficientnet_lite import EfficientNetLite0, EfficientNetLite1, EfficientNetLite2
    from ..zoo.efficientnet_v2s import EfficientNetV2s
    from ..zoo.mobilenet_v2 import MobileNetV2
    from ..zoo.resnet50 import ResNet50
    from ..zoo.ssd_mobilenet import SSDMobileNet
    from ..zoo.ssd_mobilenet_v2 import SSDMobileNetV2
    from ..zoo.ssd_resnet34 import SSDResNet34
    from ..zoo.yolov5 import YOLOv5l, YOLOv5m, YOLOv5n, YOLOv5s
    from ..zoo.yolov7_w6_pose import YOLOv7w6Pose

__all__ = [
    "EfficientNetB0",
    "EfficientNetLite0",
    "EfficientNetLite1",
    "EfficientNetLite2",
    "EfficientNetV2s",
    "MobileNetV2",
    "ResNet50",
    "SSDMobileNet",
    "SSDMobileNetV2",
    "SSDResNet34",
    "YOLOv5l",
    "YOLOv5m",
    "YOLOv5n",
    "YOLOv5s",
    "YOLOv7w6Pose",
]


def __getattr__(name: str) -> Any:
    from .. import catalog

    if name in __all__ or name in catalog.aliases():
        return catalog.model_class(name)
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)


def __dir__() -> list[str]:
    return __all__

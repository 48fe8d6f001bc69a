"""YOLOv7-w6-pose."""

from __future__ import annotations

from ..heads import PoseHead
from ..types import described
from ..vision.tasks import PoseEstimationModel
from ..weights import NetworkSpec
from .presets import yolo

__all__ = ["YOLOv7w6Pose"]


class YOLOv7w6Pose(PoseEstimationModel):
    """YOLOv7-w6-pose: people and their 17 joints, 384x640."""

    name = "YOLOv7w6Pose"
    family = "YOLO"
    version = "v7"
    metadata = described(
        "YOLOv7 w6 Pose Estimation model",
        url="https://github.com/WongKinYiu/yolov7#pose-estimation",
    )

    network = NetworkSpec("yolov7_pose", {}, layout="yolo_pickle")
    input = yolo(384, 640)
    labels = "coco80"
    head = PoseHead()

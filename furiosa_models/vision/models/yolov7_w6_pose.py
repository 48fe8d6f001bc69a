"""YOLOv7-w6-pose."""

from __future__ import annotations

from ...types import Metadata, Publication
from ...weights import NetworkSpec
from ..heads import PoseHead
from ..preprocess import ImageInput
from ..tasks import PoseEstimationModel

__all__ = ["YOLOv7w6Pose"]


class YOLOv7w6Pose(PoseEstimationModel):
    """YOLOv7-w6-pose: people and their 17 joints, 384x640."""

    name = "YOLOv7w6Pose"
    family = "YOLO"
    version = "v7"
    metadata = Metadata(
        description="YOLOv7 w6 Pose Estimation model",
        publication=Publication(url="https://github.com/WongKinYiu/yolov7#pose-estimation"),
    )

    network = NetworkSpec("yolov7_pose", {}, layout="yolo_pickle")
    input = ImageInput(
        size=(384, 640),
        resize="letterbox",
        interpolation="opencv_linear",
        std=(255.0, 255.0, 255.0),
    )
    labels = "coco80"
    head = PoseHead()

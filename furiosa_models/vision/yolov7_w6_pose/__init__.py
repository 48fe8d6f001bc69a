"""YOLOv7w6Pose, under the import path of furiosa-models 0.10."""

from __future__ import annotations

from ...processors import preprocessor_class
from ...zoo.yolov7_pose import YOLOv7w6Pose
from .postprocess import PoseEstimationResult, YOLOv7w6PosePostProcessor

__all__ = [
    "PoseEstimationResult",
    "YOLOv7w6Pose",
    "YOLOv7w6PosePostProcessor",
    "YOLOv7w6PosePreProcessor",
    "postprocess",
    "preprocess",
]

YOLOv7w6PosePreProcessor = preprocessor_class(YOLOv7w6Pose)

preprocess = YOLOv7w6PosePreProcessor()
postprocess = YOLOv7w6PosePostProcessor()

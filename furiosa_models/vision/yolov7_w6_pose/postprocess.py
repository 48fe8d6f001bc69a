"""Postprocessing of YOLOv7w6Pose, under the import path of furiosa-models 0.10."""

from __future__ import annotations

from ...enums import Platform
from ...processors import postprocessor_class
from ...tasks import Keypoint, PoseEstimationResult
from ...zoo.yolov7_pose import YOLOv7w6Pose

__all__ = ["Keypoint", "PoseEstimationResult", "YOLOv7w6PosePostProcessor"]

YOLOv7w6PosePostProcessor = postprocessor_class(YOLOv7w6Pose, Platform.PYTHON)

"""YOLOv7 pose estimation (Wang et al. 2022, arXiv:2207.02696)."""

from __future__ import annotations

from ..catalog import register
from ..heads import PoseHead
from ..spec import ModelSpec, NetworkSpec
from ..task_models import PoseEstimator
from .presets import yolo

__all__ = ["YOLOv7w6Pose"]


@register
class YOLOv7w6Pose(PoseEstimator):
    spec = ModelSpec(
        NetworkSpec("yolov7_pose", layout="yolo_pickle"),
        yolo(384, 640),
        PoseHead(),
        labels="coco80",
    )

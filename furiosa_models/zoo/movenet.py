"""MoveNet (Votel and Li 2021, blog.tensorflow.org/2021/05/next-generation-pose-detection.html)."""

from __future__ import annotations

from ..catalog import register
from ..heads import CenterPoseHead, SinglePoseHead
from ..spec import ImageInput, ModelSpec, NetworkSpec
from ..task_models import PoseEstimator

__all__ = ["MoveNetMultiPose", "MoveNetThunder"]

_UNIT = (65536 / 514,) * 3  # the graph multiplies by 1 / 127.5 in float16, 514 / 65536


@register
class MoveNetMultiPose(PoseEstimator):
    spec = ModelSpec(
        NetworkSpec("movenet"),
        ImageInput(
            size=(256, 256), resize="letterbox", pad_at="end", pad_value=0, mean=_UNIT, std=_UNIT
        ),
        CenterPoseHead(),
        labels="coco80",
    )


@register
class MoveNetThunder(PoseEstimator):
    spec = ModelSpec(
        NetworkSpec("movenet", {"variant": "thunder"}),
        ImageInput(size=(256, 256), resize="letterbox", pad_value=0, mean=_UNIT, std=_UNIT),
        SinglePoseHead(),
        labels="coco80",
    )

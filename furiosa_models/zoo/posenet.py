"""PoseNet (Papandreou et al. 2018, arXiv:1803.08225)."""

from __future__ import annotations

from ..catalog import register
from ..heads import PartPoseHead
from ..spec import ImageInput, ModelSpec, NetworkSpec
from ..task_models import PoseEstimator

__all__ = ["PoseNet"]

_MIDDLE = (127.5, 127.5, 127.5)


@register
class PoseNet(PoseEstimator):
    spec = ModelSpec(
        NetworkSpec("posenet"),
        ImageInput(size=(337, 337), resize="letterbox", pad_value=0, mean=_MIDDLE, std=_MIDDLE),
        PartPoseHead(),
        labels="coco80",
    )

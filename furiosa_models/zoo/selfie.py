"""MediaPipe's selfie segmentation (Google, 2021)."""

from __future__ import annotations

from ..catalog import register
from ..heads import MatteHead
from ..spec import ImageInput, ModelSpec, NetworkSpec
from ..task_models import MatteEstimator

__all__ = ["SelfieSegmentation"]


@register
class SelfieSegmentation(MatteEstimator):
    spec = ModelSpec(
        NetworkSpec("selfie_segmentation"),
        ImageInput(size=(256, 256), std=(255.0, 255.0, 255.0)),
        MatteHead(size=(256, 256)),
        labels="person",
    )

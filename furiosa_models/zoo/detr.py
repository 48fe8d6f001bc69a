"""Detectors with queries instead of anchors and NMS: RT-DETR (Lv et al. 2023, arXiv:2304.08069)."""

from __future__ import annotations

from ..catalog import register
from ..heads import BoxesHead
from ..spec import ImageInput, ModelSpec, NetworkSpec
from ..task_models import Detector

__all__ = ["QUERIES", "RTDETR"]

_SIZE = (640, 640)
QUERIES = BoxesHead(
    _SIZE,
    boxes=1,
    scores=0,
    unit="fraction",
    activation="sigmoid",
    multi_label=True,
    suppress=False,
    score_threshold=0.5,
    max_candidates=None,
)
"""Head of networks with queries: class logits, and centers and sizes of boxes."""


@register
class RTDETR(Detector):
    spec = ModelSpec(
        NetworkSpec("rtdetr"),
        ImageInput(
            size=_SIZE, resize="stretch", interpolation="opencv_linear", std=(255.0, 255.0, 255.0)
        ),
        QUERIES,
        labels="coco80",
    )

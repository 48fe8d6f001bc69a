"""Detectors with queries instead of anchors and NMS: RT-DETR and D-FINE.

Lv et al. 2023, arXiv:2304.08069; Peng et al. 2024, arXiv:2410.13842.
"""

from __future__ import annotations

from ..catalog import register
from ..heads import DFineHead, QueryHead
from ..spec import ImageInput, ModelSpec, NetworkSpec
from ..task_models import Detector

__all__ = ["RTDETR", "DFineM", "DFineN", "DFineS"]

_SIZE = (640, 640)
_INPUT = ImageInput(
    size=_SIZE, resize="stretch", interpolation="opencv_linear", std=(255.0, 255.0, 255.0)
)


def _dfine(variant: str) -> ModelSpec:
    network = NetworkSpec("dfine", {"variant": variant})
    return ModelSpec(network, _INPUT, DFineHead(_SIZE), labels="coco80")


@register
class DFineN(Detector):
    spec = _dfine("n")


@register
class DFineS(Detector):
    spec = _dfine("s")


@register
class DFineM(Detector):
    spec = _dfine("m")


@register
class RTDETR(Detector):
    spec = ModelSpec(NetworkSpec("rtdetr"), _INPUT, QueryHead(_SIZE), labels="coco80")

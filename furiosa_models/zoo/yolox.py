"""YOLOX (Ge et al. 2021, arXiv:2107.08430), detectors without anchors."""

from __future__ import annotations

from ..catalog import register
from ..heads import GridHead
from ..spec import ImageInput, ModelSpec, NetworkSpec
from ..task_models import Detector

__all__ = ["YOLOXNano", "YOLOXTiny", "YOLOXs"]


def _spec(variant: str, size: int) -> ModelSpec:
    photo = ImageInput(
        size=(size, size),
        resize="letterbox",
        pad_at="end",
        interpolation="opencv_linear",
        color="bgr",
    )
    network = NetworkSpec("yolox", {"variant": variant, "image_size": size})
    return ModelSpec(network, photo, GridHead((size, size)), labels="coco80")


@register
class YOLOXNano(Detector):
    spec = _spec("nano", 416)


@register
class YOLOXTiny(Detector):
    spec = _spec("tiny", 416)


@register
class YOLOXs(Detector):
    spec = _spec("s", 640)

"""YOLOv5 (Jocher 2020), versions 6 and 7, in four sizes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy.typing as npt

from ..catalog import register
from ..enums import Platform
from ..heads import YOLOv5Head
from ..model import Outputs, built_in
from ..processors import takes_one_context
from ..spec import ImageContext, ImageInput, ModelSpec, NetworkSpec
from ..task_models import Detector
from ..tasks.detection import Detections
from ..weights import WeightsSource
from .presets import yolo

__all__ = ["YOLOv5Model", "YOLOv5l", "YOLOv5m", "YOLOv5n", "YOLOv5s"]


class YOLOv5Model(Detector):
    """A YOLOv5 of any size, optionally with the user's classes and anchors."""

    def __init__(
        self,
        weights: WeightsSource = None,
        *,
        spec: ModelSpec | None = None,
        labels: str | Sequence[str] | None = None,
        input: ImageInput | Mapping[str, Any] | None = None,
        head: YOLOv5Head | Mapping[str, Any] | None = None,
        postprocessor_type: str | Platform = Platform.RUST,
        classes: Sequence[str] | None = None,
        anchors: npt.ArrayLike | None = None,
    ) -> None:
        """Create a model without fetching anything.

        Args:
            weights: See `Model`.
            spec: See `Model`.
            labels: See `Model`.
            input: See `Model`.
            head: See `Model`.
            postprocessor_type: See `Model`.
            classes: Alias of `labels`, its name in 0.10.
            anchors: (levels, a, 2) width and height of each anchor in grid cells of its level. They
                replace the anchors of the weights. Alias of the head's field `anchors`, as in 0.10.

        Raises:
            TypeError: Both `labels` and `classes`, or both `head` and `anchors`, are given.
            ValueError: The platform is unknown.
        """
        if classes is not None and labels is not None:
            msg = "got both labels and classes, which is an alias of it: pass one of them"
            raise TypeError(msg)
        if anchors is not None and head is not None:
            msg = "got both anchors and head, which has anchors, too: pass one of them"
            raise TypeError(msg)
        super().__init__(
            weights,
            spec=spec,
            labels=labels if classes is None else tuple(classes),
            input=input,
            head=head if anchors is None else {"anchors": anchors},
            postprocessor_type=postprocessor_type,
        )

    @built_in
    @takes_one_context
    def postprocess(  # type: ignore[override]  # with_sigmoid is as in 0.10
        self,
        model_outputs: Outputs,
        contexts: Sequence[ImageContext | Mapping[str, Any]],
        score_threshold: float | None = None,
        iou_threshold: float | None = None,
        with_sigmoid: bool | None = None,
        **aliases: Any,
    ) -> list[Detections]:
        """Return the objects of each photo; see `Detector.postprocess`.

        Args:
            model_outputs: Outputs of the runner, one map per level.
            contexts: Contexts from `preprocess`.
            score_threshold: Score threshold in 0..1, which scores must exceed; by default that of
                the head.
            iou_threshold: Maximum IoU of two detections of one class, in 0..1; by default that of
                the head.
            with_sigmoid: Whether to apply the sigmoid to the outputs; by default it is applied if
                the graph does not include it.
            aliases: Names of these arguments in 0.10.
        """
        thresholds = {"score_threshold": score_threshold, "iou_threshold": iou_threshold}
        options = self.vision_task.resolve_options({**thresholds, **aliases})
        if with_sigmoid is not None:
            options["with_sigmoid"] = with_sigmoid
        return self._decode(model_outputs, contexts, options)


def _spec(variant: str, num_classes: int, labels: str) -> ModelSpec:
    params = {"variant": variant, "num_classes": num_classes, "sigmoid": True}
    network = NetworkSpec("yolov5", params, layout="yolo_pickle")
    return ModelSpec(network, yolo(640, 640), YOLOv5Head(), labels)


@register
class YOLOv5n(YOLOv5Model):
    spec = _spec("n", 80, "coco80")


@register
class YOLOv5s(YOLOv5Model):
    spec = _spec("s", 80, "coco80")


@register
class YOLOv5m(YOLOv5Model):
    spec = _spec("m", 10, "bdd100k")


@register
class YOLOv5l(YOLOv5Model):
    spec = _spec("l", 10, "bdd100k")

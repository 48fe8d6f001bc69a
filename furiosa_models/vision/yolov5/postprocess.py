"""Python postprocessing of YOLOv5, under the import path of furiosa-models 0.10."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy.typing as npt

from ...enums import Platform
from ...ops.scores import sigmoid
from ...processors import PythonPostProcessor
from ...zoo.yolov5 import YOLOv5l

__all__ = ["YOLOv5PythonPostProcessor", "sigmoid"]


class YOLOv5PythonPostProcessor(PythonPostProcessor):
    """Postprocessing of YOLOv5 in Python with numpy.

    Args:
        anchors: (levels, a, 2) anchors, as for the model; by default those of YOLOv5.
        class_names: Names of the classes; by default those of BDD100K.
    """

    def __init__(
        self, anchors: npt.ArrayLike | None = None, class_names: Sequence[str] | None = None
    ) -> None:
        self._model = YOLOv5l(
            classes=class_names, anchors=anchors, postprocessor_type=Platform.PYTHON
        )

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Return the objects of each photo; the arguments are those of `YOLOv5l.postprocess`."""
        return self._model.postprocess(*args, **kwargs)

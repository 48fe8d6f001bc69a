"""Processors of YOLOv5, under the import path of furiosa-models 0.8 to 0.10."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy.typing as npt

from ...enums import Platform
from ...processors import RustPostProcessor, preprocessor_class
from ...zoo.yolov5 import YOLOv5l
from ...zoo.yolov5 import YOLOv5Model as YOLOv5Base
from .postprocess import YOLOv5PythonPostProcessor

__all__ = [
    "YOLOv5Base",
    "YOLOv5NativePostProcessor",
    "YOLOv5PostProcessor",
    "YOLOv5PreProcessor",
    "YOLOv5PythonPostProcessor",
]

YOLOv5PreProcessor = preprocessor_class(YOLOv5l)


class YOLOv5NativePostProcessor(RustPostProcessor):
    """Postprocessing of YOLOv5 in Rust.

    Args:
        anchors: (levels, a, 2) anchors, as for the model; by default those of YOLOv5.
        class_names: Names of the classes; by default those of BDD100K.
    """

    def __init__(
        self, anchors: npt.ArrayLike | None = None, class_names: Sequence[str] | None = None
    ) -> None:
        self._model = YOLOv5l(
            classes=class_names, anchors=anchors, postprocessor_type=Platform.RUST
        )

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Return the objects of each photo; the arguments are those of `YOLOv5l.postprocess`."""
        return self._model.postprocess(*args, **kwargs)


YOLOv5PostProcessor = YOLOv5NativePostProcessor
"""Alias, the name in furiosa-models 0.8."""

from __future__ import annotations

import shutil
import sys

import numpy as np
import pytest
import scenes
from floor import Floor, Level, check

from furiosa_models.heads.yolo import decode_yolov5
from furiosa_models.ops.anchors import yolo_p5_anchors


@pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler")
@pytest.mark.parametrize(("objects", "cells"), [(0, 1), (3, 10), (60, 11)])
def test_c_program_gives_the_same_detections(objects: int, cells: int) -> None:
    maps = scenes.yolov5(10, objects, cells)
    anchors = yolo_p5_anchors()
    levels = [
        Level(m, None, np.ascontiguousarray(a * np.float32(s)), 3, float(s))
        for m, a, s in zip(maps, anchors, scenes.YOLO_STRIDES, strict=True)
    ]
    limits = {"thresholds": (0.25, 0.45), "most": (1 << 15, 300), "scale": (1.0, 1.0)}
    floor = Floor("yolov5", levels, 10, **limits)  # type: ignore[arg-type]
    (ours,) = decode_yolov5(maps, anchors, scenes.YOLO_STRIDES)
    found = floor.detections()
    check("yolov5", *ours, found)
    assert len(found) > 0 or not objects
    assert sys.float_info.min / 2 > 0  # it does not flush the subnormal numbers of this process
    if objects:
        with pytest.raises(AssertionError, match="detections instead of"):
            check("yolov5", *ours, found[1:])

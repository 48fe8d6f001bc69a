"""Lower bound of postprocessing time: `floor.c`, compiled for this machine, on the same tensors."""

from __future__ import annotations

import ctypes
import hashlib
import os
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from common import ROOT

__all__ = ["Floor", "Level", "check"]

_SOURCE = Path(__file__).with_name("floor.c")
_FLAGS = ("-O3", "-march=native", "-ffast-math", "-fPIC")
_DETECTION = np.dtype([("box", np.float32, 4), ("score", np.float32), ("label", np.int32)])

Floats = npt.NDArray[np.float32]


class _Level(ctypes.Structure):
    _fields_ = [
        ("scores", ctypes.c_void_p),
        ("boxes", ctypes.c_void_p),
        ("anchors", ctypes.c_void_p),
        ("cells", ctypes.c_int32),
        ("width", ctypes.c_int32),
        ("per_cell", ctypes.c_int32),
        ("stride", ctypes.c_float),
    ]


class _Rules(ctypes.Structure):
    _fields_ = [
        ("levels", ctypes.c_int32),
        ("classes", ctypes.c_int32),
        ("threshold", ctypes.c_float),
        ("iou", ctypes.c_float),
        ("max_per_class", ctypes.c_int32),
        ("max_detections", ctypes.c_int32),
        ("scale", ctypes.c_float * 4),
        ("shift", ctypes.c_float * 4),
    ]


@dataclass(frozen=True)
class Level:
    """Maps of one level, (1, channels, height, width) float32 each.

    Attributes:
        scores: Class logits of an SSD, or the whole map of YOLO.
        boxes: Box deltas of an SSD; None for YOLO.
        anchors: (n, 4) cxcywh for an SSD, or (a, 2) width and height in pixels for YOLO.
        per_cell: Number of anchors per cell.
        stride: Stride of the level in pixels; used only for YOLO.
    """

    scores: Floats
    boxes: Floats | None
    anchors: Floats
    per_cell: int
    stride: float = 0.0


class Floor:
    """A C program that decodes and suppresses like a head, without checks and Python objects.

    Args:
        kind: Name of the decoder: `ssd_sigmoid`, `ssd_softmax` or `yolov5`.
        levels: Maps of the levels, finest first.
        classes: Number of classes, including the background of an SSD.
        thresholds: Score threshold and IoU threshold.
        most: Maximum number of candidates per class before NMS, and of detections.
        scale: Factors for x and y of the boxes, applied after the shift.
        shift: Offsets that are added to x and y of the boxes.

    Attributes:
        run: Function that runs the program and returns the number of detections.
    """

    def __init__(
        self,
        kind: Literal["ssd_sigmoid", "ssd_softmax", "yolov5"],
        levels: Sequence[Level],
        classes: int,
        *,
        thresholds: tuple[float, float],
        most: tuple[int, int],
        scale: tuple[float, float],
        shift: tuple[float, float] = (0.0, 0.0),
    ) -> None:
        self._arrays = levels  # the C program reads their memory
        packed = [
            _Level(
                level.scores.ctypes.data,
                None if level.boxes is None else level.boxes.ctypes.data,
                level.anchors.ctypes.data,
                level.scores.shape[2] * level.scores.shape[3],
                level.scores.shape[3],
                level.per_cell,
                level.stride,
            )
            for level in levels
        ]
        quads = [(ctypes.c_float * 4)(*pair, *pair) for pair in (scale, shift)]
        self._levels = (_Level * len(packed))(*packed)
        self._rules = _Rules(len(packed), classes, *thresholds, *most, *quads)
        function = getattr(_library(), kind)
        arguments = ctypes.byref(self._levels), ctypes.byref(self._rules)
        self.run: Callable[[], int] = lambda: int(function(*arguments))

    def detections(self) -> npt.NDArray[Any]:
        """Run the program; return `box` (xyxy), `score` and `label` of detections, best first."""
        count = self.run()
        library = _library()
        library.detections.restype = ctypes.c_void_p
        size = count * _DETECTION.itemsize
        return np.frombuffer(ctypes.string_at(library.detections(), size), _DETECTION)


@cache
def _library() -> ctypes.CDLL:
    digest = hashlib.sha256(_SOURCE.read_bytes() + " ".join(_FLAGS).encode()).hexdigest()[:16]
    path = ROOT / "build" / "bench-data" / f"floor-{digest}.so"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        compiler = os.environ.get("CC", "cc")
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            made, linked = Path(folder, "floor.o"), Path(folder, path.name)
            subprocess.run([compiler, *_FLAGS, "-c", "-o", made, _SOURCE], check=True)
            # Linked with -ffast-math, it would flush the subnormal numbers of the whole process.
            subprocess.run([compiler, "-shared", "-o", linked, made, "-lm"], check=True)
            linked.replace(path)
    return ctypes.CDLL(str(path))


def check(case: str, boxes: Floats, scores: Floats, labels: Any, other: npt.NDArray[Any]) -> None:
    """Check that two sets of detections are equal up to rounding and the order of equal scores.

    Args:
        case: Name of the case for error messages.
        boxes: Our boxes, (n, 4) xyxy.
        scores: Our scores, (n,).
        labels: Our class ids, (n,).
        other: Detections of `Floor.detections`.

    Raises:
        AssertionError: The detections differ by more than rounding.
    """
    assert len(other) == len(boxes), f"{case}: {len(other)} detections instead of {len(boxes)}"
    mine = np.lexsort((boxes[:, 0], np.round(scores, 4), labels))
    theirs = np.lexsort((other["box"][:, 0], np.round(other["score"], 4), other["label"]))
    np.testing.assert_array_equal(other["label"][theirs], labels[mine], case)
    np.testing.assert_allclose(other["score"][theirs], scores[mine], atol=1e-4, err_msg=case)
    np.testing.assert_allclose(other["box"][theirs], boxes[mine], atol=0.05, err_msg=case)

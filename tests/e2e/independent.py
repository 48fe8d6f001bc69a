"""A second opinion: the same jobs done with OpenCV, Pillow and textbook formulas only.

Nothing here imports the package, so that an error in it cannot be repeated here.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import onnxruntime

from ..textbook import YOLO_P5_PIXELS, ssd_mobilenet_boxes

Array = npt.NDArray[Any]


class SSD:
    """SSD MobileNet from an ONNX file with twelve raw outputs, input RGB in [-1, 1]."""

    def __init__(self, onnx: bytes) -> None:
        self.session = onnxruntime.InferenceSession(onnx, providers=["CPUExecutionProvider"])
        self.anchors = ssd_mobilenet_boxes()

    def detect(self, path: Path, threshold: float) -> list[tuple[int, float, list[float]]]:
        """(class id, score, [x, y, w, h] in pixels) of every detection, after NMS, best first."""
        image: Array = np.asarray(cv2.imread(str(path)))
        height, width = image.shape[:2]
        rgb = cv2.cvtColor(cv2.resize(image, (300, 300)), cv2.COLOR_BGR2RGB)
        tensor = (rgb.astype(np.float32) / 127.5 - 1).transpose(2, 0, 1)[None]
        outputs = self.session.run(None, {self.session.get_inputs()[0].name: tensor})
        rows = [out[0].transpose(1, 2, 0) for out in outputs]
        logits = np.concatenate([row.reshape(-1, 91) for row in rows[0::2]])
        codes = np.concatenate([row.reshape(-1, 4) for row in rows[1::2]])
        scores = 1 / (1 + np.exp(-logits.astype(np.float64)))
        cy, cx, h, w = self.anchors.T
        y = codes[:, 0] / 10 * h + cy
        x = codes[:, 1] / 10 * w + cx
        half_h = np.exp(codes[:, 2] / 5) * h / 2
        half_w = np.exp(codes[:, 3] / 5) * w / 2
        corners = np.stack([x - half_w, y - half_h, x + half_w, y + half_h], axis=1)
        corners *= [width, height, width, height]
        boxes = np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1)
        found = []
        for class_id in range(1, 91):
            chosen = np.flatnonzero(scores[:, class_id] >= threshold)
            kept = cv2.dnn.NMSBoxes(
                boxes[chosen].tolist(), scores[chosen, class_id].tolist(), 0.0, 0.6
            )
            for i in chosen[np.asarray(kept, dtype=int).ravel()]:
                found.append((class_id, float(scores[i, class_id]), boxes[i].tolist()))
        return sorted(found, key=lambda row: -row[1])


class YOLOv5:
    """YOLOv5 from an ONNX file with three raw outputs, 80 classes, 640x640."""

    def __init__(self, onnx: bytes) -> None:
        self.session = onnxruntime.InferenceSession(onnx, providers=["CPUExecutionProvider"])

    def detect(self, path: Path, threshold: float) -> list[tuple[int, float, list[float]]]:
        """(class id, score, [x, y, w, h] in pixels) of every detection, after NMS, best first."""
        image: Array = np.asarray(cv2.imread(str(path)))
        height, width = image.shape[:2]
        scale = min(640 / height, 640 / width)
        new_w, new_h = round(width * scale), round(height * scale)
        left, top = (640 - new_w) / 2, (640 - new_h) / 2
        canvas: Array = np.full((640, 640, 3), 114, np.uint8)
        x0, y0 = round(left - 0.1), round(top - 0.1)
        canvas[y0 : y0 + new_h, x0 : x0 + new_w] = cv2.resize(image, (new_w, new_h))
        tensor = canvas[:, :, ::-1].transpose(2, 0, 1)[None].astype(np.float32) / 255
        outputs = self.session.run(None, {self.session.get_inputs()[0].name: tensor})
        rows = np.concatenate([self.rows(out[0], i) for i, out in enumerate(outputs)])
        scores = rows[:, 4:5] * rows[:, 5:]
        boxes = np.concatenate([rows[:, :2] - rows[:, 2:4] / 2, rows[:, 2:4]], axis=1)
        boxes = (boxes - [left, top, 0, 0]) / scale
        found = []
        for class_id in range(80):
            confident = (rows[:, 4] > threshold) & (scores[:, class_id] > threshold)
            chosen = np.flatnonzero(confident)
            kept = cv2.dnn.NMSBoxes(
                boxes[chosen].tolist(), scores[chosen, class_id].tolist(), 0.0, 0.45
            )
            for i in chosen[np.asarray(kept, dtype=int).ravel()]:
                found.append((class_id, float(scores[i, class_id]), boxes[i].tolist()))
        return sorted(found, key=lambda row: -row[1])[:300]

    def rows(self, output: Array, level: int) -> Array:
        """(cx, cy, w, h, objectness, 80 class scores) of every anchor, in input pixels."""
        side, stride = output.shape[1], 640 // output.shape[1]
        values = 1 / (1 + np.exp(-output.reshape(3, 85, side, side).astype(np.float64)))
        y, x = np.mgrid[:side, :side]
        cx = (values[:, 0] * 2 - 0.5 + x) * stride
        cy = (values[:, 1] * 2 - 0.5 + y) * stride
        sizes = np.array(YOLO_P5_PIXELS[level])
        w = (values[:, 2] * 2) ** 2 * sizes[:, 0, None, None]
        h = (values[:, 3] * 2) ** 2 * sizes[:, 1, None, None]
        boxes = np.stack([cx, cy, w, h], axis=1)
        together = np.concatenate([boxes, values[:, 4:]], axis=1)
        rows: Array = together.transpose(0, 2, 3, 1).reshape(-1, 85)
        return rows


def coco_map(annotations: Path, results: Sequence[dict[str, Any]]) -> float:
    """COCO mAP (IoU 0.50 to 0.95) of detections in the results format."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(annotations))
        evaluation = COCOeval(truth, truth.loadRes(list(results)), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return float(evaluation.stats[0])

"""An independent implementation that uses only OpenCV, Pillow and textbook formulas.

Nothing here imports the package, so that it cannot share the package's errors.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import onnxruntime

from ..textbook import YOLO_P5_PIXELS, letterbox, ssd_mobilenet_boxes

Array = npt.NDArray[Any]


Network = Callable[[Array], list[Array]]
"""Maps a tensor (1, 3, H, W) to the raw outputs (1, C, H, W) of the network."""


def onnx_network(model: bytes) -> Network:
    """Return a function that runs an ONNX file with ONNX Runtime."""
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda tensor: session.run(None, {name: tensor})


def graphdef_network(path: Path) -> Network:
    """Return a function that runs a frozen SSD of TensorFlow with OpenVINO.

    It maps scaled pixels to raw outputs; preprocessing and suppression of the graph are removed.
    """
    import openvino
    from openvino import opset13 as operations

    core = openvino.Core()
    model = core.read_model(path)
    first = next(node for node in model.get_ordered_ops() if node.get_type_name() == "Convolution")
    pixels = operations.parameter([1, 3, 300, 300], np.float32)
    first.input(0).replace_source_output(pixels.output(0))
    nodes = {node.get_friendly_name(): node for node in model.get_ops()}
    heads = [
        nodes[f"BoxPredictor_{level}/{head}/BiasAdd"].output(0)
        for level in range(6)
        for head in ("ClassPredictor", "BoxEncodingPredictor")
    ]
    cut = openvino.Model([operations.result(head) for head in heads], [pixels], "heads")
    compiled = core.compile_model(cut, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})

    def run(tensor: Array) -> list[Array]:
        found = compiled(tensor)
        return [found[output].transpose(0, 3, 1, 2) for output in compiled.outputs]

    return run


class SSD:
    """SSD MobileNet with twelve raw outputs, input RGB in [-1, 1]."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.anchors = ssd_mobilenet_boxes()

    def detect(self, path: Path, threshold: float) -> list[tuple[int, float, list[float]]]:
        """(class id, score, [x, y, w, h] in pixels) of every detection, after NMS, best first."""
        image: Array = np.asarray(cv2.imread(str(path)))
        height, width = image.shape[:2]
        rgb = cv2.cvtColor(cv2.resize(image, (300, 300)), cv2.COLOR_BGR2RGB)
        tensor = (rgb.astype(np.float32) / 127.5 - 1).transpose(2, 0, 1)[None]
        outputs = self.network(tensor)
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
    """YOLOv5 with three raw outputs and 80 classes, a square input of RGB in [0, 1]."""

    def __init__(self, network: Network, size: int = 640) -> None:
        self.network, self.size = network, size

    def detect(self, path: Path, threshold: float) -> list[tuple[int, float, list[float]]]:
        """(class id, score, [x, y, w, h] in pixels) of every detection, after NMS, best first."""
        image: Array = np.asarray(cv2.imread(str(path)))
        canvas, scale, (left, top) = letterbox(image, self.size)
        tensor = canvas[:, :, ::-1].transpose(2, 0, 1)[None].astype(np.float32) / 255
        rows = self.decoded(tensor)
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

    def decoded(self, tensor: Array) -> Array:
        """(cx, cy, w, h, objectness, 80 class scores) of every anchor, in input pixels."""
        outputs = self.network(tensor)
        return np.concatenate([self.rows(out[0], i) for i, out in enumerate(outputs)])

    def rows(self, output: Array, level: int) -> Array:
        side, stride = output.shape[1], self.size // output.shape[1]
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


class YOLOv5TFLite(YOLOv5):
    """YOLOv5 as Ultralytics exports it to TFLite: decoded, boxes in fractions of the input."""

    def __init__(self, path: Path, size: int) -> None:
        from ai_edge_litert.interpreter import Interpreter

        self.size = size
        self.interpreter = Interpreter(model_path=str(path))
        self.interpreter.allocate_tensors()

    def decoded(self, tensor: Array) -> Array:
        place = self.interpreter.get_input_details()[0]["index"]
        self.interpreter.set_tensor(place, tensor.transpose(0, 2, 3, 1))
        self.interpreter.invoke()
        rows = self.interpreter.get_tensor(self.interpreter.get_output_details()[0]["index"])[0]
        return np.concatenate([rows[:, :4] * self.size, rows[:, 4:]], axis=1)


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

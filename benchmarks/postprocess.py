"""Outputs to results, microseconds for a photo, result objects included.

Beside ours: our numpy twin, and furiosa-native-postprocess 0.10.0 with the result objects that
furiosa-models 0.10 makes of what it gives. (0.10's Python postprocessors need PyTorch and are not
run here.) The floors are AVX2 programs in C.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import common

common.enter()

import numpy as np
import scenes

from furiosa_models.heads import SSDHead, YOLOv5Head
from furiosa_models.ops.anchors import yolo_p5_anchors
from furiosa_models.spec import ImageContext
from furiosa_models.types import Platform

CONTEXT = ImageContext(640, 480, 0.5, (0.0, 80.0))
NAMES = tuple(map(str, range(91)))
MOBILENET = SSDHead((19, 10, 5, 3, 2, 1))
RESNET34 = SSDHead(
    (50, 25, 13, 7, 3, 3),
    anchors="default_boxes",
    outputs="grouped",
    channels="class",
    deltas="xywh",
    activation="softmax",
    score_threshold=0.05,
    strict=True,
    iou_threshold=0.5,
    max_per_class=200,
    max_detections=200,
)


@dataclass
class Box:
    """The box of 0.10."""

    left: float
    top: float
    right: float
    bottom: float


@dataclass
class Item:
    """The result of 0.10."""

    index: int
    label: str
    score: float
    boundingbox: Box


def items(found: list[Any], width: float, height: float) -> list[Item]:
    """The results that 0.10 makes of what its native module gives."""
    return [
        Item(
            index=value.class_id,
            label=NAMES[value.class_id],
            score=value.score,
            boundingbox=Box(
                value.left * width, value.top * height, value.right * width, value.bottom * height
            ),
        )
        for value in found
    ]


def rows_of(found: Any) -> list[Item]:
    """The same of the arrays that its YOLO module gives, letterbox undone as 0.10 does."""
    boxes = (found[:, :4] - np.array([0, 80, 0, 80])) / 0.5
    return [
        Item(int(label), NAMES[int(label)], score, Box(*box))
        for box, score, label in zip(boxes, found[:, 4], found[:, 5], strict=True)
    ]


def row(
    name: str, head: Any, outputs: scenes.Maps, peer: common.Work | None, floor: float
) -> common.Row:
    """Our head on both platforms, and the peer."""

    def ours(platform: Platform) -> Any:
        return head.decode(outputs, [CONTEXT], NAMES, platform)[0]

    contenders: dict[str, common.Work] = {
        "ours (Rust)": lambda: ours(Platform.RUST),
        "ours (numpy)": lambda: ours(Platform.PYTHON),
    }
    if peer is not None:
        contenders["furiosa 0.10 (Rust)"] = peer
    case = f"{name} -> {len(ours(Platform.RUST))}"
    return common.Row(case, common.interleaved(contenders), floor * 1e-6)


def mobilenet(module: Any) -> list[common.Row]:
    """Few, some and many detections of SSDMobileNet."""
    rows = []
    for level, floor in ((-4.9, 6.8), (-4.2, 20), (-3.9, 74)):
        maps = scenes.mobilenet(level)
        native = module and module.ssd_mobilenet.RustPostProcessor()

        def peer(maps: scenes.Maps = maps, native: Any = native) -> list[Item]:
            boxes, classes = [m[0, :] for m in maps[1::2]], [m[0, :] for m in maps[0::2]]
            return items(native.eval(boxes, classes), 640, 480)

        rows.append(row("SSDMobileNet", MOBILENET, maps, peer if module else None, floor))
    return rows


def resnet34(module: Any) -> list[common.Row]:
    """Few, some and many detections of SSDResNet34."""
    rows = []
    for objects, anchors, floor in ((5, 8, 76), (32, 10, 157), (120, 10, 409)):
        classes, boxes = scenes.resnet34(objects, anchors)
        native = module and module.ssd_resnet34.RustPostProcessor()

        def peer(c: scenes.Maps = classes, b: scenes.Maps = boxes, n: Any = native) -> list[Item]:
            return items(n.eval([m[0] for m in b], [m[0] for m in c]), 640, 480)

        rows.append(row("SSDResNet34", RESNET34, classes + boxes, peer if module else None, floor))
    return rows


def yolov5(module: Any) -> list[common.Row]:
    """Few, some and many detections of YOLOv5 with 10 and with 80 classes."""
    rows = []
    cases = (
        (10, 3, 14, 2.1),
        (10, 158, 14, 154),
        (80, 3, 10, 2.5),
        (80, 58, 11, 38),
        (80, 201, 9, 141),
    )
    anchors = yolo_p5_anchors()
    for classes, objects, cells, floor in cases:
        maps = scenes.yolov5(classes, objects, cells)
        native = module and module.yolo.RustPostProcessor(anchors, [8.0, 16.0, 32.0])

        def peer(maps: scenes.Maps = maps, n: Any = native, depth: int = 5 + classes) -> list[Item]:
            split = (m.reshape(1, 3, depth, *m.shape[2:]).transpose(0, 1, 3, 4, 2) for m in maps)
            turned = [np.ascontiguousarray(m) for m in split]
            return rows_of(n.eval(turned, 0.25, 0.45, None, None)[0])

        name = f"YOLOv5 {classes}-class"
        rows.append(row(name, YOLOv5Head(), maps, peer if module else None, floor))
    return rows


def main() -> None:
    """Measure and report."""
    warnings.simplefilter("ignore", DeprecationWarning)  # the peer asks numpy for an old name
    try:
        import furiosa_native_postprocess as module
    except ImportError:  # it has wheels for Linux on x86-64 only
        module = None
    rows = mobilenet(module) + resnet34(module) + yolov5(module)
    common.report("postprocess", "Postprocessing, outputs to results", rows, unit="us")


main()

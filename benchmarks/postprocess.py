"""Postprocessing: conversion of a network's outputs to the results of one photo."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scenes
import torch
import torchvision
from common import Contender, Goal, Row, Table, Work, interleave, run, turns_of
from floor import Floor, Level, check
from ultralytics.utils.nms import non_max_suppression

from furiosa_models import get_model
from furiosa_models.ops.anchors import default_boxes, multiple_grid_anchors, yolo_p5_anchors

try:
    import furiosa_native_postprocess as furiosa
except ImportError:  # its wheels are only for Linux on x86-64
    furiosa = None

WIDTH, HEIGHT = 640, 480
PAD, SCALE = 80.0, 1.0  # padding and scale of the letterbox of YOLOv5 for a photo of that size

RUST, NUMPY, NATIVE, TORCH, C = "ours", "ours, numpy", "furiosa 0.10, Rust", "PyTorch", "C program"
LISTS = {RUST: "ours, objects", NUMPY: "ours, numpy, objects", NATIVE: "furiosa 0.10, objects"}
CONTENDERS = (
    Contender(RUST, "ours", "arrays", "`postprocess` with the default options: Rust"),
    Contender(NUMPY, "ours", "arrays", "the same without the native module"),
    Contender(
        NATIVE,
        "peer",
        "arrays",
        "furiosa-native-postprocess 0.10.0, with the values that it returns",
    ),
    Contender(
        TORCH,
        "peer",
        "arrays",
        "decoding in PyTorch, NMS of torchvision or (YOLO) of Ultralytics, one thread",
    ),
    Contender(
        C, "floor", "arrays", "one scan of the scores, decoding of the candidates, NMS; no checks"
    ),
    Contender(LISTS[RUST], "ours", "objects", "`list(result)`: an object for each detection"),
    Contender(LISTS[NUMPY], "ours", "objects", "the same without the native module"),
    Contender(
        LISTS[NATIVE],
        "peer",
        "objects",
        "an object for each detection, as furiosa-models 0.10 creates them",
    ),
)
GOALS = (
    Goal("ours takes at most twice the time of the C program, and 15 µs", RUST, C, 2, 15e-6),
    Goal("ours without the native module is no slower than furiosa 0.10 with its own",
         LISTS[NUMPY], LISTS[NATIVE]),
)  # fmt: skip


@dataclass
class Box:
    """Copy of the box class of furiosa-models 0.10."""

    left: float
    top: float
    right: float
    bottom: float


@dataclass
class Item:
    """Copy of the result class of furiosa-models 0.10."""

    index: int
    label: str
    score: float
    boundingbox: Box


@dataclass(frozen=True)
class Case:
    """Outputs of a network, and the contenders that convert them to results.

    Attributes:
        name: Name in the table.
        model: Class name of our model.
        outputs: Outputs of the network.
        floor: C program.
        native: Call of furiosa-models 0.10's native module, and the function that converts its
            results to objects; None if the module is not installed.
        pytorch: Decoding and NMS in PyTorch.
    """

    name: str
    model: str
    outputs: scenes.Maps
    floor: Floor
    native: tuple[Work, Any] | None
    pytorch: Work


def row(case: Case) -> Row:
    """Check that the results of a case agree, and measure all contenders on it."""
    models = {
        name: get_model(case.model, weights="random", postprocessor_type=platform)
        for name, platform in ((RUST, "rust"), (NUMPY, "python"))
    }
    _, contexts = models[RUST].preprocess(np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    works: dict[str, Work] = {}
    for name, model in models.items():

        def ours(model: Any = model) -> Any:
            return model.postprocess(case.outputs, contexts)[0]

        works[name] = ours
        works[LISTS[name]] = lambda ours=ours: list(ours())  # type: ignore[misc]
    if case.native is not None:
        call, as_items = case.native
        works[NATIVE] = call
        works[LISTS[NATIVE]] = lambda: as_items(call())
    works[TORCH] = case.pytorch
    works[C] = case.floor.run
    found: Any = works[RUST]()
    check(case.name, found.boxes, found.scores, found.class_ids, case.floor.detections())
    with torch.inference_mode():
        samples = interleave(turns_of(works), seconds=0.6)
        count = len(works[TORCH]())  # type: ignore[arg-type]
    assert abs(count - len(found)) <= 2, (
        f"{case.name}: PyTorch has {count} detections, ours {len(found)}"
    )
    return Row(f"{case.name}, {len(found)} found", samples, GOALS)


def items(found: Sequence[Any], names: Sequence[str]) -> list[Item]:
    """Convert the results of the SSD modules of furiosa-models 0.10 to objects, as it does."""
    return [
        Item(
            index=value.class_id,
            label=names[value.class_id],
            score=value.score,
            boundingbox=Box(
                value.left * WIDTH, value.top * HEIGHT, value.right * WIDTH, value.bottom * HEIGHT
            ),
        )
        for value in found
    ]


def yolo_items(found: Any, names: Sequence[str]) -> list[Item]:
    """Convert the results of its YOLO module to objects, with boxes in pixels of the photo."""
    boxes = (found[:, :4] - np.array([0, PAD, 0, PAD])) / SCALE
    return [
        Item(int(label), names[int(label)], score, Box(*box))
        for box, score, label in zip(boxes, found[:, 4], found[:, 5], strict=True)
    ]


def mobilenet() -> Iterator[Case]:
    """Yield cases of SSDMobileNet with few, some and many detections."""
    names = [str(i) for i in range(91)]
    grid = multiple_grid_anchors(tuple((side, side) for side, _ in scenes.MOBILENET_LEVELS))
    anchors = torch.from_numpy(grid.copy())
    for level in (-4.9, -4.2, -3.9):
        maps = scenes.mobilenet(level)
        levels, first = [], 0
        for (side, count), scores, boxes in zip(
            scenes.MOBILENET_LEVELS, maps[0::2], maps[1::2], strict=True
        ):
            own = np.ascontiguousarray(grid[first : first + side * side * count])
            levels.append(Level(scores, boxes, own, count))
            first += len(own)
        floor = Floor(
            "ssd_sigmoid", levels, 91, thresholds=(0.3, 0.6), most=(1 << 15, 1 << 15),
            scale=(WIDTH, HEIGHT),
        )  # fmt: skip
        native = None
        if furiosa is not None:
            module = furiosa.ssd_mobilenet.RustPostProcessor()

            def call(maps: scenes.Maps = maps, module: Any = module) -> Any:
                return module.eval([m[0] for m in maps[1::2]], [m[0] for m in maps[0::2]])

            native = call, lambda found: items(found, names)
        tensors = [torch.from_numpy(m) for m in maps]

        def pytorch(tensors: list[Any] = tensors) -> Any:
            pairs = zip(tensors[0::2], tensors[1::2], scenes.MOBILENET_LEVELS, strict=True)
            logits: list[Any] = []
            deltas: list[Any] = []
            for of_classes, of_boxes, (side, count) in pairs:
                logits.append(
                    of_classes.view(count, 91, side * side).permute(2, 0, 1).reshape(-1, 91)
                )
                deltas.append(of_boxes.view(count, 4, side * side).permute(2, 0, 1).reshape(-1, 4))
            scores = torch.sigmoid(torch.cat(logits))[:, 1:]
            boxes = decode_boxes(torch.cat(deltas)[:, [1, 0, 3, 2]], anchors)
            place, label = torch.where(scores >= 0.3)
            return suppress(boxes[place], scores[place, label], label + 1, 0.6)

        yield Case("SSDMobileNet", "SSDMobileNet", maps, floor, native, pytorch)


def resnet34() -> Iterator[Case]:
    """Yield cases of SSDResNet34 with few, some and many detections."""
    names = [str(i) for i in range(81)]
    grid = default_boxes(tuple((side, side) for side, _ in scenes.RESNET34_LEVELS))
    anchors = torch.from_numpy(grid.copy())
    for objects, seen in ((5, 8), (32, 10), (120, 10)):
        classes, boxes = scenes.resnet34(objects, seen)
        levels, first = [], 0
        for (side, count), of_classes, of_boxes in zip(
            scenes.RESNET34_LEVELS, classes, boxes, strict=True
        ):
            own = np.ascontiguousarray(grid[first : first + side * side * count])
            levels.append(Level(of_classes, of_boxes, own, count))
            first += len(own)
        floor = Floor(
            "ssd_softmax", levels, 81, thresholds=(0.05, 0.5), most=(200, 200),
            scale=(WIDTH, HEIGHT),
        )  # fmt: skip
        native = None
        if furiosa is not None:
            module = furiosa.ssd_resnet34.RustPostProcessor()

            def call(c: scenes.Maps = classes, b: scenes.Maps = boxes, module: Any = module) -> Any:
                return module.eval([m[0] for m in b], [m[0] for m in c])

            native = call, lambda found: items(found, names)
        tensors = [torch.from_numpy(m) for m in classes], [torch.from_numpy(m) for m in boxes]

        def pytorch(tensors: Any = tensors) -> Any:
            logits = torch.cat([m.view(81, -1) for m in tensors[0]], dim=1)
            deltas = torch.cat([m.view(4, -1) for m in tensors[1]], dim=1).T
            scores = torch.softmax(logits, dim=0)[1:]
            label, place = torch.where(scores > 0.05)
            found = decode_boxes(deltas, anchors)[place]
            return suppress(found, scores[label, place], label + 1, 0.5)[:200]

        yield Case("SSDResNet34", "SSDResNet34", classes + boxes, floor, native, pytorch)


def yolov5() -> Iterator[Case]:
    """Yield cases of YOLOv5 with 10 and with 80 classes, from few to many detections."""
    anchors = yolo_p5_anchors()
    cases = ((10, 3, 14), (10, 158, 14), (80, 3, 10), (80, 58, 11), (80, 201, 9))
    for classes, objects, cells in cases:
        names = [str(i) for i in range(classes)]
        maps = scenes.yolov5(classes, objects, cells)
        sizes = [
            np.ascontiguousarray(a * np.float32(s))
            for a, s in zip(anchors, scenes.YOLO_STRIDES, strict=True)
        ]
        levels = [
            Level(m, None, size, 3, float(stride))
            for m, size, stride in zip(maps, sizes, scenes.YOLO_STRIDES, strict=True)
        ]
        floor = Floor(
            "yolov5", levels, classes, thresholds=(0.25, 0.45), most=(1 << 15, 300),
            scale=(1 / SCALE, 1 / SCALE), shift=(0.0, -PAD),
        )  # fmt: skip
        native = None
        if furiosa is not None:
            module = furiosa.yolo.RustPostProcessor(anchors, [8.0, 16.0, 32.0])

            def call(
                maps: scenes.Maps = maps, module: Any = module, depth: int = 5 + classes
            ) -> Any:
                split = (
                    m.reshape(1, 3, depth, *m.shape[2:]).transpose(0, 1, 3, 4, 2) for m in maps
                )
                transposed = [np.ascontiguousarray(m) for m in split]
                return module.eval(transposed, 0.25, 0.45, None, None)[0]

            native = call, lambda found, names=names: yolo_items(found, names)
        yield Case(
            f"YOLOv5, {classes} classes",
            "YOLOv5m" if classes == 10 else "YOLOv5s",
            maps,
            floor,
            native,
            yolov5_in_pytorch(maps, sizes, classes),
        )


def yolov5_in_pytorch(maps: scenes.Maps, sizes: Sequence[Any], classes: int) -> Work:
    """Return a function that decodes like YOLOv5's `Detect`, and applies the NMS of Ultralytics."""
    tensors = [torch.from_numpy(m) for m in maps]
    grids = []
    for m in tensors:
        rows, columns = torch.meshgrid(
            *(torch.arange(float(n)) for n in m.shape[2:]), indexing="ij"
        )
        grids.append(torch.stack((columns, rows)) - 0.5)
    anchors = [torch.from_numpy(size)[:, :, None, None] for size in sizes]

    def work() -> Any:
        levels = []
        for m, grid, anchor, stride in zip(
            tensors, grids, anchors, scenes.YOLO_STRIDES, strict=True
        ):
            parts = m.view(3, 5 + classes, *m.shape[2:])
            center = (parts[:, :2] * 2 + grid) * stride
            size = (parts[:, 2:4] * 2) ** 2 * anchor
            whole = torch.cat((center, size, parts[:, 5:] * parts[:, 4:5]), dim=1)
            levels.append(whole.transpose(0, 1).reshape(4 + classes, -1))
        prediction = torch.cat(levels, dim=1)[None]
        return non_max_suppression(prediction, 0.25, 0.45, multi_label=True, max_det=300)[0]

    return work


def decode_boxes(deltas: Any, anchors: Any) -> Any:
    """Return the xyxy boxes of SSD deltas (x, y, width, height) and cxcywh anchors."""
    center = anchors[:, :2] + deltas[:, :2] * 0.1 * anchors[:, 2:]
    half = torch.exp(deltas[:, 2:] * 0.2) * anchors[:, 2:] * 0.5
    return torch.cat((center - half, center + half), dim=1)


def suppress(boxes: Any, scores: Any, labels: Any, overlap: float) -> Any:
    """Return rows of box, score and label that remain after torchvision's NMS, best first."""
    kept = torchvision.ops.batched_nms(boxes, scores, labels, overlap)
    scaled = boxes[kept] * torch.tensor([WIDTH, HEIGHT, WIDTH, HEIGHT])
    return torch.cat((scaled, scores[kept, None], labels[kept, None]), dim=1)


def measure() -> Iterator[Table]:
    """Measure every case."""
    warnings.simplefilter("ignore", DeprecationWarning)  # a peer uses a deprecated name of numpy
    torch.set_num_threads(1)
    cases = [*mobilenet(), *resnet34(), *yolov5()]
    yield Table(
        "postprocess",
        "Postprocessing",
        "Time from the network's outputs to the results of one photo, on one thread. The outputs "
        "are synthetic, with known objects. The benchmark compiles the C program for the machine, "
        "and checks that its detections are the same as ours. Ours returns arrays, which create "
        "objects on demand, so both are measured. (The Python postprocessors of furiosa-models "
        "0.10 need an older numpy, and are not measured.)",
        CONTENDERS,
        [row(case) for case in cases],
    )


if __name__ == "__main__":
    run(measure)

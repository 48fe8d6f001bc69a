"""Decoders in a graph give the results of `Head.decode`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from furiosa_models.enums import Platform
from furiosa_models.errors import ConversionError, ShapeError
from furiosa_models.export.embedded.decoders import default_options
from furiosa_models.heads import (
    AnyDetector,
    BoxesHead,
    ClassificationHead,
    GridHead,
    PoseColumnsHead,
    PoseHead,
    SSDHead,
    YOLOv5Head,
)
from furiosa_models.spec import Head, ImageContext, ImageInput
from furiosa_models.vision import SSDResNet34

from .running import check, decoding, feeds, run

Array = npt.NDArray[Any]

LETTERBOXED = ImageContext(777, 333, scale=0.8239, pad=(0.0, 12.5))
STRETCHED = ImageContext(777, 333, stretch=(300 / 777, 300 / 333))


def compare(
    head: Head,
    outputs: Sequence[Array],
    size: tuple[int, int] = (64, 96),
    classes: int = 80,
    context: ImageContext = LETTERBOXED,
    **options: float,
) -> int:
    """Compare the results for one photo, and return how many there are."""
    names = [f"class {i}" for i in range(classes)]
    (expected,) = head.decode(list(outputs), [context], names, Platform.RUST, **options)
    graph = decoding(head, outputs, ImageInput(size=size), classes)
    defaults = default_options(head)
    given = {name: np.array(value, defaults[name].dtype) for name, value in options.items()}
    found = run(graph, {**feeds(graph, outputs, context), **given})
    return check(found, expected)


def ties(values: Array, steps: int | None) -> Array:
    """Round values so that many are equal, unless `steps` is None."""
    rounded = values if steps is None else np.round(values * steps) / steps
    return rounded.astype(np.float32)


def normal(shape: tuple[int, ...], mean: float, deviation: float, seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(mean, deviation, shape)


# --- SSD

MAPS, PER_CELL = (8, 4, 2, 1), (3, 6, 6, 6)
SSD = SSDHead(MAPS)
MLPERF_SSD = SSDResNet34("random").head
assert isinstance(MLPERF_SSD, SSDHead)
SSD_BY_CLASS = replace(
    MLPERF_SSD, feature_maps=(10, 5, 3, 2, 2, 1), max_per_class=20, max_detections=50
)


def ssd_maps(
    head: SSDHead, per_cell: Sequence[int], classes: int, mean: float, steps: int | None = None
) -> list[Array]:
    sides = head.feature_maps
    scores = [
        ties(normal((1, a * classes, s, s), mean, 1.5, s), steps)
        for a, s in zip(per_cell, sides, strict=True)
    ]
    boxes = [
        ties(normal((1, a * 4, s, s), 0, 1, s), None) for a, s in zip(per_cell, sides, strict=True)
    ]
    if head.outputs == "grouped":
        return [*scores, *boxes]
    return [each for pair in zip(scores, boxes, strict=True) for each in pair]


@pytest.mark.parametrize("steps", [None, 2])
@pytest.mark.parametrize("activation", ["sigmoid", "softmax", "none"])
def test_ssd_detects_the_same(activation: Any, steps: int | None) -> None:
    head = SSDHead(MAPS, activation=activation, score_threshold=0.4)
    mean = 0.0 if activation == "softmax" else -2.0
    maps = ssd_maps(head, PER_CELL, 7, mean, steps)
    assert compare(head, maps, context=STRETCHED) > 5


def test_ssd_detects_nothing() -> None:
    assert compare(SSD, ssd_maps(SSD, PER_CELL, 7, -20.0), context=STRETCHED) == 0


def test_ssd_detects_many_with_the_lowest_threshold() -> None:
    maps = ssd_maps(SSD, PER_CELL, 7, -2.0, 4)
    found = compare(SSD, maps, context=STRETCHED, score_threshold=0.0, iou_threshold=1.0)
    assert found == 6 * (3 * 64 + 6 * 21)


@pytest.mark.parametrize("steps", [None, 2])
def test_ssd_of_the_other_layout_detects_the_same(steps: int | None) -> None:
    maps = ssd_maps(SSD_BY_CLASS, (4, 6, 6, 6, 4, 4), 21, -2.0, steps)
    assert compare(SSD_BY_CLASS, maps, context=STRETCHED) == 50


def test_ssd_ignores_what_is_not_a_number() -> None:
    maps = ssd_maps(SSD, PER_CELL, 7, -2.0)
    maps[0][:, ::5], maps[1][:, ::7], maps[2][:, ::3] = np.nan, np.inf, np.inf
    assert compare(SSD, maps, context=STRETCHED) > 5


# --- YOLO


def yolo_maps(
    head: YOLOv5Head | PoseHead, channels: int, mean: float, steps: int | None = None
) -> list[Array]:
    logits = not (isinstance(head, YOLOv5Head) and head.sigmoid_inside)
    found = []
    for stride in head.strides:
        shape = (1, head.anchors.shape[1] * channels, 64 // stride, 128 // stride)
        values = normal(shape, mean, 1.5, stride)
        found.append(ties(values if logits else 1 / (1 + np.exp(-values)), steps))
    return found


@pytest.mark.parametrize("steps", [None, 16])
@pytest.mark.parametrize("sigmoid_inside", [True, False])
def test_yolo_detects_the_same(sigmoid_inside: bool, steps: int | None) -> None:
    head = YOLOv5Head(sigmoid_inside=sigmoid_inside)
    assert compare(head, yolo_maps(head, 9, -1.0, steps), (64, 128), 4) > 20


@pytest.mark.parametrize("threshold", [0.0, 1.0])
def test_yolo_takes_the_extreme_thresholds(threshold: float) -> None:
    head = YOLOv5Head(sigmoid_inside=False, max_candidates=100)
    maps = yolo_maps(head, 9, -1.0)
    found = compare(head, maps, (64, 128), 4, score_threshold=threshold, iou_threshold=1.0)
    assert found == (100 if threshold == 0.0 else 0)


def test_yolo_takes_the_size_of_maps_that_do_not_divide_the_input() -> None:
    head = YOLOv5Head()
    assert compare(head, yolo_maps(head, 9, -1.0), (62, 121), 4) > 20


def test_yolo_of_five_dimensions_detects_the_same() -> None:
    head = YOLOv5Head()
    maps = [
        np.ascontiguousarray(m.reshape(1, 3, 9, *m.shape[2:]).transpose(0, 1, 3, 4, 2))
        for m in yolo_maps(head, 9, -1.0)
    ]
    assert compare(head, maps, (64, 128), 4) > 20


def test_pose_finds_the_same_people() -> None:
    head = PoseHead()
    first, second = yolo_maps(head, 6, -1.0), yolo_maps(head, 51, 0.0)
    maps = [each for pair in zip(first, second, strict=True) for each in pair]
    assert compare(head, maps, (64, 128)) > 20
    assert compare(head, maps, (64, 128), score_threshold=0.6, iou_threshold=0.1) > 0
    assert compare(head, [m - np.float32(30) for m in maps], (64, 128)) == 0


# --- Decoded boxes


def rows(count: int, columns: int, *, fraction: bool = False) -> Array:
    """Return `(1, count, 4 + columns)`: boxes cxcywh, and scores with ties."""
    rng = np.random.default_rng(count)
    found = rng.uniform(0, 1, (1, count, 4 + columns))
    found[..., :4] *= 1 if fraction else (96, 64, 40, 30)
    found[..., 4:] = np.round(found[..., 4:] ** 4, 2)
    return found.astype(np.float32)


@pytest.mark.parametrize("fraction", [True, False])
def test_boxes_in_columns_are_the_same(fraction: bool) -> None:
    columns = np.ascontiguousarray(rows(500, 8, fraction=fraction).transpose(0, 2, 1))
    head = BoxesHead((64, 96), transposed=True, unit="auto")
    assert compare(head, [columns]) > 100
    assert compare(head, [columns], score_threshold=0.9, iou_threshold=0.1) > 10


def test_boxes_with_objectness_and_several_classes_are_the_same() -> None:
    head = BoxesHead((64, 96), objectness=True, multi_label=True, unit="auto")
    assert compare(head, [rows(500, 6)]) > 50


@pytest.mark.parametrize("box_format", ["xyxy", "xywh", "cxcywh", "yxyx"])
@pytest.mark.parametrize("activation", ["none", "sigmoid", "softmax"])
@pytest.mark.parametrize("background", [None, "first", "last"])
def test_boxes_beside_their_scores_are_the_same(
    box_format: Any, activation: Any, background: Any
) -> None:
    head = BoxesHead(
        (64, 96),
        boxes=1,
        scores=0,
        box_format=box_format,
        unit="fraction",
        activation=activation,
        background=background,
        suppress=box_format != "xywh",
        max_detections=70,
        first_class=2,
    )
    scores = normal((1, 300, 6), 0, 2).astype(np.float32)
    assert compare(head, [scores, rows(300, 0, fraction=True)]) > 30


@pytest.mark.parametrize("batch", [True, False])
def test_boxes_with_chosen_classes_are_the_same(batch: bool) -> None:
    ids = np.random.default_rng(1).integers(0, 80, (1, 100))
    outputs = [rows(100, 0), rows(100, 1)[..., 4], ids]
    outputs = outputs if batch else [output[0] for output in outputs]
    head = BoxesHead((64, 96), scores=1, classes=2, suppress=False, box_format="xyxy")
    assert compare(head, outputs) > 10


def test_boxes_followed_by_score_and_class_are_the_same() -> None:
    table = rows(100, 2)
    table[..., 5] = np.random.default_rng(1).integers(0, 80, 100)
    table[0, 3, :4], table[0, 4, 4] = np.nan, np.inf
    head = BoxesHead((64, 96), chosen=True, suppress=False, box_format="xyxy")
    assert compare(head, [table]) > 10


def test_yolox_detects_the_same() -> None:
    cells = 8 * 12 + 4 * 6 + 2 * 3
    table = normal((1, cells, 11), 0, 1)
    table[..., 4:] = rows(cells, 7)[..., 4:] ** 0.3
    assert compare(GridHead((64, 96)), [table.astype(np.float32)]) > 20


def nanodet_table(strides: Sequence[int]) -> Array:
    cells = sum(-(-64 // stride) * -(-96 // stride) for stride in strides)
    table = normal((1, cells, 5 + 32), 0, 2)
    table[..., :5] = rows(cells, 5)[..., 4:]
    return table.astype(np.float32)


def test_nanodet_detects_the_same_in_one_output_and_in_many() -> None:
    strides = (8, 16, 32, 64)
    head = GridHead((64, 96), "nanodet", strides, 8)
    table = nanodet_table(strides)
    parts = np.split(table, np.cumsum([96, 24, 6]), axis=1)
    apart = [np.ascontiguousarray(part[..., :5]) for part in parts[::-1]]
    apart += [np.ascontiguousarray(part[..., 5:]) for part in parts]
    assert compare(head, [table], context=STRETCHED) > 20
    assert compare(head, apart, context=STRETCHED) > 20


def test_poses_in_columns_are_the_same() -> None:
    table = rows(300, 52)
    assert compare(PoseColumnsHead((64, 96), transposed=False), [table]) > 20
    columns = np.ascontiguousarray(table.transpose(0, 2, 1))
    assert compare(PoseColumnsHead((64, 96)), [columns], iou_threshold=0.2) > 5


# --- Classification


@pytest.mark.parametrize(
    "head", [ClassificationHead(), ClassificationHead(offset=1), ClassificationHead("none")]
)
@pytest.mark.parametrize("top_k", [1, 5, 2000])
def test_the_best_classes_are_the_same(head: ClassificationHead, top_k: int) -> None:
    logits = ties(normal((1, 101), 0, 2), 10)
    assert compare(head, [logits], classes=100, top_k=top_k) >= min(top_k, 100) - 1
    logits[0, [5, 77]], logits[0, 3] = np.inf, np.nan
    compare(head, [logits], classes=100, top_k=top_k)


def test_a_map_of_one_pixel_is_a_row_of_scores() -> None:
    logits = normal((1, 10, 1, 1), 0, 2).astype(np.float32)
    assert compare(ClassificationHead(), [logits], classes=10) == 5


def test_the_background_is_not_among_the_best_classes() -> None:
    logits = np.zeros((1, 5), np.float32)
    logits[0, 0] = 9
    assert compare(ClassificationHead(offset=1), [logits], classes=4, top_k=3) == 2


def test_a_chosen_class_has_no_score() -> None:
    assert compare(ClassificationHead("argmax", offset=1), [np.array([7])], classes=10) == 1


# --- Options and errors


@pytest.mark.parametrize(
    ("head", "options"),
    [
        (ClassificationHead(), {"top_k": 5}),
        (ClassificationHead("argmax"), {}),
        (SSD, {"score_threshold": 0.3, "iou_threshold": 0.6, "max_detections": 2**31 - 1}),
        (
            GridHead((64, 96)),
            {"score_threshold": 0.3, "iou_threshold": 0.45, "max_detections": 300},
        ),
        (
            BoxesHead((64, 96), suppress=False, max_detections=9),
            {"score_threshold": 0.25, "max_detections": 9},
        ),
    ],
)
def test_options_are_those_that_the_decoder_uses(head: Head, options: Mapping[str, float]) -> None:
    assert {k: pytest.approx(v.item()) for k, v in default_options(head).items()} == options


@dataclass(frozen=True)
class OwnHead(SSDHead):
    """A user's head, which may decode in another way."""


@pytest.mark.parametrize("head", [OwnHead((1,)), AnyDetector()])
def test_a_head_without_a_decoder_is_named(head: Head) -> None:
    with pytest.raises(ConversionError, match=type(head).__name__):
        default_options(head)


def test_another_number_of_outputs_is_an_error() -> None:
    with pytest.raises(ShapeError, match="expected 8 outputs, got 2"):
        decoding(SSD, ssd_maps(SSD, PER_CELL, 7, 0.0)[:2], ImageInput(size=(64, 96)), 7)


def test_box_maps_that_do_not_fit_the_default_boxes_are_an_error() -> None:
    maps = ssd_maps(SSD, (3, 6, 6, 5), 7, 0.0)
    with pytest.raises(ConversionError, match="default boxes"):
        decoding(SSD, maps, ImageInput(size=(64, 96)), 7)

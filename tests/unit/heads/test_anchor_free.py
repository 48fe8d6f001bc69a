"""Anchor-free heads: boxes encoded by the papers' formulas are decoded correctly."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from furiosa_models.enums import Platform
from furiosa_models.errors import ShapeError
from furiosa_models.heads.anchor_free import GridHead
from furiosa_models.heads.recognize import detector_head
from furiosa_models.spec import GraphFacts, ImageContext, TensorFacts

from ...platforms import BOTH

Floats = npt.NDArray[np.float32]

SIZE = (64, 96)
PHOTO = ImageContext(96, 64)
NAMES = ("cat", "dog", "bird")
BOX = (20.0, 8.0, 52.0, 40.0)  # left, top, right, bottom; its center (36, 24)


def cells(*strides: int) -> list[tuple[int, int, int]]:
    """Return column, row and stride of the cells, finest level first, row by row."""
    return [
        (x, y, stride)
        for stride in strides
        for y in range(SIZE[0] // stride)
        for x in range(SIZE[1] // stride)
    ]


def facts(*outputs: tuple[int, ...], operations: frozenset[str] = frozenset()) -> GraphFacts:
    return GraphFacts(
        (TensorFacts("image", (1, 3, *SIZE), "float32"),),
        tuple(
            TensorFacts(f"o{i}", shape, "float32", operations) for i, shape in enumerate(outputs)
        ),
    )


def yolox(box: tuple[float, ...], class_id: int) -> Floats:
    """Make an output with one box, in the cell of stride 16 that contains its center."""
    places = cells(8, 16, 32)
    output = np.zeros((1, len(places), 5 + len(NAMES)), np.float32)
    x, y = (box[0] + box[2]) / 2 / 16, (box[1] + box[3]) / 2 / 16
    row = places.index((int(x), int(y), 16))
    size = np.log([(box[2] - box[0]) / 16, (box[3] - box[1]) / 16])
    output[0, row, :5] = (x - int(x), y - int(y), *size, 0.9)
    output[0, row, 5 + class_id] = 0.8
    return output


def nanodet(box: tuple[float, ...], class_id: int, bins: int) -> tuple[Floats, Floats]:
    """Make scores and distances; each distance lies between two bins, encoded by their logits."""
    places = cells(8, 16, 32)
    scores = np.zeros((1, len(places), len(NAMES)), np.float32)
    distances = np.full((1, len(places), 4, bins), -50.0, np.float32)
    row = places.index((2, 1, 16))
    center = (2.5 * 16, 1.5 * 16)
    sides = (center[0] - box[0], center[1] - box[1], box[2] - center[0], box[3] - center[1])
    for side, reach in enumerate(sides):
        low, part = int(reach / 16), reach / 16 % 1
        distances[0, row, side, low] = np.log(max(1 - part, 1e-20))
        distances[0, row, side, low + 1] = np.log(max(part, 1e-20))
    scores[0, row, class_id] = 0.7
    return scores, distances.reshape(1, len(places), 4 * bins)


def assert_found(head: Any, outputs: list[Floats], platform: Platform, score: float) -> None:
    (found,) = head.decode(outputs, [PHOTO], NAMES, platform)
    assert found.labels == ["dog"]
    np.testing.assert_allclose(found.boxes, [BOX], atol=1e-3)
    np.testing.assert_allclose(found.scores, [score], rtol=1e-5)


@BOTH
def test_yolox(platform: Platform) -> None:
    output = yolox(BOX, 1)
    graph = facts(output.shape, operations=frozenset({"Conv", "Sigmoid"}))
    head = detector_head(graph)
    assert head == GridHead(SIZE)
    assert head.with_labels(NAMES, graph) == (head, NAMES)
    given = head.input_for(graph)
    assert given is not None
    assert (given.color, given.pad_at, given.std) == ("bgr", "end", (1.0, 1.0, 1.0))
    assert_found(head, [output], platform, 0.9 * 0.8)


@BOTH
@pytest.mark.parametrize("bins", [8, 17])
def test_nanodet_with_maps_by_level(platform: Platform, bins: int) -> None:
    scores, distances = nanodet(BOX, 1, bins)
    sizes = np.cumsum([len(cells(stride)) for stride in (8, 16)])
    maps = [part for whole in (distances, scores) for part in np.split(whole, sizes, axis=1)]
    maps = [*maps[::2], *maps[1::2]]  # exports differ in their order
    graph = facts(*(each.shape for each in maps))
    head = detector_head(graph)
    assert head == GridHead(SIZE, "nanodet", (8, 16, 32), bins)
    assert head.with_labels(NAMES, graph)[1] == NAMES
    assert_found(head, maps, platform, 0.7)


@BOTH
def test_nanodet_with_one_output(platform: Platform) -> None:
    scores, distances = nanodet(BOX, 1, 8)
    head = GridHead(SIZE, "nanodet", (8, 16, 32), 8)
    assert_found(head, [np.concatenate((scores, distances), axis=2)], platform, 0.7)


def test_number_of_cells_is_checked() -> None:
    with pytest.raises(ShapeError, match="expected 126 cells"):
        GridHead(SIZE).decode([np.zeros((1, 125, 8))], [PHOTO], NAMES, Platform.PYTHON)


def test_infinite_boxes_are_dropped() -> None:
    output = yolox(BOX, 1)
    output[..., 2] = 1e4  # an infinite width
    (found,) = GridHead(SIZE).decode([output], [PHOTO], NAMES, Platform.PYTHON)
    assert np.isfinite(found.boxes).all()


@BOTH
def test_a_cell_gives_one_detection_or_one_for_each_class(platform: Platform) -> None:
    scores, distances = nanodet(BOX, 1, 8)
    scores[scores.max(axis=2) > 0.5, 2] = 0.4
    for several, expected in ((False, ["dog"]), (True, ["dog", "bird"])):
        head = GridHead(SIZE, "nanodet", bins=8, multi_label=several)
        (found,) = head.decode([np.concatenate((scores, distances), 2)], [PHOTO], NAMES, platform)
        assert found.labels == expected

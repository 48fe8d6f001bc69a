"""Objects cut by tiles whose masks are right in every tile."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from furiosa_models.ops.masks import outlines
from furiosa_models.tasks import Instances
from furiosa_models.tiles import Tiling
from furiosa_models.tiles.instances import merge_instances
from furiosa_models.tiles.tiling import Part, Tile

Masks = Sequence[npt.NDArray[np.bool_]]


def instances(masks: Masks, scores: Any, height: int, width: int) -> Instances:
    array = np.array(masks, bool).reshape(-1, height, width)
    known = np.array(scores, np.float32)
    return Instances.of_masks(array, known, np.zeros(len(array), np.int64), ["a"])


def merged(masks: Masks, tiles: Sequence[Tile], rng: np.random.Generator) -> Instances:
    """Return what is merged if each tile finds its part of each object, with any score."""
    height, width = masks[0].shape
    parts = []
    for tile in tiles:
        cut = [mask[tile.top : tile.bottom, tile.left : tile.right] for mask in masks]
        seen = [mask for mask in cut if mask.any()]
        size = tile.bottom - tile.top, tile.right - tile.left
        found = instances(seen, rng.random(len(seen)), *size)
        parts.append(Part(found, tile, tile.inner_edges(width, height)))
    return merge_instances(instances([], [], height, width), parts, 0.5)


def check(found: Instances, expected: Masks) -> None:
    """Check that the masks found are those expected, in any order."""
    assert len(found) == len(expected)
    assert {mask.tobytes() for mask in found.masks} == {mask.tobytes() for mask in expected}


def ellipse(rng: np.random.Generator, height: int, width: int) -> npt.NDArray[np.bool_]:
    x, y = rng.integers(0, width), rng.integers(0, height)
    across, down = rng.integers(3, 60, 2)
    rows, columns = np.ogrid[:height, :width]
    inside: npt.NDArray[np.bool_] = ((columns - x) / across) ** 2 + ((rows - y) / down) ** 2 <= 1
    return inside


def cut(width: int, height: int, side: int, overlap: float) -> list[Tile]:
    tiling = Tiling.of((side, side), overlap)
    assert tiling is not None
    return tiling.cut(width, height, (0, 0))


@pytest.mark.parametrize("overlap", [0.0, 0.1, 0.2, 0.5])
def test_an_object_is_found_once(overlap: float) -> None:
    # Of seed 28, one tile shows all, and the parts in three others agree with each other.
    for seed in range(100):
        rng = np.random.default_rng(seed)
        mask = ellipse(rng, 300, 401)
        check(merged([mask], cut(401, 300, 128, overlap), rng), [mask])


@pytest.mark.parametrize("overlap", [0.1, 0.2, 0.5])
def test_objects_that_touch_stay_apart(overlap: float) -> None:
    for seed in range(40):
        rng = np.random.default_rng(seed)
        masks: list[npt.NDArray[np.bool_]] = []
        taken = np.zeros((200, 301), np.bool_)
        for _ in range(14):
            mask = ellipse(rng, 200, 301) & ~taken
            if mask.sum() >= 40 and len(outlines(mask)) == 1:  # in one piece
                masks.append(mask)
                taken |= mask
        check(merged(masks, cut(301, 200, 100, overlap), rng), masks)


@pytest.mark.parametrize("end", range(195, 206))
@pytest.mark.parametrize("start", [200, 199])
def test_an_object_may_end_at_the_border_of_tiles(end: int, start: int) -> None:
    # With tiles that share one column at most, none shows both sides of the border.
    mask = np.zeros((40, 400), np.bool_)
    mask[10:30, 100:end] = True
    tiles = [Tile(0, 0, 200, 40), Tile(start, 0, 400, 40)]
    for turned in (False, True):
        shown = mask[:, ::-1].copy() if turned else mask
        places = [Tile(400 - t.right, 0, 400 - t.left, 40) for t in tiles] if turned else tiles
        check(merged([shown], places, np.random.default_rng(0)), [shown])
        down = [Tile(t.top, t.left, t.bottom, t.right) for t in places]
        check(merged([shown.T.copy()], down, np.random.default_rng(0)), [shown.T])


def box(left: int, right: int, width: int, rows: slice = slice(10, 30)) -> npt.NDArray[np.bool_]:
    mask = np.zeros((40, width), np.bool_)
    mask[rows, left:right] = True
    return mask


TILES = Tile(0, 0, 60, 40), Tile(40, 0, 100, 40)


def of_parts(
    whole: Instances, left: Instances, right: Instances, tiles: Sequence[Tile] = TILES
) -> list[Any]:
    width = tiles[1].right
    results = zip((left, right), tiles, strict=True)
    parts = [Part(each, tile, tile.inner_edges(width, 40)) for each, tile in results]
    boxes: list[Any] = merge_instances(whole, parts, 0.5).boxes.tolist()
    return boxes


def test_what_the_parts_of_an_object_suppress() -> None:
    left = instances([box(20, 60, 60)], [0.6], 40, 60)
    right = instances([box(0, 50, 60)], [0.6], 40, 60)
    joined = [20, 10, 90, 30]
    # The whole photo shows less than half of it, or more than twice as much.
    small, large = box(20, 40, 100), box(0, 100, 100, slice(0, 40))
    for mask in (small, large):
        assert of_parts(instances([mask], [0.5], 40, 100), left, right) == [joined]
        (kept,) = of_parts(instances([mask], [0.7], 40, 100), left, right)
        assert kept != joined
    # Of two objects in one tile, neither is a part of the other.
    inner = box(22, 40, 60, slice(12, 20))
    both = instances([inner, box(20, 60, 60)], [0.8, 0.6], 40, 60)
    nothing = instances([], [], 40, 100)
    assert of_parts(nothing, both, right) == [[22, 12, 40, 20], joined]


def test_a_part_at_a_border_gives_way_to_the_whole_object() -> None:
    tiles = Tile(0, 0, 60, 40), Tile(60, 0, 120, 40)
    left, nothing = instances([box(40, 60, 60)], [0.9], 40, 60), instances([], [], 40, 60)
    photo = instances([box(40, 100, 120)], [0.5], 40, 120)
    assert of_parts(instances([], [], 40, 120), left, nothing, tiles) == [[40, 10, 60, 30]]
    assert of_parts(photo, left, nothing, tiles) == [[40, 10, 100, 30]]

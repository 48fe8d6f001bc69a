"""Pictures of confusion matrices."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from furiosa_models.training.confusion import draw_confusion


def cell(picture: Image.Image, size: int, row: int, column: int) -> float:
    """Return the median brightness of a cell's corner, which no number covers."""
    side = (picture.width - 12) // size  # an upper bound of a cell; the margin is on the left
    cells = [c for c in range(side, 3, -1) if 900 // size >= c]
    length = min(44, max(4, 900 // size))
    assert length in cells
    margin = picture.width - 12 - size * length
    left, top = margin + column * length, margin + row * length
    gray = np.asarray(picture.convert("L"), np.float32)
    return float(np.median(gray[top + 2 : top + 6, left + 2 : left + 6]))


@pytest.mark.parametrize("size", [2, 3, 10, 30])
def test_a_cell_is_the_darker_the_greater_its_part_of_the_row(size: int) -> None:
    counts = np.zeros((size, size), np.int64)
    counts[0, 1], counts[1, 1], counts[1, 0] = 7, 3, 1
    picture = draw_confusion(counts, [f"class {i}" for i in range(size)])
    assert cell(picture, size, 0, 1) < 70
    assert cell(picture, size, 0, 0) > 230
    assert 70 < cell(picture, size, 1, 1) < 150
    assert 150 < cell(picture, size, 1, 0) < 230
    if size > 2:
        assert all(cell(picture, size, 2, column) > 230 for column in range(size))


def test_the_margin_has_room_for_the_longest_name() -> None:
    counts = np.eye(3, dtype=np.int64)
    short = draw_confusion(counts, ["a", "b", "c"])
    long = draw_confusion(counts, ["a", "b", "extraordinary"])
    assert long.width > short.width + 40
    gray = np.asarray(long.convert("L"))
    margin = long.width - 12 - 3 * 44
    assert (gray[margin:, :margin] < 100).any()  # names of rows
    assert (gray[:margin, margin:] < 100).any()  # names of columns


def test_many_classes_have_small_cells_without_names() -> None:
    picture = draw_confusion(np.eye(300, dtype=np.int64), [f"class {i}" for i in range(300)])
    assert picture.size == (12 + 1200 + 12, 12 + 1200 + 12)
    gray = np.asarray(picture.convert("L"))
    assert gray[12 + 4 * 150 + 2, 12 + 4 * 150 + 2] < 60
    assert gray[12 + 4 * 150 + 2, 12 + 4 * 20 + 2] > 230


@pytest.mark.parametrize("name", ["Läden", "猫", "🐱", "", "a\nb", "x" * 500, "\u202e"])
def test_any_name_can_be_drawn(name: str) -> None:
    picture = draw_confusion(np.ones((2, 2), np.int64), [name, "other"])
    assert picture.width < 600

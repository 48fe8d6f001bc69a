"""Drawing of results: everything is visible and inside the image."""

from __future__ import annotations

import itertools

import numpy as np
import numpy.typing as npt
import pytest

from furiosa_models.errors import ImageError
from furiosa_models.tasks import Classification, Detections, Poses
from furiosa_models.tasks.draw import Canvas, class_color

GRAY = np.full((240, 320, 3), 128, np.uint8)


def rows_of(picture: npt.NDArray[np.uint8], color: tuple[int, int, int]) -> npt.NDArray[np.intp]:
    """Return the rows in which a color fills much of the width."""
    return np.flatnonzero((picture == np.array(color)).all(axis=2).sum(axis=1) > 20)


def test_classes_are_drawn_one_per_line_best_first() -> None:
    ids = np.array([3, 40, 7, 99, 12])
    scores = np.array([0.5, 0.2, 0.1, 0.1, 0.1], np.float32)
    found = Classification(ids, scores, [f"a class of number {i}" for i in ids])
    picture = np.asarray(found.plot(GRAY))
    tops = [rows_of(picture, class_color(int(i))).min() for i in ids]
    assert tops == sorted(tops)
    assert tops[0] == 0
    assert all(below - above > 10 for above, below in itertools.pairwise(tops))


def test_small_image_has_the_lines_that_fit() -> None:
    found = Classification(
        np.arange(50), np.ones(50, np.float32), [f"class {i}" for i in range(50)]
    )
    picture = np.asarray(found.plot(GRAY[:60]))
    assert picture.shape == (60, 320, 3)
    assert len(rows_of(picture, class_color(0)))


@pytest.mark.parametrize("count", [2, 6, 12])
def test_labels_do_not_overlap(count: int) -> None:
    boxes = np.array([[60, 80, 200, 180]] * count, np.float32) + np.arange(count)[:, None]
    scores = np.linspace(0.9, 0.3, count, dtype=np.float32)
    found = Detections(boxes, scores, np.arange(count), [f"thing {i}" for i in range(count)])
    canvas = Canvas.of(GRAY)
    for item in found:
        canvas.label(list(item.boundingbox), item.label, class_color(item.index))
    for (x, y, w, h), (a, b, c, d) in itertools.combinations(canvas.taken, 2):
        assert x + w <= a or a + c <= x or y + h <= b or b + d <= y
    assert np.asarray(found.plot(GRAY)).shape == GRAY.shape


@pytest.mark.parametrize(
    "box",
    [
        [0, 0, 320, 240],
        [300, 220, 319, 239],
        [-50, -50, -10, -10],
        [310, 0, 400, 20],
        [0, 230, 500, 900],
        [150, 100, 150, 100],
    ],
)
def test_labels_stay_inside_the_image(box: list[float]) -> None:
    canvas = Canvas.of(GRAY)
    canvas.label(box, "a label of some length", (255, 0, 0))
    ((x, y, width, height),) = canvas.taken
    assert 0 <= x <= x + width <= 320
    assert 0 <= y <= y + height <= 240


def test_long_name_is_truncated_but_its_score_is_drawn() -> None:
    canvas = Canvas.of(GRAY)
    canvas.label([200, 100, 300, 200], "a very long label " * 8, (255, 0, 0), end=" 0.75")
    ((x, _, width, _),) = canvas.taken
    assert 0 <= x <= x + width <= 320
    text = canvas._cut("a very long label " * 8, " 0.75")
    assert text.startswith("a very long label a very")
    assert text.endswith("... 0.75")
    assert canvas._cut("short\nname", " 0.75") == "short name 0.75"


def test_too_long_lines_are_truncated() -> None:
    canvas = Canvas.of(GRAY)
    canvas.lines([("many words " * 20, (255, 0, 0)), ("", (0, 255, 0))])
    assert [width <= 320 for _, _, width, _ in canvas.taken] == [True, True]


@pytest.mark.parametrize("box", [[0, 0, 3, 3], [317, 0, 320, 3], [100, 0, 103, 2]])
def test_label_does_not_hide_its_tiny_box(box: list[float]) -> None:
    found = Detections(
        np.array([box], np.float32), np.ones(1, np.float32), np.zeros(1, np.int64), ["fly"]
    )
    canvas = Canvas.of(GRAY)
    canvas.label(box, "fly", class_color(0), end=" 1.00")
    ((_, y, _, _),) = canvas.taken
    assert y >= box[3] - 1
    assert tuple(np.asarray(found.plot(GRAY))[0, int(min(box[0], 319))]) == class_color(0)


@pytest.mark.parametrize("class_id", range(40))
def test_letters_contrast_with_their_background(class_id: int) -> None:
    color = class_color(class_id)
    canvas = Canvas.of(GRAY)
    canvas.label([10, 50, 200, 200], "text", color)
    x, y, width, height = (int(part) for part in canvas.taken[0])
    drawn = np.asarray(canvas.picture)[y : y + height, x : x + width].astype(float)
    luma = drawn @ (0.299, 0.587, 0.114)
    assert np.ptp(luma) > 110


@pytest.mark.parametrize("shape", [(240, 320), (240, 320, 1)])
def test_gray_photo_is_annotated_in_color(shape: tuple[int, ...]) -> None:
    found = Detections(
        np.array([[20, 40, 90, 90]], np.float32), np.ones(1, np.float32), np.zeros(1, int), ["cat"]
    )
    picture = found.plot(np.full(shape, 128, np.uint8))
    assert picture.mode == "RGB"
    assert picture.getpixel((50, 40)) == class_color(0)


def test_invalid_array_is_rejected() -> None:
    found = Detections(
        np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, int), ["cat"]
    )
    with pytest.raises(ImageError, match=r"must be non-empty uint8 of shape \(h, w, 3\)"):
        found.plot(np.zeros((4, 4, 3), np.float32))


def test_people_are_drawn_with_boxes_skeletons_and_scores() -> None:
    points = np.zeros((1, 17, 3), np.float32)
    points[0, :, 0], points[0, :, 1] = np.linspace(100, 200, 17), np.linspace(80, 200, 17)
    points[0, :, 2] = 0.9
    poses = Poses(np.array([[90, 70, 210, 210]], np.float32), np.array([0.8], np.float32), points)
    picture = np.asarray(poses.plot(GRAY))
    changed = (picture != GRAY).any(axis=2)
    assert changed[70:210, 90:210].any()
    assert not changed[215:, :].any()


def test_crowd_is_drawn_quickly() -> None:
    count = 5000
    boxes = np.tile(np.array([[10, 100, 60, 160]], np.float32), (count, 1))
    crowd = Detections(boxes, np.ones(count, np.float32), np.zeros(count, np.int64), ["cat"])
    assert np.asarray(crowd.plot(GRAY)).any()  # within the time limit of a test

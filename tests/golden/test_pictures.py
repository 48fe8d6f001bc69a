"""Drawn results equal the reviewed golden images, and real faults are detected."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import ImageFont

from furiosa_models.tasks import Classification, Detections, Poses, draw, fonts, pose

from . import drawing

MOST_BYTES_EACH, MOST_BYTES = 60_000, 400_000


@pytest.mark.parametrize("name", drawing.CASES)
def test_image_equals_the_golden_one(name: str) -> None:
    difference = drawing.difference(drawing.draw(name), drawing.golden(name))
    assert difference.is_small, f"{difference}: look at it, and see {drawing.__name__}"


def test_every_golden_image_is_compared_and_small() -> None:
    sizes = {path.stem: path.stat().st_size for path in drawing.FOLDER.iterdir()}
    assert set(sizes) == set(drawing.CASES)
    assert max(sizes.values()) < MOST_BYTES_EACH
    assert sum(sizes.values()) < MOST_BYTES


def is_golden(name: str, result: Detections | Classification | Poses | None = None) -> bool:
    return drawing.difference(drawing.draw(name, result), drawing.golden(name)).is_small


def found(name: str) -> Detections:
    result = drawing.CASES[name].result()
    assert isinstance(result, Detections)
    return result


@pytest.mark.parametrize("name", ["boxes", "boxes_overlapping", "boxes_at_edges"])
@pytest.mark.parametrize("dropped", [0, 1, -1])
def test_missing_box_is_detected(name: str, dropped: int) -> None:
    result = found(name)
    kept = np.arange(len(result)) != dropped % len(result)
    assert not is_golden(name, result[kept])


@pytest.mark.parametrize("dropped", range(5))
def test_missing_line_is_detected(dropped: int) -> None:
    result = drawing.CASES["classes"].result()
    assert isinstance(result, Classification)
    kept = np.arange(5) != dropped
    labels = [label for label, is_kept in zip(result.labels, kept, strict=True) if is_kept]
    fewer = Classification(result.class_ids[kept], result.scores[kept], labels)
    assert not is_golden("classes", fewer)


def test_wrong_color_is_detected() -> None:
    result = found("boxes")
    others = Detections(result.boxes, result.scores, 1 - result.class_ids, result.names[::-1])
    assert others.labels == result.labels
    assert not is_golden("boxes", others)


def test_moved_box_is_detected() -> None:
    result = found("boxes")
    result.boxes[1, ::2] += 20
    assert not is_golden("boxes", result)


def test_text_of_another_length_is_detected() -> None:
    result = found("boxes")
    others = Detections(result.boxes, result.scores, result.class_ids, ("person", "elephant"))
    assert not is_golden("boxes", others)


def test_moved_label_is_detected(monkeypatch: pytest.MonkeyPatch) -> None:
    write = draw.Canvas._write
    monkeypatch.setattr(
        draw.Canvas, "_write", lambda self, x, y, *rest: write(self, x + 20, y, *rest)
    )
    assert not is_golden("boxes")
    assert not is_golden("classes")
    assert not is_golden("people")


@pytest.mark.parametrize("limb", [limb for limb in pose.LIMBS if max(limb) > 4])
def test_missing_limb_is_detected(limb: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pose, "LIMBS", [other for other in pose.LIMBS if other != limb])
    assert not is_golden("people")


def test_drawn_keypoints_below_the_threshold_are_detected() -> None:
    result = drawing.CASES["people"].result()
    assert isinstance(result, Poses)
    result.keypoints[..., 2] = 0.9
    assert not is_golden("people", result)


def test_different_glyph_rasterization_is_tolerated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fonts, "plain", lambda size: ImageFont.load_default(size=size + 0.05))
    changed = [drawing.difference(drawing.draw(n), drawing.golden(n)) for n in drawing.CASES]
    assert max(difference.mean for difference in changed) > 0.1
    assert all(difference.is_small for difference in changed)

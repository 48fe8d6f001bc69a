"""SSDResNet34: Rust, numpy, the published wheel and the textbook implementation agree."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from furiosa_models.heads.ssd import SSDLayout, decode_ssd
from furiosa_models.ops.anchors import default_boxes
from furiosa_models.ops.nms import DetectionArrays
from furiosa_models.types import Platform

from ..textbook import ssd_resnet34_boxes, suppress

RESNET34_MAPS = tuple((side, side) for side in (50, 25, 13, 7, 3, 3))

Floats = npt.NDArray[np.float32]
Maps = tuple[list[Floats], list[Floats]]
LEVELS = ((50, 4), (25, 6), (13, 6), (7, 6), (3, 4), (3, 4))
OPTIONS: dict[str, Any] = {
    "activation": "softmax",
    "layout": SSDLayout("class", "xywh"),
    "score_threshold": 0.05,
    "strict": True,
    "iou_threshold": 0.5,
    "max_per_class": 200,
    "max_detections": 200,
}


def outputs(seed: int, background: float, *, images: int = 1) -> Maps:
    rng = np.random.default_rng(seed)

    def normal(channels: int, side: int) -> Floats:
        return rng.normal(0, 1.5, (images, channels, side, side)).astype(np.float32)

    class_maps = [normal(81 * anchors, side) for side, anchors in LEVELS]
    for class_map, (_, anchors) in zip(class_maps, LEVELS, strict=True):
        class_map[:, :anchors] += background
    return class_maps, [normal(4 * anchors, side) for side, anchors in LEVELS]


def decode_on_both(maps: Maps) -> list[DetectionArrays]:
    """Return the result of Rust after checking that the result of numpy is equal."""
    anchors = default_boxes(RESNET34_MAPS)
    found = decode_ssd(*maps, anchors, platform=Platform.RUST, **OPTIONS)
    for ours, other in zip(
        found, decode_ssd(*maps, anchors, platform=Platform.PYTHON, **OPTIONS), strict=True
    ):
        np.testing.assert_array_equal(ours.class_ids, other.class_ids)
        np.testing.assert_allclose(ours.scores, other.scores, rtol=1e-6)
        np.testing.assert_allclose(ours.boxes, other.boxes, rtol=1e-6, atol=1e-7)
    return found


@pytest.mark.filterwarnings("ignore:numpy.core.multiarray:DeprecationWarning")
@pytest.mark.parametrize(
    ("background", "images", "count"),
    [(18.0, 1, 0), (11.0, 1, 20), (10.0, 4, 50), (8.5, 1, 199), (4.0, 1, 200)],
)
def test_decoding_equals_the_wheel(background: float, images: int, count: int) -> None:
    wheel = pytest.importorskip(
        "furiosa_native_postprocess.ssd_resnet34", reason="the published wheel is the oracle"
    )
    maps = outputs(int(background), background, images=images)
    oracle = wheel.RustPostProcessor()
    for image, found in enumerate(decode_on_both(maps)):
        expected = oracle.eval([m[image] for m in maps[1]], [m[image] for m in maps[0]])
        rows = [(d.class_id, d.score, d.left, d.top, d.right, d.bottom) for d in expected]
        got: Any = np.column_stack((found.class_ids, found.scores, found.boxes))
        assert count // 4 <= len(got) <= count * 4
        # the wheel sums the exponentials of 81 logits in float32
        np.testing.assert_allclose(got, np.array(rows).reshape(-1, 6), rtol=3e-6, atol=1e-7)


def test_suppression_considers_the_best_200_of_a_class() -> None:
    """The best 200 boxes coincide, so the 201st, a separate box, is not found."""
    maps = outputs(0, 30.0)
    for box_map in maps[1]:
        box_map[:] = 0
    first = maps[0][0].reshape(81, 4, 50, 50)
    first[7, 0, 0, 0] = 60.0
    # the boxes of adjacent cells are moved onto that of the first cell
    places = [(y, x) for y in range(15) for x in range(14)][1:200]
    deltas = maps[1][0].reshape(4, 4, 50, 50)
    for y, x in places:
        first[7, 0, y, x] = 50.0
        deltas[0, 0, y, x], deltas[1, 0, y, x] = -x / 50 / 0.07 * 10, -y / 50 / 0.07 * 10
    first[7, 0, 40, 40] = 40.0
    assert len(decode_on_both(maps)[0].scores) == 1
    first[7, 0, places[-1][0], places[-1][1]] = -9.0
    (found,) = decode_on_both(maps)
    np.testing.assert_allclose(found.boxes[:, 0], [0.01 - 0.035, 0.81 - 0.035], atol=1e-6)


def textbook(maps: Maps) -> npt.NDArray[np.float64]:
    """Decode every box of one image in float64, then filter; rows of score, class, box, sorted."""
    logits = np.concatenate([m[0].reshape(81, -1) for m in maps[0]], axis=1).astype(np.float64)
    x, y, w, h = np.concatenate([m[0].reshape(4, -1) for m in maps[1]], axis=1).astype(np.float64)
    powers = np.exp(logits)
    scores = powers / powers.sum(axis=0)
    own_x, own_y, own_w, own_h = ssd_resnet34_boxes().T
    x, y = own_x + 0.1 * x * own_w, own_y + 0.1 * y * own_h
    w, h = own_w * np.exp(0.2 * w), own_h * np.exp(0.2 * h)
    class_id, box = np.nonzero(scores[1:] > 0.05)
    columns = (x - w / 2, y - h / 2, x + w / 2, y + h / 2)
    rows = np.column_stack((scores[class_id + 1, box], class_id + 1, *(c[box] for c in columns)))
    return rows[np.argsort(-rows[:, 0])]


def test_decoding_equals_the_textbook() -> None:
    maps = outputs(3, 10.5)
    candidates = textbook(maps)
    assert 10 < len(candidates) < 200
    kept = suppress(candidates[:, 2:], candidates[:, 0], candidates[:, 1], 0.5, epsilon=1e-5)
    (found,) = decode_on_both(maps)
    got: Any = np.column_stack((found.scores, found.class_ids, found.boxes))
    np.testing.assert_allclose(got, candidates[kept], rtol=1e-5, atol=1e-6)

"""The SSD head: Rust, numpy, the published wheel and the textbook implementation agree."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from furiosa_models.heads.ssd import decode_ssd
from furiosa_models.ops.anchors import multiple_grid_anchors
from furiosa_models.ops.nms import DetectionArrays
from furiosa_models.types import Platform

from ..textbook import ssd_mobilenet_boxes, suppress

MOBILENET_MAPS = tuple((side, side) for side in (19, 10, 5, 3, 2, 1))

Floats = npt.NDArray[np.float32]
Maps = tuple[list[Floats], list[Floats]]
LEVELS = ((19, 3), (10, 6), (5, 6), (3, 6), (2, 6), (1, 6))


def outputs(seed: int, mean: float, *, images: int = 1, classes: int = 91) -> Maps:
    rng = np.random.default_rng(seed)

    def normal(channels: int, side: int, center: float) -> Floats:
        return rng.normal(center, 1.0, (images, channels, side, side)).astype(np.float32)

    class_maps = [normal(a * classes, side, mean) for side, a in LEVELS]
    return class_maps, [normal(a * 4, side, 0.0) for side, a in LEVELS]


def decode_on_both(maps: Maps, **options: Any) -> list[DetectionArrays]:
    """Return the result of Rust after checking that the result of numpy is equal."""
    anchors = multiple_grid_anchors(MOBILENET_MAPS)
    found = decode_ssd(*maps, anchors, platform=Platform.RUST, **options)
    for ours, other in zip(
        found, decode_ssd(*maps, anchors, platform=Platform.PYTHON, **options), strict=True
    ):
        np.testing.assert_array_equal(ours.class_ids, other.class_ids)
        np.testing.assert_allclose(ours.scores, other.scores, rtol=1e-6)
        np.testing.assert_allclose(ours.boxes, other.boxes, rtol=1e-6, atol=1e-7)
    return found


def by_wheel(maps: Maps, image: int) -> npt.NDArray[np.float64]:
    """Return rows of class, score, left, top, right, bottom, sorted."""
    wheel = pytest.importorskip(
        "furiosa_native_postprocess.ssd_mobilenet", reason="the published wheel is the oracle"
    )
    class_maps, box_maps = maps
    found = wheel.RustPostProcessor().eval(
        [m[image] for m in box_maps], [m[image] for m in class_maps]
    )
    rows = [(d.class_id, d.score, d.left, d.top, d.right, d.bottom) for d in found]
    return np.array(sorted(rows), np.float64).reshape(-1, 6)


def rows(found: DetectionArrays) -> npt.NDArray[np.float64]:
    columns = zip(
        found.class_ids.tolist(), found.scores.tolist(), found.boxes.tolist(), strict=True
    )
    return np.array(sorted((c, s, *b) for c, s, b in columns), np.float64).reshape(-1, 6)


@pytest.mark.filterwarnings("ignore:numpy.core.multiarray:DeprecationWarning")
@pytest.mark.parametrize(
    ("mean", "count"), [(-9.0, 0), (-5.0, 2), (-4.0, 150), (-3.5, 700), (-2.5, 5000)]
)
@pytest.mark.parametrize("seed", [0, 1])
def test_decoding_equals_the_wheel(mean: float, count: int, seed: int) -> None:
    maps = outputs(seed, mean, images=3)
    for image, found in enumerate(decode_on_both(maps)):
        expected, got = by_wheel(maps, image), rows(found)
        assert len(got) == len(expected)
        assert count // 3 <= len(got) <= count * 3
        # 1e-4 pixels in a photo of 1000; beyond that, the float32 precision
        np.testing.assert_allclose(got, expected, atol=1e-7, rtol=2e-7)


@pytest.mark.filterwarnings("ignore:numpy.core.multiarray:DeprecationWarning")
@pytest.mark.parametrize("candidates", [1, 2, 19])
def test_decoding_equals_the_wheel_on_ties(candidates: int) -> None:
    """Up to 20 equal scores per class, the wheel's sort is stable in the order of the maps."""
    maps = outputs(3, -20.0)
    for level, class_map in enumerate(maps[0]):
        side, anchors = LEVELS[level]
        view = class_map.reshape(anchors, 91, side * side)
        view[:, 5].reshape(-1)[: candidates // 2 + 1] = 1.5
        picked = view[:, 5].copy()
        picked.reshape(-1)[: max(candidates // 6, level == 0)] = 1.5
        view[:, 5] = picked
    expected, got = by_wheel(maps, 0), rows(decode_on_both(maps)[0])
    assert len(got) == len(expected) > 0
    np.testing.assert_allclose(got, expected, atol=1e-7, rtol=2e-7)


def textbook(maps: Maps, activation: str, threshold: float, limit: float) -> DetectionArrays:
    """Decode every anchor of the first image in float64, then filter, then suppress."""
    class_maps, box_maps = (
        np.concatenate([m[0].reshape(a, -1, s * s).transpose(2, 0, 1).reshape(s * s * a, -1)
                        for m, (s, a) in zip(side, LEVELS, strict=True)]).astype(np.float64)
        for side in maps
    )  # fmt: skip
    powers = np.exp(class_maps)
    scores = powers / (1 + powers if activation == "sigmoid" else powers.sum(axis=1, keepdims=True))
    y, x, h, w = ssd_mobilenet_boxes().T
    dy, dx, dh, dw = box_maps.T
    x, y, w, h = x + dx / 10 * w, y + dy / 10 * h, w * np.exp(dw / 5), h * np.exp(dh / 5)
    boxes = np.stack((x - w / 2, y - h / 2, x + w / 2, y + h / 2), axis=1)
    anchor, class_id = np.nonzero(scores >= threshold)
    anchor, class_id = anchor[class_id > 0], class_id[class_id > 0]
    columns = boxes[anchor], scores[anchor, class_id], class_id
    kept = suppress(*columns, limit, epsilon=1e-5)
    return DetectionArrays(*(column[kept] for column in columns))  # type: ignore[arg-type]


@pytest.mark.parametrize("activation", ["sigmoid", "softmax"])
@pytest.mark.parametrize(("threshold", "limit"), [(0.1, 0.5), (0.3, 0.6), (0.7, 0.3)])
def test_decoding_equals_the_textbook(activation: Any, threshold: float, limit: float) -> None:
    maps = outputs(7, -3.0)
    if activation == "softmax":
        maps = [m * 3 for m in maps[0]], maps[1]
    options = {"activation": activation, "score_threshold": threshold, "iou_threshold": limit}
    (found,) = decode_on_both(maps, **options)
    expected = textbook(maps, activation, threshold, limit)
    assert len(expected.scores) > 0
    np.testing.assert_allclose(rows(found), rows(expected), rtol=1e-5, atol=1e-6)


@settings(max_examples=150, deadline=None)
@given(
    values=arrays.arrays(np.float32, 4 * 3 + 4 * 4, elements=st.floats(width=32)),
    activation=st.sampled_from(["sigmoid", "softmax", "none"]),
    threshold=st.floats(0, 1),
    limit=st.floats(0, 1),
)
def test_rust_equals_numpy_on_any_floats(
    values: Floats, activation: Any, threshold: float, limit: float
) -> None:
    maps = [values[:12].reshape(1, 3, 2, 2)], [values[12:].reshape(1, 4, 2, 2)]
    anchors = np.full((4, 4), 0.5, np.float32)
    rust, python = (
        decode_ssd(
            *maps,
            anchors,
            activation=activation,
            score_threshold=threshold,
            iou_threshold=limit,
            platform=platform,
        )[0]
        for platform in (Platform.RUST, Platform.PYTHON)
    )
    np.testing.assert_array_equal(rust.class_ids, python.class_ids)
    np.testing.assert_allclose(rust.scores, python.scores, rtol=1e-6)
    np.testing.assert_allclose(rust.boxes, python.boxes, rtol=1e-6)

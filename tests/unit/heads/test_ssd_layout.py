from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from furiosa_models.heads.ssd import SSDLayout, decode_ssd
from furiosa_models.types import Platform

from ...platforms import BOTH

Floats = npt.NDArray[np.float32]
CLASSES, ANCHORS, HEIGHT, WIDTH = 3, 2, 3, 4


def class_major(maps: Floats) -> Floats:
    """Reorder channels from `(anchor, class)` to `(class, anchor)`."""
    split = maps.reshape(len(maps), ANCHORS, -1, HEIGHT, WIDTH)
    return np.reshape(split.swapaxes(1, 2), maps.shape)


@BOTH
@pytest.mark.parametrize("images", [1, 3])
def test_both_layouts_give_the_same_detections(platform: Platform, images: int) -> None:
    rng = np.random.default_rng(5)

    def normal(*shape: int) -> Floats:
        return rng.normal(0, 1.5, shape).astype(np.float32)

    classes = normal(images, ANCHORS * CLASSES, HEIGHT, WIDTH)
    boxes = normal(images, ANCHORS * 4, HEIGHT, WIDTH)
    anchors = rng.uniform(0.1, 0.9, (HEIGHT * WIDTH * ANCHORS, 4)).astype(np.float32)
    by_cell = decode_ssd([classes], [boxes], anchors, platform=platform)

    split = boxes.reshape(images, ANCHORS, 4, HEIGHT, WIDTH)
    xywh = np.reshape(split[:, :, [1, 0, 3, 2]], boxes.shape)
    by_class = decode_ssd(
        [class_major(classes)],
        [class_major(xywh)],
        np.ascontiguousarray(anchors.reshape(-1, ANCHORS, 4).swapaxes(0, 1)).reshape(-1, 4),
        layout=SSDLayout("class", "xywh"),
        platform=platform,
    )
    for found, expected in zip(by_class, by_cell, strict=True):
        assert len(found.scores) > 5
        for column, other in zip(found, expected, strict=True):
            np.testing.assert_array_equal(column, other)


def test_unknown_layout_orders_are_rejected() -> None:
    with pytest.raises(ValueError, match="channels must be one of anchor, class, got 'cell'"):
        SSDLayout(channels="cell")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="deltas must be one of yxhw, xywh"):
        SSDLayout(deltas="whxy")  # type: ignore[arg-type]

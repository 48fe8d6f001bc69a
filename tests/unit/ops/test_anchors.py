from __future__ import annotations

import numpy as np
import pytest

from furiosa_models.ops.anchors import (
    default_boxes,
    multiple_grid_anchors,
)

MOBILENET_MAPS = tuple((side, side) for side in (19, 10, 5, 3, 2, 1))
RESNET34_MAPS = tuple((side, side) for side in (50, 25, 13, 7, 3, 3))


def test_ssd_mobilenet_has_1917_boxes_in_the_order_of_the_maps() -> None:
    anchors = multiple_grid_anchors(MOBILENET_MAPS)
    assert anchors.shape == (1917, 4)
    assert anchors.dtype == np.float32
    half, quarter = 0.5 / 19, 0.2 * np.sqrt(0.5)
    np.testing.assert_allclose(anchors[0], [half, half, 0.1, 0.1], rtol=1e-5)
    np.testing.assert_allclose(anchors[1], [half, half, 2 * quarter, quarter], rtol=1e-5)
    np.testing.assert_allclose(anchors[2], [half, half, quarter, 2 * quarter], rtol=1e-5)
    np.testing.assert_allclose(anchors[3][:2], [3 * half, half], rtol=1e-5)
    np.testing.assert_allclose(anchors[-1], [0.5, 0.5, *[np.sqrt(0.95)] * 2], rtol=1e-5)


@pytest.mark.parametrize("maps", [((2, 3), (1, 1)), ((4, 4), (2, 2), (1, 1)), ((3, 5),)])
def test_anchors_of_any_maps(maps: tuple[tuple[int, int], ...]) -> None:
    anchors = multiple_grid_anchors(maps)
    cells = [height * width for height, width in maps]
    assert len(anchors) == 3 * cells[0] + 6 * sum(cells[1:])
    assert (anchors[:, :2] > 0).all()
    assert (anchors[:, :2] < 1).all()


def test_anchors_are_cached_and_read_only() -> None:
    assert multiple_grid_anchors(MOBILENET_MAPS) is multiple_grid_anchors(MOBILENET_MAPS)
    with pytest.raises(ValueError, match="read-only"):
        multiple_grid_anchors(MOBILENET_MAPS)[0] = 0


def test_ssd_resnet34_has_15130_boxes_ordered_by_kind() -> None:
    anchors = default_boxes(RESNET34_MAPS)
    assert anchors.shape == (15130, 4)
    assert anchors.dtype == np.float32
    cells, root = 50 * 50, np.sqrt(2)
    np.testing.assert_allclose(anchors[0], [0.01, 0.01, 0.07, 0.07], rtol=1e-6)
    np.testing.assert_allclose(anchors[1], [0.03, 0.01, 0.07, 0.07], rtol=1e-6)
    np.testing.assert_allclose(anchors[cells][2:], [np.sqrt(0.07 * 0.15)] * 2, rtol=1e-6)
    np.testing.assert_allclose(anchors[2 * cells][2:], [0.07 * root, 0.07 / root], rtol=1e-6)
    np.testing.assert_allclose(anchors[3 * cells][2:], [0.07 / root, 0.07 * root], rtol=1e-6)
    np.testing.assert_allclose(anchors[4 * cells][:2], [0.02, 0.02], rtol=1e-6)
    assert anchors[-10, 3] < anchors[-10, 2] == 1.0  # 0.87 * sqrt(2) is clipped


def test_default_boxes_need_scale_and_ratios_for_each_map() -> None:
    assert len(default_boxes(((2, 3),), scales=(0.1, 0.2), ratios=((2.0, 3.0),))) == 6 * 6
    with pytest.raises(ValueError, match="argument"):
        default_boxes(((2, 3),))

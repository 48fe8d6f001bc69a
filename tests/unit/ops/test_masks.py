from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pycocotools import mask as coco

from furiosa_models.enums import Platform
from furiosa_models.errors import ShapeError
from furiosa_models.ops.masks import (
    Axis,
    box_of_mask,
    choose_classes,
    nearest_classes,
    no_class,
    outlines,
    photo_axes,
    resize_alpha,
)
from furiosa_models.ops.rle import compress_rle, decode_rle
from furiosa_models.spec import ImageContext, ImageInput

RUST, PYTHON = Platform.RUST, Platform.PYTHON
Mask = npt.NDArray[np.bool_]

masks = hnp.arrays(np.bool_, hnp.array_shapes(min_dims=2, max_dims=2, max_side=24))
floats = st.floats(width=32, allow_nan=True, allow_infinity=True)


def axes(
    height: int, width: int, shape: tuple[int, int], *, align_corners: bool = False
) -> tuple[Axis, Axis]:
    """Return the axes of a photo that was stretched to an input of the map's size."""
    context = ImageContext(width, height, stretch=(shape[1] / width, shape[0] / height))
    return photo_axes(context, shape, shape, align_corners=align_corners)


@given(masks)
def test_compressed_runs_are_those_of_pycocotools(mask: Mask) -> None:
    found = compress_rle(mask)
    expected = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
    assert found == {"size": expected["size"], "counts": expected["counts"].decode()}
    np.testing.assert_array_equal(decode_rle(found), mask)


def test_long_runs_are_compressed_as_in_pycocotools() -> None:
    mask = np.zeros((3000, 2000), np.bool_)
    mask[1000:, 500:1900] = True
    mask[5, 1999] = True
    expected = coco.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"].decode()
    assert compress_rle(mask)["counts"] == expected


@given(masks)
def test_outlines_enclose_exactly_the_mask(mask: Mask) -> None:
    found = outlines(mask)
    areas = [area_of(each) for each in found]
    assert sum(areas) == mask.sum()
    expected, hierarchy = cv2.findContours(
        mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE
    )
    outer = 0 if hierarchy is None else int((hierarchy[0, :, 3] < 0).sum())
    assert sum(area > 0 for area in areas) == outer
    assert sum(area < 0 for area in areas) == len(expected) - outer
    scaled = [np.round(each * 16).astype(np.int32) for each in found]
    shape = mask.shape[0] * 16 + 1, mask.shape[1] * 16 + 1
    drawn = cv2.fillPoly(np.zeros(shape, np.uint8), scaled, [1]) if found else np.zeros(shape)
    np.testing.assert_array_equal(drawn[8::16, 8::16][: mask.shape[0], : mask.shape[1]], mask)
    for each in found:
        sides = np.abs(np.diff(each, axis=0, append=each[:1]))
        assert (np.count_nonzero(sides, axis=1) == 1).all()
        assert (np.count_nonzero(sides, axis=0) * 2 == len(each)).all()


def area_of(polygon: npt.NDArray[np.float32]) -> float:
    """Return the signed area of a polygon; positive if it runs clockwise, with y down."""
    x, y = polygon.astype(np.float64).T
    return float(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2


@given(masks)
def test_boxes_are_those_of_pycocotools(mask: Mask) -> None:
    left, top, right, bottom = box_of_mask(mask)
    x, y, width, height = coco.toBbox(coco.encode(np.asfortranarray(mask.astype(np.uint8))))
    if mask.any():
        assert (left, top, right - left, bottom - top) == (x, y, width, height)
    assert mask[top:bottom, left:right].sum() == mask.sum()


@given(
    hnp.arrays(np.float32, st.tuples(*[st.integers(1, 6)] * 3), elements=floats),
    st.integers(1, 20),
    st.integers(1, 20),
    st.booleans(),
)
def test_rust_and_numpy_choose_the_same_classes(
    scores: npt.NDArray[np.float32], height: int, width: int, align_corners: bool
) -> None:
    rows, columns = axes(height, width, scores.shape[1:], align_corners=align_corners)
    rust, twin = (choose_classes(scores, rows, columns, platform=p) for p in (RUST, PYTHON))
    np.testing.assert_array_equal(rust, twin, strict=True)
    alpha, same = (resize_alpha(scores[0], rows, columns, platform=p) for p in (RUST, PYTHON))
    np.testing.assert_array_equal(alpha, same, strict=True)


@pytest.mark.parametrize("classes", [1, 21, 255, 256, 300])
@pytest.mark.parametrize("size", [(61, 83), (17, 9), (300, 401)])
def test_classes_are_those_of_resized_scores(classes: int, size: tuple[int, int]) -> None:
    rng = np.random.default_rng(classes)
    scores = rng.normal(size=(classes, 21, 33)).astype(np.float32)
    resized = np.stack([cv2.resize(each, size[::-1]) for each in scores])
    for platform in (RUST, PYTHON):
        found = choose_classes(scores, *axes(*size, (21, 33)), platform=platform)
        assert found.dtype == (np.uint8 if classes <= 255 else np.uint16)
        chosen = np.take_along_axis(resized, found[None].astype(np.int64), 0)[0]
        assert (resized.max(0) - chosen).max() < 1e-4  # another class only at ties


@pytest.mark.parametrize("size", [(61, 83), (17, 9), (300, 401)])
def test_alpha_is_that_of_opencv(size: tuple[int, int]) -> None:
    values = np.random.default_rng(0).uniform(-0.1, 1.1, (32, 48)).astype(np.float32)
    expected = cv2.resize(values, size[::-1]).clip(0, 1) * 255
    found = resize_alpha(values, *axes(*size, (32, 48)))
    assert np.abs(found - expected).max() <= 0.51


def test_aligned_corners_are_those_of_the_map() -> None:
    values = np.random.default_rng(0).uniform(0, 1, (5, 9)).astype(np.float32)
    place = photo_axes(ImageContext(257, 129), (129, 257), (5, 9), align_corners=True)
    found = resize_alpha(values, *place)
    np.testing.assert_array_equal(found[::32, ::32], np.floor(values * 255 + 0.5))


@pytest.mark.parametrize(
    "spec",
    [
        ImageInput((96, 64)),
        ImageInput((96, 64), "letterbox"),
        ImageInput((96, 64), "letterbox", pad_at="end"),
        ImageInput((64, 64), "crop", resize_to=80),
    ],
)
@pytest.mark.parametrize("photo", [(200, 100), (90, 333)])
def test_regions_return_to_their_place_in_the_photo(
    spec: ImageInput, photo: tuple[int, int]
) -> None:
    from furiosa_models.images.preprocess import prepare

    image = np.zeros((*photo, 3), np.uint8)
    image[40:80, 30:90] = 255
    tensor, context = prepare(image, spec)
    seen = tensor[0].astype(np.float32) / 255
    scores = np.stack((0.5 - seen, seen - 0.5))
    found = choose_classes(scores, *photo_axes(context, spec.size, spec.size))
    known = found != no_class(found)
    agrees = (found == (image[:, :, 0] > 0))[known].mean()
    assert agrees > 0.98
    assert known.all() or spec.resize == "crop"
    alpha = resize_alpha(seen, *photo_axes(context, spec.size, spec.size))
    assert not alpha[~known].any()


def test_maps_of_classes_take_the_nearest_sample() -> None:
    ids = np.array([[0, 1], [-1, 7]], np.int64)
    found = nearest_classes(ids, *axes(4, 4, (2, 2)))
    np.testing.assert_array_equal(found, np.repeat(np.repeat([[0, 1], [255, 7]], 2, 0), 2, 1))
    assert found.dtype == np.uint8
    wide = nearest_classes(np.array([[300]]), *axes(2, 2, (1, 1)))
    assert wide.dtype == np.uint16
    with pytest.raises(ShapeError, match="class ids below 32768, got 70000"):
        nearest_classes(np.array([[70000]]), *axes(2, 2, (1, 1)))


def test_wrong_maps_are_refused() -> None:
    place: Any = axes(4, 4, (2, 2))
    for platform in (RUST, PYTHON):
        with pytest.raises(ShapeError, match="scores must be a float32 array"):
            choose_classes(np.zeros((2, 2)), *place, platform=platform)  # type: ignore[arg-type]
        with pytest.raises(ShapeError, match="1 to 32768 classes"):
            choose_classes(np.zeros((0, 2, 2), np.float32), *place, platform=platform)
        with pytest.raises(ShapeError, match="at least one value"):
            resize_alpha(np.zeros((0, 2), np.float32), *place, platform=platform)
    with pytest.raises(ValueError, match="the index 1 is outside of 1 samples"):
        choose_classes(np.zeros((2, 1, 1), np.float32), *place)
    with pytest.raises(ShapeError, match="at least one pixel"):
        photo_axes(ImageContext(0, 3), (2, 2), (2, 2))

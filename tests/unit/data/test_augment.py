from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from furiosa_models.data import LabeledPhoto, Objects
from furiosa_models.data.augment import Augmenter, DatasetAugmentations, get_default_by_task
from furiosa_models.enums import Task
from furiosa_models.errors import ConfigurationError, ShapeError
from furiosa_models.ops.rle import decode_rle, encode_rle

pytestmark = pytest.mark.torch

HEIGHT, WIDTH = 40, 64
BOX = (20, 10, 36, 22)  # of the white block
NAMES = ("nose", "left_eye", "right_eye")
Array = npt.NDArray[Any]


def block(box: tuple[int, int, int, int] = BOX) -> Array:
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    left, top, right, bottom = box
    image[top:bottom, left:right] = 255
    return image


def labeled(
    box: tuple[int, int, int, int] = BOX, image_id: int = 0, **columns: Any
) -> LabeledPhoto:
    objects = Objects(np.array([box], np.float32), np.array([3]), **columns)
    return LabeledPhoto(Path("x.jpg"), image_id, (WIDTH, HEIGHT), objects=objects)


def outlined() -> LabeledPhoto:
    """The block's outline: as a polygon, and as an encoded mask."""
    left, top, right, bottom = BOX
    polygon = np.array([[left, top], [right, top], [right, bottom], [left, bottom]], np.float32)
    masks = ([polygon], encode_rle(block()[..., 0] > 0))
    objects = Objects(np.array([BOX, BOX], np.float32), np.array([3, 4]), masks=masks)
    return LabeledPhoto(Path("x.jpg"), 0, (WIDTH, HEIGHT), objects=objects)


def with_keypoints() -> LabeledPhoto:
    points = np.array([[[28, 16, 2], [22, 12, 1], [34, 12, 2]]], np.float32)
    return labeled(keypoints=points)


def settings_of(**fields: Any) -> DatasetAugmentations:
    return DatasetAugmentations(resolution=(HEIGHT, WIDTH), **fields)


def found(image: Array) -> list[int]:
    """Return the box of the white block."""
    rows, columns = np.nonzero(image[..., 0] > 127)
    return [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]


def boxes(photo: LabeledPhoto) -> Array:
    assert photo.objects is not None
    return photo.objects.boxes


GEOMETRY: dict[str, tuple[dict[str, Any], float]] = {
    "horizontal flip": ({"horizontal_flip": 1.0}, 0.0),
    "vertical flip": ({"vertical_flip": 1.0}, 0.0),
    "both flips": ({"horizontal_flip": 1.0, "vertical_flip": 1.0}, 0.0),
    "zooming out": ({"zoom_out": 1.0}, 0.0),
    "zooming out, limited": ({"zoom_out": 1.0, "max_size": 70}, 1.0),
    "aspect ratio": ({"aspect_ratio": 1.0}, 1.0),
    "crop": ({"crop": True, "crop_size": 32}, 0.0),
    "everything": (
        {"horizontal_flip": 0.5, "vertical_flip": 0.5, "zoom_out": 0.5, "aspect_ratio": 0.5},
        1.0,
    ),
}


@pytest.mark.parametrize("name", GEOMETRY)
@pytest.mark.parametrize("resized", [False, True])
@pytest.mark.parametrize("index", range(6))
def test_a_box_stays_on_its_pixels(name: str, resized: bool, index: int) -> None:
    fields, tolerance = GEOMETRY[name]
    augmenter = Augmenter(settings_of(**fields), seed=1)
    change = augmenter.to_resolution if resized else augmenter
    image, photo = change(block(), labeled(), index=index)
    assert photo.size == image.shape[1::-1]
    if resized:
        tolerance = 1.0
        assert image.shape[:2] == ((32, 32) if "crop" in fields else (HEIGHT, WIDTH))
    if len(boxes(photo)):
        np.testing.assert_allclose(boxes(photo)[0], found(image), atol=tolerance)
        assert photo.objects is not None
        assert photo.objects.class_ids.tolist() == [3]
    else:
        assert name == "crop"


def test_a_flip_is_exact() -> None:
    augmenter = Augmenter(settings_of(horizontal_flip=1.0))
    image, photo = augmenter(block(), labeled())
    np.testing.assert_array_equal(image, block()[:, ::-1])
    assert boxes(photo).tolist() == [[WIDTH - 36, 10, WIDTH - 20, 22]]


def test_a_rotated_box_surrounds_its_pixels() -> None:
    augmenter = Augmenter(settings_of(rotation=0.25))
    for index in range(8):
        image, photo = augmenter(block(), labeled(), index=index)
        left, top, right, bottom = found(image)
        box = boxes(photo)[0]
        assert image.shape == (HEIGHT, WIDTH, 3)
        np.testing.assert_allclose(box, [left, top, right, bottom], atol=2.5)
        assert len(np.unique(image)) > 2 or (box == BOX).all()


def test_a_quarter_turn_has_the_right_direction() -> None:
    augmenter = Augmenter(settings_of(rotation=0.5))
    photo = replace(with_keypoints(), size=(WIDTH, HEIGHT))
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    image[11:14, 21:24] = 255  # around the left eye
    for index in range(8):
        turned, labels = augmenter(image, photo, index=index)
        assert labels.objects is not None
        assert labels.objects.keypoints is not None
        x, y, _ = labels.objects.keypoints[0, 1]
        rows, columns = np.nonzero(turned[..., 0] > 100)
        np.testing.assert_allclose([x, y], [columns.mean() + 0.5, rows.mean() + 0.5], atol=1.0)


@pytest.mark.parametrize(
    "fields", [fields for fields, _ in GEOMETRY.values()] + [{"rotation": 0.5}]
)
def test_outlines_stay_on_their_pixels(fields: dict[str, Any]) -> None:
    augmenter = Augmenter(settings_of(**fields), seed=2)
    for index in range(6):
        image, photo = augmenter(block(), outlined(), index=index)
        objects = photo.objects
        assert objects is not None
        assert objects.masks is not None
        assert len(objects.masks) == len(objects)
        for outline in objects.masks:
            if isinstance(outline, dict):
                mask = decode_rle(outline)
                assert (mask != (image[..., 0] > 127)).mean() < 0.03
            else:
                (polygon,) = outline
                box = [*polygon.min(axis=0), *polygon.max(axis=0)]
                np.testing.assert_allclose(box, found(image), atol=2.0)


def test_left_and_right_keypoints_change_places_in_a_mirrored_photo() -> None:
    augmenter = Augmenter(settings_of(horizontal_flip=1.0), keypoints=NAMES)
    _, photo = augmenter(block(), with_keypoints())
    assert photo.objects is not None
    assert photo.objects.keypoints is not None
    assert photo.objects.keypoints[0].tolist() == [
        [WIDTH - 28, 16, 2],
        [WIDTH - 34, 12, 2],
        [WIDTH - 22, 12, 1],
    ]


def test_keypoints_keep_their_sides_in_a_photo_that_is_mirrored_twice() -> None:
    augmenter = Augmenter(settings_of(horizontal_flip=1.0, vertical_flip=1.0), keypoints=NAMES)
    _, photo = augmenter(block(), with_keypoints())
    assert photo.objects is not None
    assert photo.objects.keypoints is not None
    assert photo.objects.keypoints[0, 1].tolist() == [WIDTH - 22, HEIGHT - 12, 1]


def test_keypoints_outside_the_photo_become_unlabeled() -> None:
    points = np.array([[[28, 16, 2], [2, 12, 1], [50, 38, 2], [30, 16, 0]]], np.float32)
    augmenter = Augmenter(settings_of(crop=True, crop_size=16))
    seen = set()
    for index in range(40):
        _, photo = augmenter(block(), labeled(keypoints=points), index=index)
        assert photo.objects is not None
        assert photo.objects.keypoints is not None
        for x, y, visibility in photo.objects.keypoints.reshape(-1, 3).tolist():
            seen.add(visibility)
            assert (x, y) == (0, 0) if visibility == 0 else (0 <= x < 16 and 0 <= y < 16)
    assert seen == {0.0, 2.0}


def test_mirroring_keypoints_without_names_is_an_error() -> None:
    augmenter = Augmenter(settings_of(horizontal_flip=0.5))
    with pytest.raises(ConfigurationError, match="0 names are known, and x.jpg has 3: pass keyp"):
        augmenter(block(), with_keypoints())
    Augmenter(settings_of())(block(), with_keypoints())
    with pytest.raises(ConfigurationError, match="have no right_eye"):
        Augmenter(settings_of(vertical_flip=0.5), keypoints=("nose", "left_eye"))
    Augmenter(settings_of(), keypoints=("nose", "left_eye"))


def test_a_picture_of_classes_that_would_stay_as_it_is_is_an_error() -> None:
    photo = LabeledPhoto(Path("x.jpg"), 0, (WIDTH, HEIGHT), mask=Path("x_mask.png"))
    with pytest.raises(ConfigurationError, match=r"x.jpg has a picture of classes \(x_mask.png\)"):
        Augmenter(settings_of())(block(), photo)


def test_an_object_of_which_too_little_is_left_is_dropped() -> None:
    columns = np.array([[0, 0, 64, 40], [0, 0, 1, 1], [60, 0, 64, 40]], np.float32)
    objects = Objects(columns, np.array([0, 1, 2]), is_crowd=np.array([False, False, True]))
    objects = replace(objects, areas=np.array([2560, 1, 160], np.float32))
    photo = LabeledPhoto(Path("x.jpg"), 0, (WIDTH, HEIGHT), objects=objects)
    augmenter = Augmenter(settings_of(crop=True, crop_size=20))
    kept = []
    for index in range(30):
        _, cropped = augmenter(block(), photo, index=index)
        assert cropped.objects is not None
        kept.append(cropped.objects.class_ids.tolist())
        assert cropped.objects.areas is None
        assert cropped.objects.is_crowd.tolist() == [c == 2 for c in kept[-1]]
        assert (cropped.objects.boxes >= 0).all()
        assert (cropped.objects.boxes <= 20).all()
    assert [0] in kept  # a crop has 15 percent of the first one
    assert [0, 2] in kept
    tiny = Augmenter(settings_of(crop=True, crop_size=12))
    assert not boxes(tiny(block(), photo)[1]).size  # 6 percent


def test_a_crop_has_the_same_extent_with_and_without_the_resolution() -> None:
    augmentations = DatasetAugmentations(resolution=20, crop=True, crop_size=10)
    augmenter = Augmenter(augmentations)
    image, _ = augmenter(block(), labeled())
    assert image.shape == (20, 20, 3)  # the photo is twice as high as the resolution
    image, _ = augmenter.to_resolution(block(), labeled())
    assert image.shape == (10, 10, 3)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"resolution": 20}, (20, 32)),
        ({"resolution": 20, "max_size": 24}, (15, 24)),
        ({"resolution": (30, 50)}, (30, 50)),
        ({"resolution": 20, "square": 1.0}, (20, 20)),
        ({"resolution": 80}, (80, 128)),
    ],
)
def test_the_size_at_the_resolution(fields: dict[str, Any], expected: tuple[int, int]) -> None:
    augmenter = Augmenter(DatasetAugmentations(**fields))
    image, photo = augmenter.to_resolution(block(), labeled())
    assert image.shape[:2] == expected
    scale = np.array(expected[::-1]) / (WIDTH, HEIGHT)
    np.testing.assert_allclose(boxes(photo)[0], np.array(BOX) * np.tile(scale, 2), rtol=1e-5)
    same, _ = augmenter(block(), labeled())
    np.testing.assert_array_equal(same, block())


def test_the_resolution_changes_within_its_limits() -> None:
    augmenter = Augmenter(DatasetAugmentations(resolution=20, scale_ratio=0.5, square=1.0))
    sides = {
        augmenter.to_resolution(block(), labeled(), index=index)[0].shape[:2] for index in range(99)
    }
    assert sides == {(side, side) for side in range(14, 29)}


def test_random_numbers_depend_only_on_seed_epoch_and_index() -> None:
    augmentations, _ = get_default_by_task(Task.DETECTION, advanced=True)
    random = np.random.default_rng(0)
    image = random.integers(0, 256, (HEIGHT, WIDTH, 3)).astype(np.uint8)

    def changed(seed: int = 5, epoch: int = 1, index: int = 2) -> bytes:
        augmenter = Augmenter(augmentations, seed)
        return augmenter(image, labeled(), epoch=epoch, index=index)[0].tobytes()

    several = [changed(index=index) for index in (0, 1, 2)]
    assert several[2] == changed() == changed()
    different = {changed(), changed(seed=6), changed(epoch=2), changed(index=3)}
    assert len(different) == 4
    by_id = Augmenter(augmentations, 5)(image, labeled(image_id=2), epoch=1)[0]
    assert by_id.tobytes() == changed()


def test_colors_change_within_their_limits_and_places_do_not() -> None:
    image = np.full((HEIGHT, WIDTH, 3), 100, np.uint8)
    augmenter = Augmenter(settings_of(color_augmentation=1.0))
    means = []
    for index in range(200):
        changed, photo = augmenter(image, labeled(), index=index)
        assert boxes(photo).tolist() == [list(BOX)]
        assert changed.std() == 0  # gray has no hue or saturation
        means.append(changed.mean())
    assert 30 <= min(means) < 60  # (100 - 32) * 0.5
    assert 170 < max(means) <= 199  # (100 + 32) * 1.5 + rounding
    weak = Augmenter(settings_of(color_augmentation=0.01))
    assert abs(int(weak(image, labeled())[0].mean()) - 100) <= 1


def test_hue_and_saturation_change() -> None:
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    image[:] = (200, 100, 60)
    plain = {"color_base_brightness": 0, "color_base_contrast": 0.0, "color_augmentation": 1.0}
    ranges = []
    for other in ("color_base_hue", "color_base_saturation"):
        augmenter = Augmenter(settings_of(**plain, **{other: 0}))
        colors = [augmenter(image, labeled(), index=i)[0][0, 0] for i in range(60)]
        ranges.append(np.ptp(np.array(colors, np.int64), axis=0).max())
        assert any((color == image[0, 0]).all() for color in colors)
    assert min(ranges) > 30


def test_a_photo_without_objects_and_one_of_a_class() -> None:
    fields = {"horizontal_flip": 1.0, "rotation": 0.5, "zoom_out": 1.0, "crop": True}
    augmenter = Augmenter(settings_of(**fields, color_augmentation=1.0))
    empty = LabeledPhoto(Path("x.jpg"), 0, (WIDTH, HEIGHT), objects=Objects())
    image, photo = augmenter(block(), empty)
    assert boxes(photo).shape == (0, 4)
    of_class = LabeledPhoto(Path("x.jpg"), 0, class_id=7)
    same, photo = augmenter(block(), of_class)
    np.testing.assert_array_equal(same, image)
    assert (photo.class_id, photo.objects) == (7, None)
    assert photo.size == image.shape[1::-1]


def test_the_given_photo_is_not_changed() -> None:
    image, photo = block(), outlined()
    image.flags.writeable = False
    fields = {"horizontal_flip": 0.5, "rotation": 0.5, "zoom_out": 0.5, "color_augmentation": 1.0}
    for index in range(5):
        Augmenter(settings_of(**fields))(image, photo, index=index)
    np.testing.assert_array_equal(image, block())
    np.testing.assert_array_equal(boxes(photo), [BOX, BOX])


def test_an_image_that_the_labels_are_not_for_is_an_error() -> None:
    augmenter = Augmenter(settings_of())
    with pytest.raises(ShapeError, match=r"for \(64, 40\) pixels, got \(32, 20\)"):
        augmenter(block()[::2, ::2], labeled())
    with pytest.raises(ShapeError, match="uint8"):
        augmenter(block().astype(np.float32), labeled())
    mask = encode_rle(np.ones((3, 3), np.bool_))
    with pytest.raises(ShapeError, match=r"masks of x.jpg have heights and widths \[\(3, 3\)\]"):
        augmenter(block(), labeled(masks=(mask,)))
    with pytest.raises(ValueError, match="epoch must be at least 0"):
        augmenter(block(), labeled(), epoch=-1)
    with pytest.raises(ValueError, match="seed must be at least 0"):
        Augmenter(settings_of(), -1)


sizes = st.integers(1, 40)


@settings(max_examples=40, deadline=None)
@given(st.data(), sizes, sizes, st.integers(0, 4))
def test_any_photo_has_labels_that_fit_it(data: Any, height: int, width: int, count: int) -> None:
    numbers = st.floats(-10, 50, width=32)
    rows = data.draw(st.lists(st.tuples(*[numbers] * 4), min_size=count, max_size=count))
    given_boxes = np.sort(np.array(rows, np.float32).reshape(-1, 2, 2), axis=1).reshape(-1, 4)
    polygons = tuple(
        [box.reshape(2, 2)[[0, 1, 1]] + [[0, 0], [0, 0], [3, 0]]] for box in given_boxes
    )
    objects = Objects(given_boxes, np.arange(count), masks=polygons)
    photo = LabeledPhoto(Path("x.jpg"), 0, (width, height), objects=objects)
    augmentations, _ = get_default_by_task(Task.DETECTION, resolution=16, advanced=True)
    augmenter = Augmenter(replace(augmentations, rotation=0.5, crop=True, square=0.5))
    image = np.full((height, width, 3), 9, np.uint8)
    for change in (augmenter, augmenter.to_resolution):
        changed, labels = change(image, photo, epoch=data.draw(st.integers(0, 99)))
        assert labels.size == changed.shape[1::-1]
        limits = np.tile(changed.shape[1::-1], 2)
        assert (boxes(labels) >= 0).all()
        assert (boxes(labels) <= limits).all()
        assert (boxes(labels)[:, 2:] - boxes(labels)[:, :2] >= 1).all()

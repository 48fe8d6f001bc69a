"""Batches: their order, their photos, and labels on the network's input."""

from __future__ import annotations

import threading
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from furiosa_models.data import DatasetLayout, LabeledPhoto, LabeledPhotos, Objects
from furiosa_models.enums import Task
from furiosa_models.errors import DatasetError, ImageError
from furiosa_models.images.preprocess import prepare
from furiosa_models.ops.boxes import to_photo
from furiosa_models.spec import ImageContext, ImageInput
from furiosa_models.training.batches import Batches, Sampler, target_of
from furiosa_models.training.targets import Target

pytestmark = pytest.mark.torch

Array = npt.NDArray[Any]


@given(
    count=st.integers(1, 9),
    world=st.integers(1, 4),
    share=st.integers(1, 4),
    seed=st.integers(0, 99),
    iteration=st.integers(0, 9),
)
def test_processes_share_a_batch(
    count: int, world: int, share: int, seed: int, iteration: int
) -> None:
    size = world * share
    whole = Sampler(count, size, seed).positions(iteration)
    parts = [Sampler(count, size, seed, r, world).positions(iteration) for r in range(world)]
    assert all(len(part) == share for part in parts)
    assert sorted(place for part in parts for place in part) == sorted(whole)


@given(count=st.integers(1, 12), size=st.integers(1, 30), seed=st.integers(0, 99))
def test_every_epoch_contains_every_photo_once(count: int, size: int, seed: int) -> None:
    sampler = Sampler(count, size, seed)
    iterations = -(-3 * count // size)
    places = [place for i in range(iterations) for place in sampler.positions(i)]
    for epoch in range(3):
        assert sorted(index for e, index in places if e == epoch)[:count] == [*range(count)]
    assert [epoch for epoch, _ in places] == sorted(epoch for epoch, _ in places)


def test_the_order_changes_with_the_epoch_and_the_seed() -> None:
    def order(seed: int, epoch: int) -> list[int]:
        return [index for _, index in Sampler(50, 50, seed).positions(epoch)]

    assert order(1, 0) == order(1, 0)
    assert len({tuple(order(s, e)) for s in range(3) for e in range(3)}) == 9


@pytest.fixture
def photos(tmp_path: Path) -> LabeledPhotos:
    """Six photos, each of one color."""
    labeled = []
    for index in range(6):
        path = tmp_path / f"{index}.png"
        Image.new("RGB", (20 + index, 10), (40 * index, 0, 0)).save(path)
        labeled.append(LabeledPhoto(path, index, class_id=index % 2))
    return data_set(labeled, Task.CLASSIFICATION)


def data_set(labeled: list[LabeledPhoto], task: Task) -> LabeledPhotos:
    return LabeledPhotos(Path("data"), DatasetLayout.CLS_FOLDER, task, ("a", "b"), tuple(labeled))


def place(images: Any) -> tuple[npt.NDArray[np.float32], Any]:
    spec = ImageInput(size=(8, 8), std=(255.0, 255.0, 255.0))
    pairs = [prepare(image, spec) for image in images]
    tensor = np.stack([tensor for tensor, _ in pairs]).astype(np.float32)
    return tensor, [context for _, context in pairs]


def batches(photos: LabeledPhotos, **options: Any) -> Batches:
    return Batches(photos, Sampler(len(photos), 4, 7), place, **options)


def shown(batch: Any) -> list[tuple[float, int]]:
    return [
        (float(image[0].mean()), int(target.class_ids))
        for image, target in zip(batch.images, batch.targets, strict=True)
    ]


def test_batches_are_the_same_with_any_number_of_threads(photos: LabeledPhotos) -> None:
    found = [
        [shown(batch) for batch in islice(batches(photos, workers=workers).start(0), 5)]
        for workers in (0, 1, 3)
    ]
    assert found[0] == found[1] == found[2]
    assert len({*map(str, found[0])}) > 1
    colors = {color for batch in found[0] for color, _ in batch}
    assert len(colors) == 6


def test_batches_continue_at_any_iteration(photos: LabeledPhotos) -> None:
    all_of_them = [shown(batch) for batch in islice(batches(photos).start(0), 6)]
    later = [shown(batch) for batch in islice(batches(photos).start(4), 2)]
    assert later == all_of_them[4:]
    assert shown(batches(photos).batch(5)) == all_of_them[5]


def test_a_batch_may_be_larger_than_the_data_set(photos: LabeledPhotos) -> None:
    made = Batches(photos, Sampler(6, 15, 0), place, workers=2)
    (batch,) = islice(made.start(0), 1)
    assert batch.images.shape == (15, 3, 8, 8)
    assert len({color for color, _ in shown(batch)}) == 6


def test_augmentations_see_the_epoch_and_the_photo(photos: LabeledPhotos) -> None:
    seen: list[tuple[int, int]] = []
    lock = threading.Lock()

    def augment(
        image: Array, photo: LabeledPhoto, *, epoch: int, index: int
    ) -> tuple[Array, LabeledPhoto]:
        with lock:
            seen.append((epoch, index))
        assert photo is photos[index]
        return image, photo

    made = batches(photos, augment=augment, workers=0)
    list(islice(made.start(0), 3))
    sampler = Sampler(6, 4, 7)
    assert seen == [where for i in range(3) for where in sampler.positions(i)]


def training_threads() -> list[threading.Thread]:
    return [t for t in threading.enumerate() if t.name.startswith("training-photos")]


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("damage", [b"", b"no photo", None])
def test_a_photo_that_cannot_be_read_is_named_and_ends_the_threads(
    photos: LabeledPhotos, workers: int, damage: bytes | None
) -> None:
    broken = photos[3].path
    broken.unlink()
    if damage is not None:
        broken.write_bytes(damage)
    with pytest.raises(ImageError, match=r"3\.png"):
        list(islice(batches(photos, workers=workers).start(0), 6))
    assert not training_threads()


def test_threads_end_with_the_batches(photos: LabeledPhotos) -> None:
    made = batches(photos, workers=2).start(0)
    next(made)
    assert training_threads()
    made.close()
    assert not training_threads()


def objects(*boxes: tuple[float, ...], **columns: Any) -> LabeledPhoto:
    ids = np.arange(len(boxes), dtype=np.int64)
    array = np.array(boxes, np.float32).reshape(-1, 4)
    return LabeledPhoto(Path("x.jpg"), 0, objects=Objects(array, ids, **columns))


INPUTS = {
    "stretch": ImageInput(size=(48, 80)),
    "letterbox": ImageInput(size=(48, 80), resize="letterbox"),
    "letterbox at the end": ImageInput(size=(48, 80), resize="letterbox", pad_at="end"),
    "crop": ImageInput(size=(48, 48), resize="crop", resize_to=56),
}


@pytest.mark.parametrize("name", INPUTS)
@settings(max_examples=30)
@given(data=st.data())
def test_boxes_on_the_input_are_those_of_the_photo(name: str, data: st.DataObject) -> None:
    spec = INPUTS[name]
    width, height = data.draw(st.integers(30, 200)), data.draw(st.integers(30, 200))
    _, context = prepare(np.zeros((height, width, 3), np.uint8), spec)
    middle = (width / 2, height / 2)
    side = min(width, height) / data.draw(st.floats(3, 6))
    box = (middle[0] - side / 2, middle[1] - side / 2, middle[0] + side / 2, middle[1] + side / 2)
    target = target_of(objects(box), context, spec.size)
    assert target.boxes is not None
    found = target.boxes.numpy()
    assert (found >= 0).all()
    assert (found <= (spec.size[1], spec.size[0]) * 2).all()
    np.testing.assert_allclose(to_photo(found, context), [box], atol=0.01)
    assert target.class_ids.dtype == torch.int64
    assert target.boxes.dtype == torch.float32


@pytest.mark.parametrize("name", INPUTS)
def test_a_box_is_where_its_pixels_are(name: str) -> None:
    spec = INPUTS[name]
    image = np.zeros((90, 120, 3), np.uint8)
    image[30:60, 40:80] = 255
    tensor, context = prepare(image, spec)
    target = target_of(objects((40, 30, 80, 60)), context, spec.size)
    assert target.boxes is not None
    rows, columns = np.nonzero(tensor[0] > 150)
    box = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    np.testing.assert_allclose(target.boxes.numpy()[0], box, atol=1.0)


def test_boxes_are_clipped_and_small_and_crowded_ones_dropped() -> None:
    photo = objects(
        (-10, -10, 50, 50),
        (20, 20, 20.9, 40),  # less than a pixel wide
        (150, 150, 200, 200),  # outside
        (10, 10, 30, 30),  # a crowd
        (90, 0, 120, 100),
        is_crowd=np.array([False, False, False, True, False]),
    )
    target = target_of(photo, ImageContext(100, 100), (100, 100))
    assert target.boxes is not None
    assert target.class_ids.tolist() == [0, 4]
    assert target.boxes.tolist() == [[0, 0, 50, 50], [90, 0, 100, 100]]


def test_a_photo_without_objects_has_an_empty_target() -> None:
    target = target_of(objects(), ImageContext(100, 100), (100, 100))
    assert target.boxes is not None
    assert target.boxes.shape == (0, 4)
    assert target.class_ids.shape == (0,)


def test_contexts_may_be_dictionaries() -> None:
    context: Any = {"scale": 0.5, "pad": (10, 0)}
    target = target_of(objects((20, 20, 60, 60)), context, (100, 100))
    assert target.boxes is not None
    assert target.boxes.tolist() == [[20, 10, 40, 30]]


def test_a_photo_without_labels_is_an_error() -> None:
    photo = LabeledPhoto(Path("somewhere/x.jpg"), 0)
    with pytest.raises(DatasetError, match=r"x\.jpg has no labels"):
        target_of(photo, ImageContext(1, 1), (8, 8))


@pytest.mark.parametrize("orientation", [1, 6])
def test_large_photos_are_decoded_smaller_with_their_boxes(
    tmp_path: Path, orientation: int
) -> None:
    pixels = np.zeros((800, 1200, 3), np.uint8)
    pixels[200:400, 600:900] = 255
    upright = np.rot90(pixels, -1) if orientation == 6 else pixels
    box = [600.0, 200, 900, 400] if orientation == 1 else [400.0, 600, 600, 900]
    path = tmp_path / "large.jpg"
    image, exif = Image.fromarray(pixels), Image.Exif()
    exif[0x0112] = orientation
    image.save(path, quality=95, exif=exif)
    points = np.array([[[box[0], box[1], 2]]], np.float32)
    objects = Objects(np.array([box], np.float32), np.zeros(1, np.int64), points)
    size = upright.shape[1], upright.shape[0]
    photos = data_set([LabeledPhoto(path, 0, size, objects=objects)], Task.DETECTION)
    seen: list[tuple[Array, LabeledPhoto]] = []

    def augment(
        image: Array, photo: LabeledPhoto, *, epoch: int, index: int
    ) -> tuple[Array, LabeledPhoto]:
        del epoch, index
        seen.append((image, photo))
        return image, photo

    def targets(**options: Any) -> Target:
        batch = Batches(photos, Sampler(1, 1, 0), place, augment=augment, **options).batch(0)
        return batch.targets[0]

    full, smaller = targets(), targets(size=(8, 8))
    torch.testing.assert_close(smaller.boxes, full.boxes)
    (whole, _), (image_seen, photo) = seen
    assert whole.shape == upright.shape
    assert image_seen.shape[0] == upright.shape[0] // 8
    assert photo.size == (image_seen.shape[1], image_seen.shape[0])
    assert photo.objects is not None
    left, top, right, bottom = photo.objects.boxes[0].astype(int).tolist()
    assert image_seen[top + 2 : bottom - 2, left + 2 : right - 2].min() > 200
    image_seen = image_seen.copy()
    image_seen[top - 2 : bottom + 2, left - 2 : right + 2] = 0
    assert image_seen.max() < 60
    assert photo.objects.keypoints is not None
    np.testing.assert_allclose(photo.objects.keypoints[0, 0], [left, top, 2])

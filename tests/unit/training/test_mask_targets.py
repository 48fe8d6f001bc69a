"""Masks and maps of classes on the network's input: where the photo's pixels are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from furiosa_models.data import DatasetLayout, LabeledPhoto, LabeledPhotos, Objects
from furiosa_models.data.augment import Augmenter
from furiosa_models.data.augmentations import DatasetAugmentations
from furiosa_models.enums import Task
from furiosa_models.errors import DatasetError
from furiosa_models.images.preprocess import normalize, prepare
from furiosa_models.spec import ImageContext, ImageInput
from furiosa_models.training.batches import Batches, Sampler
from furiosa_models.training.mask_targets import mask_target_of

pytestmark = pytest.mark.torch

WIDTH, HEIGHT = 90, 60
BOXES = np.array([[10, 12, 40, 50], [50, 5, 80, 30]], np.float32)
COLORS = ((250, 0, 0), (0, 0, 250))
CHANGED = DatasetAugmentations(
    resolution=64, horizontal_flip=0.5, rotation=0.1, scale_ratio=0.5, crop=True, zoom_out=0.5
)
NAMES = ("red", "blue")


def photos(folder: Path, task: Task, *, picture: bool = False) -> LabeledPhotos:
    """Return a photo with two rectangles, whose labels are outlines or a picture of classes."""
    pixels = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    classes = np.zeros((HEIGHT, WIDTH), np.uint8)
    for index, (left, top, right, bottom) in enumerate(BOXES.astype(int)):
        pixels[top:bottom, left:right] = COLORS[index]
        classes[top:bottom, left:right] = index + 1
    Image.fromarray(pixels).save(folder / "photo.png")
    Image.fromarray(classes).save(folder / "photo_mask.png")
    path, size = folder / "photo.png", (WIDTH, HEIGHT)
    numbers: tuple[int, ...] = ()
    if picture:
        made = LabeledPhoto(path, 0, size, mask=folder / "photo_mask.png")
        layout, numbers = DatasetLayout.ROBOFLOW_SEG, (1, 2)
    else:
        outlines = tuple([box[[[0, 1], [2, 1], [2, 3], [0, 3]]]] for box in BOXES)
        made = LabeledPhoto(path, 0, size, objects=Objects(BOXES, np.arange(2), masks=outlines))
        layout = DatasetLayout.ROBOFLOW_COCO
    return LabeledPhotos(folder, layout, task, NAMES, (made,), class_numbers=numbers)


def place(size: tuple[int, int], resize: Any) -> Any:
    spec = ImageInput(size, resize=resize, std=(255.0, 255.0, 255.0))

    def placed(images: Sequence[Any]) -> Any:
        pairs = [prepare(image, spec) for image in images]
        pixels = np.stack([array for array, _ in pairs])
        tensor = normalize(np.ascontiguousarray(pixels), spec)
        return tensor, [context for _, context in pairs]

    return placed


def class_map(labels: LabeledPhotos, names: Sequence[str]) -> Any:
    placed = place((64, 96), "stretch")
    batches = Batches(labels, Sampler(1, 1, 0), placed, workers=0, names=names)
    return batches.batch(0).targets[0].class_map


@pytest.mark.parametrize("resize", ["stretch", "letterbox"])
@pytest.mark.parametrize("changed", [False, True])
def test_masks_stay_in_step_with_the_photo(resize: str, changed: bool, tmp_path: Path) -> None:
    """Where a mask is, the photo has the object's color, after any augmentation."""
    labels = photos(tmp_path, Task.INSTANCE_SEGMENTATION)
    augment = Augmenter(CHANGED, seed=3) if changed else None
    placed = place((64, 96), resize)
    seen = 0
    batches = Batches(labels, Sampler(1, 1, 0), placed, augment=augment, workers=0, names=NAMES)
    for iteration in range(8 if changed else 1):
        images, targets = batches.batch(iteration)
        target: Any = targets[0]
        colors = (images[0, 0] > 0.5, images[0, 2] > 0.5)
        for class_id, mask in zip(target.class_ids.tolist(), target.masks, strict=True):
            both, either = (mask & colors[class_id]).sum(), (mask | colors[class_id]).sum()
            assert both / either > 0.7
            seen += 1
    assert seen >= (8 if changed else 2)


@pytest.mark.parametrize("changed", [False, True])
def test_pictures_of_classes_stay_in_step_with_the_photo(changed: bool, tmp_path: Path) -> None:
    labels = photos(tmp_path, Task.SEMSEG, picture=True)
    augment = Augmenter(CHANGED, seed=3) if changed else None
    batches = Batches(
        labels,
        Sampler(1, 1, 0),
        place((64, 96), "stretch"),
        augment=augment,
        workers=0,
        size=(64, 96),
        names=NAMES,
    )
    for iteration in range(6 if changed else 1):
        images, targets = batches.batch(iteration)
        target: Any = targets[0]
        for class_id, channel in enumerate((0, 2)):
            mask, color = target.class_map == class_id, images[0, channel] > 0.5
            assert (mask & color).sum() >= 0.7 * (mask | color).sum()
        assert set(target.class_map.unique().tolist()) <= {-1, 0, 1}
        assert (target.class_map == -1).any()


def test_outlines_leave_a_background_if_the_model_has_one(tmp_path: Path) -> None:
    labels = photos(tmp_path, Task.SEMSEG)
    found = [class_map(labels, names) for names in (NAMES, ("background", *NAMES))]
    assert set(found[0].unique().tolist()) == {-1, 0, 1}
    assert torch.equal(found[1], found[0] + 1)


@pytest.mark.parametrize(
    ("name", "classes"), [("foreground", (0, 1)), ("red", (0,)), ("blue", (1,))]
)
def test_mattes_are_of_their_class(name: str, classes: tuple[int, ...], tmp_path: Path) -> None:
    labels = photos(tmp_path, Task.MATTE)
    maps = class_map(photos(tmp_path, Task.SEMSEG), NAMES)
    found = class_map(labels, (name,))
    expected = torch.zeros_like(maps, dtype=torch.bool)
    for class_id in classes:
        expected |= maps == class_id
    assert torch.equal(found == 1, expected)
    assert set(found.unique().tolist()) == {0, 1}


def test_margins_do_not_count_and_groups_are_no_objects(tmp_path: Path) -> None:
    labels = photos(tmp_path, Task.SEMSEG)
    names = ("background", *NAMES)
    context = ImageContext(WIDTH, HEIGHT, scale=1.0, pad=(3.0, 2.0))
    found: Any = mask_target_of(labels, labels[0], context, (64, 96), names).class_map
    assert (found[:2] == -1).all()
    assert (found[:, :3] == -1).all()
    assert (found[62:] == -1).all()
    assert (found[2:62, 3:93] != -1).all()
    assert found[2 + 12, 3 + 10] == 1 != found[2 + 11, 3 + 10]
    objects = labels[0].objects
    assert objects is not None
    crowd = replace(objects, is_crowd=np.array([True, False]))
    group = replace(labels[0], objects=crowd)
    instances = replace(labels, task=Task.INSTANCE_SEGMENTATION)
    target: Any = mask_target_of(instances, group, context, (64, 96), NAMES)
    assert target.class_ids.tolist() == [1]
    assert target.masks.sum() == 30 * 25
    mattes = replace(labels, task=Task.MATTE)
    matte: Any = mask_target_of(mattes, group, context, (64, 96), ("foreground",)).class_map
    assert set(matte.unique().tolist()) == {-1, 0, 1}


def test_photos_without_outlines(tmp_path: Path) -> None:
    labels = photos(tmp_path, Task.INSTANCE_SEGMENTATION)
    plain = replace(labels[0], objects=Objects(BOXES, np.arange(2)))
    for task in (Task.INSTANCE_SEGMENTATION, Task.SEMSEG, Task.MATTE):
        with pytest.raises(DatasetError, match="outlines"):
            mask_target_of(
                replace(labels, task=task), plain, ImageContext(WIDTH, HEIGHT), (64, 96), NAMES
            )

"""Masks and maps of classes as labels, on the network's input.

They are drawn at the size of the photo, and then read at the center of each pixel of the input, so
that they lie where the photo does: stretched, with margins, or cropped.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from ..data.label_maps import class_map_of, covered, filled
from ..data.records import LabeledPhoto, LabeledPhotos
from ..enums import Task
from ..errors import DatasetError
from ..spec import ImageContext
from ..tasks.matte import foreground_classes
from .targets import Target

__all__ = ["MASK_TASKS", "mask_target_of"]

MASK_TASKS = frozenset({Task.INSTANCE_SEGMENTATION, Task.MATTE, Task.SEMSEG})
"""Tasks whose labels are masks or maps of classes."""

_UNLABELED = -1
_Size = tuple[int, int]


def mask_target_of(
    labels: LabeledPhotos,
    photo: LabeledPhoto,
    context: ImageContext,
    size: _Size,
    names: Sequence[str],
) -> Target:
    """Return the masks, or the class of each pixel, of a photo on the network's input.

    Groups of objects (`is_crowd`), and objects of which no pixel is left, are no masks. What no
    label says anything of, such as margins, does not count in a map of classes.

    Args:
        labels: The data set, for one of `MASK_TASKS`.
        photo: A photo of it, whose mask is loaded.
        context: Where the photo is placed on the input.
        size: Height and width of the input.
        names: Names of the model's classes: those of the data set, after a background that the data
            set may lack; for mattes, that of the foreground.

    Raises:
        DatasetError: The photo has no such labels.
        ExtraRequired: The labels are polygons, and pycocotools is not installed.
    """
    shape = (context.height, context.width)
    if labels.task is Task.INSTANCE_SEGMENTATION:
        return _instances(labels, photo, context, size)
    if labels.task is Task.MATTE:
        found, crowd = covered(labels, photo, foreground_classes(labels, names[0]), shape)
        class_map = np.where(crowd, _UNLABELED, found.astype(np.int64))
    else:
        first = len(names) - len(labels.classes)
        ids = {index: index + first for index in range(len(labels.classes))}
        drawn = class_map_of(labels, photo, ids, names, shape)
        ignored = np.iinfo(drawn.dtype).max
        class_map = np.where(drawn == ignored, _UNLABELED, drawn.astype(np.int64))
    placed = _placed(class_map, context, size, _UNLABELED)
    return Target(torch.zeros(0, dtype=torch.int64), class_map=torch.from_numpy(placed))


def _instances(
    labels: LabeledPhotos, photo: LabeledPhoto, context: ImageContext, size: _Size
) -> Target:
    objects = photo.objects
    if objects is None or objects.masks is None:
        msg = f"{photo.path} of {labels.source} has no outlines of objects"
        raise DatasetError(msg)
    ids: list[int] = []
    masks = np.zeros((len(objects), *size), np.bool_)
    for class_id, outline, is_crowd in zip(
        objects.class_ids.tolist(), objects.masks, objects.is_crowd.tolist(), strict=True
    ):
        mask = filled(outline, (context.height, context.width))
        placed = _placed(mask, context, size, 0)
        if placed.any() and not is_crowd:
            masks[len(ids)] = placed
            ids.append(class_id)
    class_ids = torch.tensor(ids, dtype=torch.int64)
    return Target(class_ids, masks=torch.from_numpy(masks[: len(ids)]))


def _placed(
    values: npt.NDArray[Any], context: ImageContext, size: _Size, fill: int
) -> npt.NDArray[Any]:
    """Return values of a photo's pixels (h, w) on the input; `fill` is beside the photo."""
    factors = (context.scale, context.scale) if context.stretch is None else context.stretch[::-1]
    pads = (0.0, 0.0) if context.stretch is not None else context.pad[::-1]
    places, inside = [], []
    for extent, length, factor, pad in zip(size, values.shape, factors, pads, strict=True):
        place = np.floor((np.arange(extent) + 0.5 - pad) / factor).astype(np.int64)
        inside.append((place >= 0) & (place < length))
        places.append(place.clip(0, length - 1))
    rows, columns = inside
    is_photo = rows[:, None] & columns
    return np.where(is_photo, values[np.ix_(*places)], fill).astype(values.dtype)

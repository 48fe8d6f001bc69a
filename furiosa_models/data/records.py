"""Labeled photos, as every reader of data sets returns them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias, overload

import numpy as np
import numpy.typing as npt

from ..enums import DatasetLayout, Task
from ..errors import DatasetError

__all__ = ["LabeledPhoto", "LabeledPhotos", "Mask", "Objects", "choose_task"]

Mask: TypeAlias = Any
"""Outline of an object: polygons, each a (m, 2) float32 array of x and y in pixels of the photo, or
COCO's run-length encoding, `{"size": [height, width], "counts": ...}`."""


def _no_boxes() -> npt.NDArray[np.float32]:
    return np.zeros((0, 4), np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class Objects:
    """Labeled objects of a photo, as parallel columns.

    Attributes:
        boxes: (n, 4) float32; left, top, right, bottom in pixels of the upright photo.
        class_ids: (n,) int64; index into the classes of the data set.
        keypoints: (n, k, 3) float32: x, y and visibility (0 unlabeled, 1 hidden, 2 visible); or
            None.
        masks: Outline of each object, or None.
        is_crowd: (n,) bool; whether a box covers a group of objects, or an object that does not
            count.
        areas: (n,) float32; area of each object in pixels, or None if the labels do not tell.
    """

    boxes: npt.NDArray[np.float32] = field(default_factory=_no_boxes)
    class_ids: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    keypoints: npt.NDArray[np.float32] | None = None
    masks: tuple[Mask, ...] | None = None
    is_crowd: npt.NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, np.bool_))
    areas: npt.NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        if not len(self.is_crowd):  # by default, no object is a crowd
            object.__setattr__(self, "is_crowd", np.zeros(len(self.boxes), np.bool_))

    def __len__(self) -> int:
        return len(self.boxes)


@dataclass(frozen=True, slots=True, eq=False)
class LabeledPhoto:
    """A photo with its labels.

    Attributes:
        path: The photo.
        image_id: Its id in the annotation file, or its position in the data set.
        size: Its width and height in pixels, if the labels tell them.
        class_id: Index of its class, for classification.
        objects: Its objects, for detection, instance segmentation and keypoints.
        mask: Class of each pixel, for semantic segmentation: a picture of class numbers, or
            (height, width) uint8 of class ids, where 255 is no class.
    """

    path: Path
    image_id: int
    size: tuple[int, int] | None = None
    class_id: int | None = None
    objects: Objects | None = None
    mask: Path | npt.NDArray[np.uint8] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class LabeledPhotos(Sequence[LabeledPhoto]):
    """A data set, or one split of it.

    Attributes:
        source: Folder or file that it was read from.
        layout: Form of the labels.
        task: Task that the labels are for.
        classes: Name of each class, without a background; for semantic segmentation, as listed.
        photos: The photos with their labels.
        keypoints: Names of the keypoints, for keypoint detection.
        skeleton: Pairs of keypoints, counted from 1, that are connected.
        class_numbers: Number of each class in the labels, such as COCO's category ids; empty if the
            labels have names. For semantic segmentation, its value in the masks.
    """

    source: Path
    layout: DatasetLayout
    task: Task
    classes: tuple[str, ...]
    photos: tuple[LabeledPhoto, ...]
    keypoints: tuple[str, ...] = ()
    skeleton: tuple[tuple[int, int], ...] = ()
    class_numbers: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.photos)

    @overload
    def __getitem__(self, index: int) -> LabeledPhoto: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[LabeledPhoto]: ...
    def __getitem__(self, index: int | slice) -> LabeledPhoto | Sequence[LabeledPhoto]:
        return self.photos[index]

    def __iter__(self) -> Iterator[LabeledPhoto]:
        return iter(self.photos)


def choose_task(source: Path, task: Task | None, *known: Task) -> Task:
    """Return the given task, or by default the first of those that labels are for.

    Raises:
        DatasetError: The labels are not for the given task.
    """
    if task is None or task in known:
        return task or known[0]
    msg = f"{source} has labels for {known[0].value}, expected labels for {task.value}"
    raise DatasetError(msg)

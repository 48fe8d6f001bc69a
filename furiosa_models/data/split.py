"""Parts of a data set, for training, validation and tests; and parts chosen at random."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..enums import DatasetSplitType, Task
from ..errors import DatasetError
from .recognize import dataset_splits, read_dataset
from .records import LabeledPhoto, LabeledPhotos

__all__ = ["labeled_parts", "split_photos", "test_part", "training_parts"]


def training_parts(train: Any, val: Any, task: Task | None) -> tuple[LabeledPhotos, LabeledPhotos]:
    """Return the photos to train on, and those to evaluate on.

    Args:
        train: A folder or file in any layout, or a data set that was read.
        val: The same; None for the validation part of `train`.
        task: Task of the labels.

    Raises:
        DatasetError: The labels cannot be read, or there is no validation part.
    """
    if val is not None:
        return _part(train, DatasetSplitType.TRAIN, task), _part(val, DatasetSplitType.VAL, task)
    source = _source(train)
    if source is None or DatasetSplitType.VAL not in dataset_splits(source, task=task):
        msg = f"{train!r} has no validation part: pass data_val, or split it with split_photos"
        raise DatasetError(msg)
    parts = (
        read_dataset(source, split=split, task=task)
        for split in (DatasetSplitType.TRAIN, DatasetSplitType.VAL)
    )
    return next(parts), next(parts)


def labeled_parts(
    data: Any, val: Any, task: Task | None
) -> tuple[LabeledPhotos, LabeledPhotos | None]:
    """Return the photos to fit to, and those to evaluate on, if there are any.

    The labels may be for another task: crops of objects are photos, too.
    """
    source = _source(data)
    if source is None:
        return _part(data, None, task), None if val is None else _part(val, None, task)
    splits = dataset_splits(source)
    if val is None and {DatasetSplitType.TRAIN, DatasetSplitType.VAL} <= {*splits}:
        val = source
    train = _part(source, DatasetSplitType.TRAIN, None)
    return train, None if val is None else _part(val, DatasetSplitType.VAL, None)


def test_part(data: Any, task: Task | None) -> LabeledPhotos:
    """Return the photos to test on: the test part of a data set, or else its validation part."""
    source = _source(data)
    splits = () if source is None else dataset_splits(source, task=task)
    known = (s for s in (DatasetSplitType.TEST, DatasetSplitType.VAL) if s in splits)
    return _part(data, next(known, None), task)


def split_photos(
    photos: LabeledPhotos, sizes: float | Sequence[int], *, seed: int = 0
) -> tuple[LabeledPhotos, ...]:
    """Split a data set at random into parts without common photos, each in the original order.

    For classification, each class is split in the same proportion, as far as it has enough photos.

    Args:
        photos: The data set.
        sizes: Fraction of the photos in the first of two parts, between 0 and 1; or the number of
            photos in each part.
        seed: Seed of the choice.

    Raises:
        ValueError: The fraction leaves a part empty, or the numbers do not add up to the number of
            photos.
    """
    counts = _counts(len(photos), sizes)
    random = np.random.default_rng(seed)
    order = _spread(photos, random)
    ends = np.cumsum(counts)[:-1]
    return tuple(
        replace(photos, photos=tuple(photos[int(i)] for i in np.sort(chosen)))
        for chosen in np.split(order, ends)
    )


def _part(data: Any, split: DatasetSplitType | None, task: Task | None) -> LabeledPhotos:
    """Return a data set as it is, or read the named part of it, if it has parts."""
    if isinstance(data, LabeledPhotos):
        return data
    source = _source(data)
    if source is None:
        photos = getattr(data, "photos", None)
        if isinstance(photos, LabeledPhotos):  # a MapDataset
            return photos
        msg = (
            f"expected a folder or file of labeled photos, or a data set, got {type(data).__name__}"
        )
        raise DatasetError(msg)
    has_part = split is not None and split in dataset_splits(source, task=task)
    return read_dataset(source, split=split if has_part else None, task=task)


def _source(data: Any) -> Path | None:
    return Path(data) if isinstance(data, (str, os.PathLike)) else None


def _counts(total: int, sizes: float | Sequence[int]) -> list[int]:
    """Return the number of photos in each part."""
    if isinstance(sizes, Sequence):
        if any(size < 0 for size in sizes) or sum(sizes) != total:
            msg = f"the sizes {list(sizes)} add up to {sum(sizes)}, expected the {total} photos"
            raise ValueError(msg)
        return [*sizes]
    first = round(total * sizes) if 0 < sizes < 1 else 0
    if not 0 < first < total:
        msg = (
            f"{sizes} of {total} photos leaves a part empty: expected a fraction between 0 and 1, "
            "or the number of photos of each part"
        )
        raise ValueError(msg)
    return [first, total - first]


def _spread(photos: Iterable[LabeledPhoto], random: np.random.Generator) -> npt.NDArray[np.intp]:
    """Return the positions of photos in random order, with each class spread evenly over it."""
    classes = np.array([-1 if each.class_id is None else each.class_id for each in photos])
    places = np.empty(len(classes))
    for class_id in np.unique(classes):
        own = np.flatnonzero(classes == class_id)
        places[own] = (random.permutation(len(own)) + random.random()) / len(own)
    return np.argsort(places, kind="stable")

"""Data sets as arguments: labels that were read, their Focoos form, or where to read them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..enums import DatasetSplitType, Task
from ..errors import DatasetError
from ..labels import plain_name
from .augment import Augmenter
from .classes import with_classes
from .datasets import DictDataset, MapDataset
from .recognize import dataset_splits, read_dataset
from .records import LabeledPhotos

__all__ = ["labeled_parts", "own_augment", "test_part", "training_parts"]


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
        known = _part(train, DatasetSplitType.TRAIN, task)
        return known, _with_classes_of(known, _part(val, DatasetSplitType.VAL, task))
    source = _source(train)
    if source is None or DatasetSplitType.VAL not in dataset_splits(source, task=task):
        name = str(getattr(train, "source", train) if source is None else source)
        msg = f"{name} has no validation part: pass data_val (--val), or use split_photos"
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
    if val is None:
        return train, None
    return train, _with_classes_of(train, _part(val, DatasetSplitType.VAL, None))


def test_part(data: Any, task: Task | None) -> LabeledPhotos:
    """Return the photos to test on: the test part of a data set, or else its validation part."""
    source = _source(data)
    splits = () if source is None else dataset_splits(source, task=task)
    known = (s for s in (DatasetSplitType.TEST, DatasetSplitType.VAL) if s in splits)
    return _part(data, next(known, None), task)


def _with_classes_of(train: LabeledPhotos, val: LabeledPhotos) -> LabeledPhotos:
    """Return validation photos with the classes of the training photos, if all of theirs are."""
    known = {plain_name(name) for name in train.classes}
    if not val.classes or not known.issuperset(map(plain_name, val.classes)):
        return val  # the trainer says what differs
    return with_classes(val, train.classes)


def own_augment(data: Any) -> Callable[..., Any] | None:
    """Return what changes the photos of a data set in the form of Focoos; None for no change.

    An `Augmenter` leaves the resolution to the network; other mappers may change it.
    """
    mapper = data.mapper if isinstance(data, MapDataset) else None
    if mapper is None or isinstance(mapper, Augmenter):
        return mapper
    return mapper.to_resolution


def _part(data: Any, split: DatasetSplitType | None, task: Task | None) -> LabeledPhotos:
    """Return a data set as it is, or read the named part of it, if it has parts."""
    if isinstance(data, LabeledPhotos):
        return data
    source = _source(data)
    if source is None:
        if isinstance(data, (DictDataset, MapDataset)):
            return data.photos
        msg = (
            f"expected a folder or file of labeled photos, or a data set, got {type(data).__name__}"
        )
        raise DatasetError(msg)
    has_part = split is not None and split in dataset_splits(source, task=task)
    return read_dataset(source, split=split if has_part else None, task=task)


def _source(data: Any) -> Path | None:
    return Path(data) if isinstance(data, (str, os.PathLike)) else None

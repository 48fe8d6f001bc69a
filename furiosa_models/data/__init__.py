"""Data sets of labeled photos: one form for all layouts; nothing here needs PyTorch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._lazy import lazy

if TYPE_CHECKING:
    from ..enums import DatasetLayout, DatasetSplitType
    from .checks import DatasetReport, Problem, check_dataset
    from .recognize import dataset_splits, read_dataset
    from .records import LabeledPhoto, LabeledPhotos, Objects
    from .splits import split_photos

__all__ = [
    "DatasetLayout",
    "DatasetReport",
    "DatasetSplitType",
    "LabeledPhoto",
    "LabeledPhotos",
    "Objects",
    "Problem",
    "check_dataset",
    "dataset_splits",
    "read_dataset",
    "split_photos",
]

__getattr__, __dir__ = lazy(
    __name__,
    {
        ".enums": ["DatasetLayout", "DatasetSplitType"],
        "checks": ["DatasetReport", "Problem", "check_dataset"],
        "recognize": ["dataset_splits", "read_dataset"],
        "records": ["LabeledPhoto", "LabeledPhotos", "Objects"],
        "splits": ["split_photos"],
    },
)

"""Data sets of labeled photos: one form for all layouts; nothing here needs PyTorch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._lazy import lazy

if TYPE_CHECKING:
    from ..enums import DatasetLayout, DatasetSplitType
    from .recognize import dataset_splits, read_dataset
    from .records import LabeledPhoto, LabeledPhotos, Objects

__all__ = [
    "DatasetLayout",
    "DatasetSplitType",
    "LabeledPhoto",
    "LabeledPhotos",
    "Objects",
    "dataset_splits",
    "read_dataset",
]

__getattr__, __dir__ = lazy(
    __name__,
    {
        ".enums": ["DatasetLayout", "DatasetSplitType"],
        "recognize": ["dataset_splits", "read_dataset"],
        "records": ["LabeledPhoto", "LabeledPhotos", "Objects"],
    },
)

"""Data sets of labeled photos: one form for all layouts; nothing here needs PyTorch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._lazy import lazy

if TYPE_CHECKING:
    from ..enums import DatasetLayout, DatasetSplitType
    from .augment import Augmenter
    from .augmentations import DatasetAugmentations, get_default_by_task
    from .checks import DatasetReport, Problem, check_dataset
    from .datasets import AutoDataset, DatasetEntry, DictDataset, MapDataset
    from .metadata import DatasetMetadata
    from .recognize import dataset_splits, read_dataset
    from .records import LabeledPhoto, LabeledPhotos, Objects
    from .splits import split_photos

__all__ = [
    "Augmenter",
    "AutoDataset",
    "DatasetAugmentations",
    "DatasetEntry",
    "DatasetLayout",
    "DatasetMetadata",
    "DatasetReport",
    "DatasetSplitType",
    "DictDataset",
    "LabeledPhoto",
    "LabeledPhotos",
    "MapDataset",
    "Objects",
    "Problem",
    "check_dataset",
    "dataset_splits",
    "get_default_by_task",
    "read_dataset",
    "split_photos",
]

__getattr__, __dir__ = lazy(
    __name__,
    {
        ".enums": ["DatasetLayout", "DatasetSplitType"],
        "augment": ["Augmenter"],
        "augmentations": ["DatasetAugmentations", "get_default_by_task"],
        "checks": ["DatasetReport", "Problem", "check_dataset"],
        "datasets": ["AutoDataset", "DatasetEntry", "DictDataset", "MapDataset"],
        "metadata": ["DatasetMetadata"],
        "recognize": ["dataset_splits", "read_dataset"],
        "records": ["LabeledPhoto", "LabeledPhotos", "Objects"],
        "splits": ["split_photos"],
    },
)

"""Data sets with the names of Focoos: `AutoDataset`, `DictDataset` and `MapDataset`."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from ..enums import DatasetLayout, DatasetSplitType, Task
from ..errors import DatasetError
from ..images.read import read_image
from .archive import is_archive, unpack, unpacked_folder
from .augment import Augmenter, DatasetAugmentations
from .masks import load_mask
from .metadata import DatasetMetadata
from .part import as_split
from .preview import draw_labels
from .recognize import read_dataset
from .records import LabeledPhoto, LabeledPhotos, Objects

if TYPE_CHECKING:
    from PIL.Image import Image as PILImage

__all__ = ["AutoDataset", "DatasetEntry", "DictDataset", "MapDataset", "Mapper"]

_HOME = ("FocoosAI", "datasets")


class Mapper(Protocol):
    """Changes photos and their labels, such as `Augmenter`."""

    def to_resolution(
        self, image: npt.NDArray[np.uint8], photo: LabeledPhoto, *, epoch: int, index: int
    ) -> tuple[npt.NDArray[np.uint8], LabeledPhoto]:
        """Return a changed photo, (h, w, 3) uint8, and its labels."""


@dataclass(frozen=True, slots=True, eq=False)
class DatasetEntry:
    """A photo of a data set, with its labels.

    Attributes:
        image: (3, h, w) uint8 RGB: a tensor if PyTorch is installed, and else an array.
        height: Height of the photo before augmentation.
        width: Width of the photo before augmentation.
        instances: Its objects, for detection, instance segmentation and keypoints.
        file_name: Path of the photo.
        image_id: Its id in the labels, or its position.
        label: Index of its class, for classification.
        sem_seg: (h, w) uint8 class ids, for semantic segmentation; 255 is no class.
    """

    image: Any
    height: int
    width: int
    instances: Objects | None
    file_name: str
    image_id: int
    label: int | None = None
    sem_seg: npt.NDArray[np.uint8] | None = None


class DictDataset:
    """Labels of photos as dictionaries, in the form of Detectron2.

    Args:
        photos: The labeled photos.
        name: Name of the data set.

    Attributes:
        photos: The labeled photos.
        metadata: Facts about the data set.
    """

    def __init__(self, photos: LabeledPhotos, name: str = "") -> None:
        self.photos = photos
        self.metadata = DatasetMetadata.of(photos, name or photos.source.stem)

    @property
    def task(self) -> Task:
        """The task of the labels."""
        return self.photos.task

    @property
    def name(self) -> str:
        """Name of the data set."""
        return str(self.metadata.name)

    def __len__(self) -> int:
        return len(self.photos)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Return the file name, id, size and labels of a photo; boxes are xyxy in pixels."""
        photo = self.photos[index]
        found: dict[str, Any] = {"file_name": str(photo.path), "image_id": photo.image_id}
        if photo.size is not None:
            found["width"], found["height"] = photo.size
        if photo.class_id is not None:
            found["label"] = photo.class_id
        if photo.mask is not None:
            found["sem_seg_file_name"] = str(photo.mask)
        if photo.objects is not None:
            found["annotations"] = [*_annotations(photo.objects)]
        return found


class MapDataset:
    """Photos of a data set, each read and changed when it is accessed.

    A photo that is read again gets other random changes; those of the nth time are always the same.

    Args:
        dataset: The labels.
        mapper: Changes the photos; None to leave them as they are.

    Attributes:
        dataset: The labels, with their `metadata`.
        mapper: Changes the photos.
    """

    def __init__(self, dataset: DictDataset, mapper: Mapper | None = None) -> None:
        self.dataset = dataset
        self.mapper = mapper
        self._reads: Counter[int] = Counter()

    @property
    def photos(self) -> LabeledPhotos:
        """The labeled photos."""
        return self.dataset.photos

    @property
    def name(self) -> str:
        """Name of the data set."""
        return self.dataset.name

    @property
    def task(self) -> Task:
        """The task of the labels."""
        return self.dataset.task

    @property
    def resolution(self) -> int | tuple[int, int] | None:
        """Resolution of the augmentations, if there are any."""
        augmentations = getattr(self.mapper, "augmentations", None)
        return None if augmentations is None else augmentations.resolution

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> DatasetEntry:
        """Return a photo with its labels. A photo without objects is an entry, too.

        Raises:
            ImageError: The photo cannot be read.
            ExtraRequired: torchvision, which makes augmentations, is not installed.
            IndexError: There is no such photo.
        """
        photo, pixels = self._read(index)
        height, width = pixels.shape[:2]
        pixels, photo = self._changed(pixels, photo, index)
        return DatasetEntry(
            image=_as_tensor(np.array(pixels.transpose(2, 0, 1), order="C")),
            height=height,
            width=width,
            instances=photo.objects,
            file_name=str(photo.path),
            image_id=photo.image_id,
            label=photo.class_id,
            sem_seg=photo.mask if isinstance(photo.mask, np.ndarray) else None,
        )

    def __iter__(self) -> Iterator[DatasetEntry]:
        return (self[index] for index in range(len(self)))

    def preview(self, index: int | None = None, use_augmentations: bool = True) -> PILImage:
        """Return a photo with its labels drawn on it.

        Args:
            index: Index of the photo; by default, one at random.
            use_augmentations: Whether to change the photo first.

        Raises:
            ImageError: The photo cannot be read.
        """
        if index is None:
            index = int(np.random.default_rng().integers(len(self)))
        photo, pixels = self._read(index)
        if use_augmentations:
            pixels, photo = self._changed(pixels, photo, index)
        labels = self.dataset.photos
        return draw_labels(pixels, photo, labels.classes, labels.skeleton)

    def _read(self, index: int) -> tuple[LabeledPhoto, npt.NDArray[np.uint8]]:
        """Return a photo with its labels loaded, and its pixels."""
        photo = load_mask(self.dataset.photos, self.dataset.photos[index])
        pixels = read_image(photo.path).rgb
        height, width = pixels.shape[:2]
        if photo.size not in (None, (width, height)):
            msg = f"{photo.path} has {width}x{height} pixels, its labels are for {photo.size}"
            raise DatasetError(msg)
        return replace(photo, size=(width, height)), pixels

    def _changed(
        self, pixels: npt.NDArray[np.uint8], photo: LabeledPhoto, index: int
    ) -> tuple[npt.NDArray[np.uint8], LabeledPhoto]:
        if self.mapper is None:
            return pixels, photo
        place = range(len(self))[index]
        epoch = self._reads[place]
        self._reads[place] += 1
        return self.mapper.to_resolution(pixels, photo, epoch=epoch, index=place)


class AutoDataset:
    """A data set by its name, in a folder of data sets.

    An archive (`.zip`, `.tar.gz`) is unpacked beside it, once.

    Args:
        dataset_name: Name of the folder or archive; or of a file of labels.
        task: Task that the labels must be for.
        layout: Layout of the labels; by default it is recognized, as it is for `CATALOG`.
        datasets_dir: Folder of data sets; by default `~/FocoosAI/datasets`.

    Attributes:
        dataset_name: Name of the data set, without the suffix of an archive.
        dataset_path: Its folder.
        task: Task of the labels.
        layout: Layout of the labels.

    Raises:
        DatasetError: There is no such data set, or its archive cannot be unpacked.
    """

    def __init__(
        self,
        dataset_name: str,
        task: Task | str,
        layout: DatasetLayout | str | None = None,
        datasets_dir: str | os.PathLike[str] | None = None,
    ) -> None:
        self.task = Task(task)
        self.layout = None if layout is None else DatasetLayout(layout)
        root = Path.home().joinpath(*_HOME) if datasets_dir is None else Path(datasets_dir)
        path = root / dataset_name
        if is_archive(dataset_name) and not path.is_dir():
            dataset_name = unpacked_folder(path).name
            path = unpack(path)
        elif not path.exists():
            msg = f"there is no data set {dataset_name} in {root}"
            raise DatasetError(msg)
        self.dataset_name = dataset_name
        self.dataset_path = str(path)

    def get_split(
        self,
        augs: DatasetAugmentations | None = None,
        split: DatasetSplitType | str = DatasetSplitType.TRAIN,
        *,
        seed: int = 0,
    ) -> MapDataset:
        """Return a part of the data set: train, val or test.

        Args:
            augs: Augmentations, such as those of `get_default_by_task`; None for none.
            split: The part.
            seed: Seed of the augmentations.

        Raises:
            DatasetError: There is no such part, or its labels cannot be read or are not for the
                task.
        """
        photos = read_dataset(
            self.dataset_path, split=as_split(split), layout=self.layout, task=self.task
        )
        dataset = DictDataset(photos, self.dataset_name)
        mapper = None if augs is None else Augmenter(augs, seed, keypoints=photos.keypoints)
        return MapDataset(dataset, mapper)


@cache
def _torch() -> Any:
    """Return PyTorch, or None if it is not installed."""
    try:
        import torch
    except ImportError:
        return None
    return torch


def _as_tensor(array: npt.NDArray[np.uint8]) -> Any:
    torch = _torch()
    return array if torch is None else torch.from_numpy(array)


def _annotations(objects: Objects) -> Iterator[dict[str, Any]]:
    """Yield the objects of a photo in the form of Detectron2."""
    for index, box in enumerate(objects.boxes.tolist()):
        row: dict[str, Any] = {
            "bbox": box,
            "category_id": int(objects.class_ids[index]),
            "iscrowd": int(objects.is_crowd[index]),
        }
        if objects.areas is not None:
            row["area"] = float(objects.areas[index])
        if objects.masks is not None:
            mask = objects.masks[index]
            row["segmentation"] = mask if isinstance(mask, dict) else [p.ravel() for p in mask]
        if objects.keypoints is not None:
            row["keypoints"] = objects.keypoints[index].ravel().tolist()
        yield row

"""Classes of a data set: which of a model's classes they are, and class ids in another order."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from ..enums import Task
from ..errors import DatasetError
from ..labels import plain_name
from .records import LabeledPhoto, LabeledPhotos, Objects

__all__ = ["are_indices", "check_same_classes", "list_names", "match_classes", "with_classes"]

_LISTED = 5


def list_names(names: Iterable[str]) -> str:
    """Return the first few names for a message."""
    listed = list(names)
    return ", ".join(listed[:_LISTED]) + (", ..." if len(listed) > _LISTED else "")


def are_indices(labels: LabeledPhotos) -> bool:
    """Return whether the labels are indices of a classifier's outputs, without names."""
    return labels.task is Task.CLASSIFICATION and bool(labels.class_numbers)


def match_classes(labels: LabeledPhotos, names: Sequence[str]) -> dict[str, int]:
    """Return the index in `labels.classes` of those names that are among them.

    Case, spaces, dashes and underscores in names are ignored.

    Args:
        labels: The data set.
        names: Names of a model's classes.

    Raises:
        DatasetError: No name is among the classes.
    """
    known = {plain_name(name): index for index, name in enumerate(labels.classes)}
    found = {name: known[plain_name(name)] for name in names if plain_name(name) in known}
    if not found:
        msg = (
            f"{labels.source} has none of the model's classes: its categories are "
            f"{list_names(labels.classes)}; the model's are {list_names(names)}: rename the "
            "categories, or pass labels= to the model"
        )
        raise DatasetError(msg)
    return found


def check_same_classes(train: LabeledPhotos, val: LabeledPhotos) -> None:
    """Check that photos and validation photos have the same classes in the same order.

    Raises:
        DatasetError: They have not.
    """
    if train.classes == val.classes:
        return
    lacking, more = ({*train.classes} - {*val.classes}), ({*val.classes} - {*train.classes})
    msg = (
        f"the classes of the photos, {', '.join(train.classes[:10])}, and of the validation "
        f"photos, {', '.join(val.classes[:10])}, differ: expected the same in the same order "
        f"(missing there: {', '.join(sorted(lacking)) or '-'}; here: "
        f"{', '.join(sorted(more)) or '-'})"
    )
    raise DatasetError(msg)


def with_classes(labels: LabeledPhotos, classes: Sequence[str]) -> LabeledPhotos:
    """Return the data set with class ids that are indices into `classes`.

    Objects of other classes are left out; for classification, their photos.

    Args:
        labels: The data set.
        classes: Names of classes, as for `match_classes`.

    Raises:
        DatasetError: No name is among the classes; or for semantic segmentation, not all are.
    """
    if tuple(classes) == labels.classes:
        return labels
    old = match_classes(labels, classes)
    new = {old[name]: index for index, name in enumerate(classes) if name in old}
    numbers: tuple[int, ...] = ()
    if labels.class_numbers and len(old) == len(classes):
        numbers = tuple(labels.class_numbers[old[name]] for name in classes)
    if labels.task is Task.SEMSEG and not numbers:
        unknown = list_names(name for name in classes if name not in old)
        msg = f"{labels.source} has no class {unknown}: its classes are {', '.join(labels.classes)}"
        raise DatasetError(msg)
    photos = [_renumbered(photo, new) for photo in labels]
    if labels.task is Task.CLASSIFICATION:
        photos = [photo for photo in photos if photo.class_id is not None]
    return replace(labels, classes=tuple(classes), photos=tuple(photos), class_numbers=numbers)


def _renumbered(photo: LabeledPhoto, new: dict[int, int]) -> LabeledPhoto:
    """Return a photo with other class ids, without objects that have none."""
    class_id = None if photo.class_id is None else new.get(photo.class_id)
    if photo.objects is None:
        return replace(photo, class_id=class_id)
    ids = np.array([new.get(int(i), -1) for i in photo.objects.class_ids], np.int64)
    return replace(photo, class_id=class_id, objects=_select(photo.objects, ids))


def _select(objects: Objects, ids: npt.NDArray[np.int64]) -> Objects:
    """Return the objects whose new class id is not negative."""
    kept = np.flatnonzero(ids >= 0)
    return Objects(
        boxes=objects.boxes[kept],
        class_ids=ids[kept],
        keypoints=None if objects.keypoints is None else objects.keypoints[kept],
        masks=None if objects.masks is None else tuple(objects.masks[i] for i in kept),
        is_crowd=objects.is_crowd[kept],
        areas=None if objects.areas is None else objects.areas[kept],
    )

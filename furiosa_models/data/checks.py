"""Check a data set: photos, boxes, classes, and photos that training and validation share."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from ..enums import Task
from ..errors import DatasetError, ImageError
from ..images.size import read_size
from .classes import are_indices, list_names, match_classes
from .files import in_parallel, is_file, printable
from .records import LabeledPhoto, LabeledPhotos, Objects

__all__ = ["DatasetReport", "Problem", "check_dataset"]

Severity: TypeAlias = Literal["error", "warning"]

_EXAMPLES = 5
_MAX_ROWS = 100  # of a printed table
_TOLERANCE = 1.0  # pixels that a box may be outside its photo: labels are rounded
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Problem:
    """A problem of a data set.

    Attributes:
        severity: `error` if the labels are wrong or photos cannot be read; else `warning`.
        message: What it is, and for how many photos, boxes or classes.
        examples: Up to five of them.
    """

    severity: Severity
    message: str
    examples: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.message}: {', '.join(self.examples)}" if self.examples else self.message


@dataclass(frozen=True, slots=True)
class DatasetReport:
    """Result of `check_dataset`.

    Attributes:
        problems: The problems found, errors first.
        photos: Number of photos of each part.
        counts: Number of photos (for classification) or objects of each class in each part; empty
            for semantic segmentation, whose masks are not read.
    """

    problems: tuple[Problem, ...]
    photos: Mapping[str, int]
    counts: Mapping[str, Mapping[str, int]]

    @property
    def errors(self) -> tuple[Problem, ...]:
        """The problems that are errors."""
        return tuple(each for each in self.problems if each.severity == "error")

    def __str__(self) -> str:
        parts = "photos: " + ", ".join(f"{count} in {part}" for part, count in self.photos.items())
        lines = [parts, *_table(self.counts), ""]
        lines += [f"{each.severity:7}  {each}" for each in self.problems] or ["no problems found"]
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Return plain Python objects."""
        return {
            "photos": dict(self.photos),
            "counts": {name: dict(own) for name, own in self.counts.items()},
            "problems": [asdict(each) for each in self.problems],
        }

    def raise_for_errors(self) -> None:
        """Raise an error if a problem is one.

        Raises:
            DatasetError: The message has each error.
        """
        if self.errors:
            raise DatasetError("\n  ".join(map(str, ["the data set has errors:", *self.errors])))


def check_dataset(
    train: LabeledPhotos,
    val: LabeledPhotos | None = None,
    classes: Sequence[str] | None = None,
) -> DatasetReport:
    """Check a data set before training or measuring with it.

    Photos are not decoded; their sizes are read from their headers. Files of the same size are
    compared by their contents.

    Args:
        train: The data set, or the part of it to train with.
        val: The part to validate with.
        classes: Names of the classes of the model.
    """
    parts = {"data": train} if val is None else {"train": train, "val": val}
    found: list[Problem] = []
    for part, labels in parts.items():
        where = f"{part}: " if val is not None else ""
        sizes = dict(zip(labels, _read_sizes(labels), strict=True))
        found += _check_photos(where, labels, sizes)
        found += _check_objects(where, labels, sizes)
        found += _check_classes(where, labels, classes)
    if val is not None and val.classes != train.classes:
        names = (list_names(labels.classes) for labels in (train, val))
        found.append(Problem("error", "train and val have different classes", tuple(names)))
    found += _check_copies(parts)
    counts = {part: _count(labels) for part, labels in parts.items()}
    counted = [labels for labels in parts.values() if labels.task is not Task.SEMSEG]
    names_of_all = dict.fromkeys(name for labels in counted for name in labels.classes)
    return DatasetReport(
        tuple(sorted(found, key=lambda each: each.severity)),
        {part: len(labels) for part, labels in parts.items()},
        {name: {part: own[name] for part, own in counts.items()} for name in names_of_all},
    )


_Sizes: TypeAlias = Mapping[LabeledPhoto, "tuple[int, int] | str"]
"""Width and height of each photo, or why it cannot be read."""


def _read_sizes(labels: Iterable[LabeledPhoto]) -> list[tuple[int, int] | str]:
    def size(photo: LabeledPhoto) -> tuple[int, int] | str:
        try:
            return read_size(photo.path)
        except ImageError as error:
            return str(error)

    return list(in_parallel(size, list(labels), "Checking photos"))


def _check_photos(where: str, labels: LabeledPhotos, sizes: _Sizes) -> Iterator[Problem]:
    """Yield problems of photos: missing, unreadable, of other sizes than labeled, unlabeled."""
    if not len(labels):
        yield Problem("error", f"{where}there are no photos")
    failed = {photo: size for photo, size in sizes.items() if isinstance(size, str)}
    missing = [photo for photo in failed if not is_file(photo.path)]
    damaged = [reason for photo, reason in failed.items() if photo not in missing]
    yield from _problem("error", f"{where}{{}} photos are missing", map(_name, missing))
    yield from _problem("error", f"{where}{{}} photos cannot be read", damaged)
    other = [
        f"{_name(photo)} is {size[0]}x{size[1]}, labeled {photo.size[0]}x{photo.size[1]}"
        for photo, size in sizes.items()
        if photo.size is not None and not isinstance(size, str) and size != photo.size
    ]
    yield from _problem("error", f"{where}{{}} photos have another size than their labels", other)
    bare = [_name(photo) for photo in labels if not _has_labels(photo)]
    yield from _problem("warning", f"{where}{{}} photos have no labels", bare)
    if labels.task is Task.SEMSEG:
        yield from _check_masks(where, labels, sizes)


def _check_masks(where: str, labels: LabeledPhotos, sizes: _Sizes) -> Iterator[Problem]:
    """Yield problems of masks: unreadable, or of other sizes than their photos."""
    masked = [photo for photo in labels if isinstance(photo.mask, Path)]
    masks = [replace(photo, path=photo.mask) for photo in masked if isinstance(photo.mask, Path)]
    found = _read_sizes(masks)
    damaged = [size for size in found if isinstance(size, str)]
    yield from _problem("error", f"{where}{{}} masks cannot be read", damaged)
    other = [
        f"{_name(mask)} is {size[0]}x{size[1]}"
        for photo, mask, size in zip(masked, masks, found, strict=True)
        if not isinstance(size, str) and size != sizes[photo] and not isinstance(sizes[photo], str)
    ]
    yield from _problem("error", f"{where}{{}} masks have another size than their photo", other)


def _check_objects(where: str, labels: LabeledPhotos, sizes: _Sizes) -> Iterator[Problem]:
    """Yield problems of objects: boxes that are empty or outside, masks of another size."""
    empty: list[str] = []
    outside: list[str] = []
    beyond: list[str] = []
    other: list[str] = []
    for photo in labels:
        size = sizes[photo]
        bounds = photo.size if isinstance(size, str) else size
        if photo.objects is None or bounds is None:
            continue
        boxes = photo.objects.boxes
        clipped: npt.NDArray[np.float32] = boxes.clip(0, np.array([*bounds, *bounds], np.float32))
        is_empty, is_gone = _are_empty(boxes), _are_empty(clipped)
        is_beyond = (np.abs(clipped - boxes) > _TOLERANCE).any(axis=1)
        for found, chosen in (
            (empty, np.flatnonzero(is_empty)),
            (outside, np.flatnonzero(is_gone & ~is_empty)),
            (beyond, np.flatnonzero(is_beyond & ~is_gone)),
        ):
            found += [f"{_name(photo)} {np.round(box, 1).tolist()}" for box in boxes[chosen]]
        masks = [mask["size"] for mask in photo.objects.masks or () if isinstance(mask, dict)]
        other += [f"{_name(photo)} {w}x{h}" for h, w in masks if (w, h) != tuple(bounds)]
    yield from _problem("error", f"{where}{{}} boxes are empty", empty)
    yield from _problem("error", f"{where}{{}} boxes are outside their photo", outside)
    yield from _problem("warning", f"{where}{{}} boxes are partly outside their photo", beyond)
    yield from _problem("error", f"{where}{{}} masks have another size than their photo", other)


def _are_empty(boxes: npt.NDArray[np.float32]) -> npt.NDArray[np.bool_]:
    """Return whether boxes have no area; those with an edge that is not a number have none."""
    left, top, right, bottom = boxes.T
    return np.asarray(~((right > left) & (bottom > top)), np.bool_)


def _check_classes(
    where: str, labels: LabeledPhotos, classes: Sequence[str] | None
) -> Iterator[Problem]:
    """Yield problems of classes: wrong ids, no examples, or none of the model."""
    count = len(labels.classes)
    wrong = [
        f"{_name(photo)} {class_id}"
        for photo in labels
        for class_id in _class_ids(photo)
        if not 0 <= class_id < count
    ]
    yield from _problem(
        "error", f"{where}{{}} class ids are not those of the {count} classes", wrong
    )
    if labels.task is not Task.SEMSEG and not are_indices(labels):
        counts = _count(labels)
        lacking = [name for name in labels.classes if not counts[name]]
        yield from _problem("warning", f"{where}{{}} classes have no examples", lacking)
    if classes is None:
        return
    if are_indices(labels):
        too_many = labels.classes[len(classes) :]
        what = f"{where}{{}} class ids are too large for the {len(classes)} classes of the model"
        yield from _problem("error", what, too_many)
        return
    try:
        known = {*match_classes(labels, classes).values()}
    except DatasetError as error:
        yield Problem("error", f"{where}{error}")
        return
    unknown = [name for index, name in enumerate(labels.classes) if index not in known]
    yield from _problem("warning", f"{where}{{}} classes are none of the model's", unknown)


def _check_copies(parts: Mapping[str, LabeledPhotos]) -> Iterator[Problem]:
    """Yield problems of photos that occur more than once, by their contents."""
    places: dict[Path, list[str]] = defaultdict(list)
    for part, labels in parts.items():
        for photo in labels:
            places[photo.path].append(part)
    shared: list[str] = []
    repeated: list[str] = []
    for paths in _same_contents([*places]):
        owners = {part for path in paths for part in places[path]}
        names = " = ".join(str(path) for path in paths[:_EXAMPLES])
        if len(owners) > 1:
            shared.append(names)
        if any(sum(places[path].count(part) for path in paths) > 1 for part in owners):
            repeated.append(names)
    yield from _problem("error", "{} photos are both in train and in val", shared)
    yield from _problem("warning", "{} photos occur more than once in the same part", repeated)


def _same_contents(paths: Sequence[Path]) -> list[list[Path]]:
    """Return the groups of files with the same contents; a file of its own is a group, too."""
    by_size: dict[int, list[Path]] = defaultdict(list)
    for path in paths:
        if is_file(path):
            by_size[path.stat().st_size].append(path)
    suspects = [path for same in by_size.values() if len(same) > 1 for path in same]
    digests = dict(zip(suspects, in_parallel(_digest, suspects, "Comparing photos"), strict=True))
    groups: dict[object, list[Path]] = defaultdict(list)
    for path in paths:
        groups[digests.get(path) or path].append(path)
    return [*groups.values()]


def _digest(path: Path) -> bytes | None:
    """Return a hash of the contents of a file; None if it cannot be read."""
    found = hashlib.blake2b(digest_size=16)
    try:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                found.update(chunk)
    except OSError:
        return None
    return found.digest()


def _has_labels(photo: LabeledPhoto) -> bool:
    objects: Sequence[Any] | Objects = () if photo.objects is None else photo.objects
    return photo.class_id is not None or photo.mask is not None or len(objects) > 0


def _class_ids(photo: LabeledPhoto) -> list[int]:
    own = [] if photo.class_id is None else [photo.class_id]
    return own if photo.objects is None else [*own, *map(int, photo.objects.class_ids)]


def _count(labels: LabeledPhotos) -> Counter[str]:
    """Return how often each class occurs."""
    ids = Counter(class_id for photo in labels for class_id in _class_ids(photo))
    return Counter({name: ids[index] for index, name in enumerate(labels.classes)})


def _name(photo: LabeledPhoto) -> str:
    return printable(photo.path.name)


def _problem(severity: Severity, message: str, found: Iterable[str]) -> Iterator[Problem]:
    """Yield a problem if there is any; `{}` in the message is their number."""
    examples = [*found]
    if examples:
        yield Problem(severity, message.format(len(examples)), tuple(examples[:_EXAMPLES]))


def _table(counts: Mapping[str, Mapping[str, int]]) -> list[str]:
    """Return the lines of a table of the classes."""
    if not counts:
        return []
    parts = [*next(iter(counts.values()))]
    rows = [("class", *parts), *((name, *map(str, own.values())) for name, own in counts.items())]
    left_out = len(rows) - 1 - _MAX_ROWS
    rows = rows[: _MAX_ROWS + 1]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(
            cell.rjust(width) if i else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    return lines if left_out <= 0 else [*lines, f"... and {left_out} more classes"]

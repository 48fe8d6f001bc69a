"""YOLO data sets: `data.yaml`, and a text file of normalized coordinates for each photo."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..enums import DatasetLayout, DatasetSplitType, Task
from ..errors import DatasetError
from ..labels import class_names, ordered_names, parse_names
from .files import in_parallel, is_file, list_photos, naming_errors, read_text, read_yaml, sizes_of
from .objects import LabeledObject, as_columns, as_polygon, box_around, finite_numbers
from .part import Part, Parts, part_folders
from .records import LabeledPhoto, LabeledPhotos, choose_task

__all__ = ["CONFIG_FILE", "find_yolo", "parts_of_config", "read_yolo"]

CONFIG_FILE = "data.yaml"
"""Usual name of the file that tells the classes and the parts."""

_KIND = "the data.yaml of a YOLO data set"
_KEYS = {
    DatasetSplitType.TRAIN: ("train",),
    DatasetSplitType.VAL: ("val", "valid", "validation"),
    DatasetSplitType.TEST: ("test",),
}
_IMAGES, _LABELS = "images", "labels"
_MAX_CLASSES = 100_000
_VISIBLE = 2.0


@dataclass(frozen=True, slots=True)
class _Form:
    """How to read the lines of a data set.

    Attributes:
        names: Names of the classes; empty if unknown.
        joints: Number of keypoints; 0 if there are none.
        dims: Numbers per keypoint: 2 or 3.
    """

    names: tuple[str, ...]
    joints: int = 0
    dims: int = 3


@dataclass(frozen=True, slots=True)
class _Line:
    """One object in coordinates between 0 and 1.

    Attributes:
        class_id: Its class.
        box: Left, top, right, bottom; None if there is a polygon.
        points: x and y of the points of its polygon, or x, y and visibility of its keypoints.
    """

    class_id: int
    box: tuple[float, float, float, float] | None
    points: Sequence[float]


def read_yolo(
    part: Part, *, task: Task | None = None, classes: Sequence[str] | None = None
) -> LabeledPhotos:
    """Read a YOLO data set for detection, segmentation or poses.

    A photo without a label file has no objects. Coordinates in pixels need the sizes of the photos,
    which are read from their headers; the objects of an unreadable photo are left out.

    Args:
        part: `data.yaml` and which of its parts to read; or the folder of the label files, and that
            of the photos.
        task: The task; by default that of the labels.
        classes: Names of the classes, if the data set has none.

    Raises:
        DatasetError: A file cannot be read, there is no photo, no photo has labels, or they are not
            for the task.
    """
    if part.labels.suffix.lower() in (".yaml", ".yml"):
        config = _read_config(part.labels)
        form = _form(part.labels, config, classes)
        photos = _listed_photos(part.labels, config, part.split)
        files = [_label_file(photo) for photo in photos]
    else:
        form = _Form(_names_beside(part.labels) or tuple(classes or ()))
        photos = list_photos(part.images or part.labels)
        files = [part.labels / f"{photo.stem}.txt" for photo in photos]
    lines = list(in_parallel(lambda file: _read_lines(file, form), files, "Labels"))
    _check_found(part, photos, lines)
    count = max((line.class_id + 1 for found in lines for line in found or ()), default=0)
    names = form.names or class_names(None, count)
    outlined = any(line.box is None for found in lines for line in found or ())
    sizes = sizes_of(photos)
    rows = [
        _objects(found, size, form) if found and size else []
        for found, size in zip(lines, sizes, strict=True)
    ]
    return LabeledPhotos(
        source=part.labels,
        layout=DatasetLayout.YOLO,
        task=choose_task(part.labels, task, *_tasks(form, outlined=outlined)),
        classes=names,
        photos=tuple(
            LabeledPhoto(
                photo,
                position,
                size=size,
                objects=as_columns(own, joints=form.joints, outlined=outlined),
            )
            for position, (photo, size, own) in enumerate(zip(photos, sizes, rows, strict=True))
        ),
        keypoints=tuple(f"keypoint_{joint}" for joint in range(form.joints)),
        class_numbers=tuple(range(len(names))),
    )


def find_yolo(root: Path) -> Parts:
    """Return the parts of a YOLO data set; empty if the folder is none.

    It has a `data.yaml`; or the folders `images` and `labels`, each with a folder for each part, or
    in a folder for each part.

    Raises:
        DatasetError: There are several files like `data.yaml`.
    """
    configs = [file for file in sorted(root.glob("*.y*ml")) if _is_config(file)]
    if len(configs) > 1:
        names = ", ".join(file.name for file in configs)
        msg = f"{root} has several YOLO data sets ({names}): pass the path of one of them"
        raise DatasetError(msg)
    if configs:
        return parts_of_config(configs[0])
    images, labels = root / _IMAGES, root / _LABELS
    if images.is_dir() and labels.is_dir():
        inner = part_folders(images)
        if not inner:
            return {None: Part(labels, images)}
        return {split: Part(labels / folder.name, folder, split) for split, folder in inner.items()}
    parts = {
        split: Part(folder / _LABELS, folder / _IMAGES, split)
        for split, folder in part_folders(root).items()
    }
    return {split: part for split, part in parts.items() if part.labels.is_dir()}


def parts_of_config(path: Path) -> Parts:
    """Return the parts that a `data.yaml` lists.

    Raises:
        DatasetError: It cannot be read, or lists none.
    """
    config = _read_config(path)
    return {split: Part(path, split=split) for split in _KEYS if _entry(config, split)}


def _is_config(file: Path) -> bool:
    """Return whether a YAML file is like `data.yaml`."""
    try:
        _read_config(file)
    except DatasetError:
        return False
    return True


def _read_config(path: Path) -> Mapping[str, Any]:
    config = read_yaml(path, _KIND)
    has_parts = isinstance(config, dict) and any(_entry(config, split) for split in _KEYS)
    if not has_parts or not isinstance(config, dict):
        msg = f"{path} is not {_KIND}: expected train, val or test, with their folders of photos"
        raise DatasetError(msg)
    return config


def _entry(config: Mapping[str, Any], split: DatasetSplitType) -> Any:
    """Return where the photos of a part are: a folder, a list of them, or a text file; or None."""
    return next((config[key] for key in _KEYS[split] if config.get(key)), None)


def _form(path: Path, config: Mapping[str, Any], classes: Sequence[str] | None) -> _Form:
    """Return the names and the shape of keypoints in a `data.yaml`."""
    with naming_errors(path, _KIND):
        names = ordered_names(config.get("names")) or tuple(classes or ())
        count = int(config.get("nc", len(names)))
        if names and count != len(names):
            msg = f"nc is {count}, but there are {len(names)} names"
            raise ValueError(msg)
        names = names or class_names(None, min(count, _MAX_CLASSES))
        if not (shape := config.get("kpt_shape")):
            return _Form(names)
        joints, dims = (int(number) for number in shape)
        if not 0 < joints <= 1000 or dims not in (2, 3):
            msg = f"kpt_shape is {shape}, expected the number of keypoints, and 2 or 3"
            raise ValueError(msg)
        return _Form(names, joints, dims)


def _listed_photos(
    path: Path, config: Mapping[str, Any], split: DatasetSplitType | None
) -> list[Path]:
    """Return the photos of a part of a `data.yaml`."""
    entries = _entry(config, split) if split else None
    photos: list[Path] = []
    for entry in [entries] if isinstance(entries, str) else entries or ():
        if not isinstance(entry, str):
            msg = f"{path} is not {_KIND}: expected folders, got {str(entry)[:60]}"
            raise DatasetError(msg)
        place = _place(path, str(config.get("path") or ""), entry)
        photos += _photos_in_list(place) if place.is_file() else list_photos(place, recursive=True)
    return list(dict.fromkeys(photos))


def _place(path: Path, root: str, entry: str) -> Path:
    """Return the folder or file that an entry of a `data.yaml` means.

    Exporters write relative paths that are right on their own machines only: `path` may be relative
    to a folder of all data sets, and an entry begin with `../` though it is beside the file.
    """
    bases = [path.parent / root, path.parent, path.parent / Path(root).name]
    inner = [entry, entry.removeprefix("../")]
    places = [base / each for base in bases for each in inner]
    for place in places:
        try:
            if place.exists():
                return place
        except (OSError, ValueError):  # an impossible name
            continue
    looked = ", ".join(dict.fromkeys(str(place) for place in places))
    msg = f"{path} has photos at {entry[:80]!r}, which does not exist: looked for {looked[:500]}"
    raise DatasetError(msg)


def _photos_in_list(path: Path) -> list[Path]:
    """Return the photos that a text file lists; relative paths are relative to its folder."""
    lines = [line.strip() for line in read_text(path).splitlines()]
    return [path.parent / line for line in lines if line]


def _label_file(photo: Path) -> Path:
    """Return the label file of a photo: in `labels` instead of `images`, or beside it."""
    parts = photo.parts
    for index in range(len(parts) - 2, -1, -1):
        if parts[index] == _IMAGES:
            swapped = Path(*parts[:index], _LABELS, *parts[index + 1 :]).with_suffix(".txt")
            return swapped if is_file(swapped) else photo.with_suffix(".txt")
    return photo.with_suffix(".txt")


def _names_beside(folder: Path) -> tuple[str, ...]:
    """Return the class names in a `classes.txt` in a folder of labels or above it."""
    for place in (folder, folder.parent, folder.parent.parent):
        if (file := place / "classes.txt").is_file():
            return parse_names(read_text(file))
    return ()


def _check_found(part: Part, photos: Sequence[Path], lines: Sequence[object]) -> None:
    """Check that there are photos, and that some of them have label files."""
    if not photos:
        msg = f"{part.labels} has no photo{f' for {part.split.value}' if part.split else ''}"
        raise DatasetError(msg)
    if all(found is None for found in lines):
        msg = (
            f"{part.labels}: none of the {len(photos)} photos has a label file: expected "
            f"{_label_file(photos[0]).name} in {_LABELS}/ instead of {_IMAGES}/, or beside it"
        )
        raise DatasetError(msg)


def _read_lines(path: Path, form: _Form) -> list[_Line] | None:
    """Return the objects in a label file; None if there is no such file."""
    if not is_file(path):
        return None
    found = []
    for number, text in enumerate(read_text(path).splitlines(), 1):
        if not text.strip():
            continue
        with naming_errors(path, f"a YOLO label file: line {number}"):
            found.append(_line(text.split(), form))
    return found


def _line(words: Sequence[str], form: _Form) -> _Line:
    numbers = finite_numbers([float(word) for word in words])
    class_id, values = int(numbers[0]), numbers[1:]
    limit = len(form.names) or _MAX_CLASSES
    if class_id != numbers[0] or not 0 <= class_id < limit:
        msg = f"expected a class id below {limit}, got {words[0][:20]}"
        raise ValueError(msg)
    with_keypoints = 4 + form.joints * form.dims
    if len(values) == 4 or (form.joints and len(values) == with_keypoints):
        x, y, width, height = values[:4]
        box = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
        return _Line(class_id, box, _with_visibility(values[4:], form.dims))
    if form.joints or len(values) < 6 or len(values) % 2:
        expected = f"4 or {with_keypoints}" if form.joints else "4, or those of a polygon"
        msg = f"expected {expected} coordinates, got {len(values)}"
        raise ValueError(msg)
    return _Line(class_id, None, values)


def _with_visibility(values: Sequence[float], dims: int) -> Sequence[float]:
    """Return x, y and visibility of keypoints; without it, keypoints at (0, 0) are unlabeled."""
    if dims == 3:
        return values
    pairs = zip(values[::2], values[1::2], strict=True)
    return [n for x, y in pairs for n in (x, y, _VISIBLE if x or y else 0.0)]


def _objects(lines: Sequence[_Line], size: tuple[int, int], form: _Form) -> list[LabeledObject]:
    """Return objects in pixels of a photo of this width and height."""
    width, height = size
    rows = []
    for line in lines:
        if line.box is None:
            scaled = [n * (height if i % 2 else width) for i, n in enumerate(line.points)]
            outline = [as_polygon(scaled)]
            rows.append(LabeledObject(box_around(outline), line.class_id, mask=outline))
            continue
        left, top, right, bottom = line.box
        edges = (left * width, top * height, right * width, bottom * height)
        scale = (width, height, 1.0)
        points = [n * scale[i % 3] for i, n in enumerate(line.points)] if form.joints else None
        rows.append(LabeledObject(edges, line.class_id, keypoints=points or None))
    return rows


def _tasks(form: _Form, *, outlined: bool) -> list[Task]:
    """Return the tasks that the labels are for, the most specific one first."""
    if form.joints:
        return [Task.KEYPOINT, Task.DETECTION]
    return [Task.INSTANCE_SEGMENTATION, Task.DETECTION] if outlined else [Task.DETECTION]

"""COCO annotation files: boxes, masks and keypoints. Also Roboflow's exports in this form."""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ..enums import DatasetLayout, DatasetSplitType, Task
from ..errors import DatasetError
from ..labels import plain_name
from ..ops.rle import check_rle
from .files import first_folder, is_file, naming_errors, read_json
from .objects import LabeledObject, as_columns, as_polygon, box_around, finite_numbers
from .part import Part, Parts, parts_by_folder, split_of_name
from .records import LabeledPhoto, LabeledPhotos, Mask, choose_task

__all__ = ["ROBOFLOW_FILE", "find_coco", "find_roboflow", "read_coco"]

ROBOFLOW_FILE = "_annotations.coco.json"
"""Name of the annotation file that Roboflow puts beside the photos."""

_KIND = "a COCO annotation file"
_HEAD = 4096  # characters that tell whether a JSON file has annotations of COCO's kind
_FIELDS = ('"images"', '"annotations"', '"categories"', '"licenses"')
_OUTLINED = (Task.INSTANCE_SEGMENTATION, Task.SEMSEG, Task.MATTE)
"""Tasks that outlines of objects are labels for."""
_OTHER_KINDS = ("captions", "panoptic", "stuff", "image_info")


class _Categories(NamedTuple):
    """The categories of a file, by ascending id.

    Attributes:
        indices: Index of each category by its id.
        names: Their names.
        keypoints: Names of the keypoints.
        skeleton: Pairs of connected keypoints, counted from 1.
    """

    indices: Mapping[int, int]
    names: tuple[str, ...]
    keypoints: tuple[str, ...]
    skeleton: tuple[tuple[int, int], ...]


def read_coco(path: Path, images: Path | None = None, *, task: Task | None = None) -> LabeledPhotos:
    """Read a COCO annotation file.

    The categories become the classes in the order of their ids, which are `class_numbers`. In a
    file of Roboflow, the category 0 without annotations, which is only the super-category of the
    others, is no class. Photos without annotations and crowds are kept.

    Args:
        path: The file.
        images: Folder of the photos; by default the first of those beside the file that has them.
        task: The task; by default, keypoint detection or instance segmentation if there are
            keypoints or masks, and else detection. Labels that it does not need are not read.

    Raises:
        DatasetError: The file is not a COCO annotation file, has no photo or no category, or has no
            labels for the task; or there are no photos beside it.
    """
    document = read_json(path, _KIND)
    with naming_errors(path, _KIND):
        records, annotations = document["images"], document.get("annotations", ())
        categories = _categories(document["categories"], annotations, path)
        if not records or not categories.names:
            msg = f"{path} contains no photo, or no category"
            raise DatasetError(msg)
        objects = _objects(annotations, categories, task)
        folder = images or _folder_of_photos(path, records[0]["file_name"])
        joints = _count_joints(objects, categories)
        outlined = any(each.mask is not None for found in objects.values() for each in found)
        photos = tuple(_photos(records, objects, folder, joints, outlined=outlined))
    names = categories.keypoints or tuple(f"keypoint_{joint}" for joint in range(joints))
    return LabeledPhotos(
        source=path,
        layout=(DatasetLayout.ROBOFLOW_COCO if path.name == ROBOFLOW_FILE else DatasetLayout.COCO),
        task=choose_task(path, task, *_tasks(objects, joints, outlined=outlined)),
        classes=categories.names,
        photos=photos,
        keypoints=names if joints else (),
        skeleton=categories.skeleton if joints else (),
        class_numbers=tuple(categories.indices),
    )


def find_roboflow(root: Path) -> Parts:
    """Return the parts of a data set of Roboflow; empty if the folder is none."""

    def find(folder: Path) -> Part | None:
        labels = folder / ROBOFLOW_FILE
        return Part(labels, folder) if labels.is_file() else None

    return parts_by_folder(root, find)


def find_coco(root: Path, task: Task | None = None) -> Parts:
    """Return the parts of a data set with COCO annotation files; empty if the folder has none.

    They are in the folder, in its folder `annotations`, or in a folder for each part.

    Raises:
        DatasetError: Several files are for the same part.
    """
    files = [*_annotation_files(root, task), *_annotation_files(root / "annotations", task)]
    if not files:
        return parts_by_folder(root, lambda folder: _part(_annotation_files(folder, task)))
    by_split: dict[DatasetSplitType | None, list[Path]] = defaultdict(list)
    for file in files:
        by_split[split_of_name(file.stem)].append(file)
    if len(by_split) > 1:
        by_split.pop(None, None)  # a file of all parts, beside those of each
    parts = {split: _part(found, split) for split, found in by_split.items()}
    return {split: part for split, part in parts.items() if part is not None}


def _part(files: Sequence[Path], split: DatasetSplitType | None = None) -> Part | None:
    """Return the part whose labels are in the only file; None if there is no file."""
    if len(files) > 1:
        names = ", ".join(file.name for file in files[:5])
        msg = (
            f"{files[0].parent} has several annotation files ({names}): pass the path of one of "
            "them, or task="
        )
        raise DatasetError(msg)
    return Part(files[0], split=split) if files else None


def _annotation_files(folder: Path, task: Task | None) -> list[Path]:
    """Return the annotation files in a folder that may have labels for the task."""

    def fits(file: Path) -> bool:
        name = file.name.lower()
        if task is Task.KEYPOINT and name.startswith("instances"):
            return False
        if task not in (None, Task.KEYPOINT) and "keypoints" in name:
            return False
        return name != ROBOFLOW_FILE and not name.startswith(_OTHER_KINDS)

    files = sorted(folder.glob("*.json")) if folder.is_dir() else []
    return [file for file in files if fits(file) and is_file(file) and _is_annotation_file(file)]


def _is_annotation_file(file: Path) -> bool:
    """Return whether a JSON file begins like an annotation file of COCO."""
    try:
        with file.open(encoding="utf-8-sig", errors="replace") as opened:
            head = opened.read(_HEAD)
    except OSError:
        return False
    return head.lstrip().startswith("{") and any(field in head for field in _FIELDS)


def _folder_of_photos(path: Path, name: Any) -> Path:
    """Return the folder beside the annotation file that has the first photo."""
    if not isinstance(name, str):
        msg = f"expected the file name of a photo, got {name!r}"
        raise ValueError(msg)
    tail = path.stem.rpartition("_")[2]  # val2017 of instances_val2017
    folders = [
        place / inner
        for place in (path.parent, path.parent.parent)
        for inner in (".", "images", tail, f"images/{tail}")
    ]
    if (found := first_folder(name, folders)) is None:
        looked = ", ".join(str(folder) for folder in folders)
        msg = (
            f"{path} does not tell where its photos are: the first, {name[:60]!r}, is in none of "
            f"{looked}: pass images="
        )
        raise DatasetError(msg)
    return found


def _categories(records: Sequence[Mapping[str, Any]], annotations: Any, path: Path) -> _Categories:
    for record in records:
        if type(record["id"]) is not int or not isinstance(record["name"], str):
            msg = f"a category needs a number as id, and a name; got {str(record)[:80]}"
            raise ValueError(msg)
    kept = sorted(records, key=lambda record: int(record["id"]))
    if len({record["id"] for record in kept}) < len(kept):
        msg = "two categories have the same id"
        raise ValueError(msg)
    if path.name == ROBOFLOW_FILE and _has_super_category(kept, annotations):
        del kept[0]
    keypoints = {tuple(map(str, record["keypoints"])) for record in kept if record.get("keypoints")}
    if len(keypoints) > 1:
        msg = f"expected the same keypoints for all categories, got {len(keypoints)} lists"
        raise ValueError(msg)
    skeletons = [record["skeleton"] for record in kept if record.get("skeleton")]
    return _Categories(
        {record["id"]: number for number, record in enumerate(kept)},
        tuple(record["name"] for record in kept),
        next(iter(keypoints), ()),
        tuple((int(a), int(b)) for a, b in next(iter(skeletons), ())),
    )


def _has_super_category(categories: Sequence[Mapping[str, Any]], annotations: Any) -> bool:
    """Return whether Roboflow's category 0 is only the super-category of the others."""
    first, *rest = categories or [{}]
    above = {plain_name(str(record.get("supercategory"))) for record in rest}
    if first.get("id") != 0 or above != {plain_name(str(first.get("name")))}:
        return False
    return all(annotation["category_id"] != 0 for annotation in annotations)


def _objects(
    annotations: Any, categories: _Categories, task: Task | None
) -> dict[Any, list[LabeledObject]]:
    """Return the objects of each photo by its id."""
    objects: dict[Any, list[LabeledObject]] = defaultdict(list)
    for number, annotation in enumerate(annotations, 1):
        try:
            objects[annotation["image_id"]].append(_object(annotation, categories.indices, task))
        except (ArithmeticError, KeyError, TypeError, ValueError) as error:
            msg = f"annotation {number}: {type(error).__name__}: {error}"
            raise ValueError(msg) from error
    return objects


def _object(
    annotation: Mapping[str, Any], index: Mapping[int, int], task: Task | None
) -> LabeledObject:
    category = annotation["category_id"]
    if category not in index:
        msg = f"its category {category!r} is not among the categories"
        raise ValueError(msg)
    needs_mask = task in (None, *_OUTLINED) or "bbox" not in annotation
    mask = _mask(annotation.get("segmentation")) if needs_mask else None
    if mask is not None and "bbox" not in annotation:
        box = box_around(mask)
    else:
        left, top, width, height = finite_numbers(annotation["bbox"])
        box = (left, top, left + width, top + height)
    keypoints = annotation.get("keypoints") if task in (None, Task.KEYPOINT) else None
    area = annotation.get("area")
    return LabeledObject(
        box,
        index[category],
        is_crowd=bool(annotation.get("iscrowd", 0)),
        area=None if area is None else finite_numbers([area])[0],
        keypoints=finite_numbers(keypoints) if keypoints else None,
        mask=mask if task in (None, *_OUTLINED) else None,
    )


def _mask(segmentation: Any) -> Mask | None:
    """Return the outline of an object; None if there is none."""
    if isinstance(segmentation, dict):
        return check_rle(segmentation)
    return [as_polygon(finite_numbers(points)) for points in segmentation or ()] or None


def _count_joints(objects: Mapping[Any, list[LabeledObject]], categories: _Categories) -> int:
    """Return the number of keypoints of each object; 0 if no object has keypoints."""
    counts = {len(each.keypoints) for found in objects.values() for each in found if each.keypoints}
    if not counts:
        return 0
    joints = len(categories.keypoints) or max(counts) // 3
    if counts != {3 * joints}:
        msg = f"expected x, y and visibility of {joints} keypoints, got {sorted(counts)} numbers"
        raise ValueError(msg)
    return joints


def _photos(
    records: Sequence[Mapping[str, Any]],
    objects: Mapping[Any, list[LabeledObject]],
    folder: Path,
    joints: int,
    *,
    outlined: bool,
) -> Iterator[LabeledPhoto]:
    """Yield the photos with their labels; warn of labels of other photos."""
    ids = {record["id"]: position for position, record in enumerate(records)}
    if len(ids) < len(records):
        msg = "two photos have the same id"
        raise ValueError(msg)
    if others := sum(len(found) for key, found in objects.items() if key not in ids):
        msg = f"{others} annotations are of photos that the file does not list, and are left out"
        warnings.warn(msg, stacklevel=4)
    are_numbers = all(type(key) is int for key in ids)
    for key, position in ids.items():
        record = records[position]
        if not isinstance(record["file_name"], str):
            msg = f"expected the file name of a photo, got {record['file_name']!r}"
            raise ValueError(msg)
        width, height = record.get("width"), record.get("height")
        yield LabeledPhoto(
            path=folder / record["file_name"],
            image_id=key if are_numbers else position,
            size=(int(width), int(height)) if width and height else None,
            objects=as_columns(objects.get(key, []), joints=joints, outlined=outlined),
        )


def _tasks(objects: Mapping[Any, Any], joints: int, *, outlined: bool) -> list[Task]:
    """Return the tasks that the labels are for, the most specific one first."""
    if not objects:
        return [Task.DETECTION, *_OUTLINED, Task.KEYPOINT]
    keypoints = [Task.KEYPOINT] if joints else []
    masks = _OUTLINED if outlined else ()
    return [*keypoints, *masks, Task.DETECTION]

"""Pascal VOC: an XML file of boxes for each photo."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple
from xml.etree.ElementTree import Element

from ..enums import DatasetLayout, DatasetSplitType, Task
from ..errors import DatasetError
from .files import in_parallel, list_photos, naming_errors, read_text, read_xml
from .objects import LabeledObject, as_columns, finite_numbers
from .part import Part, Parts, parts_by_folder, split_of_name
from .records import LabeledPhoto, LabeledPhotos, choose_task

__all__ = ["find_voc", "read_voc"]

_KIND = "a Pascal VOC annotation file"
_ANNOTATIONS, _PHOTOS, _LISTS = "Annotations", "JPEGImages", "ImageSets/Main"


class _Box(NamedTuple):
    """A labeled object: its class, its box, and whether it is marked as difficult."""

    name: str
    edges: tuple[float, float, float, float]
    is_difficult: bool


class _Annotation(NamedTuple):
    """Contents of an annotation file: name and size of the photo, if known, and its objects."""

    photo: str
    size: tuple[int, int] | None
    boxes: Sequence[_Box]


def read_voc(part: Part, *, task: Task | None = None) -> LabeledPhotos:
    """Read Pascal VOC annotations.

    In the files, the edges of a box are the numbers of its first and last pixels, counted from 1.
    The classes are the sorted names in all files, also of other parts. A photo without a file has
    no objects. Difficult objects become crowds, which do not count in mAP.

    Args:
        part: The folder of the annotation files; the folder of the photos, by default the same; and
            which of the lists in `ImageSets/Main` to read.
        task: None, or detection.

    Raises:
        DatasetError: A file cannot be read, or there is no photo; or the task is another one.
    """
    paths = sorted(part.labels.glob("*.xml"))
    others = [path for peer in part.peers if peer != part.labels for path in peer.glob("*.xml")]
    every = [*paths, *sorted(others)]
    annotations = dict(zip(every, in_parallel(_read, every, "Annotations"), strict=True))
    names = sorted({box.name for found in annotations.values() for box in found.boxes})
    folder = part.images or part.labels
    photos = _by_stem(list_photos(folder))
    for path in paths:
        photos.setdefault(path.stem, folder / (annotations[path].photo or f"{path.stem}.jpg"))
    listed = _listed(part)
    stems = sorted(photos) if listed is None else listed
    if not paths or not stems:
        msg = f"{part.labels} contains no annotation files, or no photo"
        raise DatasetError(msg)
    for stem in stems:
        photos.setdefault(stem, folder / f"{stem}.jpg")
    ids = {name: index for index, name in enumerate(names)}
    return LabeledPhotos(
        source=part.labels,
        layout=DatasetLayout.VOC,
        task=choose_task(part.labels, task, Task.DETECTION),
        classes=tuple(names),
        photos=tuple(
            _photo(photos[stem], position, annotations.get(part.labels / f"{stem}.xml"), ids)
            for position, stem in enumerate(stems)
        ),
    )


def find_voc(root: Path) -> Parts:
    """Return the parts of a data set of Pascal VOC; empty if the folder is none.

    It has the folders `Annotations`, `JPEGImages` and `ImageSets`, or annotation files beside the
    photos.
    """
    labels, images = root / _ANNOTATIONS, root / _PHOTOS
    if not labels.is_dir():
        years = [each for each in root.glob("VOC*") if each.is_dir()] if root.is_dir() else []
        if len(years) == 1:
            return find_voc(years[0])
        return parts_by_folder(root, _beside)
    if not any(labels.glob("*.xml")):
        return {}
    lists = [(split_of_name(file.stem), file) for file in sorted((root / _LISTS).glob("*.txt"))]
    folder = images if images.is_dir() else None
    parts: dict[DatasetSplitType | None, Part] = {
        split: Part(labels, folder, split)
        for split, file in lists
        if split is not None and file.stem == split.value
    }
    return parts or {None: Part(labels, folder)}


def _beside(folder: Path) -> Part | None:
    """Return the part in a folder that has annotation files beside photos, or None."""
    files = sorted(folder.glob("*.xml")) if folder.is_dir() else []
    if not files:
        return None
    stems = {path.stem for path in list_photos(folder)}
    return Part(folder) if any(file.stem in stems for file in files) else None


def _listed(part: Part) -> list[str] | None:
    """Return the names of the photos in the list of a part; None if it has no list."""
    if part.split is None or part.labels.name != _ANNOTATIONS:
        return None
    path = part.labels.parent / _LISTS / f"{part.split.value}.txt"
    return [line.split()[0] for line in read_text(path).splitlines() if line.strip()]


def _by_stem(paths: Sequence[Path]) -> dict[str, Path]:
    """Return photos by the names of their label files.

    Raises:
        DatasetError: Two photos have the same.
    """
    photos: dict[str, Path] = {}
    for path in paths:
        if (other := photos.setdefault(path.stem, path)) != path:
            msg = f"{other} and {path.name} have the same label file, {path.stem}.xml"
            raise DatasetError(msg)
    return photos


def _photo(
    path: Path, position: int, annotation: _Annotation | None, ids: Mapping[str, int]
) -> LabeledPhoto:
    found = annotation or _Annotation("", None, ())
    rows = [LabeledObject(box.edges, ids[box.name], box.is_difficult) for box in found.boxes]
    return LabeledPhoto(path, position, size=found.size, objects=as_columns(rows))


def _read(path: Path) -> _Annotation:
    root = read_xml(path, _KIND)
    with naming_errors(path, _KIND):
        if root.tag != "annotation":
            msg = f"expected <annotation>, got <{root.tag[:40]}>"
            raise ValueError(msg)
        size = root.find("size")
        width, height = (0, 0) if size is None else (_int(size, "width"), _int(size, "height"))
        boxes = [_box(each) for each in root.findall("object")]
        name = Path(root.findtext("filename") or "").name
        return _Annotation(name, (width, height) if min(width, height) > 0 else None, boxes)


def _box(element: Element) -> _Box:
    name = (element.findtext("name") or "").strip()
    box = element.find("bndbox")
    if not name or box is None:
        msg = f"an object has no {'name' if not name else 'bndbox'}"
        raise ValueError(msg)
    texts = [box.findtext(edge) or "" for edge in ("xmin", "ymin", "xmax", "ymax")]
    left, top, right, bottom = finite_numbers([float(text) for text in texts])
    is_difficult = (element.findtext("difficult") or "0").strip() == "1"
    return _Box(name, (left - 1, top - 1, right, bottom), is_difficult)


def _int(element: Element, name: str) -> int:
    return int(float(element.findtext(name) or "0"))

"""Labels as maps: the class of each pixel, from pictures of class numbers or outlines of objects.

Outlines are filled by pycocotools, as COCO does. The rules for semantic segmentation are those of
torchvision's reference script: what no outline of a known class covers is background, and what two
objects cover is ignored. Groups of objects (crowds) are ignored, too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .._lazy import require
from ..errors import DatasetError, ImageError
from ..images.size import read_size
from ..labels import BACKGROUNDS
from ..ops.masks import ClassMap
from ..ops.rle import decode_rle
from .files import list_photos
from .masks import load_mask
from .records import LabeledPhoto, LabeledPhotos, Mask

__all__ = ["class_map_of", "covered", "filled", "list_mattes", "read_matte"]


def class_map_of(
    labels: LabeledPhotos,
    photo: LabeledPhoto,
    ids: Mapping[int, int],
    names: Sequence[str],
    shape: tuple[int, int],
) -> ClassMap:
    """Return the labels of a photo as a map of a model's class ids.

    Args:
        labels: The data set.
        photo: A photo of it.
        ids: The model's class id of each class of the data set that it has.
        names: The model's classes.
        shape: Height and width of the photo.

    Returns:
        (h, w) uint8, or uint16 for more than 255 classes; the largest value is to be ignored.

    Raises:
        DatasetError: The photo has no such labels, or the picture of its labels has another size.
        ImageError: The picture cannot be read.
        ExtraRequired: The labels are polygons, and pycocotools is not installed.
    """
    dtype = np.uint8 if len(names) <= 255 else np.uint16
    ignored = int(np.iinfo(dtype).max)
    if photo.objects is not None:
        return _painted(labels, photo, ids, names, shape, ignored).astype(dtype)
    mask = load_mask(labels, photo).mask
    if not isinstance(mask, np.ndarray) or mask.shape != shape:
        got = "no labels" if mask is None else f"labels of {getattr(mask, 'shape', mask)}"
        msg = f"{photo.path} has {got}, expected labels of its (height, width) {shape}"
        raise DatasetError(msg)
    values = np.full(256, ignored, dtype)
    values[list(ids)] = list(ids.values())
    classes: ClassMap = values[mask]
    return classes


def _painted(
    labels: LabeledPhotos,
    photo: LabeledPhoto,
    ids: Mapping[int, int],
    names: Sequence[str],
    shape: tuple[int, int],
    ignored: int,
) -> npt.NDArray[np.int64]:
    objects = photo.objects
    background = next((i for i, name in enumerate(names) if name in BACKGROUNDS), ignored)
    painted = np.full(shape, background, np.int64)
    count = np.zeros(shape, np.uint8)
    crowd = np.zeros(shape, np.bool_)
    for index, class_id in enumerate(objects.class_ids.tolist() if objects else ()):
        if objects is None or class_id not in ids:
            continue
        mask = filled(_outline(labels, photo, index), shape)
        if objects.is_crowd[index]:
            crowd |= mask
        else:
            painted[mask] = ids[class_id]
            count += mask & (count < 2)
    painted[(count > 1) | crowd] = ignored
    return painted


def covered(
    labels: LabeledPhotos,
    photo: LabeledPhoto,
    classes: frozenset[int] | None,
    shape: tuple[int, int],
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Return what the objects of a photo cover, and what groups of objects cover, (h, w) bool.

    Args:
        labels: The data set.
        photo: A photo of it.
        classes: Indices of the classes that count; None for all.
        shape: Height and width of the photo.

    Raises:
        DatasetError: The photo has no outlines of objects.
        ExtraRequired: pycocotools is not installed.
    """
    single, crowd = np.zeros(shape, np.bool_), np.zeros(shape, np.bool_)
    if photo.objects is None:
        msg = f"{photo.path} has no labeled objects"
        raise DatasetError(msg)
    for index, class_id in enumerate(photo.objects.class_ids.tolist()):
        if classes is None or class_id in classes:
            mask = filled(_outline(labels, photo, index), shape)
            part = crowd if photo.objects.is_crowd[index] else single
            part |= mask
    return single, crowd & ~single


def _outline(labels: LabeledPhotos, photo: LabeledPhoto, index: int) -> Mask:
    masks = None if photo.objects is None else photo.objects.masks
    if masks is None:
        msg = f"{labels.source} has no outlines of objects: expected polygons or run lengths"
        raise DatasetError(msg)
    return masks[index]


def filled(outline: Mask, shape: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """Return the pixels of an outline, (h, w) bool.

    Args:
        outline: Polygons, or a mask in COCO's run-length encoding.
        shape: Height and width of the photo.

    Raises:
        DatasetError: The outline is of a photo of another size.
        ExtraRequired: pycocotools is not installed.
    """
    height, width = shape
    if isinstance(outline, Mapping):
        encoded: Any = outline
        if tuple(outline["size"]) != shape:
            msg = f"a mask has the size {outline['size']}, expected that of the photo, {shape}"
            raise DatasetError(msg)
    else:
        coco = require("pycocotools.mask", "filling polygons needs pycocotools", extra="evaluation")
        flat = [polygon.ravel().astype(float).tolist() for polygon in outline if len(polygon) > 2]
        if not flat:
            return np.zeros(shape, np.bool_)
        encoded = coco.merge(coco.frPyObjects(flat, height, width))
    return decode_rle(encoded)


def list_mattes(folder: Path, images: Path) -> list[tuple[Path, Path]]:
    """Return photos with their mattes: PNG files with the names of the photos.

    Args:
        folder: Folder of the mattes.
        images: Folder of the photos.

    Returns:
        Pairs of a photo and its matte; empty if the folder has no PNG files.

    Raises:
        DatasetError: A matte has no photo.
    """
    mattes = sorted(folder.glob("*.png"))
    photos = {path.stem: path for path in list_photos(images)} if mattes else {}
    if lost := [matte.name for matte in mattes if matte.stem not in photos]:
        msg = f"{images} has no photo for {len(lost)} mattes in {folder}: {', '.join(lost[:5])}"
        raise DatasetError(msg)
    return [(photos[matte.stem], matte) for matte in mattes]


def read_matte(path: Path, shape: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """Return the matte in a PNG file, (h, w) uint8; of a picture with alpha, its alpha.

    Args:
        path: The file.
        shape: Height and width of the photo.

    Raises:
        DatasetError: The picture has another size than the photo.
        ImageError: The file cannot be read.
    """
    from PIL import Image

    read_size(path)  # or an error that says what is wrong
    try:
        with Image.open(path, formats=("PNG",)) as image:
            size = image.height, image.width
            if size == shape:
                gray = image.getchannel("A") if "A" in image.getbands() else image.convert("L")
                return np.asarray(gray)
    except (OSError, SyntaxError, ValueError) as error:
        msg = f"matte {str(path)!r} cannot be read: {error}"
        raise ImageError(msg) from error
    msg = f"{path} has the (height, width) {size}, expected that of the photo, {shape}"
    raise DatasetError(msg)

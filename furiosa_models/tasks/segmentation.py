"""Semantic segmentation: the class of each pixel."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, overload

import numpy as np
import numpy.typing as npt

from .._lazy import require
from ..data.classes import match_classes
from ..data.label_maps import class_map_of
from ..enums import ModelTaskType, Task
from ..labels import BACKGROUNDS, coco_ids
from ..ops.masks import ClassMap, box_of_mask, no_class, outlines
from ..ops.rle import compress_rle
from .base import Photo, Result, Truth, VisionTask, write_picture

if TYPE_CHECKING:
    from PIL.Image import Image as PILImage

    from ..data.records import LabeledPhotos

__all__ = ["SEMANTIC", "ClassRegion", "ConfusionMatrix", "SemanticMap", "SemanticTask"]

_OPACITY = 0.5
_MOST_COLORS = 256
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class ClassRegion:
    """All pixels of one class.

    Attributes:
        label: Name of the class.
        index: Class id.
        area: Number of its pixels.
        fraction: Its share of the photo, between 0 and 1.
        box: Left, top, right and bottom in pixels of the photo, the last two exclusive.
    """

    label: str
    index: int
    area: int
    fraction: float
    box: tuple[int, int, int, int]


class SemanticMap(Result, Sequence[ClassRegion]):
    """The class of each pixel of one photo.

    Iterating and indexing yield a `ClassRegion` for each class in the photo except the background,
    the largest first.

    Attributes:
        class_map: (h, w) class ids, of the photo's size: uint8, or uint16 for more than 255
            classes. The largest value of the type, 255 or 65535, is no class: the pixel lies beyond
            the part of the photo that the network sees, or was filtered out.
        names: Table of labels by class id.
        image: The photo, if known (`predict` sets it).
        image_size: Its width and height in pixels, if known.
        speed: Time of each stage of the prediction, if known.
    """

    is_table: ClassVar[bool] = False

    __slots__ = ("_regions", "class_map", "image", "image_size", "names", "speed")

    def __init__(
        self, class_map: ClassMap, names: Sequence[str], image: Photo | None = None
    ) -> None:
        self.class_map = class_map
        self.names = names
        self.image = image
        self.image_size = None
        self.speed = None
        self._regions: tuple[ClassRegion, ...] | None = None

    @property
    def no_class(self) -> int:
        """Value of pixels without a class: 255, or 65535 if the map is uint16."""
        return no_class(self.class_map)

    @property
    def regions(self) -> tuple[ClassRegion, ...]:
        """The classes in the photo except the background, the largest first."""
        if self._regions is None:
            self._regions = tuple(self._found())
        return self._regions

    @property
    def labels(self) -> list[str]:
        """Names of the classes in the photo except the background, the largest first."""
        return [region.label for region in self.regions]

    @property
    def areas(self) -> dict[str, int]:
        """Number of pixels of each class in the photo, the background among them, by its name."""
        counts = self._counts()
        return {self._name(i): int(counts[i]) for i in np.flatnonzero(counts).tolist()}

    @property
    def palette(self) -> npt.NDArray[np.uint8]:
        """Colors of the classes in `plot`, (classes, 3) uint8 RGB."""
        from .draw import class_color

        colors = [class_color(i) for i in range(len(self.names))]
        return np.array(colors, np.uint8).reshape(-1, 3)

    def __len__(self) -> int:
        return len(self.regions)

    @overload
    def __getitem__(self, index: int) -> ClassRegion: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[ClassRegion]: ...
    def __getitem__(self, index: int | slice) -> ClassRegion | Sequence[ClassRegion]:
        return self.regions[index]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SemanticMap):
            return NotImplemented
        is_same = tuple(self.names) == tuple(other.names)
        return is_same and np.array_equal(self.class_map, other.class_map)

    __hash__ = None  # type: ignore[assignment]  # holds an array

    def __repr__(self) -> str:
        shown = ", ".join(f"{each.label} {each.fraction:.0%}" for each in self.regions[:5])
        rest = f", ... {len(self) - 5} more" if len(self) > 5 else ""
        what = "class" if len(self) == 1 else "classes"
        return f"<{len(self)} {what}: {shown}{rest}>" if len(self) else "<only background>"

    def mask(self, label: str | int) -> npt.NDArray[np.bool_]:
        """Return where a class is, (h, w) bool.

        Args:
            label: Name of the class, or its class id.

        Raises:
            KeyError: There is no such class.
        """
        mask: npt.NDArray[np.bool_] = self.class_map == self._id(label)
        return mask

    def polygons(self, label: str | int) -> list[npt.NDArray[np.float32]]:
        """Return the outlines of a class, (m, 2) float32 each; see `ops.masks.outlines`.

        Args:
            label: Name of the class, or its class id.

        Raises:
            KeyError: There is no such class.
        """
        return outlines(self.mask(label))

    def rle(self, label: str | int) -> dict[str, Any]:
        """Return where a class is in COCO's compressed run-length encoding.

        Args:
            label: Name of the class, or its class id.

        Returns:
            `{"size": [height, width], "counts": ...}`, as from pycocotools' `encode`.

        Raises:
            KeyError: There is no such class.
        """
        return compress_rle(self.mask(label))

    def filter(
        self, *, labels: Collection[str] | None = None, min_fraction: float = 0.0
    ) -> SemanticMap:
        """Return the map with some classes only; the other pixels have no class.

        Args:
            labels: Names of the classes to keep; all by default. The background is not among them
                unless it is named.
            min_fraction: Least share of the photo of a class, between 0 and 1.
        """
        least, counts = min_fraction * self.class_map.size, self._counts()
        ids = np.full(self.no_class + 1, self.no_class, self.class_map.dtype)
        for index in np.flatnonzero(counts).tolist():
            if counts[index] >= least and (labels is None or self._name(index) in labels):
                ids[index] = index
        kept: Any = ids[self.class_map]
        part = SemanticMap(kept, self.names, self.image)
        part.image_size, part.speed = self.image_size, self.speed
        return part

    def plot(self, image: Photo | None = None) -> PILImage:
        """Return the photo with its classes in color; see `Result.plot`."""
        from .draw import Canvas, class_color

        canvas = Canvas.of(self._overlay(self._photo(image)))
        for region in self.regions:
            box = [float(edge) for edge in self._place(region)]
            canvas.label(box, region.label, class_color(region.index))
        return canvas.picture

    def mask_picture(self) -> PILImage:
        """Return the class map as a picture whose values are class ids.

        It has the palette of `plot`, as the masks of Pascal VOC have one; with more than 255
        classes it has 16 bits and no palette.
        """
        from PIL import Image

        picture = Image.fromarray(self.class_map)
        if self.class_map.dtype == np.uint8:
            colors = np.zeros((_MOST_COLORS, 3), np.uint8)
            colors[: len(self.names)] = self.palette[:_MOST_COLORS]
            colors[[i for i, name in enumerate(self.names) if name in BACKGROUNDS]] = 0
            colors[self.no_class] = 255
            picture.putpalette(colors.tobytes())
        return picture

    def save_mask(self, path: str | Path) -> Path:
        """Write `mask_picture` as PNG; return the path.

        Raises:
            FuriosaModelsError: The file cannot be written.
            ValueError: The name does not end in `.png`.
        """
        return write_picture(self.mask_picture(), path)

    def describe(self) -> Iterator[str]:
        """Yield a line of text per class."""
        for region in self.regions:
            box = ", ".join(map(str, region.box))
            yield f"{region.fraction:6.1%}  {region.label}  [{box}]"

    def to_dict(self) -> list[dict[str, Any]]:
        """Return a list of `{"label", "index", "area", "fraction", "box", "mask"}`.

        The mask is in COCO's compressed run-length encoding.
        """
        return [
            {
                "label": region.label,
                "index": region.index,
                "area": region.area,
                "fraction": region.fraction,
                "box": list(region.box),
                "mask": self.rle(region.index),
            }
            for region in self.regions
        ]

    def to_coco(
        self, image_id: int, category_ids: Sequence[int] | None = None
    ) -> list[dict[str, Any]]:
        """Return entries of a COCO results file for segmentation, without scores.

        Args:
            image_id: COCO's id of the photo.
            category_ids: Category id by class id. By default those of COCO if all class names are
                COCO's; otherwise the class ids.
        """
        if category_ids is None:
            category_ids = coco_ids(tuple(self.names))
        entries = []
        for region in self.regions:
            left, top, right, bottom = region.box
            number = region.index if category_ids is None else category_ids[region.index]
            entries.append(
                {
                    "image_id": image_id,
                    "category_id": number,
                    "segmentation": self.rle(region.index),
                    "area": region.area,
                    "bbox": [left, top, right - left, bottom - top],
                }
            )
        return entries

    def to_pandas(self) -> Any:
        """Return a `pandas.DataFrame` with left, top, right, bottom, area, fraction, index, label.

        Raises:
            ExtraRequired: pandas is not installed.
        """
        names = ["left", "top", "right", "bottom", "area", "fraction", "index", "label"]
        rows = [(*r.box, r.area, r.fraction, r.index, r.label) for r in self.regions]
        pandas = require("pandas", "to_pandas() needs pandas")
        return pandas.DataFrame(rows, columns=names)

    def to_supervision(self) -> Any:
        """Return a `supervision.Detections` with a mask per class.

        Raises:
            ExtraRequired: supervision is not installed.
        """
        height, width = self.class_map.shape
        masks = np.zeros((len(self), height, width), np.bool_)
        for mask, region in zip(masks, self.regions, strict=True):
            mask[:] = self.class_map == region.index
        return require("supervision", "to_supervision() needs supervision").Detections(
            xyxy=np.array([r.box for r in self.regions], np.float32).reshape(-1, 4),
            mask=masks,
            class_id=np.array([r.index for r in self.regions], np.int64),
            data={"class_name": np.array(self.labels, dtype=str)},
        )

    def _found(self) -> Iterator[ClassRegion]:
        counts = self._counts()
        for index in np.argsort(-counts, kind="stable").tolist():
            area, label = int(counts[index]), self._name(index)
            if area and label not in BACKGROUNDS:
                box = box_of_mask(self.class_map == index)
                yield ClassRegion(label, index, area, area / self.class_map.size, box)

    def _counts(self) -> npt.NDArray[np.intp]:
        """Return the number of pixels of each class id."""
        counts = np.zeros(self.no_class + 1, np.intp)
        flat = self.class_map.ravel()
        for first in range(0, flat.size, _CHUNK):  # numpy counts a copy with 64 bits per pixel
            counts += np.bincount(flat[first : first + _CHUNK], minlength=len(counts))
        classes: npt.NDArray[np.intp] = counts[:-1]
        return classes

    def _overlay(self, photo: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Return the photo with the colors of classes over it, and their edges."""
        from ..errors import ImageError
        from .draw import class_color

        if photo.shape[:2] != self.class_map.shape:
            msg = (
                f"expected a photo of (height, width) {self.class_map.shape}, as the class map, "
                f"got {photo.shape[:2]}"
            )
            raise ImageError(msg)
        drawn: npt.NDArray[np.uint8] = photo.copy()
        thickness = max(1, min(photo.shape[:2]) // 400)
        edge = np.zeros(self.class_map.shape, np.bool_)
        for step in range(1, thickness + 1):
            edge[step:] |= self.class_map[step:] != self.class_map[:-step]
            edge[:, step:] |= self.class_map[:, step:] != self.class_map[:, :-step]
        for region in self.regions:
            mask = self.class_map == region.index
            color = np.array(class_color(region.index), np.uint8)
            drawn[mask] = drawn[mask] * (1 - _OPACITY) + color * _OPACITY
            drawn[mask & edge] = color
        return drawn

    def _place(self, region: ClassRegion) -> tuple[int, int, int, int]:
        """Return a place for the label of a class: a pixel of it, in the middle of its rows."""
        left, top, right, bottom = region.box
        mask = self.class_map[top:bottom, left:right] == region.index
        rows = mask.sum(1).cumsum()
        y = int(np.searchsorted(rows, rows[-1] / 2))
        columns = np.flatnonzero(mask[y])
        x = left + int(columns[len(columns) // 2])
        return x, top + y, x + 1, top + y + 1

    def _id(self, label: str | int) -> int:
        """Return the id of a class."""
        if isinstance(label, str):
            if label in self.names:
                return [*self.names].index(label)
        elif 0 <= label < self.no_class:
            return label
        msg = f"there is no class {label!r}; the classes are {', '.join(self.names)}"
        raise KeyError(msg)

    def _name(self, index: int) -> str:
        return self.names[index] if index < len(self.names) else f"class_{index}"


class ConfusionMatrix:
    """Pixels by their labeled and their predicted class.

    Args:
        classes: Number of classes.

    Attributes:
        counts: (classes, classes + 1) int64: labeled class, and predicted class or none.
    """

    def __init__(self, classes: int) -> None:
        self.counts = np.zeros((classes, classes + 1), np.int64)

    def add(self, labeled: ClassMap, predicted: ClassMap) -> None:
        """Add the pixels of a photo; those without a labeled class are ignored.

        Args:
            labeled: (h, w) class ids; ids of no class are ignored.
            predicted: (h, w) class ids; ids of no class count as wrong.
        """
        classes = len(self.counts)
        known = labeled < classes
        truth = labeled[known].astype(np.int64)
        found = np.minimum(predicted[known], classes).astype(np.int64)
        flat = np.bincount(truth * (classes + 1) + found, minlength=self.counts.size)
        self.counts += flat.reshape(self.counts.shape)

    @property
    def iou(self) -> npt.NDArray[np.float64]:
        """Intersection over union of each class; NaN for a class that no pixel has."""
        correct = np.diagonal(self.counts)
        union = self.counts.sum(1) + self.counts.sum(0)[:-1] - correct
        iou: npt.NDArray[np.float64] = np.full(len(union), np.nan)
        np.divide(correct, union, out=iou, where=union > 0)
        return iou

    @property
    def accuracy(self) -> float:
        """Share of the pixels with a labeled class that have the right class; NaN for none."""
        total = int(self.counts.sum())
        return float(np.diagonal(self.counts).sum()) / total if total else float("nan")


class SemanticTask(VisionTask[SemanticMap]):
    """Semantic segmentation; measured by the mean intersection over union of the classes."""

    name = "semantic_segmentation"
    task = Task.SEMSEG
    task_type = ModelTaskType.SEMANTIC_SEGMENTATION
    has_masks = True

    def read_truth(self, labels: Path, images: Path) -> Truth:
        """Read pictures of class numbers, or outlines, in any layout of `data.read_dataset`."""
        return self._read_dataset(labels, images)

    def measure(self, truth: Truth, results: Iterable[SemanticMap]) -> dict[str, float]:
        """Return mIoU, pixel accuracy, and the IoU of each class that the labels have.

        The mean is over the classes that a pixel has in the labels or in the results, of those that
        both the model and the labels know. Pixels labeled 255 are ignored. Labels that are outlines
        of objects make the other pixels background, and are ignored where they overlap; see
        `data.label_maps`.
        """
        labels: LabeledPhotos = truth.labels
        matrix: ConfusionMatrix | None = None
        names: Sequence[str] = ()
        ids: Mapping[int, int] = {}
        for photo, result in zip(labels, results, strict=True):
            if matrix is None:
                names = result.names
                found = match_classes(labels, names)
                ids = {found[name]: i for i, name in enumerate(names) if name in found}
                matrix = ConfusionMatrix(len(names))
            height, width = result.class_map.shape
            labeled = class_map_of(labels, photo, ids, names, (height, width))
            matrix.add(labeled, result.class_map)
        if matrix is None:
            return {}
        iou, has_truth = matrix.iou, matrix.counts.sum(1) > 0
        known = {*ids.values()} | {i for i, name in enumerate(names) if name in BACKGROUNDS}
        counted = [i for i in sorted(known) if not np.isnan(iou[i])]
        figures = {"mIoU": float(iou[counted].mean()) if counted else float("nan")}
        figures["pixel accuracy"] = matrix.accuracy
        return figures | {f"IoU {names[i]}": float(iou[i]) for i in counted if has_truth[i]}


SEMANTIC = SemanticTask()

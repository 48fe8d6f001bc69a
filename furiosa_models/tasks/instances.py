"""Instance segmentation: objects with their masks."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, overload

import numpy as np
import numpy.typing as npt

from .._lazy import require
from ..enums import ModelTaskType, Task
from ..errors import ImageError
from ..labels import coco_ids
from ..ops.masks import outlines
from ..ops.packed_masks import Bits, areas_of, boxes_of, pack, unpack
from ..ops.rle import compress_rle
from . import coco
from .base import THRESHOLD_ALIASES, ArrayResult, Photo, Truth, VisionTask, write_picture
from .detection import LtrbBoundingBox

if TYPE_CHECKING:
    from PIL.Image import Image as PILImage

__all__ = ["INSTANCES", "Instance", "InstanceTask", "Instances"]

_OPACITY = 0.5
_MOST_IDS = 255


@dataclass(frozen=True, slots=True)
class Instance:
    """One object; `Instances.mask` returns its mask.

    Attributes:
        boundingbox: Box of its mask in pixels of the photo; right and bottom are exclusive.
        score: Confidence, between 0 and 1.
        label: Name of its class.
        index: Class id, an index into the table of labels.
        area: Number of pixels of its mask.
        track_id: Id of its track; -1 for none.
    """

    boundingbox: LtrbBoundingBox
    score: float
    label: str
    index: int
    area: int
    track_id: int = -1


class Instances(ArrayResult[Instance]):
    """The objects found in one photo with their masks, best first.

    Iterating and indexing yield `Instance`; the same data is available as arrays. Masks of several
    objects may overlap.

    Attributes:
        boxes: (n, 4) float32: boxes of the masks; left, top, right, bottom in pixels of the photo,
            the last two exclusive.
        scores: (n,) float32, between 0 and 1, descending.
        class_ids: (n,) int64.
        bits: (n, h, ceil(w / 8)) uint8: the masks, one bit per pixel, as from `numpy.packbits`.
        width: Width of the masks in pixels.
        names: Table of labels by class id.
        image: The photo, if known (`predict` sets it).
        image_size: Its width and height in pixels, if known.
        speed: Time of each stage of the prediction, if known.
        track_ids: (n,) int64; -1 for an object without track.
    """

    is_table: ClassVar[bool] = False

    __slots__ = (
        "_tracks", "bits", "boxes", "class_ids", "image", "image_size", "names", "scores", "speed",
        "width",
    )  # fmt: skip

    def __init__(
        self,
        bits: Bits,
        width: int,
        scores: npt.NDArray[np.float32],
        class_ids: npt.NDArray[np.int64],
        names: Sequence[str],
        image: Photo | None = None,
        *,
        boxes: npt.NDArray[np.float32] | None = None,
    ) -> None:
        self.bits = bits
        self.width = width
        self.scores = scores
        self.class_ids = class_ids
        self.names = names
        self.image = image
        self.image_size = None
        self.speed = None
        self._tracks = None
        self.boxes = boxes_of(bits, width).astype(np.float32) if boxes is None else boxes

    @classmethod
    def of_masks(
        cls,
        masks: npt.NDArray[np.bool_],
        scores: npt.NDArray[np.float32],
        class_ids: npt.NDArray[np.int64],
        names: Sequence[str],
    ) -> Instances:
        """Return objects with masks (n, h, w) bool, best first."""
        return cls(pack(masks), masks.shape[-1], scores, class_ids, names)

    @property
    def labels(self) -> list[str]:
        """Name of each object's class."""
        return [self._name(class_id) for class_id in self.class_ids.tolist()]

    @property
    def masks(self) -> npt.NDArray[np.bool_]:
        """All masks, (n, h, w) bool: eight times the memory of `bits`."""
        return unpack(self.bits, self.width)

    @property
    def areas(self) -> npt.NDArray[np.int64]:
        """Number of pixels of each mask, (n,) int64."""
        return areas_of(self.bits)

    def mask(self, index: int) -> npt.NDArray[np.bool_]:
        """Return the mask of an object, (h, w) bool."""
        return unpack(self.bits[index], self.width)

    def polygons(self, index: int) -> list[npt.NDArray[np.float32]]:
        """Return the outlines of an object, (m, 2) float32 each; see `ops.masks.outlines`."""
        return outlines(self.mask(index))

    def rle(self, index: int) -> dict[str, Any]:
        """Return the mask of an object in COCO's compressed run-length encoding.

        Returns:
            `{"size": [height, width], "counts": ...}`, as from pycocotools' `encode`.
        """
        return compress_rle(self.mask(index))

    @overload
    def __getitem__(self, index: int) -> Instance: ...
    @overload
    def __getitem__(self, index: slice | npt.NDArray[Any]) -> Instances: ...
    def __getitem__(self, index: int | slice | npt.NDArray[Any]) -> Instance | Instances:
        if isinstance(index, (slice, np.ndarray)):
            part = Instances(
                *(self.bits[index], self.width, self.scores[index], self.class_ids[index]),
                self.names,
                self.image,
                boxes=self.boxes[index],
            )
            own: Instances = self._copy_facts(part, index)
            return own
        class_id = int(self.class_ids[index])
        return Instance(
            LtrbBoundingBox(*self.boxes[index].tolist()),
            float(self.scores[index]),
            self._name(class_id),
            class_id,
            int(areas_of(self.bits[index][None])[0]),
            int(self.track_ids[index]),
        )

    def __iter__(self) -> Iterator[Instance]:
        return (self[index] for index in range(len(self)))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Instances):
            return NotImplemented
        columns = ("bits", "scores", "class_ids")
        is_same = (self.width, *self.names) == (other.width, *other.names)
        return is_same and all(
            np.array_equal(getattr(self, name), getattr(other, name)) for name in columns
        )

    __hash__ = None  # holds arrays

    def __repr__(self) -> str:
        shown = ", ".join(f"{item.label} {item.score:.2f}" for item in self[:5])
        rest = f", ... {len(self) - 5} more" if len(self) > 5 else ""
        return f"<{len(self)} instances: {shown}{rest}>" if len(self) else "<no instances>"

    def filter(
        self,
        *,
        labels: Collection[str] | None = None,
        min_score: float = 0.0,
        min_area: int = 0,
    ) -> Instances:
        """Return the objects of some classes, or above a score or a size.

        Args:
            labels: Names of the classes to keep; all by default.
            min_score: Minimum score.
            min_area: Minimum number of pixels of a mask.
        """
        kept = self.scores >= np.float32(min_score)
        if min_area:
            kept &= self.areas >= min_area
        if labels is not None:
            kept &= np.array([label in labels for label in self.labels], bool)
        part: Instances = self[kept]
        return part

    def plot(self, image: Photo | None = None) -> PILImage:
        """Return the photo with its objects in color; see `Result.plot`.

        The color shows the track of a tracked object, else its class.
        """
        from .draw import Canvas

        canvas = Canvas.of(self._overlay(self._photo(image)))
        for index, item in enumerate(self):  # the best label is placed first
            track = f" #{item.track_id}" if item.track_id >= 0 else ""
            end = f"{track} {item.score:.2f}"
            canvas.label(list(item.boundingbox), item.label, self._color(index), end=end)
        return canvas.picture

    def mask_picture(self) -> PILImage:
        """Return a picture whose values are 0, or 1 for the best object, 2 for the next and so on.

        Of objects that overlap, the best has the pixel. With more than 255 objects, the picture has
        16 bits.
        """
        from PIL import Image

        dtype = np.uint8 if len(self) <= _MOST_IDS else np.uint16
        picture = np.zeros((self.bits.shape[1], self.width), dtype)
        for index in reversed(range(len(self))):
            picture[self.mask(index)] = index + 1
        return Image.fromarray(picture)

    def save_mask(self, path: str | Path) -> Path:
        """Write `mask_picture` as PNG; return the path.

        Raises:
            FuriosaModelsError: The file cannot be written.
            ValueError: The name does not end in `.png`.
        """
        return write_picture(self.mask_picture(), path)

    def to_dict(self) -> list[dict[str, Any]]:
        """Return a list of `{"label", "index", "score", "box", "area", "mask"}`.

        The mask is in COCO's compressed run-length encoding. Tracked objects have a `"track_id"`,
        too.
        """
        return [
            {
                "label": item.label,
                "index": item.index,
                "score": item.score,
                "box": [int(edge) for edge in item.boundingbox],
                "area": item.area,
                "mask": self.rle(index),
                **self._track_fields(index),
            }
            for index, item in enumerate(self)
        ]

    def to_coco(
        self, image_id: int, category_ids: Sequence[int] | None = None
    ) -> list[dict[str, Any]]:
        """Return entries of a COCO results file for segmentation.

        Args:
            image_id: COCO's id of the photo.
            category_ids: Category id by class id. By default those of COCO if all class names are
                COCO's; otherwise the class ids.
        """
        if category_ids is None:
            category_ids = coco_ids(tuple(self.names))
        entries = []
        for index, row in enumerate(self.to_dict()):
            left, top, right, bottom = row["box"]
            number = row["index"] if category_ids is None else category_ids[row["index"]]
            entries.append(
                {
                    "image_id": image_id,
                    "category_id": number,
                    "segmentation": row["mask"],
                    "area": row["area"],
                    "bbox": [left, top, right - left, bottom - top],
                    "score": row["score"],
                    **self._track_fields(index),
                }
            )
        return entries

    def to_pandas(self) -> Any:
        """Return a `pandas.DataFrame` with left, top, right, bottom, score, index, label, area.

        Tracked objects have a column track_id, too.

        Raises:
            ExtraRequired: pandas is not installed.
        """
        pandas = require("pandas", "to_pandas() needs pandas")
        frame = pandas.DataFrame(self.boxes, columns=["left", "top", "right", "bottom"])
        frame = frame.assign(
            score=self.scores, index=self.class_ids, label=self.labels, area=self.areas
        )
        return frame.assign(track_id=self.track_ids) if self.is_tracked else frame

    def to_supervision(self) -> Any:
        """Return a `supervision.Detections` with masks, and track ids as its `tracker_id`.

        Raises:
            ExtraRequired: supervision is not installed.
        """
        return require("supervision", "to_supervision() needs supervision").Detections(
            xyxy=self.boxes,
            mask=self.masks,
            confidence=self.scores,
            class_id=self.class_ids,
            tracker_id=self.track_ids if self.is_tracked else None,
            data={"class_name": np.asarray(self.labels, dtype=str)},
        )

    def _overlay(self, photo: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Return the photo with the colors of the objects over it, and their edges."""
        shape = (self.bits.shape[1], self.width)
        if photo.shape[:2] != shape:
            msg = (
                f"expected a photo of (height, width) {shape}, as the masks, got {photo.shape[:2]}"
            )
            raise ImageError(msg)
        drawn: npt.NDArray[np.uint8] = photo.copy()
        thickness = max(1, min(shape) // 400)
        for index in reversed(range(len(self))):  # the best on top
            left, top, right, bottom = (int(edge) for edge in self.boxes[index])
            mask = self.mask(index)[top:bottom, left:right]
            part = drawn[top:bottom, left:right]
            color = np.array(self._color(index), np.uint8)
            part[mask] = part[mask] * (1 - _OPACITY) + color * _OPACITY
            part[mask & ~_inner(mask, thickness)] = color
        return drawn

    def _color(self, index: int) -> tuple[int, int, int]:
        """Return the color of an object: of its track, or else of its class."""
        from .draw import class_color

        track = int(self.track_ids[index])
        return class_color(int(self.class_ids[index]) if track < 0 else track)

    def _name(self, class_id: int) -> str:
        return self.names[class_id] if 0 <= class_id < len(self.names) else f"class_{class_id}"


def _inner(mask: npt.NDArray[np.bool_], thickness: int) -> npt.NDArray[np.bool_]:
    """Return the pixels of a mask that are farther from its edge than a thickness."""
    found = np.pad(mask, 1)
    for _ in range(thickness):
        shrunk = found.copy()
        shrunk[1:] &= found[:-1]
        shrunk[:-1] &= found[1:]
        shrunk[:, 1:] &= found[:, :-1]
        shrunk[:, :-1] &= found[:, 1:]
        found = shrunk
    return found[1:-1, 1:-1]


class InstanceTask(VisionTask[Instances]):
    """Instance segmentation; measured by COCO mAP of masks."""

    name = "instance_segmentation"
    task = Task.INSTANCE_SEGMENTATION
    task_type = ModelTaskType.INSTANCE_SEGMENTATION
    options = ("score_threshold",)
    aliases = MappingProxyType(
        {name: full for name, full in THRESHOLD_ALIASES.items() if full == "score_threshold"}
    )
    evaluation_options = MappingProxyType({"score_threshold": coco.SCORE_THRESHOLD})
    has_masks = True
    has_boxes = True

    def read_truth(self, labels: Path, images: Path) -> Truth:
        """Read outlines of objects in any layout of `furiosa_models.data.read_dataset`."""
        return self._read_dataset(labels, images)

    def measure(self, truth: Truth, results: Iterable[Instances]) -> dict[str, float]:
        """Return mAP over IoU 0.50:0.95 and mAP at IoU 0.50, both of masks.

        Classes are matched by name. pycocotools computes both values.
        """
        annotations = coco.Annotations.of(truth.labels, masks=True)
        ids: dict[str, int] | None = None
        rows: list[dict[str, Any]] = []
        sizes: dict[int, tuple[int, int]] = {}
        for image_id, found in zip(annotations.images, results, strict=True):
            if ids is None and len(found.names):
                ids = annotations.ids_of(found.names)
            sizes[image_id] = (found.width, found.bits.shape[1])
            best = found[: coco.MAX_DETECTIONS]
            rows += [
                {**row, "category_id": ids[name]}
                for row, name in zip(best.to_coco(image_id), best.labels, strict=True)
                if ids is not None and name in ids
            ]
        return annotations.with_sizes(sizes).average_precision(rows, "segm")


INSTANCES = InstanceTask()

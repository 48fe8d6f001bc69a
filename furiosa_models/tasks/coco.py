"""COCO's mean average precision of boxes, masks and keypoints, for labels of any layout."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from .._lazy import require
from ..data.classes import match_classes
from ..data.records import LabeledPhoto, LabeledPhotos
from ..errors import DatasetError
from ..ops.boxes import box_convert

__all__ = ["MAX_DETECTIONS", "SCORE_THRESHOLD", "Annotations"]

SCORE_THRESHOLD = 0.001
"""Score threshold for measuring mAP; low, since mAP integrates over all scores."""

MAX_DETECTIONS = 100
"""Maximum number of detections per photo that COCO's mAP uses."""

_DECIMALS = 3


@dataclass(frozen=True, slots=True)
class Annotations:
    """Labeled objects in the form of a COCO annotation file.

    Attributes:
        labels: The labeled photos.
        document: Contents of an annotation file with their labels.
        images: File name of each photo by its id.
        sizes: Width and height of each photo by its id, if the labels tell them.
        categories: Id of each category by its name.
    """

    labels: LabeledPhotos
    document: Mapping[str, Any]
    images: Mapping[int, str]
    sizes: Mapping[int, tuple[int, int]]
    categories: Mapping[str, int]

    @classmethod
    def of(cls, labels: LabeledPhotos, *, masks: bool = False) -> Annotations:
        """Return the labels of photos in the form of an annotation file.

        Args:
            labels: The labels.
            masks: Whether to include the outlines of the objects.

        Raises:
            DatasetError: The photos have no labeled objects, or no outlines.
        """
        numbers = labels.class_numbers or range(1, len(labels.classes) + 1)
        categories = dict(zip(labels.classes, numbers, strict=True))
        rows = [row for photo in labels for row in _annotations(labels, photo, numbers, masks)]
        for number, row in enumerate(rows, 1):  # pycocotools ignores an annotation of the id 0
            row["id"] = number
        document = {
            "info": {},
            "images": [{"id": photo.image_id, "file_name": str(photo.path)} for photo in labels],
            "annotations": rows,
            "categories": [
                {"id": number, "name": name}
                for name, number in zip(labels.classes, numbers, strict=True)
            ],
        }
        images = {photo.image_id: str(photo.path) for photo in labels}
        sizes = {photo.image_id: photo.size for photo in labels if photo.size is not None}
        return cls(labels, document, images, sizes, categories)

    def ids_of(self, names: Sequence[str]) -> dict[str, int]:
        """Return the category ids of those model classes that the labels have.

        Case, spaces, dashes and underscores in names are ignored. A warning lists used categories
        without a model class, which cannot be detected.

        Raises:
            DatasetError: No class of the model is among the categories.
        """
        found = match_classes(self.labels, names)
        ids = {name: self.categories[self.labels.classes[index]] for name, index in found.items()}
        used = {annotation["category_id"] for annotation in self.document["annotations"]}
        lost = [name for name, i in self.categories.items() if i in used - set(ids.values())]
        if lost:
            msg = (
                f"{self.labels.source.name}: the model has no class for {', '.join(lost[:10])}"
                f"{', ...' if len(lost) > 10 else ''}, so these cannot be detected"
            )
            warnings.warn(msg, stacklevel=2)
        return ids

    def id_of_person(self, keypoints: int) -> int:
        """Return the id of the category of people.

        Raises:
            DatasetError: There is none, or it does not have this number of keypoints.
        """
        if len(self.labels.keypoints) != keypoints:
            msg = (
                f"{self.labels.source} has {len(self.labels.keypoints)} keypoints, expected the "
                f"{keypoints} of people in COCO"
            )
            raise DatasetError(msg)
        return self.ids_of(["person"])["person"]

    def with_sizes(self, sizes: Mapping[int, tuple[int, int]]) -> Annotations:
        """Return the annotations with the width and height of each photo, which outlines need."""
        images = [
            {**each, "width": sizes[each["id"]][0], "height": sizes[each["id"]][1]}
            for each in self.document["images"]
        ]
        return replace(self, document={**self.document, "images": images}, sizes=sizes)

    def clipped(self, row: dict[str, Any]) -> dict[str, Any]:
        """Return an entry of a results file with its box clipped to the photo."""
        size = self.sizes.get(row["image_id"])
        if size is None:
            return row
        left, top, width, height = row["bbox"]
        x = [min(max(edge, 0.0), float(size[0])) for edge in (left, left + width)]
        y = [min(max(edge, 0.0), float(size[1])) for edge in (top, top + height)]
        return {**row, "bbox": [x[0], y[0], x[1] - x[0], y[1] - y[0]]}

    def average_precision(
        self, rows: Iterable[Mapping[str, Any]], kind: Literal["bbox", "keypoints", "segm"]
    ) -> dict[str, float]:
        """Return mAP over IoU 0.50:0.95 and mAP at IoU 0.50, computed by pycocotools.

        Args:
            rows: Entries of a COCO results file.
            kind: `bbox` matches boxes by IoU, `segm` masks, and `keypoints` matches people by
                object keypoint similarity.

        Raises:
            ExtraRequired: pycocotools is not installed.
        """
        results = list(rows)
        if not results:
            return {"mAP": 0.0, "mAP50": 0.0}
        needed = "mAP needs pycocotools"
        coco = require("pycocotools.coco", needed, extra="evaluation")
        cocoeval = require("pycocotools.cocoeval", needed, extra="evaluation")
        with contextlib.redirect_stdout(io.StringIO()):  # it prints to standard output
            truth = coco.COCO()
            truth.dataset = dict(self.document)
            truth.createIndex()
            evaluation = cocoeval.COCOeval(truth, truth.loadRes(results), kind)
            evaluation.evaluate()
            evaluation.accumulate()
            evaluation.summarize()
        return {"mAP": float(evaluation.stats[0]), "mAP50": float(evaluation.stats[1])}


def _annotations(
    labels: LabeledPhotos, photo: LabeledPhoto, numbers: Sequence[int], masks: bool
) -> Iterator[dict[str, Any]]:
    """Yield the annotations of a photo, without their ids."""
    objects = photo.objects
    if objects is None:
        msg = (
            f"{labels.source} has labels for {labels.task.value}: expected labeled objects, as in "
            "COCO, YOLO or Pascal VOC data sets"
        )
        raise DatasetError(msg)
    if masks and objects.masks is None:
        msg = f"{labels.source} has boxes only: expected outlines of the objects"
        raise DatasetError(msg)
    boxes = box_convert(objects.boxes, "xyxy", "xywh")
    areas = boxes[:, 2] * boxes[:, 3] if objects.areas is None else objects.areas
    for index, box in enumerate(boxes.tolist()):
        row = {
            "image_id": photo.image_id,
            "category_id": numbers[int(objects.class_ids[index])],
            "bbox": box,
            "area": float(areas[index]),
            "iscrowd": int(objects.is_crowd[index]),
        }
        if masks and objects.masks is not None:
            mask = objects.masks[index]
            row["segmentation"] = mask if isinstance(mask, dict) else [*map(_as_listed, mask)]
        if objects.keypoints is not None:
            points = objects.keypoints[index]
            row["keypoints"] = points.ravel().tolist()
            row["num_keypoints"] = int(np.count_nonzero(points[:, 2]))
        yield row


def _as_listed(polygon: npt.NDArray[np.float32]) -> list[float]:
    """Return the numbers of a polygon as they were in the file, which float32 has rounded.

    COCO's have two decimals; pycocotools rounds fifths of pixels, where the last bit counts.
    """
    numbers: list[float] = np.round(polygon.astype(np.float64), _DECIMALS).ravel().tolist()
    return numbers

"""COCO annotation files, and COCO's mean average precision of boxes and keypoints."""

from __future__ import annotations

import contextlib
import io
import json
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from .._lazy import require
from ..errors import FuriosaModelsError
from .base import Truth

__all__ = ["MAX_DETECTIONS", "SCORE_THRESHOLD", "Annotations", "read_annotations", "read_truth"]

SCORE_THRESHOLD = 0.001
"""Score threshold for measuring mAP; low, since mAP integrates over all scores."""

MAX_DETECTIONS = 100
"""Maximum number of detections per photo that COCO's mAP uses."""


@dataclass(frozen=True, slots=True)
class Annotations:
    """A COCO annotation file.

    Attributes:
        path: The file.
        document: Its contents, with the fields completed that annotation tools may omit.
        images: File name of each photo by its id.
        sizes: Width and height of each photo by its id, if the file contains them.
        categories: Id of each category by its name.
    """

    path: Path
    document: Mapping[str, Any]
    images: Mapping[int, str]
    sizes: Mapping[int, tuple[int, int]]
    categories: Mapping[str, int]

    def ids_of(self, names: Sequence[str]) -> dict[str, int]:
        """Return the category ids of those model classes that the file has.

        Case, spaces, dashes and underscores in names are ignored. A warning lists used categories
        without a model class, which cannot be detected.

        Raises:
            FuriosaModelsError: No class of the model is among the categories.
        """
        known = {_plain(name): category for name, category in self.categories.items()}
        found = {name: known[_plain(name)] for name in names if _plain(name) in known}
        if not found:
            ours, theirs = ", ".join(list(names)[:5]), ", ".join(list(self.categories)[:5])
            msg = (
                f"{self.path} has none of the model's classes: its categories are {theirs}, ...; "
                f"the model's are {ours}, ...: rename the categories, or pass labels= to the model"
            )
            raise FuriosaModelsError(msg)
        missing = [name for name, i in self.categories.items() if i not in set(found.values())]
        used = {annotation["category_id"] for annotation in self.document["annotations"]}
        if lost := [name for name in missing if self.categories[name] in used]:
            msg = (
                f"{self.path.name}: the model has no class for {', '.join(lost[:10])}"
                f"{', ...' if len(lost) > 10 else ''}, so these cannot be detected"
            )
            warnings.warn(msg, stacklevel=2)
        return found

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
        self, rows: Iterable[Mapping[str, Any]], kind: Literal["bbox", "keypoints"]
    ) -> dict[str, float]:
        """Return mAP over IoU 0.50:0.95 and mAP at IoU 0.50, computed by pycocotools.

        Args:
            rows: Entries of a COCO results file.
            kind: `bbox` matches boxes by IoU, `keypoints` matches people by object keypoint
                similarity.

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


def read_annotations(path: Path) -> Annotations:
    """Read a COCO annotation file.

    Raises:
        FuriosaModelsError: The file cannot be read, lacks required fields, or has no photo or no
            category.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        images = {image["id"]: image["file_name"] for image in document["images"]}
        categories = {category["name"]: category["id"] for category in document["categories"]}
        annotations = [
            _complete(each, number)
            for number, each in enumerate(document.get("annotations", ()), 1)
        ]
    except (OSError, KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        msg = f"{path} is not a COCO annotation file: {type(error).__name__}: {error}"
        raise FuriosaModelsError(msg) from error
    if not images or not categories:
        msg = f"{path} contains no photo, or no category"
        raise FuriosaModelsError(msg)
    sizes = {
        image["id"]: (int(image["width"]), int(image["height"]))
        for image in document["images"]
        if image.get("width") and image.get("height")
    }
    complete = {"info": {}, "licenses": [], **document, "annotations": annotations}
    return Annotations(path, complete, images, sizes, categories)


def read_truth(labels: Path, images: Path) -> Truth:
    """Return the photos of an annotation file, with their labels.

    Raises:
        FuriosaModelsError: As for `read_annotations`.
    """
    annotations = read_annotations(labels)
    return Truth([images / name for name in annotations.images.values()], annotations)


def _complete(annotation: Mapping[str, Any], number: int) -> dict[str, Any]:
    """Return an annotation completed with the fields that annotation tools may omit."""
    _, _, width, height = annotation["bbox"]
    if "image_id" not in annotation or "category_id" not in annotation:
        msg = f"annotation {number} has no image_id or no category_id"
        raise ValueError(msg)
    return {"id": number, "iscrowd": 0, "area": width * height, **annotation}


def _plain(name: str) -> str:
    return "".join(c for c in name.casefold() if c.isalnum())

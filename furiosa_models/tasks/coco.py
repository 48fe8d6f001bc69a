"""COCO's annotation files, and its mean average precision of boxes and keypoints."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from .._lazy import require
from ..errors import FuriosaModelsError

__all__ = ["MAX_DETECTIONS", "SCORE_THRESHOLD", "Annotations", "read_annotations"]

SCORE_THRESHOLD = 0.001
"""Least score of a detection that counts: low, since mAP integrates over all of them."""

MAX_DETECTIONS = 100
"""Detections of one photo that COCO's mAP looks at."""


@dataclass(frozen=True, slots=True)
class Annotations:
    """An annotation file of COCO.

    Attributes:
        path: The file.
        images: File name of each photo by its id.
        categories: Id of each category by its name.
    """

    path: Path
    images: Mapping[int, str]
    categories: Mapping[str, int]

    def average_precision(
        self, rows: Iterable[Mapping[str, Any]], kind: Literal["bbox", "keypoints"]
    ) -> dict[str, float]:
        """Return mAP over IoU 0.50:0.95 and at 0.50, as pycocotools computes them.

        Args:
            rows: Entries of a COCO results file.
            kind: `bbox` matches boxes by their intersection over union, `keypoints` joints by
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
        with contextlib.redirect_stdout(io.StringIO()):  # it reports to standard output
            truth = coco.COCO(str(self.path))
            evaluation = cocoeval.COCOeval(truth, truth.loadRes(results), kind)
            evaluation.evaluate()
            evaluation.accumulate()
            evaluation.summarize()
        return {"mAP": float(evaluation.stats[0]), "mAP50": float(evaluation.stats[1])}


def read_annotations(path: Path) -> Annotations:
    """Return the photos and categories of an annotation file.

    Raises:
        FuriosaModelsError: The file cannot be read, or names no photo or no category.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        images = {image["id"]: image["file_name"] for image in document["images"]}
        categories = {category["name"]: category["id"] for category in document["categories"]}
    except (OSError, KeyError, TypeError, ValueError) as error:
        msg = f"{path} is no COCO annotation file: {type(error).__name__}: {error}"
        raise FuriosaModelsError(msg) from error
    if not images or not categories:
        msg = f"{path} names no photo, or no category"
        raise FuriosaModelsError(msg)
    return Annotations(path, images, categories)

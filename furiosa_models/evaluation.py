"""Accuracy on labelled photos: top-1 and top-5, COCO mAP, and OKS mAP of poses."""

from __future__ import annotations

import contextlib
import csv
import importlib
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .enums import ModelTaskType
from .errors import ExtraRequired, FuriosaModelsError
from .runtime.sync import Precision
from .vision.results import Detections, Poses
from .vision.tasks import ImageModel

__all__ = ["Evaluation", "evaluate"]

SCORE_THRESHOLD = 0.001
"""Least score of a detection that counts: low, since mAP integrates over all of them."""

MOST_DETECTIONS = 100
"""Detections of one photo that COCO's mAP looks at."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Measured accuracy.

    Attributes:
        model: Class of the model.
        weights: Name of its weights.
        photos: How many photos it was measured on.
        figures: Each metric's value, between 0 and 1, by name.
    """

    model: str
    weights: str
    photos: int
    figures: Mapping[str, float]


def evaluate(
    model: ImageModel[Any],
    images: str | Path,
    labels: str | Path,
    *,
    device: str | None = None,
    precision: Precision = "fp32",
    draft: bool = False,
) -> Evaluation:
    """The accuracy of a model on labelled photos.

    Args:
        model: The model.
        images: Folder of the photos.
        labels: For a classifier a CSV file with the columns `file` and `class_index`; for a
            detector a COCO annotation file (`instances_val2017.json`), and for poses its
            keypoints (`person_keypoints_val2017.json`).
        device: As for `predict`.
        precision: As for `predict`.
        draft: As for `predict`.

    Raises:
        FuriosaModelsError: The labels cannot be read, or name no photo.
        ExtraRequired: pycocotools, which computes mAP, is not installed.
    """
    where = {"device": device, "precision": precision, "draft": draft}
    if model.task_type is ModelTaskType.IMAGE_CLASSIFICATION:
        photos, figures = _classification(model, Path(images), Path(labels), where)
    else:
        photos, figures = _detection(model, Path(images), Path(labels), where)
    return Evaluation(type(model).__name__, model.weights, photos, figures)


def _classification(
    model: ImageModel[Any], images: Path, labels: Path, where: Mapping[str, Any]
) -> tuple[int, dict[str, float]]:
    truth = _read_csv(labels)
    paths = [images / name for name in truth]
    first = top_five = 0
    results = model.predict(paths, top_k=5, stream=True, progress=True, **where)
    for class_id, result in zip(truth.values(), results, strict=True):
        first += class_id == result.class_id
        top_five += class_id in result.class_ids
    return len(paths), {"top-1": first / len(paths), "top-5": top_five / len(paths)}


def _detection(
    model: ImageModel[Any], images: Path, labels: Path, where: Mapping[str, Any]
) -> tuple[int, dict[str, float]]:
    document = _read_json(labels)
    ids = {image["id"]: images / image["file_name"] for image in document["images"]}
    categories = {category["name"]: category["id"] for category in document["categories"]}
    results = model.predict(
        list(ids.values()), score_threshold=SCORE_THRESHOLD, stream=True, progress=True, **where
    )
    rows: list[dict[str, Any]] = []
    for image_id, found in zip(ids, results, strict=True):
        rows += _coco_rows(found, image_id, categories)
    if model.task_type is ModelTaskType.POSE_ESTIMATION:
        figures = _coco_figures(labels, rows, "keypoints")
        return len(ids), {f"OKS {metric}": value for metric, value in figures.items()}
    return len(ids), _coco_figures(labels, rows, "bbox")


def _coco_rows(
    found: Detections | Poses, image_id: int, categories: Mapping[str, int]
) -> list[dict[str, Any]]:
    """COCO results of the best detections; classes go by name, those COCO lacks are left out."""
    best = found[:MOST_DETECTIONS]
    if isinstance(best, Poses):
        return best.to_coco(image_id, categories.get("person", 1))
    rows = zip(best.to_coco(image_id), best.labels, strict=True)
    return [{**row, "category_id": categories[name]} for row, name in rows if name in categories]


def _coco_figures(labels: Path, rows: list[dict[str, Any]], kind: str) -> dict[str, float]:
    """MAP over boxes (`bbox`, by IoU) or joints (`keypoints`, by object keypoint similarity)."""
    if not rows:
        return {"mAP": 0.0, "mAP50": 0.0}
    coco, cocoeval = _import("pycocotools.coco"), _import("pycocotools.cocoeval")
    with contextlib.redirect_stdout(io.StringIO()):  # it reports to standard output
        truth = coco.COCO(str(labels))
        evaluation = cocoeval.COCOeval(truth, truth.loadRes(rows), kind)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return {"mAP": float(evaluation.stats[0]), "mAP50": float(evaluation.stats[1])}


def _read_csv(path: Path) -> dict[str, int]:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            truth = {row["file"]: int(row["class_index"]) for row in csv.DictReader(file)}
    except (OSError, KeyError, TypeError, ValueError) as error:
        msg = f"{path} is no CSV file with the columns file and class_index: {error}"
        raise FuriosaModelsError(msg) from error
    if not truth:
        msg = f"{path} names no photo"
        raise FuriosaModelsError(msg)
    return truth


def _read_json(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        complete = bool(document["images"]) and bool(document["categories"])
    except (OSError, KeyError, TypeError, ValueError) as error:
        msg = f"{path} is no COCO annotation file: {type(error).__name__}: {error}"
        raise FuriosaModelsError(msg) from error
    if not complete:
        msg = f"{path} names no photo, or no category"
        raise FuriosaModelsError(msg)
    return dict(document)


def _import(module: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        msg = "mAP needs pycocotools, which is not installed: pip install pycocotools"
        raise ExtraRequired(msg) from error

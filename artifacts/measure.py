r"""Measure a detector on labeled photos: mAP, and the threshold of the best F1.

    python artifacts/measure.py SSDMobileNetV2 --images ../photos --labels ../instances.json

F1 is computed over all photos: a detection is correct if its IoU with a labeled box of its class is
at least 0.5 and no detection with a higher score matches that box. Crowd boxes are ignored. Put the
output into `zoo.json`: `head.score_threshold`, and the accuracy at that threshold.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from furiosa_models.catalog import get_model
from furiosa_models.data import LabeledPhotos, read_dataset
from furiosa_models.enums import Task
from furiosa_models.evaluation import evaluate
from furiosa_models.ops.boxes import box_convert, box_iou
from furiosa_models.tasks.coco import Annotations

MIN_IOU = 0.5
MIN_THRESHOLD = 0.05
STEPS = np.round(np.arange(MIN_THRESHOLD, 0.95, 0.01), 2)


class Point(NamedTuple):
    """An operating point: a threshold with its precision and recall."""

    threshold: float
    precision: float
    recall: float

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall."""
        total = self.precision + self.recall
        return 2 * self.precision * self.recall / total if total else 0.0


def main() -> None:
    """Measure one model, and print its accuracy and two operating points."""
    options = parse_arguments()
    with get_model(options.model, weights=options.weights) as model:
        figures = evaluate(model, options.images, options.labels).figures
        photos = read_dataset(options.labels, images=options.images, task=Task.DETECTION)
        found = operating_points(model, photos)
        default = model.head.score_threshold  # type: ignore[attr-defined]  # a detector has it
    print(options.model, model.weights, {name: round(value, 4) for name, value in figures.items()})
    for title, point in (
        ("default", min(found, key=lambda p: abs(p.threshold - default))),
        ("best F1", max(found, key=lambda p: p.f1)),
    ):
        print(
            f"{title}: score_threshold {point.threshold:.2f}, precision {point.precision:.3f}, "
            f"recall {point.recall:.3f}, F1 {point.f1:.3f}"
        )


def operating_points(model: Any, labels: LabeledPhotos) -> list[Point]:
    """Return precision and recall (0..1) at each threshold in `STEPS`."""
    annotations = Annotations.of(labels)
    truth: dict[tuple[int, int], list[list[float]]] = defaultdict(list)
    for annotation in annotations.document["annotations"]:
        if not annotation["iscrowd"]:
            truth[annotation["image_id"], annotation["category_id"]].append(annotation["bbox"])
    photos = [photo.path for photo in labels]
    results = model.predict(photos, score_threshold=MIN_THRESHOLD, stream=True)
    scores: list[float] = []
    correct: list[bool] = []
    for image_id, found in zip(annotations.images, results, strict=True):
        ids = annotations.ids_of(found.names)
        matched: dict[int, set[int]] = defaultdict(set)
        for box, score, label in zip(found.boxes, found.scores, found.labels, strict=True):
            category = ids.get(label, -1)
            scores.append(float(score))
            correct.append(matches(box, truth[image_id, category], matched[category]))
    total = sum(map(len, truth.values()))
    values, hits = np.array(scores), np.array(correct)
    points = []
    for threshold in STEPS.tolist():
        kept = values > threshold
        points.append(
            Point(
                threshold,
                float(hits[kept].mean()) if kept.any() else 1.0,
                float(hits[kept].sum() / total),
            )
        )
    return points


def matches(box: npt.NDArray[np.float32], boxes: list[list[float]], matched: set[int]) -> bool:
    """Match a detection with an unmatched labeled box, and return whether there is one.

    Args:
        box: (4,) xyxy box of the detection, in pixels.
        boxes: Labeled xywh boxes of the same class and photo.
        matched: Indices of labeled boxes that are already matched; the new match is added.
    """
    if not boxes:
        return False
    corners = box_convert(np.array(boxes, np.float32), "xywh", "xyxy")
    overlaps = box_iou(box[None], corners)[0]
    for i in np.argsort(-overlaps).tolist():
        if overlaps[i] >= MIN_IOU and i not in matched:
            matched.add(i)
            return True
    return False


def parse_arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("--weights")
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--labels", type=Path, required=True)
    return parser.parse_args()


if __name__ == "__main__":
    main()

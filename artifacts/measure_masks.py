r"""Measure a model of classes or mattes on photos whose objects are labeled by boxes or keypoints.

    python artifacts/measure_masks.py U2NetP --images ../photos --labels ../instances.json

Without outlines there is no intersection over union. So this measures what boxes and keypoints
tell: for semantic segmentation, precision and recall of the classes of each photo (a class is
found if it has at least 0.5 % of the pixels), and the share of the pixels of people that are in
boxes of people; for a matte of people, the share of the visible joints of large people (a tenth of
the photo, five labeled joints) that it covers; for other mattes, the share of their pixels that are
in boxes. Put the figures into `zoo.json`.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from furiosa_models.catalog import get_model
from furiosa_models.data import LabeledPhotos, read_dataset
from furiosa_models.data.records import LabeledPhoto, Objects
from furiosa_models.enums import Task
from furiosa_models.labels import plain_name
from furiosa_models.tasks import Matte, SemanticMap
from furiosa_models.tasks.matte import FOREGROUND

LEAST_PIXELS = 0.005
LEAST_PERSON = 0.1
LEAST_JOINTS = 5
VISIBLE = 2
PERSON = "person"


def main() -> None:
    """Measure one model, and print its figures."""
    options = parse_arguments()
    with get_model(options.model, weights=options.weights) as model:
        is_of_people = model.labels == (PERSON,)
        task = Task.KEYPOINT if is_of_people else Task.DETECTION
        labels = read_dataset(options.labels, images=options.images, task=task)
        results = model.predict([photo.path for photo in labels], stream=True)
        if model.vision_task.task is Task.SEMSEG:
            figures = of_classes(labels, results)
        else:
            figures = of_joints(labels, results) if is_of_people else of_boxes(labels, results)
    print(options.model, model.weights, f"{len(labels)} photos")
    for name, value in figures.items():
        print(f"{name}: {value:.4f}")


def of_classes(labels: LabeledPhotos, results: Iterable[SemanticMap]) -> dict[str, float]:
    """Return precision and recall of classes, and the share of the pixels of people in boxes."""
    correct = found_classes = labeled_classes = inside = total = 0
    names = [plain_name(name) for name in labels.classes]
    for photo, result in zip(labels, results, strict=True):
        known = {plain_name(name) for name in result.names}
        labeled = {names[i] for i in ids_of(photo)} & known
        found = {plain_name(r.label) for r in result if r.fraction >= LEAST_PIXELS}
        correct += len(labeled & found)
        found_classes += len(found)
        labeled_classes += len(labeled)
        people = [i for i, index in enumerate(ids_of(photo)) if names[index] == PERSON]
        if people:
            mask = result.mask(PERSON)
            inside += int((mask & in_boxes(mask.shape, objects_of(photo).boxes[people])).sum())
            total += int(mask.sum())
    return {
        "class precision": correct / found_classes,
        "class recall": correct / labeled_classes,
        "pixels of people in their boxes": inside / total,
    }


def of_joints(labels: LabeledPhotos, results: Iterable[Matte]) -> dict[str, float]:
    """Return the share of the visible joints of large people that mattes cover."""
    covered = total = 0
    for photo, result in zip(labels, results, strict=True):
        height, width = result.alpha.shape
        for points in large_people(photo, height * width):
            x = points[:, 0].astype(int).clip(0, width - 1)
            y = points[:, 1].astype(int).clip(0, height - 1)
            covered += int(result.mask()[y, x].sum())
            total += len(points)
    return {"visible joints covered": covered / total}


def of_boxes(labels: LabeledPhotos, results: Iterable[Matte]) -> dict[str, float]:
    """Return the share of the pixels of mattes that are in boxes of any class."""
    inside = total = 0
    for photo, result in zip(labels, results, strict=True):
        assert result.label == FOREGROUND
        mask = result.mask()
        inside += int((mask & in_boxes(mask.shape, objects_of(photo).boxes)).sum())
        total += int(mask.sum())
    return {"pixels in boxes": inside / total}


def objects_of(photo: LabeledPhoto) -> Objects:
    """Return the labeled objects of a photo."""
    return photo.objects or Objects()


def ids_of(photo: LabeledPhoto) -> list[int]:
    """Return the class of each object of a photo."""
    ids: list[int] = objects_of(photo).class_ids.tolist()
    return ids


def large_people(photo: LabeledPhoto, pixels: int) -> Iterator[npt.NDArray[np.float32]]:
    """Yield the visible joints of each large person, (k, 3)."""
    objects = objects_of(photo)
    if objects.keypoints is None or objects.areas is None:
        return
    for points, area, crowd in zip(objects.keypoints, objects.areas, objects.is_crowd, strict=True):
        enough = np.count_nonzero(points[:, 2]) >= LEAST_JOINTS
        if enough and area > LEAST_PERSON * pixels and not crowd:
            yield points[points[:, 2] == VISIBLE]


def in_boxes(shape: tuple[int, ...], boxes: npt.NDArray[np.float32]) -> npt.NDArray[np.bool_]:
    """Return which pixels are in a box."""
    mask = np.zeros(shape, np.bool_)
    for left, top, right, bottom in boxes.tolist():
        rows = slice(int(np.floor(top)), int(np.ceil(bottom)))
        mask[rows, int(np.floor(left)) : int(np.ceil(right))] = True
    return mask


def parse_arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("model")
    parser.add_argument("--weights")
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--labels", type=Path, required=True)
    return parser.parse_args()


if __name__ == "__main__":
    main()

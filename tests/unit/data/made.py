"""Small photos and data sets that the tests write."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

SIZE = (80, 60)
"""Width and height of the photos."""

NAMES = ("cat", "dog")

BOXES: Mapping[str, Sequence[tuple[int, tuple[float, float, float, float]]]] = {
    "a": [(0, (10, 20, 30, 50)), (1, (40, 0, 80, 60))],
    "b": [(1, (8, 6, 16, 12))],
    "c": [],
}
"""Class and box (left, top, right, bottom) of the objects in each of three photos."""


def write_photo(path: Path, seed: int = 0, size: tuple[int, int] = SIZE) -> Path:
    """Write a photo of noise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    width, height = size
    pixels = np.random.default_rng(seed).integers(0, 255, (height, width, 3), np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def write_photos(folder: Path) -> list[Path]:
    return [write_photo(folder / f"{name}.jpg", i) for i, name in enumerate(BOXES)]


def coco_document(**fields: Any) -> dict[str, Any]:
    """Return the boxes as a COCO document, whose categories are 3 and 7."""
    width, height = SIZE
    images = [
        {"id": 10 + i, "file_name": f"{name}.jpg", "width": width, "height": height}
        for i, name in enumerate(BOXES)
    ]
    annotations = [
        {
            "id": 100 + number,
            "image_id": 10 + [*BOXES].index(name),
            "category_id": (3, 7)[class_id],
            "bbox": [box[0], box[1], box[2] - box[0], box[3] - box[1]],
        }
        for number, (name, (class_id, box)) in enumerate(
            (name, each) for name, found in BOXES.items() for each in found
        )
    ]
    categories = [{"id": 7, "name": "dog"}, {"id": 3, "name": "cat"}]
    return {"images": images, "annotations": annotations, "categories": categories, **fields}


def write_coco(path: Path, **fields: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(coco_document(**fields)))
    return path


def write_yolo_labels(folder: Path) -> None:
    """Write the boxes as label files; a photo without objects gets none."""
    folder.mkdir(parents=True, exist_ok=True)
    width, height = SIZE
    for name, found in BOXES.items():
        lines = [
            f"{class_id} {(x0 + x1) / 2 / width} {(y0 + y1) / 2 / height} {(x1 - x0) / width} "
            f"{(y1 - y0) / height}"
            for class_id, (x0, y0, x1, y1) in found
        ]
        if lines:
            (folder / f"{name}.txt").write_text("\n".join(lines) + "\n")


def write_voc_labels(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    width, height = SIZE
    for name, found in BOXES.items():
        objects = "".join(
            f"<object><name>{NAMES[class_id]}</name><difficult>0</difficult><bndbox>"
            f"<xmin>{x0 + 1}</xmin><ymin>{y0 + 1}</ymin><xmax>{x1}</xmax><ymax>{y1}</ymax>"
            "</bndbox></object>"
            for class_id, (x0, y0, x1, y1) in found
        )
        (folder / f"{name}.xml").write_text(
            f"<annotation><filename>{name}.jpg</filename><size><width>{width}</width>"
            f"<height>{height}</height><depth>3</depth></size>{objects}</annotation>"
        )


def as_rows(photos: Any) -> dict[str, list[tuple[int, tuple[float, ...]]]]:
    """Return class and box of the objects of each photo, rounded, in the form of `BOXES`."""
    return {
        photo.path.stem: [
            (int(class_id), tuple(round(edge, 3) for edge in box))
            for class_id, box in zip(
                photo.objects.class_ids.tolist(), photo.objects.boxes.tolist(), strict=True
            )
        ]
        for photo in photos
    }

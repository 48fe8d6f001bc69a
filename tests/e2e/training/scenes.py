"""Small labeled photos, and small models with random weights, for training in seconds."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from furiosa_models.data import DatasetLayout, LabeledPhoto, LabeledPhotos, Objects
from furiosa_models.enums import Task
from furiosa_models.spec import ImageInput, NetworkSpec
from furiosa_models.training.args import TrainerArgs
from furiosa_models.vision import MobileNetV2, SSDMobileNet, YOLOv5n

COLORS = {
    "red": (210, 30, 30),
    "blue": (30, 40, 220),
    "green": (30, 200, 40),
    "gray": (120, 120, 120),
}
NAMES = ("red", "blue")
"""Classes of objects; photos have all colors as classes."""
SIDE = 64


def squares(folder: Path, count: int = 1, *, seed: int = 0) -> LabeledPhotos:
    """Return photos of a color for classification, `count` of each."""
    random, names = np.random.default_rng(seed), tuple(COLORS)
    photos = []
    for index in range(count * len(names)):
        class_id = index % len(names)
        pixels = random.integers(90, 160, (SIDE, SIDE, 3)).astype(np.uint8)
        pixels[8:56, 8:56] = COLORS[names[class_id]]
        path = folder / names[class_id] / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
        photos.append(LabeledPhoto(path, index, class_id=class_id))
    return LabeledPhotos(
        folder, DatasetLayout.CLS_FOLDER, Task.CLASSIFICATION, names, tuple(photos)
    )


def boxes(folder: Path, count: int = 4, *, side: int = 160) -> LabeledPhotos:
    """Return photos of a large red and a large blue rectangle, for detection."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(0)
    photos = []
    for index in range(count):
        picture = Image.new("RGB", (side, side), (120, 120, 120))
        canvas = ImageDraw.Draw(picture)
        rows = []
        for class_id, name in enumerate(NAMES):
            left = int(random.integers(0, side // 8)) + class_id * side // 2
            top = int(random.integers(0, side // 2))
            box = (left, top, left + 3 * side // 8, top + 3 * side // 8)
            canvas.rectangle((*box[:2], box[2] - 1, box[3] - 1), COLORS[name])
            rows.append(box)
        path = folder / f"{index}.png"
        picture.save(path)
        objects = Objects(np.array(rows, np.float32), np.arange(len(NAMES)))
        photos.append(LabeledPhoto(path, index, (side, side), objects=objects))
    return LabeledPhotos(folder, DatasetLayout.ROBOFLOW_COCO, Task.DETECTION, NAMES, tuple(photos))


def write_coco(photos: LabeledPhotos, path: Path) -> Path:
    """Write the labels of photos as a file of COCO beside them."""
    rows = [(photo, index) for photo in photos for index in range(len(NAMES))]
    document = {
        "images": [
            {"id": photo.image_id, "file_name": photo.path.name, "width": 160, "height": 160}
            for photo in photos
        ],
        "categories": [{"id": i, "name": name} for i, name in enumerate(photos.classes)],
        "annotations": [
            {
                "id": number,
                "image_id": photo.image_id,
                "category_id": int(photo.objects.class_ids[index]),
                "bbox": _corner_and_size(photo.objects.boxes[index].tolist()),
                "area": 1.0,
                "iscrowd": 0,
            }
            for number, (photo, index) in enumerate(rows)
            if photo.objects is not None
        ],
    }
    path.write_text(json.dumps(document))
    return path


def _corner_and_size(box: Sequence[float]) -> list[float]:
    left, top, right, bottom = box
    return [left, top, right - left, bottom - top]


def classifier(kind: Any = MobileNetV2, **options: Any) -> Any:
    network = NetworkSpec("mobilenet_v2", {"image_size": SIDE})
    placed = replace(kind.spec.input, size=(SIDE, SIDE), resize_to=SIDE)
    spec = replace(kind.spec, network=network, input=placed)
    return kind(**{"weights": "random", "spec": spec, **options})


def yolo(side: int = 96, kind: Any = YOLOv5n, **options: Any) -> Any:
    network = replace(kind.spec.network, params={**kind.spec.network.params, "image_size": side})
    placed: ImageInput = replace(kind.spec.input, size=(side, side))
    spec = replace(kind.spec, network=network, input=placed)
    return kind(**{"weights": "random", "spec": spec, **options})


def ssd(**options: Any) -> Any:
    declared: Any = SSDMobileNet.spec
    network = replace(declared.network, params={"depth_multiplier": 0.25})
    spec = replace(declared, network=network)
    return SSDMobileNet(**{"weights": "random", "spec": spec, **options})


def args(folder: Path, iterations: int, **values: Any) -> TrainerArgs:
    """Return arguments of a short run on the CPU, in 32 bits and without augmentations."""
    known: dict[str, Any] = {
        "ckpt_dir": folder,
        "max_iters": iterations,
        "batch_size": 4,
        "learning_rate": 2e-3,
        "backbone_multiplier": 1.0,
        "clip_gradients": 0.0,
        "weight_decay": 0.0,
        "log_period": 1,
        "eval_period": 1000,
        "samples": 0,
        "workers": 0,
        "amp_enabled": False,
        "augmentations": False,
        "early_stop": False,
        "device": "cpu",
    }
    return TrainerArgs(folder.name, **{**known, **values})


def losses(folder: Path) -> list[dict[str, float]]:
    """Return the entries of the log periods, without their times."""
    entries = json.loads((folder / "metrics.json").read_text())
    return [
        {name: value for name, value in entry.items() if name != "time"}
        for entry in entries
        if "total_loss" in entry
    ]


def outlined(photos: LabeledPhotos, task: Task, classes: Sequence[str] = NAMES) -> LabeledPhotos:
    """Return photos of objects for a task of masks: with the box of each object as its outline."""
    made = []
    for photo in photos:
        objects = photo.objects
        assert objects is not None
        corners = objects.boxes[:, [[0, 1], [2, 1], [2, 3], [0, 3]]]
        outlines = tuple([polygon] for polygon in corners)
        made.append(replace(photo, objects=replace(objects, masks=outlines)))
    return replace(photos, task=task, classes=tuple(classes), photos=tuple(made))


def resized(kind: Any, side: int, **params: Any) -> Any:
    """Return a model of the zoo with random weights, and another size and parameters."""
    declared: Any = kind.spec
    size = (side, side)
    network = NetworkSpec(
        declared.network.name, {**declared.network.params, "image_size": side, **params}
    )
    head, placed = replace(declared.head, size=size), replace(declared.input, size=size)
    return kind("random", spec=replace(declared, network=network, head=head, input=placed))

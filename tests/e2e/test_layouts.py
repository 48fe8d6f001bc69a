"""The same labels in other layouts give the same accuracy."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from furiosa_models import get_model
from furiosa_models.data import check_dataset, read_dataset
from furiosa_models.evaluation import evaluate

pytestmark = [pytest.mark.accuracy, pytest.mark.slow, pytest.mark.usefixtures("use_warm_cache")]

PHOTOS = 24


class Labels:
    """Labels of the first photos of COCO, without crowds, which other layouts do not have."""

    def __init__(self, data: Path, root: Path) -> None:
        document = json.loads((data / "coco" / "instances.json").read_text())
        self.images = document["images"][:PHOTOS]
        ids = {image["id"] for image in self.images}
        self.categories = sorted(document["categories"], key=lambda each: each["id"])
        annotations = [
            each
            for each in document["annotations"]
            if each["image_id"] in ids and not each["iscrowd"]
        ]
        self.by_image: dict[int, list[dict[str, Any]]] = defaultdict(list)
        for each in annotations:
            self.by_image[each["image_id"]].append(each)
        self.document = {**document, "images": self.images, "annotations": annotations}
        self.photos = data / "coco" / "images"
        self.root = root

    def link(self, folder: str) -> Path:
        """Put the photos into a folder."""
        target = self.root / folder
        target.mkdir(parents=True)
        for image in self.images:
            (target / image["file_name"]).symlink_to(self.photos / image["file_name"])
        return target

    def write_coco(self) -> Path:
        self.link("coco/val2017")
        path = self.root / "coco" / "annotations" / "instances_val2017.json"
        path.parent.mkdir()
        path.write_text(json.dumps(self.document))
        return self.root / "coco"

    def write_yolo(self) -> Path:
        self.link("yolo/images/val")
        folder = self.root / "yolo" / "labels" / "val"
        folder.mkdir(parents=True)
        index = {each["id"]: place for place, each in enumerate(self.categories)}
        for image in self.images:
            lines = []
            for each in self.by_image[image["id"]]:
                left, top, width, height = each["bbox"]
                x, y = (left + width / 2) / image["width"], (top + height / 2) / image["height"]
                size = f"{width / image['width']} {height / image['height']}"
                lines.append(f"{index[each['category_id']]} {x} {y} {size}")
            if lines:
                (folder / image["file_name"]).with_suffix(".txt").write_text("\n".join(lines))
        names = "".join(f"  {i}: {each['name']}\n" for i, each in enumerate(self.categories))
        (self.root / "yolo" / "data.yaml").write_text(f"val: images/val\nnames:\n{names}")
        return self.root / "yolo"

    def write_voc(self) -> Path:
        self.link("voc/JPEGImages")
        folder = self.root / "voc" / "Annotations"
        folder.mkdir()
        names = {each["id"]: each["name"] for each in self.categories}
        for image in self.images:
            root = ElementTree.Element("annotation")
            size = ElementTree.SubElement(root, "size")
            for side in ("width", "height"):
                ElementTree.SubElement(size, side).text = str(image[side])
            for each in self.by_image[image["id"]]:
                entry = ElementTree.SubElement(root, "object")
                ElementTree.SubElement(entry, "name").text = names[each["category_id"]]
                box = ElementTree.SubElement(entry, "bndbox")
                left, top, width, height = each["bbox"]
                edges = (left + 1, top + 1, left + width, top + height)
                for name, edge in zip(("xmin", "ymin", "xmax", "ymax"), edges, strict=True):
                    ElementTree.SubElement(box, name).text = repr(edge)
            path = (folder / image["file_name"]).with_suffix(".xml")
            ElementTree.ElementTree(root).write(path)
        return self.root / "voc"


def test_mean_average_precision_is_the_same_in_every_layout(
    data: Path, tmp_path: Path, record_property: Any
) -> None:
    labels = Labels(data, tmp_path)
    model = get_model("yolov5n", weights=data / "weights" / "yolov5n_v6.0_coco_raw3.onnx")
    figures = {}
    for write in (labels.write_coco, labels.write_yolo, labels.write_voc):
        folder = write()
        found = read_dataset(folder, task="detection")
        assert not check_dataset(found, classes=model.labels).errors
        figures[folder.name] = evaluate(model, labels=folder, device="cpu").figures
    record_property("measured", str(figures))
    assert figures["coco"]["mAP"] > 0.2
    assert figures["yolo"] == pytest.approx(figures["coco"], abs=1e-6)
    assert figures["voc"] == pytest.approx(figures["coco"], abs=1e-6)

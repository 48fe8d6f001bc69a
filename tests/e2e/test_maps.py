"""Classes and mattes of real photos, beside those of the published files on their own runtimes."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import onnxruntime
import pytest
from ai_edge_litert.interpreter import Interpreter

from furiosa_models.artifacts import Store, sets_of
from furiosa_models.images.read import read_image
from furiosa_models.vision import DeepLabV3MobileNetV2, SelfieSegmentation, U2NetP

pytestmark = [
    pytest.mark.accuracy,
    pytest.mark.network,
    pytest.mark.timeout(600),
    pytest.mark.usefixtures("use_warm_cache"),
]

Array = npt.NDArray[Any]
LEAST = 0.005  # of the pixels: a class that is found
PERSON = 15


def published(name: str) -> bytes:
    """Return the only file of a model's weights."""
    (artifact,) = sets_of(name).values()
    (path,) = Store().fetch(artifact.files).values()
    return path.read_bytes()


def interpreted(file: bytes) -> Callable[[Array], Array]:
    """Return a TensorFlow Lite network as a function of an image, (h, w, 3)."""
    interpreter = Interpreter(model_content=file)
    interpreter.allocate_tensors()
    (given,), (output, *_) = interpreter.get_input_details(), interpreter.get_output_details()

    def run(image: Array) -> Array:
        interpreter.set_tensor(given["index"], image[None].astype(np.float32))
        interpreter.invoke()
        found: Array = interpreter.get_tensor(output["index"])[0]
        return found

    return run


class Labels:
    """The labeled photos: file and objects of each."""

    def __init__(self, data: Path, file: str) -> None:
        document = json.loads((data / "coco" / file).read_text())
        self.names = {each["id"]: each["name"] for each in document["categories"]}
        self.objects: dict[int, list[Any]] = defaultdict(list)
        for each in document["annotations"]:
            self.objects[each["image_id"]].append(each)
        self.photos = {
            each["id"]: data / "coco" / "images" / each["file_name"] for each in document["images"]
        }

    def boxes(self, photo: int, shape: tuple[int, ...], name: str | None = None) -> Array:
        """Return which pixels are in a box of a class, or of any."""
        mask = np.zeros(shape, np.bool_)
        for each in self.objects[photo]:
            if name in (None, self.names[each["category_id"]]):
                x, y, width, height = each["bbox"]
                rows = slice(int(np.floor(y)), int(np.ceil(y + height)))
                mask[rows, int(np.floor(x)) : int(np.ceil(x + width))] = True
        return mask


def test_deeplab_finds_the_classes_and_people_that_the_published_file_finds(data: Path) -> None:
    labels = Labels(data, "instances.json")
    run = interpreted(published("DeepLabV3MobileNetV2"))
    model = DeepLabV3MobileNetV2()
    coco = {"aeroplane": "airplane", "diningtable": "dining table", "motorbike": "motorcycle"}
    coco |= {"pottedplant": "potted plant", "sofa": "couch", "tvmonitor": "tv"}
    names = [coco.get(name, name) for name in model.labels]
    same = []
    counts = {"ours": np.zeros(3, int), "theirs": np.zeros(3, int)}  # correct, found, labeled
    people = np.zeros(2, int)
    for photo, path in labels.photos.items():
        image = read_image(path).rgb
        scores = run(cv2.resize(image, (257, 257)) / 127.5 - 1)
        size = image.shape[1::-1]
        maps = {
            "ours": model.predict(path).class_map,
            "theirs": cv2.resize(
                scores.argmax(2).astype(np.uint8), size, interpolation=cv2.INTER_NEAREST
            ),
        }
        same.append((maps["ours"] == maps["theirs"]).mean())
        present = {labels.names[each["category_id"]] for each in labels.objects[photo]}
        for who, classes in maps.items():
            share = np.bincount(classes.ravel(), minlength=21)[1:21] / classes.size
            found = {names[i + 1] for i in np.flatnonzero(share >= LEAST)}
            counts[who] += len(found & present), len(found), len(present & {*names})
        if "person" in present:
            mask = maps["ours"] == PERSON
            people += (mask & labels.boxes(photo, mask.shape, "person")).sum(), mask.sum()
    assert np.mean(same) > 0.99
    correct, found, labeled = counts["ours"]
    assert correct / found == pytest.approx(0.719, abs=0.01)
    assert correct / labeled == pytest.approx(0.473, abs=0.01)
    assert np.abs(counts["ours"] - counts["theirs"]).max() <= 2
    assert people[0] / people[1] >= 0.9


def test_selfie_segmentation_covers_the_joints_of_large_people(data: Path) -> None:
    labels = Labels(data, "person_keypoints.json")
    run = interpreted(published("SelfieSegmentation"))
    model = SelfieSegmentation()
    covered: list[bool] = []
    for photo, path in labels.photos.items():
        image = read_image(path).rgb
        alpha = model.predict(path).alpha
        theirs = cv2.resize(run(cv2.resize(image, (256, 256)) / 255)[:, :, 0], image.shape[1::-1])
        assert np.abs(alpha / 255 - theirs).max() < 0.01
        for person in labels.objects[photo]:
            is_large = person["area"] > 0.1 * alpha.size and person["num_keypoints"] >= 5
            if is_large and not person["iscrowd"]:
                points = np.array(person["keypoints"]).reshape(-1, 3)
                x, y, _ = points[points[:, 2] == 2].T.astype(int)
                covered += (alpha >= 127.5)[y, x].tolist()
    assert len(covered) == 80
    assert np.mean(covered) > 0.9


def test_u2netp_finds_labeled_objects_as_the_published_file_does(data: Path) -> None:
    labels = Labels(data, "instances.json")
    session = onnxruntime.InferenceSession(published("U2NetP"))
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    model = U2NetP()
    inside, overlaps = np.zeros(2, int), []
    for photo, path in [*labels.photos.items()][:40]:
        image = read_image(path).rgb
        scaled = cv2.resize(image, (320, 320)).astype(np.float64)
        scaled = (scaled / scaled.max() - mean) / std
        feed = {"input.1": scaled.transpose(2, 0, 1)[None].astype(np.float32)}
        theirs = np.asarray(session.run(None, feed)[0])[0, 0]
        theirs = (theirs - theirs.min()) / (theirs.max() - theirs.min())
        expected = cv2.resize(theirs, image.shape[1::-1]) >= 0.5
        mask = model.predict(path).mask()
        overlaps.append((mask & expected).sum() / (mask | expected).sum())
        inside += (mask & labels.boxes(photo, mask.shape)).sum(), mask.sum()
    assert np.mean(overlaps) > 0.99
    assert inside[0] / inside[1] > 0.85

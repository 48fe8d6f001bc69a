"""Import paths of 0.8, 0.9 and 0.10."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from furiosa_models import errors, get_model, networks, quantizer, types, vision
from furiosa_models.cli import api
from furiosa_models.enums import Platform
from furiosa_models.processors import PostProcessor, PreProcessor
from furiosa_models.runtime import sync
from furiosa_models.types import Format
from furiosa_models.vision import postprocess, preprocess

NAMES = {
    "cli.api": ["get_model", "get_model_list", "normalize", "run_inferences", "serve_model"],
    "client.api": ["get_model", "get_model_list", "normalize", "run_inferences"],
    "errors": [
        "ArtifactNotFound",
        "ExtraPackageRequired",
        "FuriosaModelException",
        "NotFoundInDVCRemote",
        "VersionInfoNotFound",
    ],
    "quantizer": ["CalibrationMethod", "Calibrator", "Graph", "ModelEditor", "quantize"],
    "registry": [
        *("Artifact", "FileTransport", "Format", "Metadata", "Model", "ModelTensor"),
        *("Publication", "RegistryError", "Tags", "TransportNotFound"),
    ],
    "registry.artifact": ["Artifact", "Format", "ModelMetadata", "Publication"],
    "registry.client": ["help", "list", "load"],
    "registry.client.transport": ["FileTransport"],
    "registry.errors": ["RegistryError", "TransportNotFound"],
    "registry.model": ["Model"],
    "types": [
        *("Context", "Format", "Metadata", "Model", "ModelTaskType", "ModelTensor", "Platform"),
        *("PostProcessor", "PreProcessor", "PythonPostProcessor", "RustPostProcessor", "Tags"),
        *("ImageClassificationModel", "ObjectDetectionModel", "PoseEstimationModel"),
    ],
    "vision": [
        "MLCommonsResNet50",
        "MLCommonsSSDMobileNet",
        "MLCommonsSSDMobilenet",
        "MLCommonsSSDResNet34",
        "EfficientNetV2_S",
    ],
    "vision.common.datasets.coco": ["MobileNetSSD_CLASSES", "MobileNetSSD_Large_CLASSES"],
    "vision.common.datasets.imagenet1k": ["ImageNet1k_CLASSES"],
    "vision.efficientnet_b0": ["CLASSES", "EfficientNetB0", "EfficientNetB0PreProcessor"],
    "vision.efficientnet_v2_s": ["EfficientNetV2s", "EfficientNetV2sPostProcessor"],
    "vision.postprocess": ["LtrbBoundingBox", "calibration_ltrbbox", "collate", "sigmoid"],
    "vision.preprocess": ["center_crop", "resize_with_aspect_ratio"],
    "vision.resnet50": ["CLASSES", "ResNet50", "ResNet50PostProcessor", "ResNet50PreProcessor"],
    "vision.ssd_mobilenet": ["NUM_OUTPUTS", "SSDMobileNet", "SSDMobileNetNativePostProcessor"],
    "vision.ssd_resnet34": ["CLASSES", "SSDResNet34", "SSDResNet34PythonPostProcessor"],
    "vision.yolov5": ["YOLOv5l", "YOLOv5m"],
    "vision.yolov5.core": ["YOLOv5Base", "YOLOv5NativePostProcessor", "YOLOv5PreProcessor"],
    "vision.yolov5.large": ["CLASSES", "YOLOv5l"],
    "vision.yolov5.medium": ["CLASSES", "YOLOv5m"],
    "vision.yolov5.postprocess": ["YOLOv5PythonPostProcessor"],
    "vision.yolov7_w6_pose": ["YOLOv7w6Pose", "YOLOv7w6PosePostProcessor"],
    "vision.yolov7_w6_pose.postprocess": ["Keypoint", "PoseEstimationResult"],
}


@pytest.mark.parametrize("module", NAMES)
def test_old_import_paths_work(module: str) -> None:
    found = importlib.import_module(f"furiosa_models.{module}")
    assert [name for name in NAMES[module] if not hasattr(found, name)] == []
    assert set(NAMES[module]) - {"EfficientNetV2_S"} <= {*dir(found)} or module == "vision"


def test_modules_of_vision_are_attributes() -> None:
    code = "from furiosa_models import vision; print(vision.resnet50.CLASSES[0], vision.yolov5)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.startswith("tench, Tinca tinca <module")
    assert not hasattr(vision, "resnet51")


MODULES = {
    "resnet50": "ResNet50",
    "efficientnet_b0": "EfficientNetB0",
    "efficientnet_v2_s": "EfficientNetV2s",
    "ssd_mobilenet": "SSDMobileNet",
    "ssd_resnet34": "SSDResNet34",
    "yolov5": "YOLOv5l",
    "yolov7_w6_pose": "YOLOv7w6Pose",
}


@pytest.mark.parametrize("module", MODULES)
def test_modules_of_vision_have_their_functions(
    module: str, photos: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FURIOSA_MODELS_OFFLINE", "1")  # neither needs weights
    found: Any = importlib.import_module(f"furiosa_models.vision.{module}")
    model: Any = get_model(MODULES[module])
    tensor, contexts = found.preprocess(photos[0])
    ours, our_contexts = model.preprocess(photos[0])
    assert np.array_equal(tensor, ours)
    assert contexts == our_contexts
    assert isinstance(found.preprocess, PreProcessor)
    assert isinstance(found.postprocess, PostProcessor)
    with pytest.raises(errors.ShapeError, match=r"expected \d+ outputs?, got 0"):
        found.postprocess([], contexts)


def test_yolov5_processors_accept_anchors_and_names() -> None:
    from furiosa_models.vision.yolov5.core import YOLOv5NativePostProcessor
    from furiosa_models.vision.yolov5.postprocess import YOLOv5PythonPostProcessor

    rng = np.random.default_rng(3)
    outputs = [rng.uniform(0, 1, (1, 21, n, n)).astype(np.float32) for n in (80, 40, 20)]
    anchors = np.ones((3, 3, 2), np.float32)
    context = {"scale": 1.0, "pad": (0.0, 0.0), "width": 640, "height": 640}
    native, numpy = (
        cls(anchors, ["cat", "dog"])(outputs, [context], conf_thres=0.9)
        for cls in (YOLOv5NativePostProcessor, YOLOv5PythonPostProcessor)
    )
    assert {item.label for item in native[0]} == {"cat", "dog"}
    assert [item.label for item in native[0]] == [item.label for item in numpy[0]]
    assert YOLOv5NativePostProcessor.platform is Platform.RUST


def test_class_tables() -> None:
    from furiosa_models.vision.common.datasets import coco, imagenet1k

    assert coco.MobileNetSSD_CLASSES[:2] == ["background", "person"]
    assert [len(coco.MobileNetSSD_CLASSES), len(coco.MobileNetSSD_Large_CLASSES)] == [91, 81]
    assert len(imagenet1k.ImageNet1k_CLASSES) == 1000


def test_error_classes_of_0_10_catch_our_errors() -> None:
    assert issubclass(errors.ArtifactNotFound, errors.FuriosaModelException)
    with pytest.raises(errors.NotFoundInDVCRemote):
        raise errors.ArtifactUnavailable("gone")
    with pytest.raises(errors.ExtraPackageRequired):
        raise errors.ExtraRequired("pip install it")
    assert issubclass(errors.VersionInfoNotFound, errors.FuriosaModelException)


@pytest.mark.parametrize("name", ["onnx", "ONNX", "tflite", "TFLite"])
def test_format_names_of_every_version(name: str) -> None:
    assert Format(name).value == name.upper()
    with pytest.raises(ValueError, match="is not a valid Format"):
        Format("pickle")


def test_user_defined_processor_classes() -> None:
    class Mine(types.PythonPostProcessor):
        def __call__(self, model_outputs: Any, contexts: Any) -> int:
            return len(model_outputs) + len(contexts)

    assert (Mine()([1], [2]), Mine.platform) == (2, Platform.PYTHON)
    with pytest.raises(TypeError, match="abstract"):
        types.PreProcessor()  # type: ignore[abstract]


def test_postprocess_helpers() -> None:
    assert postprocess.sigmoid(np.zeros(2, np.float32)).tolist() == [0.5, 0.5]
    boxes = np.array([[0.0, 0.25, 0.5, 1.0]], np.float32)
    assert postprocess.calibration_ltrbbox(boxes, 200, 100).tolist() == [[0, 25, 100, 100]]
    assert boxes.max() == 1.0
    assert postprocess.calibration_ltrbbox(boxes.astype(int), 200, 100).dtype.kind == "f"


def test_preprocess_helpers(photos: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FURIOSA_MODELS_OFFLINE", "1")
    bgr = preprocess.read_image_opencv_if_needed(photos[0])
    assert preprocess.read_image_opencv_if_needed(bgr) is bgr
    resized = preprocess.resize_with_aspect_ratio(bgr, 224, 224, 87.5, 3)
    assert min(resized.shape[:2]) == 256
    pixels = preprocess.center_crop(resized, 224, 224)[:, :, ::-1].transpose(2, 0, 1)
    assert np.array_equal(vision.ResNet50().preprocess(photos[0])[0][0], pixels)
    with pytest.raises(ValueError, match="INTER_AREA"):
        preprocess.resize_with_aspect_ratio(bgr, 224, 224, 87.5, 2)
    with pytest.raises(errors.ImageError, match="cannot be opened: No such file"):
        preprocess.read_image_opencv_if_needed("nowhere.jpg")


def test_functions_of_the_command(
    photos: list[Path], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert api.get_model("ssd-mobilenet") is vision.SSDMobileNet
    assert api.get_model("nothing") is None
    assert api.normalize("SSD-Mobile_Net") == "ssdmobilenet"
    assert api.prettified_task_type(vision.SSDMobileNet) == "Object Detection"
    rows = api.get_model_list(lambda cls: issubclass(cls, types.PoseEstimationModel))
    assert [(row[0], *row[2:]) for row in rows] == [
        ("MoveNetMultiPose", "Pose Estimation", "Python, Rust"),
        ("MoveNetThunder", "Pose Estimation", "Python, Rust"),
        ("PoseNet", "Pose Estimation", "Python, Rust"),
        ("YOLOv7w6Pose", "Pose Estimation", "Python, Rust"),
    ]
    assert len(api.get_model_list()) == len(vision.__all__)
    assert api.time_with_proper_suffix(0.0123456) == "12.34560 ms"
    assert "QPS: 20.00000" in api.decorate_result(0.5, 10, "Inference")
    monkeypatch.setattr(vision.EfficientNetLite0, "default_weights", "random")
    api.run_inferences(vision.EfficientNetLite0, [str(photos[0])], "python", "cpu")
    said = capsys.readouterr().out
    assert "Run benchmark on 1 input samples" in said
    assert "Preprocess -> Inference -> Postprocess" in said


# --- quantizer ----------------------------------------------------------------------------------

X = np.random.default_rng(3).uniform(-1, 1, (1, 3, 8, 8)).astype(np.float32)
RANGES = {"x": (-1.0, 1.0), "y": (-9.0, 9.0), "z": (0.0, 1.0)}


@pytest.fixture
def network() -> onnx.ModelProto:
    weight = np.random.default_rng(4).normal(size=(4, 3, 3, 3)).astype(np.float32)
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "w"], ["y"]), helper.make_node("Sigmoid", ["y"], ["z"])],
        "net",
        [value("x", TensorProto.FLOAT, [1, 3, 8, 8])],
        [value("y", TensorProto.FLOAT, [1, 4, 6, 6]), value("z", TensorProto.FLOAT, [1, 4, 6, 6])],
        [onnx.numpy_helper.from_array(weight, "w")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


def run(program: bytes, x: Any) -> list[Any]:
    with sync.create_runner(program, device="cpu") as runner:
        return runner.run(x)


def test_quantize_of_0_9(network: onnx.ModelProto) -> None:
    expected = run(network.SerializeToString(), X)
    y, z = run(quantizer.quantize(network, RANGES), X)
    assert np.abs(y - expected[0]).max() < 0.2
    pixels = np.clip(np.round((X + 1) * 127.5), 0, 255).astype(np.uint8)
    program = quantizer.quantize(
        network.SerializeToString(), RANGES, with_quantize=False, normalized_pixel_outputs=[1]
    )
    y, z = run(program, pixels)
    assert np.abs(y - expected[0]).max() < 0.2
    assert z.dtype == np.uint8
    assert np.abs(z / 255.0 - expected[1]).max() < 0.05
    with pytest.raises(IndexError):
        quantizer.quantize(network, RANGES, normalized_pixel_outputs=[2])
    assert quantizer.Graph is bytes
    assert quantizer.__version__


@pytest.mark.parametrize(("kind", "dtype"), [("INT8", np.int8), ("UINT8", np.uint8)])
@pytest.mark.parametrize("pair", [None, (-2.0, 3.0), (1.0, 2.0)])
@pytest.mark.parametrize("float_heads", [True, False])
def test_eight_bit_output(
    network: onnx.ModelProto, kind: str, dtype: type, pair: Any, float_heads: bool
) -> None:
    from furiosa_models.quantization import quantize

    expected = run(network.SerializeToString(), X)[0]
    editor = quantizer.ModelEditor(network)
    editor.convert_output_type("y", quantizer.TensorType[kind], pair)
    y, z = run(quantize(network, RANGES, float_heads=float_heads), X)
    least, greatest = pair or RANGES["y"]
    least, greatest = min(least, 0.0), max(greatest, 0.0)
    scale = (greatest - least) / 255
    zero = round(np.iinfo(dtype).min - least / scale)
    assert (y.dtype, z.dtype) == (dtype, np.float32)
    right = np.clip(expected, least, greatest)
    assert np.abs((y.astype(float) - zero) * scale - right).max() < 0.2
    assert network.metadata_props  # quantize does not modify the user's model


def test_unknown_outputs_and_types_are_rejected(network: onnx.ModelProto) -> None:
    editor = quantizer.ModelEditor(network)
    int8 = quantizer.TensorType.INT8
    with pytest.raises(ValueError, match="no output 'nope'; it has y, z"):
        editor.convert_output_type("nope", int8)
    with pytest.raises(ValueError, match="as the type of an output"):
        editor.convert_output_type("y", 9)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="the range of 'y'"):
        editor.convert_output_type("y", int8, (2.0, 1.0))
    editor.convert_output_type("z", int8)
    with pytest.raises(errors.ShapeError, match="'z', are missing"):
        quantizer.quantize(network, {"x": RANGES["x"], "y": RANGES["y"]})
    editor.convert_output_type("z", quantizer.TensorType.FLOAT32)
    assert not network.metadata_props
    _, outputs = networks.signature(quantizer.quantize(network, RANGES))
    assert [tensor.dtype for tensor in outputs] == ["float32", "float32"]

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from furiosa_models import networks
from furiosa_models.errors import ModelNotFound, ShapeError, WeightsError

from .recorded import RecordedWeights

SSD_SHAPES: list[tuple[int, ...]] = [
    shape
    for anchors, size in zip((3, 6, 6, 6, 6, 6), (19, 10, 5, 3, 2, 1), strict=True)
    for shape in ((91 * anchors, size, size), (4 * anchors, size, size))
]
SSD34_SHAPES: list[tuple[int, ...]] = [
    (anchors * depth, size, size)
    for depth in (81, 4)
    for anchors, size in zip((4, 6, 6, 6, 4, 4), (25, 13, 7, 4, 2, 1), strict=True)
]
POSE_SHAPES: list[tuple[int, ...]] = [
    (channels, 128 // stride, 192 // stride) for stride in (8, 16, 32, 64) for channels in (18, 153)
]
MOVENET_SHAPES: list[tuple[int, ...]] = [(c, 24, 32) for c in (1, 2, 2, 17, 34, 34)]
NANODET_SHAPES: list[tuple[int, ...]] = [
    (cells, width) for cells in (192, 48, 12) for width in (80, 44)
]
CASES: dict[str, tuple[str, dict[str, Any], list[tuple[int, ...]]]] = {
    "mobilenet_ssd": ("mobilenet_ssd", {}, SSD_SHAPES),
    "mobilenet_ssd_025": ("mobilenet_ssd", {"depth_multiplier": 0.25}, SSD_SHAPES),
    "mobilenet_v2_ssd": ("mobilenet_v2_ssd", {}, SSD_SHAPES),
    "deeplab_v3": ("deeplab_v3", {"image_size": 129}, [(21, 129, 129)]),
    "efficientnet_b0": ("efficientnet", {"variant": "b0"}, [(1000,)]),
    "efficientnet_lite0": ("efficientnet", {"variant": "lite0"}, [(1000,)]),
    "efficientnet_lite2": ("efficientnet", {"variant": "lite2"}, [(1000,)]),
    "efficientnet_v2": ("efficientnet_v2", {"image_size": 192}, [(1000,)]),
    "fai_mf": (
        "maskformer",
        {"backbone": "nano", "num_queries": 9, "image_size": [96, 128]},
        [(9, 24, 32), (9, 81)],
    ),
    "bisenetformer": (
        "maskformer",
        {"family": "bisenetformer", "backbone": 18, "num_queries": 9, "image_size": [96, 128]},
        [(9, 12, 16), (9, 81)],
    ),
    "mobilenet_v2": ("mobilenet_v2", {}, [(1000,)]),
    "movenet": ("movenet", {"image_size": [96, 128]}, MOVENET_SHAPES),
    "movenet_thunder": (
        "movenet",
        {"variant": "thunder", "image_size": [96, 128]},
        [MOVENET_SHAPES[i] for i in (0, 3, 4, 5)],
    ),
    "nanodet": ("nanodet", {"image_size": [96, 128]}, NANODET_SHAPES),
    "posenet": ("posenet", {"image_size": [97, 129]}, [(c, 7, 9) for c in (17, 34, 32, 32)]),
    "resnet_18": ("resnet", {"variant": "18", "num_classes": 10}, [(10,)]),
    "resnet_50": ("resnet", {"variant": "50"}, [(1000,)]),
    "resnet_50_v1": ("resnet", {"variant": "50_v1"}, [(1000,)]),
    "selfie_segmentation": ("selfie_segmentation", {"image_size": [96, 64]}, [(1, 96, 64)]),
    "ssd_resnet34": ("ssd_resnet34", {"image_size": 600}, SSD34_SHAPES),
    "u2net": ("u2net", {"image_size": 64}, [(1, 64, 64)]),
    "u2net_p": ("u2net", {"variant": "p", "image_size": [96, 64]}, [(1, 96, 64)]),
    "yolov5n": (
        "yolov5",
        {"variant": "n", "num_classes": 10, "image_size": [96, 160]},
        [(45, 12, 20), (45, 6, 10), (45, 3, 5)],
    ),
    "yolov7_pose": ("yolov7_pose", {"image_size": [128, 192]}, POSE_SHAPES),
}


def _session(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(networks.to_bytes(model), options)


@pytest.mark.parametrize("case", CASES)
def test_random_networks_process_images_independently(case: str) -> None:
    name, params, shapes = CASES[case]
    model = networks.build(name, networks.RandomWeights(), **params)
    onnx.checker.check_model(model, full_check=True)
    assert (model.ir_version, model.opset_import[0].version) == (8, 17)
    session = _session(model)
    feed, shape = session.get_inputs()[0].name, session.get_inputs()[0].shape[1:]
    images = np.random.default_rng(0).normal(size=(2, *shape)).astype(np.float32)
    together = session.run(None, {feed: images})
    assert [output.shape for output in together] == [(2, *shape) for shape in shapes]
    for index, image in enumerate(images):
        for batch, alone in zip(together, session.run(None, {feed: image[None]}), strict=True):
            np.testing.assert_allclose(batch[index], alone[0], rtol=1e-3, atol=1e-3)
    for output in together:
        assert 0.01 < output.std() < 100
        assert np.abs(output[0] - output[1]).max() > 1e-3


def test_ssd_outputs_have_the_names_and_order_of_the_heads() -> None:
    model = networks.build("mobilenet_ssd", networks.RandomWeights(), depth_multiplier=0.25)
    expected = [f"{kind}_{k}" for k in range(6) for kind in ("class", "box")]
    assert [output.name for output in model.graph.output] == expected


def test_outputs_have_the_order_of_the_published_networks() -> None:
    for name, params, expected in (
        ("ssd_resnet34", {}, [f"{kind}_{k}" for kind in ("class", "box") for k in range(6)]),
        ("yolov5", {"variant": "n"}, ["p3", "p4", "p5"]),
        ("yolov7_pose", {}, [f"{kind}_{k}" for k in range(4) for kind in ("box", "keypoints")]),
    ):
        model = networks.build(name, networks.RandomWeights(), **params)
        assert [output.name for output in model.graph.output] == expected


def test_resnet_with_argmax_gives_one_based_class_indexes() -> None:
    weights = networks.RandomWeights()
    image = np.random.default_rng(0).normal(size=(2, 3, 64, 64)).astype(np.float32)
    params = {"variant": "18", "image_size": 64}
    logits, index = (
        _session(networks.build("resnet", weights, argmax=argmax, **params)).run(
            None, {"image": image}
        )[0]
        for argmax in (False, True)
    )
    np.testing.assert_array_equal(index, logits.argmax(1) + 1, strict=True)
    model = networks.to_bytes(networks.build("resnet", weights, argmax=True, **params))
    assert networks.head_operations(model) == {"argmax": {"ArgMax"}}
    fixed = networks.set_batch_size(networks.with_uint8_input(model, (127.5,), (64,)), 3)
    pixels = np.zeros((3, 3, 64, 64), np.uint8)
    assert onnxruntime.InferenceSession(fixed).run(None, {"image": pixels})[0].shape == (3,)


def test_yolov5_with_sigmoid_outputs_and_another_activation() -> None:
    weights = networks.RandomWeights()
    params: dict[str, Any] = {"variant": "n", "image_size": 64, "num_classes": 2}
    image = {"images": np.random.default_rng(0).random((1, 3, 64, 64), np.float32)}
    raw, behind, relu = (
        _session(networks.build("yolov5", weights, **params, **more)).run(None, image)
        for more in ({}, {"sigmoid": True}, {"activation": "relu"})
    )
    for before, after, other in zip(raw, behind, relu, strict=True):
        np.testing.assert_allclose(after, 1 / (1 + np.exp(-before)), atol=1e-5)
        assert np.abs(before - other).max() > 1e-2


@pytest.mark.parametrize(
    ("name", "size"),
    [("yolov5", 100), ("yolov5", 0), ("yolov5", [64, 65]), ("yolov7_pose", 96), ("yolov5", [64])],
)
def test_yolo_sizes_must_be_multiples_of_the_stride(name: str, size: int | list[int]) -> None:
    with pytest.raises(ShapeError, match="multiple of"):
        networks.build(name, networks.RandomWeights(), image_size=size)


def test_image_size_classes_and_batch_size_are_configurable() -> None:
    params = {"depth_multiplier": 0.25, "image_size": 160, "num_classes": 5, "batch_size": 2}
    model = networks.build("mobilenet_ssd", networks.RandomWeights(), **params)
    image = np.zeros((2, 3, 160, 160), np.float32)
    class_0, box_0, *_ = _session(model).run(None, {"image": image})
    assert (class_0.shape, box_0.shape) == ((2, 15, 10, 10), (2, 12, 10, 10))
    model = networks.build(
        "efficientnet", networks.RandomWeights(), variant="lite0", image_size=96, num_classes=7
    )
    logits = _session(model).run(None, {"image": np.zeros((1, 3, 96, 96), np.float32)})[0]
    assert logits.shape == (1, 7)


def test_builds_are_equal_in_every_process() -> None:
    code = (
        "import hashlib; from furiosa_models import networks as n;"
        "m = n.build('mobilenet_ssd', n.RandomWeights(), depth_multiplier=0.25);"
        "print(hashlib.sha256(n.to_bytes(m)).hexdigest())"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code],
            check=True,
            capture_output=True,
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
        ).stdout
        for seed in ("1", "2")
    }
    assert len(outputs) == 1


def test_importing_the_package_loads_neither_onnx_nor_numpy() -> None:
    code = (
        "import sys, furiosa_models.networks as n; n.recipe('resnet');"
        "sys.exit(str({'onnx', 'numpy'} & set(sys.modules)) if {'onnx', 'numpy'} & set(sys.modules)"
        " else 0)"
    )
    environment = {"PYTHONPATH": ":".join(sys.path)}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)


@pytest.mark.parametrize("name", networks.__all__)
def test_every_public_name_can_be_imported(name: str) -> None:
    assert getattr(networks, name) is not None


def test_error_for_an_unknown_name_suggests_known_ones() -> None:
    with pytest.raises(ModelNotFound, match="Did you mean mobilenet_ssd"):
        networks.recipe("mobilenet_sdd")
    with pytest.raises(ModelNotFound, match="Did you mean mobilenet_ssd"):
        networks.build("mobilenet_sdd", networks.RandomWeights())
    with pytest.raises(ModelNotFound, match="b0, lite0, lite1, lite2"):
        networks.build("efficientnet", networks.RandomWeights(), variant="lite9")
    with pytest.raises(AttributeError, match="nothing"):
        networks.nothing  # noqa: B018


def test_weights_of_another_network_are_rejected() -> None:
    recorded = RecordedWeights(networks.RandomWeights())
    networks.build("efficientnet", recorded, variant="lite0")
    arrays = {name: recorded.get(asked) for name, asked in list(recorded.asked.items())}
    weights = networks.NamedWeights(arrays)
    networks.build("efficientnet", weights, variant="lite0")
    with pytest.raises(WeightsError, match=r"_blocks\.\d+"):
        networks.build("efficientnet", weights, variant="lite1")

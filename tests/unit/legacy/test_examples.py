"""The examples and tutorials of 0.8, 0.9 and 0.10, in which only the import is changed."""

from __future__ import annotations

import asyncio
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
import yaml
from PIL import Image

from furiosa_models import networks, vision
from furiosa_models.artifacts import Store
from furiosa_models.artifacts.descriptor import zoo
from furiosa_models.networks import RandomWeights
from furiosa_models.quantizer import ModelEditor, TensorType, get_pure_input_names, quantize
from furiosa_models.runtime import session
from furiosa_models.runtime.sync import create_runner
from furiosa_models.types import Model, Platform
from furiosa_models.weights import _recipe_key

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")

CLASSIFIERS = ["ResNet50", "EfficientNetB0", "EfficientNetV2s"]
DETECTORS = [
    "SSDMobileNet",
    pytest.param("SSDResNet34", marks=pytest.mark.slow),
    pytest.param("YOLOv5m", marks=pytest.mark.slow),
    pytest.param("YOLOv5l", marks=pytest.mark.slow),
    pytest.param("YOLOv7w6Pose", marks=pytest.mark.slow),
]


@pytest.fixture(autouse=True)
def _random_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give `ResNet50()` random weights instead of fetched ones."""
    monkeypatch.setattr(Model, "default_weights", "random")


@pytest.fixture
def cat(photos: list[Path]) -> str:
    return str(photos[0])


@pytest.fixture
def bgr(cat: str) -> npt.NDArray[np.uint8]:
    """The photo as OpenCV reads it."""
    with Image.open(cat) as image:
        return np.ascontiguousarray(np.asarray(image.convert("RGB"))[:, :, ::-1])


def test_models_are_loaded() -> None:
    found: Model = vision.ResNet50.load()
    assert isinstance(found, vision.ResNet50)
    awaited: Model = asyncio.run(vision.ResNet50.load_async())
    assert isinstance(awaited, vision.ResNet50)
    made: Model = vision.ResNet50()
    assert (made.name, made.family, made.version) == ("ResNet50", "ResNet", "v1.5")
    assert made.metadata is not None
    assert made.metadata.publication is not None
    assert str(made.metadata.publication.url).startswith("https://arxiv.org")


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_classifiers_run(name: str, cat: str) -> None:
    cls: Any = getattr(vision, name)
    results = []
    for native in (None, True):  # 0.8
        model = cls.load(use_native=native)
        with session.create(model) as sess:
            inputs, _ = model.preprocess(cat)
            outputs = sess.run(inputs).numpy()
            results.append(model.postprocess(outputs))
    model = cls.load()  # 0.9
    with session.create(model.enf) as sess:
        inputs, _ = model.preprocess(cat)
        results.append(model.postprocess(sess.run(inputs).numpy()))
    model = cls()  # 0.10
    with create_runner(model.model_source()) as runner:
        inputs, _ = model.preprocess(cat)
        response: str = model.postprocess(runner.run(inputs))
    assert isinstance(response, str)
    assert results == [response] * 3


@pytest.mark.parametrize("name", DETECTORS)
def test_detectors_run(name: str, cat: str, bgr: npt.NDArray[np.uint8]) -> None:
    cls: Any = getattr(vision, name)
    model = cls.load()
    with session.create(model) as sess:  # 0.8
        inputs, contexts = model.preprocess([cat])
        outputs = sess.run(inputs).numpy()
        old = model.postprocess(outputs, contexts)
        assert model.postprocess(outputs, context=contexts) == old
    native = cls.load(use_native=True)
    with session.create(native.enf) as sess:  # 0.9
        inputs, contexts = native.preprocess([cat])
        outputs = sess.run(inputs).numpy()
        assert native.postprocess(outputs, contexts[0]) == old[0]
        assert native.postprocessor(outputs, contexts=contexts[0]) == old[0]
        output = sess.run(np.expand_dims(inputs[0], axis=0)).numpy()
        assert native.postprocess(output, contexts=contexts) == old
    made = cls(postprocessor_type=Platform.RUST)
    with create_runner(made.model_source()) as runner:  # 0.10
        inputs, contexts = made.preprocess([bgr])
        output = runner.run(np.expand_dims(inputs[0], axis=0))
        assert made.postprocessor(output, contexts=contexts) == old
    python = cls(postprocessor_type="Python")
    found = python.postprocess(output, contexts=contexts)
    assert [len(each) for each in found] == [len(each) for each in old]


def test_batch_with_the_source(cat: str) -> None:
    mobilenet = vision.SSDMobileNet.load()
    with session.create(mobilenet.source, batch_size=2) as sess:
        inputs, context = mobilenet.preprocess([cat, cat])
        outputs = sess.run(inputs).numpy()
        found = mobilenet.postprocess(outputs, context=context)  # type: ignore[call-arg]
    assert len(found) == 2
    assert found[0] == found[1]


@pytest.fixture
def calibrated(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use the weights whose ranges ship with the package, but with random values."""
    monkeypatch.setenv("FURIOSA_MODELS_OFFLINE", "1")
    monkeypatch.setattr(Model, "default_weights", None)
    for name, weights in (("SSDMobileNet", "depth075"), ("ResNet50", "keras-v1")):
        artifact = zoo()[name].sets[weights]
        network = artifact.network
        assert network is not None
        proto = networks.build(network.name, RandomWeights(), **network.params)
        data = networks.to_bytes(proto)
        Store().derive(_recipe_key(artifact), lambda data=data: data)  # type: ignore[misc]


@pytest.mark.usefixtures("calibrated")
def test_source_is_quantized_as_in_0_9(cat: str) -> None:
    mobilenet = vision.SSDMobileNet.load()
    onnx_model: bytes = mobilenet.source
    calib_range: dict[str, Any] = yaml.full_load(mobilenet.calib_yaml)
    dfg = quantize(onnx_model, calib_range, with_quantize=False)
    with session.create(dfg, compiler_config={"tabulate_dequantize": True}) as sess:
        inputs, contexts = mobilenet.preprocess([cat])
        outputs = sess.run(inputs).numpy()
    assert len(mobilenet.postprocess(outputs, contexts)) == 1


@pytest.mark.usefixtures("calibrated")
def test_origin_is_quantized_as_in_0_10(cat: str) -> None:
    mobilenet = vision.SSDMobileNet()
    quantized = quantize(mobilenet.origin, mobilenet.tensor_name_to_range)
    config = {"lower_tabulated_dequantize": True}
    with create_runner(quantized, compiler_config=config) as runner:
        inputs, contexts = mobilenet.preprocess([cat], with_scaling=True)
        outputs = runner.run(inputs)
    assert len(mobilenet.postprocess(outputs, contexts)) == 1


@pytest.mark.usefixtures("calibrated")
def test_quantization_tutorial(capsys: pytest.CaptureFixture[str]) -> None:
    model = vision.ResNet50()
    f32 = onnx.load_from_string(model.origin)
    name, pair = next(iter(model.tensor_name_to_range.items()))
    assert isinstance(name, str)
    assert len(pair) == 2
    with create_runner(quantize(f32, model.tensor_name_to_range)) as runner:
        runner.model.print_summary()
        fake = [
            np.asarray(np.random.default_rng(0).integers(256, size=d.shape), dtype=d.dtype.numpy)
            for d in runner.model.inputs()
        ]
        runner.run(fake)
    without = deepcopy(f32)
    editor = ModelEditor(without)
    for name in get_pure_input_names(without):
        editor.convert_input_type(name, TensorType.UINT8)
    with create_runner(quantize(without, model.tensor_name_to_range)) as runner:
        runner.model.print_summary()
        assert [desc.dtype.numpy for desc in runner.model.inputs()] == [np.uint8]
        runner.run([array.astype(np.uint8) for array in fake])
    assert "dtype=UINT8" in capsys.readouterr().out


def test_navigation_tutorial() -> None:
    assert {"ResNet50", "SSDMobileNet", "YOLOv7w6Pose"} <= {*dir(vision)}
    model = vision.ResNet50()
    assert str(model).startswith("ResNet50(")
    assert {"name", "preprocessor"} <= {*model.model_fields.keys()}
    assert list(model.model_computed_fields.keys()) == ["origin", "tensor_name_to_range"]
    with create_runner(model.model_source(num_pe=2)) as runner:
        (tensor,) = runner.model.inputs()
    assert tensor.shape[1:] == (3, 224, 224)


@pytest.mark.slow
def test_poses_are_drawn(bgr: npt.NDArray[np.uint8]) -> None:
    pose = vision.YOLOv7w6Pose()
    with create_runner(pose.model_source()) as runner:
        inputs, contexts = pose.preprocess([bgr])
        results = pose.postprocess(runner.run(inputs), contexts=contexts)
    vision.YOLOv7w6Pose.visualize(bgr, results[0])
    pose.visualize(bgr, results[0])


def test_model_object_has_all_attributes() -> None:
    model = vision.EfficientNetB0()
    for name in (
        *("name", "task_type", "format", "family", "version", "metadata", "tags", "origin"),
        *("source", "enf", "inputs", "outputs", "compiler_config", "preprocessor"),
        *("postprocessor", "postprocessor_map", "preprocess", "postprocess", "model_source"),
        *("resolve_all", "model_dump", "model_dump_json"),
    ):
        assert hasattr(model, name), name
    assert "bytes" not in model.model_dump_json()

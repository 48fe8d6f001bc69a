"""The model object of 0.8, 0.9 and 0.10: its attributes, and how to replace them."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import yaml

from furiosa_models import networks
from furiosa_models.artifacts import Store
from furiosa_models.artifacts.descriptor import zoo
from furiosa_models.enums import Platform
from furiosa_models.errors import ArtifactNotFound
from furiosa_models.processors import (
    PostProcessor,
    PreProcessor,
    PythonPostProcessor,
    RustPostProcessor,
)
from furiosa_models.quantization import quantize
from furiosa_models.runtime import session, sync
from furiosa_models.spec import ImageContext, ModelTensor
from furiosa_models.vision import EfficientNetLite0, PoseNet, SSDMobileNet, YOLOv5n
from furiosa_models.weights import _recipe_key

pytestmark = pytest.mark.filterwarnings("ignore:session:FutureWarning")


@pytest.fixture
def detector() -> SSDMobileNet:
    return SSDMobileNet(weights="random")


def test_fields_have_the_names_of_pydantic(detector: SSDMobileNet) -> None:
    assert [*detector.model_fields] == [
        *("name", "task_type", "format", "family", "version", "metadata", "tags"),
        *("preprocessor", "postprocessor"),
    ]
    assert [*SSDMobileNet.model_computed_fields] == ["origin", "tensor_name_to_range"]
    for name in detector.model_fields:
        assert hasattr(detector, name)
    assert detector.compiler_config is None


def test_inputs_and_outputs_are_described(detector: SSDMobileNet) -> None:
    assert detector.inputs == [ModelTensor("image", "float32", [-1, 3, 300, 300])]
    assert len(detector.outputs) == 12
    assert detector.outputs[0].shape == [-1, 273, 19, 19]


@pytest.mark.parametrize(
    ("platform", "kind"), [("rust", RustPostProcessor), ("python", PythonPostProcessor)]
)
def test_processors_are_objects(
    platform: str, kind: type[PostProcessor], photos: list[Path]
) -> None:
    model = SSDMobileNet(weights="random", postprocessor_type=platform)
    assert isinstance(model.preprocessor, PreProcessor)
    assert isinstance(model.postprocessor, kind)
    assert model.postprocessor.platform is Platform(platform)
    tensor, contexts = model.preprocessor([photos[0]], with_scaling=True)
    assert tensor.dtype == np.float32
    with sync.create_runner(model.origin) as runner:
        outputs = runner.run(tensor)
    expected = model.postprocess(outputs, contexts, 0.9)
    assert model.postprocessor(outputs, contexts=contexts, confidence_threshold=0.9) == expected


def test_postprocessor_map(detector: SSDMobileNet) -> None:
    assert [*SSDMobileNet.postprocessor_map] == [Platform.PYTHON, Platform.RUST]
    assert detector.postprocessor_map == SSDMobileNet.postprocessor_map
    assert issubclass(SSDMobileNet.postprocessor_map[Platform.RUST], RustPostProcessor)
    assert SSDMobileNet.postprocessor_map is not YOLOv5n.postprocessor_map
    made = SSDMobileNet.postprocessor_map[Platform.PYTHON]()
    assert made.platform is Platform.PYTHON
    with pytest.raises(ValueError, match="12 outputs"):
        made([np.zeros((1, 2), np.float32)], [])


def test_user_defined_processor_is_called(detector: SSDMobileNet, photos: list[Path]) -> None:
    class Count(PostProcessor):
        def __call__(self, model_outputs: Any, contexts: Any) -> list[int]:
            return [len(model_outputs)] * len(contexts)

    class Gray(PreProcessor):
        def __call__(self, inputs: Any) -> tuple[npt.NDArray[np.uint8], list[ImageContext]]:
            return np.full((len(inputs), 3, 300, 300), 128, np.uint8), [ImageContext(1, 1)]

    detector.postprocessor, detector.preprocessor = Count(), Gray()
    outputs = [np.zeros(1)] * 3
    assert detector.postprocess(outputs, [ImageContext(1, 1)] * 2) == [3, 3]
    steps = detector.steps(device="cpu")
    assert steps.results([steps.read(photos[0])]) == [12]
    assert isinstance(detector.preprocessor, Gray)


@pytest.mark.parametrize("name", ["SSDMobileNet", "YOLOv5n", "PoseNet"])
def test_single_context_gives_the_results_of_one_photo(name: str, photos: list[Path]) -> None:
    cls = {"SSDMobileNet": SSDMobileNet, "YOLOv5n": YOLOv5n, "PoseNet": PoseNet}[name]
    model: Any = cls(weights="random")
    tensor, contexts = model.preprocess([photos[0]])
    with sync.create_runner(model) as runner:
        outputs = runner.run(tensor)
    listed = model.postprocess(outputs, contexts)
    one = model.postprocess(outputs, contexts[0])
    assert [len(listed), one] == [1, listed[0]]
    assert model.postprocess(outputs, context=contexts) == listed
    assert model.postprocess(outputs, context=dict(contexts[0])) == listed[0]
    assert model.postprocessor(outputs, context=contexts[0]) == listed[0]
    with pytest.raises(TypeError, match="contexts given twice"):
        model.postprocess(outputs, contexts=contexts, context=contexts)


def test_with_quantize_of_0_9_is_an_alias_of_with_scaling(
    detector: SSDMobileNet, photos: list[Path]
) -> None:
    scaled, _ = detector.preprocess(photos[:1], with_scaling=True)
    assert np.array_equal(detector.preprocess(photos[:1], with_quantize=True)[0], scaled)  # type: ignore[call-arg]
    lite: Any = EfficientNetLite0(weights="random")
    assert lite.preprocess(photos[0], with_quantize=True)[0].dtype == np.float32
    with pytest.raises(TypeError, match="with_scaling given twice"):
        detector.preprocess(photos[:1], with_scaling=True, with_quantize=True)  # type: ignore[call-arg]


def test_enf_runs(photos: list[Path]) -> None:
    model = EfficientNetLite0(weights="random")
    assert model.enf == model.model_source()
    tensor, _ = model.preprocess(photos[0])
    with session.create(model.enf) as opened, sync.create_runner(model.enf) as runner:
        assert np.array_equal(opened.run(tensor)[0].numpy(), runner.run(tensor)[0])


def test_source_accepts_the_output_of_preprocess(
    detector: SSDMobileNet, photos: list[Path]
) -> None:
    assert detector.source == detector.origin
    assert isinstance(detector.source, bytes)
    pixels, _ = detector.preprocess(photos[:2])
    scaled, _ = detector.preprocess(photos[:2], with_scaling=True)
    with session.create(detector.source, batch_size=2) as opened:
        first, second = opened.run(pixels).numpy(), opened.run(scaled).numpy()
        named = opened.run_with([opened.output(0).name], {opened.input(0).name: pixels})
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
    assert np.array_equal(first[0], named[0])
    submitter, queue = session.create_async(detector.source, batch_size=2)
    with submitter, queue:
        submitter.submit(pixels, context="both")
        assert np.array_equal(queue.recv()[1][0], first[0])
    assert pickle.loads(pickle.dumps(detector.source)) == detector.origin


def test_load_accepts_the_versions_of_0_8() -> None:
    options: Any = {"weights": "random"}
    assert SSDMobileNet.load(True, version="cpp", **options).platform is Platform.RUST
    assert SSDMobileNet.load(version="python", **options).platform is Platform.PYTHON
    assert SSDMobileNet.load(False, **options).platform is Platform.PYTHON


def test_ranges_of_the_zoo_quantize_the_origin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FURIOSA_MODELS_OFFLINE", "1")
    store, artifact = Store(), zoo()["EfficientNetLite0"].sets["pytorch"]
    store.derive(_recipe_key(artifact), lambda: EfficientNetLite0(weights="random").origin)
    model = EfficientNetLite0(weights="pytorch")
    ranges = model.tensor_name_to_range
    assert ranges["image"] == pytest.approx([-1.0, 1.0], abs=0.01)
    assert yaml.safe_load(model.calib_yaml) == model.calib_range == ranges
    inputs, _ = networks.signature(quantize(model.origin, ranges))
    assert [tensor.dtype for tensor in inputs] == ["float32"]
    with pytest.raises(ArtifactNotFound, match="was not calibrated"):
        _ = EfficientNetLite0(weights="random").tensor_name_to_range

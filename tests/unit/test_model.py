from __future__ import annotations

import asyncio
import pickle
import threading
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from PIL import Image

from furiosa_models import Detector
from furiosa_models.errors import ArtifactNotFound, ShapeError
from furiosa_models.runtime.sync import create_runner
from furiosa_models.spec import ImageContext
from furiosa_models.tasks import Classification, Detections
from furiosa_models.types import Format, ModelTaskType, Platform
from furiosa_models.vision import EfficientNetLite0, SSDMobileNet
from tests.planted import plant

from ..platforms import BOTH


@pytest.fixture(scope="module")
def detector() -> SSDMobileNet:
    return SSDMobileNet(weights="random")


@pytest.fixture(scope="module")
def classifier() -> EfficientNetLite0:
    return EfficientNetLite0(weights="random")


def test_metadata_of_0_10() -> None:
    model = SSDMobileNet()
    assert (model.name, model.family, model.version) == (
        "MLCommonsSSDMobileNet",
        "MobileNetV1",
        "v1.1",
    )
    assert model.task_type is ModelTaskType.OBJECT_DETECTION
    assert model.format is Format.ONNX


def test_nothing_is_fetched_before_it_is_needed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("FURIOSA_MODELS_CACHE_HOME", str(tmp_path / "none"))
    model = SSDMobileNet()
    assert repr(model) == "SSDMobileNet(weights='published')"
    assert model.model_dump()["name"] == "MLCommonsSSDMobileNet"
    assert "MLCommons" in model.model_dump_json()
    assert model.weights == "published"
    assert SSDMobileNet.available_weights()[0] == "published"
    assert not (tmp_path / "none").exists()


def test_repr_names_random_weights() -> None:
    assert "random" in repr(SSDMobileNet(weights="random"))


def test_postprocessor_platforms() -> None:
    assert SSDMobileNet().platform is Platform.RUST
    assert SSDMobileNet(postprocessor_type="Python").platform is Platform.PYTHON
    with pytest.raises(ValueError, match="'bogus' is not a valid Platform"):
        SSDMobileNet(postprocessor_type="bogus")
    with pytest.raises(ValueError, match="has no CPP postprocessor; it has RUST, PYTHON"):
        SSDMobileNet(postprocessor_type="cpp")


def test_load_and_load_async() -> None:
    model = SSDMobileNet.load(False, weights="random")
    assert (model.platform, model.weights) == (Platform.PYTHON, "random")
    model = asyncio.run(SSDMobileNet.load_async(use_native=True, weights="random"))
    assert model.platform is Platform.RUST


def test_load_async_does_not_block_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()
    monkeypatch.setattr("furiosa_models.weights.Weights.resolve", lambda _: release.wait(5))

    async def main() -> bool:
        loading = asyncio.create_task(SSDMobileNet.load_async())
        await asyncio.sleep(0.05)  # would not return if the loop were blocked
        busy = not loading.done()
        release.set()
        await loading
        return busy

    assert asyncio.run(main())


def test_origin_and_model_source_give_the_same_outputs(
    detector: SSDMobileNet, photos: list[Path]
) -> None:
    onnx.checker.check_model(detector.origin, full_check=True)
    onnx.checker.check_model(detector.model_source(), full_check=True)
    assert detector.source == detector.origin
    with (
        create_runner(detector.model_source(), device="cpu") as inside,
        create_runner(detector.origin, device="cpu") as outside,
    ):
        a = inside.run(detector.preprocess(photos[0])[0])
        b = outside.run(detector.preprocess(photos[0], with_scaling=True)[0])
    for x, y in zip(a, b, strict=True):
        np.testing.assert_allclose(x, y, atol=1e-3)


def test_num_pe() -> None:
    with pytest.raises(ValueError, match="Invalid num_pe: 3"):
        SSDMobileNet(weights="random").model_source(num_pe=3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="Invalid num_pe"):
        SSDMobileNet().fetch_enf(num_pe=0)  # type: ignore[arg-type]


def test_unpublished_programs_and_ranges_are_not_found() -> None:
    with pytest.raises(ArtifactNotFound, match="no ENF for 2 PE"):
        EfficientNetLite0().fetch_enf()
    with pytest.raises(ArtifactNotFound, match="no ENF for 1 PE and IR version 9"):
        SSDMobileNet().fetch_enf(1, ir_version="9")
    with pytest.raises(ArtifactNotFound, match="was not calibrated"):
        _ = SSDMobileNet(weights="random").tensor_name_to_range


def test_program_of_the_newest_compiler_is_the_default() -> None:
    file = SSDMobileNet.catalog()["published"].enf["0.10.1_8b00177dc"]["2pe"]
    plant(file, b"a program of the NPU")
    assert SSDMobileNet().fetch_enf() == b"a program of the NPU"


def test_preprocess_of_0_10(detector: SSDMobileNet, photos: list[Path]) -> None:
    tensor, contexts = detector.preprocess([str(photo) for photo in photos[:2]])
    assert tensor.shape == (2, 3, 300, 300)
    assert tensor.dtype == np.uint8
    assert tensor.flags.c_contiguous
    assert (contexts[0]["width"], contexts[0]["height"]) == (512, 512)
    scaled, _ = detector.preprocess(photos[0], with_scaling=True)
    assert scaled.shape == (1, 3, 300, 300)
    assert scaled.dtype == np.float32
    assert -1 <= scaled.min() < scaled.max() <= 1


def test_preprocess_without_photos_is_an_error(detector: SSDMobileNet) -> None:
    with pytest.raises(ShapeError, match="at least one photo"):
        detector.preprocess([])


def run(
    model: SSDMobileNet, photos: list[Path]
) -> tuple[list[npt.NDArray[Any]], list[ImageContext]]:
    tensor, contexts = model.preprocess(photos)
    with create_runner(model, device="cpu") as runner:
        return runner.run(tensor), contexts


def test_detection_is_the_same_on_both_platforms(photos: list[Path]) -> None:
    results = []
    for platform in (Platform.RUST, Platform.PYTHON):
        model = SSDMobileNet(weights="random", postprocessor_type=platform)
        outputs, contexts = run(model, photos[:3])
        results.append(model.postprocess(outputs, contexts, score_threshold=0.5))
    for rust, python in zip(*results, strict=True):
        assert len(rust) == len(python) > 0
        np.testing.assert_allclose(rust.boxes, python.boxes, atol=1e-3)
        np.testing.assert_allclose(rust.scores, python.scores, atol=1e-6)
        np.testing.assert_array_equal(rust.class_ids, python.class_ids)


def test_thresholds_by_every_name(detector: SSDMobileNet, photos: list[Path]) -> None:
    outputs, contexts = run(detector, photos[:1])
    expected = detector.postprocess(outputs, contexts, 0.6, 0.4)
    for names in (
        {"score_threshold": 0.6, "iou_threshold": 0.4},
        {"confidence_threshold": 0.6, "iou_threshold": 0.4},
        {"conf_thres": 0.6, "iou_thres": 0.4},
    ):
        assert detector.postprocess(outputs, contexts, **names) == expected
    assert all(score >= 0.6 for score in expected[0].scores)
    with pytest.raises(TypeError, match="score_threshold given twice"):
        detector.postprocess(outputs, contexts, 0.6, conf_thres=0.6)
    with pytest.raises(TypeError, match="unknown argument 'threshold'"):
        detector.postprocess(outputs, contexts, threshold=0.6)
    with pytest.raises(ValueError, match="threshold"):
        detector.postprocess(outputs, contexts, 1.5)


def test_contexts_of_0_10_are_plain_dicts(detector: SSDMobileNet, photos: list[Path]) -> None:
    outputs, contexts = run(detector, photos[:1])
    plain = [{"width": 512, "height": 512}]
    assert detector.postprocess(outputs, plain) == detector.postprocess(outputs, contexts)


@BOTH
def test_wrong_outputs_and_contexts_are_errors(photos: list[Path], platform: Platform) -> None:
    model = SSDMobileNet(weights="random", postprocessor_type=platform)
    outputs, contexts = run(model, photos[:1])
    with pytest.raises(ShapeError, match="expected 12 outputs, got 11"):
        model.postprocess(outputs[:-1], contexts)
    with pytest.raises(ShapeError, match="contexts"):
        model.postprocess(outputs, [*contexts, *contexts])
    with pytest.raises(ShapeError, match="must be a float32 array .* got float64"):
        model.postprocess([outputs[0].astype(np.float64), *outputs[1:]], contexts)
    with pytest.raises(ShapeError, match=r"class_maps\[0\] and box_maps\[0\] must have shapes"):
        model.postprocess([outputs[0][:, :, :-1], *outputs[1:]], contexts)


def test_predict_one_many_and_streamed(detector: SSDMobileNet, photos: list[Path]) -> None:
    one = detector.predict(photos[0], device="cpu")
    assert isinstance(one, Detections)
    assert one.image == photos[0]
    many = detector.predict(photos[:3], batch_size=2, device="cpu")
    assert len(many) == 3
    np.testing.assert_allclose(many[0].boxes, one.boxes, atol=1e-2)
    streamed = detector.predict(photos[:3], stream=True, device="cpu")
    assert next(streamed) == one
    with pytest.raises(ValueError, match="batch_size must be at least 1"):
        detector.predict(photos[0], batch_size=0)


def test_predict_keeps_one_runner_and_close_frees_it(photos: list[Path]) -> None:
    with SSDMobileNet(weights="random") as model:
        model.predict(photos[0], device="cpu")
        first = model._runner("cpu")
        model.predict(photos[0], device="cpu")
        assert model._runner("cpu") is first
    assert "closed" in repr(first)
    assert model.predict(photos[0]) is not None  # a new runner is created


def test_predict_from_many_threads(detector: SSDMobileNet, photos: list[Path]) -> None:
    expected = detector.predict(photos[:4])
    results: dict[int, Detections] = {}

    def work(i: int) -> None:
        results[i] = detector.predict(photos[i])

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [results[i] for i in range(4)] == expected


def test_classification_of_0_10(classifier: EfficientNetLite0, photos: list[Path]) -> None:
    tensor, contexts = classifier.preprocess(str(photos[0]))
    assert contexts is None
    with create_runner(classifier, device="cpu") as runner:
        outputs = runner.run(tensor)
    result = classifier.postprocess(outputs)
    assert isinstance(result, str)
    assert result == classifier.postprocess(outputs, contexts)
    assert isinstance(result, Classification)
    assert len(result.top) == 5


def test_classification_of_a_batch(classifier: EfficientNetLite0, photos: list[Path]) -> None:
    tensor, contexts = classifier.preprocess(photos[:2])
    with create_runner(classifier, device="cpu") as runner:
        outputs = runner.run(tensor)
    results = classifier.postprocess(outputs, contexts, top_k=3)
    assert [len(result.top) for result in results] == [3, 3]
    predicted = classifier.predict(photos[:2], top_k=3)
    assert [r.top[0].index for r in predicted] == [r.top[0].index for r in results]
    with pytest.raises(ShapeError, match="contexts"):
        classifier.postprocess(outputs, (contexts or [])[:1])
    with pytest.raises(ValueError, match="top_k must be at least 1, got 0"):
        classifier.predict(photos[0], top_k=0)


def test_user_subclass_has_the_weights_of_its_base() -> None:
    class Mine(SSDMobileNet):
        """A detector of mine."""

    assert Mine.available_weights() == SSDMobileNet.available_weights()
    assert Mine(weights="random").origin == SSDMobileNet(weights="random").origin


def test_models_can_be_pickled() -> None:
    copy = pickle.loads(pickle.dumps(SSDMobileNet(weights="random", postprocessor_type="python")))
    assert (copy.weights, copy.platform) == ("random", Platform.PYTHON)


def test_names_are_labels_by_class_id() -> None:
    model = SSDMobileNet(weights="random")
    assert model.names[1] == model.labels[1]
    assert list(model.names.values()) == list(model.labels)


def test_results_have_image_size_and_speed(photos: list[Path]) -> None:
    model = SSDMobileNet(weights="random")
    with Image.open(photos[0]) as photo:
        size = photo.size
    one = model(photos[0], device="cpu", score_threshold=0.9)
    many = model(photos[:2], device="cpu", score_threshold=0.9, batch_size=2)
    live = list(model.predict(iter(photos[:1]), stream=True, device="cpu"))
    drafted = EfficientNetLite0(weights="random")(photos[0], draft=True, device="cpu")
    for result in (one, many[0], live[0], drafted):
        assert result.image_size == size
        assert result.speed is not None
        assert all(stage > 0 for stage in result.speed)
        assert result.speed.total == pytest.approx(sum(result.speed))
    pixels = model(np.zeros((20, 30, 3), np.uint8), device="cpu")
    assert pixels.image_size == (30, 20)


def test_notebook_output_of_a_model_fetches_nothing(tmp_path: Path) -> None:
    page = SSDMobileNet()._repr_html_()
    for part in ("object_detection", "300 x 300", "91", "published"):
        assert part in page
    bad = tmp_path / "<b>.onnx"
    bad.write_bytes(b"no graph")
    page = Detector(bad)._repr_html_()
    assert "<b>.onnx" not in page
    assert "problem" in page

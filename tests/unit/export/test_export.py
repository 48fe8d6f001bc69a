"""`Model.export` and `InferModel`: the file has all that is needed for the same results."""

from __future__ import annotations

import json
import logging
import pickle
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from furiosa_models import Classifier, Detector, InferModel, ModelManager, RuntimeType
from furiosa_models.enums import Platform
from furiosa_models.errors import (
    ArtifactNotFound,
    BackendUnavailable,
    ConfigurationError,
    ConversionError,
    ExtraRequired,
    FuriosaModelsError,
    ShapeError,
    WeightsError,
)
from furiosa_models.export.targets import device_of, file_name, runtime_of_file, runtime_type_of
from furiosa_models.heads import ClassificationHead
from furiosa_models.model import Model
from furiosa_models.networks import edit
from furiosa_models.spec import DESCRIPTION_KEY
from furiosa_models.vision import (
    EfficientNetLite0,
    MobileNetV2,
    MoveNetThunder,
    PoseNet,
    SSDMobileNet,
    YOLOv5n,
)


@pytest.fixture(scope="module")
def classifier() -> MobileNetV2:
    return MobileNetV2("random")


@pytest.fixture(scope="module")
def detector() -> SSDMobileNet:
    return SSDMobileNet(
        "random", head={"score_threshold": 0.5}, labels=[f"c{i}" for i in range(91)]
    )


def assert_same(found: Any, expected: Any, tolerance: float = 0.0) -> None:
    ours, theirs = found.columns(), expected.columns()
    assert ours.keys() == theirs.keys()
    for name, values in theirs.items():
        if values.dtype.kind == "f":
            np.testing.assert_allclose(ours[name], values, rtol=0, atol=tolerance)
        else:
            np.testing.assert_array_equal(ours[name], values)


@pytest.mark.parametrize("cls", [MobileNetV2, SSDMobileNet, YOLOv5n], ids=lambda cls: cls.__name__)
def test_exported_onnx_gives_the_same_results(
    cls: type[Model[Any]], photos: list[Path], tmp_path: Path
) -> None:
    model = cls("random")
    expected = model.predict(photos[0], device="cpu")
    inferred = len(model.infer(photos[0]))
    exported = model.export("onnx_cpu", out_dir=tmp_path)
    assert exported.model_path == tmp_path / "model.onnx"
    assert exported.labels == model.labels
    assert (exported.input, repr(exported.head)) == (model.input, repr(model.head))
    generic = Classifier if cls is MobileNetV2 else Detector
    openers: Sequence[Any] = (
        exported,
        InferModel(tmp_path),
        InferModel(tmp_path / "model.onnx", device="cpu"),
        InferModel(tmp_path / "model.onnx", RuntimeType.ONNX_CPU),
        generic(tmp_path / "model.onnx"),
        generic(tmp_path),
        ModelManager.get(tmp_path),
        pickle.loads(pickle.dumps(exported)),
    )
    for opened in openers:
        assert opened.labels == model.labels
        assert_same(opened.predict(photos[0]), expected)
        assert_same(opened(photos[0]), expected)
        assert len(opened.infer(photos[0])) == inferred


def test_the_file_alone_has_the_description(
    detector: SSDMobileNet, photos: list[Path], tmp_path: Path
) -> None:
    detector.export("onnx_cpu", out_dir=tmp_path)
    (tmp_path / "model_info.json").unlink()
    opened = Detector(tmp_path / "model.onnx")
    assert opened.labels == detector.labels
    assert opened.head == detector.head
    assert_same(opened.predict(photos[0]), detector.predict(photos[0]))
    metadata = edit.metadata((tmp_path / "model.onnx").read_bytes())
    assert json.loads(metadata["names"])[1] == "c1"
    assert json.loads(metadata["imgsz"]) == [300, 300]
    assert metadata["task"] == "detect"


def test_arguments_take_precedence_over_the_description(
    detector: SSDMobileNet, tmp_path: Path
) -> None:
    detector.export("onnx_cpu", out_dir=tmp_path)
    names = [f"other {i}" for i in range(91)]
    opened = Detector(tmp_path / "model.onnx", labels=names, head={"score_threshold": 0.9})
    assert opened.labels == tuple(names)
    assert opened.head == ModelManager.get(tmp_path, threshold=0.9).head


def test_an_edited_graph_does_not_keep_its_description(
    classifier: MobileNetV2, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = classifier.export("onnx_cpu", out_dir=tmp_path).model_path
    (tmp_path / "model_info.json").unlink()
    proto = onnx.load(path)
    node = next(n for n in proto.graph.node if n.output[0] == proto.graph.output[0].name)
    proto.graph.output[0].name = node.output[0] = "edited"
    onnx.save(proto, path)
    with caplog.at_level(logging.INFO):
        opened = Classifier(path)
        assert isinstance(opened.head, ClassificationHead)
    assert "ignoring its description" in caplog.text


def test_a_malformed_description_is_named(classifier: MobileNetV2, tmp_path: Path) -> None:
    path = classifier.export("onnx_cpu", out_dir=tmp_path).model_path
    (tmp_path / "model_info.json").unlink()
    for text in ("{", "[]", "{}", '{"config": {"head": 1}}', "[" * 100_000):
        proto = onnx.load(path)
        (entry,) = (e for e in proto.metadata_props if e.key == DESCRIPTION_KEY)
        entry.value = text
        onnx.save(proto, tmp_path / "bad.onnx")
        with pytest.raises(WeightsError, match="bad.onnx"):
            Classifier(tmp_path / "bad.onnx").labels  # noqa: B018


def test_opset_and_batch_size(classifier: MobileNetV2, photos: list[Path], tmp_path: Path) -> None:
    expected = classifier.predict(photos[0], device="cpu")
    opsets: dict[int | None, int] = {None: 17, 18: 18, 13: 13}
    for requested, opset in opsets.items():
        exported = classifier.export(
            "onnx_cpu", requested, tmp_path / str(requested), dynamic_axes=requested != 13
        )
        proto = onnx.load(exported.model_path)
        assert [o.version for o in proto.opset_import if o.domain == ""] == [opset]
        batch = proto.graph.input[0].type.tensor_type.shape.dim[0]
        assert (batch.dim_value == 1) == (requested == 13)
        assert_same(exported.predict([photos[0]] * 3)[2], expected, 1e-6)
    with pytest.raises(ConversionError, match="opset"):
        classifier.export("onnx_cpu", 1, tmp_path / "old")


@pytest.mark.parametrize("size", [160, (192, 256)])
def test_other_sizes(
    size: int | tuple[int, int], classifier: MobileNetV2, photos: list[Path], tmp_path: Path
) -> None:
    exported = classifier.export("onnx_cpu", out_dir=tmp_path, image_size=size)
    expected = (size, size) if isinstance(size, int) else size
    assert exported.input.size == InferModel(tmp_path).input.size == expected
    assert_same(exported.predict(photos[0]), classifier.resized(size).predict(photos[0]))
    assert exported.benchmark(1).im_size == expected[0]


def test_a_size_that_the_network_does_not_take(detector: SSDMobileNet, tmp_path: Path) -> None:
    with pytest.raises(ShapeError, match="300 x 320.*square"):
        detector.export("onnx_cpu", out_dir=tmp_path, image_size=(300, 320))
    assert not list(tmp_path.iterdir())


def test_int8_is_the_models_own_or_calibrated(
    classifier: MobileNetV2, photos: list[Path], tmp_path: Path
) -> None:
    with pytest.raises(ArtifactNotFound, match="calibrat"):
        classifier.export("onnx_int8", out_dir=tmp_path)
    int8 = classifier.quantize(photos[:2])
    exported = int8.export("onnx_int8", out_dir=tmp_path)
    assert exported.model_path.name == "model_int8.onnx"
    assert_same(exported.predict(photos[0]), int8.predict(photos[0], device="cpu"))
    assert exported.model_path.stat().st_size < 0.6 * len(classifier.origin)


def test_license_and_name_stay_through_exports(classifier: MobileNetV2, tmp_path: Path) -> None:
    folder = classifier.save(tmp_path / "saved")
    info = json.loads((folder / "model_info.json").read_text())
    info["name"], info["config"]["license"] = "shelves", "MIT"
    (folder / "model_info.json").write_text(json.dumps(info))
    exported = Classifier(folder).export("onnx_cpu", out_dir=tmp_path / "exported")
    assert exported.name == exported.model_info.name == "shelves"
    assert edit.metadata(exported.model_path.read_bytes())["license"] == "MIT"
    again = Classifier(exported.model_path).save(tmp_path / "again")
    found = json.loads((again / "model_info.json").read_text())
    assert (found["name"], found["config"]["license"]) == ("shelves", "MIT")


def test_export_into_the_folder_of_the_saved_model_keeps_it(
    classifier: MobileNetV2, photos: list[Path], tmp_path: Path
) -> None:
    folder = classifier.save(tmp_path / "saved")
    before = (folder / "model_info.json").read_bytes()
    Classifier(folder).export("onnx_openvino", out_dir=folder)
    assert (folder / "model_info.json").read_bytes() == before
    assert_same(Classifier(folder).predict(photos[0]), classifier.predict(photos[0]))
    with pytest.raises(FuriosaModelsError, match="another im_size"):
        Classifier(folder).export("onnx_cpu", out_dir=folder, image_size=160)
    with pytest.raises(FuriosaModelsError, match="another classes"):
        EfficientNetLite0("random", labels=[str(i) for i in range(1000)]).export(
            "onnx_cpu", out_dir=folder
        )
    assert_same(Classifier(folder).predict(photos[0]), classifier.predict(photos[0]))


def test_overwrite_false_keeps_only_the_same_network(
    classifier: MobileNetV2, tmp_path: Path
) -> None:
    path = classifier.export("onnx_cpu", out_dir=tmp_path).model_path
    written = path.stat().st_mtime_ns
    assert classifier.export("onnx_cpu", out_dir=tmp_path, overwrite=False).model_path == path
    assert path.stat().st_mtime_ns == written
    others: list[Any] = [
        lambda: EfficientNetLite0("random").export("onnx_cpu", out_dir=tmp_path, overwrite=False),
        lambda: classifier.export("onnx_cpu", 13, tmp_path, overwrite=False),
        lambda: MobileNetV2("random", labels=[str(i) for i in range(1000)]).export(
            "onnx_cpu", out_dir=tmp_path, overwrite=False
        ),
        lambda: classifier.export(
            "onnx_cpu", out_dir=tmp_path, overwrite=False, dynamic_axes=False
        ),
    ]
    for other in others:
        with pytest.raises(FuriosaModelsError, match="not known to be an export of this network"):
            other()
    EfficientNetLite0("random").export("onnx_cpu", out_dir=tmp_path)
    assert InferModel(tmp_path).name == "EfficientNetLite0"


def test_another_network_does_not_replace_that_of_a_saved_model(
    classifier: MobileNetV2, tmp_path: Path
) -> None:
    folder = classifier.save(tmp_path / "saved")
    before = (folder / "model.onnx").read_bytes()
    other = EfficientNetLite0("random", labels=list(classifier.labels))
    for kind in ("onnx_cpu", "onnx_openvino"):
        with pytest.raises(FuriosaModelsError, match="another network"):
            other.export(kind, out_dir=folder)
    assert (folder / "model.onnx").read_bytes() == before


def test_an_embedded_graph_beside_a_plain_one(
    classifier: MobileNetV2, photos: list[Path], tmp_path: Path
) -> None:
    classifier.export("onnx_cpu", out_dir=tmp_path)
    embedded = classifier.export("onnx_cpu", out_dir=tmp_path, embed=True)
    expected = classifier.predict(photos[0])
    for opened in (Classifier(tmp_path), ModelManager.get(tmp_path), InferModel(tmp_path)):
        assert_same(opened.predict(photos[0]), expected, 1e-6)
    assert isinstance(ModelManager.get(embedded.model_path), InferModel)
    assert_same(ModelManager.get(embedded.model_path).predict(photos[0]), expected, 1e-6)
    with pytest.raises(ConversionError, match="runs as it is"):
        embedded.quantize(photos[:1])


def test_an_embedded_graph_runs_on_openvino(
    classifier: MobileNetV2, photos: list[Path], tmp_path: Path
) -> None:
    exported = classifier.export("onnx_openvino", out_dir=tmp_path, embed=True)
    for top_k in (7, 7, 3, 4, 5, 6):  # compiled, and from the cache
        assert len(exported.predict(photos[0], top_k=top_k).scores) == top_k
    assert len(exported._embedded or ()) == 4


def test_int8_is_not_calibrated_twice(
    classifier: MobileNetV2, photos: list[Path], tmp_path: Path
) -> None:
    int8 = classifier.quantize(photos[:2])
    expected = int8.predict(photos[0], device="cpu")
    assert_same(int8.predict(photos[0], precision="int8", device="cpu"), expected)
    path = classifier.export("onnx_cpu", out_dir=tmp_path).model_path
    with pytest.raises(ConfigurationError, match="float32 network"):
        InferModel(path, "onnx_int8")


@pytest.mark.parametrize("size", [0, -1, 1.5, "big", (1, 2, 3), 10**9])
def test_sizes_that_are_none(size: Any, classifier: MobileNetV2) -> None:
    with pytest.raises(ValueError, match="image_size must be"):
        classifier.resized(size)


def test_sizes_of_numpy_are_sizes(classifier: MobileNetV2) -> None:
    assert classifier.resized(np.int64(160)).input.size == (160, 160)


@pytest.mark.parametrize("opset", ["13", 13.0, True, 0])
def test_opsets_that_are_none(opset: Any, classifier: MobileNetV2, tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match="positive integer"):
        classifier.export("onnx_cpu", opset, tmp_path)
    assert not list(tmp_path.iterdir())


def test_copies_of_an_export_are_no_exports(classifier: MobileNetV2, tmp_path: Path) -> None:
    exported = classifier.export("onnx_openvino", out_dir=tmp_path / "exported")
    copy = Classifier(exported.model_path).save(tmp_path / "copy")
    info = json.loads((copy / "model_info.json").read_text())
    assert not {"exported", "graph", "network_graph"} & set(info["config"])


def test_the_default_folder_is_that_of_focoos(
    classifier: MobileNetV2, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    exported = classifier.export(RuntimeType.ONNX_CPU)
    assert exported.model_path == tmp_path / "FocoosAI" / "models" / "MobileNetV2" / "model.onnx"
    monkeypatch.chdir(tmp_path)
    (tmp_path / "FocoosAI" / "models" / "MobileNetV2").rename(
        tmp_path / "FocoosAI" / "models" / "shelves"
    )
    assert ModelManager.get("shelves").labels == classifier.labels


@pytest.mark.parametrize("value", ["nonsense", "", "onnx"])
def test_unknown_runtime_types_are_named(value: str, classifier: MobileNetV2) -> None:
    with pytest.raises(ConfigurationError, match="onnx_trt16"):
        classifier.export(value)


def test_the_default_runtime_type(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNTIME_TYPE", "ONNX_CUDA32")
    assert runtime_type_of(None) is RuntimeType.ONNX_CUDA32
    monkeypatch.setenv("RUNTIME_TYPE", "fast")
    with pytest.raises(ConfigurationError, match="RUNTIME_TYPE: unknown runtime type 'fast'"):
        runtime_type_of(None)
    monkeypatch.delenv("RUNTIME_TYPE")
    monkeypatch.setattr("importlib.util.find_spec", lambda *_: None)
    assert runtime_type_of(None) is RuntimeType.ONNX_CPU
    monkeypatch.setattr("importlib.util.find_spec", lambda *_: object())
    assert runtime_type_of(None) is RuntimeType.TORCHSCRIPT_32


@pytest.mark.parametrize(
    ("kind", "device", "expected"),
    [
        ("onnx_cuda32", "auto", "cuda"),
        ("onnx_cuda32", "cuda:1", "cuda:1"),
        ("onnx_trt16", "cuda:1", "tensorrt:1:fp16"),
        ("onnx_trt32", "auto", "tensorrt"),
        ("torchscript_32", "cpu", "torch:cpu"),
        ("torchscript_32", "cuda:0", "torch:cuda:0"),
        ("onnx_openvino", "openvino:bf16", "openvino:bf16"),
        ("enf", "warboy(2)*1", "warboy(2)*1"),
    ],
)
def test_devices_of_runtime_types(kind: str, device: str, expected: str) -> None:
    assert device_of(RuntimeType(kind), device) == expected


@pytest.mark.parametrize(
    ("kind", "device"), [("onnx_cpu", "cuda"), ("onnx_cuda32", "cpu"), ("enf", "cuda")]
)
def test_devices_that_a_runtime_type_excludes(
    kind: str, device: str, classifier: MobileNetV2, tmp_path: Path
) -> None:
    with pytest.raises(ConfigurationError, match=f"not on '{device}'"):
        classifier.export(kind, out_dir=tmp_path, device=device)
    assert not list(tmp_path.iterdir())


def test_file_names_lead_back_to_the_runtime() -> None:
    for kind in RuntimeType:
        found = runtime_of_file(Path(file_name(kind)))
        assert found.to_export_format() is kind.to_export_format()


def test_the_runtime_is_needed_only_at_the_first_use(
    classifier: MobileNetV2, photos: list[Path], tmp_path: Path
) -> None:
    exported = classifier.export(RuntimeType.ONNX_COREML, out_dir=tmp_path)
    assert exported.runtime_type is RuntimeType.ONNX_COREML
    with pytest.raises(BackendUnavailable):
        exported.predict(photos[0])
    assert InferModel(tmp_path).runtime_type is RuntimeType.ONNX_COREML


def test_infer_model_is_a_context_manager(
    classifier: MobileNetV2, photos: list[Path], tmp_path: Path
) -> None:
    with classifier.export("onnx_cpu", out_dir=tmp_path) as exported:
        first = exported.predict(photos[0])
        assert exported._runners
    assert not exported._runners
    assert_same(exported.predict(photos[0]), first)
    assert repr(exported) == f"InferModel('{tmp_path / 'model.onnx'}', 'onnx_cpu')"


def test_exported_graphs_of_other_programs(photos: list[Path], tmp_path: Path) -> None:
    model = YOLOv5n("random")
    path = tmp_path / "yolo.onnx"
    path.write_bytes(model.origin)
    assert_same(InferModel(path).predict(photos[0]), Detector(path).predict(photos[0]))


@pytest.mark.parametrize(
    ("name", "kind", "error", "words"),
    [
        ("missing.onnx", None, ArtifactNotFound, "no file"),
        ("notes.txt", None, ConfigurationError, "not an exported model"),
        ("model.onnx", "torchscript_32", ConfigurationError, "which torchscript_32 does not run"),
        ("empty", None, ArtifactNotFound, "has no model_info.json"),
        ("empty", "onnx_cpu", ArtifactNotFound, "has no model.onnx"),
        ("broken.pt", None, WeightsError, "does not say what it contains"),
        ("broken.enf", None, WeightsError, "does not say what it contains"),
        ("broken.onnx", None, WeightsError, "not an ONNX model"),
    ],
)
def test_files_that_cannot_be_opened(
    name: str,
    kind: str | None,
    error: type[Exception],
    words: str,
    classifier: MobileNetV2,
    tmp_path: Path,
) -> None:
    classifier.export("onnx_cpu", out_dir=tmp_path / "exported")
    (tmp_path / "empty").mkdir()
    for broken in ("notes.txt", "broken.pt", "broken.enf", "broken.onnx"):
        (tmp_path / broken).write_bytes(b"PK\x03\x04 no model")
    path = tmp_path / "exported" / name if name == "model.onnx" else tmp_path / name
    with pytest.raises(error, match=words):
        InferModel(path, kind)


def test_a_failed_export_leaves_the_old_file(
    classifier: MobileNetV2, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = classifier.export("onnx_cpu", out_dir=tmp_path).model_path
    before = path.read_bytes()
    other = EfficientNetLite0("random").fitted()

    def fail(*_: object) -> None:
        msg = "disk full"
        raise OSError(28, msg)

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(FuriosaModelsError, match="disk full"):
        other.export("onnx_cpu", out_dir=tmp_path)
    assert path.read_bytes() == before


def test_overridden_methods_stay_with_the_exported_model(
    photos: list[Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Mine(MobileNetV2):
        def postprocess(self, *args: Any, **options: Any) -> Any:
            return [len(super().postprocess(*args, **options))]

    with caplog.at_level(logging.WARNING):
        exported: Any = Mine("random").export("onnx_cpu", out_dir=tmp_path)
    assert exported.predict(photos[0]) == 1
    assert "Mine overrides postprocess" in caplog.text


def test_an_overridden_preprocess_knows_the_size(photos: list[Path], tmp_path: Path) -> None:
    class Mine(MobileNetV2):
        def preprocess(self, *args: Any, **options: Any) -> Any:
            return super().preprocess(*args, **options)

    exported = Mine("random").export("onnx_cpu", out_dir=tmp_path, image_size=160)
    expected = MobileNetV2("random").resized(160).predict(photos[0])
    assert_same(exported.predict(photos[0]), expected, 1e-6)


def test_the_python_platform_stays(tmp_path: Path) -> None:
    model = MobileNetV2("random", postprocessor_type="python")
    assert model.export("onnx_cpu", out_dir=tmp_path).platform is Platform.PYTHON


def test_tflite_needs_a_converter(classifier: MobileNetV2, tmp_path: Path) -> None:
    if _has("litert_torch"):
        pytest.skip("litert-torch is installed")
    with pytest.raises(ExtraRequired, match="litert"):
        classifier.export(RuntimeType.TFLITE, out_dir=tmp_path)
    assert not list(tmp_path.iterdir())


def test_an_enf_needs_a_compiler(classifier: MobileNetV2, tmp_path: Path) -> None:
    with pytest.raises(ArtifactNotFound, match="ENF"):
        classifier.export(RuntimeType.ENF, out_dir=tmp_path)
    assert not list(tmp_path.iterdir())


def test_poses_are_exported(photos: list[Path], tmp_path: Path) -> None:
    model = PoseNet("random")
    exported = model.export("onnx_cpu", out_dir=tmp_path, image_size=(128, 128))
    assert_same(exported.predict(photos[0]), model.resized(128).predict(photos[0]))


def test_latency_metrics(classifier: MobileNetV2) -> None:
    for measured in (classifier.benchmark(3, device="cpu"), classifier.end2end_benchmark(3, 96)):
        assert measured.engine == "onnx.CPUExecutionProvider"
        assert 0 < measured.min <= measured.mean <= measured.max
        assert measured.fps == int(1000 / measured.mean) or measured.fps > 0
        assert measured.device
    assert classifier.benchmark(1, 160).im_size == 160
    assert classifier.end2end_benchmark(1, (96, 128)).im_size == 96
    with pytest.raises(ValueError, match="iterations"):
        classifier.benchmark(0)
    with pytest.raises(ValueError, match="image_size"):
        classifier.benchmark(1, 0)


def test_the_exported_file_runs_with_onnxruntime_alone(
    classifier: MobileNetV2, photos: list[Path], tmp_path: Path
) -> None:
    path = classifier.export("onnx_cpu", out_dir=tmp_path).model_path
    tensor, _ = classifier.preprocess([photos[0]], with_scaling=True)
    np.save(tmp_path / "input.npy", tensor)
    code = (
        "import sys, numpy, onnxruntime\n"
        "session = onnxruntime.InferenceSession(sys.argv[1], providers=['CPUExecutionProvider'])\n"
        "x = numpy.load(sys.argv[2])\n"
        "(y,) = session.run(None, {session.get_inputs()[0].name: x})\n"
        "assert 'furiosa_models' not in sys.modules\n"
        "print(y.argmax())"
    )
    command = [sys.executable, "-c", code, str(path), str(tmp_path / "input.npy")]
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(found.stdout) == classifier.predict(photos[0]).class_ids[0]


@pytest.mark.torch
def test_torchscript_gives_the_same_results(photos: list[Path], tmp_path: Path) -> None:
    for cls, tolerance in ((MobileNetV2, 1e-5), (SSDMobileNet, 0.05)):
        model = (
            cls("random", head={"score_threshold": 0.9}) if cls is SSDMobileNet else cls("random")
        )
        expected = model.predict(photos[0], device="cpu")
        folder = tmp_path / cls.__name__
        exported = model.export(out_dir=folder)
        assert exported.runtime_type is RuntimeType.TORCHSCRIPT_32
        assert exported.model_path.name == "model.pt"
        generic = Classifier if cls is MobileNetV2 else Detector
        openers: Sequence[Any] = (exported, InferModel(folder), generic(folder / "model.pt"))
        for opened in openers:
            assert opened.labels == model.labels
            assert_same(opened.predict(photos[0]), expected, tolerance)
        assert_same(exported.predict([photos[0]] * 2, batch_size=2)[1], expected, tolerance)
        assert exported.benchmark(1).engine == "torchscript"
        assert exported.steps().backend == "torchscript"
        with pytest.raises(ConversionError, match="runs as it is"):
            exported.save(tmp_path / "copy")
        with pytest.raises(BackendUnavailable, match="GPU"):
            InferModel(folder, device="cuda:7").predict(photos[0])


@pytest.mark.torch
def test_torchscript_of_other_programs_is_refused_with_advice(tmp_path: Path) -> None:
    import torch

    from furiosa_models.frameworks.torch.framework import quiet
    from furiosa_models.runtime.sync import create_runner

    path = tmp_path / "foreign.pt"
    with quiet(), torch.no_grad():
        torch.jit.save(torch.jit.trace(torch.nn.Conv2d(3, 4, 3), torch.zeros(1, 3, 8, 8)), path)
    assert zipfile.is_zipfile(path)
    with pytest.raises(WeightsError, match="does not say what it contains"):
        InferModel(path)
    with pytest.raises(WeightsError, match="does not say what its inputs"):
        create_runner(str(path), device="torch")


@pytest.mark.torch
def test_torchscript_without_dynamic_axes(photos: list[Path], tmp_path: Path) -> None:
    model = MobileNetV2("random")
    exported = model.export("torchscript_32", out_dir=tmp_path, dynamic_axes=False)
    found = exported.predict([photos[0]] * 3, batch_size=2)
    assert_same(found[2], model.predict(photos[0]), 1e-5)
    with pytest.raises(ConversionError, match="onnx_opset is for ONNX"):
        model.export("torchscript_32", 17, tmp_path)


def test_tflite_gives_the_same_results(photos: list[Path], tmp_path: Path) -> None:
    pytest.importorskip("litert_torch", reason="litert-torch, the converter, is not installed")
    model = MobileNetV2("random")
    exported = model.export(RuntimeType.TFLITE, out_dir=tmp_path)
    expected = model.predict(photos[0])
    for opened in (exported, Classifier(tmp_path / "model.tflite"), InferModel(tmp_path)):
        assert opened.labels == model.labels
        assert_same(opened.predict(photos[0]), expected, 1e-5)


def _has(package: str) -> bool:
    from importlib.util import find_spec

    return find_spec(package) is not None


@pytest.mark.parametrize(
    ("cls", "threshold"), [(MobileNetV2, None), (SSDMobileNet, 0.9), (YOLOv5n, None)]
)
def test_embedded_graphs_take_photos_and_give_the_same_results(
    cls: type[Model[Any]], threshold: float | None, photos: list[Path], tmp_path: Path
) -> None:
    model = cls("random")
    options: dict[str, Any] = {} if threshold is None else {"score_threshold": threshold}
    exported = model.export("onnx_cpu", out_dir=tmp_path, embed=True)
    assert exported.model_path == tmp_path / "model_embedded.onnx"
    for opened in (exported, InferModel(tmp_path), pickle.loads(pickle.dumps(exported))):
        assert opened.labels == model.labels
        for photo in photos[:2]:
            found = opened.predict(photo, **options)
            assert_same(found, model.predict(photo, device="cpu", **options), 1e-4)
    streamed = list(exported.predict(photos[:3], stream=True, **options))
    assert_same(streamed[2], model.predict(photos[2], device="cpu", **options), 1e-4)
    exported.close()
    assert not exported._embedded
    generic = Classifier if cls is MobileNetV2 else Detector
    with pytest.raises(WeightsError, match="open it with InferModel"):
        generic(exported.model_path).predict(photos[0])
    with pytest.raises(ConversionError, match="runs as it is"):
        exported.save(tmp_path / "copy")
    with pytest.raises(ConversionError, match="photos as they are"):
        exported.predict(photos[0], precision="int8")


def test_options_without_an_effect_are_checked_in_embedded_graphs_too(
    photos: list[Path], tmp_path: Path
) -> None:
    model: Model[Any] = MoveNetThunder("random")  # one person, whom nothing suppresses
    exported: Model[Any] = model.export("onnx_cpu", out_dir=tmp_path, embed=True)
    photo, device = photos[0], "cpu"
    for each in (model, exported):
        person = each.predict(photo, device=device, score_threshold=0.0)
        assert len(person) == 1
        found = each.predict(photo, device=device, score_threshold=0.0, iou_threshold=0.2)
        assert_same(found, person)
        with pytest.raises(ValueError, match="iou_threshold must lie between 0 and 1"):
            each.predict(photo, device=device, iou_threshold=2)
        with pytest.raises(ValueError, match="score_threshold must lie between 0 and 1"):
            each.predict(photo, device=device, score_threshold=-1)


def test_embedding_is_for_onnx_and_for_our_own_methods(
    classifier: MobileNetV2, tmp_path: Path
) -> None:
    class Mine(MobileNetV2):
        def preprocess(self, *args: Any, **options: Any) -> Any:
            return super().preprocess(*args, **options)

    with pytest.raises(ConversionError, match="Mine overrides preprocess"):
        Mine("random").export("onnx_cpu", out_dir=tmp_path, embed=True)
    with pytest.raises(ConfigurationError, match="embed=True makes an ONNX graph"):
        classifier.export("tflite", out_dir=tmp_path, embed=True)
    assert not list(tmp_path.iterdir())


def test_bgr_networks_are_scaled_by_channel(photos: list[Path], tmp_path: Path) -> None:
    mean, std = (100.0, 20.0, 3.0), (1.0, 2.0, 4.0)
    model = MobileNetV2("random", input={"color": "bgr", "mean": mean, "std": std})
    tensor, _ = model.preprocess([photos[0]])
    scaled, _ = model.preprocess([photos[0]], with_scaling=True)
    import onnxruntime

    providers = ["CPUExecutionProvider"]
    origin = onnxruntime.InferenceSession(model.origin, providers=providers)
    program = onnxruntime.InferenceSession(model.cpu_program().read_bytes(), providers=providers)
    (expected,) = origin.run(None, {origin.get_inputs()[0].name: scaled})
    (found,) = program.run(None, {program.get_inputs()[0].name: tensor})
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-4)
    exported = model.export("onnx_cpu", out_dir=tmp_path, embed=True)
    assert_same(exported.predict(photos[0]), model.predict(photos[0], device="cpu"), 1e-5)

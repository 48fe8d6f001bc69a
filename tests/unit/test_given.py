"""Arguments that users pass for their own models: accepted, or rejected with a reason."""

from __future__ import annotations

import copy
import pickle
import shutil
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from furiosa_models import Classifier, Detector
from furiosa_models.catalog import get_model
from furiosa_models.errors import (
    ArtifactNotFound,
    FuriosaModelsError,
    LabelsError,
    ModelNotFound,
    ShapeError,
    WeightsError,
)
from furiosa_models.heads import BoxesHead, ClassificationHead, YOLOv5Head
from furiosa_models.labels import given_names, read_labels
from furiosa_models.runtime.backends import Backend, Session, Setup, register_backend
from furiosa_models.runtime.backends.onnxruntime import OnnxRuntimeBackend
from furiosa_models.runtime.errors import FuriosaRuntimeError
from furiosa_models.runtime.sync import create_runner
from furiosa_models.tasks import Detections
from furiosa_models.vision import EfficientNetLite0, SSDMobileNetV2, YOLOv5n
from tests.unit.runtime.tiny import make_model


@pytest.fixture(scope="module")
def detector(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("own") / "own.onnx"
    path.write_bytes(YOLOv5n(weights="random").origin)
    return path


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_renamed_copy_has_the_same_input_and_head(detector: Path, copied: Any) -> None:
    model = Detector(detector).fitted()
    other = copied(Detector(detector)).fitted()
    assert other.input == model.input
    assert other.input.resize == "letterbox"


@pytest.mark.parametrize(
    "labels",
    [
        ["cat", "dog", "owl"],
        ("cat", "dog", "owl"),
        {0: "cat", 1: "dog", 2: "owl"},
        {2: "owl", 0: "cat", 1: "dog"},
        {"0": "cat", "2": "owl", "1": "dog"},
        {"owl": 2, "cat": 0, "dog": 1},
        OrderedDict({1: "dog", 0: "cat", 2: "owl"}),
        np.array(["cat", "dog", "owl"]),
        (name for name in ("cat", "dog", "owl")),
        {"cat": 0, "dog": 1, "owl": 2}.keys().__iter__(),
    ],
    ids=lambda labels: type(labels).__name__,
)
def test_class_names_in_every_form(labels: Any) -> None:
    assert given_names(labels) == ("cat", "dog", "owl")


@pytest.mark.parametrize(
    "labels", [{"cat"}, b"coco80", 5, [1, 2], [None], [1.5], [], {"a": "b"}], ids=repr
)
def test_invalid_class_names_are_rejected(labels: Any) -> None:
    with pytest.raises(LabelsError, match="labels must be class names in order"):
        Detector("some.onnx", labels=labels)


def test_number_of_names_is_checked_for_weights_of_the_catalog() -> None:
    for model, names in ((SSDMobileNetV2, ["a"] * 3), (EfficientNetLite0, ["x"] * 2000)):
        with pytest.raises(LabelsError, match="the network has"):
            _ = model(labels=names).labels


def test_background_name_is_optional() -> None:
    names = [f"L{i}" for i in range(1, 91)]
    assert SSDMobileNetV2(labels=names).labels == ("background", *names)
    assert SSDMobileNetV2(labels=["nothing", *names]).labels == ("nothing", *names)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"input": "x"}, "expected ImageInput or a mapping of its fields, got 'x'"),
        ({"input": {"sizes": 3}}, "ImageInput has no 'sizes'"),
        ({"head": {"foo": 1}}, "YOLOv5Head has no 'foo'"),
        ({"head": 5}, "expected Head or a mapping of its fields, got 5"),
    ],
)
def test_unknown_specification_fields_are_rejected(
    detector: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(TypeError, match=message):
        Detector(detector, **options).fitted()


@pytest.mark.parametrize(
    "given",
    [
        {"size": 320},
        {"size": (-1, 2)},
        {"size": (2.5, 2)},
        {"size": "640"},
        {"std": 255},
        {"std": (0.0, 1.0, 1.0)},
        {"mean": "a"},
        {"mean": (float("nan"), 0.0, 0.0)},
        {"std": (1.0, 1.0)},
    ],
    ids=str,
)
def test_numbers_of_the_input_spec_are_checked(detector: Path, given: dict[str, Any]) -> None:
    (name,) = given
    with pytest.raises(ValueError, match=rf"^{name} "):
        Detector(detector, input=given).fitted()


def test_name_of_two_lines_is_drawn() -> None:
    box, one = np.array([[9, 9, 60, 60]], np.float32), np.array([0])
    found = Detections(box, np.array([0.9], np.float32), one, ["a\nb"])
    assert np.asarray(found.plot(np.zeros((80, 80, 3), np.uint8))).any()


def test_unnamed_classes_are_named_by_number() -> None:
    box, ids = np.array([[9, 9, 60, 60]], np.float32), np.array([61])
    assert Detections(box, np.array([0.9], np.float32), ids, []).labels == ["class_61"]


def test_head_of_another_task_is_rejected(detector: Path, tmp_path: Path) -> None:
    with pytest.raises(FuriosaModelsError, match="use the class of its task"):
        Detector(detector, head=ClassificationHead()).fitted()
    folder = Detector(detector).save(tmp_path / "saved")
    with pytest.raises(FuriosaModelsError, match="use the class of its task"):
        Classifier(folder).fitted()


def test_model_without_weights_has_input_and_labels() -> None:
    assert YOLOv5n().input.size == (640, 640)
    assert len(YOLOv5n().labels) == 80


@pytest.mark.parametrize("name", ["cpu", "npu", "auto", "onnxruntime"])
def test_device_names_are_rejected_as_backend_names(name: str) -> None:
    with pytest.raises(ValueError, match="choose another name"):
        register_backend(OnnxRuntimeBackend(), name)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"score_threshold": "a"}, TypeError, "score_threshold must be a number between 0 and 1"),
        ({"iou_threshold": None, "score_threshold": 2}, ValueError, "between 0 and 1, got 2"),
        ({"batch_size": "a"}, TypeError, "batch_size must be an integer, got 'a'"),
        ({"batch_size": 1.5}, TypeError, "batch_size must be an integer, got 1.5"),
        ({"batch_size": 0}, ValueError, "batch_size must be at least 1, got 0"),
        ({"precision": "fp16"}, ValueError, "precision must be one of fp32, int8, got 'fp16'"),
        ({"color": "hsv"}, ValueError, "color must be one of bgr, rgb, got 'hsv'"),
        ({"top_k": 3}, TypeError, "top_k"),
    ],
)
def test_predict_options_are_checked(
    detector: Path, photos: list[Path], options: dict[str, Any], error: Any, message: str
) -> None:
    with pytest.raises(error, match=message):
        Detector(detector).predict(photos[0], device="cpu", **options)


@pytest.mark.parametrize("top_k", ["3", 1.5, True])
def test_top_k_must_be_an_integer(photos: list[Path], top_k: Any) -> None:
    with pytest.raises(TypeError, match="top_k must be an integer"):
        EfficientNetLite0("random").predict(photos[0], device="cpu", top_k=top_k)


@pytest.mark.parametrize("most", [0, -1])
def test_max_photos_must_be_positive(photos: list[Path], most: int) -> None:
    with pytest.raises(ValueError, match="max_photos must be at least 1"):
        EfficientNetLite0("random").quantize(photos, max_photos=most)


@pytest.mark.parametrize("name", [None, 5, ["SSDMobileNet"]])
def test_model_name_of_another_type_is_a_type_error(name: Any) -> None:
    with pytest.raises(TypeError, match="expected the name or file of a model"):
        get_model(name)


def test_files_that_are_not_graphs_are_rejected(tmp_path: Path) -> None:
    for name in ("nope.onnx", "folder/best.tflite", "best.pt", "folder/best"):
        with pytest.raises(ModelNotFound, match=f"there is no file '{name}'"):
            get_model(name)
    for name, why in (("best.pt", "weights without a graph"), ("best.bin", "is not a graph")):
        (tmp_path / name).write_bytes(b"x")
        with pytest.raises(ModelNotFound, match=why):
            get_model(tmp_path / name)
    with pytest.raises(WeightsError, match="export it to ONNX, or open it with the class"):
        Detector(tmp_path / "best.pt").fitted()


def test_model_without_a_file_gives_advice(photos: list[Path]) -> None:
    assert repr(Detector()) == "Detector(without weights: pass a file)"
    with pytest.raises(ArtifactNotFound, match=r"pass a file, Detector\('best.onnx'\)"):
        Detector().predict(photos[0], device="cpu")


def without_sigmoid(graph: bytes) -> bytes:
    """Remove the sigmoid of a graph; its outputs are logits."""
    model = onnx.load_from_string(graph)
    names = {output.name for output in model.graph.output}
    for node in [*model.graph.node]:
        if node.op_type == "Sigmoid" and node.output[0] in names:
            (source,) = (n for n in model.graph.node if node.input[0] in n.output)
            source.output[0] = node.output[0]
            model.graph.node.remove(node)
    return bytes(model.SerializeToString())


def test_head_object_is_fitted_to_the_graph(detector: Path, photos: list[Path]) -> None:
    raw = without_sigmoid(detector.read_bytes())
    expected = Detector(detector, head={"score_threshold": 0.3}).predict(photos[0], device="cpu")
    model = Detector(raw, head=YOLOv5Head(score_threshold=0.3))
    found = model.predict(photos[0], device="cpu")
    # Almost equal scores may change places: one sigmoid is in the graph, the other is ours.
    assert sorted(found.class_ids.tolist()) == sorted(expected.class_ids.tolist())
    np.testing.assert_allclose(found.scores, expected.scores, atol=1e-5)
    assert found.scores.max() <= 1


@pytest.mark.parametrize(
    ("head", "message"),
    [
        (BoxesHead((640, 640), scores=7), "the head expects scores in output 7"),
        (BoxesHead((640, 640), boxes=-1), "the head expects boxes in output -1"),
        (BoxesHead((640, 640)), "values per box in output 0"),
        (YOLOv5Head(strides=(8, 16)), "expected a map for each of the strides"),
    ],
    ids=str,
)
def test_head_for_other_outputs_is_rejected(detector: Path, head: Any, message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        Detector(detector, head=head).fitted()


def test_overridden_preprocess_that_returns_none_is_an_error(photos: list[Path]) -> None:
    class Lost(EfficientNetLite0):
        def preprocess(self, *_: Any, **__: Any) -> Any:
            return None

    with pytest.raises(ShapeError, match="preprocess of Lost must return a tensor and contexts"):
        Lost("random").predict(photos[0], device="cpu")


@pytest.mark.parametrize(
    "outputs", [None, [], ["x", "y"], [np.zeros(3)], np.zeros((2, 3))], ids=str
)
def test_backend_with_invalid_outputs_is_an_error(outputs: Any) -> None:
    class Odd(Session):
        def execute(self, *_: Any) -> Any:
            return outputs

    class OddBackend(Backend):
        name = "odd"

        def load(self, program: Any, setup: Setup) -> Session:
            return Odd(self, OnnxRuntimeBackend().load(program, setup).model)

    with create_runner(make_model(), device="cpu") as real:
        session = Odd(OddBackend(), real.model)
        with pytest.raises(FuriosaRuntimeError, match="odd must give a list of arrays, 2 of them"):
            session.run(real.allocate())


def test_original_photo_is_never_overwritten(photos: list[Path], tmp_path: Path) -> None:
    photo = Path(shutil.copy(photos[0], tmp_path))
    before = photo.read_bytes()
    (tmp_path / "link.png").symlink_to(photo)
    result = EfficientNetLite0("random").predict(photo, device="cpu")
    for path in (photo, tmp_path / "link.png"):
        with pytest.raises(FuriosaModelsError, match="is the original photo"):
            result.save(path)
    assert photo.read_bytes() == before
    for name in ("out.xyz", "out", "out.gz"):
        with pytest.raises(ValueError, match="is not a picture format"):
            result.save(tmp_path / name)
    with pytest.raises(FuriosaModelsError, match="cannot be written: No such file"):
        result.save(tmp_path / "none" / "out.jpg")
    assert result.save(tmp_path / "out.webp").is_file()


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("names: [cat, dog]\nnc: 2\n", ("cat", "dog")),
        ("path: ../x\nnames:\n  0: cat\n  1: dog\n", ("cat", "dog")),
        ("names: {0: no, 1: yes}\n", ("no", "yes")),  # not booleans
        ("names: {cat: 0, dog: 1}\n", ("cat", "dog")),
        ("- cat\n- dog\n", ("cat", "dog")),
        ("train: a\nnc: 5\n", None),
        ("names: 5\n", None),
        ("a: &a [x, x]\nnames: [*a, *a]\n", None),
        ("names: [\n", None),
        ("\0", None),
    ],
)
def test_class_names_in_yaml(tmp_path: Path, text: str, names: tuple[str, ...] | None) -> None:
    path = tmp_path / "data.yaml"
    path.write_text(text)
    if names is None:
        with pytest.raises(LabelsError, match="contain no names"):
            read_labels(path)
    else:
        assert read_labels(path) == names


@pytest.mark.parametrize("key", ["names", "class_names", "classes", "labels", "character"])
def test_class_names_in_model_metadata(key: str) -> None:
    model = onnx.load_from_string(EfficientNetLite0("random").origin)
    entry = model.metadata_props.add()
    entry.key, entry.value = key, "\n".join(f"kind {i}" for i in range(1000))
    assert Classifier(model).labels[:2] == ("kind 0", "kind 1")
    entry.value = "0\n90\n180\n270"  # for a network with another number of classes
    with pytest.raises(LabelsError, match="the network has 1000 classes, but there are 4 labels"):
        _ = Classifier(model).labels


def ending_in(last: str | None, classes: int) -> bytes:
    """Make a classifier whose graph ends in an operation."""
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 3, 8, 8])
    scores = helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n", classes])
    weights = np.random.default_rng(0).normal(size=(3, classes)).astype(np.float32)
    nodes = [
        helper.make_node("GlobalAveragePool", ["image"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weights"], ["logits" if last else "scores"]),
    ]
    if last:
        nodes.append(helper.make_node(last, ["logits"], ["scores"]))
    graph = helper.make_graph(
        nodes, "g", [image], [scores], [numpy_helper.from_array(weights, "weights")]
    )
    opset = [helper.make_opsetid("", 17)]
    return bytes(helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString())


@pytest.mark.parametrize("classes", [1, 3])
def test_sigmoid_scores_are_returned_unchanged(photos: list[Path], classes: int) -> None:
    model = Classifier(ending_in("Sigmoid", classes))
    tensor, _ = model.preprocess(photos[0])
    with create_runner(model, device="cpu") as runner:
        (scores,) = runner.run(tensor)
    found = model.predict(photos[0], device="cpu", top_k=classes)
    np.testing.assert_array_equal(found.scores, np.sort(scores[0])[::-1])


def test_single_output_without_sigmoid_is_rejected(photos: list[Path]) -> None:
    with pytest.raises(ShapeError, match="the graph has a single output value without a sigmoid"):
        Classifier(ending_in(None, 1)).predict(photos[0], device="cpu")
    assert len(Classifier(ending_in(None, 2)).predict(photos[0], device="cpu").scores) == 2

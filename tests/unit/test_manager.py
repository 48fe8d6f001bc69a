"""`ModelManager.get`: every way to name a model, and its overrides."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import furiosa_models
from furiosa_models import (
    Detector,
    FocoosModel,
    InstanceSegmenter,
    Model,
    ModelFamily,
    ModelInfo,
    ModelManager,
    ModelRegistry,
    Segmenter,
    Task,
    list_models,
    networks,
)
from furiosa_models.errors import (
    ArtifactUnavailable,
    ConfigurationError,
    HubError,
    LabelsError,
    ModelNotFound,
    ShapeError,
    WeightsError,
)
from furiosa_models.heads import BoxesHead
from furiosa_models.hub import push
from furiosa_models.labels import load_labels
from furiosa_models.model_registry import alternatives
from furiosa_models.networks.writers import to_pytorch
from furiosa_models.tasks import SemanticMap
from furiosa_models.vision import EfficientNetLite0, MobileNetV2, SSDMobileNetV2, YOLOv5n

FOCOOS = ModelRegistry.list_models()[len(list_models()) :]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved detector of three classes."""
    model = YOLOv5n(_checkpoint(), labels=["cat", "dog", "cow"])
    return model.save(tmp_path_factory.mktemp("saved") / "farm")


def _checkpoint(classes: int = 3) -> dict[str, Any]:
    """Return the state of a YOLOv5n."""
    from furiosa_models.networks import RandomWeights, describe

    parameters = describe("yolov5", variant="n", num_classes=classes).parameters
    return {name: RandomWeights().get(each) for name, each in parameters.items()}


def test_names_of_the_catalog() -> None:
    for name in ("SSDMobileNetV2", "ssd-mobilenet-v2"):
        model = ModelManager.get(name)
        assert type(model) is SSDMobileNetV2
        assert isinstance(model, FocoosModel)
        assert FocoosModel is Model


def test_a_saved_folder_is_opened_by_its_class(saved: Path, photos: list[Path]) -> None:
    expected = YOLOv5n(saved).predict(photos[0])
    for name in (saved, str(saved)):
        model = ModelManager.get(name)
        assert type(model) is YOLOv5n
        assert model.labels == ("cat", "dog", "cow")
        np.testing.assert_array_equal(model.predict(photos[0]).boxes, expected.boxes)


def test_relative_names_are_looked_up_here_and_at_home(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    home = tmp_path / "home"
    monkeypatch.setattr(Path, "home", lambda: home)
    for empty in ("", " "):
        with pytest.raises(ModelNotFound, match="name of the model is empty"):
            ModelManager.get(empty)
    with pytest.raises(ModelNotFound, match="unknown model 'farm'"):
        ModelManager.get("farm")
    shutil.copytree(saved, home / "FocoosAI" / "models" / "farm")
    assert ModelManager.get("farm").labels == ("cat", "dog", "cow")
    shutil.copytree(saved, tmp_path / "farm")
    info = json.loads((tmp_path / "farm" / "model_info.json").read_text())
    info["classes"] = ["a", "b", "c"]
    (tmp_path / "farm" / "model_info.json").write_text(json.dumps(info))
    assert ModelManager.get("farm").labels == ("a", "b", "c")


def test_overrides_of_a_folder(saved: Path) -> None:
    model = ModelManager.get(
        saved, classes=["x", "y", "z"], im_size=(320, 416), threshold=0.9, iou_threshold=0.3
    )
    head: Any = model.head
    assert model.labels == ("x", "y", "z")
    assert model.input.size == (320, 416)
    assert (head.score_threshold, head.iou_threshold) == (0.9, 0.3)


def test_keywords_take_precedence_over_config(saved: Path) -> None:
    @dataclass
    class Config:
        threshold: float = 0.8
        iou_threshold: float = 0.2

    class Plain:
        def __init__(self) -> None:
            self.threshold, self.iou_threshold = 0.8, 0.2

    for config in (Config(), Plain(), {"threshold": 0.8, "iou_threshold": 0.2}):
        head: Any = ModelManager.get(saved, config=config, threshold=0.7).head
        assert (head.score_threshold, head.iou_threshold) == (0.7, 0.2)
    with pytest.raises(ConfigurationError, match="config must be"):
        ModelManager.get(saved, config=3)


@pytest.mark.parametrize(
    ("overrides", "error", "words"),
    [
        ({"treshold": 0.5}, ConfigurationError, "unknown treshold: .*threshold"),
        ({"backbone_config": {"depth": 50}}, ConfigurationError, "unknown backbone_config"),
        ({"num_classes": 7}, ConfigurationError, "num_classes=7.*3 classes.*train"),
        ({"classes": ["a"]}, LabelsError, "3 classes"),
        ({"im_size": 100}, ShapeError, "100 x 100.*multiple of 32"),
        ({"im_size": "big"}, ValueError, "image_size"),
    ],
)
def test_wrong_overrides_are_errors(
    overrides: dict[str, Any], error: type[Exception], words: str, saved: Path
) -> None:
    with pytest.raises(error, match=words):
        ModelManager.get(saved, **overrides)


def test_a_classifier_has_no_threshold() -> None:
    with pytest.raises(ConfigurationError, match="unknown threshold: this model takes classes"):
        ModelManager.get("MobileNetV2", weights="random", threshold=0.5)


def test_num_classes_that_agrees_is_accepted(saved: Path) -> None:
    assert len(ModelManager.get(saved, num_classes=3).labels) == 3


def test_descriptions_of_a_saved_model(saved: Path) -> None:
    info = ModelInfo.from_json(str(saved / "model_info.json"))
    assert ModelManager.get("any name", model_info=info).labels == ("cat", "dog", "cow")
    bare = ModelInfo.from_json(info.to_dict())
    with pytest.raises(WeightsError, match="model.onnx, are missing: looked for"):
        ModelManager.get("any name", model_info=bare)
    bare.weights_uri = str(saved / "model.onnx")
    assert ModelManager.get("any name", model_info=bare).labels == ("cat", "dog", "cow")
    assert ModelManager.get("x", model_info=bare, weights="random").labels[0] == "cat"


def test_changes_of_a_description_count(saved: Path) -> None:
    info = ModelInfo.from_json(saved / "model_info.json")
    info.classes = ["x", "y", "z"]
    info.config["head"]["score_threshold"] = 0.9
    info.im_size = 320
    model = ModelManager.get("any", model_info=info)
    head: Any = model.head
    assert model.labels == ("x", "y", "z")
    assert (head.score_threshold, model.input.size) == (0.9, (320, 320))
    info.weights_uri = "other.onnx"
    with pytest.raises(WeightsError, match="other.onnx, are missing"):
        ModelManager.get("any", model_info=info)


@pytest.mark.parametrize("uri", ["model_final.pth", "model.safetensors", None])
def test_a_saved_model_without_its_graph_is_built(
    uri: str | None, saved: Path, photos: list[Path], tmp_path: Path
) -> None:
    folder = tmp_path / "farm"
    shutil.copytree(saved, folder)
    info = json.loads((folder / "model_info.json").read_text())
    (folder / "model_info.json").write_text(json.dumps({**info, "weights_uri": uri}))
    if uri is not None:
        (folder / "model.onnx").unlink()
    model = ModelManager.get(folder)
    assert model.labels == ("cat", "dog", "cow")
    expected = ModelManager.get(saved).predict(photos[0])
    np.testing.assert_allclose(model.predict(photos[0]).scores, expected.scores, atol=1e-5)
    other = ModelManager.get(saved, weights=str(folder / "model_final.pth"))
    np.testing.assert_allclose(other.predict(photos[0]).scores, expected.scores, atol=1e-5)


def test_sizes_and_tasks_of_descriptions_count() -> None:
    known = ModelRegistry.get_model_info("MobileNetV2")
    known.im_size = (160, 192)
    model = ModelManager.get("x", model_info=known, weights="random")
    assert model.input.size == (160, 192)
    known.task = Task.DETECTION
    with pytest.raises(WeightsError, match="has the task 'detection', but its network"):
        ModelManager.get("x", model_info=known, weights="random")


def test_a_model_of_the_catalog_comes_back_from_its_description() -> None:
    info = ModelRegistry.get_model_info("SSDMobileNetV2")
    head = {"type": "SSDHead", "feature_maps": [19, 10, 5, 3, 2, 1]}
    info.config |= {"weights": "tensorflow", "head": head, "input": {"size": [300, 300]}}
    model = ModelManager.get("x", model_info=info)
    assert (type(model), model.weights) == (SSDMobileNetV2, "tensorflow")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"classes": None}, "not iterable"),
        ({"classes": []}, "no classes"),
        ({"config": None}, "config must be"),
        ({"im_size": "big"}, "im_size"),
    ],
)
def test_malformed_descriptions_are_errors(change: dict[str, Any], words: str, saved: Path) -> None:
    info = ModelInfo.from_json(saved / "model_info.json")
    for name, value in change.items():
        setattr(info, name, value)
    with pytest.raises(WeightsError, match=words):
        ModelManager.get("x", model_info=info)
    wrong: Any
    for wrong in (5, {}):
        with pytest.raises(WeightsError, match="expected a ModelInfo"):
            ModelManager.get("x", model_info=wrong)


@pytest.mark.parametrize(
    "overrides",
    [
        {"threshold": "0.5"},
        {"threshold": 2},
        {"threshold": float("nan")},
        {"threshold": True},
        {"strict": "x"},
        {"threshold": 0.3, "score_threshold": 0.8},
    ],
)
def test_values_of_overrides_are_checked(overrides: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        ModelManager.get("SSDMobileNetV2", weights="random", **overrides)


def test_overrides_that_are_none_are_left_out() -> None:
    model = ModelManager.get("SSDMobileNetV2", threshold=None, classes=None, im_size=None)
    assert model.head == SSDMobileNetV2().head


def test_arrays_are_no_models() -> None:
    with pytest.raises(TypeError, match="weights must be"):
        ModelManager.get(np.zeros(3))


def test_graphs_of_no_task_say_so() -> None:
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 32, 32])
    outputs = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, 3, 32, 32]) for n in "yz"]
    nodes = [helper.make_node("Relu", ["x"], ["y"]), helper.make_node("Neg", ["x"], ["z"])]
    graph = helper.make_graph(nodes, "g", [value], outputs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    with pytest.raises(ShapeError, match="fits none of PoseEstimator, .* no known detector"):
        ModelManager.get(model)


def test_models_describe_themselves(saved: Path) -> None:
    info = ModelManager.get(saved).model_info
    assert (info.name, info.task, info.size) == ("YOLOv5Nano", Task.DETECTION, (640, 640))
    assert info.classes == ["cat", "dog", "cow"]
    assert info.config["class"] == "YOLOv5n"
    assert ModelInfo.from_json(info.to_dict()) == info


@pytest.mark.parametrize("name", ["model_final.pth", "model.safetensors"])
def test_a_folder_of_weights_and_a_description_of_our_family(
    name: str, saved: Path, tmp_path: Path
) -> None:
    shutil.copy(saved / name, tmp_path)
    info = ModelInfo(
        "farm",
        "YOLO",
        ["cat", "dog", "cow"],
        640,
        Task.DETECTION,
        {"num_classes": 3, "variant": "n", "score_threshold": 0.6},
    )
    info.dump_json(tmp_path / "model_info.json")
    model = ModelManager.get(tmp_path)
    head: Any = model.head
    assert (type(model), head.score_threshold) == (YOLOv5n, 0.6)
    assert model.labels == ("cat", "dog", "cow")
    info.weights_uri = name
    info.dump_json(tmp_path / "model_info.json")
    assert ModelManager.get(tmp_path, threshold=0.7).labels == ("cat", "dog", "cow")
    moved = "/home/somebody/else/" + name
    info.weights_uri = moved
    info.dump_json(tmp_path / "model_info.json")
    assert ModelManager.get(tmp_path).labels == ("cat", "dog", "cow")


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"weights_uri": "path/to/weights.pth"}, WeightsError, "path/to/weights.pth, are missing"),
        ({"weights_uri": None}, WeightsError, "no weights.*model_final.pth.*random"),
        ({"model_family": "YOLO", "config": {}}, ModelNotFound, "YOLOv5l, YOLOv5m"),
        ({"model_family": "Perceptron", "config": {}}, ModelNotFound, "expected one of"),
        ({"task": Task.SEMSEG, "config": {}}, ModelNotFound, "no network for semseg"),
        ({"config": {"variant": "n", "num_classes": 9}}, WeightsError, "num_classes=9"),
        ({"config": {"variant": "n", "depth": 9}}, ConfigurationError, "unknown depth"),
    ],
)
def test_wrong_descriptions_are_errors(
    change: dict[str, Any], error: type[Exception], words: str, saved: Path
) -> None:
    fields: dict[str, Any] = {
        "name": "farm",
        "model_family": "YOLO",
        "classes": ["cat", "dog", "cow"],
        "im_size": 640,
        "task": Task.DETECTION,
        "config": {"variant": "n"},
        "weights_uri": str(saved / "model_final.pth"),
    }
    with pytest.raises(error, match=words):
        ModelManager.get("farm", model_info=ModelInfo(**{**fields, **change}))


@pytest.mark.parametrize(
    ("name", "classes", "labels"),
    [
        ("YOLOv5n", ["a", "b"], ("a", "b")),
        ("SSDMobileNetV2", ["a", "b"], ("background", "a", "b")),
        ("MobileNetV2", ["a", "b", "c"], ("a", "b", "c")),
    ],
)
def test_random_weights_have_the_described_classes(
    name: str, classes: list[str], labels: tuple[str, ...]
) -> None:
    known = ModelRegistry.get_model_info(name)
    info = ModelInfo("mine", known.model_family, classes, known.im_size, known.task, known.config)
    info.config = {"class": name}
    model = ModelManager.get("mine", model_info=info, weights="random")
    assert model.fitted().labels == labels
    assert len(model.infer(np.zeros((64, 64, 3), np.uint8), threshold=None)) >= 0


def test_published_classes_need_no_file() -> None:
    info = ModelRegistry.get_model_info("SSDMobileNetV2")
    model = ModelManager.get("any", model_info=info)
    assert (type(model), model.weights) == (SSDMobileNetV2, "tensorflow")


def test_a_truncated_checkpoint_is_named(saved: Path, tmp_path: Path) -> None:
    info = {**json.loads((saved / "model_info.json").read_text()), "weights_uri": "model_final.pth"}
    del info["config"]["head"]
    info["config"] = {"class": "YOLOv5n"}
    (tmp_path / "model_info.json").write_text(json.dumps(info))
    (tmp_path / "model_final.pth").write_bytes((saved / "model_final.pth").read_bytes()[:5000])
    with pytest.raises(WeightsError, match="model_final.pth"):
        ModelManager.get(tmp_path)


def test_folders_that_are_no_models(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="has no model_info.json.*no files"):
        ModelManager.get(tmp_path)
    (tmp_path / "model_info.json").write_text("{}")
    with pytest.raises(WeightsError, match="model_info.json.*name, model_family.* is missing"):
        ModelManager.get(tmp_path)


@pytest.mark.parametrize("name", FOCOOS)
def test_models_of_focoos_are_known_and_say_what_to_take_instead(name: str) -> None:
    info = ModelRegistry.get_model_info(name)
    assert ModelRegistry.exists(name)
    assert isinstance(info.model_family, ModelFamily)
    assert info.config["num_classes"] == len(info.classes) in (1, 80, 150, 365)
    assert ModelInfo.from_json(info.to_dict()) == info
    with pytest.raises(ModelNotFound, match="model of Focoos") as caught:
        ModelManager.get(name)
    for other in alternatives(info.task):
        assert other in str(caught.value)
    is_built = info.model_family is not ModelFamily.RTMO
    words = "has no weights" if is_built else "not built here yet"
    with pytest.raises(WeightsError if is_built else ModelNotFound, match=words):
        ModelManager.get("any", model_info=info)


def test_seventeen_models_of_focoos_are_listed() -> None:
    assert len(FOCOOS) == 17
    assert ModelRegistry.get_model_info("fai-detr-l-coco").classes == list(load_labels("coco80"))
    assert not ModelRegistry.exists("fai-cls-l-coco")
    with pytest.raises(ModelNotFound):
        ModelRegistry.get_model_info("fai-cls-l-coco")


def test_alternatives_are_in_packages() -> None:
    found = " ".join(alternatives(Task.DETECTION))
    assert "SSDMobileNetV2" in found
    assert "YOLOv5n" not in found


def test_registry_reads_files(saved: Path) -> None:
    assert ModelRegistry.get_model_info(saved / "model_info.json").name == "YOLOv5Nano"
    for name in list_models():
        info = ModelRegistry.get_model_info(name)
        assert info.config["num_classes"] == len(info.classes)


def _export_of_fai_detr(path: Path, *, swapped: bool, classes: int = 2) -> None:
    """Write a graph with the inputs and outputs of an export of fai_detr: two queries."""
    boxes = np.array([[[0.1, 0.2, 0.5, 0.6], [0.0, 0.0, 1.0, 1.0]]], np.float32)
    scores = np.array([[[0.9, 0.7], [0.2, 0.6]]], np.float32)[:, :, :classes]
    names = ["logits", "boxes"] if swapped else ["boxes", "logits"]
    _export(path, {"boxes": boxes, "logits": scores}, names)


def _export_of_masks(path: Path, *, swapped: bool) -> None:
    """Write a graph with the inputs and outputs of an export of masks: two queries.

    The export of bisenetformer has swapped names.
    """
    masks = np.full((1, 2, 64, 64), 0.25, np.float32)
    masks[0, 0, 16:48, :32] = masks[0, 1, :, 32:] = 0.75
    scores = np.array([[[0.1, 0.9], [0.8, 0.1]]], np.float32)
    outputs = {"logits": masks, "masks": scores} if swapped else {"masks": masks, "logits": scores}
    _export(path, outputs, list(outputs))


def _export(path: Path, outputs: dict[str, Any], names: list[str]) -> None:
    """Write a graph that gives constant outputs for any image."""
    image = helper.make_tensor_value_info("images", TensorProto.FLOAT, ["n", 3, "h", "w"])
    nodes = [helper.make_node("ReduceMean", ["images"], ["mean"], keepdims=0)]
    nodes.append(helper.make_node("Mul", ["mean", "zero"], ["nothing"]))
    nodes += [helper.make_node("Add", [f"{name}_", "nothing"], [name]) for name in names]
    values = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, list(outputs[name].shape))
        for name in names
    ]
    constants = [onnx.numpy_helper.from_array(array, f"{n}_") for n, array in outputs.items()]
    constants.append(onnx.numpy_helper.from_array(np.float32(0), "zero"))
    graph = helper.make_graph(nodes, "export", [image], values, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, path)


def test_weights_of_fai_detr_are_opened(photos: list[Path], tmp_path: Path) -> None:
    """The network is compared with that of Focoos by the golden values."""
    info = ModelRegistry.get_model_info("fai-detr-m-coco").to_dict()
    info |= {"im_size": 64, "weights_uri": "model_final.pth", "classes": ["cat", "dog"]}
    info["config"] |= {"num_classes": 2, "num_queries": 12}
    params = {"variant": None, "family": "fai_detr", "backbone": "large", "feature_dim": 128}
    params |= {"encoder_layers": 0, "decoder_layers": 3, "num_queries": 12, "num_classes": 2}
    graph = networks.describe("rtdetr", image_size=64, **params)
    weights = networks.RandomWeights()
    arrays = {name: weights.get(each) for name, each in graph.parameters.items()}
    (tmp_path / "model_final.pth").write_bytes(to_pytorch(arrays))
    (tmp_path / "model_info.json").write_text(json.dumps(info))
    model = ModelManager.get(tmp_path, threshold=0.1)
    expected = networks.build("rtdetr", networks.NamedWeights(arrays), image_size=64, **params)
    assert model.origin == networks.to_bytes(expected)
    assert (model.input.size, model.input.resize) == ((64, 64), "stretch")
    assert "score_threshold=0.1" in repr(model.head)
    found = model.predict(photos[0])
    assert {*found.labels} <= {"cat", "dog"}
    wrong = {**info, "config": {**info["config"], "layers": 3}}
    with pytest.raises(WeightsError, match="fai_detr has no layers"):
        ModelManager.get("x", model_info=ModelInfo.from_json(wrong), weights="random")
    other = {**info["config"], "backbone_config": {"model_type": "resnet", "depth": 20}}
    with pytest.raises(ModelNotFound, match="depth 18, 34, 50, 101"):
        ModelManager.get(tmp_path, backbone_config=other["backbone_config"])


@pytest.mark.parametrize("swapped", [False, True])
def test_exports_of_fai_detr_run(swapped: bool, tmp_path: Path) -> None:
    info = ModelInfo(
        "shelves", ModelFamily.DETR, ["box", "pallet"], 64, Task.DETECTION, {"num_classes": 2}
    )
    info.dump_json(tmp_path / "model_info.json")
    _export_of_fai_detr(tmp_path / "model.onnx", swapped=swapped)
    photo = np.zeros((100, 200, 3), np.uint8)
    found = ModelManager.get(tmp_path).infer(photo)
    rows = [(each.label, each.bbox, round(each.conf or 0, 3)) for each in found]
    assert rows == [
        ("box", [20, 20, 100, 60], 0.9),
        ("pallet", [20, 20, 100, 60], 0.7),
        ("pallet", [0, 0, 200, 100], 0.6),
    ]
    assert len(ModelManager.get(tmp_path, threshold=0.65).predict(photo)) == 2
    head = ModelManager.get(tmp_path, im_size=96).head
    assert isinstance(head, BoxesHead)
    assert head.size == (96, 96)


@pytest.mark.parametrize(
    ("name", "params", "cls"),
    [
        (
            "fai-mf-s-coco-ins",
            {"family": "fai_mf", "backbone": 50, "encoder_layers": 3},
            InstanceSegmenter,
        ),
        (
            "fai-mf-m-ade",
            {"family": "fai_mf", "backbone": "large", "decoder_width": 512},
            Segmenter,
        ),
        ("bisenetformer-s-ade", {"family": "bisenetformer", "backbone": "small"}, Segmenter),
    ],
)
def test_weights_of_masks_are_opened(
    name: str, params: dict[str, Any], cls: type[Any], photos: list[Path], tmp_path: Path
) -> None:
    """The networks are compared with those of Focoos by the golden values."""
    info = ModelRegistry.get_model_info(name).to_dict()
    info |= {"im_size": 64, "weights_uri": "model_final.pth", "classes": ["cat", "dog"]}
    info["config"] |= {"num_classes": 2, "num_queries": 12, "transformer_predictor_dec_layers": 2}
    given = {"feature_dim": 128, "decoder_layers": 2, "num_queries": 12, "num_classes": 2, **params}
    graph = networks.describe("maskformer", image_size=64, **given)
    weights = networks.RandomWeights()
    arrays = {name: weights.get(each) for name, each in graph.parameters.items()}
    (tmp_path / "model_final.pth").write_bytes(to_pytorch(arrays))
    (tmp_path / "model_info.json").write_text(json.dumps(info))
    model = ModelManager.get(tmp_path, threshold=0.1)
    expected = networks.build("maskformer", networks.NamedWeights(arrays), image_size=64, **given)
    assert model.origin == networks.to_bytes(expected)
    assert type(model) is cls
    assert (model.input.size, model.input.resize) == ((64, 64), "stretch")
    assert "score_threshold=0.1" in repr(model.head)
    found = model.predict(photos[0])
    assert {*found.labels} <= {"cat", "dog"}
    model.save(tmp_path / "saved")
    assert ModelManager.get(tmp_path / "saved").predict(photos[0]) == found


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"layers": 3}, WeightsError, "fai_mf has no layers"),
        ({"pixel_decoder_out_dim": 64}, ModelNotFound, "different widths"),
        ({"pixel_decoder_transformer_nheads": 4}, ModelNotFound, "nheads=4"),
        ({"backbone_config": {"model_type": "swin"}}, ModelNotFound, "swin"),
        ({"predict_all_pixels": True}, ModelNotFound, "predict_all_pixels"),
        ({"postprocessing_type": "panoptic"}, WeightsError, "panoptic"),
    ],
)
def test_other_networks_of_masks_are_refused(
    changes: dict[str, Any], error: type[Exception], message: str
) -> None:
    info = ModelRegistry.get_model_info("fai-mf-s-coco-ins").to_dict()
    info["config"] |= changes
    with pytest.raises(error, match=message):
        ModelManager.get("x", model_info=ModelInfo.from_json(info), weights="random")


def test_networks_of_masks_are_for_segmentation() -> None:
    info = ModelInfo("x", ModelFamily.BISENETFORMER, ["a"], 64, Task.DETECTION, {})
    with pytest.raises(WeightsError, match="for semseg, instseg"):
        ModelManager.get("x", model_info=info, weights="random")


@pytest.mark.parametrize(
    ("family", "swapped"), [(ModelFamily.MASKFORMER, False), (ModelFamily.BISENETFORMER, True)]
)
def test_exports_of_masks_run(family: ModelFamily, swapped: bool, tmp_path: Path) -> None:
    config = {"num_classes": 2, "use_mask_score": True, "postprocessing_type": "instance"}
    task = Task.INSTANCE_SEGMENTATION
    ModelInfo("farm", family, ["cow", "hen"], 64, task, config).dump_json(
        tmp_path / "model_info.json"
    )
    _export_of_masks(tmp_path / "model.onnx", swapped=swapped)
    photo = np.zeros((128, 256, 3), np.uint8)
    first, second = ModelManager.get(tmp_path).infer(photo)
    assert (first.label, first.bbox) == ("hen", [0, 32, 128, 96])
    assert (second.label, second.bbox) == ("cow", [128, 0, 256, 128])
    assert first.conf == pytest.approx(0.9 * 0.75, rel=0.02)
    assert first.mask is not None
    assert len(ModelManager.get(tmp_path, threshold=0.65).predict(photo)) == 1
    config = {"num_classes": 2, "predict_all_pixels": True}
    ModelInfo("farm", family, ["cow", "hen"], 64, Task.SEMSEG, config).dump_json(
        tmp_path / "model_info.json"
    )
    found = ModelManager.get(tmp_path).predict(photo)
    assert isinstance(found, SemanticMap)
    assert found.areas.keys() == {"cow", "hen"}
    assert sum(found.areas.values()) == 128 * 256


def test_other_graphs_are_no_masks(saved: Path, tmp_path: Path) -> None:
    task = Task.INSTANCE_SEGMENTATION
    info = ModelInfo("farm", ModelFamily.MASKFORMER, ["a", "b", "c"], 640, task, {})
    info.dump_json(tmp_path / "model_info.json")
    shutil.copy(saved / "model.onnx", tmp_path)
    with pytest.raises(WeightsError, match="no export of masks"):
        ModelManager.get(tmp_path)


def test_other_graphs_are_no_fai_detr(saved: Path, tmp_path: Path) -> None:
    info = ModelInfo("farm", ModelFamily.DETR, ["a", "b", "c"], 640, Task.DETECTION, {})
    info.dump_json(tmp_path / "model_info.json")
    shutil.copy(saved / "model.onnx", tmp_path)
    with pytest.raises(WeightsError, match="no export of fai_detr"):
        ModelManager.get(tmp_path)


def test_files_and_objects(saved: Path, tmp_path: Path) -> None:
    data = (saved / "model.onnx").read_bytes()
    path = tmp_path / "farm.onnx"
    path.write_bytes(data)
    for source in (path, str(path), data, onnx.load_from_string(data)):
        model = ModelManager.get(source, classes=["a", "b", "c"])
        assert isinstance(model, Detector)
        assert model.labels == ("a", "b", "c")
    classifier = MobileNetV2("random")
    assert len(ModelManager.get(classifier.origin).labels) == 1000
    for model in (classifier, ModelManager.get(saved)):
        exported = model.export("onnx_cpu", out_dir=tmp_path / model.name).model_path
        (exported.parent / "model_info.json").unlink()
        assert ModelManager.get(exported).labels == model.labels
    with pytest.raises(TypeError, match="weights must be"):
        ModelManager.get(3.5)


def test_models_of_registries(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(EfficientNetLite0("random").origin)
    (tmp_path / "artifacts.yaml").write_text(
        "artifacts:\n- name: net\n  family: f\n  version: '1'\n  location: net.onnx\n"
        "  format: onnx\n  metadata: {}\n"
    )
    for uri in (f"{tmp_path}#net", f"{tmp_path}/artifacts.yaml#net@1", f"file://{tmp_path}#net"):
        assert ModelManager.get(uri).source == path.read_bytes()
    with pytest.raises(ModelNotFound, match="is a registry: choose one of its models, .*#NAME"):
        ModelManager.get(tmp_path)
    with pytest.raises(ConfigurationError, match="no overrides"):
        ModelManager.get(f"{tmp_path}#net", threshold=0.5)
    with pytest.raises(ModelNotFound):
        ModelManager.get(f"{tmp_path}#other")


def test_weights_by_url_are_downloaded_once(
    serve: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    monkeypatch.setattr(Path, "home", lambda: home)
    (tmp_path / "public").mkdir()
    file = tmp_path / "public" / "farm.pth"
    file.write_bytes(to_pytorch(_checkpoint()))
    url = f"{serve(tmp_path / 'public')}/farm.pth"
    info = ModelInfo(
        "farm", "YOLO", ["a", "b", "c"], 640, Task.DETECTION, {"variant": "n"}, weights_uri=url
    )
    assert ModelManager.get("x", model_info=info).labels == ("a", "b", "c")
    assert not home.exists()
    file.unlink()
    assert ModelManager.get("x", model_info=info).labels == ("a", "b", "c")
    with pytest.raises(ArtifactUnavailable):
        ModelManager.get("x", model_info=info, cache=False)
    assert ModelManager.get("x", model_info=info).labels == ("a", "b", "c")
    (tmp_path / "public" / "page.pth").write_text("<html>log in</html>")
    info.weights_uri = url.replace("farm.pth", "page.pth")
    for _ in range(2):  # it is not kept
        with pytest.raises(WeightsError, match="web page"):
            ModelManager.get("x", model_info=info)


def test_files_of_one_name_at_two_urls_are_two_files(serve: Any, tmp_path: Path) -> None:
    for name, count in (("a", 3), ("b", 4)):
        (tmp_path / name).mkdir()
        model = YOLOv5n(_checkpoint(count), labels=[f"{name}{i}" for i in range(count)])
        model.export("onnx_cpu", out_dir=tmp_path / name)
    root = serve(tmp_path)
    for name, count in (("a", 3), ("b", 4)):
        assert len(ModelManager.get(f"{root}/{name}/model.onnx").labels) == count


def test_files_by_url_and_hubs(
    saved: Path, serve: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "home", lambda: tmp_path / "home")
    url = serve(saved)
    model = ModelManager.get(f"{url}/model.onnx", classes=["a", "b", "c"])
    assert model.labels == ("a", "b", "c")
    push(saved, f"{tmp_path}/hub/farm")
    model = ModelManager.get(f"file://{tmp_path}/hub/farm", threshold=0.7)
    assert model.labels == ("cat", "dog", "cow")
    with pytest.raises(HubError, match="DEFAULT_HOST_URL"):
        ModelManager.get("hub://farm")


def test_the_top_level_has_the_names_of_focoos() -> None:
    names = "FocoosModel InferModel ModelManager ModelRegistry ModelInfo ModelFamily Task "
    names += "RuntimeType TrainerArgs FocoosDetections"
    for name in names.split():
        assert name in furiosa_models.__all__
        assert getattr(furiosa_models, name) is not None


def test_classes_of_a_checkpoint_are_checked(saved: Path) -> None:
    with pytest.raises(LabelsError, match="3 classes"):
        ModelManager.get("YOLOv5n", weights=str(saved / "model.safetensors"), classes=["a"])

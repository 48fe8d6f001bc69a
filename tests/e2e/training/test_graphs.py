"""Graphs of other programs as modules, and as networks that train."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from furiosa_models import Classifier, Segmenter
from furiosa_models.data import LabeledPhoto, Objects
from furiosa_models.enums import Task
from furiosa_models.errors import ConfigurationError, DatasetError, TrainingError
from furiosa_models.networks.torch_sink import GraphModule
from furiosa_models.spec import ImageInput

from .scenes import COLORS, SIDE, args, boxes, classifier, losses, outlined, squares, yolo

pytestmark = pytest.mark.torch

SCALED = ImageInput(size=(SIDE, SIDE), std=(255.0, 255.0, 255.0))


def graph(
    nodes: list[onnx.NodeProto],
    arrays: dict[str, Any],
    shape: list[Any],
    classes: int = 4,
    cells: Sequence[int] = (),
) -> onnx.ModelProto:
    """Return a network of an image `x` and scores `y`, of each cell of a map if it has some."""
    made = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", classes, *cells])],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in arrays.items()],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    return model


def dense(rank: int, *shape: int) -> Any:
    values = np.random.default_rng(rank).normal(size=shape) / np.sqrt(np.prod(shape[1:]))
    return values.astype(np.float32)


def with_first_object(photo: LabeledPhoto) -> LabeledPhoto:
    objects = photo.objects
    assert objects is not None
    assert objects.masks is not None
    one = Objects(objects.boxes[:1], objects.class_ids[:1], masks=objects.masks[:1])
    return replace(photo, objects=one)


def learned(model: onnx.ModelProto, folder: Path) -> tuple[Any, Classifier]:
    """Train a network on squares of four colors."""
    photos = squares(folder / "photos", 2)
    network = Classifier(model, labels=list(COLORS), input=SCALED)
    options: dict[str, Any] = {"learning_rate": 0.05, "eval_period": 20}
    return network.train(args(folder / "run", 60, **options), photos, photos), network


def test_a_graph_with_the_channels_last_trains(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Transpose", ["x"], ["t"], perm=[0, 3, 1, 2]),
        helper.make_node("GlobalAveragePool", ["t"], ["m"]),
        helper.make_node("Flatten", ["m"], ["f"]),
        helper.make_node("MatMul", ["f", "w"], ["p"]),
        helper.make_node("Add", ["p", "b"], ["y"]),
    ]
    arrays = {"w": dense(2, 3, 4), "b": np.zeros(4, np.float32)}
    model = graph(nodes, arrays, ["n", SIDE, SIDE, 3])
    result, network = learned(model, tmp_path)
    assert result.best["top-1"] == 1.0
    photo = next((tmp_path / "photos" / "blue").iterdir())
    assert network.predict(photo, device="cpu") == "blue"
    module = network.torch_module()
    tensor, _ = network.preprocess([photo], with_scaling=True)
    with torch.inference_mode():
        assert int(module(torch.from_numpy(tensor)).argmax()) == list(COLORS).index("blue")


def test_normalization_whose_statistics_are_other_parameters_trains(tmp_path: Path) -> None:
    """PyTorch's exporter shares equal arrays of a fresh normalization through `Identity`."""
    nodes = [
        helper.make_node("Identity", ["zeros"], ["mean"]),
        helper.make_node("Identity", ["ones"], ["var"]),
        helper.make_node("Conv", ["x", "k"], ["c"], pads=[1] * 4),
        helper.make_node("BatchNormalization", ["c", "ones", "zeros", "mean", "var"], ["n"]),
        helper.make_node("GlobalAveragePool", ["n"], ["m"]),
        helper.make_node("Flatten", ["m"], ["f"]),
        helper.make_node("Gemm", ["f", "w"], ["y"], transB=1),
    ]
    arrays = {
        "k": dense(4, 8, 3, 3, 3),
        "zeros": np.zeros(8, np.float32),
        "ones": np.ones(8, np.float32),
        "w": dense(2, 4, 8),
    }
    result, _ = learned(graph(nodes, arrays, ["n", 3, SIDE, SIDE]), tmp_path)
    assert result.best["top-1"] > 0.25


def test_a_convolution_before_an_average_gets_other_classes(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Conv", ["x", "k"], ["c"], "scores"),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("Conv", ["r", "w", "b"], ["s"], "classes"),
        helper.make_node("GlobalAveragePool", ["s"], ["m"]),
        helper.make_node("Flatten", ["m"], ["y"]),
    ]
    arrays = {
        "k": dense(4, 6, 3, 1, 1),
        "w": dense(3, 7, 6, 1, 1),
        "b": np.zeros(7, np.float32),
    }
    model = graph(nodes, arrays, ["n", 3, SIDE, SIDE], 7)
    photos = squares(tmp_path / "photos")
    network = Classifier(model, labels=[f"c{i}" for i in range(7)], input=SCALED)
    network.train(args(tmp_path / "run", 2), photos, photos)
    assert network.labels == tuple(COLORS)
    assert len(network.predict(photos[0].path, device="cpu", top_k=9).top) == 4


def test_a_single_class_of_pixels_is_learned_with_a_background_only(tmp_path: Path) -> None:
    nodes = [helper.make_node("Conv", ["x", "k", "b"], ["y"], "classes", pads=[1] * 4)]
    arrays = {"k": dense(4, 3, 3, 3, 3), "b": np.zeros(3, np.float32)}
    model = graph(nodes, arrays, ["n", 3, SIDE, SIDE], 3, (SIDE, SIDE))
    photos = outlined(boxes(tmp_path / "photos", 2, side=SIDE), Task.SEMSEG, ["box"])
    photos = replace(photos, photos=tuple(map(with_first_object, photos)))
    network = Segmenter(model, labels=["road", "sea", "sky"], input=SCALED)
    with pytest.raises(DatasetError, match="has only box, and the model no background"):
        network.train(args(tmp_path / "run", 2), photos, photos)
    assert not (tmp_path / "run").exists()
    network = Segmenter(model, labels=["background", "sea", "sky"], input=SCALED)
    network.train(args(tmp_path / "run", 2), photos, photos)
    assert network.labels == ("background", "box")
    assert all(entry["loss_class"] > 0 for entry in losses(tmp_path / "run"))


@pytest.mark.parametrize("kind", ["Expand", "Tile", "Mod"])
def test_constants_of_grids_are_computed(kind: str) -> None:
    arrays = {"grid": np.arange(6, dtype=np.int64).reshape(1, 6), "by": np.array([3, 1], np.int64)}
    node = helper.make_node(kind, ["grid", "by"], ["g"])
    if kind == "Mod":
        arrays["by"] = np.array([4], np.int64)
    nodes = [
        node,
        helper.make_node("Cast", ["g"], ["h"], to=TensorProto.FLOAT),
        helper.make_node("Flatten", ["x"], ["f"]),
        helper.make_node("MatMul", ["f", "w"], ["p"]),
        helper.make_node("Add", ["p", "h"], ["y"]),
    ]
    arrays["w"] = dense(2, 12, 6)
    model = graph(nodes, arrays, [3, 3, 2, 2], 6)
    x = dense(4, 3, 3, 2, 2)
    (expected,) = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": x})
    found = GraphModule(model)(torch.from_numpy(x)).detach().numpy()
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")
@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
@pytest.mark.parametrize("make", [classifier, yolo])
def test_a_module_is_traced(make: Any) -> None:
    model = make()
    module = model.torch_module()
    x = torch.rand(1, 3, *model.input.size)
    traced = torch.jit.trace(module, x)
    for found, expected in zip(traced(x), module(x), strict=True):
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (lambda *_: 1.0, r"got 1\.0"),
        (lambda *_: {}, "got {}"),
        (lambda *_: {"loss": 1.0}, r"got 1\.0"),
        (lambda outputs, *_: {"loss": outputs[0]}, r"a tensor of shape \(4, 4\)"),
    ],
)
def test_what_a_loss_must_return_is_said(loss: Any, message: str, tmp_path: Path) -> None:
    photos = squares(tmp_path / "photos")
    with pytest.raises(TrainingError, match=f"must return scalar tensors by name.*{message}"):
        classifier().train(args(tmp_path / "run", 2), photos, photos, loss=loss)


def test_a_loss_that_is_no_function_is_an_error(tmp_path: Path) -> None:
    photos = squares(tmp_path / "photos")
    with pytest.raises(ConfigurationError, match="must be a function"):
        classifier().train(args(tmp_path / "run", 2), photos, photos, loss="ce")
    assert not (tmp_path / "run").exists()

"""Whole graphs, from a photo to the results of `predict`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from furiosa_models import networks
from furiosa_models.errors import ConversionError, ShapeError, WeightsError
from furiosa_models.export.embedded import embed
from furiosa_models.heads import (
    AnyClassifier,
    BoxesHead,
    ClassificationHead,
    PoseHead,
    SSDHead,
    YOLOv5Head,
)
from furiosa_models.labels import table_of
from furiosa_models.model import Model
from furiosa_models.spec import ImageInput, ModelSpec, NetworkSpec
from furiosa_models.vision import EfficientNetLite0, SSDMobileNet, YOLOv5n, YOLOv7w6Pose

from .running import check, run, session

Array = npt.NDArray[Any]


STRICT = {"score_threshold": 0.8}  # random weights find tens of thousands of objects


def photo(height: int = 47, width: int = 80) -> npt.NDArray[np.uint8]:
    rng = np.random.default_rng(height)
    coarse = rng.integers(0, 256, (height // 8 + 1, width // 8 + 1, 3), dtype=np.uint8)
    return coarse.repeat(8, 0).repeat(8, 1)[:height, :width]


def embedded(model: Model[Any]) -> onnx.ModelProto:
    spec = model._weights.known
    return embed(model.origin, spec, table_of(spec.labels))


@pytest.mark.parametrize(
    ("make", "options"),
    [
        (lambda: EfficientNetLite0(weights="random"), {"top_k": 7}),
        (lambda: SSDMobileNet("random", head=STRICT), {"score_threshold": 0.75}),
        (lambda: YOLOv5n(weights="random"), {"score_threshold": 0.3, "iou_threshold": 0.2}),
    ],
)
def test_a_zoo_model_gives_the_results_of_predict(
    make: Callable[[], Model[Any]], options: dict[str, Any]
) -> None:
    with make() as model:
        graph = embedded(model)
        onnx.checker.check_model(graph, full_check=True)
        runner = session(graph)
        for image in (photo(), photo(1, 1), photo(333, 20)):
            assert check(run(runner, {"image": image}), model.predict(image, color="rgb")) >= 0
        types = {each.name: each.type for each in runner.get_overridable_initializers()}
        given = {
            name: np.array(value, np.int64 if types[name] == "tensor(int64)" else np.float32)
            for name, value in options.items()
        }
        found = run(runner, {"image": photo(), **given})
        assert check(found, model.predict(photo(), color="rgb", **options)) > 0


@pytest.mark.slow
def test_a_pose_estimator_gives_the_results_of_predict() -> None:
    with YOLOv7w6Pose(weights="random") as model:
        runner = session(embedded(model))
        expected = model.predict(photo(), color="rgb", score_threshold=0.2)
        given = {"score_threshold": np.array(0.2, np.float32)}
        assert check(run(runner, {"image": photo(), **given}), expected) > 0


# --- Small networks, whose output is known from the pixels

SIZE = (8, 12)
MEAN, STD = (10.0, 20.0, 30.0), (2.0, 3.0, 4.0)


def mean_colors(
    dtype: int = TensorProto.FLOAT,
    *,
    batch: int | str = "n",
    channels_last: bool = False,
    opset: int = 17,
) -> bytes:
    """Return a network that gives the mean of each channel of its input, (n, 3)."""
    shape: list[int | str] = [batch, *SIZE, 3] if channels_last else [batch, 3, *SIZE]
    axes = [1, 2] if channels_last else [2, 3]
    nodes = [helper.make_node("Cast", ["boxes"], ["image"], to=TensorProto.FLOAT)]
    constants = []
    if opset < 18:
        nodes.append(helper.make_node("ReduceMean", ["image"], ["means"], axes=axes, keepdims=0))
    else:
        constants.append(numpy_helper.from_array(np.array(axes, np.int64), "axes"))
        nodes.append(helper.make_node("ReduceMean", ["image", "axes"], ["means"], keepdims=0))
    nodes.append(helper.make_node("Cast", ["means"], ["scores"], to=dtype))
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("boxes", dtype, shape)],
        [helper.make_tensor_value_info("scores", dtype, [batch, 3])],
        constants,
    )
    opsets = [helper.make_opsetid("", opset)]
    data: bytes = helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()
    return data


NETWORK = NetworkSpec("none")
INPUT = ImageInput(size=SIZE, mean=MEAN, std=STD)
SPEC = ModelSpec(NETWORK, INPUT, ClassificationHead("none"), ("red", "green", "blue"))
NAMES = ("red", "green", "blue")


def means(graph: onnx.ModelProto, color: tuple[int, int, int] = (110, 80, 34)) -> list[float]:
    """Return the result for a photo of one color, by class."""
    image = np.full((5, 7, 3), color, np.uint8)
    found = run(session(graph), {"image": image})
    return [float(score) for score in found["scores"][np.argsort(found["classes"])]]


@pytest.mark.parametrize("opset", [7, 11, 13, 17, 18, 21])
@pytest.mark.parametrize("channels_last", [True, False])
def test_pixels_are_scaled_for_every_opset(channels_last: bool, opset: int) -> None:
    graph = embed(mean_colors(channels_last=channels_last, opset=opset), SPEC, NAMES)
    onnx.checker.check_model(graph, full_check=True)
    assert means(graph) == [50.0, 20.0, 1.0]
    assert [o.version for o in graph.opset_import] == [max(opset, 13)]


@pytest.mark.parametrize("opset", [13, 18, 21])
def test_detectors_are_valid_in_every_opset(opset: int) -> None:
    nodes = [
        helper.make_node("Flatten", ["x"], ["flat"]),
        helper.make_node("Reshape", ["flat", "shape"], ["y"]),
    ]
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "rows",
        [info("x", TensorProto.FLOAT, [1, 3, 8, 12])],
        [info("y", TensorProto.FLOAT, [1, 32, 9])],
        [numpy_helper.from_array(np.array([1, 32, 9]), "shape")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    head = BoxesHead(SIZE, objectness=True, multi_label=True, unit="auto", activation="softmax")
    found = embed(model.SerializeToString(), replace(SPEC, head=head), NAMES)
    onnx.checker.check_model(found, full_check=True)
    assert run(session(found), {"image": photo()})["boxes"].shape[1] == 4


def test_half_precision_is_computed_from_scaled_pixels() -> None:
    assert means(embed(mean_colors(TensorProto.FLOAT16), SPEC, NAMES)) == [50.0, 20.0, 1.0]


def test_a_network_that_takes_pixels_gets_them_unscaled() -> None:
    model = onnx.load_from_string(mean_colors(TensorProto.UINT8))
    model.graph.node[-1].attribute[0].i = TensorProto.FLOAT
    model.graph.output[0].type.tensor_type.elem_type = TensorProto.FLOAT
    assert means(embed(model.SerializeToString(), SPEC, NAMES)) == [110.0, 80.0, 34.0]


def test_mean_and_std_are_of_red_green_and_blue_in_any_order() -> None:
    spec = replace(SPEC, input=replace(INPUT, color="bgr"))
    assert means(embed(mean_colors(), spec, NAMES)) == [1.0, 20.0, 50.0]


def test_a_network_for_several_photos_is_made_one_for_one_photo() -> None:
    assert means(embed(mean_colors(batch=4), SPEC, NAMES)) == [50.0, 20.0, 1.0]


def test_a_network_that_needs_several_photos_is_an_error() -> None:
    model = onnx.load_from_string(mean_colors(batch=4))
    shape = numpy_helper.from_array(np.array([4, 3, 1]), "shape")
    model.graph.initializer.append(shape)
    model.graph.node.append(helper.make_node("Expand", ["wide", "shape"], ["y"]))
    model.graph.node.insert(2, helper.make_node("Unsqueeze", ["means", "two"], ["wide"]))
    model.graph.initializer.append(numpy_helper.from_array(np.array([2]), "two"))
    model.graph.output[0].CopyFrom(helper.make_tensor_value_info("y", TensorProto.FLOAT, [4, 3, 1]))
    with pytest.raises(ShapeError, match="batch size 1"):
        embed(model.SerializeToString(), SPEC, NAMES)


def test_names_of_the_network_do_not_clash_with_those_of_the_results() -> None:
    graph = embed(mean_colors(), SPEC, NAMES)  # it has tensors `image`, `boxes` and `scores`
    assert [value.name for value in graph.graph.input] == ["image", "top_k"]
    assert [value.name for value in graph.graph.output] == ["scores", "classes"]


def test_a_quantized_network_is_embedded() -> None:
    model = EfficientNetLite0(weights="random")
    from furiosa_models.quantization import CalibrationMethod, Calibrator, quantize

    program = networks.with_uint8_input(model.origin, (127.0,) * 3, (128.0,) * 3)
    calibrator = Calibrator(program, CalibrationMethod.MIN_MAX_ASYM)
    tensor, contexts = model.preprocess([photo()[:, :, ::-1].copy()])
    calibrator.collect_data([[tensor]])
    int8 = quantize(program, calibrator.compute_range())
    spec = model._weights.known
    found = run(session(embed(int8, spec, table_of(spec.labels))), {"image": photo()})
    runner = ort.InferenceSession(int8, providers=["CPUExecutionProvider"])
    outputs = runner.run(None, {runner.get_inputs()[0].name: tensor})
    check(found, model.postprocess(outputs, contexts)[0])


def test_the_file_says_how_it_is_used() -> None:
    model = SSDMobileNet(weights="random")
    graph = embedded(model)
    facts = {prop.key: prop.value for prop in graph.metadata_props}
    assert tuple(json.loads(facts["names"])) == table_of("coco91")
    assert facts["task"] == "object_detection"
    assert json.loads(facts["options"])["iou_threshold"] == pytest.approx(0.6)
    for word in ("uint8", "RGB", "boxes, scores, classes", "score_threshold", "names"):
        assert word in graph.doc_string


def test_the_metadata_of_the_network_is_kept() -> None:
    model = onnx.load_from_string(mean_colors())
    helper.set_model_props(model, {"author": "somebody", "names": "those of the exporter"})
    graph = embed(model.SerializeToString(), SPEC, NAMES)
    facts = {prop.key: prop.value for prop in graph.metadata_props}
    assert (facts["author"], json.loads(facts["names"])) == ("somebody", list(NAMES))


def all_nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            yield from all_nodes(attribute.g)


@pytest.mark.parametrize(
    "make",
    [lambda: EfficientNetLite0(weights="random"), lambda: SSDMobileNet(weights="random")],
)
def test_all_operations_are_of_the_standard_domain(make: Callable[[], Model[Any]]) -> None:
    graph = embedded(make())
    assert {node.domain for node in all_nodes(graph.graph)} == {""}
    assert (graph.ir_version, [o.version for o in graph.opset_import]) == (8, [17])


def test_the_same_model_gives_the_same_bytes() -> None:
    first, second = (embed(mean_colors(), SPEC, NAMES) for _ in range(2))
    assert networks.to_bytes(first) == networks.to_bytes(second)


def test_open_sizes_of_the_network_are_those_of_the_photo_on_its_input() -> None:
    with SSDMobileNet("random", head=STRICT) as model:
        proto = onnx.load_from_string(model.origin)
        for value in (*proto.graph.input, *proto.graph.output):
            for place, dim in enumerate(value.type.tensor_type.shape.dim):
                if place != 1:
                    dim.dim_param = f"{value.name}_{place}"
        spec = model._weights.known
        graph = embed(proto.SerializeToString(), spec, table_of(spec.labels))
        found = run(session(graph), {"image": photo()})
        assert check(found, model.predict(photo(), color="rgb")) > 0


# --- Errors


@dataclass(frozen=True)
class OwnHead(ClassificationHead):
    """A user's head, which may decode in another way."""


@pytest.mark.parametrize("head", [OwnHead(), AnyClassifier()])
def test_a_head_without_a_decoder_is_named(head: Any) -> None:
    with pytest.raises(ConversionError, match=type(head).__name__):
        embed(mean_colors(), replace(SPEC, head=head), NAMES)


@pytest.mark.parametrize("head", [YOLOv5Head(), PoseHead(), SSDHead((1, 1))])
def test_outputs_that_do_not_fit_the_head_are_an_error(head: Any) -> None:
    with pytest.raises(ShapeError, match="outputs"):
        embed(mean_colors(), replace(SPEC, head=head), NAMES)


@pytest.mark.parametrize("size", [(8, 11), (4, 12)])
def test_a_network_of_another_size_is_an_error(size: tuple[int, int]) -> None:
    with pytest.raises(ShapeError, match=r"must take \(1, 3, .*\[.*3, 8, 12\]"):
        embed(mean_colors(), replace(SPEC, input=replace(INPUT, size=size)), NAMES)


def test_an_output_that_is_not_a_tensor_is_an_error() -> None:
    model = onnx.load_from_string(mean_colors())
    model.graph.node.append(helper.make_node("SequenceConstruct", ["scores"], ["several"]))
    kind = helper.make_tensor_sequence_value_info("several", TensorProto.FLOAT, None)
    model.graph.output[0].CopyFrom(kind)
    with pytest.raises(ConversionError, match="'several'"):
        embed(model.SerializeToString(), SPEC, NAMES)


@pytest.mark.parametrize("data", [b"", b"<html>", b"\x1c\x00\x00\x00TFL3" + bytes(40)])
def test_bytes_that_are_not_onnx_are_an_error(data: bytes) -> None:
    with pytest.raises(WeightsError):
        embed(data, SPEC, NAMES)


def test_an_old_network_with_unknown_operations_is_an_error() -> None:
    model = onnx.load_from_string(mean_colors(opset=11))
    model.graph.node.append(helper.make_node("Mystery", ["means"], ["more"]))
    with pytest.raises(ConversionError, match="opset 11"):
        embed(model.SerializeToString(), SPEC, NAMES)

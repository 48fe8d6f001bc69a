"""Replacement of classes: the scores of a class that stays are what they were.

Both graphs run with ONNX Runtime on the same photo.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest
from onnx import helper, numpy_helper

from furiosa_models import networks
from furiosa_models.errors import ConversionError
from furiosa_models.networks.classes import last_layer, replace_classes
from furiosa_models.networks.onnx_sink import trainable
from furiosa_models.spec import ClassChannels

Array = npt.NDArray[Any]
SOURCES = (2, None, 0, None)


def run(model: onnx.ModelProto) -> list[Array]:
    """Return the outputs for a photo of noise; ONNX Runtime checks the declared shapes, too."""
    (value,) = model.graph.input
    sizes = [dim.dim_value or 2 for dim in value.type.tensor_type.shape.dim]
    photo = np.random.default_rng(0).normal(size=sizes).astype(np.float32)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    outputs: list[Array] = session.run(None, {value.name: photo})
    for output, array in zip(session.get_outputs(), outputs, strict=True):
        declared = [size for size in output.shape if isinstance(size, int)]
        assert [*array.shape][-len(declared) :] == declared
    return outputs


def replaced(
    model: onnx.ModelProto,
    channels: Sequence[ClassChannels | None],
    sources: Sequence[int | None] = SOURCES,
) -> onnx.ModelProto:
    copy: onnx.ModelProto = onnx.ModelProto.FromString(model.SerializeToString())
    replace_classes(copy, channels, sources)
    onnx.checker.check_model(copy, full_check=True)
    return copy


def by_class(output: Array, arrangement: ClassChannels, axis: int) -> tuple[Array, Array]:
    """Return the channels before the classes, and those of each class (class, group, ...)."""
    rows = np.moveaxis(output, axis, 0)
    groups = arrangement.groups
    if arrangement.is_class_major:
        return rows[:0], rows.reshape(-1, groups, *rows.shape[1:])
    grouped = rows.reshape(groups, -1, *rows.shape[1:])
    before = arrangement.before
    return grouped[:, :before], np.moveaxis(grouped[:, before:], 1, 0)


def assert_classes_moved(
    before: onnx.ModelProto,
    after: onnx.ModelProto,
    channels: Sequence[ClassChannels | None],
    sources: Sequence[int | None] = SOURCES,
    *,
    axis: int = 1,
) -> None:
    for one, other, arrangement in zip(run(before), run(after), channels, strict=True):
        if arrangement is None:
            np.testing.assert_array_equal(one, other)
            continue
        kept, old = by_class(one, arrangement, axis)
        still, new = by_class(other, arrangement, axis)
        np.testing.assert_allclose(kept, still, rtol=1e-5, atol=1e-5)
        assert len(new) == len(sources)
        for row, source in zip(new, sources, strict=True):
            if source is not None:
                np.testing.assert_allclose(row, old[source], rtol=1e-5, atol=1e-5)
        if any(source is None for source in sources):
            assert len({array.tobytes() for array in new}) == len(sources)


def random_network(kind: str, **params: Any) -> onnx.ModelProto:
    return networks.build(kind, networks.RandomWeights(), **params)


def ssd_channels(model: onnx.ModelProto, *, is_class_major: bool) -> list[ClassChannels | None]:
    """Return the arrangement by the names of the outputs; a box map has four channels a group."""
    sizes = {v.name: v.type.tensor_type.shape.dim[1].dim_value for v in model.graph.output}
    groups = {name.replace("box", "class"): n // 4 for name, n in sizes.items() if "box" in name}
    return [
        ClassChannels(groups[name], is_class_major=is_class_major) if name in groups else None
        for name in sizes
    ]


@pytest.mark.parametrize("form", ["runs", "trains"])
@pytest.mark.parametrize(
    ("kind", "params", "is_class_major"),
    [
        ("mobilenet_ssd", {"depth_multiplier": 0.25, "num_classes": 7}, False),
        ("mobilenet_ssd", {"depth_multiplier": 0.25, "num_classes": 19}, False),  # as map sides
        ("mobilenet_v2_ssd", {"num_classes": 7}, False),
        ("ssd_resnet34", {"num_classes": 7, "image_size": 400}, True),
    ],
)
def test_classes_of_ssd(kind: str, params: dict[str, Any], is_class_major: bool, form: str) -> None:
    if form == "runs":
        model = random_network(kind, **params)
    else:  # Slim's kernels are transposed between the checkpoint and the convolution
        model = trainable(networks.describe(kind, **params), networks.RandomWeights())
    channels = ssd_channels(model, is_class_major=is_class_major)
    assert sum(each is not None for each in channels) == 6
    assert_classes_moved(model, replaced(model, channels), channels)


@pytest.mark.parametrize("image_size", [64, (64, 96)])
@pytest.mark.parametrize("sigmoid", [False, True])
def test_classes_of_yolo(image_size: Any, sigmoid: bool) -> None:
    params = {"variant": "n", "num_classes": 3, "sigmoid": sigmoid}
    model = random_network("yolov5", image_size=image_size, **params)
    channels = [ClassChannels(groups=3, before=5)] * 3
    assert_classes_moved(model, replaced(model, channels), channels)


@pytest.mark.parametrize("background", [0, 1])
@pytest.mark.parametrize(
    ("kind", "params"),
    [
        ("mobilenet_v2", {"image_size": 64}),
        ("efficientnet", {"variant": "lite0", "image_size": 64}),
        ("resnet", {"variant": "18", "image_size": 64}),
    ],
)
def test_classes_of_classifiers(kind: str, params: dict[str, Any], background: int) -> None:
    model = random_network(kind, **params, num_classes=9)
    channels = [ClassChannels(background=background)]
    sources = [*range(background), *(None if s is None else s + background for s in SOURCES)]
    assert_classes_moved(model, replaced(model, channels, sources), channels, sources)


def linear(form: str, *, end: str = "") -> onnx.ModelProto:
    """Return a network that ends in a fully connected layer of a form."""
    random = np.random.default_rng(1)
    kernel = random.normal(size=(6, 4)).astype(np.float32)
    constants = {"bias": random.normal(size=6).astype(np.float32)}
    nodes = [helper.make_node("GlobalAveragePool", ["image"], ["means"])]
    nodes.append(helper.make_node("Flatten", ["means"], ["features"]))
    if form == "gemm":
        nodes.append(helper.make_node("Gemm", ["features", "kernel", "bias"], ["y"]))
    elif form == "gemm transB":
        nodes.append(helper.make_node("Gemm", ["features", "kernel", "bias"], ["y"], transB=1))
    elif form == "gemm without bias":
        nodes.append(helper.make_node("Gemm", ["features", "kernel"], ["y"], transB=1))
    elif form == "conv":
        nodes[1:] = [helper.make_node("Conv", ["means", "kernel", "bias"], ["c"])]
        nodes.append(helper.make_node("Flatten", ["c"], ["y"]))
    else:
        order = ["features", "kernel"], ["p"]
        nodes.append(helper.make_node("MatMul", *order))
        added = ["p", "bias"] if form == "matmul + bias" else ["bias", "p"]
        nodes.append(helper.make_node("Add", added, ["y"]))
    constants["kernel"] = kernel if "transB" in form or "without" in form else kernel.T.copy()
    if form == "conv":
        constants["kernel"] = kernel[:, :, None, None].copy()
    if end:
        nodes.append(helper.make_node(end, ["y"], ["z"]))
    info = helper.make_tensor_value_info
    return helper.make_model(
        helper.make_graph(
            nodes,
            "linear",
            [info("image", 1, ["n", 4, 5, 5])],
            [info("z" if end else "y", 1, ["n", 6])],
            [numpy_helper.from_array(array, name) for name, array in constants.items()],
        ),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )


@pytest.mark.parametrize(
    "form",
    ["gemm", "gemm transB", "gemm without bias", "matmul + bias", "bias + matmul", "conv"],
)
def test_classes_of_fully_connected_layers(form: str) -> None:
    model = linear(form)
    channels = [ClassChannels()]
    assert_classes_moved(model, replaced(model, channels), channels)


def test_classes_before_a_sigmoid_are_those_of_the_layer() -> None:
    model = linear("gemm", end="Sigmoid")
    channels = [ClassChannels()]
    after = replaced(model, channels)
    np.testing.assert_allclose(run(after)[0][:, 0], run(model)[0][:, 2], rtol=1e-5)


def anchor_maps(rows: Mapping[str, Array], side: int, *, target: Sequence[int]) -> onnx.ModelProto:
    """Return an exported YOLO head: a convolution, (n, a, 5 + c, h, w), then channels last."""
    info = helper.make_tensor_value_info
    shape = np.array(target, np.int64)
    nodes = [
        helper.make_node("Conv", ["image", "kernel", "bias"], ["c"]),
        helper.make_node("Reshape", ["c", "shape"], ["r"]),
        helper.make_node("Transpose", ["r"], ["y"], perm=[0, 1, 3, 4, 2]),
    ]
    arrays = {**rows, "shape": shape}
    return helper.make_model(
        helper.make_graph(
            nodes,
            "maps",
            [info("image", 1, ["n", 4, side, side])],
            [info("y", 1, ["n", 3, side, side, 8])],
            [numpy_helper.from_array(array, name) for name, array in arrays.items()],
        ),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )


@pytest.mark.parametrize("side", [8, 5, 24])  # 8 and 24 are numbers of channels, too
def test_reshapes_after_the_layer_are_adapted(side: int) -> None:
    random = np.random.default_rng(2)
    rows = {
        "kernel": random.normal(size=(24, 4, 1, 1)).astype(np.float32),
        "bias": random.normal(size=24).astype(np.float32),
    }
    model = anchor_maps(rows, side, target=[-1, 3, 8, side, side])
    channels = [ClassChannels(groups=3, before=5)]
    after = replaced(model, channels)
    old, new = run(model)[0], run(after)[0]
    assert new.shape == (2, 3, side, side, 9)
    np.testing.assert_allclose(new[..., :5], old[..., :5], rtol=1e-6)
    np.testing.assert_allclose(new[..., 5], old[..., 7], rtol=1e-6)
    np.testing.assert_allclose(new[..., 7], old[..., 5], rtol=1e-6)


def test_a_layer_that_levels_share_is_replaced_once() -> None:
    random = np.random.default_rng(3)
    info = helper.make_tensor_value_info
    arrays = {
        "kernel": random.normal(size=(6, 4, 1, 1)).astype(np.float32),
        "bias": random.normal(size=6).astype(np.float32),
    }
    nodes = [
        helper.make_node("Conv", ["image", "kernel", "bias"], ["fine"]),
        helper.make_node("MaxPool", ["image"], ["half"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Conv", ["half", "kernel", "bias"], ["coarse"]),
    ]
    graph = helper.make_graph(
        nodes,
        "levels",
        [info("image", 1, ["n", 4, 8, 8])],
        [info("fine", 1, ["n", 6, 8, 8]), info("coarse", 1, ["n", 6, 4, 4])],
        [numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )
    opsets = [helper.make_opsetid("", 17)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    channels = [ClassChannels(groups=2)] * 2
    assert_classes_moved(model, replaced(model, channels), channels)


def test_new_classes_start_from_the_mean_of_all_and_a_little_noise() -> None:
    model = linear("gemm transB")
    before, after = (
        {t.name: numpy_helper.to_array(t) for t in each.graph.initializer}
        for each in (model, replaced(model, [ClassChannels()]))
    )
    assert after["kernel"].shape == (4, 4)
    for row in after["kernel"][[1, 3]]:
        distance = np.abs(row - before["kernel"].mean(0))
        assert 0 < distance.max() < 0.05
    np.testing.assert_allclose(after["bias"][[1, 3]], before["bias"].mean(), rtol=1e-6)


def test_new_classes_are_the_same_in_every_process() -> None:
    model = linear("gemm")
    one, other = (replaced(model, [ClassChannels()]) for _ in range(2))
    assert one.SerializeToString() == other.SerializeToString()


def test_the_names_of_the_replaced_arrays_are_returned() -> None:
    assert replace_classes(linear("gemm"), [ClassChannels()], [0, None]) == ["kernel", "bias"]


def test_channels_that_are_no_multiple_of_the_groups_are_an_error() -> None:
    with pytest.raises(ConversionError, match=r"6 channels of 'kernel' to be a multiple of 4"):
        replaced(linear("gemm"), [ClassChannels(groups=4)])


def with_nodes(*nodes: onnx.NodeProto) -> onnx.GraphProto:
    info = helper.make_tensor_value_info
    constant = numpy_helper.from_array(np.ones((6, 6), np.float32), "k")
    inputs = [info("x", 1, ["n", 6]), info("x2", 1, ["n", 6])]
    return helper.make_graph(list(nodes), "g", inputs, [info("y", 1, None)], [constant])


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        ([helper.make_node("Relu", ["x"], ["y"], "act")], r"before 'y', got Relu \('act'\)"),
        ([helper.make_node("Identity", ["x"], ["y"])], "before 'y', got an input"),
        ([helper.make_node("Concat", ["x", "x2"], ["y"], "both", axis=1)], "got Concat"),
        ([helper.make_node("Add", ["x", "x2"], ["y"], "sum")], r"got Add \('sum'\)"),
        (
            [helper.make_node("Relu", ["x"], ["r"]), helper.make_node("Add", ["r", "k"], ["y"])],
            "got Add",
        ),
    ],
)
def test_an_output_of_another_operation_has_no_last_layer(
    nodes: list[onnx.NodeProto], message: str
) -> None:
    with pytest.raises(ConversionError, match=message):
        last_layer(with_nodes(*nodes), "y")


def test_an_output_that_is_not_there_has_no_last_layer() -> None:
    with pytest.raises(ConversionError, match="before 'z', got an input"):
        last_layer(with_nodes(helper.make_node("Relu", ["x"], ["y"])), "z")


def test_computed_weights_cannot_be_replaced() -> None:
    nodes = [helper.make_node("MatMul", ["x", "x2"], ["y"], "product")]
    opsets = [helper.make_opsetid("", 17)]
    model = helper.make_model(with_nodes(*nodes), opset_imports=opsets)
    with pytest.raises(ConversionError, match=r"constant weights of the last layer, 'product'"):
        replace_classes(model, [ClassChannels()], [None])


def test_the_last_layer_is_found_behind_moves_and_activations() -> None:
    nodes = [
        helper.make_node("Gemm", ["x", "k"], ["g"], "layer"),
        helper.make_node("Softmax", ["g"], ["s"]),
        helper.make_node("Flatten", ["s"], ["y"]),
    ]
    found = last_layer(with_nodes(*nodes), "y")
    assert (found.node.name, found.bias, found.result) == ("layer", None, "g")
    assert [node.op_type for node in found.after] == ["Flatten", "Softmax"]


def test_classes_behind_a_resize_with_sizes() -> None:
    """PyTorch's exporter writes the number of channels into the sizes of a `Resize`."""
    random = np.random.default_rng(0)
    constants: dict[str, Array] = {
        "kernel": random.normal(size=(3, 3, 1, 1)).astype(np.float32),
        "sizes": np.array([2, 3, 8, 8], np.int64),
    }
    nodes = [
        helper.make_node("Conv", ["x", "kernel"], ["small"], "conv"),
        helper.make_node("Resize", ["small", "", "", "sizes"], ["y"], "resize", mode="linear"),
    ]
    shapes = {"x": (2, 3, 4, 4), "y": (2, 3, 8, 8)}
    x, y = (helper.make_tensor_value_info(name, 1, shape) for name, shape in shapes.items())
    initializers = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    graph = helper.make_graph(nodes, "map", [x], [y], initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    (before,) = run(model)
    (after,) = run(replaced(model, [ClassChannels(after=1)], [1, 0, 0]))
    np.testing.assert_allclose(after, before[:, [1, 0, 0, 2]], atol=1e-6)

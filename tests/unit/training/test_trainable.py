"""Networks in the form that trains: classes, arrays, and graphs of users."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper, numpy_helper

from furiosa_models import networks
from furiosa_models.errors import ConversionError, LabelsError, ShapeError, WeightsError
from furiosa_models.heads import (
    ClassificationHead,
    DFineHead,
    MaskQueriesHead,
    QueryHead,
    SSDHead,
    YOLOv5Head,
)
from furiosa_models.networks.weights import Checkpoint, RandomWeights
from furiosa_models.spec import NetworkSpec
from furiosa_models.training.trainable import Trainable, match_classes, trainable_of

Array = npt.NDArray[Any]


def checkpoint(kind: str, **params: Any) -> Checkpoint:
    source = RandomWeights()
    parameters = networks.describe(kind, **params).parameters
    arrays = {name: source.get(parameter) for name, parameter in parameters.items()}
    return Checkpoint(NetworkSpec(kind, params), arrays)


def run(program: bytes, size: int) -> list[Array]:
    session = onnxruntime.InferenceSession(program)
    photo = np.random.default_rng(0).random((2, 3, size, size), np.float32)
    outputs: list[Array] = session.run(None, {session.get_inputs()[0].name: photo})
    return outputs


CASES: dict[str, tuple[Checkpoint, Any, int]] = {
    "mobilenet_v2": (
        checkpoint("mobilenet_v2", image_size=64, num_classes=6),
        ClassificationHead(),
        64,
    ),
    "offset": (
        checkpoint("mobilenet_v2", image_size=64, num_classes=7),
        ClassificationHead(offset=1),
        64,
    ),
    "mobilenet_ssd": (
        checkpoint("mobilenet_ssd", depth_multiplier=0.25, num_classes=6),
        SSDHead((19, 10, 5, 3, 2, 1)),
        300,
    ),
    "yolov5": (
        checkpoint("yolov5", variant="n", image_size=64, num_classes=6),
        YOLOv5Head(),
        64,
    ),
}
SOURCES = [4, None, 0, [1, 2]]


@pytest.mark.parametrize("name", CASES)
def test_a_network_with_other_classes_runs_and_keeps_known_ones(name: str) -> None:
    given_checkpoint, head, size = CASES[name]
    network = trainable_of(b"", given_checkpoint)
    changed = network.with_classes(head, SOURCES)
    assert changed.network is not None
    offset = 1 if name == "offset" else 0
    assert changed.network.params["num_classes"] == 4 + offset
    before, after = run(network.program(), size), run(changed.program(), size)
    for one, other in zip(before, after, strict=True):
        if one.shape == other.shape:  # boxes
            np.testing.assert_array_equal(one, other)
            continue
        anchors = 3 if name == "yolov5" else one.shape[1] // (6 + offset)
        shift = 5 if name == "yolov5" else offset
        rest = one.shape[2:]
        old = one.reshape(2, anchors, -1, *rest)
        new = other.reshape(2, anchors, -1, *rest)
        assert new.shape[2] == shift + 4
        np.testing.assert_allclose(new[:, :, :shift], old[:, :, :shift], atol=1e-4)
        np.testing.assert_allclose(new[:, :, shift], old[:, :, shift + 4], atol=1e-4)
        np.testing.assert_allclose(new[:, :, shift + 2], old[:, :, shift], atol=1e-4)
        mean = old[:, :, [shift + 1, shift + 2]].mean(2)
        np.testing.assert_allclose(new[:, :, shift + 3], mean, rtol=1e-3, atol=1e-3)


QUERIES: dict[str, tuple[str, dict[str, Any], Any]] = {
    "dfine": ("dfine", {"num_queries": 9}, DFineHead((64, 64))),
    "rtdetr": ("rtdetr", {"num_queries": 9}, QueryHead((64, 64))),
    "masks": ("maskformer", {"backbone": "nano", "num_queries": 9}, MaskQueriesHead((64, 64))),
}


@pytest.mark.parametrize("is_trained_at_all_layers", [False, True])
@pytest.mark.parametrize("name", QUERIES)
def test_classes_of_queries_are_replaced_in_all_layers(
    name: str, is_trained_at_all_layers: bool
) -> None:
    """Queries are chosen by their best class, so that another order changes nothing else."""
    kind, params, head = QUERIES[name]
    network = trainable_of(b"", checkpoint(kind, image_size=64, num_classes=4, **params))
    program = network.program()
    if is_trained_at_all_layers:
        network = network.with_auxiliary()
        assert network.auxiliary
        assert network.program() == program  # of which training is no part
    changed = network.with_classes(head, [3, 0, 2, 1])
    before, after = run(program, 64), run(changed.program(), 64)
    for one, other in zip(before, after, strict=True):
        is_class = one.shape[2] in (4, 5) and one.shape == (2, 9, 4 + (name == "masks"))
        is_class = is_class and one is before[1 if name == "masks" else 0]
        order = [3, 0, 2, 1, *range(4, one.shape[2])] if is_class else slice(None)
        np.testing.assert_allclose(other, one[:, :, order], atol=1e-5)
    fewer = network.with_classes(head, [None, [0, 1]])
    assert fewer.network is not None
    assert fewer.network.params["num_classes"] == 2
    assert fewer.auxiliary == network.auxiliary
    arrays = fewer.arrays()
    graph = networks.describe(
        kind, **fewer.network.params, **({"auxiliary": True} if network.auxiliary else {})
    )
    assert all(arrays[key].shape == each.shape for key, each in graph.parameters.items())
    run(fewer.program(), 64)


def test_layers_that_only_training_needs_start_as_the_last_one() -> None:
    given = checkpoint("dfine", image_size=64, num_queries=9)
    network = trainable_of(b"", given).with_auxiliary()
    arrays = network.arrays()
    for part in ("dec_score_head.{}.weight", "decoder.lqe_layers.{}.reg_conf.layers.1.bias"):
        first, last = (arrays[f"decoder.{part.format(index)}"] for index in (0, 2))
        np.testing.assert_array_equal(first, last)
        assert f"decoder.{part.format(0)}" not in given.arrays
    own = np.full((80, 128), 0.5, np.float32)
    name = "decoder.dec_score_head.0.weight"
    again = trainable_of(b"", Checkpoint(given.network, {**given.arrays, name: own}))
    np.testing.assert_array_equal(again.with_auxiliary().arrays()[name], own)
    kept = network.without_auxiliary()
    assert not kept.auxiliary
    assert kept.checkpoint is not None
    assert name in kept.checkpoint.arrays  # for the next training
    plain = trainable_of(b"", CASES["mobilenet_v2"][0])
    assert plain.with_auxiliary() is plain is plain.without_auxiliary()


def test_the_embedding_of_noisy_labels_keeps_its_classes_in_step() -> None:
    given = checkpoint("rtdetr", image_size=64, num_queries=9, num_classes=4)
    name = "decoder.denoising_class_embed.weight"
    rows = np.arange(5, dtype=np.float32)[:, None].repeat(256, axis=1)
    network = trainable_of(b"", Checkpoint(given.network, {**given.arrays, name: rows}))
    changed = network.with_classes(QueryHead((64, 64)), [2, 0]).checkpoint
    assert changed is not None
    assert changed.arrays[name][:, 0].tolist() == [2, 0, 4]  # the last one is of no class


def test_classes_of_a_head_that_has_none_cannot_be_replaced() -> None:
    from furiosa_models.heads import PoseHead

    network = trainable_of(b"", CASES["yolov5"][0])
    with pytest.raises(ShapeError, match="classes of a network with PoseHead cannot be replaced"):
        network.with_classes(PoseHead(), SOURCES)


@pytest.mark.parametrize("name", CASES)
def test_arrays_go_into_a_network_and_back(name: str) -> None:
    given_checkpoint, _, _ = CASES[name]
    network = trainable_of(b"", given_checkpoint)
    doubled = {key: array * 2 for key, array in given_checkpoint.arrays.items()}
    again = network.with_arrays({**doubled, "unknown": np.ones(3)}).checkpoint
    assert again is not None
    assert again.arrays.keys() == given_checkpoint.arrays.keys()
    for key, array in doubled.items():
        np.testing.assert_array_equal(again.arrays[key], array)
    kept = network.checkpoint
    assert kept is not None
    for key, array in given_checkpoint.arrays.items():
        np.testing.assert_array_equal(kept.arrays[key], array)


def test_the_program_is_the_one_that_the_builder_makes() -> None:
    given_checkpoint, _, _ = CASES["mobilenet_v2"]
    network, arrays = given_checkpoint
    built, _ = networks.build_checkpoint(network.name, arrays, **network.params)
    assert trainable_of(b"", given_checkpoint).program() == networks.to_bytes(built)


def test_a_missing_array_is_an_error() -> None:
    given_checkpoint, _, _ = CASES["mobilenet_v2"]
    arrays = {**given_checkpoint.arrays}
    del arrays["features.0.1.running_mean"]
    with pytest.raises(WeightsError, match=r"features\.0\.1\.running_mean"):
        trainable_of(b"", Checkpoint(given_checkpoint.network, arrays))


def test_argmax_and_batch_size_are_not_trained() -> None:
    made = checkpoint("resnet", variant="18", image_size=64, argmax=True, batch_size=1)
    network = trainable_of(b"", made)
    assert network.network is not None
    assert network.network.params == {"variant": "18", "image_size": 64}
    assert run(network.program(), 64)[0].shape == (2, 1000)


def test_quantized_and_tensorflow_lite_networks_are_not_trained() -> None:
    with pytest.raises(ConversionError, match="TensorFlow Lite networks are not trained"):
        trainable_of(b"\x1c\0\0\0TFL3" + b"\0" * 20, None)
    info = helper.make_tensor_value_info
    nodes = [helper.make_node("QuantizeLinear", ["x", "s"], ["y"], "first")]
    scale = numpy_helper.from_array(np.float32(0.1), "s")
    graph = helper.make_graph(nodes, "g", [info("x", 1, [1, 3])], [info("y", 2, [1, 3])], [scale])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    with pytest.raises(ConversionError, match=r"a quantized network is not trained \('first'\)"):
        trainable_of(model.SerializeToString(), None)


def shared(*, by_identity: bool) -> bytes:
    """Return a graph whose shift and mean are one array, as exporters write new networks."""
    info = helper.make_tensor_value_info
    zeros, ones = np.zeros(4, np.float32), np.ones(4, np.float32)
    kernel = np.random.default_rng(0).normal(size=(4, 3, 1, 1)).astype(np.float32)
    names = ["g", "b", "m", "v"] if by_identity else ["g", "b", "b", "g"]
    nodes = [helper.make_node("Conv", ["x", "k"], ["c"])]
    if by_identity:
        nodes.insert(0, helper.make_node("Identity", ["b"], ["m"]))
        nodes.insert(1, helper.make_node("Identity", ["g"], ["w"]))
        nodes.insert(2, helper.make_node("Identity", ["w"], ["v"]))
    nodes.append(helper.make_node("BatchNormalization", ["c", *names], ["y"]))
    graph = helper.make_graph(
        nodes,
        "g",
        [info("x", 1, ["n", 3, 8, 8])],
        [info("y", 1, ["n", 4, 8, 8])],
        [numpy_helper.from_array(a, n) for n, a in (("k", kernel), ("g", ones), ("b", zeros))],
    )
    opsets = [helper.make_opsetid("", 17)]
    data: bytes = helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()
    return data


@pytest.mark.parametrize("by_identity", [True, False])
def test_statistics_that_an_exporter_shares_with_learned_arrays_get_copies(
    by_identity: bool,
) -> None:
    program = shared(by_identity=by_identity)
    network = trainable_of(program, None)
    (norm,) = (n for n in network.model.graph.node if n.op_type == "BatchNormalization")
    assert len({*norm.input[1:]}) == 4
    assert not [n for n in network.model.graph.node if n.op_type == "Identity"]
    onnx.checker.check_model(network.model, full_check=True)
    np.testing.assert_array_equal(run(network.program(), 8)[0], run(program, 8)[0])
    shifted = network.with_arrays({norm.input[2]: np.full(4, 5, np.float32)})
    difference = run(shifted.program(), 8)[0] - run(program, 8)[0]
    np.testing.assert_allclose(difference, 5, rtol=1e-5)


def test_classes_match_by_name_without_case_and_separators() -> None:
    old = ["dining table", "TV", "猫", "🐱", "🐶", "person"]
    new = ["Dining-Table", "tv", "猫", "🐶", "🐱", "unicorn", "per_son"]
    assert match_classes(old, new, {}) == [0, 1, 2, 4, 3, None, 5]


def test_classes_start_from_the_given_ones() -> None:
    old = ["car", "truck", "bus"]
    given_names = {"vehicle": ["car", "Truck"], "coach": "bus"}
    assert match_classes(old, ["vehicle", "coach", "car"], given_names) == [[0, 1], 2, 0]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ({"van": "car"}, "van is not a class of the data: its classes are vehicle"),
        ({"vehicle": ["car", "ship"]}, "the model has no class ship: it has car, truck"),
    ],
)
def test_unknown_names_are_errors(names: dict[str, Any], message: str) -> None:
    with pytest.raises(LabelsError, match=message):
        match_classes(["car", "truck"], ["vehicle"], names)


@given(names=st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=6, unique=True))
def test_every_class_matches_itself_or_one_of_the_same_plain_name(names: list[str]) -> None:
    from furiosa_models.labels import plain_name

    for name, source in zip(names, match_classes(names, names, {}), strict=True):
        assert isinstance(source, int)
        assert plain_name(names[source]) == plain_name(name)


def test_a_trainable_is_not_changed_by_its_copies() -> None:
    network = trainable_of(b"", CASES["yolov5"][0])
    before = network.model.SerializeToString()
    network.with_classes(YOLOv5Head(), SOURCES)
    network.with_arrays({name: array * 0 for name, array in network.arrays().items()})
    assert network.model.SerializeToString() == before
    assert isinstance(replace(network), Trainable)

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from onnx import TensorProto, helper

from furiosa_models import Detector, MatteEstimator, Segmenter, get_model
from furiosa_models.errors import LabelsError, ShapeError
from furiosa_models.heads import MatteHead, SemanticHead
from furiosa_models.heads.recognize import matte_head, semantic_head
from furiosa_models.spec import GraphFacts, ImageContext, TensorFacts
from furiosa_models.types import Platform

from ...platforms import BOTH

SIZE = (32, 48)
CONTEXT = ImageContext(96, 64, stretch=(0.5, 0.5))
NAMES = ("background", "cat", "dog")


def facts(*outputs: TensorFacts, size: tuple[Any, Any] = SIZE) -> GraphFacts:
    return GraphFacts((TensorFacts("image", (1, 3, *size), "float32"),), outputs)


def tensor(
    *shape: int | None, name: str = "y", dtype: str = "float32", operations: Any = ()
) -> TensorFacts:
    return TensorFacts(name, shape, dtype, frozenset(operations))


@pytest.mark.parametrize(
    ("output", "layout"),
    [
        (tensor(1, 21, 32, 48), "channels_first"),
        (tensor(1, 21, 4, 6), "channels_first"),
        (tensor(None, 21, None, None), "channels_first"),
        (tensor(1, 32, 48, 21), "channels_last"),
        (tensor(1, 4, 6, 21), "channels_last"),
        (tensor(None, None, None, 21), "channels_last"),
        (tensor(1, 2, 32, 48), "channels_first"),
    ],
)
def test_layout_of_scores_follows_from_the_input(output: TensorFacts, layout: str) -> None:
    assert semantic_head(facts(output)) == SemanticHead(SIZE, layout=layout)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "output",
    [
        tensor(1, 32, 48, dtype="int64", operations=["ArgMax"]),
        tensor(1, 1, 32, 48, dtype="int32"),
        tensor(1, 32, 48, 1, dtype="uint8"),
        tensor(1, 32, 48, operations=["ArgMax"]),
    ],
)
def test_maps_of_class_ids_are_recognized(output: TensorFacts) -> None:
    assert semantic_head(facts(output)) == SemanticHead(SIZE, kind="classes")


def test_main_output_is_found_by_its_name() -> None:
    outputs = tensor(1, 21, 32, 48, name="aux"), tensor(1, 21, 32, 48, name="out")
    assert semantic_head(facts(*outputs)) == SemanticHead(SIZE, 1)


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        ([tensor(1, 31, 31, 31)], "neither .* nor .* for an input of"),
        ([tensor(1, None, None, None)], "pass head=SemanticHead"),
        ([tensor(1, 21, 32, 48, name="a"), tensor(1, 21, 32, 48, name="b")], "2 outputs"),
        ([tensor(1, 1, 32, 48)], "open it with MatteEstimator"),
        ([tensor(1, 1000)], "fit no known semantic segmentation"),
        ([tensor(1, 116, 8400)], "fit no known semantic segmentation"),
    ],
)
def test_unclear_maps_are_refused_with_advice(outputs: list[TensorFacts], message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        semantic_head(facts(*outputs))


def test_square_scores_of_as_many_classes_are_ambiguous() -> None:
    with pytest.raises(ShapeError, match=r'may be .* layout="channels_first"'):
        semantic_head(facts(tensor(1, 19, 19, 19), size=(19, 19)))


def test_mattes_are_recognized() -> None:
    inside = tensor(1, 1, 32, 48, operations=["Sigmoid"])
    assert matte_head(facts(inside)) == MatteHead(SIZE)
    assert matte_head(facts(tensor(1, 1, 32, 48))) == MatteHead(SIZE, activation="sigmoid")
    last = tensor(1, 32, 48, 1, operations=["Sigmoid"])
    assert matte_head(facts(last)) == MatteHead(SIZE, layout="channels_last")
    assert matte_head(facts(*[inside] * 7)) == MatteHead(SIZE, normalize=True)
    for other in (tensor(1, 21, 32, 48), tensor(1, 80), tensor(1, 1, 7, 48)):
        with pytest.raises(ShapeError):
            matte_head(facts(other))


@BOTH
@pytest.mark.parametrize("layout", ["channels_first", "channels_last"])
def test_scores_become_classes_of_the_photos_size(platform: Platform, layout: Any) -> None:
    scores = np.zeros((2, 3, *SIZE), np.float32)
    scores[0, 0], scores[0, 2, :, 24:], scores[1, 1] = 0.5, 1, 1
    if layout == "channels_last":
        scores = np.ascontiguousarray(scores.transpose(0, 2, 3, 1))
    head = SemanticHead(SIZE, layout=layout)
    right, whole = head.decode([scores], [CONTEXT] * 2, NAMES, platform)
    assert right.class_map.shape == (64, 96)
    assert (right.labels, right[0].box) == (["dog"], (48, 0, 96, 64))
    assert whole.areas == {"cat": 64 * 96}


@BOTH
def test_class_ids_become_classes_of_the_photos_size(platform: Platform) -> None:
    ids = np.zeros((1, 1, 16, 24), np.int64)
    ids[..., 12:] = 1
    for output in (ids, ids[:, 0], ids.astype(np.float32), ids.transpose(0, 2, 3, 1)):
        head = SemanticHead(SIZE, kind="classes")
        (found,) = head.decode([output], [CONTEXT], NAMES, platform)
        assert found[0].box == (48, 0, 96, 64)


@BOTH
def test_mattes_have_the_photos_size(platform: Platform) -> None:
    logits = np.full((1, 1, *SIZE), -50, np.float32)
    logits[..., 24:] = 50
    (found,) = MatteHead(SIZE, activation="sigmoid").decode(
        [logits], [CONTEXT], ["person"], platform
    )
    assert (found.alpha.shape, found.label) == ((64, 96), "person")
    assert found.fraction == pytest.approx(0.5, abs=0.01)
    weak = np.full((1, *SIZE, 2), 0.2, np.float32)
    weak[:, :, 24:, 1] = 0.3
    head = MatteHead(SIZE, normalize=True, channel=1, layout="channels_last")
    (stretched,) = head.decode([weak, weak], [CONTEXT], [], platform)
    assert (stretched.alpha.min(), stretched.alpha.max()) == (0, 255)
    (flat,) = head.decode([np.full_like(weak, 0.7)], [CONTEXT], [], platform)
    assert not flat.alpha.any()


BAD: list[tuple[Any, Any, str]] = [
    (SemanticHead(SIZE), [], "as output 0, got 0 outputs"),
    (SemanticHead(SIZE), [np.zeros((1, 9))], "got the shape"),
    (SemanticHead(SIZE), [np.zeros((1, 4, 4, 6), np.float32)], "scores of 3 classes, got 4"),
    (SemanticHead(SIZE), [np.zeros((1, 4, 6), np.float32)], "4 dimensions"),
    (SemanticHead(SIZE), [np.zeros((2, 3, 4, 6), np.float32)], "expected 2 contexts"),
    (SemanticHead(SIZE, kind="classes"), [np.zeros((1, 2, 4, 6), int)], "one channel"),
    (MatteHead(SIZE), [np.zeros((1, 4, 6), int)], "floating-point"),
    (MatteHead(SIZE, channel=1), [np.zeros((1, 1, 4, 6))], "expected channel 1"),
]


@BOTH
@pytest.mark.parametrize(("head", "outputs", "message"), BAD)
def test_wrong_outputs_are_refused(
    head: Any, outputs: Any, message: str, platform: Platform
) -> None:
    with pytest.raises(ShapeError, match=message):
        head.decode(outputs, [CONTEXT], NAMES, platform)


anything = st.floats(width=32, allow_nan=True, allow_infinity=True)


@settings(deadline=None)
@given(
    hnp.arrays(np.float32, st.tuples(st.just(1), *[st.integers(1, 5)] * 3), elements=anything),
    st.integers(1, 30),
    st.integers(1, 30),
    st.booleans(),
)
def test_any_numbers_give_the_same_maps_on_both_platforms(
    values: Any, height: int, width: int, align_corners: bool
) -> None:
    context = ImageContext(width, height, 0.7, pad=(2.0, -3.0))
    names = [f"c{i}" for i in range(values.shape[1])]
    semantic = SemanticHead(SIZE, align_corners=align_corners)
    matte = MatteHead(SIZE, normalize=True, activation="sigmoid")
    for head in (semantic, matte):
        rust, numpy = (
            head.decode([values], [context], names, platform)
            for platform in (Platform.RUST, Platform.PYTHON)
        )
        assert rust == numpy


def network(path: Path, *, channels: int, last: str | None = None) -> Path:
    """Write a network that gives maps of its own input, by a convolution."""
    kernel = np.random.default_rng(0).normal(size=(channels, 3, 1, 1)).astype(np.float32)
    nodes = [helper.make_node("Conv", ["image", "kernel"], ["y" if last is None else "x"])]
    if last is not None:
        nodes.append(helper.make_node(last, ["x"], ["y"]))
    graph = helper.make_graph(
        nodes,
        "maps",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 3, *SIZE])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", channels, *SIZE])],
        [onnx.numpy_helper.from_array(kernel, "kernel")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, path)
    return path


def test_own_networks_are_opened(tmp_path: Path) -> None:
    photo = np.random.default_rng(0).integers(0, 255, (70, 90, 3), np.uint8)
    file = network(tmp_path / "net.onnx", channels=3)
    model = Segmenter(file, labels=NAMES)
    found = model.predict(photo)
    assert (found.class_map.shape, found.image_size) == ((70, 90), (90, 70))
    assert [*model.predict([photo, photo], stream=True)] == [found, found]
    assert model.infer(photo, color="bgr").detections == found.detections
    assert isinstance(get_model(file), Segmenter)
    model.save(tmp_path / "saved")
    assert Segmenter(tmp_path / "saved").predict(photo) == found
    with pytest.raises(LabelsError, match="the network has 3 classes, but there are 2 labels"):
        Segmenter(file, labels=["a", "b"]).fitted()
    with pytest.raises(TypeError, match="unknown argument 'score_threshold'"):
        model.predict(photo, score_threshold=0.5)  # type: ignore[call-overload]
    with pytest.raises(ShapeError, match="expected a classifier|fit no known detector"):
        Detector(file).fitted()


def test_own_mattes_are_opened(tmp_path: Path) -> None:
    photo = np.random.default_rng(0).integers(0, 255, (70, 90, 3), np.uint8)
    file = network(tmp_path / "net.onnx", channels=1, last="Sigmoid")
    model = MatteEstimator(file, labels=["person"])
    assert model.head == MatteHead(SIZE)
    found = model.predict(photo)
    assert (found.alpha.shape, found.label) == ((70, 90), "person")
    assert isinstance(get_model(file), MatteEstimator)
    assert MatteEstimator(file).predict(photo).label == "foreground"
    model.save(tmp_path / "saved")
    assert MatteEstimator(tmp_path / "saved").predict(photo) == found
    with pytest.raises(LabelsError, match="a matte has one label"):
        MatteEstimator(file, labels=["a", "b"]).fitted()

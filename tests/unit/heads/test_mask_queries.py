"""Masks of queries: as objects and as classes of pixels, against loops over pixels in float64."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from onnx import TensorProto, helper

from furiosa_models import InstanceSegmenter, Segmenter, get_model, networks
from furiosa_models.errors import LabelsError, ShapeError
from furiosa_models.heads import MaskQueriesHead, SemanticQueriesHead
from furiosa_models.heads.recognize import instance_head, semantic_head
from furiosa_models.spec import GraphFacts, ImageContext, TensorFacts
from furiosa_models.types import Platform

from ...platforms import BOTH

SIZE = (32, 48)
CONTEXT = ImageContext(96, 64, stretch=(0.5, 0.5))
SAME = ImageContext(48, 32, stretch=(1.0, 1.0))
NAMES = ("cat", "dog")


def logit(p: Any) -> Any:
    p = np.asarray(p, np.float64)
    return np.log(p / (1 - p)).astype(np.float32)


def outputs(scores: list[list[float]], masks: Any) -> list[Any]:
    """Return logits of scores, with the rest for no object, and of masks at stride 4."""
    given = np.array(scores)
    whole = np.concatenate([given, 1 - given.sum(1, keepdims=True)], 1)
    return [logit(masks)[None], np.log(whole).astype(np.float32)[None]]


def two_masks(low: float = 0.1, high: float = 0.9) -> Any:
    masks = np.full((2, 8, 12), low)
    masks[0, :, :6] = masks[1, :, 6:] = high
    return masks


@BOTH
def test_queries_become_objects(platform: Platform) -> None:
    found = outputs([[0.1, 0.6], [0.8, 0.1]], two_masks())
    (result,) = MaskQueriesHead(SIZE).decode(found, [CONTEXT], NAMES, platform)
    assert result.labels == ["cat", "dog"]
    assert result.boxes.tolist() == [[48, 0, 96, 64], [0, 0, 48, 64]]
    assert result.masks.shape == (2, 64, 96)
    # The mean of a mask's probabilities is below 0.9, as its edge is interpolated.
    assert 0.8 * 0.85 < result.scores[0] < 0.8 * 0.9
    plain = MaskQueriesHead(SIZE, mask_score=False)
    (result,) = plain.decode(found, [CONTEXT], NAMES, platform)
    assert result.scores.tolist() == pytest.approx([0.8, 0.6])
    (result,) = plain.decode(found, [CONTEXT], NAMES, platform, score_threshold=0.7)
    assert result.labels == ["cat"]


@BOTH
def test_the_threshold_is_exceeded_and_tiny_masks_are_dropped(platform: Platform) -> None:
    head = MaskQueriesHead(SIZE, "none", "none", mask_score=False, score_threshold=0.5)
    masks = np.zeros((1, 3, 32, 48), np.float32)
    masks[0, 0, 4:6, 4], masks[0, 1, 8, 8], masks[0, 2, 4:6, 4] = 1, 1, 1
    scores = np.array([[[0.75, 0.0], [0.75, 0.0], [0.5, 0.5]]], np.float32)
    (result,) = head.decode([scores, masks], [SAME], NAMES, platform)
    assert (result.labels, result.areas.tolist()) == (["cat"], [2])


@BOTH
def test_sigmoid_scores_and_order_of_outputs(platform: Platform) -> None:
    head = MaskQueriesHead(SIZE, "sigmoid", mask_score=False)
    scores = logit([[[0.3, 0.7, 0.99], [0.6, 0.2, 0.99]]])
    masks = logit(two_masks())[None]
    one = head.decode([scores, masks], [CONTEXT], NAMES, platform)
    other = head.decode([masks, scores], [CONTEXT], NAMES, platform)
    assert one == other
    assert one[0].labels == ["dog", "cat"]


@given(
    hnp.arrays(np.float32, (4, 3), elements=st.floats(-6, 6, width=32)),
    hnp.arrays(np.float32, (4, 5, 6), elements=st.floats(-6, 6, width=32)),
    st.integers(1, 40),
    st.integers(1, 40),
    st.sampled_from([0.0, 0.2, 0.5]),
)
@settings(max_examples=60, deadline=None)
def test_objects_are_those_of_loops(
    logits: Any, masks: Any, height: int, width: int, threshold: float
) -> None:
    head = MaskQueriesHead((20, 24), score_threshold=threshold)
    context = ImageContext(width, height, stretch=(24 / width, 20 / height))
    both = [
        head.decode([masks[None], logits[None]], [context], NAMES, platform)[0]
        for platform in (Platform.RUST, Platform.PYTHON)
    ]
    np.testing.assert_array_equal(both[0].bits, both[1].bits)
    np.testing.assert_allclose(both[0].scores, both[1].scores, rtol=1e-6)
    exact = np.exp(logits.astype(np.float64) - logits.max(1, keepdims=True))
    scores = (exact / exact.sum(1, keepdims=True))[:, :-1]
    expected = []
    for row, map_ in zip(scores, 1 / (1 + np.exp(-masks.astype(np.float64))), strict=True):
        level = resized(map_, height, width)
        mask = level >= 0.5
        if mask.sum() >= 2:
            expected.append((row.max() * level[mask].mean(), int(mask.sum())))
    kept = sorted(score for score, _ in expected if score > threshold + 1e-4)
    maybe = [score for score, _ in expected if abs(score - threshold) <= 1e-4]
    assert len(kept) <= len(both[0]) <= len(kept) + len(maybe) + 4 * (np.abs(masks) < 1e-3).any()


def resized(map_: Any, height: int, width: int) -> Any:
    """Return a map at another size, bilinearly, in float64."""

    def places(length: int, samples: int) -> Any:
        at = ((np.arange(length) + 0.5) * samples / length - 0.5).clip(0, samples - 1)
        low = np.floor(at).astype(int)
        return low, np.minimum(low + 1, samples - 1), at - low

    top, bottom, down = places(height, map_.shape[0])
    left, right, across = places(width, map_.shape[1])
    lines = map_[top] * (1 - down)[:, None] + map_[bottom] * down[:, None]
    return lines[:, left] * (1 - across) + lines[:, right] * across


@BOTH
def test_the_best_query_gives_the_class_of_a_pixel(platform: Platform) -> None:
    found = outputs([[0.1, 0.7], [0.6, 0.1]], two_masks(0.1, 0.3))
    (result,) = SemanticQueriesHead(SIZE).decode(found, [CONTEXT], NAMES, platform)
    assert result.class_map.shape == (64, 96)
    assert result.areas.keys() == {"cat", "dog"}
    assert (result.class_map[:, :44] == 1).all()
    assert (result.class_map[:, 54:] == 0).all()
    strict = SemanticQueriesHead(SIZE, score_threshold=0.65)
    (result,) = strict.decode(found, [CONTEXT], NAMES, platform)
    assert result.labels == ["dog"]
    assert (result.class_map[:, 54:] == result.no_class).all()


@BOTH
def test_pixels_in_no_mask_may_have_no_class(platform: Platform) -> None:
    masks = two_masks(0.1, 0.9)
    masks[1, :, :] = 0.1
    masks[1, 2:6, 3:9] = 0.9
    found = outputs([[0.1, 0.7], [0.85, 0.1]], masks)
    head = SemanticQueriesHead(SIZE, combine="masks", mask_score=True)
    (result,) = head.decode(found, [CONTEXT], NAMES, platform)
    assert result.class_map[32, 44] == 0  # both masks, of which the better one counts
    assert result.class_map[32, 10] == 1
    assert result.class_map[60, 90] == result.no_class


@BOTH
def test_scores_of_queries_may_be_added(platform: Platform) -> None:
    masks = np.full((3, 8, 12), 0.5)
    found = outputs([[0.5, 0.1], [0.05, 0.4], [0.05, 0.4]], masks)
    (best,) = SemanticQueriesHead(SIZE, score_threshold=0.3).decode(
        found, [CONTEXT], NAMES, platform
    )
    (added,) = SemanticQueriesHead(SIZE, combine="sum").decode(found, [CONTEXT], NAMES, platform)
    assert (best.labels, added.labels) == (["cat"], ["dog"])


@pytest.mark.parametrize(
    ("wrong", "names", "message"),
    [
        ([np.zeros((1, 2, 8, 12), "f4")], NAMES, "expected masks"),
        ([np.zeros((1, 2, 8, 12), "f4"), np.zeros((1, 3, 3), "f4")], NAMES, "mask for each"),
        ([np.zeros((1, 2, 8, 12), "f4"), np.zeros((1, 2, 5), "f4")], NAMES, "2 classes, got 4"),
        ([np.zeros((1, 2, 8, 12), "f4"), np.zeros((1, 2, 1), "f4")], (), "classes"),
        ([np.zeros((2, 2, 8, 12), "f4"), np.zeros((2, 2, 3), "f4")], NAMES, "context"),
        ([np.zeros((1, 0, 8, 12), "f4"), np.zeros((1, 0, 3), "f4")], NAMES, "expected masks"),
    ],
)
@pytest.mark.parametrize("head", [MaskQueriesHead(SIZE), SemanticQueriesHead(SIZE)])
def test_wrong_outputs_are_refused(head: Any, wrong: Any, names: Any, message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        head.decode(wrong, [CONTEXT], names, Platform.RUST)


@pytest.mark.parametrize("head", [MaskQueriesHead, SemanticQueriesHead])
@pytest.mark.parametrize(
    "fields",
    [
        {"score_threshold": 2.0},
        {"mask_threshold": -1.0},
        {"activation": "relu"},
        {"mask_activation": "softmax"},
    ],
)
def test_wrong_fields_are_refused(head: Any, fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(fields))):
        head(SIZE, **fields)


def test_an_option_that_would_be_ignored_is_refused() -> None:
    with pytest.raises(ValueError, match="mask_score applies to"):
        SemanticQueriesHead(SIZE, mask_score=True)
    with pytest.raises(ValueError, match="combine"):
        SemanticQueriesHead(SIZE, combine="any")  # type: ignore[arg-type]


def facts(*shapes: tuple[Any, ...], operations: Any = ((), ())) -> GraphFacts:
    made = [
        TensorFacts(f"y{i}", shape, "float32", frozenset(ops))
        for i, (shape, ops) in enumerate(zip(shapes, operations, strict=True))
    ]
    return GraphFacts((TensorFacts("image", (1, 3, *SIZE), "float32"),), tuple(made))


def test_graphs_of_queries_are_recognized() -> None:
    raw = facts((1, 9, 8, 12), (1, 9, 3))
    assert instance_head(raw) == MaskQueriesHead(SIZE)
    assert semantic_head(raw) == SemanticQueriesHead(SIZE)
    scored = facts((1, 9, 3), (1, 9, 8, 12), operations=(("Softmax",), ("Sigmoid",)))
    assert instance_head(scored) == MaskQueriesHead(SIZE, "none", "none")
    with pytest.raises(ShapeError, match="no known instance segmentation"):
        instance_head(facts((1, 116, 8400), (1, 32, 8, 12)))  # YOLO's coefficients and prototypes


@pytest.fixture(scope="module")
def graph(tmp_path_factory: Any) -> Path:
    path: Path = tmp_path_factory.mktemp("queries") / "net.onnx"
    model = networks.build(
        "maskformer",
        networks.RandomWeights(),
        backbone="nano",
        num_queries=8,
        num_classes=2,
        decoder_layers=1,
        image_size=64,
    )
    path.write_bytes(networks.to_bytes(model))
    return path


def test_a_graph_predicts_objects(graph: Path) -> None:
    photo = np.random.default_rng(0).integers(0, 255, (50, 70, 3), np.uint8)
    with InstanceSegmenter(graph, labels=NAMES) as model:
        found = model.predict(photo, score_threshold=0.0)
        assert found.masks.shape[1:] == (50, 70)
        assert {*found.labels} <= {*NAMES}
        assert len(model.predict(photo, score_threshold=0.99)) == 0
        both = model.predict([photo, photo[:20]], score_threshold=0.0)
        assert both[0] == found
        with pytest.raises(TypeError):
            model.predict(photo, iou_threshold=0.5)  # type: ignore[call-overload]
        large = np.tile(photo, (2, 2, 1))
        assert model.predict(large, tiles="auto", score_threshold=0.0).masks.shape[1:] == (100, 140)
        frames = list(model.predict([photo] * 2, stream=True, track=True, score_threshold=0.3))
        assert all(frame.is_tracked for frame in frames)
    opened = get_model(graph, labels=NAMES)
    assert isinstance(opened, InstanceSegmenter)
    opened.close()
    with Segmenter(graph, labels=NAMES, head={"score_threshold": 0.0}) as segmenter:
        assert segmenter.predict(photo).class_map.shape == (50, 70)
    with pytest.raises(LabelsError, match="2 classes"):
        InstanceSegmenter(graph, labels=["a"]).fitted()


def test_a_saved_model_is_the_same(graph: Path, tmp_path: Path) -> None:
    photo = np.random.default_rng(0).integers(0, 255, (50, 70, 3), np.uint8)
    with InstanceSegmenter(graph, labels=NAMES, head={"score_threshold": 0.1}) as model:
        model.save(tmp_path / "saved")
        expected = model.predict(photo)
    with get_model(tmp_path / "saved") as again:
        assert type(again) is InstanceSegmenter
        assert again.predict(photo) == expected


def test_a_graph_of_one_output_is_refused() -> None:
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 32, 48])
    same = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 3, 32, 48])
    node = helper.make_node("Identity", ["x"], ["y"])
    model = helper.make_model(helper.make_graph([node], "g", [value], [same]))
    with pytest.raises(ShapeError, match="no known instance segmentation"):
        InstanceSegmenter(model, labels=NAMES).fitted()

"""Maps, mattes and centers of people in a graph give the pixels and people of `Head.decode`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest

from furiosa_models.enums import Platform
from furiosa_models.errors import ConversionError, ShapeError
from furiosa_models.export.embedded import embed
from furiosa_models.export.embedded.decoders import decode, default_options
from furiosa_models.export.embedded.outputs import Raw, Scene
from furiosa_models.export.embedded.results import results_of
from furiosa_models.heads import CenterPoseHead, MatteHead, SemanticHead, SinglePoseHead
from furiosa_models.images.read import read_image
from furiosa_models.labels import table_of
from furiosa_models.spec import Head, ImageContext, ImageInput
from furiosa_models.vision import (
    DeepLabV3MobileNetV2,
    MoveNetMultiPose,
    MoveNetThunder,
    SelfieSegmentation,
    U2NetP,
)

from .running import check, decoding, feeds, run, session

Array = npt.NDArray[Any]

SIZE = (32, 48)
CONTEXTS = [
    ImageContext(96, 64, stretch=(0.5, 0.5)),
    ImageContext(77, 33, scale=48 / 77, pad=(0.0, 5.5)),  # letterboxed
    ImageContext(120, 50, scale=0.64, pad=(-14.4, 0.0)),  # cropped: the sides are not seen
    ImageContext(1, 1, stretch=(48.0, 32.0)),
]


def compare(
    head: Head, outputs: Sequence[Array], context: ImageContext, classes: int, **options: float
) -> int:
    names = [f"class {i}" for i in range(classes)]
    (expected,) = head.decode(list(outputs), [context], names, Platform.RUST, **options)
    graph = decoding(head, outputs, ImageInput(size=SIZE), classes)
    given = {name: np.array(v, default_options(head)[name].dtype) for name, v in options.items()}
    return check(run(graph, {**feeds(graph, outputs, context), **given}), expected)


def scores(classes: int, height: int, width: int, steps: int | None = None) -> Array:
    """Return random scores; rounded ones are often equal."""
    values = np.random.default_rng(classes).normal(size=(1, classes, height, width))
    return (values if steps is None else np.round(values * steps) / steps).astype(np.float32)


@pytest.mark.parametrize("context", CONTEXTS)
@pytest.mark.parametrize("align_corners", [True, False])
@pytest.mark.parametrize("steps", [None, 1])
def test_class_maps_are_the_same(
    context: ImageContext, align_corners: bool, steps: int | None
) -> None:
    head = SemanticHead(SIZE, align_corners=align_corners)
    assert compare(head, [scores(5, 9, 13, steps)], context, 5) == context.height


def test_class_maps_of_other_forms_are_the_same() -> None:
    last = np.ascontiguousarray(scores(5, 8, 12).transpose(0, 2, 3, 1))
    assert compare(SemanticHead(SIZE, layout="channels_last"), [last], CONTEXTS[1], 5)
    assert compare(SemanticHead(SIZE), [scores(300, 4, 6)], CONTEXTS[2], 300)
    damaged = scores(5, 8, 12)
    damaged[:, 1:4, 2] = np.nan
    damaged[:, :, 4] = np.nan
    assert compare(SemanticHead(SIZE), [damaged], CONTEXTS[0], 5)
    assert compare(SemanticHead(SIZE), [np.zeros((1, 5, 8, 12), np.float32)], CONTEXTS[0], 5)


@pytest.mark.parametrize("context", CONTEXTS)
@pytest.mark.parametrize("shape", [(1, 9, 13), (1, 1, 9, 13), (1, 9, 13, 1)])
def test_maps_of_class_ids_are_the_same(context: ImageContext, shape: tuple[int, ...]) -> None:
    ids = np.random.default_rng(0).integers(-1, 7, shape)
    head = SemanticHead(SIZE, kind="classes")
    assert compare(head, [ids], context, 7) == context.height
    assert compare(head, [ids.astype(np.float32)], context, 7) == context.height


@pytest.mark.parametrize("context", CONTEXTS)
@pytest.mark.parametrize("activation", ["none", "sigmoid"])
@pytest.mark.parametrize("normalize", [True, False])
def test_mattes_are_the_same(context: ImageContext, activation: Any, normalize: bool) -> None:
    maps = scores(3, 9, 13)
    head = MatteHead(SIZE, output=1, activation=activation, normalize=normalize, channel=2)
    assert compare(head, [maps[:, :1], maps], context, 1) == context.height


def test_mattes_of_other_forms_are_the_same() -> None:
    values = scores(1, 9, 13)[:, 0]
    assert compare(MatteHead(SIZE), [values], CONTEXTS[0], 1)
    last = np.ascontiguousarray(values[..., None])
    assert compare(MatteHead(SIZE, layout="channels_last"), [last], CONTEXTS[0], 1)
    stretched = MatteHead(SIZE, normalize=True)
    assert compare(stretched, [np.full((1, 9, 13), 0.3, np.float32)], CONTEXTS[0], 1)
    values[0, 2:4, 3], values[0, 5, 5], values[0, 7, 7] = np.nan, np.inf, -np.inf
    assert compare(stretched, [values], CONTEXTS[0], 1)
    assert compare(MatteHead(SIZE), [values], CONTEXTS[0], 1)


def people_maps(height: int = 8, width: int = 12, steps: int | None = None) -> list[Array]:
    rng = np.random.default_rng(5)
    center = rng.random((1, 1, height, width))
    heat = rng.random((1, 17, height, width))
    if steps is not None:
        center, heat = np.round(center * steps) / steps, np.round(heat * steps) / steps
    box, offset = rng.uniform(-1, 9, (1, 2, height, width)), rng.random((1, 2, height, width))
    guess, shift = rng.normal(0, 3, (1, 34, height, width)), rng.random((1, 34, height, width))
    return [each.astype(np.float32) for each in (center, box, offset, heat, guess, shift)]


@pytest.mark.parametrize("steps", [None, 4])
@pytest.mark.parametrize("context", CONTEXTS[:3])
def test_people_are_the_same(context: ImageContext, steps: int | None) -> None:
    maps = people_maps(steps=steps)
    head = CenterPoseHead(score_threshold=0.0)
    many = compare(head, maps, context, 1)
    assert many > 2
    assert 0 < compare(head, maps, context, 1, score_threshold=0.4) < many
    assert 0 < compare(head, maps, context, 1, iou_threshold=0.05) < many
    assert compare(CenterPoseHead(score_threshold=0.0, max_detections=2), maps, context, 1) == 2
    maps[0] *= 0
    assert compare(head, maps, context, 1) == 0


@pytest.mark.parametrize("steps", [None, 4])
@pytest.mark.parametrize("context", CONTEXTS[:3])
def test_one_person_is_the_same(context: ImageContext, steps: int | None) -> None:
    center, _, _, heat, guess, shift = people_maps(steps=steps)
    maps = [center, heat, guess, shift]
    head = SinglePoseHead()
    assert compare(head, maps, context, 1) == 1
    assert compare(head, maps, context, 1, score_threshold=0.95) == 0
    assert compare(SinglePoseHead(keypoint_threshold=1.0), maps, context, 1) == 0
    few = SinglePoseHead(score_threshold=0.0, keypoint_threshold=float(heat.max()) - 0.1)
    assert compare(few, maps, context, 1) == 1


def test_what_cannot_be_decoded() -> None:
    spec = ImageInput(size=SIZE)
    maps = [scores(5, 8, 12)]
    with pytest.raises(ShapeError, match="expected scores of 6 classes, got 5"):
        decoding(SemanticHead(SIZE), maps, spec, 6)
    with pytest.raises(ShapeError, match="expected a map as output 1, got 1 outputs"):
        decoding(SemanticHead(SIZE, output=1), maps, spec, 5)
    with pytest.raises(ShapeError, match="one channel"):
        decoding(SemanticHead(SIZE, kind="classes"), [np.zeros((1, 2, 8, 12), int)], spec, 5)
    with pytest.raises(ShapeError, match="4 dimensions"):
        decoding(SemanticHead(SIZE), [maps[0][0]], spec, 5)
    with pytest.raises(ShapeError, match="expected a map, "):
        decoding(SemanticHead(SIZE), [maps[0][0, 0]], spec, 5)
    with pytest.raises(ShapeError, match="channel 5"):
        decoding(MatteHead(SIZE, channel=5), maps, spec, 1)
    with pytest.raises(ShapeError, match="floating-point"):
        decoding(MatteHead(SIZE), [maps[0].astype(np.int64)], spec, 1)
    with pytest.raises(ShapeError, match="expected 6 outputs, got 1"):
        decoding(CenterPoseHead(), maps, spec, 1)


@pytest.mark.parametrize("head", [SemanticHead(SIZE), MatteHead(SIZE), CenterPoseHead()])
def test_maps_of_unknown_size_are_an_error(head: Head) -> None:
    scene: Any = Scene(None, [Raw(None, (1, 5, None, None))] * 6, None, None, {}, 5)  # type: ignore[arg-type]
    with pytest.raises(ConversionError, match="must be known"):
        decode(scene, head)


def photo(height: int, width: int) -> npt.NDArray[np.uint8]:
    coarse = np.random.default_rng(height).integers(0, 256, (height, width, 3), np.uint8)
    return coarse.repeat(7, 0).repeat(7, 1)


def test_networks_give_the_results_of_predict() -> None:
    for network in (SelfieSegmentation, MoveNetMultiPose, MoveNetThunder):
        with network(weights="random") as model:
            known = model._weights.known
            graph = embed(model.origin, known, table_of(known.labels))
            onnx.checker.check_model(graph, full_check=True)
            runner = session(graph)
            for image in (photo(11, 17), photo(9, 5)):
                found = run(runner, {"image": image})
                assert check(found, model.predict(image, color="rgb")) >= 0


@pytest.mark.network
@pytest.mark.slow
@pytest.mark.usefixtures("use_warm_cache")
@pytest.mark.parametrize("network", [DeepLabV3MobileNetV2, U2NetP, MoveNetMultiPose])
def test_photos_give_the_results_of_predict(network: Any, photos: list[Any]) -> None:
    with network() as model:
        known = model._weights.known
        runner = session(embed(model.origin, known, table_of(known.labels)))
        count = 0
        for path in photos[:2]:
            pixels = read_image(path, color="rgb").rgb
            found, expected = run(runner, {"image": pixels}), model.predict(pixels, color="rgb")
            count += check(found, expected)
            again = results_of(found, model.labels)
            assert type(again) is type(expected)
            assert "scores" in found or again == expected
        assert count > 0

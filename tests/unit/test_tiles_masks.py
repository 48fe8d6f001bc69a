from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pytest

from furiosa_models import InstanceSegmenter, MatteEstimator, Model, Segmenter
from furiosa_models.errors import ConversionError
from furiosa_models.heads import MatteHead
from furiosa_models.spec import Head, ImageInput, ModelSpec
from furiosa_models.tasks import Instances, Matte, SemanticMap
from furiosa_models.tasks.instances import INSTANCES
from furiosa_models.tasks.matte import MATTE
from furiosa_models.tasks.segmentation import SEMANTIC
from furiosa_models.tiles import Tiling
from furiosa_models.tiles.instances import merge_instances
from furiosa_models.tiles.maps import merge_maps, merge_mattes
from furiosa_models.tiles.tiling import Part, Tile
from furiosa_models.vision import DeepLabV3MobileNetV2, SelfieSegmentation, U2NetP

SIDE = 100
NAMES = ("background", "cat", "dog")
Read = Callable[[npt.NDArray[Any], bool], Any]


@dataclass(frozen=True)
class Reader(Head):
    """A head that reads results off a network that returns its input.

    `read` gets the pixels of the first channel, at the size of the photo or tile, and whether they
    are a whole photo.
    """

    task: ClassVar[Any] = None

    read: Read

    def decode(self, outputs: Any, contexts: Any, names: Any, platform: Any, **options: Any) -> Any:
        del names, platform, options
        return [
            self.read(
                image[0] if (c.height, c.width) == (SIDE, SIDE) else np.zeros((c.height, c.width)),
                (c.height, c.width) != (SIDE, SIDE),
            )
            for image, c in zip(outputs[0], contexts, strict=True)
        ]


@dataclass(frozen=True)
class Objects(Reader):
    task: ClassVar[Any] = INSTANCES


@dataclass(frozen=True)
class Maps(Reader):
    task: ClassVar[Any] = SEMANTIC


@dataclass(frozen=True)
class Mattes(Reader):
    task: ClassVar[Any] = MATTE


@pytest.fixture
def identity() -> Any:
    """A network that returns its input, of 100 x 100 pixels."""
    onnx: Any = pytest.importorskip("onnx")
    from onnx import TensorProto, helper

    shape: Any = ["batch", 3, SIDE, SIDE]
    graph = helper.make_graph(
        [helper.make_node("Identity", ["image"], ["out"])],
        "identity",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, shape)],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return onnx.ModelProto.FromString(proto.SerializeToString())


def opened(kind: type[Model[Any]], identity: Any, head: Head, names: tuple[str, ...]) -> Any:
    return kind(identity, spec=ModelSpec(None, ImageInput(size=(SIDE, SIDE)), head, labels=names))


def objects_of(pixels: npt.NDArray[Any], is_whole: bool) -> Instances:
    """Return an object for each gray value; its class is 1 below 100, else 2."""
    values = [] if is_whole else [int(v) for v in np.unique(pixels) if v]
    masks = np.array([pixels == v for v in values], bool).reshape(-1, *pixels.shape)
    scores = np.array([0.5 + v / 1000 for v in values], np.float32)
    ids = np.array([1 + (v >= 100) for v in values], np.int64)
    return Instances.of_masks(masks, scores, ids, NAMES)


def gray(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    return np.repeat(pixels[:, :, None], 3, 2)


def by_value(found: Instances) -> dict[int, npt.NDArray[np.bool_]]:
    """Return the mask of each object by the gray value that its score tells."""
    pairs = found.scores, found.masks
    return {round((float(s) - 0.5) * 1000): mask for s, mask in zip(*pairs, strict=True)}


@pytest.mark.parametrize("overlap", [0.3, 0.5, 0.0])
def test_objects_are_whole_across_tiles(identity: Any, overlap: float) -> None:
    photo = np.zeros((240, 333), np.uint8)
    y, x = np.mgrid[:240, :333]
    photo[20:35, 3:330] = 10  # through all columns of tiles, and their neighbor of the same class
    photo[35:50, 3:330] = 11
    photo[60:200, 60:64] = 120  # through all rows
    photo[abs(x - 180) + abs(y - 120) < 60] = 30  # in several tiles, and round
    photo[210:214, 300:306] = 40
    photo[0:9, 0:9] = 150
    with opened(InstanceSegmenter, identity, Objects(objects_of), NAMES) as model:
        found = model.predict(gray(photo), tiles=(SIDE, SIDE), overlap=overlap, device="cpu")
        both = model.predict([gray(photo)] * 2, tiles=(SIDE, SIDE), overlap=overlap, device="cpu")
    masks = by_value(found)
    assert sorted(masks) == [10, 11, 30, 40, 120, 150]
    for value, mask in masks.items():
        np.testing.assert_array_equal(mask, photo == value)
    assert (np.diff(found.scores) <= 0).all()
    assert found.labels == ["dog", "dog", "cat", "cat", "cat", "cat"]
    assert found == Instances.of_masks(found.masks, found.scores, found.class_ids, NAMES)
    assert found.bits.shape[2] == 42
    assert found.speed is not None
    assert found.image_size == (333, 240)
    assert both == [found, found]


def objects(*boxes: tuple[int, int, int, int, float, int], width: int, height: int) -> Instances:
    """Return objects with rectangular masks: left, top, right, bottom, score, class."""
    masks = np.zeros((len(boxes), height, width), bool)
    for mask, (left, top, right, bottom, _, _) in zip(masks, boxes, strict=True):
        mask[top:bottom, left:right] = True
    scores = np.array([box[4] for box in boxes], np.float32)
    return Instances.of_masks(masks, scores, np.array([box[5] for box in boxes], int), NAMES)


LEFT, RIGHT = Tile(0, 0, 60, 40), Tile(40, 0, 100, 40)


def merged(whole: Instances, left: Instances, right: Instances) -> Instances:
    parts = [Part(r, t, t.inner_edges(100, 40)) for r, t in ((left, LEFT), (right, RIGHT))]
    return merge_instances(whole, parts, 0.5)


def test_which_objects_are_joined() -> None:
    nothing = objects(width=100, height=40)
    empty = objects(width=60, height=40)
    left = objects((20, 10, 60, 30, 0.6, 1), width=60, height=40)
    same = objects((0, 10, 50, 30, 0.8, 1), width=60, height=40)
    found = merged(nothing, left, same)
    assert found.boxes.tolist() == [[20, 10, 90, 30]]
    assert found.scores.tolist() == [np.float32(0.8)]
    # Without its other part, what a tile cuts off is left out.
    assert len(merged(nothing, left, empty)) == 0
    # Objects of another class, and elsewhere in the overlap, are others.
    assert len(merged(nothing, left, objects((0, 10, 50, 30, 0.8, 2), width=60, height=40))) == 0
    assert len(merged(nothing, left, objects((0, 31, 50, 40, 0.8, 1), width=60, height=40))) == 0
    # An object that is whole in one tile is not joined with its part in the other.
    whole = objects((5, 10, 50, 30, 0.4, 1), width=60, height=40)
    found = merged(nothing, left, whole)
    assert found.boxes.tolist() == [[45, 10, 90, 30]]
    # The tile on the right shows that the object ends at the edge of that on the left.
    short = objects((0, 10, 20, 30, 0.8, 1), width=60, height=40)
    assert merged(nothing, left, short).boxes.tolist() == [[20, 10, 60, 30]]
    # Two parts of three are not an object.
    both = objects((0, 10, 60, 30, 0.8, 1), width=60, height=40)
    tiles = LEFT, RIGHT, Tile(80, 0, 140, 40)
    for last, expected in ((empty, []), (short, [[20, 10, 100, 30]])):
        parts = [
            Part(result, tile, tile.inner_edges(140, 40))
            for result, tile in zip((left, both, last), tiles, strict=True)
        ]
        found = merge_instances(objects(width=140, height=40), parts, 0.5)
        assert found.boxes.tolist() == expected


def test_masks_are_suppressed_rather_than_boxes() -> None:
    whole = objects((0, 0, 30, 30, 0.5, 1), (0, 0, 30, 29, 0.4, 2), width=100, height=40)
    left = objects((0, 0, 30, 28, 0.9, 1), width=60, height=40)
    empty = objects(width=60, height=40)
    found = merged(whole, left, empty)
    assert found.scores.tolist() == [np.float32(0.9), np.float32(0.4)]
    frame = np.zeros((2, 40, 60), bool)
    frame[0, :30, :30] = True
    frame[0, 8:22, 8:22] = False
    frame[1, 8:22, 8:22] = True
    scores = np.array([0.9, 0.8], np.float32)
    inside = Instances.of_masks(frame, scores, np.array([1, 1]), NAMES)
    assert len(merged(objects(width=100, height=40), inside, empty)) == 2


def test_no_objects() -> None:
    empty = objects(width=60, height=40)
    found = merged(objects(width=100, height=40), empty, empty)
    assert found.bits.shape == (0, 40, 13)
    assert found.boxes.shape == (0, 4)


def test_class_maps_are_those_of_the_middle_of_tiles(identity: Any) -> None:
    def framed(pixels: npt.NDArray[Any], is_whole: bool) -> SemanticMap:
        classes = np.ones(pixels.shape, np.uint8)
        if not is_whole:
            classes = pixels.astype(np.uint8)
            classes[:10] = classes[-10:] = classes[:, :10] = classes[:, -10:] = 2
        return SemanticMap(classes, NAMES)

    photo = np.random.default_rng(0).integers(0, 3, (240, 333), np.uint8)
    with opened(Segmenter, identity, Maps(framed), NAMES) as model:
        found = model.predict(gray(photo), tiles=(SIDE, SIDE), overlap=0.3, device="cpu")
    inner = np.s_[10:-10, 10:-10]
    # The whole photo shows class 1, which counts where tiles show the background.
    np.testing.assert_array_equal(found.class_map[inner], np.where(photo == 0, 1, photo)[inner])
    found.class_map[inner] = 2
    assert (found.class_map == 2).all()
    assert found.speed is not None


def test_maps_of_several_types() -> None:
    small = np.full((40, 60), 255, np.uint8)
    small[:, :50] = 3
    large = np.full((40, 60), 65535, np.uint16)
    large[5] = 300
    whole = SemanticMap(np.full((40, 100), 255, np.uint8), ())
    parts = [
        Part(SemanticMap(each, ()), tile, tile.inner_edges(100, 40))
        for each, tile in ((small, LEFT), (large, RIGHT))
    ]
    found = merge_maps(whole, parts, 0.5).class_map
    assert found.dtype == np.uint16
    assert (found[:, :50] == 3).all()
    assert (found[5, 50:] == 300).all()
    assert (np.delete(found, 5, 0)[:, 50:] == 65535).all()


def test_mattes_fade_into_each_other(identity: Any) -> None:
    black, white = np.zeros((40, 60), np.uint8), np.full((40, 60), 255, np.uint8)
    parts = [
        Part(Matte(each, "person"), tile, tile.inner_edges(100, 40))
        for each, tile in ((black, LEFT), (white, RIGHT))
    ]
    found = merge_mattes(None, parts, 0.5)
    assert found.label == "person"
    ramp = np.rint(255 * (np.arange(20) + 0.5) / 20)
    expected = np.concatenate([np.zeros(40), ramp, np.full(40, 255)])
    np.testing.assert_array_equal(found.alpha, np.tile(expected, (40, 1)))

    def as_alpha(pixels: npt.NDArray[Any], is_whole: bool) -> Matte:
        del is_whole
        return Matte(pixels.astype(np.uint8))

    photo = np.random.default_rng(0).integers(0, 256, (240, 333), np.uint8)
    with opened(MatteEstimator, identity, Mattes(as_alpha), ("foreground",)) as model:
        same = model.predict(gray(photo), tiles=(SIDE, SIDE), overlap=0.4, device="cpu")
    np.testing.assert_array_equal(same.alpha, photo)


def test_mattes_are_stretched_once(identity: Any) -> None:
    # Without a foreground in the tiles on the left: their noise must not become one.
    photo = np.random.default_rng(0).integers(10, 13, (SIDE, 300), np.uint8)
    photo[30:60, 240:280] = 210
    head = MatteHead(size=(SIDE, SIDE), normalize=True)
    with opened(MatteEstimator, identity, head, ("foreground",)) as model:
        found = model.predict(gray(photo), tiles=(SIDE, SIDE), overlap=0.2, device="cpu")
        same = model.predict(gray(photo[:, :SIDE]), device="cpu")
        empty = model.predict(gray(photo * 0), tiles=(SIDE, SIDE), device="cpu")
    assert same.alpha.max() == 255
    # Each tile was rounded to 1 / 255 of its own range.
    expected = (photo - 10.0) / 200 * 255
    np.testing.assert_allclose(found.alpha, expected, atol=1)
    assert found.stretched_from == (10, 210)
    assert not empty.alpha.any()


def test_embedded_mattes_are_stretched_in_the_graph(identity: Any, tmp_path: Path) -> None:
    photo = np.zeros((SIDE, 180, 3), np.uint8)
    for normalize in (True, False):
        head = MatteHead(size=(SIDE, SIDE), normalize=normalize)
        with opened(MatteEstimator, identity, head, ("foreground",)) as model:
            folder = tmp_path / str(normalize)
            embedded: Any = model.export("onnx_cpu", out_dir=folder, embed=True)
        with embedded:
            if normalize:
                with pytest.raises(ConversionError, match="Predict without tiles"):
                    embedded.predict(photo, tiles=(SIDE, SIDE))
            else:
                assert not embedded.predict(photo, tiles=(SIDE, SIDE)).alpha.any()
            assert not embedded.predict(photo).alpha.any()


def test_mattes_need_no_run_of_the_whole_photo(identity: Any) -> None:
    seen: list[tuple[int, ...]] = []

    def as_alpha(pixels: npt.NDArray[Any], is_whole: bool) -> Matte:
        del is_whole
        seen.append(pixels.shape)
        return Matte(pixels.astype(np.uint8))

    with opened(MatteEstimator, identity, Mattes(as_alpha), ("foreground",)) as model:
        model.predict(np.zeros((SIDE, 180, 3), np.uint8), tiles=(SIDE, SIDE), device="cpu")
        assert seen == [(SIDE, SIDE)] * 2
        # A photo that fits into one tile has no others.
        model.predict(np.zeros((50, 60, 3), np.uint8), tiles=(SIDE, SIDE), device="cpu")
    assert seen[2:] == [(50, 60)]


def test_other_results_cannot_be_merged(identity: Any) -> None:
    def anything(pixels: npt.NDArray[Any], is_whole: bool) -> Any:
        del pixels, is_whole
        return [1]

    photo = np.zeros((240, 333, 3), np.uint8)
    with (
        opened(MatteEstimator, identity, Mattes(anything), ("foreground",)) as model,
        pytest.raises(TypeError, match=r"expected a result of type Instances, .*, got list"),
    ):
        model.predict(photo, tiles="auto", device="cpu")


@pytest.mark.network
@pytest.mark.usefixtures("use_warm_cache")
@pytest.mark.parametrize("network", [DeepLabV3MobileNetV2, SelfieSegmentation, U2NetP])
def test_what_only_one_tile_sees_is_that_of_the_tile(
    network: type[Model[Any]], photos: list[Path]
) -> None:
    from PIL import Image

    photo = np.asarray(Image.open(photos[0]).convert("RGB").resize((700, 500)))
    tiling = Tiling.of((400, 400), 0.2)
    assert tiling is not None
    tiles = tiling.cut(700, 500, (0, 0))
    assert len(tiles) == 4
    with network() as model:
        whole = model.predict(photo, device="cpu")
        found = model.predict(photo, tiles=(400, 400), device="cpu")
        for left, top, right, bottom in (tiles[0], tiles[3]):
            alone = np.s_[
                0 if top == 0 else 400 : 100 if top == 0 else 500,
                0 if left == 0 else 400 : 300 if left == 0 else 700,
            ]
            part = model.predict(np.ascontiguousarray(photo[top:bottom, left:right]), device="cpu")
            for name in ("class_map", "alpha"):
                if hasattr(part, name):
                    full = np.zeros(photo.shape[:2], np.uint8)
                    full[top:bottom, left:right] = getattr(part, name)
                    if name == "class_map":
                        full = np.where(full == 0, whole.class_map, full)
                    same = getattr(found, name)[alone].astype(int)
                    # U2NetP stretches opacities by the limits of all tiles.
                    limit = 1 if network is U2NetP else 0
                    np.testing.assert_allclose(same, full[alone].astype(int), rtol=0, atol=limit)

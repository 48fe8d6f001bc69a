from __future__ import annotations

import weakref
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from furiosa_models import Detector
from furiosa_models.cli.predict_ import command
from furiosa_models.images.read import DecodedImage
from furiosa_models.spec import Head, ImageInput, ModelSpec
from furiosa_models.tasks import Detections, Poses
from furiosa_models.tasks.detection import DETECTION
from furiosa_models.tiles import Tiling, steps
from furiosa_models.vision import EfficientNetLite0, MoveNetMultiPose, SSDMobileNet


@given(
    st.integers(1, 5000),
    st.integers(1, 5000),
    st.one_of(st.none(), st.tuples(st.integers(16, 2000), st.integers(16, 2000))),
    st.floats(0, 0.9),
)
def test_tiles_cover_the_photo_and_overlap(
    width: int, height: int, size: tuple[int, int] | None, overlap: float
) -> None:
    if size is not None and (width / size[0]) * (height / size[1]) > 100:
        return
    tiling = Tiling.of(size or "auto", overlap)
    assert tiling is not None
    tiles = tiling.cut(width, height, (300, 300))
    if not tiles:
        assert size is None or (width <= size[0] and height <= size[1]) or size
        return
    assert size is not None or len(tiles) <= 64
    for low, high, length in ((0, 2, width), (1, 3, height)):
        spans = sorted({(tile[low], tile[high]) for tile in tiles})
        assert spans[0][0] == 0
        assert spans[-1][1] == length
        side = spans[0][1]
        assert all(end - start == side for start, end in spans)
        for (_, end), (start, _) in pairwise(spans):
            assert end - start >= int(side * overlap) - 1
    if size is not None:
        assert all(t.right - t.left == min(size[0], width) for t in tiles)


@pytest.mark.parametrize(
    ("tiles", "overlap", "error", "message"),
    [
        ("all", None, ValueError, "tiles must be 'auto'"),
        ((300,), None, TypeError, "tiles must be 'auto' or a width"),
        ((300.0, 200), None, TypeError, "tiles must be"),
        (300, None, TypeError, "tiles must be"),
        ((8, 300), None, ValueError, "at least 16 pixels"),
        ("auto", 0.95, ValueError, "at most 0.9"),
        ("auto", -0.1, ValueError, "overlap must lie"),
        ("auto", "half", TypeError, "overlap must be a number"),
        (None, 0.2, ValueError, "needs tiles"),
    ],
)
def test_wrong_arguments(tiles: Any, overlap: Any, error: type[Exception], message: str) -> None:
    model = SSDMobileNet(weights="random")
    photo = np.zeros((600, 600, 3), np.uint8)
    with pytest.raises(error, match=message):
        model.predict(photo, tiles=tiles, overlap=overlap)


def test_options_that_exclude_each_other() -> None:
    photo = np.zeros((600, 600, 3), np.uint8)
    with pytest.raises(ValueError, match="draft=True is not supported"):
        SSDMobileNet(weights="random").predict(photo, tiles="auto", draft=True)
    classifier: Any = EfficientNetLite0(weights="random")
    with pytest.raises(TypeError, match="cannot be merged"):
        classifier.predict(photo, tiles="auto")


@dataclass(frozen=True)
class Bright(Head):
    """A head that finds the bright squares of a photo that is the network's output."""

    task: ClassVar[Any] = DETECTION

    iou_threshold: float = 0.5

    def decode(
        self, outputs: Any, contexts: Any, names: Any, platform: Any, **options: Any
    ) -> list[Detections]:
        del platform, options
        found = []
        for image, context in zip(outputs[0], contexts, strict=True):
            y, x = np.nonzero(image[0] > 128)
            boxes = np.array([[x.min(), y.min(), x.max() + 1, y.max() + 1]] if len(x) else [])
            boxes = boxes.reshape(-1, 4).astype(np.float32)
            factors: Any = np.array(context.stretch * 2, np.float32)
            score = np.float32(0.9 if len(x) > 8 else 0.2)  # a small square is hard to see
            scores = np.full(len(boxes), score, np.float32)
            found.append(Detections(boxes / factors, scores, np.zeros(len(boxes), np.int64), names))
        return found


@pytest.fixture
def model() -> Detector:
    """A detector whose network returns its input, of 100 x 100 pixels."""
    onnx: Any = pytest.importorskip("onnx")
    from onnx import TensorProto, helper

    shape: Any = ["batch", 3, 100, 100]
    graph = helper.make_graph(
        [helper.make_node("Identity", ["image"], ["out"])],
        "identity",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, shape)],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    spec = ModelSpec(None, ImageInput(size=(100, 100)), Bright(), labels=("square",))
    return Detector(onnx.ModelProto.FromString(proto.SerializeToString()), spec=spec)


def square(left: int, top: int, side: int, width: int = 1000, height: int = 1000) -> np.ndarray:
    photo = np.zeros((height, width, 3), np.uint8)
    photo[top : top + side, left : left + side] = 255
    return photo


def test_small_objects_are_found_in_tiles(model: Detector) -> None:
    photo = square(440, 610, 12)
    whole = model.predict(photo, device="cpu")
    assert whole.scores.tolist() == [np.float32(0.2)]
    found = model.predict(photo, tiles=(200, 200), device="cpu")
    assert [round(float(s), 1) for s in found.scores] == [0.9]
    np.testing.assert_allclose(found.boxes, [[440, 610, 452, 622]], atol=2)
    assert found.image_size == (1000, 1000)
    assert found.speed is not None
    batch = model.predict([photo, photo], tiles=(200, 200), device="cpu", batch_size=2)
    assert batch == [found, found]
    assert model.predict(photo[:90, :90], tiles="auto", device="cpu") == []


def test_one_object_in_several_tiles_is_one_result(model: Detector) -> None:
    photo = square(150, 150, 30)  # in all four tiles
    loose = Bright(iou_threshold=1.0)
    spec = ModelSpec(None, model.input, loose, labels=("square",))
    for each, limit, expected in (
        (model, None, 1),
        (Detector(model.origin, spec=spec), None, 1),
        (Detector(model.origin, spec=spec), 1.0, 5),
    ):
        cropped = photo[:330, :330]
        found = each.predict(
            cropped, tiles=(200, 200), overlap=0.3, device="cpu", iou_threshold=limit
        )
        assert len(found) == expected


def test_parts_of_objects_are_left_out(model: Detector) -> None:
    photo = square(100, 100, 700)
    found = model.predict(photo, tiles=(200, 200), device="cpu")
    np.testing.assert_allclose(found.boxes, [[100, 100, 800, 800]], atol=10)


def test_the_edge_of_the_photo_cuts_nothing_off(model: Detector) -> None:
    photo = square(988, 0, 12)
    found = model.predict(photo, tiles=(200, 200), device="cpu")
    assert [round(float(s), 1) for s in found.scores] == [0.9]
    np.testing.assert_allclose(found.boxes, [[988, 0, 1000, 12]], atol=2)


def test_tiles_that_overlap_are_not_copied_all_at_once(
    model: Detector, monkeypatch: pytest.MonkeyPatch
) -> None:
    alive, cut = [], steps._cut
    tiles: list[weakref.ref[Any]] = []

    def counting(*arguments: Any) -> DecodedImage:
        tile = cut(*arguments)
        tiles.append(weakref.ref(tile.pixels))
        alive.append(sum(tile() is not None for tile in tiles))
        return tile

    monkeypatch.setattr(steps, "_cut", counting)
    model.predict(square(440, 610, 12), tiles=(200, 200), overlap=0.8, device="cpu")
    assert len(alive) > 400
    assert max(alive) <= 16


def test_people_are_found_in_tiles() -> None:
    model = MoveNetMultiPose(weights="random")
    photo = np.random.default_rng(0).integers(0, 256, (300, 500, 3), np.uint8)
    found = model.predict(photo, tiles=(256, 256), score_threshold=0, device="cpu")
    assert isinstance(found, Poses)
    assert len(found) > len(model.predict(photo, score_threshold=0, device="cpu"))
    assert (np.diff(found.scores) <= 0).all()


def test_moved_and_joined_results() -> None:
    boxes = np.array([[1, 2, 3, 4]], np.float32)
    points = np.ones((1, 17, 3), np.float32)
    people = Poses(boxes, np.ones(1, np.float32), points)
    moved = people.moved(10, 20)
    assert moved.boxes.tolist() == [[11, 22, 13, 24]]
    assert moved.keypoints[0, 0].tolist() == [11, 21, 1]
    assert people.boxes.tolist() == [[1, 2, 3, 4]]
    assert people.joined([moved, moved]).boxes[:, 0].tolist() == [1, 11, 11]
    tracked = people.with_tracks(np.array([5]))
    assert tracked.joined([tracked]).track_ids.tolist() == [5, 5]


def test_command(tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    Image.new("RGB", (640, 480)).save(path)
    options = ["ssd-mobilenet", str(path), "--weights=random", "--score-threshold=0.89", "--json"]
    counts = []
    for tiles in ([], ["--tiles", "auto"], ["--tiles", "400x300"]):
        result = CliRunner().invoke(command, [*options, "--device=cpu", *tiles])
        assert result.exit_code == 0, result.output
        counts.append(result.stdout.count('"label"'))
    assert counts[0] < counts[1]
    assert counts[0] < counts[2]
    for wrong in ("400", "400x", "axb", "-1x3"):
        result = CliRunner().invoke(command, [*options, f"--tiles={wrong}"])
        assert result.exit_code == 2
        assert "expected 'auto' or WIDTHxHEIGHT" in result.output
    classifier = ["efficientnet-lite0", str(path), "--weights=random", "--tiles=auto"]
    result = CliRunner().invoke(command, classifier)
    assert "--tiles does not apply to EfficientNetLite0" in result.output
    matte = ["selfie-segmentation", str(path), "--weights=random", "--device=cpu"]
    result = CliRunner().invoke(command, [*matte, "--tiles=400x480"])
    assert result.exit_code == 0, result.output
    result = CliRunner().invoke(command, [*matte, "--track"])
    assert "--track does not apply to SelfieSegmentation" in result.output

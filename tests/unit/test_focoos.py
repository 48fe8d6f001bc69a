"""Results under the names of Focoos, and `infer`."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from furiosa_models.errors import ImageError
from furiosa_models.focoos import FocoosDet, FocoosDetections, InferLatency, as_photo
from furiosa_models.vision import EfficientNetLite0, MobileNetV2, PoseNet, SSDMobileNet


@pytest.fixture(scope="module")
def detector() -> SSDMobileNet:
    return SSDMobileNet("random", head={"max_detections": 20})


@pytest.fixture(scope="module")
def rgb(photos: list[Path]) -> np.ndarray:
    return np.asarray(Image.open(photos[0]).convert("RGB"))


def png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def test_photos_in_every_form_give_the_same_detections(
    detector: SSDMobileNet, rgb: np.ndarray, tmp_path: Path
) -> None:
    path = tmp_path / "photo.png"
    path.write_bytes(png(rgb))
    expected = detector.infer(path, device="cpu")
    assert len(expected) > 0
    sources: list[Any] = [
        str(path),
        png(rgb),
        Image.fromarray(rgb),
        rgb,
        rgb.transpose(2, 0, 1),
        rgb.astype(np.float32),
        rgb.transpose(2, 0, 1).astype(np.float64),
    ]
    for source in sources:
        assert detector.infer(source, device="cpu").detections == expected.detections
    bgr = detector.infer(rgb[:, :, ::-1], color="bgr", device="cpu")
    assert bgr.detections == expected.detections
    assert detector.infer(rgb[:, :, ::-1], device="cpu").detections != expected.detections


def test_a_list_gives_a_list(detector: SSDMobileNet, rgb: np.ndarray) -> None:
    one = detector.infer(rgb, device="cpu").detections
    for several in ([rgb, rgb], (rgb, rgb), np.stack([rgb, rgb])):
        found = detector.infer(several, device="cpu")
        assert [each.detections for each in found] == [one, one]
    assert detector.infer([], device="cpu") == []


def test_detections_are_a_view_of_our_results(detector: SSDMobileNet, rgb: np.ndarray) -> None:
    result = detector.predict(rgb, color="rgb", score_threshold=0.5, device="cpu")
    found = detector.infer(rgb, device="cpu")
    rows = [item for item in result if item.score > 0.5]
    assert len(found) == len(rows)
    for ours, theirs in zip(rows, found, strict=True):
        assert theirs.bbox == [round(edge) for edge in ours.boundingbox]
        assert (theirs.label, theirs.cls_id) == (ours.label, ours.index)
        assert theirs.conf == ours.score
        assert (theirs.mask, theirs.keypoints) == (None, None)
    assert [each.label for each in result.detections] == [each.label for each in result]
    assert result.latency.inference is not None


def test_threshold_is_exceeded_and_zero_is_zero(detector: SSDMobileNet, rgb: np.ndarray) -> None:
    scores = sorted(
        float(score) for score in detector.predict(rgb, color="rgb", device="cpu").scores
    )
    middle = scores[len(scores) // 2]
    assert len(detector.infer(rgb, threshold=0, device="cpu")) == len(scores)
    found = detector.infer(rgb, threshold=middle, device="cpu")
    assert 0 < len(found) < len(scores)
    assert all(each.conf is not None and each.conf > middle for each in found)
    own = detector.infer(rgb, threshold=None, device="cpu")
    assert len(own) == len(detector.predict(rgb, color="rgb", device="cpu"))
    with pytest.raises(ValueError, match="threshold"):
        detector.infer(rgb, threshold=1.5)
    with pytest.raises(TypeError, match="unknown argument 'top_k'"):
        detector.infer(rgb, top_k=3)


def test_annotate_draws_on_a_copy(detector: SSDMobileNet, rgb: np.ndarray) -> None:
    before = rgb.copy()
    found = detector.infer(rgb, annotate=True, device="cpu")
    assert isinstance(found.image, np.ndarray)
    assert found.image.shape == rgb.shape
    assert found.image.dtype == np.uint8
    assert not np.array_equal(found.image, rgb)
    np.testing.assert_array_equal(rgb, before)
    assert found.latency is not None
    assert found.latency.annotate is not None
    nothing = detector.infer(rgb, threshold=1.0, annotate=True, device="cpu")
    assert len(nothing) == 0
    assert nothing.image is not rgb
    np.testing.assert_array_equal(nothing.image, rgb)


def test_classes_and_people_have_their_fields(rgb: np.ndarray) -> None:
    classes = EfficientNetLite0("random").infer(rgb, threshold=0, device="cpu")
    assert len(classes) == 1000
    assert all(each.bbox is None and each.label for each in classes)
    people = PoseNet("random").infer(rgb, threshold=0.01, device="cpu")
    for each in people:
        assert (each.label, each.cls_id) == ("person", 0)
        assert each.keypoints is not None
        assert len(each.keypoints) == 17


def test_records_are_plain_and_read_back(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = {"bbox": [1.9, 2, 3, 4], "conf": 0.87, "cls_id": 3, "label": "car", "mask": "iVBO"}
    path = tmp_path / "det.json"
    path.write_text(json.dumps({**text, "keypoints": [[1, 2, 0.5]], "extra": 1}))
    det = FocoosDet.from_json(path)
    assert det == FocoosDet([1, 2, 3, 4], 0.87, 3, "car", "iVBO", [(1, 2, 0.5)])
    assert "iVBO" not in repr(det)
    found = FocoosDetections([det, FocoosDet(conf=0.5, cls_id=7)], latency=InferLatency(0.001))
    dumped = found.model_dump()
    assert json.loads(json.dumps(dumped))["latency"]["imload"] == 0.001
    assert "image" not in dumped
    assert FocoosDetections(image="text").model_dump()["image"] == "text"
    found.infer_print()
    printed = capsys.readouterr().out
    assert printed == "\n1 (id_class=7), 1 car\nLatency: imload 1ms, total 1ms\n"
    FocoosDetections().infer_print()
    assert "No detections!" in capsys.readouterr().out
    found.pprint()
    assert "Size: 2 x 2" in capsys.readouterr().out


def test_arrays_that_are_no_photos_are_rejected(detector: SSDMobileNet) -> None:
    with pytest.raises(ImageError, match="NaN"):
        as_photo(np.full((4, 4, 3), np.nan))
    for wrong in (np.zeros((4, 4, 2), np.uint8), np.zeros((2, 2, 2, 2, 3), np.uint8)):
        with pytest.raises(ImageError):
            detector.infer(wrong)


def test_a_folder_gives_a_list(detector: SSDMobileNet, rgb: np.ndarray, tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(png(rgb))
    one = detector.infer(rgb, device="cpu").detections
    for source in (tmp_path, str(tmp_path / "*.png")):
        assert [each.detections for each in detector.infer(source, device="cpu")] == [one, one]


def test_fractions_of_a_photo_are_rejected(rgb: np.ndarray) -> None:
    with pytest.raises(ImageError, match="multiply the photo by 255"):
        as_photo(rgb / 255)
    assert as_photo(np.zeros((2, 2, 3))).max() == 0


def test_keypoints_threshold_hides_joints_in_the_drawing(photos: list[Path]) -> None:
    model = PoseNet("random").resized(128)
    shown = model.infer(photos[0], 0.1, True, 0.0)
    hidden = model.infer(photos[0], 0.1, True, 1.0)
    assert shown.detections == hidden.detections
    assert len(shown)
    assert not np.array_equal(shown.image, hidden.image)
    with pytest.raises(ValueError, match="keypoints_threshold"):
        model.infer(photos[0], keypoints_threshold=2)
    with pytest.raises(TypeError, match="no keypoints"):
        MobileNetV2("random").infer(photos[0], keypoints_threshold=0.5)

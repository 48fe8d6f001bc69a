from __future__ import annotations

import io
import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from furiosa_models.errors import DatasetError, FuriosaModelsError, ImageError
from furiosa_models.ops.rle import decode_rle
from furiosa_models.tasks import Matte
from furiosa_models.tasks.matte import MATTE

ALPHA = np.zeros((48, 64), np.uint8)
ALPHA[10:30, 20:50] = 255
ALPHA[10:30, 50] = 128
ALPHA[10:30, 51] = 127


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    Image.new("RGB", (64, 48), (10, 20, 30)).save(path)
    return path


def test_masks_have_a_threshold() -> None:
    found = Matte(ALPHA, "person")
    assert found.mask().sum() == 20 * 31
    assert found.mask(0.9).sum() == 20 * 30
    assert found.mask(0).all()
    np.testing.assert_array_equal(decode_rle(found.rle()), found.mask())
    (outline,) = found.polygons()
    assert sorted(map(tuple, outline.tolist())) == [(20, 10), (20, 30), (51, 10), (51, 30)]
    assert found.fraction == pytest.approx(ALPHA.mean() / 255)
    assert repr(found) == "<matte: person 20%>"
    with pytest.raises(ValueError, match="threshold must lie between 0 and 1, got 2"):
        found.mask(2)


def test_cutouts_and_composites(photo: Path) -> None:
    found = Matte(ALPHA, "person", photo)
    cutout = found.cutout()
    assert cutout.mode == "RGBA"
    np.testing.assert_array_equal(np.asarray(cutout)[:, :, 3], ALPHA)
    assert (np.asarray(cutout)[:, :, :3] == (10, 20, 30)).all()
    for background in ("#ff0000", (255, 0, 0), Image.new("RGB", (7, 9), "red")):
        picture = np.asarray(found.composite(background))
        assert picture[0, 0].tolist() == [255, 0, 0]
        assert picture[20, 30].tolist() == [10, 20, 30]
        assert np.abs(picture[20, 50] - np.array([132, 10, 15])).max() <= 1
    with pytest.raises(ValueError, match="is not a color"):
        found.composite("no color")
    with pytest.raises(ImageError, match="as the matte"):
        found.cutout(np.zeros((4, 4, 3), np.uint8))
    with pytest.raises(FuriosaModelsError, match="there is no photo"):
        Matte(ALPHA).cutout()


def test_files_have_transparency_where_the_format_has(photo: Path, tmp_path: Path) -> None:
    found = Matte(ALPHA, "person", photo)
    assert found.picture_suffix == ".png"
    with Image.open(found.save(tmp_path / "out.png")) as image:
        assert image.mode == "RGBA"
        np.testing.assert_array_equal(np.asarray(image)[:, :, 3], ALPHA)
    with Image.open(found.save(tmp_path / "out.jpg")) as image:
        assert image.mode == "RGB"
    assert Image.open(io.BytesIO(found.picture(".webp"))).mode == "RGBA"
    with Image.open(found.save_mask(tmp_path / "mask.png")) as image:
        np.testing.assert_array_equal(np.asarray(image), ALPHA)
    assert json.loads(found.save(tmp_path / "out.json").read_text()) == found.to_dict()
    assert np.asarray(found.plot())[0, 0].tolist() in ([204] * 3, [255] * 3)
    assert "<td>person</td>" in found._repr_html_()


def test_results_are_exported() -> None:
    found = Matte(ALPHA, "person")
    (row,) = found.to_dict()
    assert (row["label"], row["index"], row["area"], row["box"]) == (
        "person",
        0,
        620,
        [20, 10, 51, 30],
    )
    (entry,) = found.to_coco(3)
    assert (entry["category_id"], entry["bbox"]) == (1, [20, 10, 31, 20])
    assert found.to_pandas().iloc[0].tolist()[:5] == [20, 10, 51, 30, 620]
    assert found.to_supervision().mask.sum() == 620
    (theirs,) = found.detections
    assert (theirs.label, theirs.bbox) == ("person", [20, 10, 51, 30])
    assert theirs.mask
    empty = Matte(np.zeros_like(ALPHA))
    assert (empty.to_dict(), empty.to_coco(1), len(empty.to_pandas())) == ([], [], 0)
    assert len(empty.to_supervision()) == 0
    assert [*empty.describe()] == ["  0.0%  foreground  [0, 0, 0, 0]"]


def test_results_are_compared_and_pickled() -> None:
    found = Matte(ALPHA, "person")
    assert pickle.loads(pickle.dumps(found)) == found
    assert found != Matte(ALPHA, "dog")
    assert found != Matte(255 - ALPHA, "person")
    assert found != ALPHA.tolist()
    assert found.columns().keys() == {"alpha"}


def test_mattes_are_measured(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "mattes").mkdir()
    for name in ("a", "b"):
        Image.new("RGB", (64, 48)).save(tmp_path / "photos" / f"{name}.jpg")
    Image.fromarray(ALPHA).save(tmp_path / "mattes" / "a.png")
    Matte(255 - ALPHA, image=tmp_path / "photos" / "b.jpg").save(tmp_path / "mattes" / "b.png")
    truth = MATTE.read_truth(tmp_path / "mattes", tmp_path / "photos")
    exact = MATTE.measure(truth, [Matte(ALPHA), Matte(255 - ALPHA)])
    assert exact == {"IoU": 1.0, "mean absolute error": 0.0}
    found = MATTE.measure(truth, [Matte(ALPHA), Matte(np.zeros_like(ALPHA))])
    assert found["IoU"] == 0.5
    assert found["mean absolute error"] == pytest.approx((255 - ALPHA).mean() / 255 / 2)
    with pytest.raises(DatasetError, match="expected that of the photo"):
        MATTE.measure(truth, [Matte(ALPHA[:2]), Matte(ALPHA)])
    (tmp_path / "photos" / "b.jpg").unlink()
    with pytest.raises(DatasetError, match=r"no photo for 1 mattes .* b.png"):
        MATTE.read_truth(tmp_path / "mattes", tmp_path / "photos")


def test_outlines_of_people_are_the_foreground(tmp_path: Path) -> None:
    square = [20, 10, 51, 10, 51, 30, 20, 30]
    document = {
        "images": [{"id": 1, "file_name": "a.jpg", "width": 64, "height": 48}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 1, "segmentation": [square], "iscrowd": 0},
            {"id": 2, "image_id": 1, "category_id": 2, "segmentation": [[0, 0, 9, 0, 9, 9, 0, 9]]},
        ],
        "categories": [{"id": 1, "name": "person"}, {"id": 2, "name": "dog"}],
    }
    (tmp_path / "instances.json").write_text(json.dumps(document))
    Image.new("RGB", (64, 48)).save(tmp_path / "a.jpg")
    truth = MATTE.read_truth(tmp_path / "instances.json", tmp_path)
    assert MATTE.measure(truth, [Matte(ALPHA, "person")])["IoU"] == 1.0
    everything = MATTE.measure(truth, [Matte(ALPHA)])["IoU"]
    assert everything == pytest.approx(620 / 701)
    MATTE.check_classes(truth.labels, ["foreground"])
    with pytest.raises(DatasetError, match="none of the model's classes"):
        MATTE.check_classes(truth.labels, ["cat"])

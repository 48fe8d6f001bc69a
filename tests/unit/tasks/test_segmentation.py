from __future__ import annotations

import base64
import io
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image
from pycocotools import mask as coco

from furiosa_models.data import read_dataset
from furiosa_models.data.label_maps import filled
from furiosa_models.enums import Task
from furiosa_models.errors import DatasetError, FuriosaModelsError, ImageError
from furiosa_models.ops.rle import decode_rle
from furiosa_models.tasks import ClassRegion, SemanticMap
from furiosa_models.tasks.base import Truth
from furiosa_models.tasks.segmentation import SEMANTIC, ConfusionMatrix

NAMES = ("background", "cat", "dog")


def make(image: Path | None = None) -> SemanticMap:
    ids = np.zeros((48, 64), np.uint8)
    ids[10:30, 20:50] = 2
    ids[40:44, :6] = 1
    ids[20, 30] = 1
    return SemanticMap(ids, NAMES, image)


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    Image.new("RGB", (64, 48), (9, 9, 9)).save(path)
    return path


def test_regions_are_the_classes_without_the_background_largest_first() -> None:
    found = make()
    assert found.labels == ["dog", "cat"]
    assert found[0] == ClassRegion("dog", 2, 599, 599 / 3072, (20, 10, 50, 30))
    assert [region.area for region in found] == [599, 25]
    assert found[1].box == (0, 20, 31, 44)
    assert found.areas == {"background": 3072 - 624, "cat": 25, "dog": 599}
    assert repr(found) == "<2 classes: dog 19%, cat 1%>"
    assert repr(SemanticMap(np.zeros((2, 2), np.uint8), NAMES)) == "<only background>"
    assert [line.split()[:2] for line in found.describe()] == [["19.5%", "dog"], ["0.8%", "cat"]]
    assert found.palette.shape == (3, 3)


def test_masks_polygons_and_runs_of_a_class() -> None:
    found = make()
    np.testing.assert_array_equal(found.mask("cat"), found.class_map == 1)
    np.testing.assert_array_equal(found.mask(2), found.class_map == 2)
    outer, hole = found.polygons("dog")
    assert sorted(map(tuple, outer.tolist())) == [(20, 10), (20, 30), (50, 10), (50, 30)]
    assert len(hole) == 4
    np.testing.assert_array_equal(decode_rle(found.rle("dog")), found.mask("dog"))
    for unknown in ("cow", 255, -1):
        with pytest.raises(KeyError, match="there is no class"):
            found.mask(unknown)
    assert not found.mask(7).any()


def test_results_are_exported() -> None:
    found = make()
    rows = json.loads(found.to_json())
    assert rows == found.to_dict()
    assert rows[0].keys() == {"label", "index", "area", "fraction", "box", "mask"}
    entry = found.to_coco(7)[0]
    assert (entry["image_id"], entry["category_id"], entry["bbox"]) == (7, 18, [20, 10, 30, 20])
    assert coco.area(entry["segmentation"]) == entry["area"] == 599
    assert found.to_coco(7, category_ids=[0, 1, 2])[0]["category_id"] == 2
    frame = found.to_pandas()
    assert frame.iloc[0].tolist() == [20, 10, 50, 30, 599, 599 / 3072, 2, "dog"]
    theirs = found.to_supervision()
    np.testing.assert_array_equal(theirs.mask[1], found.mask("cat"))
    assert theirs.data["class_name"].tolist() == ["dog", "cat"]
    empty = SemanticMap(np.zeros((4, 4), np.uint8), NAMES)
    assert (len(empty.to_supervision()), len(empty.to_pandas()), empty.to_dict()) == (0, 0, [])


def test_results_are_compared_and_pickled() -> None:
    found = make()
    found.image_size = (64, 48)
    copy = pickle.loads(pickle.dumps(found))
    assert copy == found == make()
    assert copy.image_size == (64, 48)
    assert found != SemanticMap(found.class_map, ("a", "b", "c"))
    assert found != SemanticMap(found.class_map + 1, NAMES)
    assert found != "dog"
    assert found.columns().keys() == {"class_map"}


def test_filtered_pixels_have_no_class() -> None:
    found = make().filter(labels=["cat"])
    assert found.labels == ["cat"]
    assert set(np.unique(found.class_map)) == {1, 255}
    assert make().filter(min_fraction=0.1).labels == ["dog"]
    assert make().filter(min_fraction=0.1).areas.keys() == {"background", "dog"}
    wide = SemanticMap(np.full((2, 2), 300, np.uint16), [f"n{i}" for i in range(301)])
    assert (wide.no_class, wide.labels) == (65535, ["n300"])
    assert set(np.unique(wide.filter(labels=[]).class_map)) == {65535}
    assert wide.mask_picture().mode == "I;16"


def test_plot_colors_the_classes(photo: Path) -> None:
    found = make(photo)
    picture = np.asarray(found.plot()).astype(int)
    assert (picture[-2:, 60:] == 9).all()
    blended = (9 + found.palette[2].astype(int)) // 2
    assert np.abs(picture[28, 45] - blended).max() <= 1
    with pytest.raises(ImageError, match=r"expected a photo of \(height, width\) \(48, 64\)"):
        found.plot(np.zeros((8, 8, 3), np.uint8))
    with pytest.raises(FuriosaModelsError, match=r"plot\(image=...\)"):
        make().plot()
    assert "<td>dog</td>" in found._repr_html_()


def test_masks_are_saved_with_their_values(photo: Path, tmp_path: Path) -> None:
    found = make(photo)
    with Image.open(found.save_mask(tmp_path / "mask.png")) as image:
        assert image.mode == "P"
        np.testing.assert_array_equal(np.asarray(image), found.class_map)
        assert image.convert("RGB").getpixel((0, 0)) == (0, 0, 0)
    with pytest.raises(ValueError, match=r"'.jpg' does not keep the values of a mask: use .png"):
        found.save_mask(tmp_path / "mask.jpg")
    with pytest.raises(FuriosaModelsError, match="cannot be written"):
        found.save_mask(tmp_path / "none" / "mask.png")


def test_focoos_gets_one_mask_per_class() -> None:
    dog, cat = make().detections
    assert (dog.label, dog.cls_id, dog.conf, dog.bbox) == ("dog", 2, None, [20, 10, 50, 30])
    with Image.open(io.BytesIO(base64.b64decode(cat.mask or ""))) as image:
        assert (image.mode, image.size) == ("L", (31, 24))
        pixels = np.asarray(image)
    np.testing.assert_array_equal(pixels > 0, make().mask("cat")[20:44, :31])
    assert set(np.unique(pixels)) == {0, 255}


ids = hnp.arrays(np.uint8, (6, 7), elements=st.sampled_from([0, 1, 2, 3, 255]))


@given(st.lists(st.tuples(ids, ids), min_size=1, max_size=3))
def test_iou_is_that_of_sets_of_pixels(pairs: list[tuple[Any, Any]]) -> None:
    matrix = ConfusionMatrix(4)
    for truth, found in pairs:
        matrix.add(truth, found)
    truth, found = (np.concatenate(each) for each in zip(*pairs, strict=True))
    known = truth != 255
    for index in range(4):
        a, b = (truth == index)[known], (found == index)[known]
        union = (a | b).sum()
        expected = (a & b).sum() / union if union else np.nan
        np.testing.assert_equal(matrix.iou[index], expected)
    if known.any():
        assert matrix.accuracy == pytest.approx((truth == found)[known].mean())


def voc(root: Path, maps: dict[str, npt.NDArray[np.uint8]], *, palette: bool) -> None:
    """Write a data set of Pascal VOC."""
    for folder in ("SegmentationClass", "JPEGImages"):
        (root / folder).mkdir(parents=True)
    for name, values in maps.items():
        mask = Image.fromarray(values)
        if palette:
            mask.putpalette(bytes(range(256)) * 3)
        mask.save(root / "SegmentationClass" / f"{name}.png")
        size = values.shape[::-1]
        Image.new("RGB", size).save(root / "JPEGImages" / f"{name}.jpg")


@pytest.mark.parametrize("palette", [True, False])
def test_masks_of_pascal_voc_are_measured(tmp_path: Path, palette: bool) -> None:
    truth = np.zeros((20, 30), np.uint8)
    truth[:10, :10], truth[10:, 20:], truth[9] = 8, 12, 255
    voc(tmp_path, {"a": truth, "b": truth[::-1].copy()}, palette=palette)
    labels = read_dataset(tmp_path, task=Task.SEMSEG)
    assert (labels.task, len(labels), labels.classes[8]) == (Task.SEMSEG, 2, "cat")
    assert read_dataset(tmp_path).task is Task.SEMSEG
    exact = [SemanticMap(each.copy(), labels.classes) for each in (truth, truth[::-1])]
    assert SEMANTIC.measure(Truth.of(labels), exact) == {
        **dict.fromkeys(["mIoU", "pixel accuracy"], 1.0),
        **{f"IoU {name}": 1.0 for name in ("background", "cat", "dog")},
    }
    half = np.zeros_like(truth)
    half[truth == 8], half[truth == 12] = 1, 2
    half[:5, :10] = 2
    maps = [SemanticMap(half, NAMES), SemanticMap(half[::-1].copy(), NAMES)]
    figures = SEMANTIC.measure(Truth.of(labels), maps)
    assert figures["IoU cat"] == pytest.approx(4 / 9)  # of ten rows, one is ignored
    assert figures["IoU dog"] == pytest.approx(100 / 150)
    assert figures["mIoU"] == pytest.approx((1 + 4 / 9 + 2 / 3) / 3)
    bare = read_dataset(
        tmp_path / "SegmentationClass", images=tmp_path / "JPEGImages", task=Task.SEMSEG
    )
    assert len(bare) == 2
    (tmp_path / "JPEGImages" / "b.jpg").unlink()
    with pytest.raises(DatasetError, match=r"1 masks or photos are missing \(b\)"):
        read_dataset(tmp_path, task=Task.SEMSEG)


def test_masks_of_another_size_are_refused(tmp_path: Path) -> None:
    voc(tmp_path, {"a": np.zeros((20, 30), np.uint8)}, palette=False)
    labels = read_dataset(tmp_path, task=Task.SEMSEG)
    with pytest.raises(DatasetError, match=r"of \(20, 30\), expected labels of .* \(5, 5\)"):
        SEMANTIC.measure(Truth.of(labels), [SemanticMap(np.zeros((5, 5), np.uint8), NAMES)])


def test_outlines_of_coco_are_measured(tmp_path: Path) -> None:
    names = ["airplane", "bear", "dog"]
    square = [10, 10, 20, 10, 20, 20, 10, 20]
    crowd = coco.encode(np.asfortranarray(np.pad(np.ones((5, 5), np.uint8), ((0, 35), (0, 45)))))
    crowd = {"size": [40, 50], "counts": crowd["counts"].decode()}
    rows = [(1, square, 0), (2, [0, 30, 9, 30, 9, 39, 0, 39], 0), (3, [30, 0, 40, 0, 40, 9], 0)]
    annotations: list[dict[str, Any]] = [
        {"id": i, "image_id": 1, "category_id": c, "segmentation": [s], "iscrowd": k}
        for i, (c, s, k) in enumerate(rows, 1)
    ]
    annotations.append(
        {"id": 9, "image_id": 1, "category_id": 3, "segmentation": crowd, "iscrowd": 1}
    )
    document = {
        "images": [{"id": 1, "file_name": "a.jpg", "width": 50, "height": 40}],
        "annotations": annotations,
        "categories": [{"id": i, "name": name} for i, name in enumerate(names, 1)],
    }
    (tmp_path / "instances.json").write_text(json.dumps(document))
    Image.new("RGB", (50, 40)).save(tmp_path / "a.jpg")
    labels = read_dataset(tmp_path / "instances.json", images=tmp_path, task=Task.SEMSEG)
    classes = ("background", "aeroplane", "dog")  # VOC's name, and no bear
    ids = np.zeros((40, 50), np.uint8)
    ids[10:20, 10:20] = 1
    ids[:5, :5] = 2  # a crowd, which is ignored
    figures = SEMANTIC.measure(Truth.of(labels), [SemanticMap(ids, classes)])
    assert figures["IoU aeroplane"] == 1.0
    assert figures["IoU dog"] == 0.0
    triangle = filled([np.array([[30, 0], [40, 0], [40, 9]], np.float32)], (40, 50)).sum()
    assert figures["IoU background"] == pytest.approx((1975 - 100 - triangle) / (1975 - 100))
    with pytest.raises(DatasetError, match="none of the model's classes"):
        SEMANTIC.check_classes(labels, ["background", "cow"])

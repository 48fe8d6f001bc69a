from __future__ import annotations

import base64
import io
import json
import pickle
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import supervision
from PIL import Image, ImageCms, ImageShow
from PIL.Image import Image as PILImage

from furiosa_models.errors import ExtraRequired, FuriosaModelsError
from furiosa_models.images.pipeline import Speed
from furiosa_models.images.read import EncodedPhoto, read_image
from furiosa_models.tasks import (
    Classification,
    Detections,
    LtrbBoundingBox,
    ObjectDetectionResult,
)

NAMES = ("background", "cat", "dog")


def make(image: Path | None = None) -> Detections:
    return Detections(
        np.array([[1, 2, 11, 22], [5, 5, 6, 6]], np.float32),
        np.array([0.75, 0.5], np.float32),
        np.array([2, 1]),
        NAMES,
        image,
    )


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    Image.new("RGB", (64, 48), (9, 9, 9)).save(path)
    return path


def test_items_have_the_types_of_0_10() -> None:
    dog = ObjectDetectionResult(LtrbBoundingBox(1, 2, 11, 22), 0.75, "dog", 2)
    found = make()
    assert len(found) == 2
    assert found[0] == dog
    assert next(iter(found)) == dog
    assert list(found[0].boundingbox) == [1, 2, 11, 22]
    assert found[1:].labels == ["cat"]
    assert found[-1].label == "cat"
    assert found == list(found)
    assert found != "cat"
    with pytest.raises(IndexError):
        found[2]


def test_repr_and_truth_value() -> None:
    assert repr(make()) == "<2 detections: dog 0.75, cat 0.50>"
    assert repr(make()[:0]) == "<no detections>"
    assert not make()[:0]


def test_results_are_exported() -> None:
    found = make()
    rows = json.loads(found.to_json())
    assert rows == found.to_dict()
    assert rows[0] == {"label": "dog", "index": 2, "score": 0.75, "box": [1, 2, 11, 22]}
    coco = found.to_coco(7)
    assert coco[0] == {"image_id": 7, "category_id": 18, "bbox": [1, 2, 10, 20], "score": 0.75}
    assert found.to_coco(7, category_ids=[0, 1, 2])[0]["category_id"] == 2


def test_results_convert_to_other_libraries(photo: Path) -> None:
    found = make(photo)
    frame = found.to_pandas()
    assert frame.iloc[0].tolist() == [1, 2, 11, 22, 0.75, 2, "dog"]
    theirs = found.to_supervision()
    np.testing.assert_array_equal(theirs.xyxy, found.boxes)
    assert [(c, s, d["class_name"]) for _, _, s, c, _, d in theirs] == [
        (2, 0.75, "dog"),
        (1, 0.5, NAMES[1]),
    ]
    pixels = read_image(photo).rgb
    assert (supervision.BoxAnnotator().annotate(pixels.copy(), theirs) != pixels).any()
    none = Detections(found.boxes[:0], found.scores[:0], found.class_ids[:0], NAMES)
    assert len(supervision.Detections.merge([none.to_supervision(), theirs])) == 2


def test_missing_package_names_the_pip_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pandas", None)
    with pytest.raises(ExtraRequired, match="pip install pandas"):
        make().to_pandas()


def test_plot_draws_boxes_on_a_copy_of_the_photo(photo: Path) -> None:
    before = read_image(photo).rgb.copy()
    picture = np.asarray(make(photo).plot())
    assert picture.shape == before.shape
    assert (picture[22, 1:12] != before[22, 1:12]).any()  # the lower edge of the dog's box
    np.testing.assert_array_equal(picture[40:, 40:], before[40:, 40:])
    np.testing.assert_array_equal(read_image(photo).rgb, before)
    np.testing.assert_array_equal(np.asarray(make().plot(before)), picture)
    np.testing.assert_array_equal(np.asarray(make().plot(read_image(photo))), picture)


def test_boxes_outside_the_photo_are_clipped(photo: Path) -> None:
    found = Detections(
        np.array([[-50, -50, 500, 500], [100, 100, 90, 90]], np.float32),
        np.array([0.9, 0.8], np.float32),
        np.array([1, 2]),
        NAMES,
        photo,
    )
    assert found.plot().size == (64, 48)


def test_plot_without_a_photo_gives_advice() -> None:
    with pytest.raises(FuriosaModelsError, match=r"plot\(image=...\)"):
        make().plot()


def test_results_are_saved(photo: Path, tmp_path: Path) -> None:
    found = make(photo)
    assert read_image(found.save(tmp_path / "out.jpg")).pixels.shape == (48, 64, 3)
    assert json.loads(found.save(tmp_path / "out.json").read_text()) == found.to_dict()


def pictures(page: str) -> list[PILImage]:
    """Return the images in an HTML page."""
    found = re.findall(r'<img [^>]*src="data:image/jpeg;base64,([^"]+)"/>', page)
    return [Image.open(io.BytesIO(base64.b64decode(data))) for data in found]


def cells(page: str) -> list[list[str]]:
    """Return the table rows of an HTML page, which must be well-formed."""
    root = ElementTree.fromstring(page)
    return [["".join(cell.itertext()) for cell in row] for row in root.iter("tr")]


RGB_PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
LAB_PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp"])
def test_saved_image_keeps_the_color_profile(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"photo{suffix}"
    Image.new("RGB", (64, 48), (9, 9, 9)).save(path, icc_profile=RGB_PROFILE)
    encoded = EncodedPhoto(path.read_bytes(), "photo")
    with Image.open(path) as opened:
        for number, photo in enumerate((path, encoded, opened)):
            saved = make(photo).save(tmp_path / f"out{number}{suffix}")
            with Image.open(saved) as picture:
                assert picture.info["icc_profile"] == RGB_PROFILE
    bare = make(path).save(tmp_path / "out.bmp")  # whose format has no profile
    with Image.open(bare) as picture:
        assert picture.size == (64, 48)


def test_profile_of_another_color_space_is_omitted(tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    Image.new("CMYK", (64, 48)).save(path, icc_profile=LAB_PROFILE)
    with Image.open(make(path).save(tmp_path / "out.jpg")) as picture:
        assert "icc_profile" not in picture.info
    pixels = make()
    pixels.image = np.zeros((48, 64, 3), np.uint8)
    with Image.open(pixels.save(tmp_path / "array.jpg")) as picture:
        assert "icc_profile" not in picture.info


def test_saved_image_is_upright_and_has_no_location(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010F] = "maker"
    exif.get_ifd(0x8825)[1] = "N"
    Image.new("RGB", (64, 48)).save(tmp_path / "photo.jpg", exif=exif)
    with Image.open(make(tmp_path / "photo.jpg").save(tmp_path / "out.jpg")) as picture:
        assert picture.size == (48, 64)
        assert not picture.getexif()


def test_picture_has_the_bytes_of_the_saved_image(photo: Path, tmp_path: Path) -> None:
    found = make(photo)
    for suffix in (".jpg", ".png"):
        assert found.picture(suffix) == found.save(tmp_path / f"out{suffix}").read_bytes()
    assert found.picture() == found.picture(".jpg")
    with pytest.raises(ValueError, match="'.xyz' is not a picture format: use .jpg, .png or .webp"):
        found.picture(".xyz")


def test_saved_images_have_high_quality(photo: Path, tmp_path: Path) -> None:
    found = make(photo)
    drawn = np.asarray(found.plot()).astype(int)
    saved = read_image(found.save(tmp_path / "out.jpg")).rgb
    assert np.abs(saved - drawn).mean() < 4


def test_notebooks_show_a_table() -> None:
    assert cells(make()._repr_html_()) == [
        ["label", "index", "score", "box"],
        ["dog", "2", "0.750", "1, 2, 11, 22"],
        ["cat", "1", "0.500", "5, 5, 6, 6"],
    ]
    page = make()[:0]._repr_html_()
    assert "no detections" in page
    assert "<table" not in page


def test_long_table_states_how_many_rows_are_omitted() -> None:
    many = Detections(
        np.zeros((500, 4), np.float32), np.ones(500, np.float32), np.zeros(500, int), NAMES
    )
    page = many._repr_html_()
    assert len(cells(page)) == 21
    assert "and 480 more" in page


def test_labels_are_escaped_in_notebooks(photo: Path) -> None:
    evil = "<script>alert('&')</script>"
    for result in (
        Detections(
            np.zeros((1, 4), np.float32), np.ones(1, np.float32), np.zeros(1, int), [evil], photo
        ),
        Classification(np.array([0]), np.ones(1, np.float32), [evil], photo),
    ):
        page = result._repr_html_()
        assert "<script" not in page
        assert cells(page)[1][0] == evil
        assert len(pictures(page)) == 1


def test_images_in_notebooks_are_downscaled() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (4000, 6000, 3), np.uint8)
    found = make()
    found.image = noise
    page = found._repr_html_()
    assert len(page) < 1_000_000
    assert pictures(page)[0].size == (1024, 683)


def test_notebook_output_names_a_missing_photo(photo: Path) -> None:
    found = make(photo)
    photo.unlink()
    page = found._repr_html_()
    assert "photo.png" in page
    assert len(cells(page)) == 3
    assert pictures(page) == []


def test_show_opens_the_image(photo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[PILImage] = []

    def shows(picture: PILImage) -> bool:
        shown.append(picture)
        return True

    monkeypatch.setattr(ImageShow, "show", shows)
    make(photo).show()
    assert [picture.size for picture in shown] == [(64, 48)]
    monkeypatch.setattr(ImageShow, "show", lambda _: False)
    with pytest.raises(FuriosaModelsError, match=r"no image viewer .* save\(path\)"):
        make(photo).show()
    with pytest.raises(FuriosaModelsError, match=r"plot\(image=...\)"):
        make().show()
    displayed: list[object] = []
    monkeypatch.setitem(sys.modules, "ipykernel", ModuleType("ipykernel"))
    display: Any = ModuleType("IPython.display")
    display.display = displayed.append
    monkeypatch.setitem(sys.modules, "IPython", ModuleType("IPython"))
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    found = make(photo)
    found.show()
    assert displayed == [found]


def test_boolean_mask_keeps_image_size_and_speed() -> None:
    found = make(Path("a.png"))
    found.image_size, found.speed = (64, 48), Speed(1, 2, 3, 4)
    for part in (found[found.scores > 0.6], found[:1], found.filter(labels=["dog"])):
        assert part.labels == ["dog"]
        assert (part.image, part.image_size, part.speed) == (
            Path("a.png"),
            (64, 48),
            Speed(1, 2, 3, 4),
        )
    copy = pickle.loads(pickle.dumps(found))
    assert (copy.image_size, copy.speed) == ((64, 48), Speed(1, 2, 3, 4))


def test_notebooks_show_the_image(photo: Path) -> None:
    (picture,) = pictures(make(photo)._repr_html_())
    assert picture.size == (64, 48)
    assert pictures(make()._repr_html_()) == []


def test_detections_can_be_pickled() -> None:
    assert pickle.loads(pickle.dumps(make())) == make()


def classes() -> Classification:
    return Classification(np.array([5, 3]), np.array([0.75, 0.125], np.float32), ["cat", "<dog>"])


def test_classification_is_a_string_label_as_in_0_10() -> None:
    result = classes()
    assert result == "cat"
    assert f"{result}" == json.loads(json.dumps(result)) == "cat"
    assert (result.label, result.class_id, result.score) == ("cat", 5, 0.75)
    assert [c.label for c in result.top] == ["cat", "<dog>"]
    assert result.to_dict()[1] == {"label": "<dog>", "index": 3, "score": 0.125}
    assert "&lt;dog&gt;" in result._repr_html_()


def test_classification_can_be_pickled() -> None:
    copy = pickle.loads(pickle.dumps(classes()))
    assert copy == "cat"
    assert copy.top == classes().top


def test_classification_is_drawn(photo: Path) -> None:
    before = read_image(photo).rgb
    assert (np.asarray(classes().plot(photo)) != before).any()

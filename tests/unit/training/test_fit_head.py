"""A new last layer, fitted to labeled photos; nothing here needs PyTorch."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
import pytest
from PIL import Image, ImageDraw

from furiosa_models import Classifier
from furiosa_models.data import DatasetLayout, LabeledPhoto, LabeledPhotos, Objects, read_dataset
from furiosa_models.enums import Task
from furiosa_models.errors import ConversionError, DatasetError, ImageError
from furiosa_models.heads import ClassificationHead
from furiosa_models.networks import edit
from furiosa_models.networks.features import to_features
from furiosa_models.spec import NetworkSpec
from furiosa_models.training.fit_head import FittedHead
from furiosa_models.vision import MobileNetV2, SSDMobileNet

COLORS = {"red": (210, 30, 30), "green": (30, 200, 40), "blue": (30, 40, 220)}
SIZE = (64, 64)


def write_photos(
    folder: Path, count: int, *, colors: dict[str, Any] = COLORS, seed: int = 0
) -> Path:
    """Write squares of a color on noise, in a folder for each class."""
    random = np.random.default_rng(seed)
    for name, color in colors.items():
        (folder / name).mkdir(parents=True)
        for index in range(count):
            pixels = random.integers(90, 160, (*SIZE, 3)).astype(np.uint8)
            pixels[8:56, 8:56] = np.clip(np.array(color) + random.normal(0, 12, 3), 0, 255)
            Image.fromarray(pixels).save(folder / name / f"{name}_{index}.png")
    return folder


def small(kind: Any = MobileNetV2) -> Any:
    network = NetworkSpec("mobilenet_v2", {"image_size": SIZE[0]})
    spec = replace(
        kind.spec, network=network, input=replace(kind.spec.input, size=SIZE, resize_to=64)
    )
    return kind(weights="random", spec=spec)


@pytest.fixture(scope="module")
def squares(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_photos(tmp_path_factory.mktemp("data") / "squares", 8)


@pytest.fixture(scope="module")
def fitted(squares: Path) -> Any:
    return small().fit_head(squares)


def report_of(model: Any) -> FittedHead:
    report: FittedHead = model.fitted_head
    return report


def test_colors_are_told_apart_in_a_cross_validation(fitted: Any) -> None:
    report = report_of(fitted)
    assert report.accuracy == 1.0
    assert report.classes == fitted.labels == ("blue", "green", "red")
    assert report.photos == 24
    assert report.class_accuracy == (1.0, 1.0, 1.0)
    assert report.majority == pytest.approx(1 / 3)
    assert not report.is_validated
    np.testing.assert_array_equal(report.confusion, 8 * np.eye(3, dtype=np.int64))
    assert "100.0% right in cross-validation" in str(report)


def test_new_photos_are_predicted(fitted: Any, tmp_path: Path) -> None:
    photos = write_photos(tmp_path / "new", 3, seed=1)
    for name in COLORS:
        for result in fitted.predict(photos / name):
            assert result.labels[0] == name
            assert len(result.labels) == 3


def test_the_base_model_stays_as_it_was(squares: Path) -> None:
    model = small()
    before = model.origin
    other = model.fit_head(squares)
    assert model.fitted_head is None
    assert model.origin == before
    assert len(model.labels) == 1000
    assert other.origin != before
    assert type(other) is type(model)


def test_the_logits_are_those_of_a_linear_layer_on_the_features(fitted: Any, squares: Path) -> None:
    model = small()
    photos = sorted(squares.rglob("*.png"))
    tensor, _ = model.preprocess(photos, with_scaling=True)

    def run(program: bytes) -> npt.NDArray[Any]:
        session = onnxruntime.InferenceSession(program)
        (output,) = session.run(None, {session.get_inputs()[0].name: tensor})
        array: npt.NDArray[Any] = output
        return array

    features = run(edit.to_bytes(to_features(model.origin)))
    graph = edit.parse(fitted.origin).graph
    from onnx import numpy_helper

    arrays = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    kernel, bias = (arrays[name] for name in graph.node[-1].input[1:])
    assert kernel.shape == (3, 1280)
    np.testing.assert_allclose(run(fitted.origin), features @ kernel.T + bias, atol=1e-4)


def test_a_saved_model_gives_the_same_results(fitted: Any, squares: Path, tmp_path: Path) -> None:
    folder = fitted.save(tmp_path / "saved")
    photos = sorted(squares.rglob("*.png"))[::5]
    expected = [each.to_dict() for each in fitted.predict(photos)]
    for kind in (Classifier, MobileNetV2):
        loaded = kind(folder)
        assert loaded.labels == ("blue", "green", "red")
        assert [each.to_dict() for each in loaded.predict(photos)] == expected
    info = json.loads((folder / "model_info.json").read_text())
    assert info["classes"] == ["blue", "green", "red"]


def test_a_fitted_model_can_be_fitted_again(fitted: Any, tmp_path: Path) -> None:
    two = {name: COLORS[name] for name in ("blue", "red")}
    again = fitted.fit_head(write_photos(tmp_path / "two", 5, colors=two))
    assert again.labels == ("blue", "red")
    assert report_of(again).accuracy == 1.0


def test_a_fitted_model_is_quantized(fitted: Any, squares: Path) -> None:
    photos = sorted(squares.rglob("*.png"))
    int8 = fitted.quantize(photos, labels=squares)
    assert int8.quantization is not None
    assert int8.quantization.accuracy_after["top-1"] >= 0.9
    assert int8.labels == fitted.labels


def test_a_model_that_is_fitted_has_no_report_of_an_earlier_quantization(
    fitted: Any, squares: Path
) -> None:
    int8 = fitted.quantize(sorted(squares.rglob("*.png")))
    assert int8.quantization is not None
    again = int8.fit_head(squares)
    assert again.quantization is None
    assert report_of(again).accuracy == 1.0


def test_separate_photos_measure_the_accuracy(squares: Path, tmp_path: Path) -> None:
    val = write_photos(tmp_path / "val", 2, seed=3)
    (val / "red" / "red_0.png").replace(val / "blue" / "wrong.png")
    report = report_of(small().fit_head(squares, val))
    assert report.is_validated
    assert report.photos == 24
    assert report.accuracy == pytest.approx(5 / 6)
    assert report.class_accuracy == pytest.approx((2 / 3, 1.0, 1.0))
    assert report.confusion.tolist() == [[2, 0, 1], [0, 2, 0], [0, 0, 1]]
    assert "83.3% right on validation photos" in str(report)


def test_the_validation_part_of_a_folder_is_used(tmp_path: Path) -> None:
    write_photos(tmp_path / "train", 4)
    write_photos(tmp_path / "val", 1, seed=2)
    report = report_of(small().fit_head(tmp_path))
    assert report.is_validated
    assert report.photos == 12
    assert int(report.confusion.sum()) == 3


@pytest.fixture
def boxed(tmp_path: Path) -> LabeledPhotos:
    """Photos with a red and a blue square, a small one, a crowd, and one of no class."""
    random = np.random.default_rng(0)
    photos = []
    for index in range(6):
        path = tmp_path / f"{index}.png"
        picture = Image.fromarray(random.integers(90, 160, (120, 160, 3)).astype(np.uint8))
        canvas = ImageDraw.Draw(picture)
        canvas.rectangle((10, 10, 60, 60), (200 + index, 20, 20))
        canvas.rectangle((90, 40, 140, 100), (20, 20, 200 + index))
        picture.save(path)
        boxes = np.array([[10, 10, 60, 60], [90, 40, 140, 100], [0, 0, 9, 9], [0, 0, 160, 120]])
        objects = Objects(
            boxes.astype(np.float32),
            np.array([0, 1, 1, 0]),
            is_crowd=np.array([False, False, False, True]),
        )
        photos.append(LabeledPhoto(path, index, objects=objects))
    return LabeledPhotos(
        tmp_path, DatasetLayout.ROBOFLOW_COCO, Task.DETECTION, ("red", "blue"), tuple(photos)
    )


def test_crops_of_objects_are_photos(boxed: LabeledPhotos) -> None:
    model = small().fit_head(boxed)
    report = report_of(model)
    assert report.photos == 12  # neither the small one nor the crowd
    assert report.accuracy == 1.0
    assert report.confusion.tolist() == [[6, 0], [0, 6]]
    red = np.full((50, 50, 3), (20, 20, 203), np.uint8)  # BGR
    result = model.predict(red)
    assert result.labels[0] == "red"


def test_a_box_outside_of_its_photo_is_an_error_that_names_the_photo(boxed: LabeledPhotos) -> None:
    objects = Objects(np.array([[500, 500, 560, 560]], np.float32), np.array([0]))
    broken = replace(boxed[2], objects=objects)
    photos = (*boxed[:2], broken, *boxed[3:])
    with pytest.raises(DatasetError, match=r"2\.png .*outside"):
        small().fit_head(replace(boxed, photos=tuple(photos)))


def test_a_box_over_the_edge_is_clipped(boxed: LabeledPhotos) -> None:
    boxes = np.array([[-40, -40, 55, 55], [95, 45, 150, 98]], np.float32)
    edge = replace(boxed[2], objects=Objects(boxes, np.array([0, 1])))
    photos = (*boxed[:2], edge, *boxed[3:])
    report = report_of(small().fit_head(replace(boxed, photos=tuple(photos))))
    assert report.photos == 12


def test_photos_of_one_class_are_an_error(tmp_path: Path) -> None:
    data = write_photos(tmp_path / "one", 3, colors={"red": COLORS["red"]})
    with pytest.raises(DatasetError, match="photos of 1 of its 1 classes: expected two or more"):
        small().fit_head(data)


def test_validation_photos_of_other_classes_are_an_error(squares: Path, tmp_path: Path) -> None:
    val = write_photos(tmp_path / "val", 1, colors={"red": COLORS["red"], "blau": (0, 0, 200)})
    with pytest.raises(DatasetError, match="blau, red, differ: expected the same"):
        small().fit_head(squares, val)


def test_a_detector_has_no_classifier(squares: Path) -> None:
    with pytest.raises(
        ConversionError, match="SSDMobileNet is for object_detection: expected a cl"
    ):
        SSDMobileNet(weights="random").fit_head(squares)


def test_a_photo_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    data = write_photos(tmp_path / "data", 3)
    (data / "green" / "green_1.png").write_bytes(b"nothing")
    with pytest.raises(ImageError, match=r"green_1\.png"):
        small().fit_head(data)


def test_an_empty_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DatasetError):
        small().fit_head(tmp_path)


def test_two_photos_are_enough(tmp_path: Path) -> None:
    two = {name: COLORS[name] for name in ("blue", "red")}
    data = write_photos(tmp_path / "data", 1, colors=two)
    model = small().fit_head(data)
    assert report_of(model).photos == 2
    for name in two:
        result = model.predict(next((data / name).iterdir()))
        assert result.labels[0] == name


def test_photos_of_one_pixel_are_photos(tmp_path: Path) -> None:
    for name, color in COLORS.items():
        (tmp_path / name).mkdir()
        for index in range(3):
            photo = Image.new("RGB", (1, 1 + index), color)
            photo.save(tmp_path / name / f"{index}.png")
    assert report_of(small().fit_head(tmp_path)).accuracy == 1.0


def test_class_names_may_be_anything_that_folders_can_be(tmp_path: Path) -> None:
    names = ("Läden & Türen", "猫", "🐱", "a" * 120)
    colors = dict(zip(names, [*COLORS.values(), (240, 240, 20)], strict=True))
    data = write_photos(tmp_path / "data", 4, colors=colors)
    model = small().fit_head(data)
    assert {*model.labels} == {*names}
    assert report_of(model).accuracy == 1.0
    folder = model.save(tmp_path / "saved")
    assert Classifier(folder).labels == model.labels
    assert report_of(model).plot().width > 100
    assert json.loads(json.dumps(report_of(model).to_dict()))["accuracy"] == 1.0


def test_an_argmax_classifier_gets_logits(squares: Path) -> None:
    from furiosa_models import networks

    program = networks.build(
        "resnet", networks.RandomWeights(), variant="18", image_size=64, argmax=True
    )
    model = Classifier(networks.to_bytes(program), input={"size": SIZE})
    fitted = model.fit_head(squares)
    assert isinstance(fitted.head, ClassificationHead)
    assert fitted.head.activation == "softmax"
    assert fitted.head.offset == 0
    assert report_of(fitted).accuracy >= 0.9
    result = fitted.predict(squares / "red" / "red_0.png")
    assert result.labels[0] == "red"
    assert 0 < float(result.scores[0]) <= 1


def test_a_preprocess_of_the_user_is_honored(squares: Path) -> None:
    calls: list[int] = []

    class Swapped(MobileNetV2):
        def preprocess(self, images: Any) -> Any:  # type: ignore[override]
            calls.append(len(images))
            return super().preprocess([image[:, :, ::-1] for image in images])

    fitted = small(Swapped).fit_head(squares)
    assert sum(calls) == 24
    swapped = Classifier(fitted.save(squares.parent / "swapped")).predict(
        squares / "red" / "red_0.png"
    )
    own = fitted.predict(squares / "red" / "red_0.png")
    assert own.labels[0] == "red"
    assert swapped.labels[0] == "blue"


def test_reports_are_plain_json(fitted: Any) -> None:
    document = json.loads(json.dumps(report_of(fitted).to_dict()))
    assert document["class_accuracy"] == {"blue": 1.0, "green": 1.0, "red": 1.0}
    assert document["confusion"][0] == [8, 0, 0]


def test_the_same_photos_give_the_same_layer(squares: Path, fitted: Any) -> None:
    again = small().fit_head(read_dataset(squares))
    assert again.origin == fitted.origin


def test_pytorch_is_not_imported() -> None:
    import subprocess

    code = "import furiosa_models.training.fit_head, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

"""Exports with decoded boxes: one detection in each export format."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from furiosa_models.enums import Format, Platform
from furiosa_models.errors import LabelsError, ShapeError
from furiosa_models.heads.boxes import BoxesHead
from furiosa_models.heads.recognize import detector_head
from furiosa_models.spec import GraphFacts, ImageContext, TensorFacts

from ...platforms import BOTH

Array = npt.NDArray[Any]

SIZE = (320, 640)
PHOTO = ImageContext(640, 320)
NAMES = ("cat", "dog", "bird")
LEFT, TOP, RIGHT, BOTTOM = 64.0, 80.0, 320.0, 240.0
CENTER = np.array([192.0, 160.0, 256.0, 160.0])
CORNERS = np.array([LEFT, TOP, RIGHT, BOTTOM])
ONE = np.ones(4)
FRACTION = np.array([640.0, 320.0, 640.0, 320.0])


def facts(
    outputs: list[Array],
    names: list[str] | None = None,
    operations: frozenset[str] = frozenset(),
    file_format: Format = Format.ONNX,
) -> GraphFacts:
    names = names or [f"o{i}" for i in range(len(outputs))]
    return GraphFacts(
        (TensorFacts("image", (1, 3, *SIZE), "float32"),),
        tuple(
            TensorFacts(name, output.shape, str(output.dtype), operations)
            for name, output in zip(names, outputs, strict=True)
        ),
        format=file_format,
    )


def rows(count: int, *numbers: float) -> Array:
    """Make an output (1, count, columns) with these numbers in row 7, and zeros elsewhere."""
    output = np.zeros((1, count, len(numbers)), np.float32)
    output[0, 7] = numbers
    return output


def logit(score: float) -> float:
    return float(np.log(score / (1 - score)))


def yolov5(scale: Array = ONE) -> list[Array]:
    return [rows(1000, *(CENTER / scale), 0.9, 0, 0.8, 0)]


def yolov8(scale: Array = ONE) -> list[Array]:
    return [rows(1000, *(CENTER / scale), 0, 0.72, 0).transpose(0, 2, 1)]


def detr(last: int = 3) -> list[Array]:
    boxes = rows(100, *(CENTER / FRACTION))
    logits = np.full((1, 100, last), -20.0, np.float32)
    logits[0, 7, 1] = logit(0.72)
    return [logits, boxes]


def ssd(background: int) -> list[Array]:
    scores = np.zeros((1, 1500, 4), np.float32)
    scores[..., background] = 1.0
    scores[0, 7] = 0.0
    scores[0, 7, 2 if background == 0 else 1] = 0.72
    return [scores, rows(1500, *(CORNERS / FRACTION))]


def tensorflow() -> list[Array]:
    top_left = np.array([TOP / 320, LEFT / 640, BOTTOM / 320, RIGHT / 640])
    boxes = rows(10, *top_left)
    classes, scores = np.zeros((2, 1, 10), np.float32)
    classes[0, 7], scores[0, 7] = 1, 0.72
    return [boxes, classes, scores, np.array([10], np.float32)]


def torchvision() -> list[Array]:
    boxes = rows(10, *CORNERS)[0]
    labels, scores = np.zeros(10, np.int64), np.zeros(10, np.float32)
    labels[7], scores[7] = 1, 0.72
    return [boxes, labels, scores]


STYLES: dict[str, tuple[list[Array], list[str] | None, frozenset[str]]] = {
    "YOLOv5, pixels": (yolov5(), None, frozenset()),
    "YOLOv5, fractions": (yolov5(FRACTION), None, frozenset()),
    "YOLOv8, pixels": (yolov8(), None, frozenset()),
    "YOLOv8, fractions": (yolov8(FRACTION), None, frozenset()),
    "YOLOv10, end to end": ([rows(300, *CORNERS, 0.72, 1)], None, frozenset()),
    "DETR by name": (detr(), ["logits", "pred_boxes"], frozenset()),
    "DETR by count": (detr(), None, frozenset()),
    "SSD, boxes and scores": (ssd(0), ["scores", "boxes"], frozenset({"Softmax"})),
    "YOLO-NAS, boxes and sigmoids": (
        [rows(2000, *CORNERS), rows(2000, 0, 0.72, 0)],
        None,
        frozenset({"Sigmoid"}),
    ),
    "TensorFlow's four tensors": (tensorflow(), None, frozenset()),
    "torchvision": (torchvision(), ["boxes", "labels", "scores"], frozenset()),
}


@BOTH
@pytest.mark.parametrize("style", STYLES)
def test_detection_in_every_export_format(style: str, platform: Platform) -> None:
    outputs, names, operations = STYLES[style]
    graph = facts(outputs, names, operations)
    head, labels = detector_head(graph).with_labels(NAMES, graph)
    assert labels == NAMES
    given = head.input_for(graph)
    assert given is not None
    assert (given.resize == "letterbox") is style.startswith("YOLO")
    (found,) = head.decode(outputs, [PHOTO], labels, platform)
    assert found.labels == ["dog"]
    np.testing.assert_allclose(found.boxes, [CORNERS], atol=1e-3)
    np.testing.assert_allclose(found.scores, [0.72], rtol=1e-5)


@pytest.mark.parametrize("style", STYLES)
def test_wrong_number_of_names_is_rejected(style: str) -> None:
    outputs, names, operations = STYLES[style]
    graph = facts(outputs, names, operations)
    head = detector_head(graph)
    assert isinstance(head, BoxesHead)
    if style in ("YOLOv10, end to end", "TensorFlow's four tensors", "torchvision"):
        pytest.skip("the graph gives ids, and does not show how many there are")
    with pytest.raises(LabelsError, match="3 classes, but there are 7 labels"):
        head.with_labels(tuple("abcdefg"), graph)


@pytest.mark.parametrize(
    "style", ["YOLOv5, pixels", "YOLOv8, pixels", "YOLO-NAS, boxes and sigmoids"]
)
def test_missing_name_does_not_shift_the_others(style: str) -> None:
    """Before, the missing name was taken for a background class, which shifted all names."""
    outputs, names, operations = STYLES[style]
    graph = facts(outputs, names, operations)
    with pytest.raises(LabelsError, match="3 classes, but there are 2 labels"):
        detector_head(graph).with_labels(NAMES[:2], graph)


def test_background_class_can_be_declared() -> None:
    outputs = [rows(1000, *CENTER, 0.1, 0, 0.72, 0).transpose(0, 2, 1)]
    graph = facts(outputs)
    head = BoxesHead(SIZE, transposed=True, background="first")
    assert head.with_labels(NAMES, graph) == (head, NAMES)
    (found,) = head.decode(outputs, [PHOTO], NAMES, Platform.PYTHON)
    assert found.labels == ["dog"]


def test_background_name_is_not_a_class() -> None:
    outputs, names, operations = STYLES["SSD, boxes and scores"]
    graph = facts(outputs, names, operations)
    head, labels = detector_head(graph).with_labels(("background", *NAMES), graph)
    (found,) = head.decode(outputs, [PHOTO], labels, Platform.PYTHON)
    assert found.labels == ["dog"]


def test_background_class_at_the_end() -> None:
    boxes, logits = rows(100, *(CENTER / FRACTION)), np.zeros((1, 100, 4), np.float32)
    logits[..., 3] = 20
    logits[0, 7] = (0, 10, 0, 0)
    head = BoxesHead(SIZE, boxes=0, scores=1, unit="fraction", activation="softmax", suppress=False)
    fitted, labels = head.with_labels(NAMES, facts([boxes, logits]))
    (found,) = fitted.decode([boxes, logits], [PHOTO], labels, Platform.PYTHON)
    assert found.labels == ["dog"]


def test_overlapping_boxes_of_a_class_are_suppressed() -> None:
    outputs = yolov8()
    outputs[0][0, :, 9] = outputs[0][0, :, 7]
    outputs[0][0, 0, 9] += 4  # a little to the right
    outputs[0][0, 5, 9] -= 0.1
    (found,) = detector_head(facts(outputs)).decode(outputs, [PHOTO], NAMES, Platform.RUST)
    np.testing.assert_allclose(found.boxes, [CORNERS], atol=1e-3)


@BOTH
def test_empty_and_non_finite_outputs_give_no_detections(platform: Platform) -> None:
    for style, (outputs, names, operations) in STYLES.items():
        head = detector_head(facts(outputs, names, operations))
        nothing = [np.zeros_like(output) for output in outputs]
        if "DETR" not in style:
            (found,) = head.decode(nothing, [PHOTO], NAMES, platform)
            assert len(found) == 0, style
        broken = [
            np.full(o.shape, np.nan, o.dtype) if o.dtype == np.float32 else o for o in outputs
        ]
        (found,) = head.decode(broken, [PHOTO], NAMES, platform)
        assert len(found) == 0, style


def test_too_few_outputs_are_an_error() -> None:
    head = BoxesHead(SIZE, boxes=0, scores=1)
    with pytest.raises(ShapeError, match="expected at least 2 outputs, got 1"):
        head.decode([np.zeros((1, 10, 4))], [PHOTO], NAMES, Platform.PYTHON)


def test_outputs_of_other_networks_are_rejected() -> None:
    graph = facts([np.zeros((1, 1000), np.float32)])
    with pytest.raises(ShapeError, match="fit no known detector"):
        detector_head(graph)

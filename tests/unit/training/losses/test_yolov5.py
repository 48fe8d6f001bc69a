from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from furiosa_models.enums import Platform
from furiosa_models.errors import ConfigurationError, LabelsError, ShapeError
from furiosa_models.heads import YOLOv5Head
from furiosa_models.ops.anchors import yolo_p6_anchors
from furiosa_models.spec import ImageContext
from furiosa_models.training.losses import YOLOv5Loss, loss_of
from furiosa_models.training.targets import Target, Tensor

from .cases import BOXES_OF_PHOTOS, SCALES, Vectors, call, leaves, target

pytestmark = pytest.mark.torch

SIZE = (64, 96)
CLASSES = 2
HEAD = YOLOv5Head(sigmoid_inside=False)
Array = npt.NDArray[Any]


def random_maps(
    images: int,
    classes: int = CLASSES,
    scale: float = 1.0,
    strides: Sequence[int] = HEAD.strides,
    size: tuple[int, int] = SIZE,
) -> list[Array]:
    random = np.random.default_rng(0)
    shapes = [(images, 3 * (5 + classes), size[0] // s, size[1] // s) for s in strides]
    return [(random.normal(size=shape) * scale).astype(np.float32) for shape in shapes]


def some_targets() -> list[Target]:
    several = [[5, 5, 30, 25], [40, 10, 78, 58], [-6, 30, 20, 70], [33, 33, 37, 36]]
    return [target(several, [0, 1, 1, 0]), target([], []), target([[10, 8, 70, 50]], [1])]


def places_of_boxes(outputs: Sequence[Tensor]) -> list[list[list[int]]]:
    """Return the places (image, anchor, row, column) of each level whose boxes have a gradient."""
    found = []
    for output in outputs:
        gradients = output.grad.unflatten(1, (3, -1))[:, :, :4]
        found.append(gradients.abs().sum(dim=2).nonzero().tolist())
    return found


@pytest.mark.parametrize("name", ["plain", "smooth", "single"])
def test_the_loss_equals_that_of_the_authors(name: str) -> None:
    vectors = Vectors.read(f"yolov5_{name}")
    smoothing = vectors.arrays["label_smoothing"].item()
    vectors.check(loss_of(HEAD, label_smoothing=smoothing))


def test_the_sigmoid_of_a_graph_is_not_repeated() -> None:
    outside, inside = leaves(random_maps(3)), leaves(random_maps(3))
    expected = call(YOLOv5Loss(HEAD), outside, some_targets(), SIZE)
    loss = loss_of(YOLOv5Head(sigmoid_inside=True))
    found = call(loss, [output.sigmoid() for output in inside], some_targets(), SIZE)
    assert found == pytest.approx(expected, rel=1e-5)
    for one, other in zip(inside, outside, strict=True):
        np.testing.assert_allclose(one.grad, other.grad, atol=1e-7)


def test_outputs_with_the_numbers_of_an_anchor_last() -> None:
    maps = random_maps(3)
    expected = call(YOLOv5Loss(HEAD), leaves(maps), some_targets(), SIZE)
    split = [each.reshape(3, 3, 7, *each.shape[2:]).transpose(0, 1, 3, 4, 2) for each in maps]
    assert call(YOLOv5Loss(HEAD), leaves(split), some_targets(), SIZE) == expected


def test_an_object_is_learned_in_its_cell_and_the_two_nearest_ones() -> None:
    outputs = leaves(random_maps(1))
    # Its center (34, 29) is in the right half and the lower half of the cell 4, 3 of 8 pixels.
    call(YOLOv5Loss(HEAD), outputs, [target([[29, 22.5, 39, 35.5]], [0])], SIZE)
    first, _, third = places_of_boxes(outputs)
    cells = sorted({(row, column) for _, _, row, column in first})
    assert cells == [(3, 3), (3, 4), (4, 4)]
    assert {anchor for _, anchor, _, _ in first} == {0, 1, 2}  # 10x13, 16x30, 33x23
    assert third == []  # no anchor is less than four times longer


def test_no_cell_beyond_the_border_learns() -> None:
    outputs = leaves(random_maps(1))
    call(YOLOv5Loss(HEAD), outputs, [target([[0, 0, 4, 6], [90, 59, 96, 64]], [0, 0])], SIZE)
    first, _, _ = places_of_boxes(outputs)
    cells = {(row, column) for _, _, row, column in first}
    assert cells == {(0, 0), (7, 11)}


def test_of_objects_at_one_place_the_objectness_learns_the_best_iou() -> None:
    maps = [np.zeros_like(each) for each in random_maps(1)]
    # Zeros mean 10 x 13 pixels at the middle of a cell, here of (36, 28).
    near, far = [31, 21.5, 41, 34.5], [26.0, 14, 46, 42]
    found = []
    for boxes in ([near, far], [far, near], [near]):
        outputs = leaves(maps)
        call(YOLOv5Loss(HEAD), outputs, [target(boxes, [0] * len(boxes))], SIZE)
        found.append(outputs[0].grad.unflatten(1, (3, -1))[0, 0, 4, 3, 4].item())
    assert found[0] == found[1] == found[2] < 0


def test_a_photo_without_objects_teaches_only_the_objectness() -> None:
    outputs = leaves(random_maps(1))
    values = call(YOLOv5Loss(HEAD), outputs, [target([], [])], SIZE)
    assert values["loss_box"] == values["loss_class"] == 0
    assert values["loss_objectness"] > 0
    for output in outputs:
        gradients = output.grad.unflatten(1, (3, -1))
        assert (gradients[:, :, 4] > 0).all()
        assert not gradients[:, :, [0, 1, 2, 3, 5, 6]].any()


def test_boxes_that_cannot_be_learned_are_left_out() -> None:
    boxes = [[5, 5, 30, 25], [9, 9, 9, 20], [30, 20, 10, 10], [96, 5, 99, 9], [-9, -9, 0, 0]]
    nan = [[np.nan, 0, 5, 5], [0, 0, np.inf, 5]]
    loss = YOLOv5Loss(HEAD)
    alone = call(loss, leaves(random_maps(1)), [target(boxes[:1], [1])], SIZE)
    together = call(loss, leaves(random_maps(1)), [target(boxes + nan, [1] * 7)], SIZE)
    assert alone == together


@settings(max_examples=60, deadline=None)
@given(
    BOXES_OF_PHOTOS,
    SCALES,
    st.booleans(),
)
def test_any_boxes_and_logits_have_finite_losses_and_gradients(
    photos: list[list[tuple[float, ...]]], scale: float, sigmoid_inside: bool
) -> None:
    outputs = leaves(random_maps(len(photos), scale=scale))
    used = [output.sigmoid() for output in outputs] if sigmoid_inside else outputs
    loss = loss_of(YOLOv5Head(sigmoid_inside=sigmoid_inside))
    targets = [target(boxes, [1] * len(boxes)) for boxes in photos]
    values = call(loss, used, targets, SIZE)
    assert np.isfinite(list(values.values())).all()
    assert all(torch.isfinite(output.grad).all() for output in outputs)


def test_the_loss_of_bfloat16_is_computed_in_float32() -> None:
    outputs = [torch.tensor(each).bfloat16().requires_grad_() for each in random_maps(3)]
    values = call(YOLOv5Loss(HEAD), outputs, some_targets(), SIZE)
    exact = [output.detach().float().requires_grad_() for output in outputs]
    assert values == call(YOLOv5Loss(HEAD), exact, some_targets(), SIZE)
    assert outputs[0].grad.dtype == torch.bfloat16
    with torch.autocast("cpu", torch.bfloat16):
        assert values == call(YOLOv5Loss(HEAD), outputs, some_targets(), SIZE)


def test_maps_that_minimize_the_loss_are_decoded_to_the_labels() -> None:
    boxes, ids = np.array([[5, 5, 30, 25], [40, 10, 78, 58]], np.float32), [0, 1]
    outputs = leaves(random_maps(1))
    optimizer = torch.optim.Adam(outputs, lr=0.3)
    for _ in range(100):
        optimizer.zero_grad()
        call(YOLOv5Loss(HEAD), outputs, [target(boxes, ids)], SIZE)
        optimizer.step()
    maps = [output.detach().numpy() for output in outputs]
    context = ImageContext(SIZE[1], SIZE[0])
    (found,) = HEAD.decode(maps, [context], ["a", "b"], Platform.PYTHON, score_threshold=0.5)
    order = np.argsort(found.class_ids)
    assert found.class_ids[order].tolist() == [0, 1]
    np.testing.assert_allclose(found.boxes[order], boxes, atol=0.5)


def test_networks_with_four_levels_have_a_loss() -> None:
    head = YOLOv5Head(yolo_p6_anchors(), (8, 16, 32, 64), sigmoid_inside=False)
    maps = random_maps(1, strides=head.strides, size=(64, 64))
    maps = [np.zeros_like(each) for each in maps]
    values = call(loss_of(head), leaves(maps), [target([], [])], (64, 64))
    expected = np.log(2) * (4 + 1 + 0.25 + 0.06) * (64 / 640) ** 2 * 3 / 4
    assert values["loss_objectness"] == pytest.approx(expected, rel=1e-5)


def test_gains_weigh_the_losses() -> None:
    plain = call(YOLOv5Loss(HEAD), leaves(random_maps(3)), some_targets(), SIZE)
    loss = YOLOv5Loss(HEAD, box_gain=0.1, objectness_gain=3.0, class_gain=0.0)
    weighed = call(loss, leaves(random_maps(3)), some_targets(), SIZE)
    assert weighed == pytest.approx(
        {
            "loss_box": 2 * plain["loss_box"],
            "loss_objectness": 3 * plain["loss_objectness"],
            "loss_class": 0,
        }
    )


def test_outputs_and_targets_that_do_not_fit_are_errors() -> None:
    loss, outputs = YOLOv5Loss(HEAD), leaves(random_maps(1))
    one = target([[5, 5, 30, 25]], [0])
    with pytest.raises(ShapeError, match="expected 3 outputs, got 2"):
        loss(outputs[:2], [one], SIZE)
    with pytest.raises(ShapeError, match="expected 1 target, one for each image.*got 2"):
        loss(outputs, [one, one], SIZE)
    with pytest.raises(LabelsError, match=r"between 0 and 1, as the network has 2 .*got \[-1, 2\]"):
        loss(outputs, [target([[5, 5, 30, 25]] * 2, [2, -1])], SIZE)
    with pytest.raises(ShapeError, match=r"output 1 must have shape \(n, 3 \* .*got \(1, 20, 4, 6"):
        loss([outputs[0], outputs[1][:, :20], outputs[2]], [one], SIZE)
    with pytest.raises(ShapeError, match="output 2 must have 1 images and 7 channels"):
        loss([*outputs[:2], outputs[2][:, :18]], [one], SIZE)
    with pytest.raises(ShapeError, match="5 channels and one for each class, got 5"):
        loss([output[:, :15] for output in outputs], [one], SIZE)
    with pytest.raises(ShapeError, match=r"ids \(n,\) and boxes \(n, 4\), got \(2,\) and boxes"):
        loss(outputs, [target([[5, 5, 30, 25]], [1, 1])], SIZE)


def test_options_out_of_range_are_errors() -> None:
    with pytest.raises(ValueError, match="label_smoothing must lie between 0 and 1"):
        YOLOv5Loss(HEAD, label_smoothing=-0.1)
    with pytest.raises(ConfigurationError, match="box_gain must be a finite number"):
        YOLOv5Loss(HEAD, box_gain=-0.1)
    with pytest.raises(ConfigurationError, match="anchor_ratio must be above 1, got 1.0"):
        YOLOv5Loss(HEAD, anchor_ratio=1.0)
    anchors = np.ones((6, 3, 2), np.float32)
    with pytest.raises(ConfigurationError, match="weights for 5 levels"):
        YOLOv5Loss(YOLOv5Head(anchors, (8, 16, 32, 64, 128, 256)))

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from furiosa_models.enums import Platform
from furiosa_models.errors import ConfigurationError, LabelsError, ShapeError
from furiosa_models.heads import SSDHead
from furiosa_models.spec import ImageContext
from furiosa_models.training.losses import SSDLoss, loss_of
from furiosa_models.training.losses.common import labeled_boxes
from furiosa_models.training.targets import Target, Tensor

from .cases import BOXES_OF_PHOTOS, SCALES, SSD_HEADS, Vectors, call, leaves, target

pytestmark = pytest.mark.torch

SIZE = (60, 80)
HEAD = SSDHead((4, 2, 1))  # 78 default boxes
PER_CELL = (3, 6, 6)
Array = npt.NDArray[Any]


def random_maps(images: int, classes: int = 2, scale: float = 2.0, seed: int = 0) -> list[Array]:
    random = np.random.default_rng(seed)
    shapes = [
        (images, per_cell * count, side, side)
        for side, per_cell in zip(HEAD.feature_maps, PER_CELL, strict=True)
        for count in (1 + classes, 4)
    ]
    return [(random.normal(size=shape) * scale).astype(np.float32) for shape in shapes]


def rows_of(maps: Sequence[Array], count: int) -> Array:
    """Return TensorFlow's maps as rows (n, anchors, count)."""
    rows = []
    for each in maps:
        images, _, height, width = each.shape
        split = each.reshape(images, -1, count, height, width).transpose(0, 3, 4, 1, 2)
        rows.append(split.reshape(images, -1, count))
    return np.concatenate(rows, axis=1)


def learned(outputs: Sequence[Tensor]) -> tuple[Any, Any]:
    """Return which default boxes have a gradient in their classes, and in their boxes."""
    gradients = [output.grad.numpy() for output in outputs]
    classes, boxes = rows_of(gradients[0::2], 3), rows_of(gradients[1::2], 4)
    return np.any(classes, axis=2), np.any(boxes, axis=2)


def sigmoid_loss(
    maps: Sequence[Array], targets: Sequence[Target], min_negatives: int = 0
) -> dict[str, float]:
    """The loss of TensorFlow's SSD MobileNet in float64, one default box after the other."""
    scores, deltas = rows_of(maps[0::2], 3), rows_of(maps[1::2], 4)
    anchors = HEAD.default_boxes().astype(np.float64)
    class_loss = box_loss = 0.0
    matches = 0
    for image, labels in enumerate(targets):
        assert labels.boxes is not None
        boxes = labels.boxes.numpy() / np.tile(SIZE[::-1], 2)
        owners = owners_of(boxes, anchors)
        negatives = []
        for i, owner in enumerate(owners):
            logits = scores[image, i].astype(np.float64)
            column = 0 if owner is None else int(labels.class_ids[owner]) + 1
            expected = np.arange(3) == column
            loss = float(np.sum(np.logaddexp(0, logits) - logits * expected))
            if owner is None:
                negatives.append(loss)
                continue
            matches += 1
            class_loss += loss
            left, top, right, bottom = boxes[owner]
            x, y, width, height = anchors[i]
            wanted = [
                10 * ((top + bottom) / 2 - y) / height,
                10 * ((left + right) / 2 - x) / width,
                5 * np.log((bottom - top) / height),
                5 * np.log((right - left) / width),
            ]
            error = np.abs(deltas[image, i] - np.array(wanted))
            box_loss += float(np.where(error < 1, error**2 / 2, error - 0.5).sum())
        positives = len(owners) - len(negatives)
        class_loss += sum(sorted(negatives, reverse=True)[: max(3 * positives, min_negatives)])
    return {"loss_class": class_loss / max(matches, 1), "loss_box": box_loss / max(matches, 1)}


def owners_of(boxes: Array, anchors: Array) -> list[int | None]:
    """Return the object that each default box learns."""
    overlap = np.array([[overlap_of(box, anchor) for anchor in anchors] for box in boxes])
    owners: list[int | None] = [None] * len(anchors)
    for i in range(len(anchors) if len(boxes) else 0):
        if overlap[:, i].max() >= 0.5:
            owners[i] = int(overlap[:, i].argmax())
    for box in np.argsort(overlap.max(axis=1)) if len(boxes) else ():
        owners[int(overlap[box].argmax())] = int(box)
    return owners


def overlap_of(box: Array, anchor: Array) -> float:
    x, y, width, height = anchor
    across = min(box[2], x + width / 2) - max(box[0], x - width / 2)
    down = min(box[3], y + height / 2) - max(box[1], y - height / 2)
    shared = max(across, 0.0) * max(down, 0.0)
    area = (box[2] - box[0]) * (box[3] - box[1])
    return float(shared / (area + width * height - shared))


def some_targets() -> list[Target]:
    several = [[5, 5, 30, 25], [40, 10, 78, 58], [-6, 30, 20, 70], [33, 33, 37, 36]]
    return [target(several, [0, 1, 1, 0]), target([], []), target([[10, 8, 70, 50]], [1])]


@pytest.mark.parametrize("name", SSD_HEADS)
def test_the_loss_with_a_softmax_equals_torchvision(name: str) -> None:
    Vectors.read(f"ssd_{name}").check(loss_of(SSD_HEADS[name]))


@pytest.mark.parametrize("min_negatives", [0, 4])
def test_the_loss_with_a_sigmoid_equals_a_plain_computation(min_negatives: int) -> None:
    maps, targets = random_maps(3), some_targets()
    loss = SSDLoss(HEAD, min_negatives=min_negatives)
    found = call(loss, leaves(maps), targets, SIZE)
    expected = sigmoid_loss(maps, targets, min_negatives)
    assert found == pytest.approx(expected, rel=1e-5)
    assert min(found.values()) > 0


@pytest.mark.parametrize("activation", ["sigmoid", "softmax"])
def test_an_activation_of_the_graph_is_not_repeated(activation: Any) -> None:
    outside, inside = leaves(random_maps(3)), leaves(random_maps(3))
    expected = call(SSDLoss(replace(HEAD, activation=activation)), outside, some_targets(), SIZE)
    outputs = list(inside)
    for i in (0, 2, 4):
        split = inside[i].unflatten(1, (-1, 3))
        scores = split.sigmoid() if activation == "sigmoid" else split.softmax(dim=2)
        outputs[i] = scores.flatten(1, 2)
    loss = loss_of(replace(HEAD, activation="none"), activation=activation)
    assert call(loss, outputs, some_targets(), SIZE) == pytest.approx(expected, rel=1e-5)
    for one, other in zip(inside, outside, strict=True):
        np.testing.assert_allclose(one.grad, other.grad, atol=1e-5)


def test_an_activation_that_nothing_tells_is_an_error() -> None:
    with pytest.raises(ConfigurationError, match="pass activation='sigmoid' or 'softmax'"):
        loss_of(replace(HEAD, activation="none"))
    with pytest.raises(ConfigurationError, match="activation is sigmoid, got softmax"):
        loss_of(HEAD, activation="softmax")
    with pytest.raises(ConfigurationError, match="must be sigmoid or softmax, got 'tanh'"):
        loss_of(HEAD, activation="tanh")


def test_three_default_boxes_learn_the_background_for_each_with_an_object() -> None:
    outputs = leaves(random_maps(3))
    call(SSDLoss(HEAD), outputs, some_targets(), SIZE)
    classes, boxes = learned(outputs)
    assert classes.sum(axis=1).tolist() == (4 * boxes.sum(axis=1)).tolist()
    assert boxes.sum(axis=1)[1] == 0
    assert boxes.sum(axis=1)[0] >= 4


def test_an_object_that_no_default_box_fits_is_learned_by_the_best_one() -> None:
    outputs = leaves(random_maps(1))
    call(SSDLoss(HEAD), outputs, [target([[21, 16, 24, 18]], [1])], SIZE)
    _, boxes = learned(outputs)
    (place,) = np.flatnonzero(boxes[0])
    x, y, width, height = HEAD.default_boxes()[place] * np.tile(SIZE[::-1], 2)
    assert abs(x - 22.5) < width / 2
    assert abs(y - 17) < height / 2


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_of_objects_that_share_their_best_default_box_the_greater_overlap_wins(
    order: tuple[int, int],
) -> None:
    x, y, width, height = HEAD.default_boxes()[0] * np.tile(SIZE[::-1], 2)
    boxes = np.array([[1, 1, 1, 1], [0.6, 0.6, 0.7, 0.7]]) * (width, height, width, height)
    corners = [[x - w / 2, y - h / 2, x + w / 2, y + h / 2] for w, h, _, _ in boxes]
    ids = np.arange(2)[list(order)]
    maps = random_maps(1, scale=0.0)
    outputs = leaves(maps)
    call(SSDLoss(HEAD), outputs, [target(np.array(corners)[list(order)], ids)], SIZE)
    gradient = rows_of([output.grad.numpy() for output in outputs[0::2]], 3)[0, 0]
    assert (gradient < 0).tolist() == [False, True, False]  # class 0, the greater one


def test_a_photo_without_objects_changes_nothing_unless_it_is_asked_for() -> None:
    outputs = leaves(random_maps(1))
    assert call(SSDLoss(HEAD), outputs, [target([], [])], SIZE) == {
        "loss_class": 0.0,
        "loss_box": 0.0,
    }
    assert not any(output.grad.any() for output in outputs)
    outputs = leaves(random_maps(1))
    call(SSDLoss(HEAD, min_negatives=5), outputs, [target([], [])], SIZE)
    assert learned(outputs)[0].sum() == 5


def test_boxes_that_cannot_be_learned_are_left_out() -> None:
    boxes = [[5, 5, 30, 25], [9, 9, 9, 20], [30, 20, 10, 10], [90, 5, 99, 9], [-9, -9, 0, 0]]
    nan = [[np.nan, 0, 5, 5], [0, 0, np.inf, 5]]
    left = labeled_boxes(target(boxes + nan, [1] * 7), SIZE, 2, torch.device("cpu"))
    assert len(left.boxes) == len(left.class_ids) == 1
    loss = SSDLoss(HEAD)
    alone = call(loss, leaves(random_maps(1)), [target(boxes[:1], [1])], SIZE)
    together = call(loss, leaves(random_maps(1)), [target(boxes + nan, [1] * 7)], SIZE)
    assert alone == together


@settings(max_examples=60, deadline=None)
@given(
    BOXES_OF_PHOTOS,
    SCALES,
    st.sampled_from(["sigmoid", "softmax", "none"]),
)
def test_any_boxes_and_logits_have_finite_losses_and_gradients(
    photos: list[list[tuple[float, ...]]], scale: float, activation: Any
) -> None:
    outputs = leaves(random_maps(len(photos), scale=scale))
    given_outputs = [x.sigmoid() for x in outputs] if activation == "none" else outputs
    chosen = {"activation": "sigmoid"} if activation == "none" else {}
    loss = loss_of(replace(HEAD, activation=activation), min_negatives=2, **chosen)
    targets = [target(boxes, [1] * len(boxes)) for boxes in photos]
    values = call(loss, given_outputs, targets, SIZE)
    assert np.isfinite(list(values.values())).all()
    assert all(torch.isfinite(output.grad).all() for output in outputs)


def test_the_loss_of_bfloat16_is_computed_in_float32() -> None:
    outputs = [torch.tensor(each).bfloat16().requires_grad_() for each in random_maps(3)]
    values = call(SSDLoss(HEAD), outputs, some_targets(), SIZE)
    exact = [output.detach().float().requires_grad_() for output in outputs]
    assert values == call(SSDLoss(HEAD), exact, some_targets(), SIZE)
    assert outputs[0].grad.dtype == torch.bfloat16
    with torch.autocast("cpu", torch.bfloat16):
        assert values == call(SSDLoss(HEAD), outputs, some_targets(), SIZE)


@pytest.mark.parametrize("activation", ["sigmoid", "softmax"])
def test_maps_that_minimize_the_loss_are_decoded_to_the_labels(activation: Any) -> None:
    head = replace(HEAD, activation=activation, score_threshold=0.5)
    boxes, ids = np.array([[5, 5, 30, 25], [40, 10, 78, 58]], np.float32), [0, 1]
    outputs = leaves(random_maps(1))
    optimizer = torch.optim.Adam(outputs, lr=0.3)
    for _ in range(80):
        optimizer.zero_grad()
        call(loss_of(head), outputs, [target(boxes, ids)], SIZE)
        optimizer.step()
    maps = [output.detach().numpy() for output in outputs]
    context = ImageContext(SIZE[1], SIZE[0])
    (found,) = head.decode(maps, [context], ["background", "a", "b"], Platform.PYTHON)
    order = np.argsort(found.class_ids)
    assert found.class_ids[order].tolist() == [1, 2]
    np.testing.assert_allclose(found.boxes[order], boxes, atol=0.5)


def test_outputs_and_targets_that_do_not_fit_are_errors() -> None:
    loss, outputs = SSDLoss(HEAD), leaves(random_maps(1))
    one = target([[5, 5, 30, 25]], [0])
    with pytest.raises(ShapeError, match="expected 6 outputs, got 5"):
        loss(outputs[:5], [one], SIZE)
    with pytest.raises(ShapeError, match="expected 1 target, one for each image.*got 2"):
        loss(outputs, [one, one], SIZE)
    with pytest.raises(LabelsError, match=r"between 0 and 1, as the network has 2 .*got \[2\]"):
        loss(outputs, [target([[5, 5, 30, 25]], [2])], SIZE)
    with pytest.raises(ShapeError, match=r"class map \(1, 9, 4, 4\).*got \(1, 9, 3, 3\)"):
        loss([outputs[0][:, :, :3, :3], *outputs[1:]], [one], SIZE)
    with pytest.raises(ShapeError, match="the maps have 94 anchors, the head 78"):
        loss(wide_maps(), [one], SIZE)
    with pytest.raises(ShapeError, match=r"ids \(n,\) and boxes \(n, 4\), got \(\) and no boxes"):
        loss(outputs, [Target(torch.tensor(1))], SIZE)


def wide_maps() -> list[Tensor]:
    """Maps with four default boxes in each cell of the first level."""
    first = [torch.zeros(1, 4 * count, 4, 4) for count in (3, 4)]
    return [*first, *leaves(random_maps(1))[2:]]


def test_options_out_of_range_are_errors() -> None:
    with pytest.raises(ValueError, match="iou_threshold must lie between 0 and 1"):
        SSDLoss(HEAD, iou_threshold=1.5)
    with pytest.raises(ValueError, match="min_negatives must be at least 0"):
        SSDLoss(HEAD, min_negatives=-1)
    with pytest.raises(ConfigurationError, match="negatives must be a number of at least 0"):
        SSDLoss(HEAD, negatives=-1.0)

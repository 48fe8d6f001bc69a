"""The set loss: against the authors' code, torchvision, and a matching by trying everything."""

from __future__ import annotations

import math
from itertools import permutations
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from torchvision.ops import generalized_box_iou_loss, sigmoid_focal_loss

from furiosa_models.errors import ConfigurationError, LabelsError, ShapeError
from furiosa_models.heads import QueryHead
from furiosa_models.training.losses import DETRLoss, loss_of
from furiosa_models.training.losses.matching import match

from .cases import BOXES_OF_PHOTOS, SCALES, Vectors, call, leaves, target

pytestmark = pytest.mark.torch

SIZE = (60, 80)
HEAD = QueryHead(SIZE)
BOXES = np.array([[10, 5, 50, 45], [40, 20, 80, 60]], np.float32)


def outputs_of(boxes: Any, logits: Any) -> list[Any]:
    """Return outputs for boxes xyxy in pixels."""
    corners = np.asarray(boxes, np.float32).reshape(1, -1, 4) / np.array([80, 60, 80, 60])
    center, size = (corners[..., :2] + corners[..., 2:]) / 2, corners[..., 2:] - corners[..., :2]
    return leaves([np.asarray([logits]), np.concatenate((center, size), axis=2)])


def test_values_and_gradients_of_the_authors() -> None:
    Vectors.read("detr").check(loss_of(HEAD), main=2)


@pytest.mark.parametrize("shape", [(5, 3), (3, 5), (4, 4), (4, 0)])
def test_matches_have_the_least_total_cost(shape: tuple[int, int]) -> None:
    random = np.random.default_rng(sum(shape))
    costs = [random.normal(size=shape) * 100 for _ in range(4)]
    found = match([torch.tensor(cost) for cost in costs], torch.device("cpu"))
    first = 0
    for image, cost in enumerate(costs):
        own = found.images == image
        pairs = found.queries[own].numpy(), found.objects[own].numpy() - first
        first += shape[1]
        wide = cost if shape[0] <= shape[1] else cost.T
        rows = range(wide.shape[0])
        columns = permutations(range(wide.shape[1]), len(rows))
        best = min(sum(wide[r, c] for r, c in zip(rows, each, strict=True)) for each in columns)
        assert len(pairs[0]) == min(shape)
        assert cost[pairs].sum() == pytest.approx(best)


def test_giou_is_that_of_torchvision() -> None:
    predicted = np.array([[12, 9, 47, 40], [30, 20, 60, 70]], np.float32)
    outputs = outputs_of(predicted, [[2.0, -2], [-2, 2]])
    losses = call(DETRLoss(HEAD), outputs, [target(BOXES, [0, 1])], SIZE)
    expected = generalized_box_iou_loss(torch.tensor(predicted), torch.tensor(BOXES))
    assert losses["loss_giou"] == pytest.approx(2 * expected.mean().item(), rel=1e-5)
    centers = np.abs((predicted - BOXES)[:, :2] + (predicted - BOXES)[:, 2:]) / 2
    sides = np.abs((predicted - BOXES)[:, 2:] - (predicted - BOXES)[:, :2])
    distance = (np.concatenate((centers, sides), axis=1) / np.array([80, 60, 80, 60])).sum()
    assert losses["loss_box"] == pytest.approx(5 * distance / 2, rel=1e-5)


def test_without_objects_the_class_loss_is_the_focal_loss_of_torchvision() -> None:
    logits = np.random.default_rng(0).normal(size=(7, 3))
    outputs = outputs_of(np.tile(BOXES[0], (7, 1)), logits)
    losses = call(DETRLoss(HEAD, alpha=0.75), outputs, [target([], [])], SIZE)
    nothing = torch.zeros(7, 3)
    expected = sigmoid_focal_loss(torch.tensor(logits), nothing, alpha=0.25, gamma=2.0)
    assert losses["loss_class"] == pytest.approx(expected.sum().item(), rel=1e-5)
    assert losses["loss_box"] == losses["loss_giou"] == 0


def test_a_perfect_prediction_has_almost_no_loss() -> None:
    outputs = outputs_of(BOXES[::-1], [[-20.0, 20], [20, -20]])
    losses = call(DETRLoss(HEAD), outputs, [target(BOXES, [0, 1])], SIZE)
    assert max(losses.values()) < 1e-5
    worse = call(DETRLoss(HEAD), outputs, [target(BOXES, [1, 0])], SIZE)
    assert worse["loss_class"] + worse["loss_box"] > 1


def test_corners_and_probabilities_of_exports() -> None:
    random = np.random.default_rng(1)
    logits, boxes = random.normal(size=(1, 4, 3)), random.uniform(0.2, 0.5, (1, 4, 4))
    labels = [target(BOXES, [2, 0])]
    expected = call(DETRLoss(HEAD), leaves([logits, boxes]), labels, SIZE)
    corners = np.concatenate(
        (boxes[..., :2] - boxes[..., 2:] / 2, boxes[..., :2] + boxes[..., 2:] / 2), -1
    )
    head = QueryHead(SIZE, boxes=0, scores=1, box_format="xyxy", activation="none")
    scores = 1 / (1 + np.exp(-logits))
    found = call(DETRLoss(head), leaves([corners, scores]), labels, SIZE)
    assert found == pytest.approx(expected, rel=1e-4)
    behind = QueryHead(SIZE, background="first")
    more = np.concatenate((np.full((1, 4, 1), 9.0), logits), axis=2)
    assert call(DETRLoss(behind), leaves([more, boxes]), labels, SIZE) == pytest.approx(expected)


@settings(max_examples=30, deadline=None)
@given(labels=BOXES_OF_PHOTOS, scale=SCALES)
def test_any_labels_and_logits_give_finite_losses(labels: Any, scale: float) -> None:
    random = np.random.default_rng(0)
    shape = (len(labels), 3)
    outputs = leaves(
        [
            np.clip(random.normal(size=(*shape, 2)) * scale, -1e30, 1e30),
            random.uniform(0.01, 0.99, (*shape, 4)),
        ]
    )
    targets = [target(boxes, np.zeros(len(boxes))) for boxes in labels]
    values = call(DETRLoss(HEAD), outputs, targets, SIZE)
    assert all(np.isfinite(value) for value in values.values())
    assert all(torch.isfinite(output.grad).all() for output in outputs)


def test_wrong_arguments() -> None:
    outputs = outputs_of(BOXES, [[1.0, 2], [3, 4]])
    with pytest.raises(LabelsError, match="between 0 and 1"):
        DETRLoss(HEAD)(outputs, [target(BOXES, [0, 2])], SIZE)
    with pytest.raises(ShapeError, match="outputs"):
        DETRLoss(HEAD)(outputs[:1], [target(BOXES, [0, 1])], SIZE)
    with pytest.raises(ShapeError, match="1 target"):
        DETRLoss(HEAD)(outputs, [], SIZE)
    with pytest.raises(ShapeError, match="boxes"):
        DETRLoss(HEAD)([outputs[0], outputs[1][:, :1]], [target(BOXES, [0, 1])], SIZE)
    with pytest.raises(ShapeError, match="two auxiliary outputs of each layer, got 1"):
        DETRLoss(HEAD)(outputs, [target(BOXES, [0, 1])], SIZE, auxiliary=outputs[:1])
    others: list[dict[str, Any]] = [
        {"activation": "softmax"},
        {"box_format": "xywh"},
        {"classes": 2},
        {"scores": None},
        {"unit": "pixels"},
    ]
    for wrong in others:
        with pytest.raises(ConfigurationError, match="queries are trained if"):
            DETRLoss(QueryHead(SIZE, **wrong))


@pytest.mark.parametrize("name", ["class_weight", "box_weight", "giou_weight", "alpha", "gamma"])
@pytest.mark.parametrize("value", [-1, "5", math.nan, math.inf, None])
def test_weights_are_numbers_of_at_least_0(name: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=f"{name} must be a finite number of at least 0"):
        DETRLoss(HEAD, **{name: value})
    DETRLoss(HEAD, **{name: np.float32(0)})

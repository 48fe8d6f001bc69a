"""Losses of maps, against PyTorch's and values that are known."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # its customary name

from furiosa_models.errors import ConfigurationError, LabelsError, ShapeError
from furiosa_models.heads import MatteHead, SemanticHead
from furiosa_models.training.losses import MatteLoss, SemanticLoss, loss_of
from furiosa_models.training.targets import Target

from .cases import call, leaves

pytestmark = pytest.mark.torch

SIZE = (12, 16)
HEAD = SemanticHead(SIZE)


def labels(class_map: Any) -> Target:
    return Target(torch.zeros(0), class_map=torch.as_tensor(class_map))


def scores(*shape: int) -> Any:
    return np.random.default_rng(0).normal(size=shape)


def test_pixels_learn_their_class_and_others_do_not_count() -> None:
    (output,) = leaves([scores(2, 3, *SIZE)])
    maps = np.random.default_rng(1).integers(-1, 3, (2, *SIZE))
    found = call(loss_of(HEAD), [output], [labels(each) for each in maps], SIZE)
    known = maps >= 0
    logs = torch.log_softmax(output.detach(), dim=1).numpy()
    images, rows, columns = np.nonzero(known)
    expected = -logs[images, maps[known], rows, columns].mean()
    assert found["loss_class"] == pytest.approx(expected, rel=1e-5)
    assert np.any(output.grad.numpy(), axis=1).tolist() == known.tolist()


@pytest.mark.parametrize("align", [False, True])
def test_small_maps_are_enlarged_as_for_decoding(align: bool) -> None:
    small = torch.tensor(scores(1, 3, 4, 5), dtype=torch.float32)
    class_map = np.random.default_rng(1).integers(0, 3, SIZE)
    head = SemanticHead(SIZE, align_corners=align)
    large = F.interpolate(small, SIZE, mode="bilinear", align_corners=align)
    expected = F.cross_entropy(large, torch.tensor(class_map[None]))
    found = SemanticLoss(head)([small], [labels(class_map)], SIZE)["loss_class"]
    assert found.item() == pytest.approx(expected.item(), rel=1e-6)


def test_probabilities_and_other_layouts_have_the_same_loss() -> None:
    logits = torch.tensor(scores(1, 3, *SIZE), dtype=torch.float32)
    target = labels(np.random.default_rng(1).integers(0, 3, SIZE))
    expected = SemanticLoss(HEAD)([logits], [target], SIZE)["loss_class"].item()
    last = SemanticHead(SIZE, layout="channels_last")
    pairs = ((HEAD, logits.softmax(dim=1)), (last, logits.permute(0, 2, 3, 1)))
    for head, output in pairs:
        found = SemanticLoss(head)([output], [target], SIZE)["loss_class"].item()
        assert found == pytest.approx(expected, rel=1e-5)


def test_weights_of_classes() -> None:
    logits = torch.tensor(scores(1, 2, *SIZE), dtype=torch.float32)
    class_map = np.random.default_rng(1).integers(0, 2, SIZE)
    found = SemanticLoss(HEAD, class_weights=[1.0, 3.0])([logits], [labels(class_map)], SIZE)
    expected = F.cross_entropy(logits, torch.tensor(class_map[None]), torch.tensor([1.0, 3.0]))
    assert found["loss_class"].item() == pytest.approx(expected.item(), rel=1e-5)
    with pytest.raises(LabelsError, match="each of 2 classes"):
        SemanticLoss(HEAD, class_weights=[1.0])([logits], [labels(class_map)], SIZE)


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e3])
def test_only_the_proportions_of_weights_count(scale: float) -> None:
    logits = torch.tensor(scores(1, 2, *SIZE), dtype=torch.float32)
    class_map = np.random.default_rng(1).integers(0, 2, SIZE)
    weights = torch.tensor([1.0, 3.0]) * scale
    expected = F.cross_entropy(logits, torch.tensor(class_map[None]), torch.tensor([1.0, 3.0]))
    loss = SemanticLoss(HEAD, class_weights=weights)
    found = loss([logits], [labels(class_map)], SIZE)["loss_class"].item()
    assert found == pytest.approx(expected.item(), rel=1e-5)


def test_classes_of_weight_0_have_no_loss() -> None:
    (output,) = leaves([scores(1, 2, *SIZE)])
    loss = SemanticLoss(HEAD, class_weights=[0, 1])
    found = call(loss, [output], [labels(np.zeros(SIZE, np.int64))], SIZE)
    assert found["loss_class"] == 0
    assert not output.grad.any()


@pytest.mark.parametrize("wrong", [-1, "2", math.nan, math.inf])
def test_negative_weights_are_errors(wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"class_weights\[1\] must be a finite number"):
        SemanticLoss(HEAD, class_weights=[1, wrong, 1])


def test_photos_without_a_labeled_pixel_have_no_loss() -> None:
    nothing = labels(np.full(SIZE, -1))
    for loss, channels in ((SemanticLoss(HEAD), 3), (MatteLoss(MatteHead(SIZE)), 1)):
        values = np.full((1, channels, *SIZE), 0.4)
        (output,) = leaves([values])
        (value,) = call(loss, [output], [nothing], SIZE).values()
        assert value == 0
        assert not output.grad.any()


@pytest.mark.parametrize("activation", ["none", "sigmoid"])
def test_mattes_learn_the_foreground_at_every_level(activation: Any) -> None:
    class_map = np.random.default_rng(1).integers(-1, 2, SIZE)
    known = class_map >= 0
    logits = scores(1, 1, *SIZE)
    opacity = 1 / (1 + np.exp(-logits))
    output = leaves([logits if activation == "sigmoid" else opacity])
    side = leaves([np.full((1, 1, *SIZE), 0.0 if activation == "sigmoid" else 0.5)])
    head = MatteHead(SIZE, activation=activation)
    found = call(loss_of(head), output, [labels(class_map)], SIZE, auxiliary=side)
    right = np.where(class_map == 1, opacity[0, 0], 1 - opacity[0, 0])[known]
    expected = -np.log(right).mean() + math.log(2)
    assert found["loss_matte"] == pytest.approx(expected, rel=1e-5)
    assert (output[0].grad[0, 0].numpy() != 0).tolist() == known.tolist()


def test_wrong_arguments() -> None:
    logits = torch.zeros(1, 2, *SIZE)
    good = labels(np.zeros(SIZE, np.int64))
    with pytest.raises(LabelsError, match="between 0 and 1"):
        SemanticLoss(HEAD)([logits], [labels(np.full(SIZE, 2))], SIZE)
    with pytest.raises(ShapeError, match="as output 0"):
        SemanticLoss(HEAD)([logits[0, 0]], [good], SIZE)
    with pytest.raises(ShapeError, match="class of each pixel"):
        SemanticLoss(HEAD)([logits], [labels(np.zeros((3, 3)))], SIZE)
    with pytest.raises(ShapeError, match="class of each pixel"):
        MatteLoss(MatteHead(SIZE))([logits], [Target(torch.zeros(0))], SIZE)
    with pytest.raises(ShapeError, match=r"channel 3, got a map \(1, 2, 12, 16\)"):
        MatteLoss(MatteHead(SIZE, channel=3))([logits], [good], SIZE)
    for wrong in (torch.zeros(1, 2, 6, 8), torch.zeros(2, 1, 6, 8), torch.zeros(1, 6, 8)):
        with pytest.raises(ShapeError, match=r"expected auxiliary maps \(1, 1, h, w\), got"):
            MatteLoss(MatteHead(SIZE))([logits], [good], SIZE, [wrong])
    with pytest.raises(ConfigurationError, match="ArgMax"):
        SemanticLoss(SemanticHead(SIZE, kind="classes"))

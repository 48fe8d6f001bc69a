"""The loss of masks of queries, against Focoos' code and masks whose loss is known."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from furiosa_models.errors import ConfigurationError, LabelsError, ShapeError
from furiosa_models.heads import MaskQueriesHead, SemanticQueriesHead
from furiosa_models.training.losses import MaskQueriesLoss, loss_of
from furiosa_models.training.targets import Target

from .cases import Vectors, call

pytestmark = pytest.mark.torch

SIZE = (32, 48)


@pytest.mark.parametrize("name", ["masks", "masks_sigmoid"])
def test_values_and_gradients_of_focoos(name: str) -> None:
    vectors = Vectors.read(name)
    activation: Any = "sigmoid" if name.endswith("sigmoid") else "softmax"
    head = MaskQueriesHead(vectors.size, activation=activation)
    torch.manual_seed(vectors.arrays["seed"].item())
    vectors.check(loss_of(head, points=vectors.arrays["points"].item()), main=2)


def drawn() -> tuple[list[Any], Any, Any]:
    """Return perfect outputs of three queries, and the masks and classes of two objects."""
    masks = torch.zeros(2, *SIZE, dtype=torch.bool)
    masks[0, 4:20, 8:24] = True
    masks[1, 16:32, 24:48] = True
    small = masks[:, 2::4, 2::4].float() * 40 - 20
    found = torch.stack((small[1], torch.full_like(small[0], -20.0), small[0]))[None]
    logits = torch.full((1, 3, 4), -20.0)
    logits[0, 0, 2] = logits[0, 1, 3] = logits[0, 2, 0] = 20.0
    return [found, logits], masks, torch.tensor([0, 2])


def test_a_perfect_prediction_has_little_loss() -> None:
    outputs, masks, ids = drawn()
    loss = MaskQueriesLoss(MaskQueriesHead(SIZE), points=400)
    good = loss(outputs, [Target(ids, masks=masks)], SIZE)
    wrong = loss(outputs, [Target(ids.flip(0), masks=masks)], SIZE)
    moved = loss(outputs, [Target(ids, masks=masks.roll(16, dims=2))], SIZE)
    assert good["loss_class"] < 1e-4 < 1 < wrong["loss_class"]
    assert good["loss_dice"] < 0.5 < 2 < moved["loss_dice"]
    assert good["loss_mask"] < 0.2 * moved["loss_mask"]


def test_a_map_of_classes_is_the_masks_of_its_classes() -> None:
    outputs, masks, ids = drawn()
    masks[0] &= ~masks[1]
    class_map = torch.full(SIZE, -1)
    class_map[masks[0]], class_map[masks[1]] = 0, 2
    found = []
    for head, labels in (
        (MaskQueriesHead(SIZE), Target(ids, masks=masks)),
        (SemanticQueriesHead(SIZE), Target(torch.zeros(0), class_map=class_map)),
    ):
        torch.manual_seed(0)
        leaves = [output.clone().requires_grad_() for output in outputs]
        found.append(call(loss_of(head), leaves, [labels], SIZE))
    assert found[0] == found[1]


def test_constant_queries_have_a_batch_of_one() -> None:
    outputs, masks, ids = drawn()
    labels = [Target(ids, masks=masks)] * 2
    two = [output.expand(2, *output.shape[1:]) for output in outputs]
    for logits in (two[1], outputs[1]):
        torch.manual_seed(0)
        last = MaskQueriesLoss(MaskQueriesHead(SIZE))(two, labels, SIZE, auxiliary=[two[0], logits])
        assert last["loss_class"] < 1e-4


def test_photos_without_objects_learn_that_there_is_none() -> None:
    outputs, masks, ids = drawn()
    empty = Target(ids[:0], masks=masks[:0])
    leaves = [output.clone().requires_grad_() for output in outputs]
    losses = call(MaskQueriesLoss(MaskQueriesHead(SIZE)), leaves, [empty], SIZE)
    assert losses["loss_class"] > 1
    assert losses["loss_mask"] == losses["loss_dice"] == 0
    assert leaves[1].grad.abs().sum() > 0


def test_queries_without_object_may_count_nothing() -> None:
    outputs, masks, ids = drawn()
    empty = Target(ids[:0], masks=masks[:0])
    leaves = [output.clone().requires_grad_() for output in outputs]
    loss = MaskQueriesLoss(MaskQueriesHead(SIZE), no_object_weight=0)
    assert call(loss, leaves, [empty], SIZE)["loss_class"] == 0
    assert leaves[1].grad.abs().sum() == 0


def test_wrong_arguments() -> None:
    outputs, masks, ids = drawn()
    loss = MaskQueriesLoss(MaskQueriesHead(SIZE))
    with pytest.raises(LabelsError, match="between 0 and 2"):
        loss(outputs, [Target(ids + 1, masks=masks)], SIZE)
    with pytest.raises(ShapeError, match="class id for each"):
        loss(outputs, [Target(ids, boxes=torch.zeros(2, 4))], SIZE)
    with pytest.raises(ShapeError, match="of the same queries|got"):
        loss([outputs[0], outputs[1][:, :2]], [Target(ids, masks=masks)], SIZE)
    with pytest.raises(ShapeError, match="class id for each"):
        loss(outputs, [Target(ids, masks=masks[:, 0])], SIZE)
    with pytest.raises(ShapeError, match=r"\(height, width\), got .* class map \(48,\)"):
        loss(outputs, [Target(ids, class_map=torch.zeros(SIZE[1]))], SIZE)
    two = [output.expand(2, *output.shape[1:]) for output in outputs]
    sizes = [Target(ids, masks=masks), Target(ids, masks=masks[:, ::2])]
    with pytest.raises(ShapeError, match=r"the size of the input, got \[\(32, 48\), \(16, 48\)"):
        loss(two, sizes, SIZE)
    with pytest.raises(ShapeError, match="two auxiliary outputs of each layer, got 3"):
        loss(outputs, [Target(ids, masks=masks)], SIZE, auxiliary=[*outputs, outputs[0]])
    for name in ("class_weight", "mask_weight", "dice_weight", "no_object_weight"):
        options: Any = {name: -1}
        with pytest.raises(ConfigurationError, match=f"{name} must be a finite number"):
            MaskQueriesLoss(MaskQueriesHead(SIZE), **options)
    with pytest.raises(ConfigurationError, match="logits"):
        MaskQueriesLoss(MaskQueriesHead(SIZE, activation="none"))
    with pytest.raises(ValueError, match="points"):
        MaskQueriesLoss(MaskQueriesHead(SIZE), points=0)

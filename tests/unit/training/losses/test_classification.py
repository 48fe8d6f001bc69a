from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # its customary name
from hypothesis import given
from hypothesis import strategies as st

from furiosa_models.errors import ConfigurationError, LabelsError, ShapeError
from furiosa_models.heads import ClassificationHead
from furiosa_models.training.losses import ClassificationLoss, Loss, loss_of
from furiosa_models.training.targets import Target, Tensor

from .cases import Vectors, call

pytestmark = pytest.mark.torch
SIZE = (8, 8)


def labels(*class_ids: int) -> list[Target]:
    return [Target(torch.tensor(class_id)) for class_id in class_ids]


def random_logits(images: int = 4, classes: int = 5, scale: float = 3.0) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return (torch.randn(images, classes, generator=generator) * scale).requires_grad_()


def value_and_gradient(loss: Loss, logits: Tensor, targets: list[Target]) -> tuple[float, Tensor]:
    leaf = logits.detach().clone().requires_grad_()
    return call(loss, [leaf], targets, SIZE)["loss_class"], leaf.grad


def test_label_smoothing_equals_timm() -> None:
    arrays = Vectors.read("classification").arrays
    logits = torch.tensor(arrays["logits"].astype(np.float32))
    targets = labels(*arrays["classes"].tolist())
    loss = loss_of(ClassificationHead(), label_smoothing=0.1)
    value, gradient = value_and_gradient(loss, logits, targets)
    np.testing.assert_allclose(value, arrays["loss"].item(), rtol=1e-5)
    np.testing.assert_allclose(gradient, arrays["gradient"], atol=1e-6)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_class_weights_are_those_of_pytorch(smoothing: float) -> None:
    weights = [0.5, 1.0, 2.0, 4.0, 0.25]
    logits, expected = random_logits(), torch.tensor([0, 4, 2, 2])
    loss = ClassificationLoss(ClassificationHead(), smoothing, weights)
    value, _ = value_and_gradient(loss, logits, labels(*expected.tolist()))
    other = F.cross_entropy(
        logits, expected, torch.tensor(weights), label_smoothing=smoothing
    ).item()
    assert value == pytest.approx(other, rel=1e-6)


def test_the_softmax_of_a_graph_is_not_repeated() -> None:
    logits, targets = random_logits(), labels(0, 4, 2, 2)
    expected, gradient = value_and_gradient(
        ClassificationLoss(ClassificationHead()), logits, targets
    )
    inside = ClassificationLoss(ClassificationHead(activation="none"))
    value = inside([logits.softmax(dim=1)], targets, SIZE)["loss_class"]
    value.backward()
    assert value.item() == pytest.approx(expected, rel=1e-5)
    np.testing.assert_allclose(logits.grad, gradient, atol=1e-6)


def test_classes_after_a_background_are_counted_without_it() -> None:
    logits = random_logits(classes=6)
    loss = ClassificationLoss(ClassificationHead(offset=1), class_weights=[1, 2, 3, 4, 5])
    value, _ = value_and_gradient(loss, logits, labels(0, 4, 2, 2))
    weights = torch.tensor([1.0, 1, 2, 3, 4, 5])
    other = F.cross_entropy(logits, torch.tensor([1, 5, 3, 3]), weights).item()
    assert value == pytest.approx(other, rel=1e-6)
    with pytest.raises(LabelsError, match="between 0 and 4, as the network has 5 classes, got .5."):
        loss([logits], labels(0, 5, 2, 2), SIZE)


def test_outputs_of_a_network_that_ends_in_pooling() -> None:
    logits, targets = random_logits(), labels(0, 4, 2, 2)
    loss = ClassificationLoss(ClassificationHead())
    flat = loss([logits], targets, SIZE)["loss_class"]
    assert loss([logits[:, :, None, None]], targets, SIZE)["loss_class"] == flat


@pytest.mark.parametrize("activation", ["softmax", "none"])
@given(st.sampled_from([0.0, 1e2, 1e4, 1e30]), st.integers(0, 4), st.sampled_from([0.0, 0.1, 1.0]))
def test_extreme_logits_have_finite_losses_and_gradients(
    activation: str, scale: float, class_id: int, smoothing: float
) -> None:
    logits = random_logits(1, 5, scale).detach().requires_grad_()
    output = logits if activation == "softmax" else logits.softmax(dim=1)
    head = ClassificationHead(activation="none" if activation == "none" else "softmax")
    call(ClassificationLoss(head, smoothing), [output], labels(class_id), SIZE)
    assert torch.isfinite(logits.grad).all()


def test_the_loss_of_bfloat16_is_computed_in_float32() -> None:
    logits, targets = random_logits().detach().bfloat16().requires_grad_(), labels(0, 4, 2, 2)
    loss = ClassificationLoss(ClassificationHead())
    value = loss([logits], targets, SIZE)["loss_class"]
    assert value.dtype == torch.float32
    assert value == loss([logits.float()], targets, SIZE)["loss_class"]
    value.backward()
    assert logits.grad.dtype == torch.bfloat16
    with torch.autocast("cpu", torch.bfloat16):
        assert loss([logits], targets, SIZE)["loss_class"] == value


def test_class_indices_cannot_be_trained() -> None:
    with pytest.raises(ConfigurationError, match="ArgMax.*no gradient"):
        loss_of(ClassificationHead(activation="argmax"))


@pytest.mark.parametrize("weight", [0.0, -1.0, float("nan"), float("inf"), "1", None])
def test_weights_are_finite_and_above_0(weight: Any) -> None:
    with pytest.raises(ConfigurationError, match="class_weights"):
        ClassificationLoss(ClassificationHead(), class_weights=[1.0, weight])


def test_label_smoothing_is_a_part() -> None:
    with pytest.raises(ValueError, match="label_smoothing must lie between 0 and 1, got 1.5"):
        ClassificationLoss(ClassificationHead(), label_smoothing=1.5)


def test_outputs_and_targets_that_do_not_fit_are_errors() -> None:
    loss = ClassificationLoss(ClassificationHead(), class_weights=[1.0] * 4)
    logits = random_logits()
    with pytest.raises(LabelsError, match="weight for each of 5 classes, got 4"):
        loss([logits], labels(0, 1, 2, 3), SIZE)
    with pytest.raises(ShapeError, match="expected 4 targets.*got 3"):
        loss([logits], labels(0, 1, 2), SIZE)
    with pytest.raises(ShapeError, match="expected 1 target, .*got 0"):
        loss([logits[:0]], [], SIZE)
    with pytest.raises(ShapeError, match="expected 1 output, got 2"):
        loss([logits, logits], labels(0, 1, 2, 3), SIZE)
    with pytest.raises(ShapeError, match=r"shape \(n, c\).*got \(4, 5, 2, 2\)"):
        loss([logits[:, :, None, None].expand(-1, -1, 2, 2)], labels(0, 1, 2, 3), SIZE)
    with pytest.raises(ShapeError, match=r"with shape \(\), got \(1,\)"):
        loss([logits[:1]], [Target(torch.tensor([1]))], SIZE)

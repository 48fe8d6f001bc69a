"""Losses on the outputs of whole networks, with the heads that read them."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
import torch

from furiosa_models.enums import Task
from furiosa_models.networks.torch_sink import GraphModule
from furiosa_models.training.losses import loss_of
from furiosa_models.training.targets import Target
from furiosa_models.vision import MobileNetV2, SSDMobileNet, SSDMobileNetV2, YOLOv5n

from .cases import target

pytestmark = pytest.mark.torch


def labels(model: Any, size: tuple[int, int]) -> Target:
    if model.task == Task.CLASSIFICATION:
        return Target(torch.tensor(7))
    height, width = size
    share = np.array([[0.1, 0.2, 0.5, 0.6], [0.4, 0.3, 0.9, 0.9], [0.7, 0.1, 0.75, 0.2]])
    return target(share * (width, height, width, height), [0, 17, len(model.labels) - 2])


@pytest.mark.parametrize("kind", [MobileNetV2, SSDMobileNet, SSDMobileNetV2, YOLOv5n])
def test_a_network_learns_the_labels_of_a_photo(kind: Any) -> None:
    torch.manual_seed(0)
    model = kind(weights="random")
    module = GraphModule(onnx.load_from_string(model.origin)).train()
    height, width = model.input.size
    photo = torch.rand(1, 3, height, width)
    loss, expected = loss_of(model.head), labels(model, (height, width))
    optimizer = torch.optim.Adam(module.parameters(), lr=1e-3)
    totals = []
    for _ in range(4):
        optimizer.zero_grad()
        outputs = module(photo)
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        total = torch.stack(list(loss(outputs, [expected], (height, width)).values())).sum()
        total.backward()
        gradients = [each.grad for each in module.parameters() if each.grad is not None]
        assert all(torch.isfinite(gradient).all() for gradient in gradients)
        assert len(gradients) > 50
        optimizer.step()
        totals.append(total.item())
    assert totals[-1] < 0.9 * totals[0]

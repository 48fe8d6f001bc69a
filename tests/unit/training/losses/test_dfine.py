"""The loss of D-FINE, against the authors' code."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from furiosa_models.errors import ConfigurationError, ShapeError
from furiosa_models.heads import DFineHead
from furiosa_models.networks.builders.dfine import BINS, bin_distances
from furiosa_models.training.losses import DETRLoss, DFineLoss, loss_of

from .cases import Vectors, call, target

pytestmark = pytest.mark.torch

HEAD = DFineHead((64, 96))


def test_values_and_gradients_of_the_authors() -> None:
    found = Vectors.read("dfine").check(loss_of(HEAD), main=2)
    assert found["loss_edge"] > 0.01
    assert found["loss_distillation"] > 0.01


def test_without_auxiliary_outputs_it_is_the_set_loss() -> None:
    vectors = Vectors.read("dfine")
    both = [
        call(loss, vectors.outputs[:2], vectors.targets, vectors.size)
        for loss in (DFineLoss(HEAD), DETRLoss(HEAD))
    ]
    assert both[0] == both[1]


def test_edges_are_learned_where_the_box_is() -> None:
    """Two bins beside the distance of each edge have the least loss."""
    vectors = Vectors.read("dfine")
    outputs = [output.detach() for output in vectors.outputs]
    boxes = torch.tensor([[0.5, 0.5, 0.4, 0.4]]).expand(1, 6, 4)
    outputs = [each[:1] for each in outputs]
    for place in (1, 3, 5, 7, 10):
        outputs[place] = boxes
    # The box lies 0.1 further left than that which is moved: one bin's distance of it.
    labels = [target([[19.2, 19.2, 67.2, 44.8]], [0])]
    distances = torch.tensor(bin_distances())
    left = (0.5 - 0.2) / (0.4 / 4) - 2
    near = int((distances - left).abs().argmin())
    values = []
    for middle in (near, near + 3):
        bins = torch.full((1, 6, 4, BINS), 0.0)
        bins[:, :, 0, middle - 1 : middle + 2] = 8.0
        bins[:, :, 1:, BINS // 2] = 8.0
        bins = bins.flatten(2)
        for place in (8, 11, 12):
            outputs[place] = bins
        found = DFineLoss(HEAD)(outputs[:2], labels, vectors.size, auxiliary=outputs[2:])
        values.append(found["loss_edge"].item())
        assert found["loss_distillation"].item() == pytest.approx(0, abs=1e-6)
    assert values[0] < 0.5 * values[1]


def test_wrong_auxiliary_outputs() -> None:
    vectors = Vectors.read("dfine")
    outputs = vectors.outputs
    with pytest.raises(ShapeError, match="auxiliary outputs of dfine"):
        DFineLoss(HEAD)(outputs[:2], vectors.targets, vectors.size, auxiliary=outputs[2:-1])
    with pytest.raises(ShapeError, match="auxiliary outputs of dfine"):
        DFineLoss(HEAD)(outputs[:2], vectors.targets, vectors.size, auxiliary=outputs[-1:])


@pytest.mark.parametrize("name", ["box_weight", "edge_weight", "distillation_weight"])
def test_negative_weights_are_errors(name: str) -> None:
    options: Any = {name: -1}
    with pytest.raises(ConfigurationError, match=f"{name} must be a finite number"):
        DFineLoss(HEAD, **options)


def test_bins_are_symmetric() -> None:
    distances = bin_distances()
    np.testing.assert_allclose(distances, -distances[::-1])
    assert (np.diff(distances) > 0).all()

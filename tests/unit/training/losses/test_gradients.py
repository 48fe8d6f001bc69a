"""Gradients of whole networks in training, against the authors' code in training mode.

The lengths of the gradients differ if they stop elsewhere: between decoder layers, or where queries
are chosen.
"""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from furiosa_models import networks
from furiosa_models.networks.weights import Checkpoint, RandomWeights
from furiosa_models.spec import NetworkSpec
from furiosa_models.training.trainable import trainable_of
from tests.golden.losses import GRADIENTS, NETWORKS, SIDE

pytestmark = pytest.mark.torch


@pytest.mark.parametrize("name", NETWORKS)
def test_gradients_stop_where_those_of_the_authors_do(name: str) -> None:
    network, params = NETWORKS[name]
    graph = networks.describe(network, **params, auxiliary=True)
    weights = RandomWeights()
    arrays = {key: weights.get(each) for key, each in graph.parameters.items()}
    checkpoint = Checkpoint(NetworkSpec(network, params), arrays)
    module = trainable_of(b"", checkpoint).with_auxiliary().module().train()
    module.live_norms = frozenset()
    random = torch.Generator().manual_seed(0)
    image = torch.rand(2, 3, SIDE, SIDE, dtype=torch.float64, generator=random)
    outputs = module(image.float())
    torch.stack([each.square().mean() for each in outputs]).sum().backward()
    expected = json.loads(GRADIENTS.read_text())[name]
    found = {key: float(module.tensor(key).grad.norm()) for key in expected}
    assert len(found) > 100
    np.testing.assert_allclose([*found.values()], [*expected.values()], rtol=2e-3, atol=1e-6)

"""Variants of RT-DETR, which a checkpoint tells, and shapes of both families."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from furiosa_models import networks
from furiosa_models.errors import ModelNotFound, ShapeError, WeightsError
from furiosa_models.networks import NamedWeights, RandomWeights, params_of
from furiosa_models.networks.builders.rtdetr import VARIANTS
from furiosa_models.networks.writers import to_safetensors
from furiosa_models.vision import RTDETR


def arrays_of(variant: str, decoder_layers: int, num_classes: int) -> dict[str, Any]:
    """Return empty arrays of a checkpoint, which has all of its decoder layers."""
    backbone, hidden_dim, width, expansion, _ = VARIANTS[variant]
    graph = networks.describe(
        "rtdetr",
        variant=None,
        backbone=backbone,
        hidden_dim=hidden_dim,
        encoder_width=width,
        expansion=expansion,
        decoder_layers=decoder_layers,
        num_classes=num_classes,
        image_size=64,
    )
    return {name: np.empty(each.shape, np.float32) for name, each in graph.parameters.items()}


@pytest.mark.parametrize(
    ("variant", "layers"), [("r18", 3), ("r34", 4), ("r50m", 6), ("r50", 6), ("r101", 6)]
)
def test_a_checkpoint_tells_its_variant(variant: str, layers: int) -> None:
    found = params_of("rtdetr", arrays_of(variant, layers, 7)).params
    backbone, hidden_dim, width, expansion, decoder_layers = VARIANTS[variant]
    assert found == {
        "variant": None,
        "backbone": backbone,
        "hidden_dim": hidden_dim,
        "encoder_width": width,
        "expansion": expansion,
        "decoder_layers": decoder_layers,
        "num_classes": 7,
    }


def test_a_checkpoint_of_another_depth_and_classes_is_opened(tmp_path: Path) -> None:
    graph = networks.describe("rtdetr", variant="r34", num_classes=3, image_size=64)
    weights = RandomWeights()
    arrays = {name: weights.get(each) for name, each in graph.parameters.items()}
    file = tmp_path / "r34.safetensors"
    file.write_bytes(to_safetensors(arrays))
    model = RTDETR(file, labels=["a", "b", "c"])
    assert {name for name in graph.parameters if "blocks.5" in name}
    shapes = {info.name: info.shape for info in networks.signature(model.origin)[1]}
    assert [shape[1:] for shape in shapes.values()] == [(300, 3), (300, 4)]


def test_a_checkpoint_of_focoos_is_not_taken_for_one_of_rtdetr() -> None:
    """Names differ by a rename and shapes do not, but the network computes something else."""
    graph = networks.describe("rtdetr", variant=None, family="fai_detr", image_size=64)
    weights = RandomWeights()
    arrays = {name: weights.get(each) for name, each in graph.parameters.items()}
    assert params_of("rtdetr", arrays).params == {"num_classes": 80}
    with pytest.raises(WeightsError, match="backbone"):
        networks.build("rtdetr", NamedWeights(arrays), variant="r50", image_size=64)


def test_wrong_arguments() -> None:
    with pytest.raises(ModelNotFound, match="r19"):
        networks.describe("rtdetr", variant="r19")
    with pytest.raises(ModelNotFound, match="family"):
        networks.describe("rtdetr", family="detr")
    with pytest.raises(ShapeError, match="multiple of 32"):
        networks.describe("rtdetr", image_size=650)
    with pytest.raises(ModelNotFound, match="STDC"):
        networks.describe("rtdetr", variant=None, backbone="huge")


def test_graphs_have_no_arithmetic_of_shapes() -> None:
    for params in ({"variant": "r18"}, {"variant": None, "family": "fai_detr", "backbone": "nano"}):
        model = networks.build("rtdetr", RandomWeights(), image_size=64, num_queries=10, **params)
        kinds = {node.op_type for node in model.graph.node}
        assert not kinds & {"Shape", "Size", "Cast", "Expand", "Range", "ConstantOfShape", "Where"}

"""Mask networks of Focoos: attention within masks, what a checkpoint tells, and wrong arguments."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
import pytest

from furiosa_models import networks
from furiosa_models.errors import ModelNotFound, ShapeError
from furiosa_models.networks import NamedWeights, RandomWeights, params_of

SMALL = {"backbone": "nano", "image_size": [64, 96], "num_queries": 6, "decoder_layers": 2}
HEADS = "head.predictor.forward_prediction_heads"


def arrays_of(**params: Any) -> dict[str, Any]:
    weights = RandomWeights()
    parameters = networks.describe("maskformer", **SMALL, **params).parameters
    return {name: weights.get(each) for name, each in parameters.items()}


def run(arrays: dict[str, Any], **params: Any) -> list[Any]:
    model = networks.build("maskformer", NamedWeights(arrays), **SMALL, **params)
    session = onnxruntime.InferenceSession(networks.to_bytes(model))
    image = np.random.default_rng(0).normal(size=(2, 3, 64, 96)).astype(np.float32)
    return list(session.run(["masks", "logits"], {"images": image}))


@pytest.mark.parametrize(("family", "stride"), [("fai_mf", 4), ("bisenetformer", 8)])
def test_masks_have_the_stride_of_the_family(family: str, stride: int) -> None:
    masks, logits = run(arrays_of(family=family, num_classes=7), family=family, num_classes=7)
    assert masks.shape == (2, 6, 64 // stride, 96 // stride)
    assert logits.shape == (2, 6, 8)


def test_a_query_with_an_empty_mask_sees_all_pixels() -> None:
    """Masks that block all pixels and masks that block none give the same classes."""
    arrays = arrays_of()
    arrays["pixel_decoder.mask_features.weight"][:] = 0
    arrays["pixel_decoder.mask_features.bias"][:] = 1
    arrays[f"{HEADS}.mask_classifier.layers.2.weight"][:] = 0
    found = []
    for level in (-1, 1):
        arrays[f"{HEADS}.mask_classifier.layers.2.bias"][:] = level
        masks, logits = run(arrays)
        assert (np.sign(masks) == level).all()
        found.append(logits)
    np.testing.assert_array_equal(*found)


@pytest.mark.parametrize("family", ["fai_mf", "bisenetformer"])
def test_a_checkpoint_tells_its_classes(family: str) -> None:
    found = params_of("maskformer", arrays_of(family=family, num_classes=7)).params
    assert found == {"num_classes": 7}


@pytest.mark.parametrize("family", ["fai_mf", "bisenetformer"])
def test_graphs_have_no_arithmetic_of_shapes(family: str) -> None:
    params = {**SMALL, "family": family, "encoder_layers": 1}
    model = networks.build("maskformer", RandomWeights(), **params)
    kinds = {node.op_type for node in model.graph.node}
    assert not kinds & {"Shape", "Size", "Cast", "Expand", "Range", "ConstantOfShape", "Where"}


def test_wrong_arguments() -> None:
    with pytest.raises(ModelNotFound, match="family"):
        networks.describe("maskformer", family="mask2former")
    with pytest.raises(ModelNotFound, match="STDC"):
        networks.describe("maskformer", backbone="huge")
    with pytest.raises(ModelNotFound, match="ResNet-D"):
        networks.describe("maskformer", backbone=19)
    with pytest.raises(ShapeError, match="multiple of 32"):
        networks.describe("maskformer", image_size=650)
    with pytest.raises(ShapeError, match="decoder layer"):
        networks.describe("maskformer", decoder_layers=0)

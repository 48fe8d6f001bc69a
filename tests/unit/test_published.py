"""The graphs that 0.8 published."""

from __future__ import annotations

import pytest

from furiosa_models.errors import ArtifactNotFound
from furiosa_models.vision import EfficientNetB0, SSDMobileNet, YOLOv5m
from tests.planted import plant


def test_dfg_of_0_8() -> None:
    (sizes,) = SSDMobileNet.catalog()["published"].dfg.values()
    plant(sizes["2pe"], b"a DFG")
    assert SSDMobileNet().dfg == b"a DFG"


def test_error_for_a_missing_dfg_lists_models_that_have_one() -> None:
    complaint = "no DFG of the weights .* those of .*ResNet50.*SSDMobileNet.*SSDResNet34"
    for without in (EfficientNetB0(), SSDMobileNet(weights="random")):
        with pytest.raises(ArtifactNotFound, match=complaint):
            _ = without.dfg


@pytest.mark.parametrize("truncated", [False, True])
def test_int8_graphs_of_0_8(truncated: bool) -> None:
    (files,) = SSDMobileNet.catalog()["published"].int8.values()
    plant(files["truncated" if truncated else "whole"], b"a graph")
    assert SSDMobileNet().published_int8(truncated=truncated) == b"a graph"


def test_error_for_a_missing_int8_graph_lists_models_that_have_one() -> None:
    with pytest.raises(ArtifactNotFound, match="no int8 graph .*ResNet50.*YOLOv5l, YOLOv5m"):
        EfficientNetB0().published_int8()
    with pytest.raises(ArtifactNotFound, match="no truncated int8 graph .*SSDResNet34, with"):
        YOLOv5m().published_int8(truncated=True)

"""The quantized graphs that 0.8 published."""

from __future__ import annotations

import pytest

from furiosa_models.errors import ArtifactNotFound
from furiosa_models.vision import EfficientNetB0, SSDMobileNet
from tests.planted import plant


def test_the_dfg_of_0_8() -> None:
    (sizes,) = SSDMobileNet.catalogue()["published"].dfg.values()
    plant(sizes["2pe"], b"a DFG")
    assert SSDMobileNet().dfg == b"a DFG"


def test_models_without_a_dfg_say_which_have_one() -> None:
    complaint = "no DFG of the weights .* those of .*ResNet50.*SSDMobileNet.*SSDResNet34"
    for without in (EfficientNetB0(), SSDMobileNet(weights="random")):
        with pytest.raises(ArtifactNotFound, match=complaint):
            _ = without.dfg

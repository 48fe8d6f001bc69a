"""Tensors as photos, and networks as modules."""

from __future__ import annotations

import copy
import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from furiosa_models.vision import MobileNetV2, SSDMobileNet

pytestmark = pytest.mark.torch


def test_tensors_give_the_detections_of_the_photo(photos: list[Path]) -> None:
    model = SSDMobileNet("random", head={"max_detections": 20})
    pixels = np.asarray(Image.open(photos[0]).convert("RGB"))
    expected = model.infer(pixels, device="cpu").detections
    assert len(expected) == 20
    channels_first = torch.from_numpy(pixels.copy()).permute(2, 0, 1)
    for tensor in (channels_first, channels_first.float(), channels_first.permute(1, 2, 0)):
        assert model.infer(tensor, device="cpu").detections == expected
    several = model.infer(torch.stack([channels_first, channels_first]), device="cpu")
    assert [found.detections for found in several] == [expected, expected]


def test_a_model_gives_its_network_as_a_module(photos: list[Path]) -> None:
    model = MobileNetV2("random")
    module = model.torch_module()
    assert not module.training
    tensor, _ = model.preprocess([photos[0]], with_scaling=True)
    with torch.inference_mode():
        logits = module(torch.from_numpy(tensor)).numpy()
    changed = {name: t + 0 for name, t in module.state_dict().items()}
    again = MobileNetV2(changed)
    assert again.origin == model.origin
    best = model.predict(photos[0], device="cpu").class_id
    assert int(logits.argmax()) == best
    module.get_parameter("classifier.1.bias").data[7] += 1000
    assert MobileNetV2(module.state_dict()).predict(photos[0], device="cpu").class_id == 7


def test_a_module_is_copied_and_pickled() -> None:
    module = SSDMobileNet("random").torch_module()
    x = torch.rand(1, 3, 300, 300)
    buffer = io.BytesIO()
    torch.save(module, buffer)
    buffer.seek(0)
    for other in (copy.deepcopy(module), torch.load(buffer, weights_only=False)):
        assert other.state_dict().keys() == module.state_dict().keys()
        for found, expected in zip(other(x), module(x), strict=True):
            torch.testing.assert_close(found, expected, rtol=0, atol=0)

"""The classifiers of Focoos, against plain PyTorch modules with the names of its state dicts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from furiosa_models import ModelFamily, ModelInfo, ModelManager, Task, networks
from furiosa_models.errors import ModelNotFound, WeightsError
from furiosa_models.networks import NamedWeights, RandomWeights

pytestmark = pytest.mark.torch

SIZES = {"nano": (32, (2, 2, 2)), "small": (64, (2, 2, 2)), "large": (64, (4, 5, 3))}
CHANNELS = {"res4": 8, "res5": 16}


class Conv(nn.Module):  # type: ignore[misc]
    def __init__(self, inputs: int, outputs: int, size: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=False)
        self.bn = nn.BatchNorm2d(outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.bn(self.conv(x)).relu()


class Block(nn.Module):  # type: ignore[misc]
    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        half, quarter, eighth = outputs // 2, outputs // 4, outputs // 8
        self.conv_list = nn.ModuleList(
            [
                Conv(inputs, half, 1),
                Conv(half, quarter, 3),
                Conv(quarter, eighth, 3),
                Conv(eighth, eighth, 3),
            ]
        )
        if stride == 2:
            depthwise = nn.Conv2d(half, half, 3, 2, 1, groups=half, bias=False)
            self.avd_layer = nn.Sequential(depthwise, nn.BatchNorm2d(half))
        self.stride = stride

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        first = x = self.conv_list[0](x)
        if self.stride == 2:
            x = self.avd_layer(x)
            first = nn.functional.avg_pool2d(first, 3, 2, 1)
        parts = [first]
        for conv in list(self.conv_list)[1:]:
            x = conv(x)
            parts.append(x)
        return torch.cat(parts, 1)


class Classifier(nn.Module):  # type: ignore[misc]
    def __init__(self, size: str, features: str, classes: int, layers: int) -> None:
        super().__init__()
        base, blocks = SIZES[size]
        stages = [Conv(3, base // 2, 3, 2), Conv(base // 2, base, 3, 2)]
        inputs = base
        for stage, count in enumerate(blocks):
            outputs = base * 4 * 2**stage
            for index in range(count):
                stages.append(Block(inputs, outputs, 1 if index else 2))
                inputs = outputs
        self.backbone = nn.Module()
        self.backbone.features = nn.Sequential(*stages)
        self.last = 2 + sum(blocks[: {"res4": 2, "res5": 3}[features]])
        channels = base * CHANNELS[features]
        head: dict[str, nn.Module] = {"2": nn.Conv2d(channels, classes, 1)}
        if layers == 2:
            head = {"1": nn.Conv2d(channels, 512, 1), "4": nn.Conv2d(512, classes, 1)}
        self.cls_head = nn.Module()
        self.cls_head.classifier = nn.ModuleDict(head)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in list(self.backbone.features)[: self.last]:
            x = layer(x)
        x = x.mean((2, 3), keepdim=True)
        layers: Any = self.cls_head.classifier
        for index, layer in enumerate(layers.values()):
            x = layer(x.relu() if index else x)
        return x.flatten(1)


def seeded(size: str, features: str, layers: int, classes: int = 5) -> Classifier:
    """Return a classifier with seeded random weights in every array."""
    module: Classifier = Classifier(size, features, classes, layers).eval()
    whole = networks.describe("fai_cls", size=size, num_classes=classes, num_layers=layers)
    part = networks.describe(
        "fai_cls", size=size, num_classes=classes, num_layers=layers, features=features
    )
    parameters = {**whole.parameters, **part.parameters}
    state = {n: torch.from_numpy(RandomWeights().get(p)) for n, p in parameters.items()}
    missing, unexpected = module.load_state_dict(state, strict=False)
    assert not unexpected
    assert all(name.endswith("num_batches_tracked") for name in missing)
    return module


@pytest.mark.parametrize(("features", "layers"), [("res5", 1), ("res4", 2)])
@pytest.mark.parametrize("size", SIZES)
def test_graphs_agree_with_pytorch(size: str, features: str, layers: int) -> None:
    import onnxruntime

    module = seeded(size, features, layers)
    arrays = {name: tensor.numpy() for name, tensor in module.state_dict().items()}
    model = networks.build(
        "fai_cls",
        NamedWeights(arrays),
        size=size,
        num_classes=5,
        features=features,
        num_layers=layers,
        image_size=(96, 128),
    )
    images = np.random.default_rng(0).standard_normal((2, 3, 96, 128)).astype(np.float32)
    session = onnxruntime.InferenceSession(
        networks.to_bytes(model), providers=["CPUExecutionProvider"]
    )
    (found,) = session.run(None, {"images": images})
    with torch.no_grad():
        expected = module(torch.from_numpy(images)).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-5)


def info(**changes: Any) -> ModelInfo:
    fields: dict[str, Any] = {
        "name": "shelves",
        "model_family": ModelFamily.IMAGE_CLASSIFIER,
        "classes": ["box", "pallet", "cart", "door", "sign"],
        "im_size": 96,
        "task": Task.CLASSIFICATION,
        "config": {
            "num_classes": 5,
            "backbone_config": {"model_type": "stdc", "base": 32, "layers": [2, 2, 2]},
            "features": "res4",
            "resolution": 96,
        },
    }
    return ModelInfo(**{**fields, **changes})


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_folder_of_focoos_is_opened(wrapped: bool, photos: list[Path], tmp_path: Path) -> None:
    module = seeded("nano", "res4", 1)
    state: dict[str, Any] = {**module.state_dict(), "criterion.ce_loss.pos_weight": torch.ones(5)}
    torch.save({"model": state} if wrapped else state, tmp_path / "model_final.pth")
    info().dump_json(tmp_path / "model_info.json")
    model = ModelManager.get(tmp_path)
    tensor, _ = model.preprocess([photos[0]], with_scaling=True)
    with torch.no_grad():
        expected = module(torch.from_numpy(tensor)).sigmoid().numpy()[0]
    found = model.infer(photos[0], threshold=None)
    scores = {each.label: each.conf for each in found}
    assert scores == pytest.approx(
        dict(zip(model.labels, expected.tolist(), strict=True)), abs=1e-5
    )
    assert model.input.size == (96, 96)
    again = ModelManager.get(model.save(tmp_path / "saved"))
    assert [d.label for d in again.infer(photos[0])] == [d.label for d in model.infer(photos[0])]
    exported = model.export("onnx_cpu", out_dir=tmp_path / "exported")
    assert len(exported.infer(photos[0], threshold=None)) == 5


def test_an_export_gets_its_sigmoid(photos: list[Path], tmp_path: Path) -> None:
    module = seeded("nano", "res4", 1)
    arrays = {name: tensor.numpy() for name, tensor in module.state_dict().items()}
    logits = networks.build(
        "fai_cls", NamedWeights(arrays), size="nano", num_classes=5, features="res4", image_size=96
    )
    (tmp_path / "model.onnx").write_bytes(networks.to_bytes(logits))
    info().dump_json(tmp_path / "model_info.json")
    torch.save(module.state_dict(), tmp_path / "other.pth")
    model = ModelManager.get(tmp_path)
    weights = ModelManager.get(tmp_path, weights=str(tmp_path / "other.pth"))
    expected = {each.label: each.conf for each in weights.infer(photos[0], threshold=None)}
    found = {each.label: each.conf for each in model.infer(photos[0], threshold=None)}
    assert found == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("config", "error", "words"),
    [
        ({"backbone_config": {"model_type": "swin"}}, ModelNotFound, "swin.*not built here"),
        ({"backbone_config": {"base": 48}}, ModelNotFound, "nano, small, large"),
        ({"dense_prediction": True}, ModelNotFound, "dense_prediction"),
        ({"num_layers": 3}, ModelNotFound, "num_layers must be 1 or 2"),
        ({"features": "res9"}, ModelNotFound, "res9"),
        ({"depth": 3}, WeightsError, "fai_cls has no depth"),
    ],
)
def test_configurations_that_are_not_built(
    config: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        ModelManager.get("x", model_info=info(config=config), weights="random").fitted()


def test_overrides_of_the_configuration(photos: list[Path]) -> None:
    model = ModelManager.get("x", model_info=info(), weights="random", num_layers=2, hidden_dim=8)
    network = model.network
    assert network is not None
    assert (network.params["num_layers"], network.params["hidden_dim"]) == (2, 8)
    assert len(model.infer(photos[0], threshold=None)) == 5

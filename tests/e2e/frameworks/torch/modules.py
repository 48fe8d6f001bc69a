"""Modules of every kind that users write, with their inputs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import torchvision
from torch import nn
from torch.nn import functional as F

BATCH = 3


class Two(nn.Module):  # type: ignore[misc]  # torch has no stubs here
    """Two inputs, two outputs, batch norm and dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 16, 3, padding=1, stride=2)
        self.norm = nn.BatchNorm2d(16)
        self.depthwise = nn.Conv2d(16, 16, 3, padding=1, groups=16)
        self.extra = nn.Linear(4, 16)
        self.drop = nn.Dropout(0.5)
        self.head = nn.Linear(16, 10)
        for parameter in (self.norm.running_mean, self.norm.running_var):
            parameter.copy_(torch.rand(16) + 0.5)

    def forward(
        self, image: torch.Tensor, extra: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        y = F.relu6(self.norm(self.conv(image)))
        y = F.silu(self.depthwise(y)) + y
        features = y.mean((2, 3)) + self.extra(extra)
        return self.head(self.drop(features)), features


class Named(nn.Module):  # type: ignore[misc]
    """Arguments by keyword only, an argument with a default, a buffer, and a mapping."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(8, 6)
        self.register_buffer("offset", torch.linspace(0, 1, 6))

    def forward(self, x: Any, scale: float = 2.0, *, mask: Any) -> dict[str, Any]:
        y = self.layer(x) * scale * mask + self.offset
        return {"logits": y, "rest": [y.softmax(1), None], "sum": y.sum(1)}


class Variadic(nn.Module):  # type: ignore[misc]
    """Any number of inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(4, 5), nn.Linear(6, 5)])

    def forward(self, *parts: Any) -> Any:
        return sum(layer(part) for layer, part in zip(self.layers, parts, strict=True))


class Nested(nn.Module):  # type: ignore[misc]
    """A list of tensors as an argument and a tuple of tuples as the result."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, levels: list[Any], weight: Any) -> Any:
        results = [self.layer(level) * weight for level in levels]
        return (results[0], (results[1], weight + 1))


class Tokens(nn.Module):  # type: ignore[misc]
    """Integers and floats as inputs; linear layers on three dimensions."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(20, 8)
        self.norm = nn.LayerNorm(8)
        self.up = nn.Linear(8, 16)
        self.down = nn.Linear(16, 8)

    def forward(self, ids: Any, weights: Any) -> Any:
        x = self.embedding(ids) * weights[..., None]
        return self.down(F.gelu(self.up(self.norm(x)))) + x


class Fixed(nn.Module):  # type: ignore[misc]
    """A module whose batch size is a part of its operations."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, x: Any) -> Any:
        return self.layer(x).reshape(2, 2, 2)


class Kind(NamedTuple):
    """A module with inputs for it.

    Attributes:
        make: Returns the module.
        inputs: Returns inputs with a batch of some size, as `example_inputs`.
        names: Names of its inputs.
        outputs: Names of its outputs.
        module: Name and type of one of its modules.
    """

    make: Callable[[], Any]
    inputs: Callable[[int], Any]
    names: list[str]
    outputs: list[str]
    module: tuple[str, str]


def images(size: int) -> Callable[[int], Any]:
    return lambda count: torch.rand(count, 3, size, size)


def vision(name: str, size: int, module: str, **options: Any) -> Kind:
    """Return a network of torchvision with random weights."""

    def make() -> Any:
        return getattr(torchvision.models, name)(weights=None, **options)

    return Kind(make, images(size), ["x"], ["output"], (module, "Conv2d"))


def segmentation() -> Any:
    make = torchvision.models.segmentation.lraspp_mobilenet_v3_large
    return make(weights=None, weights_backbone=None)


def detection() -> Any:
    make = torchvision.models.detection.ssdlite320_mobilenet_v3_large
    return make(weights=None, weights_backbone=None).backbone


BLOCKS = [[1, 16, 1, 1], [6, 24, 2, 2], [6, 32, 1, 2]]
"""Blocks of a MobileNetV2 that is exported quickly, one of each kind."""

KINDS: dict[str, Kind] = {
    "two": Kind(
        Two,
        lambda count: (torch.rand(count, 3, 32, 32), torch.rand(count, 4)),
        ["image", "extra"],
        ["output_0", "output_1"],
        ("conv", "Conv2d"),
    ),
    "named": Kind(
        Named,
        lambda count: {"x": torch.rand(count, 8), "mask": torch.rand(count, 6)},
        ["x", "mask"],
        ["logits", "rest_0", "sum"],
        ("layer", "Linear"),
    ),
    "variadic": Kind(
        Variadic,
        lambda count: [torch.rand(count, 4), torch.rand(count, 6)],
        ["input_0", "input_1"],
        ["output"],
        ("layers.1", "Linear"),
    ),
    "nested": Kind(
        Nested,
        lambda count: ([torch.rand(count, 4), torch.rand(count, 4)], torch.rand(count, 4)),
        ["levels_0", "levels_1", "weight"],
        ["output_0", "output_1", "output_2"],
        ("layer", "Linear"),
    ),
    "tokens": Kind(
        Tokens,
        lambda count: (torch.randint(0, 20, (count, 7)), torch.rand(count, 7)),
        ["ids", "weights"],
        ["output"],
        ("up", "Linear"),
    ),
    "mobilenet_v2": vision("mobilenet_v2", 96, "features.0.0", inverted_residual_setting=BLOCKS),
    "resnet18": vision("resnet18", 96, "layer1.0.conv1"),
    "efficientnet_b0": vision("efficientnet_b0", 96, "features.0.0"),
    "segmentation": Kind(segmentation, images(96), ["input"], ["out"], ("backbone.0.0", "Conv2d")),
    "detection": Kind(
        detection, images(320), ["x"], ["0", "1", "2", "3", "4", "5"], ("features.0.0.0", "Conv2d")
    ),
}
SMALL = ("two", "named", "variadic", "nested", "tokens")


def made(name: str) -> Any:
    """Return a module in training mode with seeded random weights, and fitting batch norms."""
    torch.manual_seed(0)
    module = KINDS[name].make().train()
    norms = [each for each in module.modules() if isinstance(each, nn.BatchNorm2d)]
    if name not in SMALL:  # otherwise activations vanish from layer to layer
        for norm in norms:
            norm.momentum = 1.0
        with torch.no_grad():
            module(KINDS[name].inputs(4))
    return module

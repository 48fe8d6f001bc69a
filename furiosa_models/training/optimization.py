"""Optimizers with a learning rate for each part of a network, and averages of weights."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

import torch

from ..errors import FuriosaModelsError
from ..networks.classes import last_layer
from ..networks.learned import kernel_origin
from ..networks.torch_sink import GraphModule
from .args import TrainerArgs
from .trainable import Trainable

__all__ = ["Average", "make_optimizer", "part_of"]

_DECODERS: Mapping[str, str] = MappingProxyType(
    {
        "dfine": r"^(encoder|decoder)\.",
        "maskformer": r"^(pixel_decoder\.(?!backbone\.)|head\.)",
        "mobilenet_ssd": r"_[12]_Conv2d_\d",
        "mobilenet_v2_ssd": r"/layer_19_",
        "movenet": r"/model_1/(conv2d|separable_conv2d)",
        "rtdetr": r"^(encoder\.|decoder\.|pixel_decoder\.(?!backbone\.)|head\.)",
        "ssd_resnet34": r"^additional_blocks\.",
        "yolov5": r"^model\.(1\d|2[0-3])\.",
        "yolov7_pose": r"^model\.(4[7-9]|[5-9]\d|1\d\d)\.",
    }
)
"""Names of the parameters between backbone and head, by network."""


def part_of(name: str, trainable: Trainable, heads: frozenset[str]) -> str:
    """Return the part of a network that a parameter belongs to: backbone, decoder or head.

    Args:
        name: Name of the parameter.
        trainable: The network.
        heads: Names of the parameters of the last layers.
    """
    if name in heads:
        return "head"
    network = trainable.network.name if trainable.network else ""
    pattern = _DECODERS.get(network)
    return "decoder" if pattern is not None and re.search(pattern, name) else "backbone"


def head_parameters(trainable: Trainable) -> frozenset[str]:
    """Return the names of the parameters of the layers that compute the outputs."""
    graph = trainable.model.graph
    producers = {name: node for node in graph.node for name in node.output}
    found = set()
    for output in graph.output:
        try:
            layer = last_layer(graph, output.name)
        except FuriosaModelsError:  # computed from several layers, such as a concatenation
            continue
        weight = kernel_origin(layer.node.input[1], producers)
        found.update({weight, layer.bias or weight})
    return frozenset(found)


def make_optimizer(
    module: GraphModule, trainable: Trainable, args: TrainerArgs
) -> torch.optim.Optimizer:
    """Return the optimizer of the learned parameters; frozen parts lose their gradients.

    Each group has the learning rate of its part, as `initial_lr`, and the weight decay of its kind.

    Raises:
        ValueError: Everything is frozen, an argument of the optimizer is unknown, or a weight decay
            is for embeddings, which only networks of masks have.
    """
    nodes = trainable.model.graph.node
    embeddings = {node.input[0] for node in nodes if node.op_type == "Unsqueeze"} & module.learned
    if args.weight_decay_embed and not embeddings:
        msg = "weight_decay_embed is for embeddings, which this network does not have: expected 0"
        raise ValueError(msg)
    if "weight_decay" in (args.optimizer_extra or {}):
        msg = "weight_decay is an argument of its own: expected none in optimizer_extra"
        raise ValueError(msg)
    heads = head_parameters(trainable)
    norms = {name for names in module.norms.values() for name in names}
    norms.update(
        n for node in nodes if node.op_type == "LayerNormalization" for n in node.input[1:]
    )
    decays = dict.fromkeys(norms, args.weight_decay_norm)
    decays.update(dict.fromkeys(embeddings, args.weight_decay_embed))
    factors = {
        "backbone": args.backbone_multiplier,
        "decoder": args.decoder_multiplier,
        "head": args.head_multiplier,
    }
    groups: dict[tuple[float, float], list[Any]] = {}
    for name in sorted(module.learned):
        tensor = module.tensor(name)
        factor = factors[part_of(name, trainable, heads)]
        tensor.requires_grad_(factor > 0)
        if factor > 0:
            decay = decays.get(name, args.weight_decay)
            groups.setdefault((factor, decay), []).append(tensor)
    if not groups:
        msg = "every part of the network is frozen: expected one multiplier above 0"
        raise ValueError(msg)
    rows = [
        {
            "params": tensors,
            "lr": args.learning_rate * factor,
            "initial_lr": args.learning_rate * factor,
            "weight_decay": decay,
        }
        for (factor, decay), tensors in groups.items()
    ]
    kinds = {"ADAMW": torch.optim.AdamW, "SGD": torch.optim.SGD, "RMSPROP": torch.optim.RMSprop}
    defaults = {"SGD": {"momentum": 0.9}}.get(args.optimizer, {})
    try:
        made: torch.optim.Optimizer = kinds[args.optimizer](
            rows, lr=args.learning_rate, **{**defaults, **(args.optimizer_extra or {})}
        )
    except TypeError as error:
        msg = f"optimizer_extra does not fit {args.optimizer}: {error}"
        raise ValueError(msg) from error
    return made


class Average:
    """Exponential moving average of the weights and statistics of a module.

    The decay grows from 0: after n updates it is `decay * (1 - exp(-n / warmup))`.

    Args:
        module: The module.
        decay: Part of the average that an update keeps.
        warmup: Number of updates over which the decay grows.
    """

    def __init__(self, module: GraphModule, decay: float, warmup: int) -> None:
        self._decay = decay
        self._warmup = warmup
        self._updates = 0
        self._values = {name: tensor.detach().clone() for name, tensor in _state(module)}

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def update(self, module: GraphModule) -> None:
        """Add the present weights to the average."""
        self._updates += 1
        grown = 1 - math.exp(-self._updates / self._warmup) if self._warmup else 1.0
        decay = self._decay * grown
        for name, tensor in _state(module):
            average = self._values[name]
            if average.is_floating_point():
                average.lerp_(tensor.detach(), 1 - decay)
            else:
                average.copy_(tensor)

    def state_dict(self) -> dict[str, Any]:
        """Return the average and the number of updates."""
        return {"updates": self._updates, "values": self._values}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue with the average of a checkpoint."""
        self._updates = state["updates"]
        for name, value in state["values"].items():
            self._values[name].copy_(value)

    @property
    def values(self) -> Mapping[str, Any]:
        """The averaged tensors, by their names in the state of the module."""
        return self._values


def _state(module: GraphModule) -> Iterator[tuple[str, Any]]:
    yield from module.state_dict().items()

"""Networks in the form that trains, and their way back to the form that runs.

A network of the zoo is described again with the weights of its checkpoint and live normalization.
Any other network trains as the ONNX graph that it is, with normalization frozen. Both become the
same kind of module. Trained arrays go back into the builder, or into the graph.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

from .. import networks
from ..errors import ConversionError
from ..networks import edit
from ..networks.classes import replace_classes
from ..networks.onnx_sink import trainable
from ..networks.weights import Kind, NamedWeights
from ..spec import Head, NetworkSpec
from ..weights import Checkpoint

if TYPE_CHECKING:
    from ..networks.torch_sink import GraphModule

__all__ = ["Trainable", "match_classes", "trainable_of"]

_Arrays = Mapping[str, npt.NDArray[Any]]
_NOT_TRAINED = frozenset({"argmax", "batch_size"})
"""Arguments of builders that training does not use."""


@dataclass(frozen=True, eq=False)
class Trainable:
    """A network in the form that trains.

    Attributes:
        model: Its graph, whose initializers are what is trained.
        network: The network of the zoo that it is built by, if any.
        extra: Arrays of its checkpoint that the graph does not use.
        learned: Names of the initializers that are trained; None for the weights of all layers.
        live_norms: Names of the nodes whose statistics training updates.
    """

    model: onnx.ModelProto
    network: NetworkSpec | None = None
    extra: _Arrays | None = None
    learned: frozenset[str] | None = None
    live_norms: frozenset[str] = frozenset()

    def with_classes(self, head: Head, sources: Sequence[int | None]) -> Trainable:
        """Return the network with other classes; see `replace_classes`.

        Args:
            head: Head of the network.
            sources: For each new class of the table of labels, the index of the old class in the
                old table that it starts from, or None.

        Raises:
            ConversionError: The layers that compute the scores cannot be found.
            ShapeError: The classes of this kind of head cannot be replaced.
        """
        model = onnx.ModelProto.FromString(self.model.SerializeToString())
        channels = head.class_channels(edit.describe(model).outputs)
        offsets = [each.background for each in channels if each is not None]
        offset = max(offsets, default=0)
        backgrounds: list[int | None] = list(range(offset))
        rows = backgrounds + [None if s is None else s + offset for s in sources]
        replace_classes(model, channels, rows)
        network = self.network
        if network is not None:
            network = replace(network, params={**network.params, "num_classes": len(rows)})
        return replace(self, model=model, network=network)

    def module(self) -> GraphModule:
        """Return the network as a PyTorch module; its state has the names of the checkpoint.

        Raises:
            ConversionError: An operation has no PyTorch form; the message names all of them.
            ExtraRequired: PyTorch is not installed.
        """
        from .._lazy import require

        require("torch", "training needs PyTorch", extra="train")
        from ..networks.torch_sink import GraphModule

        module = GraphModule(self.model, self.extra, self.learned)
        module.live_norms = self.live_norms
        return module

    def with_arrays(self, arrays: _Arrays) -> Trainable:
        """Return the network with other arrays; names that it does not have are left out."""
        model = onnx.ModelProto.FromString(self.model.SerializeToString())
        for tensor in model.graph.initializer:
            if tensor.name in arrays:
                tensor.CopyFrom(numpy_helper.from_array(arrays[tensor.name], tensor.name))
        extra = self.extra and {name: arrays.get(name, old) for name, old in self.extra.items()}
        return replace(self, model=model, extra=extra)

    @property
    def checkpoint(self) -> Checkpoint | None:
        """The arrays under the names of the public checkpoint; None for a graph of a user."""
        if self.network is None:
            return None
        parameters = networks.describe(self.network.name, **self.network.params).parameters
        tensors = [t for t in self.model.graph.initializer if t.name in parameters]
        arrays = {tensor.name: numpy_helper.to_array(tensor) for tensor in tensors}
        return Checkpoint(self.network, {**(self.extra or {}), **arrays})

    def program(self) -> bytes:
        """Return the network in the form that runs, as ONNX."""
        checkpoint = self.checkpoint
        if checkpoint is None:
            return edit.to_bytes(self.model)
        network, weights = checkpoint.network, NamedWeights(checkpoint.arrays)
        return edit.to_bytes(networks.build(network.name, weights, **network.params))


def trainable_of(origin: bytes, checkpoint: Checkpoint | None) -> Trainable:
    """Return a network in the form that trains.

    Args:
        origin: The network as float32 ONNX.
        checkpoint: The checkpoint that it was built with, if there is one.

    Raises:
        ConversionError: The network is quantized, or of TensorFlow Lite.
        WeightsError: A parameter is missing.
    """
    if checkpoint is not None:
        return _of_checkpoint(checkpoint)
    if origin[4:8] == b"TFL3":
        msg = "TensorFlow Lite networks are not trained: convert it (furiosa-models convert)"
        raise ConversionError(msg)
    model = edit.parse(origin)
    if quantized := [n.name for n in model.graph.node if n.op_type == "QuantizeLinear"]:
        msg = f"a quantized network is not trained ({quantized[0]!r}): train the float one"
        raise ConversionError(msg)
    edit.constants_to_initializers(model.graph)
    return Trainable(edit.named(model))


def _of_checkpoint(checkpoint: Checkpoint) -> Trainable:
    network, arrays = checkpoint
    params = {name: v for name, v in network.params.items() if name not in _NOT_TRAINED}
    graph = networks.describe(network.name, **params)
    model = trainable(graph, NamedWeights(arrays))
    statistics = (Kind.MEAN, Kind.VARIANCE)
    learned = {p.name for p in graph.parameters.values() if p.kind not in statistics}
    live = {
        node.name
        for node in graph.nodes
        if node.layer is not None
        and node.layer.norm is not None
        and _is_measured(*(arrays[p.name] for p in node.layer.norm.parameters[2:]))
    }
    return Trainable(
        model,
        replace(network, params=params),
        {name: array for name, array in arrays.items() if name not in graph.parameters},
        frozenset(learned),
        frozenset(live),
    )


def _is_measured(mean: npt.NDArray[Any], variance: npt.NDArray[Any]) -> bool:
    """Return whether statistics were measured, rather than made for folded weights.

    Checkpoints that were exported with folded normalization have a mean of 0 and a single variance.
    To normalize by the statistics of a batch would change what such a network computes.
    """
    return bool(np.any(mean != 0) or len(variance) == 1 or np.any(variance != variance[0]))


def match_classes(old: Sequence[str], new: Sequence[str]) -> list[int | None]:
    """Return the index of the old class of the same name for each new one, or None.

    Case, spaces, dashes and underscores in names are ignored.
    """
    known = {_plain(name): index for index, name in enumerate(old)}
    return [known.get(_plain(name)) for name in new]


def _plain(name: str) -> str:
    return "".join(character for character in name.casefold() if character.isalnum())

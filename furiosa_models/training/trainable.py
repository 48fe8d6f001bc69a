"""Networks in the form that trains, and their way back to the form that runs.

A network of the zoo is described again with the weights of its checkpoint and live normalization.
Any other network trains as the ONNX graph that it is, with normalization frozen. Both become the
same kind of module. Trained arrays go back into the builder, or into the graph.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

from .. import networks
from ..errors import ConversionError, LabelsError
from ..labels import plain_name
from ..networks import edit
from ..networks.classes import Source, last_layer, replace_classes, replaced
from ..networks.onnx_sink import trainable
from ..networks.weights import Checkpoint, Kind, NamedWeights, Parameter
from ..runtime.source import is_tflite
from ..spec import ClassChannels, Head, NetworkSpec

if TYPE_CHECKING:
    from ..networks.torch_sink import GraphModule

__all__ = ["Trainable", "match_classes", "trainable_of"]

_Arrays = Mapping[str, npt.NDArray[Any]]
_NOT_TRAINED = frozenset({"argmax", "batch_size"})
"""Arguments of builders that training does not use."""
_NOISY_CLASSES = "denoising_class_embed.weight"
"""Embedding of the classes, which the authors of RT-DETR and D-FINE train with noise added to the
labels. It is not trained here, but remains in checkpoints."""


@dataclass(frozen=True, eq=False)
class Trainable:
    """A network in the form that trains.

    Attributes:
        model: Its graph, whose initializers are what is trained.
        network: The network of the zoo that it is built by, if any.
        extra: Arrays of its checkpoint that the graph does not use.
        learned: Names of the initializers that are trained; None for the weights of all layers.
        live_norms: Names of the nodes whose statistics training updates.
        auxiliary: Names of the outputs that only training needs.
        stopped: Names of the nodes whose results have no gradient.
    """

    model: onnx.ModelProto
    network: NetworkSpec | None = None
    extra: _Arrays | None = None
    learned: frozenset[str] | None = None
    live_norms: frozenset[str] = frozenset()
    auxiliary: frozenset[str] = frozenset()
    stopped: frozenset[str] = frozenset()

    def with_auxiliary(self) -> Trainable:
        """Return the network with auxiliary outputs, if it is one of the zoo that has some.

        Layers that the checkpoint lacks, because the network that runs does not need them, start as
        copies of those of the last decoder layer.
        """
        checkpoint = self.checkpoint
        if checkpoint is None or checkpoint.network.name not in networks.AUXILIARY:
            return self
        return _of_checkpoint(checkpoint, auxiliary=True)

    def without_auxiliary(self) -> Trainable:
        """Return the network without auxiliary outputs; their layers remain in its checkpoint."""
        checkpoint = self.checkpoint
        if checkpoint is None or not self.auxiliary:
            return self
        return _of_checkpoint(checkpoint)

    def with_classes(self, head: Head, sources: Sequence[Source]) -> Trainable:
        """Return the network with other classes; see `replace_classes`.

        Args:
            head: Head of the network.
            sources: For each new class of the table of labels, the old classes of the old table
                that it starts from.

        Raises:
            ConversionError: The layers that compute the scores cannot be found.
            ShapeError: The classes of this kind of head cannot be replaced.
        """
        model = edit.parse(self.model)
        outputs = edit.describe(model).outputs
        channels = head.class_channels([o for o in outputs if o.name not in self.auxiliary])
        found = [each for each in channels if each is not None]
        offset = max((each.background for each in found), default=0)
        rows: list[Source] = list(range(offset))
        rows += [_shifted(source, offset) for source in sources]
        checkpoint, network = self.checkpoint, self.network
        if network is not None:
            network = replace(network, params={**network.params, "num_classes": len(rows)})
        if checkpoint is not None and network is not None and network.name in networks.AUXILIARY:
            arrays = _with_rows(checkpoint, found[0], rows, auxiliary=bool(self.auxiliary))
            return _of_checkpoint(Checkpoint(network, arrays), auxiliary=bool(self.auxiliary))
        replace_classes(model, channels, rows)
        return replace(self, model=model, network=network)

    def with_last_layer(
        self, kernel: npt.NDArray[np.float32], bias: npt.NDArray[np.float32]
    ) -> Trainable | None:
        """Return a classifier with another last layer; None if it is not a plain `Gemm`.

        Args:
            kernel: (classes, features) float32.
            bias: (classes,) float32.
        """
        (output,) = self.model.graph.output
        layer = last_layer(self.model.graph, output.name)
        weight = layer.node.input[1]
        transposed = any(a.name == "transB" and a.i for a in layer.node.attribute)
        is_plain = layer.node.op_type == "Gemm" and transposed and not layer.after
        is_constant = any(tensor.name == weight for tensor in self.model.graph.initializer)
        if self.network is None or layer.bias is None or not (is_plain and is_constant):
            return None
        made = self.with_arrays({weight: kernel, layer.bias: bias})
        (output,) = made.model.graph.output
        output.type.tensor_type.shape.dim[1].dim_value = len(bias)
        params = {**self.network.params, "num_classes": len(bias)}
        return replace(made, network=replace(self.network, params=params))

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
        module.auxiliary = self.auxiliary
        module.stopped = self.stopped
        return module

    def with_arrays(self, arrays: _Arrays) -> Trainable:
        """Return the network with other arrays; names that it does not have are left out."""
        model = edit.parse(self.model)
        for tensor in model.graph.initializer:
            if tensor.name in arrays:
                tensor.CopyFrom(numpy_helper.from_array(arrays[tensor.name], tensor.name))
        extra = self.extra and {name: arrays.get(name, old) for name, old in self.extra.items()}
        return replace(self, model=model, extra=extra)

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Return the arrays of the graph by name."""
        return {t.name: numpy_helper.to_array(t) for t in self.model.graph.initializer}

    @property
    def checkpoint(self) -> Checkpoint | None:
        """The arrays under the names of the public checkpoint; None for a graph of a user."""
        if self.network is None:
            return None
        parameters = _shapes(self.network, auxiliary=bool(self.auxiliary))
        arrays = {name: array for name, array in self.arrays().items() if name in parameters}
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
    if is_tflite(origin):
        msg = "TensorFlow Lite networks are not trained: convert it (furiosa-models convert)"
        raise ConversionError(msg)
    model = edit.parse(origin)
    if quantized := [n.name for n in model.graph.node if n.op_type == "QuantizeLinear"]:
        msg = f"a quantized network is not trained ({quantized[0]!r}): train the float one"
        raise ConversionError(msg)
    edit.constants_to_initializers(model.graph)
    _untie(model.graph)
    edit.take_channels_first(model.graph)
    return Trainable(edit.named(model))


def _of_checkpoint(checkpoint: Checkpoint, *, auxiliary: bool = False) -> Trainable:
    network, arrays = checkpoint
    params = {name: v for name, v in network.params.items() if name not in _NOT_TRAINED}
    own = {"auxiliary": True} if auxiliary else {}
    graph = networks.describe(network.name, **params, **own)
    if auxiliary:
        arrays = {**_copies(graph.parameters, arrays), **arrays}
    model = trainable(graph, NamedWeights(arrays))
    statistics = (Kind.MEAN, Kind.VARIANCE)
    learned = {p.name for p in graph.parameters.values() if p.kind not in statistics}
    live = {
        name
        for node in graph.nodes
        for name, layer in node.single_layers()
        if layer.norm is not None
        and _is_measured(*(arrays[p.name] for p in layer.norm.parameters[2:]))
    }
    return Trainable(
        model,
        replace(network, params=params),
        {name: array for name, array in arrays.items() if name not in graph.parameters},
        frozenset(learned),
        frozenset(live),
        frozenset(info.name for info in graph.auxiliary),
        frozenset(graph.stopped),
    )


def _shapes(network: NetworkSpec, *, auxiliary: bool) -> dict[str, tuple[int, ...]]:
    """Return the shape of each parameter of a network, by name."""
    own = {"auxiliary": True} if auxiliary else {}
    graph = networks.describe(network.name, **network.params, **own)
    return {name: parameter.shape for name, parameter in graph.parameters.items()}


def _with_rows(
    checkpoint: Checkpoint,
    arrangement: ClassChannels,
    rows: Sequence[Source],
    *,
    auxiliary: bool,
) -> dict[str, npt.NDArray[Any]]:
    """Return arrays with other classes in all layers whose shape depends on their number.

    Networks with queries have such layers that compute no output.

    Args:
        checkpoint: The arrays for the old classes.
        arrangement: Arrangement of the channels of the layers, which are their first axis.
        rows: For each new class, the old classes that it starts from.
        auxiliary: Whether the network has auxiliary outputs.
    """
    arrays, network = {**checkpoint.arrays}, checkpoint.network
    few, many = (
        _shapes(replace(network, params={**network.params, "num_classes": n}), auxiliary=auxiliary)
        for n in (1, 2)
    )
    for name in [name for name, shape in few.items() if many[name] != shape]:
        arrays[name] = replaced(arrays[name], 0, arrangement, rows, name)
    for name in [name for name in arrays if name.endswith(_NOISY_CLASSES)]:
        arrays[name] = replaced(arrays[name], 0, ClassChannels(after=1), rows, name)
    return arrays


def _copies(parameters: Mapping[str, Parameter], arrays: _Arrays) -> dict[str, npt.NDArray[Any]]:
    """Return arrays that are missing, as copies of those of the last layer of the same kind."""
    found = {}
    for name, parameter in parameters.items():
        if name not in arrays:
            pattern = re.compile(re.sub(r"\d+", r"\\d+", re.escape(name)))
            alike = [other for other in parameters if other in arrays and pattern.fullmatch(other)]
            same = [other for other in alike if arrays[other].shape == parameter.shape]
            if same:
                found[name] = arrays[same[-1]].copy()
    return found


def _untie(graph: onnx.GraphProto) -> None:
    """Give copies to the users of an initializer that exporters share, because they were equal.

    PyTorch's exporter replaces equal arrays by an `Identity` of one of them; the shift and the mean
    of a new normalization are equal, for example. Statistics are never those of a learned array.
    """
    arrays = {tensor.name: tensor for tensor in graph.initializer}
    outputs = {value.name for value in graph.output}

    def copy(name: str, copied: str) -> None:
        graph.initializer.add().CopyFrom(arrays[name])
        graph.initializer[-1].name = copied
        arrays[copied] = graph.initializer[-1]

    for node in [*graph.node]:
        if node.op_type == "Identity" and node.input[0] in arrays and node.output[0] not in outputs:
            copy(node.input[0], node.output[0])
            graph.node.remove(node)
    uses = Counter(name for node in graph.node for name in node.input)
    for node in graph.node:
        places = (3, 4) if node.op_type == "BatchNormalization" else ()
        for place in places:
            name = node.input[place]
            if name in arrays and uses[name] > 1:
                node.input[place] = edit.unused_name(f"{name}/statistics", graph)
                copy(name, node.input[place])


def _is_measured(mean: npt.NDArray[Any], variance: npt.NDArray[Any]) -> bool:
    """Return whether statistics were measured, rather than made for folded weights.

    Checkpoints that were exported with folded normalization have a mean of 0 and a single variance.
    To normalize by the statistics of a batch would change what such a network computes.
    """
    return bool(np.any(mean != 0) or len(variance) == 1 or np.any(variance != variance[0]))


def _shifted(source: Source, offset: int) -> Source:
    """Return the numbers of old classes after a background."""
    if source is None or isinstance(source, int):
        return None if source is None else source + offset
    return [each + offset for each in source]


def match_classes(
    old: Sequence[str], new: Sequence[str], given: Mapping[str, str | Sequence[str]]
) -> list[Source]:
    """Return the old classes that each new one starts from: by default the one of its name.

    Case, spaces, dashes and underscores in names are ignored.

    Args:
        old: Names of the old classes.
        new: Names of the new classes.
        given: Names of old classes by the name of the new one.

    Raises:
        LabelsError: A name in `given` is unknown.
    """
    known = {plain_name(name): index for index, name in enumerate(old)}
    if unknown := sorted({*given} - {*new}):
        msg = f"{', '.join(unknown)} is not a class of the data: its classes are {', '.join(new)}"
        raise LabelsError(msg)
    found: list[Source] = []
    for name in new:
        names = given.get(name, name)
        several = [names] if isinstance(names, str) else list(names)
        if not all(isinstance(each, str) for each in several):
            msg = f"class_sources[{name!r}] must be names of classes, got {names!r}"
            raise LabelsError(msg)
        indices = [known.get(plain_name(each)) for each in several]
        if name in given and None in indices:
            lost = [each for each, i in zip(several, indices, strict=True) if i is None]
            msg = f"the model has no class {', '.join(lost)}: it has {', '.join(old)}"
            raise LabelsError(msg)
        places = [index for index in indices if index is not None]
        found.append(places[0] if len(places) == 1 else places or None)
    return found

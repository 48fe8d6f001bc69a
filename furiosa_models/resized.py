"""Weights for another size of the network's input."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np

from . import networks
from .errors import FuriosaModelsError, ShapeError
from .labels import table_of
from .networks.edit import set_image_size
from .networks.weights import Checkpoint, NamedWeights
from .runtime.source import is_tflite
from .runtime.sync import create_runner
from .spec import Head, ModelSpec
from .weights import Weights, WeightSet
from .weights import describe as facts_of

__all__ = ["as_size", "resized"]

_LARGEST = 16384


def as_size(image_size: int | Sequence[int]) -> tuple[int, int]:
    """Return a height and a width from one number for both, or from two.

    Raises:
        ValueError: They are not one or two positive integers, or too large.
    """
    given: Any = image_size
    try:
        pair = isinstance(given, (tuple, list))
        sides = [operator.index(side) for side in (given if pair else (given, given))]
    except TypeError:
        sides = []
    if len(sides) != 2 or not all(0 < side <= _LARGEST for side in sides):
        msg = (
            f"image_size must be a number of pixels, or (height, width), up to {_LARGEST}, got "
            f"{image_size!r}"
        )
        raise ValueError(msg)
    return sides[0], sides[1]


def resized(weights: Weights, image_size: int | Sequence[int]) -> Weights:
    """Return the weights for another size of the network's input.

    A network of the zoo is built for the size. The input of a whole graph is changed, and the graph
    is run once to see that its operations take it.

    Args:
        weights: The weights.
        image_size: Height and width in pixels, or one number for both.

    Raises:
        ShapeError: The network does not take images of that size.
        ValueError: It is not a size.
    """
    size = as_size(image_size)
    spec = weights.spec
    if size == spec.input.size:
        return weights
    checkpoint = weights.checkpoint()
    try:
        if checkpoint is not None:
            origin, checkpoint = _built(checkpoint, size)
        else:
            origin = _changed(weights.origin, size)
        facts = facts_of(origin)
        head = _head(spec.head.fit(facts), size)
    except FuriosaModelsError as error:
        msg = f"{weights.name} cannot take images of {size[0]} x {size[1]}: {error}"
        raise ShapeError(msg) from error
    input = spec.input.with_size(size)
    made = WeightSet(
        f"{weights.name}@{size[0]}x{size[1]}",  # what is published for the set does not fit it
        origin,
        names=table_of(spec.labels),
        head=head,
        input=input,
        checkpoint=checkpoint,
        info=weights.resolve().provenance,
    )
    network = None if checkpoint is None else checkpoint.network
    return Weights(weights.model, made, ModelSpec(network, input, head, spec.labels))


def _built(checkpoint: Checkpoint, size: tuple[int, int]) -> tuple[bytes, Checkpoint]:
    """Return the network of a checkpoint for a size, and the checkpoint with that network."""
    network = checkpoint.network
    side: Any = size[0] if size[0] == size[1] else size
    network = replace(network, params={**network.params, "image_size": side})
    model = networks.build(network.name, NamedWeights(checkpoint.arrays), **network.params)
    return networks.to_bytes(model), Checkpoint(network, checkpoint.arrays)


def _changed(origin: bytes, size: tuple[int, int]) -> bytes:
    """Return a graph that takes images of a size."""
    if is_tflite(origin):
        msg = "TensorFlow Lite files have a fixed size: convert it to ONNX first"
        raise ShapeError(msg)
    changed = set_image_size(origin, size)
    with create_runner(changed, device="cpu") as runner:
        inputs = runner.model.inputs()
        runner.run([np.zeros([n or 1 for n in i.shape], i.numpy_dtype) for i in inputs])
    return changed


def _head(head: Head, size: tuple[int, int]) -> Head:
    """Return the head for a size, if it depends on it."""
    own: Any = head
    if any(each.name == "size" for each in fields(own)):
        return replace(own, size=size)  # type: ignore[no-any-return]
    return head

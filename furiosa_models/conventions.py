"""How a set of weights wants to be fed and read, where that is not the model's own way."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from . import networks
from .artifacts.descriptor import Artifact, zoo
from .artifacts.store import Store, recipe_key
from .images.preprocess import ImageInput
from .weights import WeightSet

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

__all__ = ["Conventions", "Head", "geometry", "scaled_inside", "specialised"]

Spec = TypeVar("Spec", bound="DataclassInstance")


class Head(Protocol):
    """What conventions need of a head."""

    task: Any

    def fields_from_graph(self, operations: frozenset[str]) -> dict[str, Any]:
        """Return the fields that a graph decides, by the operations in which it ends."""


@dataclass(frozen=True, slots=True)
class Conventions:
    """What differs from a model's own specification.

    Attributes:
        input: Fields of `ImageInput`.
        head: Fields of the model's head.
        labels: Table of labels, or None for the model's own.
    """

    input: Mapping[str, Any] = field(default_factory=dict)
    head: Mapping[str, Any] = field(default_factory=dict)
    labels: str | None = None

    @classmethod
    def of(cls, weights: WeightSet, head: Head, store: Store) -> Conventions:
        """Those of a set of weights: the catalogue's word, or what a user's own graph shows.

        Args:
            weights: The weights.
            head: The model's head.
            store: Where the answer of a graph is kept: asking it takes longer than running it.
        """
        if weights.artifact is not None:
            return cls.stated(weights.artifact)
        key = recipe_key("head operations", weights.digest, networks.fingerprint())
        operations = json.loads(store.derive(key, lambda: _last_operations(weights)).read_bytes())
        return cls(head=head.fields_from_graph(frozenset(operations)))

    @classmethod
    def stated(cls, artifact: Artifact) -> Conventions:
        """Those that the catalogue states of a set of weights."""
        entry = zoo().get(artifact.name)
        own = entry.labels if entry else None
        labels = None if artifact.labels == own else artifact.labels
        return cls(_tuples(artifact.input), _tuples(artifact.head), labels)


def specialised(spec: Spec, overrides: Mapping[str, Any]) -> Spec:
    """The specification with some fields replaced."""
    return replace(spec, **overrides) if overrides else spec


def geometry(spec: ImageInput) -> ImageInput:
    """The part of an input specification that uint8 pixels depend on: all but the scaling."""
    return replace(spec, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))


def scaled_inside(origin: bytes, spec: ImageInput) -> bytes:
    """A float32 ONNX model as one that takes uint8; one that already does stays as it is."""
    inputs, _ = networks.signature(origin)
    if [tensor.dtype for tensor in inputs] == ["uint8"]:
        return origin
    return networks.with_uint8_input(origin, spec.mean, spec.std)


def _last_operations(weights: WeightSet) -> bytes:
    """Names of the operations in which a graph ends, as JSON."""
    operations = networks.head_operations(weights.origin).values()
    return json.dumps(sorted(frozenset[str]().union(*operations))).encode()


def _tuples(fields: Mapping[str, Any]) -> dict[str, Any]:
    """YAML's lists as the tuples that frozen specifications hold."""
    return {name: tuple(v) if isinstance(v, list) else v for name, v in fields.items()}

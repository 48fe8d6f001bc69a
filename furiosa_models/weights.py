"""Which weights a model runs with, and how they want to be fed and read.

They are a named set of the catalog, the user's own, or random ones.
"""

from __future__ import annotations

import hashlib
import inspect
import os
import threading
import warnings
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields, is_dataclass, replace
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol, TypeAlias

import numpy as np

from . import networks, settings
from .artifacts.descriptor import Artifact, File, sets_of
from .artifacts.store import Built, Store, recipe_key
from .errors import (
    ArtifactCorrupted,
    ArtifactError,
    ArtifactNotFound,
    ArtifactUnavailable,
    CacheNotWritable,
    ShapeError,
    WeightsError,
    WeightsFallbackWarning,
)
from .labels import parse_names, read_labels, replaced_names, table_of
from .networks.external_data import read_with_weights
from .runtime.source import is_tflite
from .spec import UNKNOWN_INPUT, GraphFacts, Head, ImageInput, ModelSpec, NetworkSpec

__all__ = ["WeightSet", "Weights", "WeightsSource", "is_there", "resolve"]


class _ModelProto(Protocol):
    def SerializeToString(self) -> bytes: ...


WeightsSource: TypeAlias = "str | os.PathLike[str] | bytes | _ModelProto | None"
"""A set's name, `"random"`, a file (ONNX, or a PyTorch checkpoint: .pt, .pth), bytes of ONNX, a
`ModelProto`, or None for the default."""

_CHECKPOINTS = {".pt": "pytorch", ".pth": "pytorch", ".safetensors": "safetensors"}
FACTS = 2
"""Number of what is kept of a graph: raise it where `GraphFacts` or what fills it changes."""

_NAME_KEYS = ("names", "class_names", "classes", "labels", "character")
_NAME_FILES = (".names", ".labels", "_labels.txt", ".labels.txt", ".names.json")


@dataclass(frozen=True, slots=True)
class WeightSet:
    """Weights that were found.

    Attributes:
        name: Name of the set, `random`, or what the user gave.
        data: The network as float32 ONNX: a file of the store, which is named by its hash, bytes,
            or what builds them.
        artifact: Its entry in the catalog, where it has one.
        names: Names of the classes that came with a user's weights.
        head: The head that came with them, or some of its fields: a checkpoint's anchors.
        input: The input specification that came with them.
    """

    name: str
    data: Path | bytes | Built
    artifact: Artifact | None = None
    names: tuple[str, ...] = ()
    head: Head | Mapping[str, Any] = field(default_factory=dict)
    input: ImageInput | None = None

    @property
    def origin(self) -> bytes:
        """The network as float32 ONNX."""
        return self.data if isinstance(self.data, bytes) else self.data.read_bytes()

    @property
    def digest(self) -> str:
        """A hash that identifies `origin`, without reading or building it where that is known."""
        if isinstance(self.data, Path):
            return self.data.name
        if isinstance(self.data, Built):
            return self.data.digest
        return hashlib.sha256(self.data).hexdigest()

    def take(self) -> bytes:
        """Return `origin`, and free what building it left in memory."""
        return self.data.take() if isinstance(self.data, Built) else self.origin


class Weights:
    """The weights of one model, resolved at their first use.

    Args:
        model: Name of the model in the catalog.
        source: See `WeightsSource`.
        spec: The model's own specification.
        overrides: Arguments of `ModelSpec.override`: what the user states, which holds against
            what the catalog states of a set and what a graph shows.
        store: Where artifacts are kept; the user's cache by default.
    """

    def __init__(
        self,
        model: str,
        source: WeightsSource,
        spec: ModelSpec,
        overrides: Mapping[str, Any] = MappingProxyType({}),
        store: Store | None = None,
    ) -> None:
        self.model = model
        self.store = store or Store()
        self._source = source
        self._own_spec = spec
        self._overrides = dict(overrides)
        self._resolved: WeightSet | None = None
        self._spec: ModelSpec | None = None
        self._lock = threading.RLock()

    @property
    def sets(self) -> Mapping[str, Artifact]:
        """The sets of the catalog by name, in order of preference."""
        return sets_of(self.model)

    @property
    def name(self) -> str:
        """Name of the weights in use; before their first use, of those that are asked for."""
        if self._resolved is not None:
            return self._resolved.name
        if self._source is None:
            return next(iter(self.sets), "random")
        return self._source if isinstance(self._source, str) else type(self._source).__name__

    def resolve(self) -> WeightSet:
        """Return the weights, which are fetched at the first call.

        Raises:
            ArtifactError: They cannot be had.
        """
        with self._lock:
            if self._resolved is None:
                self._resolved = resolve(
                    self.model, self._source, self._own_spec.network, self.store
                )
            return self._resolved

    @property
    def origin(self) -> bytes:
        """The network as float32 ONNX."""
        return self.resolve().origin

    @property
    def spec(self) -> ModelSpec:
        """The specification as the weights in use want it; they are fetched."""
        with self._lock:
            if self._spec is None:
                self._spec = self._specified(self.resolve())
            return self._spec

    @property
    def declared_spec(self) -> ModelSpec:
        """The specification as far as it is known without fetching anything."""
        if self._spec is not None:
            return self._spec
        return self._override(self._spec_of_set(self.sets.get(self.name)))

    @property
    def is_own(self) -> bool:
        """Whether the weights are the user's, rather than a set of the catalog or random ones."""
        is_named = isinstance(self._source, str) and self._source in (*self.sets, "random")
        return self._source is not None and not is_named

    @property
    def is_missing(self) -> bool:
        """Whether there are none: neither sets, nor a network for random ones, nor the user's."""
        return self._source is None and not self.sets and self._own_spec.network is None

    @property
    def known(self) -> ModelSpec:
        """`declared_spec` of a set of the catalog that was not fetched yet, else `spec`."""
        is_set = self._resolved is None and not self.is_own and self._source != "random"
        return self.declared_spec if is_set else self.spec

    @property
    def scaling(self) -> ImageInput:
        """The input specification with its scaling; a set that is asked for by name is not fetched.

        By default it is fetched, as it may be another than the first.
        """
        return self.declared_spec.input if self._is_named else self.spec.input

    @property
    def _is_named(self) -> bool:
        """Whether a set was asked for by name, and is not there yet."""
        is_set = isinstance(self._source, str) and self._source in self.sets
        return self._resolved is None and is_set

    def pixels(self) -> ImageInput:
        """Return the input specification but for its scaling; fetches only if the sets disagree."""
        if self._is_named:
            return _without_scaling(self.declared_spec.input)
        if self._resolved is None and self._source is None and self.sets:
            specs = {
                _without_scaling(self._override(self._spec_of_set(artifact)).input)
                for artifact in self.sets.values()
            }
            if len(specs) == 1:
                return specs.pop()
        return _without_scaling(self.spec.input)

    @property
    def own_graph(self) -> GraphFacts | None:
        """What the graph of a user's weights shows; None for a set of the catalog."""
        return None if self.resolve().artifact is not None else self.graph

    @property
    def facts_key(self) -> str:
        """Key in the store of what the graph of the weights shows; they are fetched."""
        return recipe_key("graph facts", FACTS, self.resolve().digest, networks.EDITS)

    @cached_property
    def graph(self) -> GraphFacts:
        """What the graph of the weights shows; they are fetched."""
        weights = self.resolve()
        # The answer of a graph is kept: asking it takes longer than running it.
        try:
            path = self.store.derive(
                self.facts_key, lambda: describe(weights.origin).to_json().encode()
            )
        except WeightsError as error:
            msg = f"{weights.name}: {error}"
            raise WeightsError(msg) from error
        return GraphFacts.from_json(path.read_bytes())

    def _specified(self, weights: WeightSet) -> ModelSpec:
        if weights.artifact is not None:
            return self._override(self._spec_of_set(weights.artifact))
        return fitted(self._own_spec, self.graph, weights, self._overrides)

    def _spec_of_set(self, artifact: Artifact | None) -> ModelSpec:
        """The specification as the catalog states it of a set."""
        if artifact is None:
            return self._own_spec
        return self._own_spec.override(
            input=artifact.input, head=artifact.head, labels=artifact.labels
        )

    def _override(self, spec: ModelSpec) -> ModelSpec:
        made = spec.override(**self._overrides)
        if (
            self.is_own
            or not spec.labels
            or "labels" not in self._overrides
            or "head" in self._overrides
        ):
            return made
        names = replaced_names(table_of(spec.labels), table_of(made.labels))
        return replace(made, labels=names)

    def __getstate__(self) -> dict[str, Any]:
        dropped = {"store": None, "_resolved": None, "_spec": None, "_lock": None}
        return {name: v for name, v in vars(self).items() if name != "graph"} | dropped

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        vars(self).update(state)
        self.store = Store()
        self._lock = threading.RLock()


def resolve(
    model: str, source: WeightsSource, network: NetworkSpec | None, store: Store
) -> WeightSet:
    """The weights that `source` asks for.

    Args:
        model: Name of the model in the catalog.
        source: See `WeightsSource`. None is the first set of the catalog that can be had, with
            a warning if that is not the first one.
        network: What random weights are poured into.
        store: Where artifacts are kept.

    Raises:
        ArtifactNotFound: There is no set, and no file, of that name.
        ArtifactUnavailable: The set is out of reach; names the sets that can be had.
        ArtifactCorrupted: Its bytes are not the ones that were published.
    """
    if source is None:
        return _default(model, network, store)
    if isinstance(source, str) and source in sets_of(model):
        return _named(sets_of(model)[source], store)
    if source == "random":
        network = _needed(network, model, "random weights")
        recipe = networks.RECIPES.get(network.name)
        key = recipe_key("random", recipe, network.name, dict(network.params))
        return WeightSet("random", Built(store, key, lambda: build_random(network)))
    if isinstance(source, (str, os.PathLike)):
        return _from_file(model, os.fspath(source), network)
    if isinstance(source, bytes):
        return WeightSet(f"<{len(source)} bytes>", source)
    if hasattr(source, "SerializeToString"):
        return WeightSet("<ModelProto>", source.SerializeToString())
    msg = f"weights must be a name, a path, bytes or a ModelProto, got {type(source).__name__}"
    raise TypeError(msg)


def build_random(network: NetworkSpec) -> bytes:
    """The network with seeded random weights: the same bytes on every machine."""
    model = networks.build(network.name, networks.RandomWeights(), **network.params)
    return networks.to_bytes(model)


def fetch(artifact: Artifact, store: Store) -> Path | Built:
    """A catalog entry's network as float32 ONNX; built of its files if it comes as weights alone.

    Raises:
        ArtifactError: It cannot be had.
    """
    if artifact.network is None:
        (path,) = store.fetch(artifact.files).values()
        return path
    built = Built(store, _recipe_key(artifact), lambda: _build(artifact, store))
    if store.derived(built.key) is None:
        store.fetch(artifact.files)
    return built


def _default(model: str, network: NetworkSpec | None, store: Store) -> WeightSet:
    sets = list(sets_of(model).values())
    if not sets and network is None:
        msg = (
            f"{model} has no weights of its own: give a file, {model}('best.onnx'), or take a "
            "model of the catalog (`furiosa-models list`)"
        )
        raise ArtifactNotFound(msg)
    if not sets:
        msg = f"the catalog has no weights of {model}: give a file of yours. {_OFFLINE_WORK}"
        raise ArtifactNotFound(msg)
    problems: list[str] = []
    others = [
        f"weights={a.weights!r} (the classes of {a.labels})"
        for a in sets
        if a.labels != sets[0].labels
    ]
    for artifact in sets:
        if artifact.labels != sets[0].labels:  # other classes are another model: never a fallback
            continue
        try:
            data = _fetch_unless_unreachable(artifact, store)
        except CacheNotWritable:  # no other set can be kept either
            raise
        except ArtifactUnavailable as error:
            if settings.is_strict():
                raise
            problems.append(f"\n{artifact.title}: {error}".replace("\n", "\n  "))
        else:
            if problems:
                _warn_of_fallback(sets[0], artifact)
            return WeightSet(artifact.weights, data, artifact)
    ways = ", ".join([*others, "a file of yours", "weights='random' (for tests)"])
    msg = f"no set of weights of {model} can be had; what else there is: {ways}:{''.join(problems)}"
    raise ArtifactUnavailable(msg)


_OFFLINE_WORK = "weights='random' needs no network: for tests, benchmarks and offline work."


def _fetch_unless_unreachable(artifact: Artifact, store: Store) -> Path | Built:
    missing = _missing(artifact, store)
    if missing and not settings.mirror() and store.was_unreachable(missing):
        msg = (
            "out of reach within the last hour, so not asked again; "
            f"weights={artifact.weights!r} asks"
        )
        raise ArtifactUnavailable(msg)
    try:
        return fetch(artifact, store)
    except CacheNotWritable:
        raise
    except ArtifactUnavailable:
        if not settings.is_offline():
            store.note_unreachable(missing)
        raise


def is_there(artifact: Artifact, store: Store) -> bool:
    """Whether a set is there without a network."""
    return not _missing(artifact, store)


def _missing(artifact: Artifact, store: Store) -> list[File]:
    if artifact.network is not None and store.derived(_recipe_key(artifact)) is not None:
        return []
    return [file for file in artifact.files if not store.has(file)]


def _named(artifact: Artifact, store: Store) -> WeightSet:
    try:
        return WeightSet(artifact.weights, fetch(artifact, store), artifact)
    except (ArtifactCorrupted, ArtifactUnavailable) as error:
        others = [name for name in sets_of(artifact.name) if name != artifact.weights]
        msg = f"{error}\nOther weights of {artifact.name}: {', '.join([*others, 'random'])}."
        raise type(error)(msg) from error


def _from_file(model: str, path: str, network: NetworkSpec | None) -> WeightSet:
    if (Path(path) / "model_info.json").is_file():
        return _from_folder(model, path, network)
    if not Path(path).is_file():
        names = ", ".join(map(repr, sets_of(model)))
        sets = f"one of its sets ({names}), " if names else ""
        what = f"neither a file nor a set of weights of {model}" if names else "no file"
        msg = f"{path!r} is {what}; choose {sets}an ONNX file, bytes, or 'random'"
        raise ArtifactNotFound(msg)
    reader = _CHECKPOINTS.get(Path(path).suffix.lower())
    if reader is None:
        return WeightSet(path, read_with_weights(path), names=_names_from_sidecar(Path(path)))
    network = _needed(network, model, f"{path}, which holds weights without a graph")
    data = {path: Path(path).read_bytes()}
    arrays = networks.read_weights(reader, data, network.layout)
    shown = networks.params_of(network.name, arrays)
    built = networks.build(
        network.name, networks.NamedWeights(arrays), **{**network.params, **shown.params}
    )
    found = networks.read_names(reader, data) or _names_from_sidecar(Path(path))
    return WeightSet(path, networks.to_bytes(built), names=found, head=shown.head)


def _from_folder(model: str, path: str, network: NetworkSpec | None) -> WeightSet:
    """The weights of a saved model, which says how it is fed and read."""
    from .saved import read_saved  # tempfile, which it needs to write, takes long to import

    saved = read_saved(path)
    if network is not None and saved.class_name != model:
        msg = (
            f"{path} holds a {saved.class_name}, not a {model}: open it as that, or with Detector, "
            "Classifier or PoseEstimator"
        )
        raise WeightsError(msg)
    data = saved.graph.read_bytes()
    return WeightSet(path, data, names=saved.names, head=saved.head, input=saved.input)


def _needed(network: NetworkSpec | None, model: str, what: str) -> NetworkSpec:
    """The network that weights are poured into."""
    if network is None:
        msg = (
            f"{model} has no network for {what}: export it to ONNX, or open it with the class of "
            "its network, such as YOLOv5s('best.pt')"
        )
        raise WeightsError(msg)
    return network


def _fill(reader: str, files: Mapping[str, bytes], network: NetworkSpec) -> bytes:
    """The network with the weights of some files, as ONNX."""
    arrays = networks.read_weights(reader, files, network.layout)
    model = networks.build(network.name, networks.NamedWeights(arrays), **network.params)
    return networks.to_bytes(model)


def _build(artifact: Artifact, store: Store) -> bytes:
    network = artifact.network
    if network is None:
        msg = f"{artifact.title} has no network to build"
        raise ArtifactError(msg)
    paths = store.fetch(artifact.files)
    files = {name: path.read_bytes() for name, path in paths.items()}
    return _fill(network.reader, files, NetworkSpec(network.name, network.params, network.layout))


def _recipe_key(artifact: Artifact) -> str:
    """Digest over all that the built graph depends on: files, network code and its arguments."""
    network = artifact.network and {
        "name": artifact.network.name,
        "recipe": networks.RECIPES.get(artifact.network.name),
        "reader": artifact.network.reader,
        "layout": artifact.network.layout,
        "params": dict(artifact.network.params),
    }
    return recipe_key(network, [file.digest for file in artifact.files])


def _warn_of_fallback(preferred: Artifact, used: Artifact) -> None:
    msg = (
        f"{preferred.title} is out of reach, using {used.title} instead. weights={used.weights!r} "
        f"chooses it without this warning; weights={preferred.weights!r} says what was tried; "
        "FURIOSA_MODELS_STRICT=1 makes this an error."
    )
    warnings.warn(msg, WeightsFallbackWarning, stacklevel=_caller_stacklevel())


def _caller_stacklevel() -> int:
    """Stack level of the first caller outside this package, for a warning from our caller."""
    package, level = str(Path(__file__).parent), 1
    frame = inspect.currentframe()
    while (frame := frame and frame.f_back) and frame.f_code.co_filename.startswith(package):
        level += 1
    return level


def describe(origin: bytes) -> GraphFacts:
    """Return what a graph shows.

    Raises:
        WeightsError: The bytes are neither ONNX nor TensorFlow Lite.
        ExtraRequired: They are TensorFlow Lite, and LiteRT is not installed.
    """
    if is_tflite(origin):
        from .runtime.backends import litert

        return litert.describe(origin)
    return networks.edit.describe(origin)


def fitted(
    spec: ModelSpec, graph: GraphFacts, weights: WeightSet, overrides: Mapping[str, Any]
) -> ModelSpec:
    """Return the specification of a user's own graph.

    What the graph shows holds against the specification, and what the user states against both:
    the size of the input, what the outputs are, and how many classes there are.

    Args:
        spec: The model's own specification.
        graph: What the graph shows.
        weights: The weights: names of classes and fields of the head that came with them.
        overrides: Arguments of `ModelSpec.override`.

    Raises:
        ShapeError: No head reads the graph's outputs, or the input has no known size.
        LabelsError: The number of labels is not the number of the graph's classes.
    """
    head, input, labels = (overrides.get(name) for name in ("head", "input", "labels"))
    heads = (each for each in (head, weights.head) if isinstance(each, Head))
    user_head: Head | None = next(heads, None)
    if user_head is not None and user_head.task.name != spec.head.task.name:
        msg = (
            f"the head {type(user_head).__name__} is for {user_head.task.name}, and the model for "
            f"{spec.head.task.name}: open it with Detector, Classifier or PoseEstimator, whichever "
            "it is"
        )
        raise WeightsError(msg)
    if user_head is None:
        own_head = spec.override(head=weights.head).head.fit(graph)
    elif isinstance(head, Head):
        own_head = _fit_user_head(head, graph)
    else:  # of a saved model, of which all is known
        own_head = user_head
    if isinstance(input, ImageInput) or weights.input is not None:
        own_input = input if isinstance(input, ImageInput) else weights.input or spec.input
    elif spec.input != UNKNOWN_INPUT:
        own_input = _resized(spec.input, graph)
    else:
        found = own_head.input_for(_with_size(graph, input))
        own_input = _resized(found, graph) if found else ImageInput(size=graph.image_size)
    plain = ModelSpec(spec.network, own_input, own_head).override(
        input=None if isinstance(input, ImageInput) else input,
        head=None if isinstance(head, Head) else head,
    )
    known = labels or weights.names or _names_in(graph) or spec.labels or None
    table = known and table_of(known)
    final, names = plain.head.with_labels(table, graph)
    return ModelSpec(spec.network, plain.input, final, names)


def _fit_user_head(head: Head, graph: GraphFacts) -> Head:
    """A user's head for a graph; what the user states in it, other than defaults, holds."""
    found: Any = head.fit(graph)
    own: Any = head
    if type(found) is not type(own) or not is_dataclass(own):
        return found  # type: ignore[no-any-return]
    changed = {}
    for each in fields(own):
        value = getattr(own, each.name)
        default = each.default if each.default_factory is MISSING else each.default_factory()
        if default is not MISSING and not np.array_equal(value, default):
            changed[each.name] = value
    return replace(found, **changed)  # type: ignore[no-any-return]


def _resized(spec: ImageInput, graph: GraphFacts) -> ImageInput:
    """The input specification for the size that the graph takes."""
    try:
        size = graph.image_size
    except ShapeError:  # any size: the specification's will do
        if 0 in spec.size:
            raise
        return spec
    if size == spec.size:
        return spec
    shorter = spec.resize_to and round(spec.resize_to * min(size) / min(spec.size))
    return replace(spec, size=size, resize_to=shorter)


def _with_size(graph: GraphFacts, input: Any) -> GraphFacts:
    """The graph with the size that a user states, if it takes any."""
    size = input.get("size") if isinstance(input, Mapping) else None
    if not isinstance(size, (tuple, list)) or len(size) != 2:  # none, or what is refused later
        return graph
    return replace(graph, metadata={**graph.metadata, "imgsz": f"{size[0]}, {size[1]}"})


def _names_in(graph: GraphFacts) -> tuple[str, ...]:
    """Names of classes that an exporter wrote into the file."""
    for key in _NAME_KEYS:
        if found := parse_names(graph.metadata.get(key, "")):
            return found
    return ()


def _names_from_sidecar(path: Path) -> tuple[str, ...]:
    """Names of classes in a file that has the name of the weights."""
    for suffix in _NAME_FILES:
        beside = path.with_name(f"{path.stem}{suffix}")
        if beside.is_file():
            return read_labels(beside)
    return ()


def _without_scaling(spec: ImageInput) -> ImageInput:
    """The part of an input specification that uint8 pixels depend on."""
    return replace(spec, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))

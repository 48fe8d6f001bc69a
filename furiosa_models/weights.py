"""The weights of a model: a named set of the catalog, the user's own, or random ones.

They also determine parts of the model's specification, such as its input, head and labels.
"""

from __future__ import annotations

import hashlib
import inspect
import logging
import os
import threading
import warnings
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields, is_dataclass, replace
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

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
    ConversionError,
    ShapeError,
    TaskError,
    WeightsError,
    WeightsFallbackWarning,
)
from .frameworks import FrameworkModel, recognize
from .frameworks.checkpoints import READERS
from .labels import parse_names, read_labels, replaced_names, table_of
from .networks.external_data import read_with_weights
from .networks.weights import Checkpoint
from .runtime.source import is_tflite
from .spec import (
    DESCRIPTION_KEY,
    FRAMEWORK_KEY,
    NETWORK_FACTS,
    UNKNOWN_INPUT,
    GraphFacts,
    Head,
    ImageInput,
    ModelSpec,
    NetworkSpec,
)

if TYPE_CHECKING:
    from .saved import Description

__all__ = ["WeightSet", "Weights", "WeightsSource", "is_available_offline", "resolve"]


class _ModelProto(Protocol):
    def SerializeToString(self) -> bytes: ...


WeightsSource: TypeAlias = "str | os.PathLike[str] | bytes | _ModelProto | Any | None"
"""Name of a set, `"random"`, a file or folder (ONNX, TensorFlow Lite, a PyTorch checkpoint, or
anything that `furiosa_models.frameworks` recognizes), ONNX bytes, an object of a framework (a
`ModelProto`, a Keras model, a PyTorch module or its state, ...), or None for the default."""

logger = logging.getLogger(__name__)

_GRAPHS = (".onnx", ".tflite")
FACTS = 3
"""Version of the cached graph facts. Increase it if `GraphFacts` or its computation changes."""

_NAME_KEYS = ("names", "class_names", "classes", "labels", "character")
_NAME_FILES = (".names", ".labels", "_labels.txt", ".labels.txt", ".names.json")


@dataclass(frozen=True, slots=True)
class WeightSet:
    """Resolved weights.

    Attributes:
        name: Name of the set, `random`, or the user's argument.
        data: The network as float32 ONNX: a file of the store, which is named by its hash, bytes,
            or their builder.
        artifact: Its entry in the catalog, if any.
        names: Class names from the user's weights, if any.
        head: Head from the weights, or some of its fields, such as a checkpoint's anchors.
        input: Input specification from the weights.
        checkpoint: The checkpoint that the network was built with, or a function that returns it,
            if there is one.
        info: Fields of the `model_info.json` that came with the weights.
        facts: Facts about the graph, if `data` is a program of a format that cannot be analyzed.
    """

    name: str
    data: Path | bytes | Built
    artifact: Artifact | None = None
    names: tuple[str, ...] = ()
    head: Head | Mapping[str, Any] = field(default_factory=dict)
    input: ImageInput | None = None
    checkpoint: Checkpoint | Callable[[], Checkpoint] | None = None
    info: Mapping[str, Any] = field(default_factory=dict)
    facts: GraphFacts | None = None

    @property
    def origin(self) -> bytes:
        """The network as float32 ONNX.

        Raises:
            ConversionError: It is a program of another format.
        """
        if self.facts is not None:
            msg = (
                f"{self.name} is a program that runs as it is, not a network as ONNX: use the "
                "model that it was exported from"
            )
            raise ConversionError(msg)
        return self.data if isinstance(self.data, bytes) else self.data.read_bytes()

    @property
    def digest(self) -> str:
        """SHA-256 of `origin`; avoids reading or building it if possible."""
        if isinstance(self.data, Path):
            return self.data.name
        if isinstance(self.data, Built):
            return self.data.digest
        return hashlib.sha256(self.data).hexdigest()

    @property
    def provenance(self) -> dict[str, Any]:
        """Fields of `model_info.json` that models made from these weights have, too: license."""
        if self.artifact is not None:
            facts = {"license": self.artifact.license.origin, "location": self.artifact.location}
            return {"config": facts}
        config = self.info.get("config", {})
        return {"config": {name: config.get(name) for name in ("license", "location")}}

    def described(self, description: Description | None) -> WeightSet:
        """Return the weights with the names, head and input of a description, if there is one."""
        if description is None:
            return self
        return replace(
            self,
            names=description.names,
            head=description.head,
            input=description.input,
            info=description.info,
        )

    def take(self) -> bytes:
        """Return `origin`, and release the copy that building it may have left in memory."""
        return self.data.take() if isinstance(self.data, Built) else self.origin


class Weights:
    """The weights of a model, resolved on first use.

    Args:
        model: Name of the model in the catalog.
        source: See `WeightsSource`.
        spec: The model's own specification.
        overrides: Arguments of `ModelSpec.override`, from the user. They take precedence over the
            catalog and over the graph.
        store: Store of artifacts; the user's cache by default.
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
        """Sets of the catalog by name, in order of preference."""
        return sets_of(self.model)

    @property
    def name(self) -> str:
        """Name of the weights in use; before first use, of the requested ones."""
        if self._resolved is not None:
            return self._resolved.name
        if self._source is None:
            return next(iter(self.sets), "random")
        if isinstance(self._source, WeightSet):
            return self._source.name
        return self._source if isinstance(self._source, str) else type(self._source).__name__

    def resolve(self) -> WeightSet:
        """Return the weights; download them on the first call.

        Raises:
            ArtifactError: They are not available.
        """
        with self._lock:
            if self._resolved is None:
                self._resolved = _runnable(
                    resolve(
                        self.model, self._source, self._own_spec.network, self.store, self._size
                    )
                )
            return self._resolved

    @property
    def _size(self) -> tuple[int, int] | None:
        """Height and width of the input, if they are known without the graph."""
        own = self._own_spec.input
        given = self._overrides.get("input")
        size: Any = given.get("size") if isinstance(given, Mapping) else None
        if isinstance(given, ImageInput):
            size = given.size
        elif size is None and own != UNKNOWN_INPUT:
            size = own.size
        if not isinstance(size, (tuple, list)) or len(size) != 2:  # unknown, or rejected later
            return None
        return size[0], size[1]

    @property
    def origin(self) -> bytes:
        """The network as float32 ONNX."""
        return self.resolve().origin

    def checkpoint(self) -> Checkpoint | None:
        """Return the checkpoint that the network was built with; None for a whole graph."""
        found = self.resolve().checkpoint
        return found if found is None or isinstance(found, Checkpoint) else found()

    @property
    def spec(self) -> ModelSpec:
        """Specification for the weights in use. Downloads them."""
        with self._lock:
            if self._spec is None:
                self._spec = self._specified(self.resolve())
            return self._spec

    @property
    def declared_spec(self) -> ModelSpec:
        """Specification as far as it is known without a download."""
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
        """Whether there are no weights: no set, no network for random ones, and no user's file."""
        return self._source is None and not self.sets and self._own_spec.network is None

    @property
    def known(self) -> ModelSpec:
        """`declared_spec` for a set of the catalog that is not downloaded yet, or else `spec`."""
        is_set = self._resolved is None and not self.is_own and self._source != "random"
        return self.declared_spec if is_set else self.spec

    @property
    def scaling(self) -> ImageInput:
        """Input specification with its scaling. Does not download a set that was requested by name.

        The default set is downloaded, because another set may replace it.
        """
        return self.declared_spec.input if self._is_named else self.spec.input

    @property
    def _is_named(self) -> bool:
        """Whether a set was requested by name and is not downloaded yet."""
        is_set = isinstance(self._source, str) and self._source in self.sets
        return self._resolved is None and is_set

    def pixels(self) -> ImageInput:
        """Return the input specification without scaling. Downloads only if the sets disagree."""
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
        """Facts about the graph of the user's weights; None for a set of the catalog."""
        return None if self.resolve().artifact is not None else self.graph

    @property
    def facts_key(self) -> str:
        """Key of the graph facts in the store. Downloads the weights."""
        return recipe_key("graph facts", FACTS, self.resolve().digest, networks.EDITS)

    @cached_property
    def graph(self) -> GraphFacts:
        """Facts about the graph of the weights. Downloads them."""
        weights = self.resolve()
        if weights.facts is not None:
            return weights.facts
        # The facts are cached: analyzing a graph takes longer than running it.
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
        if weights.input is None and DESCRIPTION_KEY in self.graph.metadata:
            from .exported import described_in_graph  # slow to import

            weights = weights.described(described_in_graph(self.graph, weights.name))
        is_embedded = NETWORK_FACTS in weights.info.get("config", {})
        if is_embedded and not isinstance(self._source, WeightSet):
            msg = f"{weights.name} takes a photo and gives results: open it with InferModel"
            raise WeightsError(msg)
        return fitted(self._own_spec, self.graph, weights, self._overrides)

    def _spec_of_set(self, artifact: Artifact | None) -> ModelSpec:
        """Return the specification that the catalog declares for a set."""
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
    model: str,
    source: WeightsSource,
    network: NetworkSpec | None,
    store: Store,
    size: tuple[int, int] | None = None,
) -> WeightSet:
    """Return the weights that `source` names.

    Args:
        model: Name of the model in the catalog.
        source: See `WeightsSource`. None means the first available set of the catalog, with a
            warning if it is not the first one.
        network: Network for random weights and checkpoints.
        store: Store of artifacts.
        size: Height and width of the input, which the conversion of a PyTorch module needs.

    Raises:
        ArtifactNotFound: There is no set and no file with that name.
        ArtifactUnavailable: The set is unreachable; the message names other sets.
        ArtifactCorrupted: Its bytes are not the published ones.
    """
    if source is None:
        return _default(model, network, store)
    if isinstance(source, WeightSet):
        return source
    if isinstance(source, str) and source in sets_of(model):
        return _named(sets_of(model)[source], store)
    if isinstance(source, str) and source == "random":
        network = _needed(network, model, "random weights")
        recipe = networks.RECIPES.get(network.name)
        key = recipe_key("random", recipe, network.name, dict(network.params))
        data = Built(store, key, lambda: build_random(network))
        return WeightSet("random", data, checkpoint=lambda: _random_checkpoint(network))
    if isinstance(source, (str, os.PathLike)):
        return _from_file(model, os.fspath(source), network, size)
    if isinstance(source, bytes):
        return WeightSet(f"<{len(source)} bytes>", source)
    if type(source).__name__ == "ModelProto":
        return WeightSet("<ModelProto>", source.SerializeToString())
    return _from_object(model, source, network, size)


def _runnable(weights: WeightSet) -> WeightSet:
    """Return the weights; as ONNX, if they are TensorFlow Lite and LiteRT is not installed."""
    data = weights.data
    if not isinstance(data, bytes) or not is_tflite(data):
        return weights
    from .runtime.backends import litert

    if litert.is_installed():
        return weights
    from .frameworks.tflite import TfliteModel

    logger.info("%s: converting TensorFlow Lite to ONNX, as LiteRT is missing", weights.name)
    names = weights.names or parse_names(litert.archived_names(data).get("names", ""))
    return replace(weights, data=_converted(TfliteModel(data), None), names=names)


def build_random(network: NetworkSpec) -> bytes:
    """Return the network with seeded random weights: the same bytes on every machine."""
    model = networks.build(network.name, networks.RandomWeights(), **network.params)
    return networks.to_bytes(model)


def _random_checkpoint(network: NetworkSpec) -> Checkpoint:
    """Return the seeded random weights of a network."""
    weights = networks.RandomWeights()
    parameters = networks.describe(network.name, **network.params).parameters
    return Checkpoint(network, {name: weights.get(p) for name, p in parameters.items()})


def fetch(artifact: Artifact, store: Store) -> Path | Built:
    """Return an artifact's network as float32 ONNX; build it if the artifact contains only weights.

    Raises:
        ArtifactError: It is not available.
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
            f"{model} has no weights of its own: pass a file, {model}('best.onnx'), or use a model "
            "of the catalog (`furiosa-models list`)"
        )
        raise ArtifactNotFound(msg)
    if not sets:
        msg = f"the catalog has no weights of {model}: pass your own file. {_OFFLINE_WORK}"
        raise ArtifactNotFound(msg)
    problems: list[str] = []
    others = [
        f"weights={a.weights!r} (the classes of {a.labels})"
        for a in sets
        if a.labels != sets[0].labels
    ]
    for artifact in sets:
        if artifact.labels != sets[0].labels:  # never fall back to other classes
            continue
        try:
            data = _fetch_unless_unreachable(artifact, store)
        except CacheNotWritable:  # no other set can be stored either
            raise
        except ArtifactUnavailable as error:
            if settings.is_strict():
                raise
            problems.append(f"\n{artifact.title}: {error}".replace("\n", "\n  "))
        else:
            if problems:
                _warn_of_fallback(sets[0], artifact)
            return _of_artifact(artifact, data, store)
    ways = ", ".join([*others, "your own file", "weights='random' (for tests)"])
    msg = f"no set of weights of {model} is available; alternatives: {ways}:{''.join(problems)}"
    raise ArtifactUnavailable(msg)


_OFFLINE_WORK = "weights='random' needs no network: for tests, benchmarks and offline work."


def _fetch_unless_unreachable(artifact: Artifact, store: Store) -> Path | Built:
    missing = _missing(artifact, store)
    if missing and not settings.mirror() and store.was_unreachable(missing):
        msg = (
            "unreachable within the last hour, so not tried again; "
            f"weights={artifact.weights!r} tries"
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


def is_available_offline(artifact: Artifact, store: Store) -> bool:
    """Return whether a set can be used without a network."""
    return not _missing(artifact, store)


def _missing(artifact: Artifact, store: Store) -> list[File]:
    if artifact.network is not None and store.derived(_recipe_key(artifact)) is not None:
        return []
    return [file for file in artifact.files if not store.has(file)]


def _named(artifact: Artifact, store: Store) -> WeightSet:
    try:
        return _of_artifact(artifact, fetch(artifact, store), store)
    except (ArtifactCorrupted, ArtifactUnavailable) as error:
        others = [name for name in sets_of(artifact.name) if name != artifact.weights]
        msg = f"{error}\nOther weights of {artifact.name}: {', '.join([*others, 'random'])}."
        raise type(error)(msg) from error


def _of_artifact(artifact: Artifact, data: Path | Built, store: Store) -> WeightSet:
    if artifact.network is None:
        return WeightSet(artifact.weights, data, artifact)
    return WeightSet(
        artifact.weights, data, artifact, checkpoint=lambda: _stored_checkpoint(artifact, store)
    )


def _from_file(
    model: str, path: str, network: NetworkSpec | None, size: tuple[int, int] | None
) -> WeightSet:
    if (Path(path) / "model_info.json").is_file():
        return _from_folder(model, path, network)
    suffix = Path(path).suffix.lower()
    if suffix not in _GRAPHS and (found := _of_framework(Path(path))) is not None:
        description = _description(Path(path))
        if description is not None:
            size = description.input.size
        names = _names_from_sidecar(Path(path))
        converted = WeightSet(path, _converted(found, size), names=names)
        return converted.described(description)
    if not Path(path).is_file():
        names_of_sets = ", ".join(map(repr, sets_of(model)))
        sets = f"one of its sets ({names_of_sets}), " if names_of_sets else ""
        what = f"neither a file nor a set of weights of {model}" if sets else "not a file"
        msg = f"{path!r} is {what}; choose {sets}an ONNX file, bytes, or 'random'"
        raise ArtifactNotFound(msg)
    reader = READERS.get(suffix)
    if reader is None:
        graph = WeightSet(path, read_with_weights(path), names=_names_from_sidecar(Path(path)))
        return graph.described(_description(Path(path)))
    network = _needed(network, model, f"{path}, which contains weights without a graph")
    data = {path: Path(path).read_bytes()}
    built = _with_arrays(network, networks.read_weights(reader, data, network.layout))
    found_names = networks.read_names(reader, data) or _names_from_sidecar(Path(path))
    return replace(built, name=path, names=found_names)


def _description(path: Path) -> Description | None:
    """Return the description of an exported file, unless it is in the metadata of its graph."""
    if path.suffix.lower() == ".onnx" and not path.with_name("model_info.json").is_file():
        return None
    from .exported import described_in_file  # slow to import

    return described_in_file(path)


def _of_framework(path: Path) -> FrameworkModel | None:
    """Return the model of a framework that a path contains, if it is not weights alone."""
    from .frameworks.torch import has_network  # imports onnx

    if path.suffix.lower() in READERS and not has_network(path):
        return None
    return recognize(path)


def _from_object(
    model: str, source: Any, network: NetworkSpec | None, size: tuple[int, int] | None
) -> WeightSet:
    """Return the weights in an object of a framework.

    The parameters of a PyTorch module, or its state, are loaded into the network of the model if it
    has one. Any other object, and a module for a model without a network, is converted to ONNX.
    """
    from .frameworks.torch import as_array  # imports onnx
    from .networks.adapters import adapt

    name = f"<{type(source).__name__}>"
    found = None if isinstance(source, Mapping) else recognize(source)
    state = source if isinstance(source, Mapping) else None
    if network is not None and found is not None and found.framework == "torch":
        state = found.raw.state_dict()
    if state is not None:
        network = _needed(network, model, "a state, which contains weights without a graph")
        if others := [key for key in state if not isinstance(key, str)]:
            msg = f"a state has arrays by name, but this one has the key {others[0]!r}"
            raise WeightsError(msg)
        arrays = adapt(network.layout, {key: as_array(value) for key, value in state.items()})
        return replace(_with_arrays(network, arrays), name=name)
    if found is not None:
        return WeightSet(name, _converted(found, size))
    msg = (
        "weights must be a name, a path, bytes, a ModelProto, or a model or state of a framework, "
        f"got {type(source).__name__}"
    )
    raise TypeError(msg)


def _with_arrays(network: NetworkSpec, arrays: Mapping[str, Any]) -> WeightSet:
    """Return a network with the parameters of a public checkpoint."""
    arrays = networks.state_of(network.name, arrays, **network.params)
    built, inferred = networks.build_checkpoint(network.name, arrays, **network.params)
    found = replace(network, params={**network.params, **inferred.params})
    checkpoint = Checkpoint(found, arrays)
    return WeightSet("", networks.to_bytes(built), head=inferred.head, checkpoint=checkpoint)


def _converted(model: FrameworkModel, size: tuple[int, int] | None) -> bytes:
    """Return the model of a framework as ONNX.

    Raises:
        ConversionError: It cannot be converted, or the size of its input is needed and unknown.
    """
    if getattr(model, "example_inputs", ()) is None:
        if size is None:
            msg = (
                "a PyTorch module does not tell the size of its input: pass it, such as "
                "input={'size': (224, 224)}"
            )
            raise ConversionError(msg)
        model.example_inputs = np.zeros((1, 3, *size), np.float32)  # type: ignore[attr-defined]
    proto = model.to_onnx()
    if model.framework != "onnx":
        proto.metadata_props.add(key=FRAMEWORK_KEY, value=model.framework)
    return networks.to_bytes(proto)


def _from_folder(model: str, path: str, network: NetworkSpec | None) -> WeightSet:
    """Return the weights of a saved model, with its input and head."""
    from .saved import read_saved  # slow to import

    saved = read_saved(path)
    class_name = saved.description.class_name
    if network is not None and class_name != model:
        msg = (
            f"{path} contains a {class_name}, not a {model}: open it with that class, "
            "such as Detector or Segmenter"
        )
        raise WeightsError(msg)
    if saved.graph.suffix.lower() not in _GRAPHS:  # an exported program
        found = _from_file(model, str(saved.graph), None, saved.description.input.size)
    else:
        checkpoint = None if saved.network is None else saved.checkpoint
        found = WeightSet(path, saved.graph.read_bytes(), checkpoint=checkpoint)
    return found.described(saved.description)


def _needed(network: NetworkSpec | None, model: str, what: str) -> NetworkSpec:
    """Return the network to load weights into, or raise."""
    if network is None:
        msg = (
            f"{model} has no network for {what}: export it to ONNX, or open it with the class of "
            "its network, such as YOLOv5s('best.pt')"
        )
        raise WeightsError(msg)
    return network


def _stored_checkpoint(artifact: Artifact, store: Store) -> Checkpoint:
    """Return the checkpoint of an artifact that contains only weights."""
    network = artifact.network
    if network is None:
        msg = f"{artifact.title} has no network to build"
        raise ArtifactError(msg)
    paths = store.fetch(artifact.files)
    files = {name: path.read_bytes() for name, path in paths.items()}
    arrays = networks.read_weights(network.reader, files, network.layout)
    return Checkpoint(NetworkSpec(network.name, network.params, network.layout), arrays)


def _build(artifact: Artifact, store: Store) -> bytes:
    """Build the network of an artifact with its weights, as ONNX."""
    network, arrays = _stored_checkpoint(artifact, store)
    model = networks.build(network.name, networks.NamedWeights(arrays), **network.params)
    return networks.to_bytes(model)


def _recipe_key(artifact: Artifact) -> str:
    """Return a digest of everything that the built graph depends on."""
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
        f"{preferred.title} is unreachable, using {used.title} instead. weights={used.weights!r} "
        f"selects it without this warning; weights={preferred.weights!r} reports the failure; "
        "FURIOSA_MODELS_STRICT=1 makes this an error."
    )
    warnings.warn(msg, WeightsFallbackWarning, stacklevel=_caller_stacklevel())


def _caller_stacklevel() -> int:
    """Return the stack level of the first caller outside this package, for a warning."""
    package, level = str(Path(__file__).parent), 1
    frame = inspect.currentframe()
    while (frame := frame and frame.f_back) and frame.f_code.co_filename.startswith(package):
        level += 1
    return level


def describe(origin: bytes) -> GraphFacts:
    """Return the inputs, outputs and metadata of a graph.

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
    """Return the specification for a user's own graph.

    Input size, kind of outputs and number of classes come from, in increasing precedence: the
    model's specification, the graph, and the user's overrides.

    Args:
        spec: The model's own specification.
        graph: Facts about the graph.
        weights: The weights, with class names and head fields that came with them.
        overrides: Arguments of `ModelSpec.override`.

    Raises:
        ShapeError: No head can decode the graph's outputs, or the input size is unknown.
        LabelsError: The number of labels differs from the graph's number of classes.
        WeightsError: The head is for another task than the model.
    """
    head, input, labels = (overrides.get(name) for name in ("head", "input", "labels"))
    heads = (each for each in (head, weights.head) if isinstance(each, Head))
    user_head: Head | None = next(heads, None)
    if user_head is not None and user_head.task.name != spec.head.task.name:
        msg = (
            f"the head {type(user_head).__name__} is for {user_head.task.name}, but the model is "
            f"for {spec.head.task.name}: use the class of its task, such as Detector or Segmenter"
        )
        raise TaskError(msg)
    if user_head is None:
        own_head = spec.override(head=weights.head).head.fit(graph)
    elif isinstance(head, Head):
        own_head = _fit_user_head(head, graph)
    else:  # a saved model, whose head is complete
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
    """Fit a user's head to a graph, but keep the fields that differ from their defaults."""
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
    """Return the input specification with the size that the graph takes."""
    try:
        size = graph.image_size
    except ShapeError:  # any size: use that of the specification
        if 0 in spec.size:
            raise
        return spec
    return spec if size == spec.size else spec.with_size(size)


def _with_size(graph: GraphFacts, input: Any) -> GraphFacts:
    """Return the graph facts with the size from the user's input, if the graph takes any size."""
    size = input.get("size") if isinstance(input, Mapping) else None
    if (
        not isinstance(size, (tuple, list)) or len(size) != 2
    ):  # missing, or invalid and rejected later
        return graph
    return replace(graph, metadata={**graph.metadata, "imgsz": f"{size[0]}, {size[1]}"})


def _names_in(graph: GraphFacts) -> tuple[str, ...]:
    """Return class names that an exporter wrote into the file."""
    for key in _NAME_KEYS:
        if found := parse_names(graph.metadata.get(key, "")):
            return found
    return ()


def _names_from_sidecar(path: Path) -> tuple[str, ...]:
    """Return class names from a file next to the weights with the same stem."""
    for suffix in _NAME_FILES:
        beside = path.with_name(f"{path.stem}{suffix}")
        if beside.is_file():
            return read_labels(beside)
    return ()


def _without_scaling(spec: ImageInput) -> ImageInput:
    """Return the part of an input specification that affects uint8 pixels."""
    return replace(spec, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))

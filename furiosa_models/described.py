"""Models from descriptions, `ModelInfo`: of this package, of a family of the zoo, of Focoos."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from . import settings
from .artifacts.sources import redact
from .catalog import class_of_task, entries, model_class, open_model
from .enums import ModelFamily, Task
from .errors import ModelNotFound, WeightsError
from .focoos_families import (
    BISENET_KEYS,
    CLASSIFIER_KEYS,
    DETECTOR_KEYS,
    MASK_KEYS,
    fai_cls_spec,
    fai_detr_spec,
    mask_head,
    mask_spec,
    with_sigmoid,
)
from .frameworks.checkpoints import READERS
from .heads import QueryHead
from .heads.mask_queries import has_queries
from .labels import BACKGROUNDS, table_of
from .model import InferModel, Model
from .model_info import ModelInfo
from .model_registry import ModelRegistry, alternatives
from .output import replacement
from .overrides import combined, make
from .saved import CHECKPOINT, INFO, STATE, Description, read_info, read_saved
from .spec import NETWORK_FACTS, Head, ImageInput, ModelSpec, NetworkSpec
from .task_models import Classifier, Detector, InstanceSegmenter, Segmenter
from .weights import describe

__all__ = ["REMOTE", "downloaded", "model_of"]

_GRAPHS = ("model.onnx", "model.tflite")
_FILES = (*_GRAPHS, CHECKPOINT, STATE, "model.pt")
"""Names of files with weights, in order of precedence."""

_RANDOM = "random"
REMOTE = ("http", "https", "s3", "gs")
"""Schemes of URLs that files of weights are downloaded from."""

_CHUNK = 1 << 20
_CORNERS = 4


def model_of(
    info: ModelInfo, overrides: Mapping[str, Any], folder: Path | None = None, *, cache: bool = True
) -> Model[Any]:
    """Return the model of a description.

    Args:
        info: The description.
        overrides: See `furiosa_models.overrides.make`; `weights` are those to use.
        folder: Folder of the description, where its weights are, if it is from a file.
        cache: Whether to use weights that were downloaded before.

    Raises:
        ArtifactUnavailable: The weights cannot be downloaded.
        ConfigurationError: There is no such override.
        ModelNotFound: The network of the family is not built here.
        WeightsError: The description is inconsistent, or its weights are missing.
    """
    info = _checked(info)
    count = info.config.get("num_classes", len(info.classes))
    if count != len(info.classes):
        msg = f"{info.name!r} has {len(info.classes)} classes, but config has num_classes={count}"
        raise WeightsError(msg)
    source = _Source(info, folder, overrides.get("weights"), cache)
    rest = {name: value for name, value in overrides.items() if name != "weights"}
    if "head" in info.config:
        model = _saved(source, rest)
    elif isinstance(info.model_family, ModelFamily):
        return _of_focoos(source, rest)
    else:
        model = _of_zoo(source, rest)
    if model.vision_task.task is not info.task:
        msg = (
            f"{info.name!r} has the task {info.task.value!r}, but its network is for "
            f"{model.vision_task.name!r}"
        )
        raise WeightsError(msg)
    is_other_size = "im_size" not in rest and info.size != model.input.size
    return model.resized(info.size) if is_other_size else model


def _checked(info: Any) -> ModelInfo:
    """Return a description after checking the types of its fields, which may have been changed.

    Raises:
        WeightsError: A field has a wrong type or value.
    """
    if not isinstance(info, ModelInfo):
        msg = f"expected a ModelInfo, got {type(info).__name__}: ModelInfo.from_json reads one"
        raise WeightsError(msg)
    try:
        values = dict(info)
    except (AttributeError, TypeError) as error:
        msg = f"the description of a model is malformed: {error}"
        raise WeightsError(msg) from error
    made = ModelInfo.from_json(values)
    if not made.classes:
        msg = f"{made.name!r} has no classes"
        raise WeightsError(msg)
    return made


@dataclass(frozen=True)
class _Source:
    """A description and its weights.

    Attributes:
        info: The description.
        folder: Its folder.
        given: Weights that replace those of the description.
        cache: Whether to use what was downloaded before.
    """

    info: ModelInfo
    folder: Path | None
    given: Any
    cache: bool

    @cached_property
    def weights(self) -> Any:
        """The weights, or None if there are none.

        Raises:
            ArtifactUnavailable: They cannot be downloaded.
            WeightsError: The file is missing.
        """
        if self.given is not None:
            return self.given
        uri = self.info.weights_uri
        if uri is None:
            places = [self.folder / name for name in _FILES] if self.folder else []
            return next((str(path) for path in places if path.is_file()), None)
        if urlsplit(uri).scheme in REMOTE:
            return str(downloaded(uri, cache=self.cache))
        places = self.places(uri)
        found = next((path for path in places if path.is_file()), None)
        if found is None:
            looked = ", ".join(str(path.absolute()) for path in dict.fromkeys(places))
            msg = f"the weights of {self.info.name!r}, {uri}, are missing: looked for {looked}"
            raise WeightsError(msg)
        return str(found)

    def places(self, uri: str) -> list[Path]:
        """Return the files that a local `weights_uri` may mean, the first choice first."""
        own = [self.folder / uri, self.folder / Path(uri).name] if self.folder else []
        return [*own, Path(uri)]

    @property
    def needed_weights(self) -> Any:
        """The weights.

        Raises:
            WeightsError: There are none.
        """
        found = self.weights
        if found is None:
            where = f" in {self.folder}" if self.folder else ""
            msg = (
                f"{self.info.name!r} has no weights{where}: expected {', '.join(_FILES)}, or "
                f"weights_uri in {INFO}; weights='random' makes a model with random ones"
            )
            raise WeightsError(msg)
        return found


def _saved(source: _Source, overrides: Mapping[str, Any]) -> Model[Any]:
    """Return a model whose description is complete, because this package wrote it."""
    info = source.info
    described = Description.of(info.to_dict(), f"the description of {info.name!r}")
    is_embedded = NETWORK_FACTS in info.config and source.given is None
    if is_embedded and overrides.keys() <= {"postprocessor_type"}:
        return InferModel(source.needed_weights, **overrides)
    if source.given == _RANDOM:
        return _random(described, overrides)
    folder = source.folder
    if source.given is None and folder is not None and (saved := _in_folder(folder, info)):
        arguments = {"labels": "names", "input": "input", "head": "head"}
        changed = {
            argument: getattr(described, name)
            for argument, name in arguments.items()
            if repr(getattr(described, name)) != repr(getattr(saved, name))
        }
        known = ModelRegistry.exists(described.class_name)
        create = model_class(described.class_name) if known else open_model
        return make(create, {"weights": str(folder), **changed}, overrides)
    weights = source.weights or _of_catalog(described)
    if weights is None:
        weights = source.needed_weights
    if isinstance(weights, str) and _is_checkpoint(weights):
        create, spec = _class_and_spec(described)
        return make(create, {"weights": weights, "spec": spec}, overrides)
    if isinstance(weights, str) and not Path(weights).exists():  # a set of the catalog
        return make(model_class(described.class_name), {"weights": weights}, overrides)
    own = {"labels": described.names, "input": described.input, "head": described.head}
    return make(open_model, {"weights": weights, **own}, overrides)


def _in_folder(folder: Path, info: ModelInfo) -> Description | None:
    """Return the description in a folder; None if `info` names other weights than its graph."""
    if not (folder / INFO).is_file():
        return None
    saved = read_info(folder)
    is_graph = str(saved.get("weights_uri", "")).endswith(_GRAPHS)
    if not is_graph or saved.get("weights_uri") != info.weights_uri:
        return None
    return read_saved(folder).description


def _of_catalog(described: Description) -> str | None:
    """Return the set of the catalog that a description names, if its class has that set."""
    weights = described.info["config"].get("weights")
    if not ModelRegistry.exists(described.class_name):
        return None
    sets = model_class(described.class_name).available_weights()
    return weights if weights in sets else None


def _is_checkpoint(path: str) -> bool:
    """Return whether a file has weights without a network."""
    from .frameworks.torch import has_network  # imports onnx

    return Path(path).suffix.lower() in READERS and not has_network(Path(path))


def _class_and_spec(described: Description) -> tuple[Callable[..., Model[Any]], ModelSpec]:
    """Return the class and the specification of a saved model, with its network.

    Raises:
        WeightsError: The description does not name the network, as that of a whole graph.
    """
    network = described.info["config"].get("network")
    if network is None:
        msg = (
            f"{described.info['name']!r} has no network for weights without a graph: expected its "
            "graph, such as model.onnx"
        )
        raise WeightsError(msg)
    try:
        params = {k: tuple(v) if isinstance(v, list) else v for k, v in network["params"].items()}
        built = NetworkSpec(str(network["name"]), params)
    except (AttributeError, KeyError, TypeError) as error:
        msg = f"the network of {described.info['name']!r} is malformed: {error!r}"
        raise WeightsError(msg) from error
    spec = ModelSpec(built, described.input, described.head, described.names)
    if ModelRegistry.exists(described.class_name):
        return model_class(described.class_name), spec
    return class_of_task(described.head.task), spec


def _random(described: Description, overrides: Mapping[str, Any]) -> Model[Any]:
    """Return a saved model with random weights.

    Raises:
        WeightsError: The description does not name the network, as that of a whole graph.
    """
    create, spec = _class_and_spec(described)
    return make(create, {"weights": _RANDOM, "spec": spec}, overrides)


def _of_zoo(source: _Source, overrides: Mapping[str, Any]) -> Model[Any]:
    """Return a model of a family of the zoo."""
    info = source.info
    cls = _class_of(info)
    published = ModelRegistry.get_model_info(cls.__name__).classes
    is_published = source.weights is None and info.classes == published
    weights = None if is_published else source.needed_weights
    named: dict[str, Any] = {} if weights is None else {"labels": tuple(info.classes)}
    if weights == _RANDOM:
        named["spec"] = _with_classes(cls.spec, info.classes)
    skipped = ("class", "num_classes", "network", "weights", "license", "location", "variant")
    config = {name: value for name, value in info.config.items() if name not in skipped}
    return make(cls, {"weights": weights, **named}, combined(config, overrides))


def _class_of(info: ModelInfo) -> type[Model[Any]]:
    """Return the class of a family of the zoo.

    Raises:
        ModelNotFound: There is no such family, or it has several networks.
    """
    for name in (info.config.get("class"), info.focoos_model, str(info.model_family)):
        if name and ModelRegistry.exists(name) and not ModelRegistry.is_of_focoos(name):
            return model_class(name)
    classes = [model_class(entry.name) for entry in entries()]
    family = [cls for cls in classes if cls.family == info.model_family]
    if (variant := info.config.get("variant")) is not None:
        family = [cls for cls in family if _variant(cls) == variant]
    found = [cls for cls in family if cls.spec and cls.spec.head.task.task is info.task]
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(cls.__name__ for cls in found)
        msg = (
            f"{info.name!r} is of the family {info.model_family!r}, which has several networks: "
            f"name one of {names} as config['class']"
        )
        raise ModelNotFound(msg)
    with_task = [c for c in classes if c.spec and c.spec.head.task.task is info.task]
    known = sorted({cls.family for cls in with_task if cls.family})
    msg = (
        f"{info.name!r} is of the family {info.model_family!r}, which has no network for "
        f"{info.task.value} here: expected one of {', '.join(known) or 'none'}"
    )
    raise ModelNotFound(msg)


def _with_classes(spec: ModelSpec | None, classes: Sequence[str]) -> ModelSpec:
    """Return a specification whose network has other classes.

    Raises:
        WeightsError: There is no network.
    """
    if spec is None or spec.network is None:
        msg = "this family has no network for random weights"
        raise WeightsError(msg)
    has_background = table_of(spec.labels)[0] in BACKGROUNDS
    count = len(classes) + (has_background and classes[0] not in BACKGROUNDS)
    params = {**spec.network.params, "num_classes": count}
    return replace(spec, network=replace(spec.network, params=params), labels=tuple(classes))


def _variant(cls: type[Model[Any]]) -> Any:
    network = cls.spec.network if cls.spec else None
    return network.params.get("variant") if network else None


def _of_focoos(source: _Source, overrides: Mapping[str, Any]) -> Model[Any]:
    """Return a model of a family of Focoos: from its weights, or from its ONNX export.

    Raises:
        ModelNotFound: The network of the family is not built here.
    """
    info, family = source.info, source.info.model_family
    if family not in _FAMILIES:
        others = ", ".join(alternatives(info.task)) or "none yet"
        msg = (
            f"{info.name!r} is of the family {getattr(family, 'value', family)}, whose network is "
            f"not built here yet. Models for {info.task.value} here: {others}"
        )
        raise ModelNotFound(msg)
    keys, spec_of, classes = _FAMILIES[family]
    if info.task not in classes:
        known = ", ".join(task.value for task in classes)
        msg = f"{info.name!r} has the task {info.task.value!r}, but its network is for {known}"
        raise WeightsError(msg)
    cls = classes[info.task]
    config = {name: value for name, value in overrides.items() if name in keys}
    rest = {name: value for name, value in overrides.items() if name not in keys}
    info = replace(info, config={**info.config, **config})
    weights = source.weights if _has_weights(source) else _export_beside(source)
    weights = source.needed_weights if weights is None else weights
    is_export = str(weights).lower().endswith(".onnx")
    if is_export and family is not ModelFamily.IMAGE_CLASSIFIER:
        head_of = _detr_head if family is ModelFamily.DETR else _mask_head
        arguments = {
            "weights": weights,
            "labels": tuple(info.classes),
            "input": ImageInput(info.size),  # the graph normalizes the pixels
            "head": head_of(info, Path(weights)),
        }
        return make(cls, arguments, rest)
    if is_export:
        weights = with_sigmoid(Path(weights).read_bytes())
    return make(cls, {"weights": weights, "spec": spec_of(info)}, rest)


def _has_weights(source: _Source) -> bool:
    """Return whether the weights of a description are given, or not missing in its folder."""
    uri = source.info.weights_uri
    if source.given is not None or uri is None or urlsplit(uri).scheme in REMOTE:
        return True
    return any(path.is_file() for path in source.places(uri))


def _export_beside(source: _Source) -> str | None:
    """Return the ONNX export in the folder of a description, if there is one."""
    path = None if source.folder is None else source.folder / _GRAPHS[0]
    return str(path) if path is not None and path.is_file() else None


_Classes: TypeAlias = Mapping[Task, type[Model[Any]]]
_SEGMENTERS: _Classes = {
    Task.SEMSEG: Segmenter,
    Task.INSTANCE_SEGMENTATION: InstanceSegmenter,
}
_FAMILIES: Mapping[Any, tuple[Collection[str], Callable[[ModelInfo], ModelSpec], _Classes]] = {
    ModelFamily.IMAGE_CLASSIFIER: (
        CLASSIFIER_KEYS,
        fai_cls_spec,
        {Task.CLASSIFICATION: Classifier},
    ),
    ModelFamily.DETR: (DETECTOR_KEYS, fai_detr_spec, {Task.DETECTION: Detector}),
    ModelFamily.MASKFORMER: (MASK_KEYS, mask_spec, _SEGMENTERS),
    ModelFamily.BISENETFORMER: (BISENET_KEYS, mask_spec, _SEGMENTERS),
}
"""Keys of the configuration, specification, and class by task of each family that is built here."""


def _detr_head(info: ModelInfo, path: Path) -> QueryHead:
    """Return the head of an export of fai_detr: boxes and sigmoid scores of queries, without NMS.

    Raises:
        WeightsError: The graph has other outputs.
    """
    graph = describe(path.read_bytes())
    shapes = [output.shape for output in graph.outputs]
    boxes = [index for index, shape in enumerate(shapes) if shape[-1:] == (_CORNERS,)]
    if len(shapes) != 2 or not boxes:
        msg = f"{path} is no export of fai_detr, whose outputs are boxes and scores: it has "
        raise WeightsError(msg + graph.shapes)
    return QueryHead(
        info.size,
        boxes=boxes[0],
        scores=1 - boxes[0],
        box_format="xyxy",
        activation="none",
        score_threshold=float(info.config.get("threshold", 0.5)),
        max_detections=int(info.config.get("top_k", 300)),
    )


def _mask_head(info: ModelInfo, path: Path) -> Head:
    """Return the head of an export of masks, whose outputs are found by their dimensions.

    The export of bisenetformer has the names of both outputs exchanged.

    Raises:
        ModelNotFound: The postprocessing is not built here.
        WeightsError: The graph has other outputs.
    """
    graph = describe(path.read_bytes())
    if not has_queries(graph):
        msg = f"{path} is no export of masks of queries and their scores: it has {graph.shapes}"
        raise WeightsError(msg)
    return mask_head(info, is_export=True)


def downloaded(uri: str, *, cache: bool) -> Path:
    """Download a file of weights into the cache, unless it is there.

    Raises:
        ArtifactUnavailable: It cannot be downloaded.
        WeightsError: The URL names no file, or what it delivers is no file of weights.
    """
    file_name = Path(urlsplit(uri).path).name
    if not file_name:
        msg = f"{redact(uri)} names no file of weights"
        raise WeightsError(msg)
    key = hashlib.sha256(uri.encode()).hexdigest()
    path = settings.cache_home() / "urls" / key / file_name
    if cache and path.is_file():
        return path
    from .registry.transports import open_uri  # loads more than all else here

    with open_uri(uri) as stream, replacement(path) as file:
        first = stream.read(_CHUNK)
        if first.lstrip()[:1] in (b"", b"<"):
            msg = f"{redact(uri)} delivers a web page or nothing, not a file of weights"
            raise WeightsError(msg)
        while first:
            file.write(first)
            first = stream.read(_CHUNK)
    return path

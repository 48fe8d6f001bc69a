"""Open exported files, and graphs of other programs, for inference."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from .. import networks
from ..enums import ExportFormat, Format, RuntimeType
from ..errors import ArtifactNotFound, ConfigurationError, ShapeError, WeightsError
from ..exported import described_in_file, described_in_graph
from ..heads import (
    AnyClassifier,
    AnyDetector,
    AnyInstances,
    AnyMatte,
    AnyPose,
    AnySegmenter,
)
from ..networks.external_data import read_with_weights
from ..saved import INFO, Description, read_info
from ..spec import DESCRIPTION_KEY, NETWORK_FACTS, UNKNOWN_INPUT, GraphFacts, ModelSpec
from ..weights import WeightSet, describe, fitted
from .targets import file_name, runtime_of_file, runtime_type_of

__all__ = ["Opened", "is_embedded", "is_export", "open_exported"]

_PROGRAMS = {ExportFormat.TORCHSCRIPT: Format.TORCHSCRIPT, ExportFormat.ENF: Format.ENF}


@dataclass(frozen=True)
class Opened:
    """An exported file.

    Attributes:
        path: Path of the file.
        runtime_type: What it runs on; None if the file leaves the choice.
        weights: The weights in it.
        spec: Specification of the model.
        is_program: Whether it runs as it is, rather than being a network as a graph.
        is_embedded: Whether it takes a photo and gives results.
    """

    path: Path
    runtime_type: RuntimeType | None
    weights: WeightSet
    spec: ModelSpec
    is_program: bool
    is_embedded: bool = False


def open_exported(
    path: str | os.PathLike[str], runtime_type: RuntimeType | str | None = None
) -> Opened:
    """Return what an exported file contains.

    Args:
        path: A file, or the folder of an export.
        runtime_type: What to run it on; by default, what the folder was exported for, or else
            whatever runs such files.

    Raises:
        ArtifactNotFound: There is no such file.
        ConfigurationError: The file is not for that runtime type.
        ShapeError: No head can decode the outputs of a graph that another program exported.
        WeightsError: The file cannot be read, or does not say what it contains.
    """
    requested = None if runtime_type is None else runtime_type_of(runtime_type)
    file, requested = _file(Path(path), requested)
    kind = runtime_of_file(file).to_export_format()
    if requested is not None and requested.to_export_format() is not kind:
        msg = f"{file} is {kind.value}, which {requested.value} does not run"
        raise ConfigurationError(msg)
    read = partial(_program, format=_PROGRAMS[kind]) if kind in _PROGRAMS else _graph
    weights, description = read(file)
    if description is None:
        spec = _recognized(weights)
    else:
        spec = ModelSpec(None, description.input, description.head, description.names)
    if requested is RuntimeType.ONNX_INT8 and not networks.edit.is_quantized(weights.origin):
        msg = f"{file} is a float32 network: the runtime type {requested.value} is for int8"
        raise ConfigurationError(msg)
    config = weights.info.get("config", {})
    is_embedded = NETWORK_FACTS in config
    if is_embedded:
        network = GraphFacts.of_description({"config": {"graph": config[NETWORK_FACTS]}})
        weights = replace(weights, facts=network)
    return Opened(file, requested, weights, spec, is_embedded or kind in _PROGRAMS, is_embedded)


def is_embedded(path: Path) -> bool:
    """Return whether a path is that of an exported ONNX graph that takes photos.

    Raises:
        WeightsError: It is not ONNX.
    """
    if path.suffix.lower() != ".onnx" or not path.is_file():
        return False
    mark = f'"{NETWORK_FACTS}"'
    data = path.read_bytes()
    if mark.encode() not in data:  # parsing the graph takes much longer
        return False
    return mark in networks.edit.metadata(data).get(DESCRIPTION_KEY, "")


def is_export(folder: Path) -> bool:
    """Return whether a folder contains an exported model and no saved one.

    Raises:
        WeightsError: Its `model_info.json` is malformed.
    """
    return (folder / INFO).is_file() and _exported_for(read_info(folder)) is not None


def _file(path: Path, requested: RuntimeType | None) -> tuple[Path, RuntimeType | None]:
    """Return a file and what to run it on."""
    if not path.is_dir():
        if not path.is_file():
            msg = f"there is no file {str(path)!r}"
            raise ArtifactNotFound(msg)
        return path, requested
    if requested is None:
        if not (path / INFO).is_file():
            msg = f"{path} has no {INFO}: expected the folder of an export, or a file"
            raise ArtifactNotFound(msg)
        info = read_info(path)
        requested = _exported_for(info)
        file = path / Path(str(info.get("weights_uri"))).name  # it does not leave the folder
    else:
        file = path / file_name(requested)
    if not file.is_file():
        found = ", ".join(sorted(each.name for each in path.iterdir() if each.is_file()))
        msg = f"{path} has no {file.name}; it has {found or 'no files'}"
        raise ArtifactNotFound(msg)
    return file, requested


def _exported_for(info: Mapping[str, Any]) -> RuntimeType | None:
    """Return the runtime type that a `model_info.json` was exported for, if any."""
    config = info.get("config")
    exported = config.get("exported") if isinstance(config, Mapping) else None
    found = exported.get("runtime_type") if isinstance(exported, Mapping) else None
    return None if found is None else runtime_type_of(found)


def _graph(file: Path) -> tuple[WeightSet, Description | None]:
    """Return the weights in ONNX or TensorFlow Lite, and their description."""
    weights = WeightSet(str(file), read_with_weights(str(file)))
    description = described_in_file(file)
    if description is None and file.suffix.lower() == ".onnx":
        description = described_in_graph(describe(weights.origin), weights.name)
    return weights.described(description), description


def _program(file: Path, format: Format) -> tuple[WeightSet, Description | None]:
    """Return the weights in a program, and its description."""
    description = described_in_file(file)
    if description is None:
        msg = (
            f"{file} does not say what it contains, because another program exported it: open it "
            "with the class of its task, such as Detector('model.pt'), which converts it to ONNX"
        )
        raise WeightsError(msg)
    facts = replace(GraphFacts.of_description(description.info), format=format)
    return WeightSet(str(file), file, facts=facts).described(description), description


def _recognized(weights: WeightSet) -> ModelSpec:
    """Return the specification of a graph of another program: the first task that fits.

    Raises:
        ShapeError: None does.
    """
    graph = describe(weights.origin)
    problem: ShapeError | None = None
    kinds = (AnyPose, AnyClassifier, AnyDetector, AnyInstances, AnySegmenter, AnyMatte)
    for head in (kind() for kind in kinds):
        spec = ModelSpec(None, UNKNOWN_INPUT, head)
        try:
            fitted(spec, graph, weights, {})
        except ShapeError as error:  # another task
            problem = error if isinstance(head, AnyDetector) else problem
            continue
        return spec
    assert problem is not None  # of the detector, the most common task
    raise problem

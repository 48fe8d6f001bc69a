"""The descriptor: what artifacts exist, where their bytes are, and what is known of them.

A descriptor is an `artifacts.yaml` in the form of furiosa-artifacts (`name, family, version,
location, format, doc, metadata`), extended per set of weights with files (size, hash, sources),
conventions of the checkpoint, licence and measured accuracy.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ..errors import ArtifactNotFound, DescriptorError
from ..types import Metadata

__all__ = [
    "Accuracy",
    "Artifact",
    "File",
    "License",
    "Network",
    "find",
    "load_descriptor",
    "yaml_loader",
    "zoo",
]

_SHA256 = r"^[0-9a-f]{64}$"
_MD5 = r"^[0-9a-f]{32}$"


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class File(_Record):
    """One file of an artifact: its identity, and where its bytes can be had.

    Attributes:
        name: File name, unique in its artifact; shown to people, never decides what is served.
        size: Size in bytes.
        sha256: SHA-256 of the bytes, in hex; the identity where it is known.
        md5: MD5 of the bytes, in hex; the identity of what was published with nothing better.
        sources: URIs in order of preference; see `furiosa_models.artifacts.sources`.
    """

    name: str
    size: int = Field(gt=0)
    sha256: str | None = Field(default=None, pattern=_SHA256)
    md5: str | None = Field(default=None, pattern=_MD5)
    sources: tuple[str, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _is_identified(self) -> File:
        if not (self.sha256 or self.md5):
            msg = f"file {self.name!r} has neither sha256 nor md5"
            raise ValueError(msg)
        return self

    @property
    def algorithm(self) -> Literal["sha256", "md5"]:
        """Hash algorithm that identifies the file."""
        return "sha256" if self.sha256 else "md5"

    @property
    def digest(self) -> str:
        """Hash, in hex, that identifies the file."""
        return self.sha256 or self.md5 or ""


class License(_Record):
    """Licences of a set of weights, as SPDX expressions.

    Attributes:
        origin: What the authors of the weights grant.
        carrier: What the package that carries them declares, where a package carries them.
        note: What a user has to know.
    """

    origin: str
    carrier: str | None = None
    note: str | None = None


class Accuracy(_Record):
    """One measured figure of a set of weights.

    Attributes:
        metric: `top-1`, `top-5`, `mAP` or `OKS mAP`.
        value: The figure, between 0 and 1.
        dataset: What it was measured on.
        measured_by: Who measured it, with what.
    """

    metric: str
    value: float = Field(ge=0, le=1)
    dataset: str
    measured_by: str


class Network(_Record):
    """How a checkpoint becomes an ONNX graph.

    Attributes:
        name: Network of `furiosa_models.networks`.
        reader: Format of the weights, a reader of `furiosa_models.networks.readers`.
        layout: Where the weights are from, a layout of `furiosa_models.networks.adapters`.
        params: Arguments of the network.
    """

    name: str
    reader: str
    layout: str = "native"
    params: dict[str, Any] = Field(default_factory=dict)


class Artifact(_Record):
    """One set of weights of one model.

    Attributes:
        name: Name of the model.
        weights: Name of this set of weights, unique for the model.
        family: Family of networks.
        version: Version of the model.
        location: Where people can read of it, or where the one file of it is.
        format: `onnx` and `tflite` files are programs; `code` is network code plus weights.
        doc: File that documents it.
        metadata: What it is, in words.
        network: How the checkpoint becomes a graph, for `code`.
        files: The files it is made of.
        enf: ENF files by compiler IR version and number of processing elements (`1pe`, `2pe`).
        dfg: Quantised graphs of 0.8, likewise.
        tensor_ranges: Calibrated ranges of the origin's tensors.
        input: What differs from the model's own input specification.
        head: What differs from the model's own head specification.
        labels: Name of its table of labels, where it is not the model's own.
        license: Licences.
        accuracy: Measured figures.
    """

    name: str
    weights: str = "published"
    family: str
    version: str | None = None
    location: str
    format: Literal["onnx", "tflite", "code"]
    doc: str | None = None
    metadata: Metadata | None = None
    network: Network | None = None
    files: tuple[File, ...] = ()
    enf: dict[str, dict[str, File]] = Field(default_factory=dict)
    dfg: dict[str, dict[str, File]] = Field(default_factory=dict)
    tensor_ranges: File | None = None
    input: dict[str, Any] = Field(default_factory=dict)
    head: dict[str, Any] = Field(default_factory=dict)
    labels: str | None = None
    license: License | None = None
    accuracy: tuple[Accuracy, ...] = ()

    @property
    def all_files(self) -> list[File]:
        """Its files, its NPU programs and its tensor ranges."""
        versions = [*self.enf.values(), *self.dfg.values()]
        programs = [file for sizes in versions for file in sizes.values()]
        ranges = [self.tensor_ranges] if self.tensor_ranges else []
        return [*self.files, *programs, *ranges]

    @property
    def title(self) -> str:
        """Name for messages: model, set, and the first accuracy that is known."""
        known = (
            f" ({self.accuracy[0].metric} {self.accuracy[0].value:.3f} on " if self.accuracy else ""
        )
        return f"{self.name}/{self.weights}" + (known and f"{known}{self.accuracy[0].dataset})")


def load_descriptor(path: Path) -> tuple[Artifact, ...]:
    """Artifacts of a descriptor file.

    Args:
        path: The `artifacts.yaml`.

    Raises:
        DescriptorError: The file is not there, is not YAML, or does not follow the schema.
    """
    try:
        document = yaml.load(path.read_bytes(), Loader=yaml_loader())
    except (OSError, yaml.YAMLError) as error:
        msg = f"descriptor {path} cannot be read: {error}"
        raise DescriptorError(msg) from error
    if not isinstance(document, dict) or not isinstance(document.get("artifacts"), list):
        msg = f"descriptor {path} has no list under the top key 'artifacts'"
        raise DescriptorError(msg)
    artifacts = tuple(_parse(item, path) for item in document["artifacts"])
    _refuse_duplicates(artifacts, path)
    return artifacts


@cache
def zoo() -> dict[str, dict[str, Artifact]]:
    """The zoo's own descriptor: model name -> weights name -> artifact, in order of preference."""
    table: dict[str, dict[str, Artifact]] = {}
    for artifact in load_descriptor(Path(__file__).with_name("artifacts.yaml")):
        table.setdefault(artifact.name, {})[artifact.weights] = artifact
    return table


def find(model: str, weights: str) -> Artifact:
    """The named set of weights of a model of the zoo.

    Raises:
        ArtifactNotFound: The zoo has no such set.
    """
    sets = zoo().get(model, {})
    if weights not in sets:
        msg = (
            f"{model} has no set of weights named {weights!r}; choose one of "
            f"{', '.join(map(repr, sets)) or 'none'}, a path, bytes, or 'random'"
        )
        raise ArtifactNotFound(msg)
    return sets[weights]


def yaml_loader() -> Any:
    """The safe YAML loader: libyaml's, ten times faster, where PyYAML was built with it."""
    return getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def _parse(item: Any, path: Path) -> Artifact:
    try:
        return Artifact.model_validate(item)
    except ValidationError as error:
        name = item.get("name", "?") if isinstance(item, dict) else item
        msg = f"descriptor {path}: artifact {name!r} does not follow the schema: {error}"
        raise DescriptorError(msg) from error


def _refuse_duplicates(artifacts: tuple[Artifact, ...], path: Path) -> None:
    seen: set[tuple[str, str]] = set()
    for artifact in artifacts:
        key = (artifact.name, artifact.weights)
        if key in seen:
            msg = f"descriptor {path}: {artifact.name}/{artifact.weights} is there twice"
            raise DescriptorError(msg)
        seen.add(key)

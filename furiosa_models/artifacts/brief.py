"""The zoo's descriptor in brief: what it takes to list models and to run them.

`descriptor` has all of it, validated; but pydantic and YAML take longer to import than a network
takes to load. This module reads `artifacts.json`, the same document as `artifacts.yaml`, made with
it by `artifacts/generate.py`; tests hold that both say the same, and that they follow the schema.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal, Protocol

__all__ = ["FileFacts", "WeightsFacts", "brief_zoo"]


class FileFacts(Protocol):
    """What a store needs to know of a file; `descriptor.File` explains the attributes."""

    @property
    def name(self) -> str:
        """File name, unique in its artifact."""

    @property
    def size(self) -> int:
        """Size in bytes."""

    @property
    def sha256(self) -> str | None:
        """SHA-256 of the bytes, in hex."""

    @property
    def sources(self) -> tuple[str, ...]:
        """URIs in order of preference."""

    @property
    def algorithm(self) -> Literal["sha256", "md5"]:
        """Hash algorithm that identifies the file."""

    @property
    def digest(self) -> str:
        """Hash, in hex, that identifies the file."""


@dataclass(frozen=True, slots=True)
class BriefFile:
    """A file of a set of weights; see `descriptor.File`."""

    name: str
    size: int
    sources: tuple[str, ...]
    sha256: str | None = None
    md5: str | None = None

    @property
    def algorithm(self) -> Literal["sha256", "md5"]:
        """Hash algorithm that identifies the file."""
        return "sha256" if self.sha256 else "md5"

    @property
    def digest(self) -> str:
        """Hash, in hex, that identifies the file."""
        return self.sha256 or self.md5 or ""


@dataclass(frozen=True, slots=True)
class BriefNetwork:
    """How a checkpoint becomes an ONNX graph; see `descriptor.Network`."""

    name: str
    reader: str
    layout: str = "native"
    params: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class WeightsFacts:
    """What running a set of weights takes; see `descriptor.Artifact`."""

    name: str
    weights: str
    title: str
    files: tuple[BriefFile, ...]
    tensor_ranges: BriefFile | None
    network: BriefNetwork | None
    input: Mapping[str, Any]
    head: Mapping[str, Any]
    labels: str | None


@cache
def brief_zoo() -> dict[str, dict[str, WeightsFacts]]:
    """The zoo's own descriptor: model name -> weights name -> facts, in order of preference."""
    document = json.loads(Path(__file__).with_name("artifacts.json").read_bytes())
    table: dict[str, dict[str, WeightsFacts]] = {}
    for item in document["artifacts"]:
        facts = _facts(item)
        table.setdefault(facts.name, {})[facts.weights] = facts
    return table


def _facts(item: Mapping[str, Any]) -> WeightsFacts:
    name, weights = item["name"], item.get("weights", "published")
    network, ranges = item.get("network"), item.get("tensor_ranges")
    return WeightsFacts(
        name,
        weights,
        _title(f"{name}/{weights}", item.get("accuracy", ())),
        tuple(map(_file, item["files"])),
        _file(ranges) if ranges else None,
        BriefNetwork(**network) if network else None,
        item.get("input", {}),
        item.get("head", {}),
        item.get("labels"),
    )


def _file(item: Mapping[str, Any]) -> BriefFile:
    return BriefFile(**{**item, "sources": tuple(item["sources"])})


def _title(label: str, accuracy: Sequence[Mapping[str, Any]]) -> str:
    if not accuracy:
        return label
    first = accuracy[0]
    return f"{label} ({first['metric']} {first['value']:.3f} on {first['dataset']})"

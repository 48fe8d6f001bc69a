"""Registries of models, blocking: `list`, `load`, `help`."""

from __future__ import annotations

import builtins
import hashlib
from typing import Any

from packaging.version import InvalidVersion, Version

from ..enums import Format
from ..errors import ArtifactCorrupted, ArtifactUnavailable, DescriptorError, ModelNotFound
from .code import run_factory
from .descriptor import RegistryArtifact, parse_descriptor
from .model import Model
from .transports import Transport, read_uri, transport_for

__all__ = ["help", "list", "load"]

DESCRIPTOR = "artifacts.yaml"


def list(uri: str) -> builtins.list[RegistryArtifact]:
    """Entries of a registry.

    Args:
        uri: See `furiosa_models.registry.transports.transport_for`.

    Raises:
        ArtifactUnavailable: The descriptor cannot be read.
        DescriptorError: It does not follow the schema.
    """
    return _entries(transport_for(uri))


def load(
    uri: str,
    name: str,
    version: str | None = None,
    *args: Any,
    trust_code: bool = False,
    **kwargs: Any,
) -> Any:
    """A model of a registry.

    Args:
        uri: As for `list`.
        name: Name of the model.
        version: Its version; the newest by default.
        args: Arguments of the factory of a `code` entry.
        trust_code: Let a `code` entry run, with all rights of this process.
        kwargs: Arguments of the factory, likewise.

    Returns:
        A `furiosa_models.registry.Model`, or what the factory makes.

    Raises:
        ModelNotFound: The registry has no such model or version.
        ArtifactUnavailable: A file cannot be read, or code is not trusted.
        ArtifactCorrupted: A file is not the one that the descriptor gives the hash of.
        DescriptorError: The descriptor does not follow the schema.
    """
    transport = transport_for(uri)
    artifact = _find(_entries(transport), name, version, uri)
    if artifact.format == "code":
        return _load_code(transport, artifact, trust_code, args, kwargs)
    if args or kwargs:
        msg = f"{name} is a file ({artifact.format}) and takes no arguments"
        raise TypeError(msg)
    absolute = "://" in artifact.location
    data = read_uri(artifact.location) if absolute else transport.read(artifact.location)
    _verify(artifact, data)
    return Model(
        name=artifact.name,
        source=data,
        format=Format(artifact.format.upper()),
        family=artifact.family,
        version=artifact.version,
        metadata=artifact.metadata,
        doc=_doc(transport, artifact),
    )


def help(uri: str, name: str, version: str | None = None) -> str:
    """Documentation of a model: its `doc` file, or its description.

    Raises:
        ModelNotFound: The registry has no such model or version.
        ArtifactUnavailable: A file cannot be read.
        DescriptorError: The descriptor does not follow the schema.
    """
    transport = transport_for(uri)
    artifact = _find(_entries(transport), name, version, uri)
    description = artifact.metadata.description if artifact.metadata else None
    return _doc(transport, artifact) or description or f"{name} has no documentation"


def _entries(transport: Transport) -> builtins.list[RegistryArtifact]:
    text = transport.read(DESCRIPTOR)
    return parse_descriptor(text, f"{transport.uri.rstrip('/')}/{DESCRIPTOR}")


def _find(
    entries: builtins.list[RegistryArtifact], name: str, version: str | None, uri: str
) -> RegistryArtifact:
    named = [entry for entry in entries if entry.name == name]
    chosen = [entry for entry in named if version in (None, entry.version)]
    if not chosen:
        known = ", ".join(f"{e.name} {e.version or ''}".strip() for e in named or entries)
        msg = f"{uri} has no model {name} {version or ''}; it has {known or 'none'}"
        raise ModelNotFound(msg)
    return max(chosen, key=_age)


def _age(entry: RegistryArtifact) -> tuple[int, Version, str]:
    """A key that the newest entry has the greatest of; odd versions go before proper ones."""
    try:
        return 1, Version(entry.version or "0"), ""
    except InvalidVersion:
        return 0, Version("0"), entry.version or ""


def _load_code(
    transport: Transport,
    artifact: RegistryArtifact,
    trust_code: bool,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Any:
    if not trust_code:
        msg = (
            f"{artifact.name} is made by code of the registry ({artifact.location}), which would "
            "run with all your rights: read it, then pass trust_code=True"
        )
        raise ArtifactUnavailable(msg)
    with transport.checkout(artifact.location) as root:
        path = root / artifact.location
        if not path.is_file():
            msg = f"{transport.uri} has no file {artifact.location}"
            raise DescriptorError(msg)
        _verify(artifact, path.read_bytes())
        return run_factory(root, artifact, args, kwargs)


def _verify(artifact: RegistryArtifact, data: bytes) -> None:
    if artifact.size not in (None, len(data)):
        msg = f"{artifact.location}: expected {artifact.size} bytes, got {len(data)}"
        raise ArtifactCorrupted(msg)
    digest = hashlib.sha256(data).hexdigest()
    if artifact.sha256 not in (None, digest):
        msg = f"{artifact.location}: expected sha256 {artifact.sha256}, got {digest}"
        raise ArtifactCorrupted(msg)


def _doc(transport: Transport, artifact: RegistryArtifact) -> str | None:
    if artifact.doc is None:
        return None
    return transport.read(artifact.doc).decode("utf-8", errors="replace")

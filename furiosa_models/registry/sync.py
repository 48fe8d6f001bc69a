"""Blocking access to model registries: `list`, `load`, `help`."""

from __future__ import annotations

import builtins
import hashlib
from pathlib import Path, PurePosixPath
from typing import Any

from packaging.version import Version

from ..artifacts.descriptor import File
from ..artifacts.store import Store, hash_file
from ..enums import Format
from ..errors import (
    ArtifactCorrupted,
    ArtifactUnavailable,
    CodeNotTrusted,
    DescriptorError,
    ModelNotFound,
)
from ..saved import INFO
from . import zoo
from .descriptor import RegistryArtifact, parse_code, parse_descriptor
from .model import Model
from .model_code import run_factory
from .transports import Folder, Transport, transport_for

__all__ = ["DESCRIPTOR", "find_entry", "help", "list", "load", "read_entries"]

DESCRIPTOR = "artifacts.yaml"
CODE_DESCRIPTOR = "artifacts.py"


def list(uri: str | None = None) -> builtins.list[RegistryArtifact]:
    """Return the entries of a registry.

    Args:
        uri: URI of the registry (see `furiosa_models.registry.transports.transport_for`); by
            default this package.

    Raises:
        ArtifactUnavailable: The descriptor cannot be read.
        DescriptorError: The descriptor does not follow the schema.
        TransportNotFound: No transport supports the URI.
    """
    transport = _transport(uri)
    return zoo.entries() if transport is None else read_entries(transport)


def load(
    uri: str | None,
    name: str,
    version: str | None = None,
    *args: Any,
    trust_code: bool = False,
    **kwargs: Any,
) -> Any:
    """Load a model of a registry.

    Args:
        uri: URI of the registry, as for `list`; None means this package.
        name: Name of the model.
        version: Version of the model; by default the newest.
        args: Arguments of the factory of a `code` entry.
        trust_code: Whether a `code` entry may run, with all rights of this process. The code of
            this package is always trusted.
        kwargs: Keyword arguments of the factory; for this package, of the model's constructor.

    Returns:
        A `furiosa_models.registry.Model`, or what the factory returns; for this package, a model of
        the zoo.

    Raises:
        ModelNotFound: The registry has no such model or version.
        ArtifactUnavailable: A file cannot be read.
        ArtifactCorrupted: A file does not have the size or digest that the descriptor states.
        CodeNotTrusted: Code creates the model, and `trust_code` is False.
        DescriptorError: The descriptor does not follow the schema.
        TypeError: `trust_code` is not a bool, or the model is a file and there are arguments.
    """
    transport = _transport(uri)
    if transport is None:
        return zoo.load(name, version, *args, **kwargs)
    artifact = find_entry(read_entries(transport), name, version, transport.name)
    if artifact.format == "code":
        return _load_code(transport, artifact, trust_code, args, kwargs)
    if args or kwargs:
        msg = f"{name} is a file ({artifact.format}) and takes no arguments"
        raise TypeError(msg)
    model = Model(
        name=artifact.name,
        source=_read(transport, artifact),
        format=Format(artifact.format.upper()),
        family=artifact.family,
        version=artifact.version,
        metadata=artifact.metadata,
        task=artifact.task,
        doc=_doc(transport, artifact),
    )
    if (info := artifact.beside(INFO)) is not None:
        model.describe(_read(transport, info))
    return model


def help(uri: str | None, name: str, version: str | None = None) -> str:
    """Return the documentation of a model: its `doc` file, or its description.

    Args:
        uri: URI of the registry, as for `list`; None means this package.
        name: Name of the model.
        version: Version of the model; by default the newest.

    Raises:
        ModelNotFound: The registry has no such model or version.
        ArtifactUnavailable: A file cannot be read.
        DescriptorError: The descriptor does not follow the schema.
    """
    transport = _transport(uri)
    if transport is None:
        return zoo.help(name, version)
    artifact = find_entry(read_entries(transport), name, version, transport.name)
    description = artifact.metadata.description if artifact.metadata else None
    return _doc(transport, artifact) or description or f"{name} has no documentation"


def _transport(uri: str | None) -> Transport | None:
    """Return the transport for a URI, or None for this package."""
    transport = None if uri is None else transport_for(uri)
    is_own = isinstance(transport, Folder) and transport.root in zoo.FOLDERS
    return None if is_own else transport


def read_entries(transport: Transport) -> builtins.list[RegistryArtifact]:
    """Return the entries of `artifacts.yaml` or, if there is none, of `artifacts.py` (not run).

    Raises:
        ArtifactUnavailable: The descriptor cannot be read.
        DescriptorError: The descriptor does not follow the schema.
    """
    place = transport.name.rstrip("/")
    try:
        text = transport.read(DESCRIPTOR)
    except ArtifactUnavailable:
        try:
            code = transport.read(CODE_DESCRIPTOR)
        except ArtifactUnavailable:
            code = None
        if code is None:
            raise
        return parse_code(code, f"{place}/{CODE_DESCRIPTOR}", CODE_DESCRIPTOR)
    return parse_descriptor(text, f"{place}/{DESCRIPTOR}")


def find_entry(
    entries: builtins.list[RegistryArtifact], name: str, version: str | None, uri: str
) -> RegistryArtifact:
    """Return the entry with a name and version; by default the newest version.

    Args:
        entries: All entries.
        name: Name of the model.
        version: Version of the model.
        uri: URI of the registry, for messages.

    Raises:
        ModelNotFound: There is none.
    """
    named = [entry for entry in entries if entry.name == name]
    chosen = [entry for entry in named if version in (None, entry.version)]
    if not chosen:
        known = ", ".join(f"{e.name} {e.version or ''}".strip() for e in named or entries)
        msg = f"{uri} has no model {name} {version or ''}; it has {known or 'none'}"
        raise ModelNotFound(msg)
    return max(chosen, key=_age)


def _age(entry: RegistryArtifact) -> tuple[int, Version, str]:
    """Return a sort key, greatest for the newest entry; invalid versions sort before valid ones."""
    try:
        return 1, Version(entry.version or "0"), ""
    except ValueError:  # also if a number has too many digits for Python
        return 0, Version("0"), entry.version or ""


def _load_code(
    transport: Transport,
    artifact: RegistryArtifact,
    trust_code: object,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Any:
    if not isinstance(trust_code, bool):
        msg = f"trust_code must be True or False, got {trust_code!r}"
        raise TypeError(msg)
    if not trust_code:
        msg = (
            f"{artifact.name} needs code of the registry ({artifact.location}), which would run "
            "with all your rights: read it, then pass trust_code=True to allow it"
        )
        raise CodeNotTrusted(msg)
    with transport.checkout(artifact.location) as checkout:
        path = checkout.root / artifact.location
        if not path.is_file():
            msg = f"{transport.name} has no file {artifact.location}"
            raise DescriptorError(msg)
        _verify(artifact, path.stat().st_size, hash_file(path, "sha256"))
        model = run_factory(checkout, artifact, args, kwargs)
    if isinstance(model, Model) and artifact.doc is not None:
        model.doc = _doc(transport, artifact)
    return model


def _read(transport: Transport, artifact: RegistryArtifact) -> bytes:
    """Return the bytes of a model's file; a remote file with a known digest is cached."""
    uri = transport.locate(artifact.location)
    is_here = isinstance(transport, Folder) and Path(uri).is_absolute()
    if artifact.sha256 is not None and not is_here:
        name = PurePosixPath(artifact.location).name
        file = File(name, artifact.size, (uri,), sha256=artifact.sha256)
        return Store().fetch([file], origin=transport.origin)[name].read_bytes()
    with transport.open(artifact.location) as stream:
        data = stream.read()
    _verify(artifact, len(data), hashlib.sha256(data).hexdigest())
    return data


def _verify(artifact: RegistryArtifact, size: int, sha256: str) -> None:
    """Check a file's size and digest against its entry."""
    if artifact.size not in (None, size):
        msg = f"{artifact.location}: expected {artifact.size} bytes, got {size}"
        raise ArtifactCorrupted(msg)
    if artifact.sha256 not in (None, sha256):
        msg = f"{artifact.location}: expected sha256 {artifact.sha256}, got {sha256}"
        raise ArtifactCorrupted(msg)


def _doc(transport: Transport, artifact: RegistryArtifact) -> str | None:
    if artifact.doc is None:
        return None
    return transport.read(artifact.doc).decode("utf-8", errors="replace")

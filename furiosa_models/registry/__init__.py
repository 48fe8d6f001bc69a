"""Async access to model registries in the form of furiosa-artifacts; `.sync` blocks."""

from __future__ import annotations

import asyncio
import builtins
from typing import Any

from ..enums import Format
from ..errors import TransportNotFound
from ..spec import Metadata, ModelTensor, Publication, Tags
from . import sync
from .descriptor import RegistryArtifact, json_schema
from .errors import RegistryError
from .model import Model
from .model_code import FileTransport, loader

__all__ = [
    "Artifact",
    "FileTransport",
    "Format",
    "Metadata",
    "Model",
    "ModelTensor",
    "Publication",
    "RegistryArtifact",
    "RegistryError",
    "Tags",
    "TransportNotFound",
    "help",
    "json_schema",
    "list",
    "load",
    "loader",
]

Artifact = RegistryArtifact
"""`RegistryArtifact` under its name in furiosa-registry 0.5."""


async def list(uri: str | None = None) -> builtins.list[RegistryArtifact]:
    """Return the entries of a registry without blocking the event loop; see `sync.list`."""
    return await asyncio.to_thread(sync.list, uri)


async def load(
    uri: str | None,
    name: str,
    version: str | None = None,
    *args: Any,
    trust_code: bool = False,
    **kwargs: Any,
) -> Any:
    """Load a model of a registry without blocking the event loop; see `sync.load`."""
    return await asyncio.to_thread(
        sync.load, uri, name, version, *args, trust_code=trust_code, **kwargs
    )


async def help(uri: str | None, name: str, version: str | None = None) -> str:
    """Return a model's documentation without blocking the event loop; see `sync.help`."""
    return await asyncio.to_thread(sync.help, uri, name, version)

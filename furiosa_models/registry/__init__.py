"""Registries of models in the form of furiosa-artifacts, async; blocking ones in `.sync`."""

from __future__ import annotations

import asyncio
import builtins
from typing import Any

from . import sync
from .code import loader
from .descriptor import RegistryArtifact, json_schema
from .model import Model

__all__ = ["Model", "RegistryArtifact", "help", "json_schema", "list", "load", "loader"]


async def list(uri: str | None = None) -> builtins.list[RegistryArtifact]:
    """As `furiosa_models.registry.sync.list`, without blocking the event loop."""
    return await asyncio.to_thread(sync.list, uri)


async def load(
    uri: str | None,
    name: str,
    version: str | None = None,
    *args: Any,
    trust_code: bool = False,
    **kwargs: Any,
) -> Any:
    """As `furiosa_models.registry.sync.load`, without blocking the event loop."""
    return await asyncio.to_thread(
        sync.load, uri, name, version, *args, trust_code=trust_code, **kwargs
    )


async def help(uri: str | None, name: str, version: str | None = None) -> str:
    """As `furiosa_models.registry.sync.help`, without blocking the event loop."""
    return await asyncio.to_thread(sync.help, uri, name, version)

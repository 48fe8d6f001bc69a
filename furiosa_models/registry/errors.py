"""Errors of registries under the names of furiosa-registry."""

from __future__ import annotations

from ..errors import FuriosaModelsError as RegistryError
from ..errors import TransportNotFound

__all__ = ["RegistryError", "TransportNotFound"]

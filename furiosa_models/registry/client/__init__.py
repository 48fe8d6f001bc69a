"""The client of registries, under the import path of furiosa-registry."""

from __future__ import annotations

from .. import help, list, load

__all__ = ["help", "list", "load"]

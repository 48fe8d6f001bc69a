"""`furiosa.runtime.model` of furiosa-runtime 0.10."""

from __future__ import annotations

from .tensor import Model

__all__ = ["Model"]

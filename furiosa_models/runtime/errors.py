"""Errors of the runtime, named as furiosa-runtime 0.10 names them."""

from __future__ import annotations

from ..errors import FuriosaModelsError

__all__ = ["FuriosaRuntimeError", "SessionClosed"]


class FuriosaRuntimeError(FuriosaModelsError):
    """Base of what a runner raises, but for wrong inputs (`TypeError`, `ValueError`)."""


class SessionClosed(FuriosaRuntimeError):
    """The runner was closed before."""

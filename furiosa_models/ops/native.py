"""Import of the Rust extension on first use. No other module imports it."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from types import ModuleType

from furiosa_models.enums import Platform
from furiosa_models.errors import BackendUnavailable

__all__ = ["is_selected", "load"]


def is_selected(platform: Platform | str) -> bool:
    """Return True if `platform` is Rust, False if it is Python.

    Raises:
        ValueError: It is any other platform.
    """
    chosen = Platform(platform)
    if chosen not in (Platform.RUST, Platform.PYTHON):
        msg = f"platform must be RUST or PYTHON, got {chosen.value}"
        raise ValueError(msg)
    return chosen is Platform.RUST


@cache
def load() -> ModuleType:
    """Return the module `furiosa_models._native`.

    Raises:
        BackendUnavailable: The extension cannot be imported.
    """
    try:
        return import_module("furiosa_models._native")
    except ImportError as error:
        msg = (
            f"the Rust extension furiosa_models._native cannot be imported ({error}). A source "
            "checkout hides the installed package: run `pip install -e .` in it, or leave its "
            'folder. To use the numpy implementation, pass postprocessor_type="python"'
        )
        raise BackendUnavailable(msg) from error

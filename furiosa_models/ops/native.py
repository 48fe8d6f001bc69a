"""The one place that imports the Rust extension, when it is first needed."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from types import ModuleType

from furiosa_models.enums import Platform
from furiosa_models.errors import BackendUnavailable

__all__ = ["is_selected", "load"]


def is_selected(platform: Platform | str) -> bool:
    """Return whether `platform` is Rust (True) or Python (False).

    Raises:
        ValueError: any other platform.
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
        BackendUnavailable: the extension is not beside the Python files.
    """
    try:
        return import_module("furiosa_models._native")
    except ImportError as error:
        msg = (
            f"the Rust extension furiosa_models._native cannot be imported ({error}). A source "
            "checkout hides the installed package: run `pip install -e .` in it or leave its "
            'folder; or ask for the numpy implementation with postprocessor_type="python"'
        )
        raise BackendUnavailable(msg) from error

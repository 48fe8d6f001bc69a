"""Which versions are at work."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as _version

__all__ = ["full_version", "version", "version_of"]

_RUNTIMES = ("onnxruntime", "openvino", "ai-edge-litert", "furiosa-runtime")


def version() -> str:
    """Version of this package."""
    return _version("furiosa-model-zoo")


def version_of(package: str) -> str | None:
    """Version of an installed package, or None."""
    try:
        return _version(package)
    except PackageNotFoundError:
        return None


def full_version() -> str:
    """Versions of this package and of the runtimes below it."""
    runtimes = ((name, version_of(name)) for name in _RUNTIMES)
    below = ", ".join(f"{name} {found}" for name, found in runtimes if found)
    return f"furiosa-model-zoo {version()} ({below})"

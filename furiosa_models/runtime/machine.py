"""What the machine is, and which versions are at work on it."""

from __future__ import annotations

import hashlib
import os
import platform
from functools import cache
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as _version
from pathlib import Path

__all__ = [
    "available_cpus",
    "cpu_features",
    "cpu_fingerprint",
    "cpu_name",
    "full_version",
    "share_of_cpus",
    "version",
    "version_of",
    "workers",
]

_MOST_WORKERS = 8  # each keeps a piece in memory
_CPUINFO = Path("/proc/cpuinfo")
_RUNTIMES = ("onnxruntime", "openvino", "ai-edge-litert", "furiosa-runtime")


def available_cpus() -> int:
    """CPUs that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def workers() -> int:
    """Threads that work on pieces of their own, where there are many pieces."""
    return min(available_cpus(), _MOST_WORKERS)


def share_of_cpus() -> int:
    """CPUs that each of the workers has."""
    return max(1, available_cpus() // workers())


@cache
def cpu_name() -> str:
    """Name of the CPU."""
    return _cpuinfo().get("model name") or platform.processor() or platform.machine()


@cache
def cpu_features() -> frozenset[str]:
    """Instruction sets of the CPU, as the kernel names them; empty where it does not say."""
    info = _cpuinfo()
    return frozenset((info.get("flags") or info.get("Features") or "").split())


@cache
def cpu_fingerprint() -> str:
    """A hash that differs between CPUs that may want different programs."""
    facts = [platform.system(), platform.machine(), *sorted(cpu_features())]
    if not cpu_features():
        facts.append(cpu_name())
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()[:16]


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


@cache
def _cpuinfo() -> dict[str, str]:
    try:
        lines = _CPUINFO.read_text().partition("\n\n")[0].splitlines()
    except OSError:
        return {}
    pairs = [line.partition(":") for line in lines]
    return {name.strip(): value.strip() for name, _, value in pairs}

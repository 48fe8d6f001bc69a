"""What the machine is, and which versions are installed on it."""

from __future__ import annotations

import hashlib
import os
import platform
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

__all__ = [
    "Fact",
    "available_cpus",
    "cpu_features",
    "cpu_fingerprint",
    "cpu_name",
    "full_version",
    "library_version",
    "share_of_cpus",
    "version",
    "version_of",
    "workers",
]

_MAX_WORKERS = 8  # each keeps a piece of work in memory
_CPUINFO = Path("/proc/cpuinfo")
_RUNTIMES = ("onnxruntime", "openvino", "ai-edge-litert", "furiosa-runtime")


@dataclass(frozen=True, slots=True)
class Fact:
    """Something that `furiosa-models doctor` found out.

    Attributes:
        topic: What it is about, in a word or two.
        finding: What was found.
        is_fine: False where it keeps something from working, None where it is neither.
        advice: What to do about it, or an empty string.
    """

    topic: str
    finding: str
    is_fine: bool | None = None
    advice: str = ""


def available_cpus() -> int:
    """Return the number of CPUs that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def workers() -> int:
    """Return the number of threads for work that consists of many independent pieces."""
    return min(available_cpus(), _MAX_WORKERS)


def share_of_cpus() -> int:
    """Return the number of CPUs that each of the workers has."""
    return max(1, available_cpus() // workers())


@cache
def cpu_name() -> str:
    """Return the name of the CPU."""
    return _cpuinfo().get("model name") or platform.processor() or platform.machine()


@cache
def cpu_features() -> frozenset[str]:
    """Return the instruction sets of the CPU by the kernel's names; none where it names none."""
    info = _cpuinfo()
    return frozenset((info.get("flags") or info.get("Features") or "").split())


@cache
def cpu_fingerprint() -> str:
    """Return a hash that differs between CPUs that may need different programs."""
    facts = [platform.system(), platform.machine(), *sorted(cpu_features())]
    if not cpu_features():
        facts.append(cpu_name())
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()[:16]


def version() -> str:
    """Return the version of this package."""
    return version_of("furiosa-model-zoo") or "unknown"


def version_of(package: str) -> str | None:
    """Return the version of an installed package, or None."""
    from importlib import metadata  # takes longer to import than all of the runtime

    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


@cache
def library_version(module: str, package: str) -> str | None:
    """Return the version of an installed library, the fastest way that there is.

    Args:
        module: Name of its module. One that is imported knows its version; asking the metadata
            takes ten milliseconds.
        package: Name of its distribution.
    """
    if loaded := sys.modules.get(module):
        return str(loaded.__version__).partition("-")[0]
    return version_of(package)


def full_version() -> str:
    """Return the versions of this package and of the runtimes that it runs models on."""
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

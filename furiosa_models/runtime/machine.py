"""Properties of the machine, and versions of installed packages."""

from __future__ import annotations

import hashlib
import math
import os
import platform
import re
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from .. import settings

__all__ = [
    "CUDA_LIBRARY",
    "Fact",
    "available_cpus",
    "cpu_features",
    "cpu_fingerprint",
    "cpu_name",
    "cpu_quota",
    "cpus_per_worker",
    "full_version",
    "installed_version",
    "library_version",
    "provider_library",
    "version",
    "workers",
]

CUDA_LIBRARY = "libonnxruntime_providers_cuda.so"
"""File of ONNX Runtime with the code for CUDA."""

_MAX_WORKERS = 8  # each holds a job in memory
_CPUINFO = Path("/proc/cpuinfo")
_GROUP = re.compile(r"\d+:((?:[^:]*,)?cpu(?:,[^:]*)?|):(.*)")
"""A line of /proc/self/cgroup about CPUs; version 1 names controllers, version 2 does not."""
_RUNTIMES = ("onnxruntime", "onnxruntime-gpu", "openvino", "ai-edge-litert", "furiosa-runtime")


@dataclass(frozen=True, slots=True)
class Fact:
    """A finding of `furiosa-models doctor`.

    Attributes:
        topic: Subject, in a word or two.
        finding: What was found.
        is_fine: False if it prevents something from working; None if neutral.
        advice: What to do about it; may be empty.
    """

    topic: str
    finding: str
    is_fine: bool | None = None
    advice: str = ""


def available_cpus() -> int:
    """Return the number of CPUs that this process may use: its affinity, limited by its quota.

    The quota is rounded up. If a container runs more threads than its quota has CPUs, the kernel
    throttles all of them. `FURIOSA_MODELS_THREADS` limits the number further.
    """
    has_affinity = hasattr(os, "sched_getaffinity")
    count = len(os.sched_getaffinity(0)) if has_affinity else os.cpu_count() or 1
    quota = _own_quota()
    limits = [settings.threads(), None if quota is None else math.ceil(quota)]
    return max(1, min([count, *(limit for limit in limits if limit is not None)]))


def cpu_quota(root: Path) -> float | None:
    """Return the CPU quota of this process's control groups as a number of CPUs, or None.

    The smallest quota of all parent groups applies, as in the kernel: cpu.max of version 2, and
    cpu.cfs_quota_us of version 1 (https://docs.kernel.org/admin-guide/cgroup-v2.html,
    https://docs.kernel.org/scheduler/sched-bwc.html).

    Args:
        root: `/`.
    """
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except (OSError, UnicodeDecodeError):
        return None
    top = root / "sys/fs/cgroup"
    quotas = []
    for line in lines:
        if not (match := _GROUP.fullmatch(line)):
            continue
        controllers, place = match.groups()
        bases = [top / controllers, top / "cpu"] if controllers else [top, top / "unified"]
        for base in filter(Path.is_dir, bases):
            path = base / place.strip("/")
            # In a container the mount may start at its own group, so its path may not exist.
            groups = [path, *path.parents]
            quotas += [_group_quota(group) for group in groups if group.is_relative_to(base)]
    return min((quota for quota in quotas if quota is not None), default=None)


def workers() -> int:
    """Return the number of threads for work that consists of many independent jobs."""
    return min(available_cpus(), _MAX_WORKERS)


def cpus_per_worker() -> int:
    """Return the number of CPUs per worker thread."""
    return max(1, available_cpus() // workers())


@cache
def cpu_name() -> str:
    """Return the name of the CPU."""
    return _cpuinfo().get("model name") or platform.processor() or platform.machine()


@cache
def cpu_features() -> frozenset[str]:
    """Return the CPU's instruction sets by the kernel's names; empty if unknown."""
    info = _cpuinfo()
    return frozenset((info.get("flags") or info.get("Features") or "").split())


@cache
def cpu_fingerprint() -> str:
    """Return a hash that differs between CPUs that may need different compiled programs."""
    facts = [platform.system(), platform.machine(), *sorted(cpu_features())]
    if not cpu_features():
        facts.append(cpu_name())
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()[:16]


def version() -> str:
    """Return the version of this package."""
    return installed_version("furiosa-model-zoo") or "unknown"


def installed_version(package: str) -> str | None:
    """Return the version of an installed package, or None."""
    from importlib import metadata  # slower to import than the whole runtime

    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


@cache
def library_version(module: str, package: str) -> str | None:
    """Return the version of an installed library, as fast as possible.

    Args:
        module: Name of its module. If it is imported, its version is known; reading the metadata
            takes ten milliseconds.
        package: Name of its distribution.
    """
    if loaded := sys.modules.get(module):
        return str(loaded.__version__).partition("-")[0]
    return installed_version(package)


def provider_library(name: str) -> Path | None:
    """Return the file of a provider of the installed ONNX Runtime, or None; imports nothing.

    Args:
        name: Name of the file, such as `CUDA_LIBRARY`.
    """
    from importlib.util import find_spec

    spec = find_spec("onnxruntime")
    if not name or spec is None or spec.origin is None:
        return None
    file = Path(spec.origin).parent / "capi" / name
    return file if file.is_file() else None


def full_version() -> str:
    """Return the versions of this package and of the installed runtimes."""
    runtimes = ((name, installed_version(name)) for name in _RUNTIMES)
    installed = ", ".join(f"{name} {found}" for name, found in runtimes if found)
    return f"furiosa-model-zoo {version()} ({installed})"


@cache
def _own_quota() -> float | None:
    return cpu_quota(Path("/"))


def _group_quota(group: Path) -> float | None:
    """Return the quota of one control group as a number of CPUs, or None."""
    try:
        if (file := group / "cpu.max").is_file():
            quota, period = file.read_text().split()
        else:
            quota = (group / "cpu.cfs_quota_us").read_text()
            period = (group / "cpu.cfs_period_us").read_text()
        cpus = float(quota) / float(period)
    except (OSError, ValueError, ZeroDivisionError):  # "max", or no quota
        return None
    return cpus if 0 < cpus < math.inf else None


@cache
def _cpuinfo() -> dict[str, str]:
    try:
        lines = _CPUINFO.read_text().partition("\n\n")[0].splitlines()
    except OSError:
        return {}
    pairs = [line.partition(":") for line in lines]
    return {name.strip(): value.strip() for name, _, value in pairs}

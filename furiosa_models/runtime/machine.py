"""What the machine is, and which versions are installed on it."""

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

__all__ = [
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
    "version",
    "workers",
]

_MAX_WORKERS = 8  # each keeps a piece of work in memory
_CPUINFO = Path("/proc/cpuinfo")
_GROUP = re.compile(r"\d+:((?:[^:]*,)?cpu(?:,[^:]*)?|):(.*)")
"""A line of /proc/self/cgroup about CPUs: of version 1 with its controllers, of 2 without."""
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
    """Return the number of CPUs that this process may use: its affinity, and its quota rounded up.

    More threads than a container's quota has CPUs are stopped together, again and again.
    """
    has_affinity = hasattr(os, "sched_getaffinity")
    count = len(os.sched_getaffinity(0)) if has_affinity else os.cpu_count() or 1
    quota = _own_quota()
    return count if quota is None else max(1, min(count, math.ceil(quota)))


def cpu_quota(root: Path) -> float | None:
    """Return how many CPUs' time the control groups of this process allow it, or None.

    The least quota on the way up counts, as in the kernel: cpu.max of version 2, and
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
            # A container sees its own group as the top, under which its path may not be.
            groups = [path, *path.parents]
            quotas += [_group_quota(group) for group in groups if group.is_relative_to(base)]
    return min((quota for quota in quotas if quota is not None), default=None)


def workers() -> int:
    """Return the number of threads for work that consists of many independent pieces."""
    return min(available_cpus(), _MAX_WORKERS)


def cpus_per_worker() -> int:
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
    return installed_version("furiosa-model-zoo") or "unknown"


def installed_version(package: str) -> str | None:
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
    return installed_version(package)


def full_version() -> str:
    """Return the versions of this package and of the runtimes that it runs models on."""
    runtimes = ((name, installed_version(name)) for name in _RUNTIMES)
    installed = ", ".join(f"{name} {found}" for name, found in runtimes if found)
    return f"furiosa-model-zoo {version()} ({installed})"


@cache
def _own_quota() -> float | None:
    return cpu_quota(Path("/"))


def _group_quota(group: Path) -> float | None:
    """Quota of one control group, as a number of CPUs."""
    try:
        if (file := group / "cpu.max").is_file():
            quota, period = file.read_text().split()
        else:
            quota = (group / "cpu.cfs_quota_us").read_text()
            period = (group / "cpu.cfs_period_us").read_text()
        cpus = float(quota) / float(period)
    except (OSError, ValueError, ZeroDivisionError):  # "max", or no quota here
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

"""Report what models can run on, to explain why it is not what the user expects."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from .. import settings
from ..errors import BackendUnavailable
from . import compiled, tuned
from .backends import backends, find_backend
from .devices import ENVIRONMENT, choose
from .machine import Fact, available_cpus, cpu_features, cpu_name, cpu_quota, version

__all__ = ["Fact", "diagnose"]

_RELEVANT_FEATURES = (
    "avx2",
    "avx_vnni",
    "avx512f",
    "avx512_vnni",
    "avx512_bf16",
    "amx_int8",
    "asimddp",
    "i8mm",
)


def diagnose() -> list[Fact]:
    """Return all findings. Imports the vendor runtime, but downloads nothing."""
    return [
        Fact("package", f"furiosa-model-zoo {version()}, Python {sys.version.split()[0]}"),
        *_cpu(),
        *(fact for backend in backends() for fact in backend.facts()),
        _cache(),
        _compiled(),
        _tuned(),
        *_environment(),
        _verdict(),
    ]


def _cpu() -> list[Fact]:
    relevant = [name for name in _RELEVANT_FEATURES if name in cpu_features()]
    quota = cpu_quota(Path("/"))
    limit = "" if quota is None else f", by a quota of {quota:g}"
    return [
        Fact("CPU", f"{cpu_name()} ({', '.join(relevant) or 'features unknown'})"),
        Fact("threads", f"{available_cpus()} of {os.cpu_count()} CPUs may be used{limit}"),
    ]


def _cache() -> Fact:
    home = settings.cache_home()
    writable = os.access(_nearest_existing(home), os.W_OK)
    advice = "" if writable else "set FURIOSA_MODELS_CACHE_HOME to a writable folder"
    return Fact("cache", f"{home}{'' if writable else ', not writable'}", writable, advice)


def _compiled() -> Fact:
    if not compiled.is_enabled():
        return Fact("compiled programs", "disabled by FURIOSA_MODELS_COMPILED")
    entries = compiled.entries()
    size = sum(entry.size for entry in entries) / 2**20
    stale = sum(not entry.is_current for entry in entries)
    return Fact(
        "compiled programs",
        f"{len(entries)} with {size:.0f} MiB in {compiled.home()}"
        + (f", {stale} of another machine or version" if stale else ""),
    )


def _tuned() -> Fact:
    entries = tuned.entries()
    stale = sum(not entry.is_current for entry in entries)
    return Fact(
        "tuned programs",
        f"{len(entries) - stale} on this machine"
        + (f", {stale} of another machine or version" if stale else ""),
        None,
        "" if entries else "`furiosa-models tune MODEL` finds the fastest device and threads",
    )


def _environment() -> list[Fact]:
    found = {name: os.environ.get(name) for name in ENVIRONMENT}
    return [Fact("environment", f"{name}={value}") for name, value in found.items() if value]


def _verdict() -> Fact:
    try:
        choice = choose(None)
    except (BackendUnavailable, ValueError) as error:
        return Fact("models run on", "nothing", is_fine=False, advice=str(error))
    backend = find_backend(choice.backend)
    place = backend.place_of(choice.device) if backend is not None else ""
    return Fact("models run on", place or choice.backend, is_fine=True, advice=choice.reason)


def _nearest_existing(folder: Path) -> Path:
    return next(path for path in (folder, *folder.absolute().parents) if path.exists())

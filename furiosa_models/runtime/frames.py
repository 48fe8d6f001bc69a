"""Where the methods of `Profiler` that give data frames were before."""

from __future__ import annotations

from .profiling import Profiler as Frames

__all__ = ["Frames"]

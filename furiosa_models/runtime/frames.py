"""Former location of the methods of `Profiler` that return data frames."""

from __future__ import annotations

from .profiling import Profiler as Frames

__all__ = ["Frames"]

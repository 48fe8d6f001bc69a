"""Follow objects through the frames of a video."""

from __future__ import annotations

from .tracker import TRACKERS, Tracker

__all__ = ["TRACKERS", "Tracker"]

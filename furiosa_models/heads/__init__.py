"""Heads: from a network's raw outputs to results in pixels of the photo.

A head is data (a frozen dataclass that a model declares) with one method, `decode`. It has no
state, so one head serves any number of photos, batches and threads.
"""

from __future__ import annotations

from .classification import ClassificationHead
from .pose import PoseHead
from .ssd import SSDHead
from .yolo import YOLOv5Head

__all__ = ["ClassificationHead", "PoseHead", "SSDHead", "YOLOv5Head"]

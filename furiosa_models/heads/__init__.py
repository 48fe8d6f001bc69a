"""Heads: convert a network's raw outputs to results in pixels of the photo.

A head is data (a frozen dataclass that a model declares) with one main method, `decode`. It has no
state, so one head can serve any number of photos, batches and threads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._lazy import lazy

if TYPE_CHECKING:
    from .anchor_free import GridHead
    from .auto import AnyClassifier, AnyDetector, AnyInstances, AnyMatte, AnyPose, AnySegmenter
    from .boxes import BoxesHead
    from .center_pose import CenterPoseHead
    from .classification import ClassificationHead
    from .mask_queries import MaskQueriesHead, SemanticQueriesHead
    from .matte import MatteHead
    from .part_pose import PartPoseHead
    from .pose import PoseColumnsHead, PoseHead
    from .queries import DFineHead, QueryHead
    from .semantic import SemanticHead
    from .single_pose import SinglePoseHead
    from .ssd import SSDHead
    from .yolo import YOLOv5Head

__all__ = [
    "AnyClassifier",
    "AnyDetector",
    "AnyInstances",
    "AnyMatte",
    "AnyPose",
    "AnySegmenter",
    "BoxesHead",
    "CenterPoseHead",
    "ClassificationHead",
    "DFineHead",
    "GridHead",
    "MaskQueriesHead",
    "MatteHead",
    "PartPoseHead",
    "PoseColumnsHead",
    "PoseHead",
    "QueryHead",
    "SSDHead",
    "SemanticHead",
    "SemanticQueriesHead",
    "SinglePoseHead",
    "YOLOv5Head",
]

__getattr__, __dir__ = lazy(
    __name__,
    {
        "boxes": "BoxesHead",
        "center_pose": "CenterPoseHead",
        "classification": "ClassificationHead",
        "anchor_free": "GridHead",
        "mask_queries": ["MaskQueriesHead", "SemanticQueriesHead"],
        "matte": "MatteHead",
        "part_pose": "PartPoseHead",
        "pose": ["PoseColumnsHead", "PoseHead"],
        "queries": ["DFineHead", "QueryHead"],
        "auto": [
            *("AnyClassifier", "AnyDetector", "AnyInstances", "AnyMatte", "AnyPose"),
            "AnySegmenter",
        ],
        "semantic": "SemanticHead",
        "single_pose": "SinglePoseHead",
        "ssd": "SSDHead",
        "yolo": "YOLOv5Head",
    },
)

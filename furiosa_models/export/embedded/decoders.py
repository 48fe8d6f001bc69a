"""The decoder of each head, and the options that a user of the graph may override."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from ...errors import ConversionError
from ...heads.anchor_free import GridHead
from ...heads.boxes import BoxesHead
from ...heads.center_pose import CHANNELS, CenterPoseHead
from ...heads.classification import TOP_K, ClassificationHead
from ...heads.matte import MatteHead
from ...heads.pose import PoseColumnsHead, PoseHead
from ...heads.queries import DFineHead, QueryHead
from ...heads.semantic import SemanticHead
from ...heads.single_pose import CHANNELS as SINGLE_CHANNELS
from ...heads.single_pose import SinglePoseHead
from ...heads.ssd import SSDHead
from ...heads.yolo import YOLOv5Head
from ...ops.checks import check_count
from ...spec import Head
from .center_pose import decode_center_pose
from .classification import decode_classes
from .columns import decode_boxes, decode_cells, decode_pose_columns
from .maps import decode_matte, decode_semantic
from .outputs import Scene
from .single_pose import decode_single_pose
from .ssd import decode_ssd
from .values import LIMITLESS, Value
from .yolo import decode_pose_maps, decode_yolo

__all__ = ["decode", "default_options"]

_DECODERS: Mapping[type[Head], Callable[[Scene, Any], dict[str, Value]]] = MappingProxyType(
    {
        BoxesHead: decode_boxes,
        CenterPoseHead: decode_center_pose,
        ClassificationHead: decode_classes,
        DFineHead: decode_boxes,
        GridHead: decode_cells,
        MatteHead: decode_matte,
        PoseColumnsHead: decode_pose_columns,
        PoseHead: decode_pose_maps,
        QueryHead: decode_boxes,
        SSDHead: decode_ssd,
        SemanticHead: decode_semantic,
        SinglePoseHead: decode_single_pose,
        YOLOv5Head: decode_yolo,
    }
)


def decode(scene: Scene, head: Head) -> dict[str, Value]:
    """Add the nodes from the network's outputs to the results; return these by name.

    Raises:
        ConversionError: The head cannot be expressed in a graph.
        ShapeError: The network has another number of outputs than the head decodes.
    """
    decoder = _decoder(head)
    count = _output_count(head)
    if count is not None:
        check_count(scene.outputs, count)
    return decoder(scene, head)


def _output_count(head: Head) -> int | None:
    """Return the number of outputs that a head decodes, or None if it selects some of them."""
    if isinstance(head, (ClassificationHead, PoseColumnsHead)):
        return 1
    if isinstance(head, CenterPoseHead):
        return len(CHANNELS)
    if isinstance(head, SinglePoseHead):
        return len(SINGLE_CHANNELS)
    if isinstance(head, SSDHead):
        return 2 * len(head.feature_maps)
    if isinstance(head, (PoseHead, YOLOv5Head)):
        return len(head.strides) * (2 if isinstance(head, PoseHead) else 1)
    return None


def default_options(head: Head) -> dict[str, npt.NDArray[Any]]:
    """Return the options of a head's decoder by name, as scalars with their defaults.

    Raises:
        ConversionError: The head cannot be expressed in a graph.
    """
    _decoder(head)
    if isinstance(head, ClassificationHead):
        is_choice = head.activation == "argmax"
        return {} if is_choice else {"top_k": np.array(TOP_K, np.int64)}
    if isinstance(head, (MatteHead, SemanticHead)):
        return {}
    known: Any = head.boxes_head() if isinstance(head, GridHead) else head
    options = {"score_threshold": np.array(known.score_threshold, np.float32)}
    if isinstance(head, SinglePoseHead):
        return options
    if getattr(known, "suppress", True):
        options["iou_threshold"] = np.array(known.iou_threshold, np.float32)
    limit = LIMITLESS if known.max_detections is None else known.max_detections
    return {**options, "max_detections": np.array(limit, np.int64)}


def _decoder(head: Head) -> Callable[[Scene, Any], dict[str, Value]]:
    # A subclass may decode in its own way, so only the classes themselves are known.
    decoder = _DECODERS.get(type(head))
    if decoder is None:
        known = ", ".join(sorted(kind.__name__ for kind in _DECODERS))
        msg = (
            f"the decoding of {type(head).__name__} cannot be embedded in a graph: expected one of "
            f"{known}. Export without embed=True, and decode the outputs yourself"
        )
        raise ConversionError(msg)
    return decoder

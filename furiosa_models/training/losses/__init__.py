"""Losses: what training minimizes, one file for each family of heads.

Importing the names of this package, except `loss_of` and `register_loss`, imports torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..._lazy import lazy

if TYPE_CHECKING:
    from .classification import ClassificationLoss
    from .detr import DETRLoss
    from .dfine import DFineLoss
    from .masks import MaskQueriesLoss
    from .pixels import MatteLoss, SemanticLoss
    from .ssd import SSDLoss
    from .table import Loss, loss_of, register_loss
    from .yolov5 import YOLOv5Loss

__all__ = [
    "ClassificationLoss",
    "DETRLoss",
    "DFineLoss",
    "Loss",
    "MaskQueriesLoss",
    "MatteLoss",
    "SSDLoss",
    "SemanticLoss",
    "YOLOv5Loss",
    "loss_of",
    "register_loss",
]

__getattr__, __dir__ = lazy(
    __name__,
    {
        "table": ["Loss", "loss_of", "register_loss"],
        "classification": "ClassificationLoss",
        "detr": "DETRLoss",
        "dfine": "DFineLoss",
        "masks": "MaskQueriesLoss",
        "pixels": ["MatteLoss", "SemanticLoss"],
        "ssd": "SSDLoss",
        "yolov5": "YOLOv5Loss",
    },
)

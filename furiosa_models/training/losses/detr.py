"""Set loss of detectors with queries: DETR (Carion et al. 2020), in the form of RT-DETR.

Queries are matched to objects one to one (`matching`). Matched queries learn the box by L1 and
GIoU (Rezatofighi et al. 2019), and the class by varifocal loss (Zhang et al. 2020): the score that
a query learns for its object's class is the IoU of its box, and 0 for all other classes. Networks
of the zoo learn so at every decoder layer, and when they choose queries, each with a matching of
its own (auxiliary outputs). Weights are those of RT-DETR (Lv et al. 2023, arXiv:2304.08069).

The authors also train queries that are made from labels with noise (contrastive denoising). This
loss does not: that makes training from random weights faster, and a network that starts from a
checkpoint needs it less.

Importing this module imports torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
import torch.nn.functional as F  # its customary name

from ...errors import ConfigurationError, ShapeError
from ...heads.queries import QueryHead
from ..targets import Target, Tensor
from .common import LabeledBoxes, as_logits, check_batch, check_weight, labeled_boxes, pairs_of
from .matching import Matches, match

__all__ = ["DETRLoss", "Prediction", "box_losses", "class_loss", "labeled_batch", "pair_iou"]

_COST_ALPHA, _GAMMA = 0.25, 2.0
_COSTS = (2.0, 5.0, 2.0)
"""Weights of the costs of class, L1 distance and GIoU in the matching."""
_TINY = 1e-8


class Prediction(NamedTuple):
    """What a layer predicts for each query.

    Attributes:
        logits: (n, queries, classes) float32, without a background.
        boxes: (n, queries, 4) float32: centers and sizes, as fractions of the input.
    """

    logits: Tensor
    boxes: Tensor


@dataclass(frozen=True, slots=True)
class DETRLoss:
    """Varifocal loss of the classes, and L1 and GIoU losses of the boxes, of matched queries.

    Each is a sum over queries and predictions, divided by the number of objects in the batch, of
    which several processes count their own.

    Attributes:
        head: Head of the network.
        class_weight: Weight of the varifocal loss.
        box_weight: Weight of the L1 loss.
        giou_weight: Weight of the GIoU loss.
        alpha: Weight of scores that should be 0, in the varifocal loss.
        gamma: Exponent that reduces the weight of scores that are almost 0.

    Raises:
        ConfigurationError: The outputs are not scores and boxes of queries that can be trained; or
            another option is not a finite number of at least 0.
    """

    takes_auxiliary: ClassVar[bool] = True

    head: QueryHead
    class_weight: float = 1.0
    box_weight: float = 5.0
    giou_weight: float = 2.0
    alpha: float = 0.75
    gamma: float = _GAMMA

    def __post_init__(self) -> None:
        for name in ("class_weight", "box_weight", "giou_weight", "alpha", "gamma"):
            check_weight(name, getattr(self, name))
        head = self.head
        is_other = head.scores is None or head.classes is not None or head.objectness
        is_unlike = head.activation == "softmax" or head.unit != "fraction" or head.transposed
        if is_other or is_unlike or head.box_format not in ("cxcywh", "xyxy"):
            msg = (
                "queries are trained if an output has sigmoid scores of all classes, and another "
                f"boxes cxcywh or xyxy as fractions, got {head}"
            )
            raise ConfigurationError(msg)

    def __call__(
        self,
        outputs: Sequence[Tensor],
        targets: Sequence[Target],
        size: tuple[int, int],
        auxiliary: Sequence[Tensor] = (),
    ) -> dict[str, Tensor]:
        """Return `loss_class`, `loss_box` and `loss_giou`; see `Loss`.

        Args:
            outputs: Scores (n, queries, classes) and boxes (n, queries, 4), as the head says.
            targets: Objects of each image.
            size: Height and width of the network's input.
            auxiliary: Logits and boxes of other layers, alternating.

        Raises:
            ShapeError: Outputs or targets have the wrong count or shape.
            LabelsError: A class id does not belong to the network's classes.
        """
        last = self.prediction(outputs, targets)
        others = [self.checked(*pair) for pair in pairs_of(auxiliary)]
        objects, counts = labeled_batch(targets, size, last)
        total = {"loss_class": 0.0, "loss_box": 0.0, "loss_giou": 0.0}
        for each in (last, *others):
            matches = self.match(each, objects, counts)
            box, giou = box_losses(each, objects, matches)
            number = max(len(objects.boxes), 1)
            total["loss_class"] += self.classified(each, objects, matches) / number
            total["loss_box"] += box * (self.box_weight / number)
            total["loss_giou"] += giou * (self.giou_weight / number)
        return total

    def prediction(self, outputs: Sequence[Tensor], targets: Sequence[Target]) -> Prediction:
        """Return the outputs that the head reads.

        Raises:
            ShapeError: Outputs or targets have the wrong count or shape.
        """
        head = self.head
        places = (head.scores, head.boxes)
        if len(outputs) <= max(place or 0 for place in places):
            msg = f"expected scores and boxes in the outputs {places}, got {len(outputs)} outputs"
            raise ShapeError(msg)
        scores, boxes = (outputs[place or 0] for place in places)
        check_batch([scores], 1, targets)
        return self.checked(scores, boxes)

    def checked(self, scores: Tensor, boxes: Tensor) -> Prediction:
        """Return the prediction of a layer, as logits and centers.

        Raises:
            ShapeError: There is not a box for each row of scores.
        """
        if scores.ndim != 3 or boxes.shape != (*scores.shape[:2], 4):
            msg = (
                "expected scores (n, queries, classes) and boxes (n, queries, 4), got "
                f"{tuple(scores.shape)} and {tuple(boxes.shape)}"
            )
            raise ShapeError(msg)
        background = {"first": slice(1, None), "last": slice(-1), None: slice(None)}
        logits = scores.float()[..., background[self.head.background]]
        if self.head.activation == "none":
            logits = as_logits(logits)
        boxes = boxes.float()
        if self.head.box_format == "xyxy":
            boxes = _centers(boxes)
        return Prediction(logits, boxes)

    def classified(self, prediction: Prediction, objects: LabeledBoxes, matches: Matches) -> Tensor:
        """Return the weighted sum of the varifocal loss."""
        return self.class_weight * class_loss(
            prediction, objects, matches, alpha=self.alpha, gamma=self.gamma
        )

    def match(
        self, prediction: Prediction, objects: LabeledBoxes, counts: Sequence[int]
    ) -> Matches:
        """Return the query of each object."""
        with torch.no_grad():
            images = zip(
                *prediction,
                objects.class_ids.split(list(counts)),
                objects.boxes.split(list(counts)),
                strict=True,
            )
            costs = [_costs(*image) for image in images]
        return match(costs, prediction.logits.device)


def labeled_batch(
    targets: Sequence[Target], size: tuple[int, int], prediction: Prediction
) -> tuple[LabeledBoxes, list[int]]:
    """Return the objects of a batch, with boxes xyxy as fractions, and their number by image.

    Raises:
        ShapeError: A target has no boxes, or not one class id for each.
        LabelsError: A class id does not belong to the network's classes.
    """
    device, classes = prediction.logits.device, prediction.logits.shape[2]
    images = [labeled_boxes(target, size, classes, device) for target in targets]
    objects = LabeledBoxes(*(torch.cat(column) for column in zip(*images, strict=True)))
    return objects, [len(image.boxes) for image in images]


def box_losses(
    prediction: Prediction, objects: LabeledBoxes, matches: Matches
) -> tuple[Tensor, Tensor]:
    """Return the sums of the L1 loss and of the GIoU loss of matched queries."""
    found, expected = prediction.boxes[matches.places], objects.boxes[matches.objects]
    giou = _generalized(_corners(found), expected)
    return (found - _centers(expected)).abs().sum(), (1 - giou).sum()


def class_loss(
    prediction: Prediction,
    objects: LabeledBoxes,
    matches: Matches,
    *,
    alpha: float,
    gamma: float,
) -> Tensor:
    """Return the sum of the varifocal loss of all queries and classes."""
    logits = prediction.logits
    expected = torch.zeros_like(logits)
    is_class = torch.zeros_like(logits, dtype=torch.bool)
    place = (*matches.places, objects.class_ids[matches.objects])
    expected[place] = pair_iou(prediction, objects, matches)
    is_class[place] = True
    scores = logits.detach().sigmoid()
    weight = torch.where(is_class, expected, alpha * scores.pow(gamma))
    return F.binary_cross_entropy_with_logits(logits, expected, weight, reduction="sum")


def pair_iou(prediction: Prediction, objects: LabeledBoxes, matches: Matches) -> Tensor:
    """Return the IoU of each matched query and its object, (k,), without a gradient."""
    found = _corners(prediction.boxes[matches.places].detach())
    shared, union = _overlap(found, objects.boxes[matches.objects])
    return shared / union


def _costs(logits: Tensor, boxes: Tensor, class_ids: Tensor, expected: Tensor) -> Tensor:
    """Return the cost of each query and object of an image, (queries, objects)."""
    scores = logits.sigmoid()[:, class_ids]
    unlike = (1 - _COST_ALPHA) * scores.pow(_GAMMA) * -(1 - scores + _TINY).log()
    like = _COST_ALPHA * (1 - scores).pow(_GAMMA) * -(scores + _TINY).log()
    distance = torch.cdist(boxes, _centers(expected), p=1)
    giou = _generalized(_corners(boxes)[:, None], expected[None])
    for_class, for_box, for_giou = _COSTS
    return for_class * (like - unlike) + for_box * distance - for_giou * giou


def _overlap(boxes: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
    """Return the areas of intersection and union of boxes (..., 4) xyxy."""
    low = torch.maximum(boxes[..., :2], others[..., :2])
    high = torch.minimum(boxes[..., 2:], others[..., 2:])
    shared = (high - low).clamp(min=0).prod(dim=-1)
    areas = [(each[..., 2:] - each[..., :2]).prod(dim=-1) for each in (boxes, others)]
    return shared, areas[0] + areas[1] - shared


def _generalized(boxes: Tensor, others: Tensor) -> Tensor:
    """Return the generalized IoU of boxes (..., 4) xyxy."""
    shared, union = _overlap(boxes, others)
    low = torch.minimum(boxes[..., :2], others[..., :2])
    high = torch.maximum(boxes[..., 2:], others[..., 2:])
    hull = (high - low).prod(dim=-1)
    return shared / union - (hull - union) / hull


def _corners(boxes: Tensor) -> Tensor:
    """Return boxes cxcywh as xyxy."""
    center, size = boxes.split(2, dim=-1)
    return torch.cat((center - size / 2, center + size / 2), dim=-1)


def _centers(boxes: Tensor) -> Tensor:
    """Return boxes xyxy as cxcywh."""
    low, high = boxes.split(2, dim=-1)
    return torch.cat(((low + high) / 2, high - low), dim=-1)

"""Loss of Single Shot MultiBox Detectors (Liu et al. 2016, arXiv:1512.02325, section 2.2).

A default box learns an object that it overlaps by an IoU of at least 0.5, and each object is
learned by at least the default box that overlaps it most. Of the other default boxes, those with
the highest loss learn the background: three for each default box with an object.

With a softmax, this is the loss of torchvision and of MLPerf's SSDResNet34. With a sigmoid, each
column of the class maps, the background's included, is a classifier of its own; this is the loss of
TensorFlow's SSD MobileNet, whose hard example miner also leaves out boxes with almost equal
predictions (IoU above 0.99), which the paper and this loss do not.

Importing this module imports torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import torch
import torch.nn.functional as F  # its customary name

from ...errors import ConfigurationError, ShapeError
from ...heads.ssd import CENTER_SCALE, SIZE_SCALE, SSDHead
from ...ops.checks import check_at_least, check_unit
from ..targets import Target, Tensor
from .common import LabeledBoxes, as_log_probabilities, as_logits, check_batch, labeled_boxes

__all__ = ["SSDLoss"]

ClassActivation: TypeAlias = Literal["sigmoid", "softmax"]


@dataclass(frozen=True, slots=True)
class SSDLoss:
    """Smooth L1 loss of the boxes and cross-entropy of the classes, with hard negative mining.

    Both are sums divided by the number of default boxes with an object in the batch.

    Attributes:
        head: Head of the network.
        activation: What gives the scores, `sigmoid` or `softmax`; None for what the head says. It
            has to be given if the graph applies it (the head's `none`).
        iou_threshold: Least IoU of a default box and its object, in 0..1.
        negatives: Number of default boxes that learn the background, for each one with an object.
        min_negatives: Least number of them in an image, so that an image without objects counts.

    Raises:
        ConfigurationError: The activation is unknown, or differs from the head's; or `negatives` is
            negative.
        ValueError: `iou_threshold` is not between 0 and 1, or `min_negatives` is negative.
    """

    head: SSDHead
    activation: ClassActivation | None = None
    iou_threshold: float = 0.5
    negatives: float = 3.0
    min_negatives: int = 0

    def __post_init__(self) -> None:
        check_unit("iou_threshold", self.iou_threshold)
        check_at_least("min_negatives", self.min_negatives, 0)
        if not self.negatives >= 0:
            msg = f"negatives must be a number of at least 0, got {self.negatives!r}"
            raise ConfigurationError(msg)
        object.__setattr__(self, "activation", _activation(self.head, self.activation))

    def __call__(
        self, outputs: Sequence[Tensor], targets: Sequence[Target], size: tuple[int, int]
    ) -> dict[str, Tensor]:
        """Return `loss_class` and `loss_box`; see `Loss`.

        Args:
            outputs: Class and box maps, (n, a * (1 + c), h, w) and (n, a * 4, h, w).
            targets: Objects of each image.
            size: Height and width of the network's input.

        Raises:
            ShapeError: Outputs or targets have the wrong count or shape.
            LabelsError: A class id does not belong to the network's classes.
        """
        check_batch(outputs, 2 * len(self.head.feature_maps), targets)
        scores, deltas, anchors = self._columns(outputs)
        device, count = scores.device, scores.shape[2] - 1
        images = [labeled_boxes(target, size, count, device) for target in targets]
        owners = self._owners(images, anchors)
        positive = owners >= 0
        objects = LabeledBoxes(*(torch.cat(column) for column in zip(*images, strict=True)))
        rows = owners[positive]
        classes = torch.zeros_like(owners)
        classes[positive] = objects.class_ids[rows] + 1
        losses = self._class_losses(scores, classes)
        learned = positive | self._hard_negatives(losses.detach(), positive)
        own = anchors.expand(len(images), -1, -1)[positive]
        box_loss = F.smooth_l1_loss(
            deltas[positive], _deltas(objects.boxes[rows], own), reduction="sum"
        )
        matches = max(len(rows), 1)
        return {"loss_class": losses[learned].sum() / matches, "loss_box": box_loss / matches}

    def _columns(self, outputs: Sequence[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Return scores (n, anchors, 1 + c), deltas xywh (n, anchors, 4) and anchors, in float32.

        Raises:
            ShapeError: The maps do not belong to one batch, or to the head's default boxes.
        """
        class_maps, box_maps = self.head.class_maps(outputs), self.head.box_maps(outputs)
        _check_maps(class_maps, box_maps, self.head.feature_maps)
        scores, deltas = [], []
        for of_classes, of_boxes in zip(class_maps, box_maps, strict=True):
            per_cell = of_boxes.shape[1] // 4
            scores.append(self._rows(of_classes, per_cell))
            deltas.append(self._rows(of_boxes, per_cell))
        # The head's arrays are shared and read-only, which PyTorch cannot express: this copies.
        anchors = torch.tensor(self.head.default_boxes(), device=outputs[0].device)
        order = [0, 1, 2, 3] if self.head.deltas == "xywh" else [1, 0, 3, 2]
        columns = torch.cat(scores, dim=1), torch.cat(deltas, dim=1)[..., order]
        if len(anchors) != columns[0].shape[1]:
            msg = f"the maps have {columns[0].shape[1]} anchors, the head {len(anchors)}"
            raise ShapeError(msg)
        return *columns, anchors

    def _rows(self, values: Tensor, per_cell: int) -> Tensor:
        """Return a map (n, a * k, h, w) as rows (n, anchors, k), in the order of default boxes."""
        images, channels, height, width = values.shape
        each, cells = channels // per_cell, height * width
        if self.head.channels == "class":
            rows = values.reshape(images, each, per_cell * cells).transpose(1, 2)
        else:
            rows = values.reshape(images, per_cell, each, cells).permute(0, 3, 1, 2)
        return rows.reshape(images, cells * per_cell, each).float()

    def _owners(self, images: Sequence[LabeledBoxes], anchors: Tensor) -> Tensor:
        """Return the object of each default box, (n, anchors) int64; -1 for none.

        Objects are counted through the whole batch.
        """
        center, half = anchors[:, :2], anchors[:, 2:] / 2
        corners = torch.cat((center - half, center + half), dim=1)
        owners, first = [], 0
        for image in images:
            own = _match(image.boxes, corners, self.iou_threshold)
            owners.append(torch.where(own >= 0, own + first, own))
            first += len(image.boxes)
        return torch.stack(owners)

    def _class_losses(self, scores: Tensor, classes: Tensor) -> Tensor:
        """Return the loss of each default box, (n, anchors)."""
        inside = self.head.activation == "none"
        if self.activation == "softmax":
            logits = as_log_probabilities(scores) if inside else scores
            return F.cross_entropy(logits.transpose(1, 2), classes, reduction="none")
        logits = as_logits(scores) if inside else scores
        expected = F.one_hot(classes, scores.shape[2]).to(logits.dtype)
        return F.binary_cross_entropy_with_logits(logits, expected, reduction="none").sum(dim=2)

    def _hard_negatives(self, losses: Tensor, positive: Tensor) -> Tensor:
        """Return which default boxes learn the background, (n, anchors) bool."""
        ranked = losses.masked_fill(positive, -torch.inf)
        rank = ranked.argsort(dim=1, descending=True, stable=True).argsort(dim=1)
        limit = (self.negatives * positive.sum(dim=1, keepdim=True)).floor()
        return ~positive & (rank < limit.clamp(min=self.min_negatives))


def _activation(head: SSDHead, given: str | None) -> str:
    if given not in (None, *get_args(ClassActivation)):
        msg = f"activation must be sigmoid or softmax, got {given!r}"
        raise ConfigurationError(msg)
    if head.activation == "none":
        if given is None:
            msg = (
                "the graph ends in an activation, and its scores do not say which: pass "
                "activation='sigmoid' or 'softmax'"
            )
            raise ConfigurationError(msg)
        return given
    if given not in (None, head.activation):
        msg = f"the head's activation is {head.activation}, got {given}: change the head's"
        raise ConfigurationError(msg)
    return head.activation


def _check_maps(
    class_maps: Sequence[Tensor], box_maps: Sequence[Tensor], sides: Sequence[int]
) -> None:
    shape = box_maps[0].shape
    classes = class_maps[0].shape[1] * 4 // max(shape[1], 1)
    for i, (side, scores, boxes) in enumerate(zip(sides, class_maps, box_maps, strict=True)):
        per_cell = max(boxes.shape[1] // 4, 1)
        expected = [(shape[0], per_cell * count, side, side) for count in (max(classes, 2), 4)]
        got = [tuple(scores.shape), tuple(boxes.shape)]
        if got != expected:
            msg = f"expected a class map {expected[0]} and a box map {expected[1]} at level {i}, "
            raise ShapeError(msg + f"got {got[0]} and {got[1]}")


def _match(boxes: Tensor, anchors: Tensor, threshold: float) -> Tensor:
    """Return the object that each default box learns, (anchors,) int64; -1 for none.

    Of several objects, it learns the one that needs it, else the one that it overlaps most.

    Args:
        boxes: (n, 4) xyxy.
        anchors: (anchors, 4) xyxy.
        threshold: Least IoU.
    """
    none = torch.full((len(anchors),), -1, dtype=torch.int64, device=anchors.device)
    if not len(boxes):
        return none
    iou = _iou(boxes, anchors)
    overlap, nearest = iou.max(dim=0)
    owners = torch.where(overlap >= threshold, nearest, none)
    best = iou.argmax(dim=1, keepdim=True)
    needed = torch.zeros_like(iou).scatter_(1, best, iou.gather(1, best))
    overlap, needing = needed.max(dim=0)
    return torch.where(overlap > 0, needing, owners)


def _iou(boxes: Tensor, anchors: Tensor) -> Tensor:
    """Return the intersection over union of every pair of boxes, (n, anchors)."""
    low = torch.maximum(boxes[:, None, :2], anchors[:, :2])
    high = torch.minimum(boxes[:, None, 2:], anchors[:, 2:])
    shared = (high - low).clamp(min=0).prod(dim=2)
    areas = [(each[:, 2:] - each[:, :2]).prod(dim=1) for each in (boxes, anchors)]
    return shared / (areas[0][:, None] + areas[1] - shared)


def _deltas(boxes: Tensor, anchors: Tensor) -> Tensor:
    """Return what the network has to predict for boxes xyxy at anchors cxcywh, (n, 4) xywh."""
    low, high = boxes.split(2, dim=1)
    center, side = anchors.split(2, dim=1)
    shift = ((low + high) / 2 - center) / side / float(CENTER_SCALE)
    growth = ((high - low) / side).log() / float(SIZE_SCALE)
    return torch.cat((shift, growth), dim=1)

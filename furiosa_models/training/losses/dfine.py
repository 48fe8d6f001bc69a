"""Loss of D-FINE: the set loss of RT-DETR, and losses of the distributions of edges.

Peng et al. 2024, arXiv:2410.13842, section 4, and the authors' code: fine-grained localization
(FGL) is the cross-entropy of the two bins beside an edge's distance, weighted by the IoU; in
decoupled distillation (DDF), the distributions of the last layer teach those of the layers before.
Boxes and distributions are learned by every query that some layer matched to an object.

Importing this module imports torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F  # its customary name

from ...errors import ShapeError
from ...networks.builders.dfine import BINS, SCALE, bin_distances
from ..targets import Target, Tensor
from .common import LabeledBoxes, check_weight
from .detr import DETRLoss, Prediction, box_losses, labeled_batch, pair_iou
from .matching import Matches

__all__ = ["DFineLoss"]

_TEMPERATURE = 5.0
_IMAGES = 8
"""Number of images whose queries weigh as much as they do in the authors' batches."""


class _Outputs(NamedTuple):
    """Outputs of a network that trains.

    Attributes:
        predictions: The last layer's; that of the chosen queries, that which the distributions
            start from, and those of the layers before the last.
        start: (n, queries, 4) boxes that the distributions move.
        bins: Logits (n, queries, 4, bins) of the layers before the last, and then of the last.
    """

    predictions: Sequence[Prediction]
    start: Tensor
    bins: Sequence[Tensor]


@dataclass(frozen=True, slots=True)
class DFineLoss(DETRLoss):
    """Losses of `DETRLoss`, and of the distributions of the edges.

    Without auxiliary outputs, as of a graph of a user, it is `DETRLoss`.

    Attributes:
        head: Head of the network.
        class_weight: See `DETRLoss`, as for the others.
        box_weight: Weight of the L1 loss.
        giou_weight: Weight of the GIoU loss.
        alpha: Weight of scores that should be 0.
        gamma: Exponent that reduces the weight of scores that are almost 0.
        edge_weight: Weight of fine-grained localization.
        distillation_weight: Weight of decoupled distillation.
    """

    edge_weight: float = 0.15
    distillation_weight: float = 1.5

    def __post_init__(self) -> None:
        DETRLoss.__post_init__(self)
        for name in ("edge_weight", "distillation_weight"):
            check_weight(name, getattr(self, name))

    def __call__(
        self,
        outputs: Sequence[Tensor],
        targets: Sequence[Target],
        size: tuple[int, int],
        auxiliary: Sequence[Tensor] = (),
    ) -> dict[str, Tensor]:
        """Return the losses of `DETRLoss`, `loss_edge` and `loss_distillation`; see `Loss`.

        Args:
            outputs: Scores (n, queries, classes) and boxes (n, queries, 4).
            targets: Objects of each image.
            size: Height and width of the network's input.
            auxiliary: Auxiliary outputs of the network `dfine`.

        Raises:
            ShapeError: Outputs or targets have the wrong count or shape.
            LabelsError: A class id does not belong to the network's classes.
        """
        if not auxiliary:
            return DETRLoss.__call__(self, outputs, targets, size)
        given = self._outputs(self.prediction(outputs, targets), auxiliary)
        objects, counts = labeled_batch(targets, size, given.predictions[0])
        matched = [self.match(each, objects, counts) for each in given.predictions]
        common = _most_frequent(matched)
        number, pairs = max(len(objects.boxes), 1), max(len(common.objects), 1)
        boxes = [box_losses(each, objects, common) for each in given.predictions]
        classes = [
            self.classified(each, objects, matches)
            for each, matches in zip(given.predictions, matched, strict=True)
        ]
        edges, distilled = self._distributions(given, objects, common)
        return {
            "loss_class": torch.stack(classes).sum() / number,
            "loss_box": torch.stack([box for box, _ in boxes]).sum() * (self.box_weight / pairs),
            "loss_giou": torch.stack([giou for _, giou in boxes]).sum()
            * (self.giou_weight / pairs),
            "loss_edge": edges * (self.edge_weight / pairs),
            "loss_distillation": distilled * self.distillation_weight,
        }

    def _outputs(self, last: Prediction, auxiliary: Sequence[Tensor]) -> _Outputs:
        """Return the outputs of a network that trains.

        Raises:
            ShapeError: They are not those of D-FINE.
        """
        encoder, start, layers = auxiliary[:2], auxiliary[2:4], auxiliary[4:-1]
        bins = [*layers[2::3], auxiliary[-1]]
        shape = (*last.boxes.shape[:2], 4 * BINS)
        if len(auxiliary) < 5 or len(layers) % 3 or any(each.shape != shape for each in bins):
            got = [tuple(each.shape) for each in auxiliary]
            msg = f"expected the auxiliary outputs of dfine, with bins {shape}, got {got}"
            raise ShapeError(msg)
        pairs = [encoder, start, *zip(layers[::3], layers[1::3], strict=True)]
        predictions = [last, *(self.checked(*pair) for pair in pairs)]
        split = [each.float().unflatten(2, (4, BINS)) for each in bins]
        return _Outputs(predictions, predictions[2].boxes.detach(), split)

    def _distributions(
        self, given: _Outputs, objects: LabeledBoxes, matches: Matches
    ) -> tuple[Tensor, Tensor]:
        """Return the sum of the losses of edges, and that of the distillations."""
        start, expected = given.start[matches.places], objects.boxes[matches.objects]
        left, share = _bins_of(start, expected)
        last, *_ = given.predictions
        predictions = [*given.predictions[3:], last]
        overlaps = [pair_iou(each, objects, matches) for each in predictions]
        edges = [
            (_two_bins(bins[matches.places], left, share) * overlap[:, None]).sum()
            for bins, overlap in zip(given.bins, overlaps, strict=True)
        ]
        distilled = [
            _distillation(bins, given.bins[-1], last.logits, overlap, matches)
            for bins, overlap in zip(given.bins[:-1], overlaps[:-1], strict=True)
        ]
        none = last.logits.new_zeros(())
        return torch.stack(edges).sum(), torch.stack([none, *distilled]).sum()


def _most_frequent(matched: Sequence[Matches]) -> Matches:
    """Return the object of each query that any layer matched, the one that most layers matched."""
    rows = torch.cat([torch.stack(each, dim=1) for each in matched])
    pairs, counts = torch.unique(rows, dim=0, return_counts=True)
    order = counts.argsort(descending=True, stable=True)
    found: dict[tuple[int, int], int] = {}
    for image, query, index in pairs[order].tolist():
        found.setdefault((image, query), index)
    kept = [(*place, index) for place, index in found.items()]
    columns = torch.tensor(kept, dtype=torch.int64, device=rows.device).reshape(-1, 3)
    return Matches(*columns.unbind(dim=1))


def _bins_of(start: Tensor, expected: Tensor) -> tuple[Tensor, Tensor]:
    """Return the bin left of the distance of each edge, and the share of the bin right of it.

    Args:
        start: (k, 4) boxes cxcywh that the distributions move.
        expected: (k, 4) boxes xyxy.

    Returns:
        (k, 4) int64 from 0 to the last bin but one, and (k, 4) float32.
    """
    center, size = start.split(2, dim=1)
    low, high = expected.split(2, dim=1)
    unit = size / SCALE + 1e-16
    outward = torch.cat((center - low, high - center), dim=1)
    distances = outward / torch.cat((unit, unit), dim=1) - SCALE / 2
    bins = torch.tensor(bin_distances(), device=start.device)
    left = (torch.searchsorted(bins, distances.contiguous(), right=True) - 1).clamp(0, BINS - 2)
    near, far = bins[left], bins[left + 1]
    return left, ((distances - near) / (far - near)).clamp(0, 1)


def _two_bins(logits: Tensor, left: Tensor, share: Tensor) -> Tensor:
    """Return the cross-entropy of the two bins beside each distance, (k, 4)."""
    logs = logits.log_softmax(dim=-1)
    near, far = (logs.gather(2, (left + step)[..., None]).squeeze(2) for step in (0, 1))
    return -(near * (1 - share) + far * share)


def _distillation(
    bins: Tensor, teacher: Tensor, teacher_logits: Tensor, overlap: Tensor, matches: Matches
) -> Tensor:
    """Return the divergence of the distributions of a layer from those of the last one.

    Matched queries are weighted by their IoU, others by the last layer's score; the means of both
    by the square roots of their numbers.
    """
    weight = teacher_logits.detach().sigmoid().amax(dim=2)
    weight[matches.places] = overlap
    divergence = F.kl_div(
        (bins / _TEMPERATURE).log_softmax(dim=-1),
        (teacher.detach() / _TEMPERATURE).softmax(dim=-1),
        reduction="none",
    ).sum(dim=-1)
    losses = weight[..., None] * divergence * _TEMPERATURE**2
    is_matched = torch.zeros_like(weight, dtype=torch.bool)
    is_matched[matches.places] = True
    total, scale = losses.new_zeros(()), losses.new_zeros(())
    for part in (is_matched, ~is_matched):
        count = 4 * part.sum() * (_IMAGES / len(bins))
        if count:
            total = total + losses[part].mean() * count.sqrt()
            scale = scale + count.sqrt()
    return total / scale

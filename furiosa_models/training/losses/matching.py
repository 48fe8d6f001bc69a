"""Matching of queries to labeled objects, one to one, with the least total cost.

Importing this module imports torch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch

from ...ops.assignment import assign
from ..targets import Tensor

__all__ = ["Matches", "match"]


class Matches(NamedTuple):
    """Queries and the objects that they learn.

    Attributes:
        images: (k,) int64, index of the image in the batch.
        queries: (k,) int64, index of the query.
        objects: (k,) int64, index of the object, counted through the whole batch.
    """

    images: Tensor
    queries: Tensor
    objects: Tensor

    @property
    def places(self) -> tuple[Tensor, Tensor]:
        """Index of the queries in outputs (images, queries, ...)."""
        return self.images, self.queries


def match(costs: Sequence[Tensor], device: torch.device) -> Matches:
    """Return the matches with the least total cost.

    Every object of an image has a query of its own, unless there are more objects than queries.

    Args:
        costs: Cost of each query and object of each image, (queries, objects).
        device: Device of the result.
    """
    columns = zip(*_pairs(costs), strict=True)
    return Matches(*(torch.from_numpy(np.concatenate(column)).to(device) for column in columns))


def _pairs(
    costs: Sequence[Tensor],
) -> Iterator[tuple[np.ndarray[tuple[int], np.dtype[np.int64]], ...]]:
    first = 0
    for image, cost in enumerate(costs):
        # A network that diverges has costs that are no numbers; the loss is then no number, too.
        numbers = torch.nan_to_num(cost.detach().double()).cpu().numpy()
        queries, objects = assign(numbers, float(numbers.max(initial=0.0)) + 1)
        yield np.full(len(queries), image, np.int64), queries, objects + first
        first += numbers.shape[1]

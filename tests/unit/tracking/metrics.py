"""The metrics of tracking, written out: MOTA, IDF1 and identity switches.

CLEAR MOT (Bernardin and Stiefelhagen 2008): a true object keeps its track while both overlap; the
others are matched optimally. IDF1 (Ristani et al. 2016, arXiv:1609.01775): objects and tracks of
the whole video are matched so that most frames agree.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

Frame: TypeAlias = tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]
"""The ids of objects in a frame, and their boxes."""

IOU = 0.5


@dataclass
class Score:
    mota: float
    idf1: float
    switches: int


def score(truth: Sequence[Frame], found: Sequence[Frame]) -> Score:
    missed = false = switches = 0
    track_of: dict[int, int] = {}
    true_ids = sorted({int(i) for ids, _ in truth for i in ids})
    found_ids = sorted({int(i) for ids, _ in found for i in ids})
    together = np.zeros((len(true_ids), len(found_ids)))
    objects = tracks = 0
    for (own, boxes), (ids, their_boxes) in zip(truth, found, strict=True):
        overlap = iou(boxes, their_boxes)
        for row, column in np.argwhere(overlap >= IOU):
            together[true_ids.index(own[row]), found_ids.index(ids[column])] += 1
        pairs: dict[int, int] = {}
        for row, i in enumerate(own):
            for column, j in enumerate(ids):
                is_same = track_of.get(int(i)) == j and overlap[row, column] >= IOU
                if is_same and column not in pairs.values():
                    pairs[row] = column
        rows = [row for row in range(len(own)) if row not in pairs]
        columns = [c for c in range(len(ids)) if c not in pairs.values()]
        costs = np.where(overlap >= IOU, 1 - overlap, 1e6)[np.ix_(rows, columns)]
        for a, b in zip(*linear_sum_assignment(costs), strict=True):
            if costs[a, b] < 1e6:
                pairs[rows[a]] = columns[b]
                before = track_of.get(int(own[rows[a]]))
                switches += before is not None and before != ids[columns[b]]
        track_of |= {int(own[row]): int(ids[column]) for row, column in pairs.items()}
        missed += len(own) - len(pairs)
        false += len(ids) - len(pairs)
        objects += len(own)
        tracks += len(ids)
    same = together[linear_sum_assignment(-together)].sum()
    mota = 1 - (missed + false + switches) / objects
    return Score(mota, 2 * same / (objects + tracks), switches)


def iou(first: npt.NDArray[np.float32], second: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    a, b = first[:, None].astype(np.float64), second[None].astype(np.float64)
    low, high = np.maximum(a[..., :2], b[..., :2]), np.minimum(a[..., 2:], b[..., 2:])
    shared = np.clip(high - low, 0, None).prod(axis=2)
    area = (a[..., 2:] - a[..., :2]).prod(axis=2) + (b[..., 2:] - b[..., :2]).prod(axis=2)
    overlap: npt.NDArray[np.float64] = shared / (area - shared)
    return overlap

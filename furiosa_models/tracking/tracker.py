"""ByteTrack: follow objects by their boxes, through low scores and occlusions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from ..enums import Platform
from ..errors import ShapeError
from ..ops.assignment import assign
from ..ops.boxes import box_iou
from ..ops.checks import check_array, check_at_least, check_boxes, check_unit
from ..tasks.base import ArrayResult
from .motion import Motion, to_centers, to_corners

__all__ = ["TRACKERS", "Tracker"]

Found = TypeVar("Found", bound=ArrayResult[Any])
Boxes: TypeAlias = npt.NDArray[np.float32]
Costs: TypeAlias = npt.NDArray[np.float64]
Indices: TypeAlias = npt.NDArray[np.int64]
Mask: TypeAlias = npt.NDArray[np.bool_]

_SAME = 0.85
"""IoU from which on a visible and a lost track are the same object."""

_MARGIN = 0.1
"""How much a new object's score must exceed `high_score` by default."""


@dataclass(slots=True)
class _Tracks:
    """The objects that a tracker knows.

    Attributes:
        motion: Where they are.
        ids: Their track ids; -1 until they are confirmed by a second sighting.
        classes: Their class ids.
        first: Frame of the first sighting.
        last: Frame of the last sighting.
        visible: Whether they were seen in the last frame.
    """

    motion: Motion
    ids: Indices
    classes: Indices
    first: Indices
    last: Indices
    visible: Mask

    @classmethod
    def of(cls, centers: Costs, ids: Indices, classes: Indices, frame: int) -> _Tracks:
        """Return new tracks."""
        frames = np.full(len(ids), frame, np.int64)
        seen = np.ones(len(ids), bool)
        return cls(Motion.of(centers), ids, classes, frames, frames.copy(), seen)

    @classmethod
    def none(cls) -> _Tracks:
        empty = np.empty(0, np.int64)
        return cls.of(np.empty((0, 4)), empty, empty, 0)

    def take(self, places: Mask) -> _Tracks:
        numbers = (self.ids, self.classes, self.first, self.last)
        ids, classes, first, last = (column[places] for column in numbers)
        motion, visible = self.motion.take(places), self.visible[places]
        return _Tracks(motion, ids, classes, first, last, visible)

    def extended(self, other: _Tracks) -> _Tracks:
        def both(mine: Any, theirs: Any) -> Any:
            return np.concatenate((mine, theirs))

        return _Tracks(
            self.motion.extended(other.motion),
            both(self.ids, other.ids),
            both(self.classes, other.classes),
            both(self.first, other.first),
            both(self.last, other.last),
            both(self.visible, other.visible),
        )

    def boxes(self) -> Boxes:
        """Return their boxes, xyxy."""
        with np.errstate(over="ignore"):
            return to_corners(self.motion.position).astype(np.float32)


@dataclass(slots=True)
class _Frame:
    """The detections of a frame, and the tracks that they continue.

    Attributes:
        boxes: `(n, 4)` float32, xyxy.
        scores: `(n,)` float32.
        classes: `(n,)` int64.
        track_of: `(n,)` int64: index of each detection's track, or -1.
    """

    boxes: Boxes
    scores: npt.NDArray[np.float32]
    classes: Indices
    track_of: Indices = field(init=False)

    def __post_init__(self) -> None:
        self.track_of = np.full(len(self.boxes), -1, np.int64)

    def free(self, mask: Mask) -> Indices:
        """Return the indices of those detections that continue no track yet."""
        return np.flatnonzero(mask & (self.track_of < 0))


class Tracker:
    """Follows objects from frame to frame, and gives each one an id.

    ```python
    tracker = Tracker()
    for frame in frames:
        found = tracker.update(model.predict(frame, score_threshold=0.1))
    ```

    The algorithm is ByteTrack (Zhang et al. 2022, arXiv:2110.06864). Detections of high score are
    matched with the places where a Kalman filter expects the known objects. Detections of low
    score, such as objects that are half hidden, then continue the tracks that are left, but start
    none. Each matching is optimal. An object gets its id when it is seen in a second frame, or in
    the first frame of all. A hidden object keeps its id for `max_age` frames.

    Override `costs` to match by something else, such as appearance, or `follow` for another
    algorithm.

    Attributes:
        high_score: Detections of higher scores are matched first.
        low_score: Detections of lower scores are ignored.
        new_score: Minimum score of a new object; by default 0.1 more than `high_score`.
        max_age: Number of frames for which an object is remembered that is not seen.
        max_objects: Maximum number of detections of a frame that are tracked, best first.
        class_aware: Whether a track stays with one class.
        high_limit: Cost that no match of a high score reaches.
        low_limit: Cost that no match of a low score reaches.
        new_limit: Cost that no second sighting of a new object reaches.
        platform: Implementation of the matching; both give the same tracks.
    """

    def __init__(
        self,
        *,
        high_score: float = 0.5,
        low_score: float = 0.1,
        new_score: float | None = None,
        max_age: int = 30,
        max_objects: int = 500,
        class_aware: bool = True,
        high_limit: float = 0.8,
        low_limit: float = 0.5,
        new_limit: float = 0.7,
        platform: Platform = Platform.RUST,
    ) -> None:
        """Create a tracker that knows no object yet; the arguments are the attributes.

        Raises:
            TypeError: A setting is not a number.
            ValueError: A score or limit is not between 0 and 1, `low_score` exceeds `high_score`,
                `max_age` is negative, or `max_objects` is not positive.
        """
        self.high_score, self.low_score = high_score, low_score
        self.new_score = min(high_score + _MARGIN, 1.0) if new_score is None else new_score
        self.max_age, self.max_objects = max_age, max_objects
        self.class_aware = class_aware
        self.high_limit, self.low_limit, self.new_limit = high_limit, low_limit, new_limit
        self.platform = Platform(platform)
        for name in ("high_score", "low_score", "new_score"):
            check_unit(name, getattr(self, name))
        for name in ("high_limit", "low_limit", "new_limit"):
            check_unit(name, getattr(self, name))
        if low_score > high_score:
            msg = f"low_score must not exceed high_score, got {low_score} and {high_score}"
            raise ValueError(msg)
        check_at_least("max_age", max_age, 0)
        check_at_least("max_objects", max_objects, 1)
        self.reset()

    def reset(self) -> None:
        """Forget all objects, before another video. Ids start from 1 again."""
        self._tracks = _Tracks.none()
        self._frame = 0
        self._last_id = 0

    def update(self, found: Found, *, step: int = 1) -> Found:
        """Return the detections of the next frame with their track ids.

        All detections are returned; those without track have the id -1.

        Args:
            found: Detections, or people; classes are used if the result has them.
            step: Number of frames since the last update; more than 1 after a gap.

        Raises:
            ShapeError: The arrays of the result have the wrong shape or dtype.
            ValueError: `step` is less than 1.
        """
        class_ids = getattr(found, "class_ids", None)
        if class_ids is None:
            class_ids = np.zeros(len(found), np.int64)
        ids = self.follow(found.boxes, found.scores, class_ids, step=step)
        return found.with_tracks(ids)

    def follow(
        self,
        boxes: Boxes,
        scores: npt.NDArray[np.float32],
        class_ids: Indices,
        *,
        step: int = 1,
    ) -> Indices:
        """Return the track id of each detection of the next frame; -1 for none.

        A box whose sides are not positive finite numbers has no track.

        Args:
            boxes: `(n, 4)` float32, xyxy.
            scores: `(n,)` float32.
            class_ids: `(n,)` int64.
            step: Number of frames since the last call.

        Raises:
            ShapeError: An array has the wrong shape or dtype.
            ValueError: `step` is less than 1.
        """
        check_boxes(boxes)
        check_array("scores", scores, np.float32, (len(boxes),))
        check_array("class_ids", class_ids, np.int64, (len(boxes),))
        check_at_least("step", step, 1)
        is_first = self._frame == 0
        self._advance(step)
        tracks, frame = self._tracks, _Frame(boxes, scores, class_ids)
        usable = self._usable(boxes, scores)
        high = usable & (scores > np.float32(self.high_score))
        low = usable & ~high
        confirmed = tracks.ids > 0
        expected, was_visible = tracks.boxes(), tracks.visible.copy()
        tracks.visible[:] = False
        self._match(frame, high, expected, confirmed, self.high_limit)
        self._match(frame, low, expected, confirmed & was_visible, self.low_limit, by_score=False)
        self._match(frame, high, expected, ~confirmed, self.new_limit)
        seen = np.flatnonzero(frame.track_of >= 0)
        tracks.motion.correct(frame.track_of[seen], to_centers(boxes[seen].astype(np.float64)))
        self._confirm(tracks.visible & ~confirmed)
        ids = np.full(len(boxes), -1, np.int64)
        ids[seen] = tracks.ids[frame.track_of[seen]]
        new = frame.free(high & (scores >= np.float32(self.new_score)))
        self._tracks = tracks.take(self._kept(confirmed))
        ids[new] = self._start(boxes[new], class_ids[new], is_confirmed=is_first)
        return ids

    def costs(self, tracks: Boxes, boxes: Boxes, scores: npt.NDArray[np.float32] | None) -> Costs:
        """Return the cost of matching each track with each detection, between 0 and 1.

        By default it is 1 minus the IoU, which is weighted by the score in the matching of high
        scores.

        Args:
            tracks: `(t, 4)` float32, xyxy: where the objects are expected.
            boxes: `(n, 4)` float32, xyxy: detections.
            scores: `(n,)` float32; None in the matching of low scores.

        Returns:
            `(t, n)` float64.
        """
        overlap = box_iou(tracks, boxes, platform=self.platform).astype(np.float64)
        return 1.0 - (overlap if scores is None else overlap * scores)

    def _advance(self, step: int) -> None:
        """Predict where the objects are now, and forget those that were not seen for long."""
        self._frame += step
        kept = self._frame - self._tracks.last <= self.max_age + 1
        self._tracks = self._tracks.take(kept)
        for _ in range(step if len(self._tracks.ids) else 0):
            self._tracks.motion.predict(~self._tracks.visible)

    def _usable(self, boxes: Boxes, scores: npt.NDArray[np.float32]) -> Mask:
        """Return the detections that can be tracked."""
        with np.errstate(invalid="ignore", over="ignore"):
            sizes = boxes[:, 2:] - boxes[:, :2]
        usable: Mask = np.isfinite(boxes).all(axis=1) & np.isfinite(sizes).all(axis=1)
        usable &= (sizes > 0).all(axis=1) & np.isfinite(scores)
        usable &= scores > np.float32(self.low_score)
        if np.count_nonzero(usable) > self.max_objects:
            places = np.flatnonzero(usable)
            ranked = places[np.argsort(-scores[places], kind="stable")]
            usable[ranked[self.max_objects :]] = False
        return usable

    def _match(
        self,
        frame: _Frame,
        detections: Mask,
        expected: Boxes,
        tracks: Mask,
        limit: float,
        *,
        by_score: bool = True,
    ) -> None:
        """Continue tracks that were not seen yet by detections without track."""
        rows = np.flatnonzero(tracks & ~self._tracks.visible)
        columns = frame.free(detections)
        if not len(rows) or not len(columns):
            return
        boxes, scores = frame.boxes[columns], frame.scores[columns]
        costs = np.asarray(self.costs(expected[rows], boxes, scores if by_score else None))
        if costs.shape != (len(rows), len(columns)):
            msg = f"costs must have shape ({len(rows)}, {len(columns)}), got {costs.shape}"
            raise ShapeError(msg)
        costs = costs.astype(np.float64)
        if self.class_aware:
            other = self._tracks.classes[rows][:, None] != frame.classes[columns]
            costs[other] = np.inf
        first, second = assign(costs, limit, platform=self.platform)
        matched, places = rows[first], columns[second]
        frame.track_of[places] = matched
        self._tracks.visible[matched] = True
        self._tracks.last[matched] = self._frame
        self._tracks.classes[matched] = frame.classes[places]

    def _confirm(self, seen_again: Mask) -> None:
        self._tracks.ids[seen_again] = self._new_ids(int(seen_again.sum()))

    def _new_ids(self, count: int) -> Indices:
        first = self._last_id + 1
        self._last_id += count
        return np.arange(first, first + count, dtype=np.int64)

    def _kept(self, confirmed: Mask) -> Mask:
        """Return the tracks to keep: no new object that was not seen again, no object twice."""
        tracks = self._tracks
        kept = tracks.visible | confirmed
        shown, lost = np.flatnonzero(tracks.visible), np.flatnonzero(confirmed & ~tracks.visible)
        if len(shown) and len(lost):
            boxes = tracks.boxes()
            same = box_iou(boxes[shown], boxes[lost], platform=self.platform) > _SAME
            if self.class_aware:
                same &= tracks.classes[shown][:, None] == tracks.classes[lost]
            for one, other in np.argwhere(same).tolist():
                pair = shown[one], lost[other]
                older = tracks.last[pair[0]] - tracks.first[pair[0]]
                younger = tracks.last[pair[1]] - tracks.first[pair[1]]
                kept[pair[1] if older >= younger else pair[0]] = False
        return kept

    def _start(self, boxes: Boxes, classes: Indices, *, is_confirmed: bool) -> Indices:
        """Start a track for each of these detections; return their ids, -1 if unconfirmed."""
        ids = self._new_ids(len(boxes)) if is_confirmed else np.full(len(boxes), -1, np.int64)
        centers = to_centers(boxes.astype(np.float64))
        new = _Tracks.of(centers, ids, classes, self._frame)
        self._tracks = self._tracks.extended(new)
        return ids


TRACKERS: Mapping[str, Callable[..., Tracker]] = MappingProxyType({"bytetrack": Tracker})
"""Trackers by the names that `predict(track=...)` takes."""

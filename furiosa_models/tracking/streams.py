"""Track objects in the results of a prediction: one set of tracks for each video."""

from __future__ import annotations

import copy
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from numbers import Real
from typing import Any, TypeVar

import numpy as np

from ..images.video import VideoFrame
from ..ops.checks import check_choice, check_unit
from ..tasks.base import VisionTask
from .tracker import TRACKERS, Tracker

__all__ = ["Tracking"]

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Tracking:
    """How a prediction tracks objects.

    Attributes:
        tracker: The tracker.
        starts_anew: Whether the tracker is not the user's, and so knows no objects yet.
        task: The task of the results.
        options: Options of the prediction, which finds objects of lower scores for the tracker.
        score_threshold: Threshold of objects without track; None keeps them all.
    """

    tracker: Tracker
    starts_anew: bool
    task: VisionTask[Any]
    options: Mapping[str, Any]
    score_threshold: Any

    @classmethod
    def of(
        cls,
        track: bool | str | Tracker,
        task: VisionTask[Any],
        options: Mapping[str, Any],
        score_threshold: float | None,
    ) -> Tracking:
        """Return how to track for the argument `track` of `predict`.

        Args:
            track: True, the name of an algorithm, or a tracker.
            task: The task.
            options: Its options, resolved.
            score_threshold: Score threshold of the model, if it has one.

        Raises:
            TypeError: `track` has another type.
            ValueError: There is no such tracker, or a threshold is not between 0 and 1.
        """
        threshold = options.get("score_threshold", score_threshold)
        lowest = min(threshold.values()) if isinstance(threshold, Mapping) else threshold
        if lowest is not None:
            check_unit("score_threshold", lowest)
        if isinstance(track, Tracker):
            tracker = track
        elif track is True or isinstance(track, str):
            name = "bytetrack" if track is True else track
            check_choice("track", name, tuple(TRACKERS))
            tracker = TRACKERS[name](**_scores_for(lowest))
        else:
            msg = f"track must be a bool, the name of a tracker or a Tracker, got {track!r}"
            raise TypeError(msg)
        own = dict(options)
        if isinstance(threshold, Mapping):
            task.filter_of(options)  # checks the keys
        if lowest is not None and "score_threshold" in task.options:
            own["score_threshold"] = min(lowest, tracker.low_score)
        return cls(tracker, not isinstance(track, Tracker), task, own, threshold)

    def update(self, result: Any, step: int = 1) -> Any:
        """Return a result with its track ids, without low scores that continue no track."""
        if isinstance(self.score_threshold, Mapping):
            found = self._by_class(result, step)
        else:
            found = self.tracker.update(result, step=step)
        if self.score_threshold is None:
            return found
        return found[(found.track_ids >= 0) | self.task.above(found, self.score_threshold)]

    def _by_class(self, result: Any, step: int) -> Any:
        """Return a result with its track ids; scores below their class's start no track."""
        above = self.task.above(result, self.score_threshold)
        high = np.float32(self.tracker.high_score)
        shown = copy.copy(result)
        shown.scores = np.where(above, result.scores, np.minimum(result.scores, high))
        return result.with_tracks(self.tracker.update(shown, step=step).track_ids)

    def follow(self, results: Iterator[R]) -> Generator[R, None, None]:
        """Yield the results of photos and videos with track ids."""
        video: str | None = None
        last: int | None = None
        with closing(results):  # type: ignore[type-var]  # a generator
            for number, result in enumerate(results):
                frame = getattr(result, "image", None)
                path, index = None, None
                if isinstance(frame, VideoFrame):
                    path, index = frame.path, frame.index
                continues = path == video and (index is None or (last is not None and index > last))
                if number and not continues:
                    self.tracker.reset()
                step = index - last if continues and index is not None and last is not None else 1
                video, last = path, index
                yield self.update(result, step if number else 1)


def _scores_for(threshold: Any) -> dict[str, float]:
    """Return the settings of a tracker for the detections that a score threshold defines."""
    if not isinstance(threshold, Real):
        return {}
    high = float(threshold)
    return {"high_score": high, "low_score": min(high, 0.1)}

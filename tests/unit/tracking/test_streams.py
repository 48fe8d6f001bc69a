from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from furiosa_models.images.video import VideoFrame
from furiosa_models.tasks import Detections
from furiosa_models.tasks.detection import DETECTION
from furiosa_models.tracking import Tracker
from furiosa_models.tracking.streams import Tracking
from furiosa_models.vision import EfficientNetLite0, SSDMobileNet

NAMES = ("person", "car")
PIXELS = np.zeros((4, 4, 3), np.uint8)


def found(score: float, frame: VideoFrame | None = None) -> Detections:
    boxes = np.array([[10, 10, 50, 90], [200, 10, 250, 90]], np.float32)
    scores = np.array([score, 0.25], np.float32)
    result = Detections(boxes, scores, np.zeros(2, np.int64), NAMES)
    result.image = frame
    return result


def frame(path: str, index: int) -> VideoFrame:
    return VideoFrame(path, index, None, None, PIXELS)


def followed(results: list[Detections], track: Any = True, **options: Any) -> list[list[int]]:
    tracking = Tracking.of(track, DETECTION, options, 0.4)
    return [result.track_ids.tolist() for result in tracking.follow(iter_of(results))]


def iter_of(results: list[Detections]) -> Iterator[Detections]:
    yield from results


def test_low_scores_are_kept_only_if_they_continue_a_track() -> None:
    assert followed([found(0.9), found(0.2), found(0.05), found(0.9)]) == [[1], [1], [], [1]]
    tracking = Tracking.of(True, DETECTION, {}, 0.4)
    assert tracking.options == {"score_threshold": 0.1}
    assert tracking.tracker.high_score == 0.4
    low = Tracking.of("bytetrack", DETECTION, {"score_threshold": 0.05}, 0.4)
    assert (low.options["score_threshold"], low.tracker.low_score) == (0.05, 0.05)


def test_thresholds_by_class() -> None:
    by_class = {"car": 0.2, None: 0.5}
    tracking = Tracking.of(True, DETECTION, {"score_threshold": by_class}, 0.4)
    assert tracking.options["score_threshold"] == 0.1
    assert tracking.tracker.high_score == 0.2
    result = found(0.45)
    result.class_ids = np.array([0, 1])
    assert tracking.update(result).labels == ["car"]


def test_videos_share_no_tracks() -> None:
    videos = [frame("a.mp4", 0), frame("a.mp4", 1), frame("b.mp4", 0), frame("b.mp4", 1)]
    again = [*videos, frame("b.mp4", 0), None, None]
    tracker = Tracker()
    resets: list[int] = []

    class Counting(Tracker):
        def reset(self) -> None:
            super().reset()
            resets.append(1)

    tracker = Counting()
    resets.clear()
    tracking = Tracking.of(tracker, DETECTION, {}, 0.4)
    results = list(tracking.follow(iter_of([found(0.9, each) for each in again])))
    assert len(resets) == 3
    assert [r.track_ids[0] for r in results] == [1] * 7


def test_frames_left_out_count() -> None:
    steps: list[int] = []

    class Recording(Tracker):
        def update(self, found: Any, *, step: int = 1) -> Any:
            steps.append(step)
            return super().update(found, step=step)

    frames = [frame("a.mp4", index) for index in (3, 4, 9, 10)]
    followed([found(0.9, each) for each in frames], Recording())
    assert steps == [1, 1, 5, 1]


def test_one_photo_needs_a_tracker_that_remembers() -> None:
    model = SSDMobileNet(weights="random")
    photo = np.zeros((30, 40, 3), np.uint8)
    with pytest.raises(ValueError, match="got one photo: pass a Tracker"):
        model.predict(photo, track=True)
    tracker = Tracker(high_score=0.0, low_score=0.0, new_score=0.0, max_objects=20)
    first = model.predict(photo, track=tracker, score_threshold=0.5, device="cpu")
    second = model.predict(photo, track=tracker, score_threshold=0.5, device="cpu")
    for result in (first, second):
        assert sorted(result.track_ids[result.track_ids >= 0]) == [*range(1, 21)]


def test_frames_of_a_generator_are_tracked() -> None:
    model = SSDMobileNet(weights="random")

    def camera() -> Iterator[np.ndarray]:
        memory = np.zeros((30, 40, 3), np.uint8)
        for _ in range(3):
            yield memory

    results = list(
        model.predict(camera(), stream=True, track=True, score_threshold=0.5, device="cpu")
    )
    assert len({tuple(sorted(result.track_ids.tolist())) for result in results}) == 1
    assert results[0].track_ids.max() > 0


def test_wrong_arguments(tmp_path: Path) -> None:
    model: Any = SSDMobileNet(weights="random")
    with pytest.raises(ValueError, match=r"track must be .*bytetrack"):
        model.predict(str(tmp_path / "*.png"), track="sort")
    with pytest.raises(TypeError, match="track must be a bool, the name of a tracker"):
        model.predict([], track=3)
    with pytest.raises(ValueError, match="score_threshold must lie"):
        model.predict([], track=True, score_threshold=1.5)
    classifier: Any = EfficientNetLite0(weights="random")
    with pytest.raises(TypeError, match="no boxes to track"):
        classifier.predict([], track=True)

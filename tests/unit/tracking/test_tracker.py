from __future__ import annotations

import json
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from furiosa_models.enums import Platform
from furiosa_models.errors import ShapeError
from furiosa_models.tasks import Detections, Poses
from furiosa_models.tracking import Tracker
from tests.platforms import BOTH

from .metrics import Frame, Score, score
from .scenes import NAMES, Scene, scene


def found(
    *boxes: tuple[float, float, float, float], score: float = 0.9, label: int = 0
) -> Detections:
    count = len(boxes)
    return Detections(
        np.array(boxes, np.float32).reshape(-1, 4),
        np.full(count, score, np.float32),
        np.full(count, label, np.int64),
        NAMES,
    )


def tracked(video: Scene, tracker: Tracker) -> list[Detections]:
    return [tracker.update(each) for each in video.found]


def tracks(results: list[Detections]) -> list[Frame]:
    return [(r.track_ids[r.track_ids >= 0], r.boxes[r.track_ids >= 0]) for r in results]


def scored(video: Scene, tracker: Tracker) -> Score:
    return score(video.truth, tracks(tracked(video, tracker)))


@BOTH
@pytest.mark.parametrize("seed", range(4))
def test_objects_that_cross_and_hide_keep_their_ids(seed: int, platform: Platform) -> None:
    value = scored(scene(seed=seed), Tracker(platform=platform))
    assert value.switches == 0
    assert value.mota > 0.85
    assert value.idf1 > 0.92


def test_perfect_detections_are_tracked_perfectly() -> None:
    video = scene(objects=3, jitter=0, dropped=0, false=0, seed=5)
    results = [
        Detections(boxes, np.full(3, 0.9, np.float32), ids, NAMES) for ids, boxes in video.truth
    ]
    video.found = results
    assert scored(video, Tracker()) == Score(1.0, 1.0, 0)


@pytest.mark.parametrize("seed", range(4))
def test_implementations_give_the_same_tracks(seed: int) -> None:
    video = scene(objects=20, false=3.0, seed=seed)
    rust = tracked(video, Tracker(platform=Platform.RUST))
    numpy = tracked(video, Tracker(platform=Platform.PYTHON))
    for one, other in zip(rust, numpy, strict=True):
        np.testing.assert_array_equal(one.track_ids, other.track_ids)


def test_low_scores_continue_tracks_and_start_none() -> None:
    tracker = Tracker()
    box = (10.0, 10, 50, 90)
    assert tracker.update(found(box)).track_ids.tolist() == [1]
    assert tracker.update(found(box, score=0.2)).track_ids.tolist() == [1]
    assert tracker.update(found(box, score=0.05)).track_ids.tolist() == [-1]
    other = (300.0, 10, 350, 90)
    for _ in range(3):
        assert tracker.update(found(other, score=0.3)).track_ids.tolist() == [-1]


def test_a_new_object_is_confirmed_by_a_second_frame() -> None:
    tracker = Tracker()
    tracker.update(found())
    box = (10.0, 10, 50, 90)
    ids = [tracker.update(found(box)).track_ids.tolist() for _ in range(3)]
    assert ids == [[-1], [1], [1]]


@pytest.mark.parametrize(("away", "expected"), [(5, 1), (6, -1)])
@pytest.mark.parametrize("gap", [False, True])
def test_a_hidden_object_is_remembered_for_max_age_frames(
    away: int, expected: int, gap: bool
) -> None:
    tracker = Tracker(max_age=5)
    box = (10.0, 10, 50, 90)
    tracker.update(found(box))
    tracker.update(found(box))
    if not gap:
        for _ in range(away):
            assert len(tracker.update(found())) == 0
    step = away + 1 if gap else 1
    assert tracker.update(found(box), step=step).track_ids.tolist() == [expected]


def test_a_gap_of_frames_moves_the_objects_on() -> None:
    tracker = Tracker()
    for x in range(0, 100, 10):
        tracker.update(found((x, 10, x + 30, 70)))
    assert tracker.update(found((190, 10, 220, 70)), step=10).track_ids.tolist() == [1]


def test_classes() -> None:
    box = (10.0, 10, 50, 90)
    for aware, expected in ((True, -1), (False, 1)):
        tracker = Tracker(class_aware=aware)
        tracker.update(found(box, label=0))
        assert tracker.update(found(box, label=1)).track_ids.tolist() == [expected]


def test_reset_forgets() -> None:
    tracker = Tracker()
    tracker.update(found((10, 10, 50, 90), (200, 10, 250, 90)))
    tracker.reset()
    assert tracker.update(found((200, 10, 250, 90))).track_ids.tolist() == [1]


def test_a_subclass_decides_what_matches() -> None:
    class Anywhere(Tracker):
        def costs(
            self, tracks: np.ndarray, boxes: np.ndarray, scores: np.ndarray | None
        ) -> np.ndarray:
            del scores
            return np.zeros((len(tracks), len(boxes)))

    tracker = Anywhere()
    tracker.update(found((10, 10, 50, 90)))
    assert tracker.update(found((500, 10, 550, 90))).track_ids.tolist() == [1]

    class Wrong(Tracker):
        def costs(self, *_: object) -> np.ndarray:
            return np.zeros(3)

    wrong = Wrong()
    wrong.update(found((10, 10, 50, 90)))
    with pytest.raises(ShapeError, match=r"costs must have shape \(1, 1\)"):
        wrong.update(found((10, 10, 50, 90)))


def test_a_pickled_tracker_goes_on() -> None:
    video = scene(frames=20)
    tracker, twin = Tracker(), Tracker()
    for each in video.found[:10]:
        tracker.update(each)
        twin.update(each)
    copy = pickle.loads(pickle.dumps(tracker))
    for each in video.found[10:]:
        assert copy.update(each).track_ids.tolist() == twin.update(each).track_ids.tolist()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"high_score": 1.5}, "high_score must lie between 0 and 1"),
        ({"low_score": 0.6}, "low_score must not exceed high_score, got 0.6 and 0.5"),
        ({"max_age": -1}, "max_age"),
        ({"low_limit": -0.1}, "low_limit must lie"),
    ],
)
def test_wrong_settings(settings: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Tracker(**settings)  # type: ignore[arg-type]


def test_wrong_arrays() -> None:
    tracker = Tracker()
    with pytest.raises(ValueError, match="step"):
        tracker.update(found(), step=0)
    with pytest.raises(ShapeError, match="scores"):
        tracker.follow(np.zeros((2, 4), np.float32), np.zeros(1, np.float32), np.zeros(2, np.int64))
    with pytest.raises(ShapeError, match="track_ids"):
        found((1, 2, 3, 4)).with_tracks(np.zeros(2, np.int64))


def test_infinite_scores_are_not_tracked() -> None:
    tracker = Tracker()
    boxes = np.array([[0, 0, 1, 1], [5, 5, 9, 9]], np.float32)
    classes = np.zeros(2, np.int64)
    assert tracker.follow(boxes, np.array([1, 0.9], np.float32), classes).tolist() == [1, 2]
    assert tracker.follow(boxes, np.array([np.inf, 0.9], np.float32), classes).tolist() == [-1, 2]


frames = st.lists(
    st.integers(0, 6).flatmap(
        lambda count: st.tuples(
            hnp.arrays(np.float32, (count, 4), elements=st.floats(width=32)),
            hnp.arrays(np.float32, count, elements=st.floats(width=32)),
        )
    ),
    max_size=5,
)


@given(frames)
def test_any_boxes_and_scores_are_survived(
    video: list[tuple[np.ndarray, np.ndarray]],
) -> None:
    tracker, twin = Tracker(), Tracker(platform=Platform.PYTHON)
    for boxes, scores in video:
        classes = np.zeros(len(boxes), np.int64)
        ids = tracker.follow(boxes, scores, classes)
        np.testing.assert_array_equal(ids, twin.follow(boxes, scores, classes))
        given_ids = ids[ids >= 0].tolist()
        assert len(set(given_ids)) == len(given_ids)


def people(count: int) -> Poses:
    random = np.random.default_rng(0)
    corner = random.uniform(0, 300, (count, 2)).astype(np.float32)
    boxes = np.concatenate((corner, corner + 60), axis=1)
    points = random.uniform(0, 1, (count, 17, 3)).astype(np.float32)
    return Poses(boxes, np.linspace(0.9, 0.6, count, dtype=np.float32), points)


def test_track_ids_survive_in_every_form() -> None:
    plain = found((10, 10, 50, 90), (200, 10, 250, 90))
    assert plain.track_ids.tolist() == [-1, -1]
    assert not plain.is_tracked
    assert plain[0].track_id == -1
    assert "track_id" not in plain.to_dict()[0]
    assert "track_ids" not in plain.columns()
    assert plain.to_supervision().tracker_id is None
    both = plain.with_tracks(np.array([7, -1]))
    assert [item.track_id for item in both] == [7, -1] == [both[0].track_id, both[1].track_id]
    assert both[both.track_ids >= 0].track_ids.tolist() == [7]
    assert both[1:].track_ids.tolist() == [-1]
    assert both.filter(min_score=0.5, labels=["person"]).track_ids.tolist() == [7, -1]
    assert pickle.loads(pickle.dumps(both)).track_ids.tolist() == [7, -1]
    assert both.columns()["track_ids"].tolist() == [7, -1]
    assert [row["track_id"] for row in json.loads(both.to_json())] == [7, -1]
    assert both.to_pandas().track_id.tolist() == [7, -1]
    assert [row["track_id"] for row in both.to_coco(1)] == [7, -1]
    assert both.to_supervision().tracker_id.tolist() == [7, -1]
    assert [line.split()[2] for line in both.describe()] == ["#7", "[200,"]
    assert plain.track_ids.tolist() == [-1, -1]


def test_people_are_tracked() -> None:
    tracker = Tracker()
    who = tracker.update(people(2))
    assert [person.track_id for person in who] == [1, 2]
    assert who[1].track_id == 2
    assert [row["track_id"] for row in who.to_dict()] == [1, 2]
    assert [row["track_id"] for row in who.to_coco(1)] == [1, 2]
    assert who.to_pandas().track_id.tolist() == [1, 2]
    assert who.to_supervision().data["tracker_id"].tolist() == [1, 2]
    assert [line.split()[2] for line in who.describe()] == ["#1", "#2"]
    assert tracker.update(who[::-1]).track_ids.tolist() == [2, 1]


def test_the_color_shows_the_track() -> None:
    photo = np.full((120, 300, 3), 90, np.uint8)
    plain = found((10, 30, 50, 90), (200, 30, 250, 90))
    pictures = [
        np.asarray(each.plot(photo))
        for each in (
            plain,
            plain.with_tracks(np.array([1, 2])),
            plain.with_tracks(np.array([1, 3])),
        )
    ]
    edges = [picture[60, [10, 200]].tolist() for picture in pictures]
    assert edges[0][0] == edges[0][1]
    assert edges[1][0] != edges[1][1]
    assert edges[1][0] == edges[2][0]
    assert edges[1][1] != edges[2][1]
    drawn = [
        np.asarray(people(2).with_tracks(np.array(ids)).plot(photo)) for ids in ([1, 2], [2, 1])
    ]
    assert (drawn[0] != drawn[1]).any()

from __future__ import annotations

import json
import pickle
import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import supervision

from furiosa_models.errors import ExtraRequired, FuriosaModelsError
from furiosa_models.tasks import (
    KEYPOINT_NAMES,
    Keypoint,
    PoseEstimationResult,
    Poses,
)

PHOTO = np.full((120, 160, 3), 9, np.uint8)


def make(people: int = 2, confidence: float = 0.75) -> Poses:
    keypoints = np.zeros((people, 17, 3), np.float32)
    keypoints[..., 0] = np.arange(17) * 4 + 40
    keypoints[..., 1] = 60
    keypoints[..., 2] = confidence
    boxes = np.tile(np.array([20, 10, 120, 110], np.float32), (people, 1))
    return Poses(boxes, np.linspace(0.75, 0.5, people, dtype=np.float32), keypoints)


def test_items_have_the_types_of_0_10() -> None:
    found = make()
    person = found[0]
    assert isinstance(person, PoseEstimationResult)
    assert person.bounding_box == [20, 10, 120, 110]
    assert person.confidence == 0.75
    assert person.nose == Keypoint(40, 60, 0.75)
    assert person.right_ankle == Keypoint(104, 60, 0.75)
    assert list(found) == [found[0], found[1]]
    assert found == list(found)
    assert len(found[1:]) == 1
    assert pickle.loads(pickle.dumps(found)) == found


def test_keypoint_names_are_those_of_coco() -> None:
    assert len(KEYPOINT_NAMES) == 17
    assert KEYPOINT_NAMES[:2] == ("nose", "left_eye")
    assert KEYPOINT_NAMES[-1] == "right_ankle"


def test_repr() -> None:
    assert repr(make()) == "<2 people: 0.75, 0.50>"
    assert repr(make(1)) == "<1 person: 0.75>"
    assert repr(make(0)) == "<no people>"
    assert repr(make(6)).endswith(", ... 1 more>")


def test_results_are_exported() -> None:
    found = make()
    rows = json.loads(found.to_json())
    assert rows == found.to_dict()
    assert rows[0]["box"] == [20, 10, 120, 110]
    assert rows[0]["score"] == 0.75
    assert list(rows[0]["keypoints"]) == list(KEYPOINT_NAMES)
    assert rows[0]["keypoints"]["nose"] == {"x": 40, "y": 60, "confidence": 0.75}
    coco = found.to_coco(7)
    assert len(coco) == 2
    assert (coco[0]["image_id"], coco[0]["category_id"], coco[0]["score"]) == (7, 1, 0.75)
    assert coco[0]["keypoints"][:6] == [40, 60, 0.75, 44, 60, 0.75]
    assert len(coco[0]["keypoints"]) == 51
    assert make(0).to_coco(7) == make(0).to_dict() == []


def test_results_convert_to_other_libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "pandas", None)
        with pytest.raises(ExtraRequired, match="pip install pandas"):
            make().to_pandas()
    table = make().to_pandas()
    assert list(table.columns[4:8]) == ["score", "nose_x", "nose_y", "nose_confidence"]
    assert table.shape == (2, 56)
    assert make(0).to_pandas().shape == (0, 56)
    points = make().to_supervision()
    np.testing.assert_array_equal(points.xy, make().keypoints[:, :, :2])
    np.testing.assert_array_equal(points.keypoint_confidence, make().keypoints[:, :, 2])
    np.testing.assert_array_equal(points.detection_confidence, make().scores)
    assert make(0).to_supervision().xy.shape == (0, 17, 2)
    picture = supervision.EdgeAnnotator().annotate(PHOTO.copy(), points)
    assert (picture != PHOTO).any()


def test_older_supervision_is_supported(monkeypatch: pytest.MonkeyPatch) -> None:
    def key_points(xy: Any, class_id: Any, confidence: Any) -> Any:
        return xy, class_id, confidence

    old = SimpleNamespace(KeyPoints=key_points)
    monkeypatch.setitem(sys.modules, "supervision", old)
    assert [array.shape for array in make().to_supervision()] == [(2, 17, 2), (2,), (2, 17)]


def test_plot_draws_box_and_skeleton() -> None:
    before = PHOTO.copy()
    picture = np.asarray(make().plot(PHOTO))
    np.testing.assert_array_equal(PHOTO, before)
    assert (picture[110, 20:121] != 9).any()
    assert (picture[60, 40:105] != 9).any(axis=-1).all()  # nose to right ankle lie on one line
    unsure = np.asarray(make(confidence=0.4).plot(PHOTO))
    assert (unsure[60, 40:105] == 9).all()
    shown = np.asarray(make(confidence=0.4).plot(PHOTO, keypoint_threshold=0.4))
    np.testing.assert_array_equal(shown[60], picture[60])


def test_any_keypoint_coordinates_can_be_drawn() -> None:
    found = make()
    found.keypoints[0, :, 0] = [np.nan, np.inf, -np.inf, 1e30, -1e30, *range(-300, 300, 50)]
    assert found.plot(PHOTO).size == (160, 120)


def test_save_and_notebook_output(tmp_path: object) -> None:
    found = make()
    assert "<img" not in found._repr_html_()
    with pytest.raises(FuriosaModelsError, match=r"plot\(image=...\)"):
        found.plot()
    found.image = PHOTO
    page = found._repr_html_()
    assert page.count("<img") == 1
    assert "<th>score</th><th>box</th></tr>" in page
    path = found.save(f"{tmp_path}/people.json")
    assert json.loads(path.read_text()) == found.to_dict()
    assert found.save(f"{tmp_path}/people.png").stat().st_size > 0


def test_boolean_mask_selects_people() -> None:
    found = make()
    found.image_size = (160, 120)
    kept = found[found.scores > 0.5]
    assert isinstance(kept, Poses)
    assert (len(kept), kept.image_size) == (int((found.scores > 0.5).sum()), (160, 120))
    assert len(found[found.scores > 1]) == 0

"""The callable for frameworks of data, without any of them."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from furiosa_models import settings
from furiosa_models.errors import ConfigurationError
from furiosa_models.integrations.batch import BatchPredictor
from furiosa_models.runtime.machine import available_cpus
from furiosa_models.vision import PoseNet, SSDMobileNet


@pytest.fixture(scope="module")
def predictor() -> BatchPredictor:
    return BatchPredictor("ssd-mobilenet", "random", "cpu", score_threshold=0.6)


@pytest.fixture
def encoded(photos: list[Path]) -> list[bytes]:
    return [photo.read_bytes() for photo in photos[:3]]


def test_results_are_those_of_predict(
    predictor: BatchPredictor, encoded: list[bytes], photos: list[Path]
) -> None:
    found = predictor({"bytes": encoded, "name": ["a", "b", "c"]})
    expected = SSDMobileNet("random").predict(photos[:3], device="cpu", score_threshold=0.6)
    assert list(found) == [
        *("name", "width", "height", "labels", "class_ids", "scores", "boxes", "error"),
    ]
    assert found["name"] == ["a", "b", "c"]
    for index, result in enumerate(expected):
        assert (found["width"][index], found["height"][index]) == result.image_size
        assert found["boxes"][index] == [row["box"] for row in result.to_dict()]
        assert found["labels"][index] == [*result.labels]
    assert found["error"] == [None] * 3


def test_paths_arrays_and_views_give_the_same(
    predictor: BatchPredictor, encoded: list[bytes], photos: list[Path]
) -> None:
    expected = predictor({"bytes": encoded})
    pixels = [np.asarray(Image.open(photo).convert("RGB")) for photo in photos[:3]]
    views = np.empty(3, object)
    views[:] = [memoryview(each) for each in encoded]
    for batch in (
        {"path": np.array([str(photo) for photo in photos[:3]])},
        {"image": pixels},
        {"content": views},
    ):
        found = predictor(batch)
        assert found["boxes"] == expected["boxes"]
        assert ("path" in found) == ("path" in batch)
        assert "image" not in found


def test_bad_photos_are_rows_with_an_error(predictor: BatchPredictor, encoded: list[bytes]) -> None:
    good = predictor({"bytes": encoded})
    found = predictor({"bytes": [b"bad", encoded[0], b"bad", b"", encoded[1]]})
    assert [error is None for error in found["error"]] == [False, True, False, False, True]
    assert "cannot be decoded" in found["error"][0]
    assert found["boxes"][1] == good["boxes"][0]
    assert found["boxes"][4] == good["boxes"][1]
    assert (found["boxes"][0], found["width"][0], found["labels"][2]) == ([], None, [])


def test_the_same_object_twice(predictor: BatchPredictor, encoded: list[bytes]) -> None:
    bad = b"bad"
    found = predictor({"bytes": [bad, encoded[0], bad, encoded[0]]})
    assert [error is None for error in found["error"]] == [False, True, False, True]
    assert found["boxes"][1] == found["boxes"][3]


def test_empty_batch(predictor: BatchPredictor) -> None:
    found = predictor({"bytes": []})
    assert all(column == [] for column in found.values())


def test_pickles_without_the_opened_model(predictor: BatchPredictor, encoded: list[bytes]) -> None:
    expected = predictor({"bytes": encoded})
    data = pickle.dumps(predictor)
    assert len(data) < 1000
    assert pickle.loads(data)({"bytes": encoded}) == expected


def test_contract_of_dask_and_pandas(predictor: BatchPredictor, encoded: list[bytes]) -> None:
    """`map_partitions` passes a data frame and takes one."""
    frame = pd.DataFrame({"bytes": encoded, "id": [3, 4, 5]})
    found = pd.DataFrame(predictor(frame))
    assert found["id"].tolist() == [3, 4, 5]
    assert "bytes" not in found
    assert found["boxes"].tolist() == predictor({"bytes": encoded})["boxes"]


def test_contract_of_spark(predictor: BatchPredictor, encoded: list[bytes]) -> None:
    """`predict_batch_udf` passes an array of objects and takes a list of dictionaries."""
    column = np.array(encoded, dtype=object)
    rows = predictor.of_column(column)
    assert [row["boxes"] for row in rows] == predictor({"bytes": encoded})["boxes"]
    assert {tuple(row) for row in rows} == {
        ("width", "height", "labels", "class_ids", "scores", "boxes", "error")
    }


def test_other_tasks(encoded: list[bytes]) -> None:
    classes = BatchPredictor("efficientnet-lite0", "random", "cpu", top_k=3)({"bytes": encoded})
    assert [len(scores) for scores in classes["scores"]] == [3, 3, 3]
    poses = BatchPredictor(PoseNet("random"), device="cpu", score_threshold=0.01)
    found: dict[str, Any] = poses({"bytes": encoded[:1]})
    assert np.shape(found["keypoints"][0])[1:] == (17, 3)
    maps = BatchPredictor("deeplabv3-mobilenet-v2", "random", "cpu")({"bytes": encoded[:1]})
    assert len(maps["masks"][0]) == len(maps["labels"][0]) > 0


def test_wrong_arguments(predictor: BatchPredictor) -> None:
    with pytest.raises(ConfigurationError, match="bytes or image or path .*got x"):
        predictor({"x": [b""]})
    with pytest.raises(ConfigurationError, match="at least 1"):
        BatchPredictor("ssd-mobilenet", threads=0)
    with pytest.raises(ConfigurationError, match="expected a column of photos, mine"):
        BatchPredictor("ssd-mobilenet", "random", photos="mine")({"bytes": []})


def test_threads_are_limited(monkeypatch: pytest.MonkeyPatch, encoded: list[bytes]) -> None:
    monkeypatch.setenv("FURIOSA_MODELS_THREADS", "7")  # restored afterwards
    BatchPredictor("ssd-mobilenet", "random", "cpu", threads=1)({"bytes": encoded[:1]})
    assert settings.threads() == available_cpus() == 1
    monkeypatch.setenv("FURIOSA_MODELS_THREADS", "none")
    with pytest.raises(ValueError, match="positive number of threads"):
        available_cpus()

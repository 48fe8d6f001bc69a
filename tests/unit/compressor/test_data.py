from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from furiosa_models.compressor.data import (
    DATALOADERS,
    DataLoader,
    Datasets,
    check_dataloader,
    split_batch,
)
from furiosa_models.compressor.metric import METRICS, Metric, metric_of
from furiosa_models.errors import ConfigurationError

ITEMS = [(np.full((2,), i, np.float32), i) for i in range(5)]


def test_batches_are_stacked() -> None:
    loader = DataLoader("onnxruntime", ITEMS, batch_size=2)
    batches = list(loader)
    assert [len(labels) for _, labels in batches] == [2, 2, 1]
    assert len(loader) == 3
    np.testing.assert_array_equal(batches[1][0], [[2, 2], [3, 3]])
    loader.batch(5, "discard")
    assert len(list(loader)) == len(loader) == 1


def test_order_comes_from_a_sampler() -> None:
    labels = [batch[1][0] for batch in DataLoader("pytorch", ITEMS, sampler=[4, 0])]
    assert labels == [4, 0]
    (only,) = DataLoader("pytorch", ITEMS, batch_sampler=[[1, 3]])
    np.testing.assert_array_equal(only[1], [1, 3])
    shuffled = [int(batch[1][0]) for batch in DataLoader("pytorch", ITEMS, shuffle=True)]
    assert sorted(shuffled) == [0, 1, 2, 3, 4]
    assert shuffled != [0, 1, 2, 3, 4]


def test_several_inputs_and_inputs_by_name() -> None:
    pairs = [((np.zeros(2), np.ones(3)), 1) for _ in range(2)]
    inputs, labels = next(iter(DataLoader("tensorflow", pairs, batch_size=2)))
    assert [array.shape for array in inputs] == [(2, 2), (2, 3)]
    assert labels.shape == (2,)
    named = [({"image": np.zeros(2)}, 0)]
    assert next(iter(DataLoader("tensorflow", named)))[0]["image"].shape == (1, 2)


def test_iterable_data_sets_work() -> None:
    assert len(list(DATALOADERS["onnxruntime"](iter(ITEMS), batch_size=3))) == 2


@pytest.mark.parametrize(
    "settings",
    [
        {"framework": "mxnet"},
        {"batch_size": 0},
        {"last_batch": "keep"},
        {"num_workers": 2},
        {"distributed": True},
    ],
)
def test_wrong_arguments_are_errors(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        DataLoader(**{"framework": "onnxruntime", "dataset": ITEMS, **settings})


def test_contract_of_data_loaders() -> None:
    assert check_dataloader(DataLoader("onnxruntime", ITEMS))
    for wrong in ([1, 2], object(), None):
        with pytest.raises(AssertionError, match="__iter__ method and batch_size"):
            check_dataloader(wrong)
    assert split_batch((1, 2)) == (1, 2)
    assert split_batch("alone") == ("alone", None)


def test_dummy_data() -> None:
    dummy = Datasets("onnxruntime")["dummy"](shape=(4, 3, 8, 8), low=0.0, high=1.0)
    assert len(dummy) == 4
    image, label = dummy[0]
    assert (image.shape, image.dtype, label) == ((3, 8, 8), np.float32, 0)
    assert 0 <= image.min() < image.max() <= 1
    two = Datasets("tensorflow")["dummy"](shape=[(2, 3), (2, 5)], dtype=["int32", "float32"])
    assert [array.dtype.name for array in two[1][0]] == ["int32", "float32"]
    v2 = Datasets("pytorch")["dummy_v2"](input_shape=(3, 4), label_shape=(2,))
    assert v2[0][1].shape == (2,)
    assert len(list(DataLoader("pytorch", v2, batch_size=50))) == 2
    with pytest.raises(ConfigurationError, match="dummy, dummy_v2"):
        Datasets("pytorch")["ImageFolder"]
    with pytest.raises(ConfigurationError, match="same number of items"):
        Datasets("pytorch")["dummy"](shape=[(2, 3), (3, 5)])
    with pytest.raises(IndexError):
        dummy[4]


SCORES = np.array([[0.1, 0.7, 0.2], [0.5, 0.1, 0.4]])


@pytest.mark.parametrize(
    ("name", "settings", "labels", "expected"),
    [
        ("topk", {"k": 1}, [1, 2], 0.5),
        ("topk", {"k": 2}, [1, 2], 1.0),
        ("Accuracy", {}, [[0, 1, 0], [1, 0, 0]], 1.0),
        ("MSE", {}, SCORES + 0.5, 0.25),
        ("RMSE", {}, SCORES + 0.5, 0.5),
        ("MAE", {}, SCORES - 0.25, 0.25),
        ("Loss", {}, [0, 0], SCORES.mean()),
    ],
)
def test_metrics(name: str, settings: dict[str, Any], labels: Any, expected: float) -> None:
    metric = METRICS("onnxruntime")[name](**settings)
    for row, label in zip(SCORES, labels, strict=True):
        metric.update(row[None], np.asarray(label)[None])
    assert metric.result() == pytest.approx(expected)
    metric.reset()
    with pytest.raises(ConfigurationError, match="update was not called"):
        metric.result()


def test_metrics_may_be_described_in_every_form() -> None:
    class Mine:
        def update(self, preds: Any, labels: Any, sample_weight: Any = None) -> None: ...
        def reset(self) -> None: ...
        def result(self) -> float:
            return 0.25

    for given, expected in (
        ({"topk": 1}, 0.5),
        ({"topk": {"k": 2}}, 1.0),
        (Metric(name="topk", k=2), 1.0),
        (Metric(name="mine", metric_cls=Mine), 0.25),
        (Mine(), 0.25),
        ({"topk": 1, "Accuracy": {}, "weight": [0.2, 0.8]}, 0.5),
        ({"topk": 1, "Loss": {}, "higher_is_better": [True, False]}, (0.5 - SCORES.mean()) / 2),
    ):
        metric = metric_of(given)
        metric.reset()
        metric.update(SCORES, [1, 2])
        assert metric.result() == pytest.approx(expected)


@pytest.mark.parametrize(
    "given",
    [
        {"COCOmAP": {}},
        {},
        3,
        {"topk": 1, "MSE": {}, "weight": [1.0]},
        {"MSE": {"compare_label": False}},
    ],
)
def test_wrong_metrics_are_errors(given: Any) -> None:
    with pytest.raises(ConfigurationError):
        metric_of(given)


def test_labels_must_fit() -> None:
    with pytest.raises(ConfigurationError, match="one label for each of 2 predictions, got 3"):
        metric_of({"topk": 1}).update(SCORES, [1, 2, 0])
    with pytest.raises(ConfigurationError, match=r"labels of the shape \(2, 3\)"):
        metric_of({"MSE": {}}).update(SCORES, [1, 2])
    with pytest.raises(ConfigurationError, match="sample_weight"):
        metric_of({"topk": 1}).update(SCORES, [1, 2], sample_weight=[1, 1])
    with pytest.raises(ConfigurationError, match="takes one output, got 2"):
        metric_of({"topk": 1}).update([SCORES, SCORES], [1, 2])

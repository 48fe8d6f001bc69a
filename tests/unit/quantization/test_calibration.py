from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from furiosa_models.errors import FuriosaModelsError, WeightsError
from furiosa_models.quantization import CalibrationMethod, Calibrator
from furiosa_models.quantization.histogram import BINS, Histogram
from furiosa_models.quantization.methods import choose_range

from .small import SIZE, network, pixels


def histogram_of(values: npt.NDArray[Any], parts: int = 1) -> Histogram:
    histogram = Histogram()
    for part in np.array_split(values, parts):
        histogram.add(part)
    return histogram


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e9])
def test_histogram_counts_every_number_once(scale: float) -> None:
    values = np.random.default_rng(0).normal(3, 10, 10_000) * scale
    whole, parts = histogram_of(values), histogram_of(np.sort(np.abs(values)), 7)
    for histogram in (whole, parts):
        assert histogram.counts.sum() == len(values)
        assert len(histogram.counts) <= BINS
    assert (whole.minimum, whole.maximum) == (values.min(), values.max())
    mean = (whole.counts @ whole.centers) / len(values)
    assert abs(mean - values.mean()) < whole.width


def test_histogram_widens_exactly() -> None:
    values = np.concatenate([np.linspace(-1, 1, 1000), np.linspace(-700, 900, 1000)])
    grown, direct = histogram_of(values, 10), histogram_of(values[::-1])
    assert grown.width == direct.width
    np.testing.assert_array_equal(grown.counts, direct.counts)
    np.testing.assert_array_equal(grown.centers, direct.centers)


def test_histogram_of_one_number_or_none() -> None:
    assert histogram_of(np.zeros(5)).counts.sum() == 5
    assert histogram_of(np.full(5, 7.0)).counts.tolist() == [5]
    assert histogram_of(np.zeros(0)).counts.size == 0
    with pytest.raises(ValueError, match="not finite"):
        histogram_of(np.array([1.0, np.nan]))


OUTLIERS = np.concatenate([np.random.default_rng(0).normal(0, 1, 100_000), [-30.0, 100.0]])


@pytest.mark.parametrize("method", CalibrationMethod)
def test_ranges_of_every_method(method: CalibrationMethod) -> None:
    low, high = choose_range(histogram_of(OUTLIERS), method, 99.9)
    assert low < 0 < high
    if method.is_symmetric:
        assert low == -high
    if method.kind == "MIN_MAX":
        assert high == 100
    else:
        assert 2 < high < 99.9
    assert choose_range(histogram_of(np.abs(OUTLIERS)), CalibrationMethod.MSE_ASYM, 99)[0] == 0


def test_percentile_ranges() -> None:
    values = np.linspace(0, 100, 100_001)
    low, high = choose_range(histogram_of(values), CalibrationMethod.PERCENTILE_ASYM, 90)
    assert low == 0  # ranges of 8-bit tensors include 0
    assert high == pytest.approx(95, abs=0.1)
    _, high = choose_range(histogram_of(values), CalibrationMethod.PERCENTILE_SYM, 90)
    assert high == pytest.approx(90, abs=0.1)


@pytest.mark.parametrize("method", CalibrationMethod)
def test_range_of_zeros(method: CalibrationMethod) -> None:
    assert choose_range(histogram_of(np.zeros(9)), method, 99.99) == (0.0, 0.0)


def test_entropy_ignores_many_zeros() -> None:
    values = np.concatenate([np.zeros(10**6), np.random.default_rng(0).random(1000) * 6])
    _, high = choose_range(histogram_of(values), CalibrationMethod.ENTROPY_ASYM, 99)
    assert high > 5


def test_calibrator_collects_the_tensors_of_a_model() -> None:
    calibrator = Calibrator(network(), CalibrationMethod.MIN_MAX_ASYM)
    calibrator.collect_data([[pixels(1, seed)] for seed in range(3)])

    def more() -> Iterator[list[npt.NDArray[np.uint8]]]:
        yield [pixels(2, 3)]

    calibrator.collect_data(more())
    ranges = calibrator.compute_range()
    assert ranges == calibrator.compute_range(verbose=True)
    assert {"scaled", "c1", "r1", "c2", "r2", "c3", "sum", "pooled", "logits"} <= ranges.keys()
    assert ranges["r1"][0] == 0
    assert ranges["r2"][1] <= 6
    means = calibrator.compute_channel_means()
    assert len(means["r1"]) == 16
    assert "logits" not in means


def test_float_inputs_have_ranges_too() -> None:
    calibrator = Calibrator(network(scaled_inside=False), CalibrationMethod.MIN_MAX_ASYM)
    calibrator.collect_data([[np.full((1, 3, SIZE, SIZE), 0.5, np.float32)]])
    assert calibrator.compute_range()["image"] == (0.0, 0.5)


def test_calibration_errors() -> None:
    method = CalibrationMethod.PERCENTILE_ASYM
    calibrator = Calibrator(network().SerializeToString(), method, percentage=99)
    for compute in (calibrator.compute_range, calibrator.compute_channel_means):
        with pytest.raises(FuriosaModelsError, match="no calibration data"):
            compute()
    with pytest.raises(ValueError, match="expected 1 inputs"):
        calibrator.collect_data([[]])
    with pytest.raises(FuriosaModelsError, match="cannot be run"):
        calibrator.collect_data([[np.zeros((1, 3, 1, 1), np.uint8)]])
    with pytest.raises(ValueError, match="percentage"):
        Calibrator(network(), method, percentage=0)
    with pytest.raises(ValueError, match="99 is not a valid"):
        Calibrator(network(), 99)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="expected a model"):
        Calibrator("model.onnx", method)  # type: ignore[arg-type]
    with pytest.raises(WeightsError, match="not an ONNX model"):
        Calibrator(b"no model", method)
    floats = Calibrator(network(scaled_inside=False), method)
    with pytest.raises(FuriosaModelsError, match="not finite"):
        floats.collect_data([[np.full((1, 3, SIZE, SIZE), np.nan, np.float32)]])
    broken = network()
    broken.graph.node[3].op_type = "NoSuchOperation"
    with pytest.raises(FuriosaModelsError, match="cannot be loaded"):
        Calibrator(broken, method)

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from furiosa_models.errors import WeightsError
from furiosa_models.networks.weights import (
    Array,
    Kind,
    NamedWeights,
    Parameter,
    RandomWeights,
)

from .recorded import RecordedWeights

KERNEL = Parameter("conv/weights", (3, 3, 8, 16), fan_in=72)


def test_named_weights_are_returned_unchanged() -> None:
    array = np.ones((2, 3), np.float32)
    assert NamedWeights({"a": array}).get(Parameter("a", (2, 3))) is array


@pytest.mark.parametrize(
    ("parameter", "message"),
    [
        (Parameter("layer1.weights", (2,)), "close names: layer1.weight"),
        (Parameter("zzz", (2,)), "there are no close names"),
        (Parameter("layer1.weight", (3,)), r"expected float32 \[3\], got float32 \[2\]"),
        (Parameter("steps", (1,)), r"expected float32 \[1\], got int64 \[1\]"),
    ],
)
def test_named_weights_report_mismatches(parameter: Parameter, message: str) -> None:
    arrays: dict[str, Array] = {
        "layer1.weight": np.ones(2, np.float32),
        "steps": np.ones(1, np.int64),
    }
    with pytest.raises(WeightsError, match=message):
        NamedWeights(arrays).get(parameter)


def test_random_weights_never_change() -> None:
    """The golden values of other implementations depend on these numbers."""
    values = RandomWeights().get(KERNEL)
    digest = hashlib.sha256(values.astype("<f4").tobytes()).hexdigest()
    assert digest == "f90828576f31b64ebc96fa83854e8d1738bf24a299200ec4bceceb76d034783d"


def test_random_weights_depend_on_name_and_seed_only() -> None:
    values = RandomWeights().get(KERNEL)
    other_name = Parameter("conv2/weights", KERNEL.shape, fan_in=72)
    other_kind = Parameter("conv/weights", KERNEL.shape, fan_in=72)
    np.testing.assert_array_equal(values, RandomWeights().get(other_kind))
    assert not np.array_equal(values, RandomWeights().get(other_name))
    assert not np.array_equal(values, RandomWeights(1).get(KERNEL))


def test_random_kernels_have_the_variance_of_he_initialization() -> None:
    values = RandomWeights().get(Parameter("k", (100, 1000), fan_in=50, gain=2.0))
    assert values.dtype == np.float32
    assert abs(values.mean()) < 0.01
    assert values.var() == pytest.approx(2.0 / 50, rel=0.02)


@pytest.mark.parametrize(
    ("kind", "low", "high"),
    [
        (Kind.GAMMA, 0.75, 1.25),
        (Kind.VARIANCE, 0.75, 1.25),
        (Kind.MEAN, -0.1, 0.1),
        (Kind.BETA, -0.1, 0.1),
        (Kind.BIAS, -0.1, 0.1),
    ],
)
def test_random_normalization_is_near_the_identity(kind: Kind, low: float, high: float) -> None:
    values = RandomWeights().get(Parameter("bn", (1000,), kind))
    assert low <= values.min() < values.max() <= high


def test_recorded_weights_list_the_requested_parameters() -> None:
    recorded = RecordedWeights(RandomWeights())
    np.testing.assert_array_equal(recorded.get(KERNEL), RandomWeights().get(KERNEL))
    assert recorded.asked == {"conv/weights": KERNEL}

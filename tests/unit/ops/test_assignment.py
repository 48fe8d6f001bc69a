from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.optimize import linear_sum_assignment

from furiosa_models.enums import Platform
from furiosa_models.errors import ShapeError
from furiosa_models.ops.assignment import assign
from tests.platforms import BOTH

costs = hnp.arrays(
    np.float64,
    hnp.array_shapes(min_dims=2, max_dims=2, min_side=0, max_side=9),
    elements=st.one_of(
        st.floats(0, 1), st.sampled_from([0.0, 0.25, 0.5, 1.0, np.inf]), st.integers(-3, 3)
    ),
)


@given(costs, st.floats(-1, 2))
def test_pairs_cost_least_as_by_scipy_and_both_implementations_agree(
    values: np.ndarray, limit: float
) -> None:
    rows, columns = assign(values, limit, platform=Platform.RUST)
    twin = assign(values, limit, platform=Platform.PYTHON)
    np.testing.assert_array_equal((rows, columns), twin)
    assert rows.tolist() == sorted(set(rows.tolist()))
    assert len(set(columns.tolist())) == len(columns)
    gains = np.minimum(values - limit, 0)
    assert (gains[rows, columns] < 0).all()
    best = gains[linear_sum_assignment(gains)].sum()
    np.testing.assert_allclose(gains[rows, columns].sum(), best, atol=1e-9)


@BOTH
def test_a_large_matrix(platform: Platform) -> None:
    values = np.random.default_rng(3).random((120, 80))
    rows, columns = assign(values, 2.0, platform=platform)
    assert len(rows) == 80
    expected = values[linear_sum_assignment(values)].sum()
    np.testing.assert_allclose(values[rows, columns].sum(), expected)


@BOTH
@pytest.mark.parametrize(
    ("values", "limit"),
    [([[np.nan]], 1.0), ([[-np.inf]], 1.0), ([[0.0]], np.inf), ([[-1e308]], 1e308)],
)
def test_costs_that_cannot_be_added(
    values: list[list[float]], limit: float, platform: Platform
) -> None:
    with pytest.raises(ValueError, match="costs must be numbers"):
        assign(np.array(values), limit, platform=platform)


def test_other_arrays_are_errors() -> None:
    with pytest.raises(ShapeError, match="costs must be a float64"):
        assign(np.zeros((2, 2), np.float32), 1.0)

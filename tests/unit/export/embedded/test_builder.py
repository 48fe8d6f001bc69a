"""The builder of graphs."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from onnx import numpy_helper

from furiosa_models.export.embedded.builder import Builder

from .running import finished, run, session


def test_equal_constants_are_stored_once() -> None:
    g = Builder(17)
    x = g.value("x", np.float32)
    total = (x + 2.0) * 2.0 + np.float32(2.0)
    assert [numpy_helper.to_array(c).item() for c in g.constants] == [2.0]
    found = run(session(finished(g, [x], {"y": total})), {"x": np.array([1.0], np.float32)})
    assert found["y"].tolist() == [8.0]


def test_constants_that_no_node_takes_are_left_out() -> None:
    g = Builder(17)
    g.constant(1.0)
    assert g.constants == []


def test_constants_of_a_body_are_among_those_of_the_graph() -> None:
    g = Builder(17)
    x = g.value("x", np.int64)
    (doubled,) = g.loop(lambda _, goes, state: (goes, state * 2), x, count=g.constant(5, np.int64))
    found = run(session(finished(g, [x], {"y": doubled})), {"x": np.array([1, 3])})
    assert found["y"].tolist() == [32, 96]


def test_only_one_branch_runs() -> None:
    g = Builder(17)
    x = g.value("x", np.int64)
    chosen = g.choose(x.sum(0).reshape() > 0, lambda: x + 1, lambda: x.take([7, 9]))
    found = run(session(finished(g, [x], {"y": chosen})), {"x": np.array([1, 3])})
    assert found["y"].tolist() == [2, 4]


@given(st.floats(0.1, 1e3), st.floats(0.1, 1e3))
def test_a_product_with_an_inverse_rounds_twice(number: float, divisor: float) -> None:
    g = Builder(17)
    x, y = g.value("x", np.float64), g.value("y", np.float64)
    graph = session(finished(g, [x, y], {"z": x * y.inverse()}))
    found = run(graph, {"x": np.array(number), "y": np.array(divisor)})
    inverse = float(1 / Fraction(divisor))
    assert found["z"].item() == float(Fraction(number) * Fraction(inverse))


@given(st.lists(st.integers(0, 3), max_size=20))
def test_equal_numbers_keep_their_order(numbers: list[int]) -> None:
    g = Builder(17)
    x = g.value("x", np.int64)
    graph = session(finished(g, [x], {"places": g.grouped(x)}))
    found = run(graph, {"x": np.array(numbers, np.int64)})
    assert found["places"].tolist() == np.argsort(numbers, kind="stable").tolist()


def test_nodes_are_named_by_their_stage() -> None:
    g = Builder(17)
    x = g.value("x", np.float32)
    with g.stage("photo"):
        inner = x + 1.0
    assert inner.name.startswith("photo/Add")
    assert not (x + 1.0).name.startswith("photo")

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from .network import Network, compare, random_array
from .test_elementwise import IMAGE
from .test_shape import image, pooled

REDUCTIONS = ["MEAN", "SUM", "REDUCE_MAX", "REDUCE_MIN", "REDUCE_PROD"]


@pooled
@pytest.mark.parametrize("kind", REDUCTIONS)
@pytest.mark.parametrize("axes", [[1, 2], [3], [-1, 1], [1], [0, 1, 2, 3], [2]])
@pytest.mark.parametrize("keep", [False, True])
def test_reduction_equals_litert(pooled: bool, kind: str, axes: list[int], keep: bool) -> None:
    network = Network()
    inputs = [image(network, pooled), network.constant(axes)]
    y = network.add(kind, inputs, options="ReducerOptions", keepDims=keep)
    compare(network.write(y), relative=3e-5 if kind == "REDUCE_PROD" else 1e-5)


@pytest.mark.parametrize("kind", ["REDUCE_ANY", "REDUCE_ALL"])
def test_reduction_of_booleans_equals_litert(kind: str) -> None:
    network = Network()
    inputs = [network.input((5, 3), "bool"), network.constant([1])]
    y = network.add(kind, inputs, network.tensor((5,), "bool"), options="ReducerOptions")
    compare(network.write(y))


@pooled
@pytest.mark.parametrize("beta", [1.0, 0.5])
def test_softmax_equals_litert(pooled: bool, beta: float) -> None:
    network = Network()
    x = image(network, pooled)
    compare(network.write(network.add("SOFTMAX", [x], options="SoftmaxOptions", beta=beta)))


@pooled
@pytest.mark.parametrize("kind", ["LOG_SOFTMAX", "L2_NORMALIZATION"])
def test_normalization_equals_litert(pooled: bool, kind: str) -> None:
    network = Network()
    compare(network.write(network.add(kind, [image(network, pooled)])))


def test_local_response_normalization_equals_litert() -> None:
    network = Network()
    y = network.add(
        "LOCAL_RESPONSE_NORMALIZATION", [network.input((1, 3, 3, 8))],
        options="LocalResponseNormalizationOptions", radius=2, bias=1.5, alpha=0.3, beta=0.7,
    )  # fmt: skip
    compare(network.write(y))


@pytest.mark.parametrize("kind", ["ARG_MAX", "ARG_MIN"])
@pytest.mark.parametrize("dtype", ["int32", "int64"])
@pytest.mark.parametrize("axis", [1, -1])
def test_index_of_the_extremum_equals_litert(kind: str, dtype: str, axis: int) -> None:
    from ai_edge_litert.schema_py_generated import TensorType

    options = "ArgMaxOptions" if kind == "ARG_MAX" else "ArgMinOptions"
    network = Network()
    y = network.add(
        kind, [network.input((2, 7, 9)), network.constant(axis)], network.tensor((1,), dtype),
        options=options, outputType=getattr(TensorType, dtype.upper()),
    )  # fmt: skip
    compare(network.write(y), np.round(random_array((2, 7, 9))))


def test_largest_elements_equal_litert() -> None:
    network = Network()
    values, indices = network.tensor((1,)), network.tensor((1,), "int32")
    network.add("TOPK_V2", [network.input((3, 9)), network.constant(4)], values, indices)
    compare(network.write(values, indices), np.round(random_array((3, 9)), 1))


@pytest.mark.parametrize("x", [False, True])
@pytest.mark.parametrize("y", [False, True])
def test_product_of_matrices_equals_litert(x: bool, y: bool) -> None:
    network = Network()
    inputs = [
        network.input((2, 4, 3) if x else (2, 3, 4)), network.input((2, 5, 4) if y else (2, 4, 5))
    ]  # fmt: skip
    z = network.add("BATCH_MATMUL", inputs, options="BatchMatMulOptions", adjX=x, adjY=y)
    compare(network.write(z))


@pytest.mark.parametrize("exclusive", [False, True])
@pytest.mark.parametrize("reverse", [False, True])
def test_cumulative_sum_equals_litert(exclusive: bool, reverse: bool) -> None:
    network = Network()
    y = network.add(
        "CUMSUM", [network.input((3, 5)), network.constant(np.array(1, np.int32))],
        options="CumsumOptions", exclusive=exclusive, reverse=reverse,
    )  # fmt: skip
    compare(network.write(y))


MODES = [{}, {"alignCorners": True}, {"halfPixelCenters": True}]


@pytest.mark.parametrize("mode", MODES, ids=["plain", "corners", "half pixels"])
@pytest.mark.parametrize("kind", ["RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR"])
@settings(max_examples=60)
@given(size=st.tuples(*[st.integers(1, 12)] * 2), target=st.tuples(*[st.integers(1, 20)] * 2))
def test_resized_image_equals_litert(
    kind: str, mode: dict[str, Any], size: tuple[int, int], target: tuple[int, int]
) -> None:
    network = Network()
    options = (
        "ResizeBilinearOptions" if kind == "RESIZE_BILINEAR" else "ResizeNearestNeighborOptions"
    )
    inputs = [network.input((1, *size, 2)), network.constant([*target])]
    compare(network.write(network.add(kind, inputs, options=options, **mode)))


@pytest.mark.parametrize(("axis", "batch"), [(0, 0), (1, 0), (-1, 0), (1, 1)])
def test_gathered_elements_equal_litert(axis: int, batch: int) -> None:
    network = Network()
    index = network.constant(np.array([[1, 0], [2, 2]], np.int32))
    y = network.add(
        "GATHER", [network.input((2, 3, 4) if axis or batch else (3, 4)), index],
        options="GatherOptions", axis=axis, batchDims=batch,
    )  # fmt: skip
    compare(network.write(y))


def test_elements_gathered_by_coordinates_equal_litert() -> None:
    network = Network()
    index = network.constant(np.array([[1, 0], [0, 2]], np.int32))
    compare(network.write(network.add("GATHER_ND", [network.input((2, 3, 4)), index])))


@pytest.mark.parametrize("axis", [-1, 0, 1])
def test_one_hot_encoding_equals_litert(axis: int) -> None:
    network = Network()
    inputs = [
        network.input((4,), "int32"),
        network.constant(np.array(3, np.int32)),
        network.constant(np.array(2.0, np.float32)),
        network.constant(np.array(-1.0, np.float32)),
    ]
    y = network.add("ONE_HOT", inputs, options="OneHotOptions", axis=axis)
    compare(network.write(y), np.array([0, 2, -1, 5], np.int32))


def test_range_equals_litert() -> None:
    network = Network()
    numbers = [network.constant(np.array(number, np.int32)) for number in (2, 11, 3)]
    compare(network.write(network.add("RANGE", numbers, network.tensor((1,), "int32"))))


def test_rank_and_shape_equal_litert() -> None:
    network = Network()
    x = network.input(IMAGE)
    rank = network.add("RANK", [x], network.tensor((), "int32"))
    shape = network.add("SHAPE", [x], network.tensor((4,), "int32"), options="ShapeOptions",
                        outType=2)  # fmt: skip
    compare(network.write(rank, shape))
